"""References from `transformers`: whole small networks with random weights, loaded from folders."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from semantic_networks import KINDS, LABELS, save_networks

from stylemixseg.models.semantic import ReferenceUnavailableError, SemanticReference


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers", reason="the extra `detectors` is not installed")


@pytest.fixture(scope="module")
def folders(transformers, tmp_path_factory) -> dict[str, Path]:
    return save_networks(transformers, tmp_path_factory.mktemp("models"))


@pytest.fixture
def images() -> torch.Tensor:
    """(2, 3, 40, 72): wider than high, so that a crop of the middle would show."""
    levels = np.random.default_rng(0).integers(0, 256, (2, 3, 40, 72))
    return torch.from_numpy(levels / 127.5 - 1).float()


class Painter(torch.nn.Module):
    """In place of a network: its scores for a class are high where the prepared image's red is."""

    def __init__(self, config, chosen: int):
        super().__init__()
        self.config, self.chosen, self.device = config, chosen, torch.device("cpu")

    def forward(self, pixel_values):
        self.seen = pixel_values
        scores = torch.zeros(len(pixel_values), len(self.config.id2label), *pixel_values.shape[-2:])
        scores[:, self.chosen] = pixel_values[:, 0]
        return type("Output", (), {"logits": scores})


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_from_a_folder_gives_masks_of_the_images_size(folders, kind, images):
    reference = SemanticReference.load(f"{folders[kind]}:sofa")
    assert reference.name == kind and reference.class_names == tuple(LABELS[kind])
    assert "torchvision" not in sys.modules
    labels = reference(images)
    assert labels.shape == (2, 40, 72) and len(labels.unique()) > 1 and labels.max() < len(LABELS[kind])
    sofa = LABELS[kind].index("sofa") if kind == "deeplab-voc" else 1
    assert torch.equal(reference.foreground(images), labels == sofa)
    assert torch.equal(reference(images[1:]), labels[1:])  # an image's mask does not depend on the others


def test_labels_are_those_of_the_networks_own_way(folders, transformers, images):
    """The same as `transformers` from an 8-bit picture to its post-processing, where nothing is cropped."""
    folder = folders["swin-ade"]
    processor = transformers.models.segformer.SegformerImageProcessorPil.from_pretrained(folder)
    network = transformers.UperNetForSemanticSegmentation.from_pretrained(folder).eval()
    picture = ((images[0] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    with torch.no_grad():
        output = network(**processor(images=picture, return_tensors="pt"))
    (expected,) = processor.post_process_semantic_segmentation(output, target_sizes=[(40, 72)])
    assert torch.equal(SemanticReference.load(f"{folder}:sofa")(images[:1])[0], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_lies_where_the_thing_is_up_to_the_border(folders, kind):
    """No crop, no flip, no shift: a red square at the left border of a wide image comes back in its place."""
    reference = SemanticReference.load(f"{folders[kind]}:person")
    (chosen,) = reference.numbers
    reference.model = Painter(reference.model.config, chosen)
    image = torch.full((1, 3, 40, 72), -1.0)
    image[:, 0, 8:32, :16] = 1
    mask = reference.foreground(image)[0]
    assert (mask == (image[0, 0] > 0)).float().mean() > 0.97
    assert mask[12:28, :13].all() and not mask[:, 20:].any()
    height, width = reference.model.seen.shape[-2:]
    assert (height, width) == ((64, 64) if kind == "swin-ade" else (65, 117))  # the shorter side 65, nothing cut


@pytest.mark.parametrize(
    "kind, wanted, numbers",
    [
        ("swin-ade", "sofa", (1,)),
        ("swin-ade", "table", (2, 3)),
        ("swin-ade", "person", (5,)),
        ("swin-ade", "Pool Table", (4,)),
        ("deeplab-voc", "table", (1,)),
        ("deeplab-voc", "horse", (2,)),
    ],
)
def test_the_class_is_found_by_name(folders, kind, wanted, numbers):
    assert SemanticReference.load(f"{folders[kind]}:{wanted}").numbers == numbers


def test_several_classes_are_one_foreground(folders):
    reference = SemanticReference.load(f"{folders['swin-ade']}:table")
    config, image = reference.model.config, torch.full((1, 3, 64, 64), -1.0)
    image[:, 0, :32] = 1
    taken = []
    for number in range(len(LABELS["swin-ade"])):
        reference.model = Painter(config, number)
        assert (reference(image)[0, :30] == number).all()
        taken.append(bool(reference.foreground(image)[0, :30].all()))
    assert taken == [False, False, True, True, False, False]


def test_a_class_that_the_network_does_not_know(folders):
    with pytest.raises(ValueError, match="swin-ade must know the class 'horse', .*: wall; sofa, couch, lounge; coffee"):
        SemanticReference.load(f"{folders['swin-ade']}:horse")


def test_the_digest_tells_weights_preparation_and_class_apart(folders, tmp_path):
    folder = folders["deeplab-voc"]
    digests = {SemanticReference.load(f"{folder}:{wanted}").digest for wanted in ("sofa", "person")}
    assert SemanticReference.load(f"{folder}:sofa").digest in digests and len(digests) == 2
    for change in ("weights", "size"):
        copy = copied(folder, tmp_path / change)
        if change == "weights":
            weights = load_file(copy / "model.safetensors")
            weights["segmentation_head.classifier.convolution.bias"] += 1
            save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
        else:
            edit(copy / "preprocessor_config.json", size={"shortest_edge": 33})
        digests.add(SemanticReference.load(f"{copy}:sofa").digest)
    assert len(digests) == 4


def copied(folder: Path, to: Path) -> Path:
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def edit(file: Path, **changes) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


class Bomb:
    """A pickle that makes a file when it is read."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_comes_with_a_network_is_run(folders, kind, tmp_path, images):
    folder, proof = copied(folders[kind], tmp_path / "hostile"), tmp_path / "it-ran"
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(proof)))
    pickle.loads((folder / "pytorch_model.bin").read_bytes())
    assert proof.exists()  # the bomb works
    proof.unlink()
    (folder / "evil.py").write_text(f"from pathlib import Path\nPath({str(proof)!r}).touch()\n")
    classes = ["AutoConfig", "AutoModelForSemanticSegmentation", "AutoImageProcessor"]
    planted = {name: f"evil.{name}" for name in classes}
    edit(folder / "config.json", auto_map=planted, attn_implementation="kernels-community/evil")
    edit(folder / "preprocessor_config.json", auto_map=planted)
    found = SemanticReference.load(f"{folder}:sofa")(images)
    assert torch.equal(found, SemanticReference.load(f"{folders[kind]}:sofa")(images))
    assert not proof.exists() and "evil" not in sys.modules
    (folder / "model.safetensors").unlink()
    with pytest.raises(ReferenceUnavailableError, match=r"has no \*\.safetensors file: .*pickles"):
        SemanticReference.load(f"{folder}:sofa")
    assert not proof.exists()


def test_damaged_files(folders, tmp_path):
    folder = copied(folders["deeplab-voc"], tmp_path / "damaged")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:3000])
    with pytest.raises(ReferenceUnavailableError, match="is not a whole model: "):
        SemanticReference.load(f"{folder}:sofa")
    (folder / "config.json").write_text("{")
    with pytest.raises(ReferenceUnavailableError, match="is not a whole model: "):
        SemanticReference.load(f"{folder}:sofa")


def test_a_network_for_another_task(folders, transformers, tmp_path):
    """The same MobileNetV2, but it names whole images: the tensors that segment are not there."""
    config = transformers.MobileNetV2Config(depth_multiplier=0.35, id2label=dict(enumerate(LABELS["deeplab-voc"])))
    transformers.MobileNetV2ForImageClassification(config).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_bytes(
        (folders["deeplab-voc"] / "preprocessor_config.json").read_bytes()
    )
    match = r"lacks \d+ of the tensors of MobileNetV2ForSemanticSegmentation \(segmentation_head.*ForImageClassificat"
    with pytest.raises(ReferenceUnavailableError, match=match):
        SemanticReference.load(f"{tmp_path}:sofa")


def test_another_kind_of_network(folders, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match="reference must be a network for semantic segmentation, .*, got bert"):
        SemanticReference.load(f"{tmp_path}:sofa")
    config = {"model_type": "upernet", "backbone_config": {"model_type": "resnet"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="UPerNet on swin, got UPerNet on resnet"):
        SemanticReference.load(f"{tmp_path}:sofa")


def test_tensors_that_only_training_needs_may_be_missing(folders, tmp_path, images):
    folder = copied(folders["swin-ade"], tmp_path / "trimmed")
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("auxiliary_head.")}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    expected = SemanticReference.load(f"{folders['swin-ade']}:sofa")(images)
    assert torch.equal(SemanticReference.load(f"{folder}:sofa")(images), expected)
    kept.pop("decode_head.classifier.weight")
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ReferenceUnavailableError, match=r"lacks 1 of the tensors .*decode_head.classifier.weight"):
        SemanticReference.load(f"{folder}:sofa")


def test_from_the_hub_nothing_is_asked_for_but_the_files(transformers, monkeypatch):
    def from_pretrained(source, **options):
        assert options == {"trust_remote_code": False, "revision": None, "local_files_only": False}
        raise OSError("We couldn't connect\nto the hub")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", from_pretrained)
    with pytest.raises(
        ReferenceUnavailableError, match="couldn't connect .*`hf download some/swin --local-dir FOLDER`"
    ):
        SemanticReference.load("some/swin:sofa")


def test_a_folder_is_read_without_the_hub(folders, transformers, monkeypatch):
    asked = []
    for loader in ("AutoConfig", "AutoImageProcessor", "UperNetForSemanticSegmentation"):
        plain = getattr(transformers, loader).from_pretrained

        def from_pretrained(*arguments, plain=plain, **options):
            asked.append((options["local_files_only"], options["trust_remote_code"]))
            return plain(*arguments, **options)

        monkeypatch.setattr(getattr(transformers, loader), "from_pretrained", from_pretrained)
    SemanticReference.load(f"{folders['swin-ade']}:sofa")
    assert asked == [(True, False)] * 3


def test_without_transformers_the_error_names_the_extra(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModuleNotFoundError, match=r"transformers, .*pip install 'stylemixseg\[detectors\]'"):
        SemanticReference.load(f"{folders['swin-ade']}:sofa")


def test_bad_images(folders):
    reference = SemanticReference.load(f"{folders['swin-ade']}:sofa")
    with pytest.raises(ValueError, match=r"images must lie in \[-1, 1\], got values up to 255"):
        reference(torch.full((1, 3, 8, 8), 255.0))
    with pytest.raises(ValueError, match="device must be a device"):
        SemanticReference.load(f"{folders['swin-ade']}:sofa", device="tpu9")
