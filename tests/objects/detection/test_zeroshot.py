"""Zero-shot detectors: whole small networks with random weights, loaded from folders, and known outputs."""

from __future__ import annotations

import importlib
import json
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from stylemixseg.objects.detection import zeroshot
from stylemixseg.objects.detection.base import Detector
from stylemixseg.objects.detection.zeroshot import KNOWN, DetectorUnavailableError, ZeroShotDetector

KINDS = ("grounding-dino", "owlv2")
ROOM = ["sofa", "coffee table", "side table"]
# Grounding DINO knows these tokens by their numbers in BERT's vocabulary.
PAD, UNK, CLS, SEP, MASK, STOP, QUESTION = 0, 100, 101, 102, 103, 1012, 1029


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers", reason="the extra `detectors` is not installed")


@pytest.fixture(scope="module")
def folders(transformers, tmp_path_factory) -> dict[str, Path]:
    """{kind: a folder as `hf download` makes it}: all files of a model and its processor, weights random."""
    torch.manual_seed(2)
    made = {}
    for kind, make in zip(KINDS, (_grounding_dino, _owlv2)):
        made[kind] = tmp_path_factory.mktemp("models") / f"small-{kind}"
        made[kind].mkdir()
        model, processor = make(transformers, made[kind])
        model.save_pretrained(made[kind])
        processor.save_pretrained(made[kind])
    return made


def _grounding_dino(transformers, folder: Path):
    names = {PAD: "[PAD]", UNK: "[UNK]", CLS: "[CLS]", SEP: "[SEP]", MASK: "[MASK]", STOP: ".", QUESTION: "?"}
    words = [names.get(i, f"[unused{i}]") for i in range(1030)]
    words += "sofa coffee table side lamp horse night ##stand".split()
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    tokenizer = transformers.BertTokenizer.from_pretrained(folder)
    image_processor = transformers.models.grounding_dino.GroundingDinoImageProcessorPil(
        size={"shortest_edge": 64, "longest_edge": 128}
    )
    config = transformers.GroundingDinoConfig(
        backbone_config=transformers.SwinConfig(
            image_size=64, embed_dim=8, depths=[1] * 4, num_heads=[1] * 4, window_size=4, out_indices=[2, 3, 4]
        ),
        text_config=transformers.BertConfig(
            vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
        ),
        d_model=32, num_queries=12, encoder_layers=1, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_text_len=16,
    )  # fmt: skip
    model = transformers.GroundingDinoForObjectDetection(config)
    return model, transformers.GroundingDinoProcessor(image_processor, tokenizer)


def _owlv2(transformers, folder: Path):
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = ["!", *letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder, pad_token="!")
    image_processor = transformers.models.owlv2.Owlv2ImageProcessorPil(size={"height": 32, "width": 32})
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    begin, end = len(tokens) - 2, len(tokens) - 1
    text = {"vocab_size": len(tokens), "max_position_embeddings": 32, "bos_token_id": begin, "eos_token_id": end}
    config = transformers.Owlv2Config(
        text_config=small | text, vision_config=small | {"image_size": 32, "patch_size": 8}, projection_dim=16
    )
    return transformers.Owlv2ForObjectDetection(config), transformers.Owlv2Processor(image_processor, tokenizer)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 80, 3), np.uint8)


def answer(detector: ZeroShotDetector, logits: torch.Tensor, boxes: torch.Tensor) -> list[dict]:
    """Make the network answer `logits` (Q, T) and `boxes` (Q, 4) to all; returns the list of the inputs it will get."""
    asked = []

    def forward(**inputs):
        asked.append(inputs)
        return SimpleNamespace(logits=logits[None], pred_boxes=boxes[None], input_ids=inputs["input_ids"])

    detector.model.forward = forward
    return asked


def words(scores: list[dict[int, float]], width: int = 16) -> torch.Tensor:
    """Logits (Q, width) with these probabilities at these tokens, and none elsewhere."""
    logits = torch.full((len(scores), width), float("-inf"))
    for row, tokens in zip(logits, scores):
        for token, probability in tokens.items():
            row[token] = torch.logit(torch.tensor(probability))
    return logits


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("error::UserWarning")
def test_a_model_from_a_folder_runs_from_pixels_to_boxes(folders, kind, image):
    detector = ZeroShotDetector.load(folders[kind], threshold=0, text_threshold=0)
    assert isinstance(detector, Detector) and detector.name == f"small-{kind}"
    assert type(detector.processor.image_processor).__name__.endswith("Pil") and "torchvision" not in sys.modules
    found = detector(image, ROOM)
    assert len(found) == (12 if kind == "grounding-dino" else 16)  # queries; patches
    assert {item.label for item in found} <= set(ROOM)
    assert found == detector(image, ROOM)
    best = sorted(item.score for item in found)[-3]
    detector.threshold = best
    assert len(detector(image, ROOM)) == 2  # strictly above


def test_images_are_prepared_by_pillow_where_torchvision_is_there(folders, transformers, monkeypatch):
    asked = {}
    plain = transformers.AutoProcessor.from_pretrained

    def from_pretrained(source, **options):
        asked.update(options)
        return plain(source, **options)

    monkeypatch.setattr(transformers.AutoProcessor, "from_pretrained", from_pretrained)
    ZeroShotDetector.load(folders["owlv2"])
    assert asked["backend"] == "pil"


def test_owlv2_is_the_same_as_its_parts(folders, transformers, image):
    """Every query alone through the network, and the best of them taken here."""
    model = transformers.Owlv2ForObjectDetection.from_pretrained(folders["owlv2"]).eval()
    detector = ZeroShotDetector.load(folders["owlv2"], threshold=0)
    square = np.full((80, 80, 3), 0, np.uint8)
    square[:40] = image
    pixels = detector.processor.image_processor([square], return_tensors="pt")["pixel_values"]
    logits = []
    for phrase in ROOM:
        tokens = detector.processor.tokenizer(f"a photo of a {phrase}", padding="max_length", max_length=32)
        with torch.no_grad():
            output = model(pixel_values=pixels, input_ids=torch.tensor([tokens["input_ids"]]),
                           attention_mask=torch.tensor([tokens["attention_mask"]]))  # fmt: skip
        logits.append(output.logits[0, :, 0].numpy())
    scores = 1 / (1 + np.exp(-np.array(logits)))  # (3, 16)
    found = detector(image, ROOM)
    assert [item.label for item in found] == [ROOM[i] for i in scores.argmax(0)]
    np.testing.assert_allclose([item.score for item in found], scores.max(0), atol=1e-5)
    x, y, width, height = 80 * output.pred_boxes[0].numpy().T
    expected = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], 1)
    np.testing.assert_allclose([item.box for item in found], expected, atol=1e-3)


def test_grounding_dino_reads_one_text_and_gives_pixels_of_the_image(folders, image):
    detector = ZeroShotDetector.load(folders["grounding-dino"])
    # [CLS] sofa . coffee table . side table . [SEP]
    scores = [{1: 0.9}, {3: 0.5, 4: 0.6}, {6: 0.29, 7: 0.29}, {6: 0.4, 7: 0.7}]
    boxes = torch.tensor([[0.5, 0.25, 0.5, 0.25], [0.25, 0.5, 0.1, 1], [0.5, 0.5, 1, 1], [0.9, 0.5, 0.4, 0.2]])
    asked = answer(detector, words(scores), boxes)
    found = detector(image, ["Sofa", "Coffee  table", "side table"])
    sofa, coffee, side = range(1030, 1031), range(1031, 1033), (1033, 1032)
    assert asked[0]["input_ids"].tolist() == [[CLS, *sofa, STOP, *coffee, STOP, *side, STOP, SEP]]
    assert [item.label for item in found] == ["Sofa", "Coffee  table", "side table"]  # as asked; 0.29 is too low
    np.testing.assert_allclose([item.score for item in found], [0.9, 0.6, 0.7], atol=1e-6)
    # 80 wide, 40 high; the last box reaches out of the image
    expected = [[20, 5, 60, 15], [16, 0, 24, 40], [56, 16, 88, 24]]
    np.testing.assert_allclose([item.box for item in found], expected, atol=1e-4)


@pytest.mark.parametrize(
    "scores, label",
    [
        ({4: 0.5}, "coffee table"),  # "table", but the first one
        ({7: 0.5}, "side table"),
        ({1: 0.4, 3: 0.5, 4: 0.5}, "coffee table"),  # the processor says "sofa coffee table"
        ({1: 0.5, 3: 0.3, 4: 0.4}, "sofa"),  # more words of the other, but on the mean fewer probabilities
        ({3: 0.5, 4: 0.4, 6: 0.2, 7: 0.6}, "coffee table"),
        ({1: 0.24, 6: 0.45, 7: 0.01}, "side table"),  # the higher mean is below text_threshold
        ({2: 0.9}, None),  # a full stop is no phrase,
        ({0: 0.9, 9: 0.9}, None),  # nor is the begin or the end of the text
    ],
)
def test_a_box_of_several_phrases_gets_one_of_them(folders, image, scores, label):
    detector = ZeroShotDetector.load(folders["grounding-dino"], threshold=0.3, text_threshold=0.25)
    answer(detector, words([scores]), torch.tensor([[0.5, 0.5, 0.5, 0.5]]))
    assert [item.label for item in detector(image, ROOM)] == ([label] if label else [])


def test_pieces_of_a_word_and_signs_inside_a_phrase(folders, image):
    detector = ZeroShotDetector.load(folders["grounding-dino"])
    # [CLS] night ##stand . [UNK] lamp . horse . [SEP]
    asked = answer(detector, words([{2: 0.5}, {5: 0.5}, {7: 0.5}]), torch.full((3, 4), 0.5))
    phrases = ["nightstand", "st.lamp?", "horse"]
    assert [item.label for item in detector(image, phrases)] == phrases
    assert asked[0]["input_ids"].tolist() == [[CLS, 1036, 1037, STOP, UNK, 1034, STOP, 1035, STOP, SEP]]


def test_owlv2_gives_pixels_of_the_padded_image(folders, image):
    detector = ZeroShotDetector.load(folders["owlv2"])
    logits = torch.tensor([[3.0, -3, -4], [-3, -2, 1], [-1, -1.5, -1.2]])
    asked = answer(detector, logits, torch.tensor([[0.5, 0.25, 0.5, 0.25], [0.25, 0.1, 0.5, 0.2], [0.5, 0.5, 1, 1]]))
    found = detector(np.full_like(image, 255), ["sofa", "Coffee table", "side table"])
    assert [item.label for item in found] == ["sofa", "side table"]  # sigmoid(-1) = 0.27
    np.testing.assert_allclose([item.score for item in found], 1 / (1 + np.exp([-3, -1])), atol=1e-6)
    np.testing.assert_allclose([item.box for item in found], [[20, 10, 60, 30], [0, 0, 40, 16]], atol=1e-4)
    (inputs,) = asked
    query = detector.processor.tokenizer.convert_ids_to_tokens(inputs["input_ids"][1])
    query = "".join(query).replace("</w>", " ").rstrip("!")  # "!" pads
    assert query == "<|startoftext|>a photo of a coffee table <|endoftext|>"
    pixels = inputs["pixel_values"][0].mean(0)  # (32, 32): the white image in the upper half, nothing below
    assert pixels[:14].min() > 1.5 and pixels[18:].max() < -1


def test_more_phrases_than_a_text_holds_are_asked_in_passes(folders, image):
    detector = ZeroShotDetector.load(folders["grounding-dino"])
    phrases = ["sofa", "coffee table", "side table", "lamp", "horse", "night lamp", "side lamp", "coffee"]
    asked = answer(detector, words([{1: 0.5}]), torch.tensor([[0.5, 0.5, 0.5, 0.5]]))
    found = detector(image, phrases)
    # 2 + 3 + 3 + 2 + 2 = 12 tokens and 2 more for begin and end; the next would make 17, and the network reads 16
    assert [inputs["input_ids"].shape[1] for inputs in asked] == [14, 10]
    assert [item.label for item in found] == ["sofa", "night lamp"]  # the first word of each text
    exact = ["coffee table sofa sofa", "sofa lamp horse side", "lamp", "horse sofa"]  # 5 + 5 + 2 = 12, + 3 = 15 > 14
    asked.clear()
    detector(image, exact)
    assert [inputs["input_ids"].shape[1] for inputs in asked] == [14, 5]
    asked.clear()
    detector(image, ["sofa " * 13, "lamp"])  # 13 words and a full stop fill a text exactly
    assert [inputs["input_ids"].shape[1] for inputs in asked] == [16, 4]
    with pytest.raises(ValueError, match="at most 14 tokens .*, got 15: 'lamp lamp"):
        detector(image, ["sofa", "lamp " * 14])


def test_a_query_longer_than_owlv2_reads(folders, image):
    detector = ZeroShotDetector.load(folders["owlv2"])
    # a token a letter: "a photo of a" has 9, begin and end are 2, and 32 are read
    fits = "s" * 21
    detector(image, ["lamp", fits])
    with pytest.raises(ValueError, match="at most 32 tokens .*, got 33: 'ssss"):
        detector(image, ["lamp", fits + "s"])


def test_boxes_that_are_none_are_left_out(folders, image):
    detector = ZeroShotDetector.load(folders["grounding-dino"])
    boxes = torch.tensor([[float("nan"), 0.5, 0.5, 0.5], [0.5, 0.5, 0, 0.5], [0.5, 0.5, 0.5, 0.5]])
    answer(detector, words([{1: 0.5}] * 3), boxes)
    with pytest.warns(UserWarning, match="gave 2 boxes with NaN or no area"):
        assert [item.box for item in detector(image, ROOM)] == [(20, 10, 60, 30)]
    answer(detector, words([{1: float("nan")}]), boxes[2:])
    assert detector(image, ROOM) == []


class Bomb:
    """A pickle that makes a file when it is read."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def hostile(tmp_path, folders):
    """Copies a folder of a model and plants a pickle and code in it: (folder, file that exists if one of them ran)."""

    def make(kind: str, without: str = "") -> tuple[Path, Path]:
        folder, proof = tmp_path / kind, tmp_path / "it-ran"
        folder.mkdir()
        for file in folders[kind].iterdir():
            if not without or not file.name.endswith(without):
                (folder / file.name).write_bytes(file.read_bytes())
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(proof)))
        (folder / "evil.py").write_text(f"from pathlib import Path\nPath({str(proof)!r}).touch()\n")
        classes = ["AutoConfig", "AutoModelForZeroShotObjectDetection", "AutoProcessor", "AutoTokenizer"]
        auto_map = {name: f"evil.{name}" for name in [*classes, "AutoImageProcessor"]}
        for name in ("config.json", "processor_config.json", "tokenizer_config.json"):
            planted = json.loads((folder / name).read_text()) | {"auto_map": auto_map}
            (folder / name).write_text(json.dumps(planted))
        return folder, proof

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_comes_with_a_model_is_run(hostile, folders, kind, image):
    folder, proof = hostile(kind)
    pickle.loads((folder / "pytorch_model.bin").read_bytes())
    assert proof.exists()  # the bomb works
    proof.unlink()
    config = json.loads((folder / "config.json").read_text()) | {"attn_implementation": "kernels-community/evil"}
    (folder / "config.json").write_text(json.dumps(config))
    found = ZeroShotDetector.load(folder, threshold=0, text_threshold=0)(image, ROOM)
    assert found == ZeroShotDetector.load(folders[kind], threshold=0, text_threshold=0)(image, ROOM)
    assert not proof.exists() and "evil" not in sys.modules


@pytest.mark.parametrize("kind", KINDS)
def test_a_pickle_in_place_of_safetensors_is_refused(hostile, folders, kind):
    folder, proof = hostile(kind, without=".safetensors")
    with pytest.raises(DetectorUnavailableError, match=r"has no \*\.safetensors file: .*pickles"):
        ZeroShotDetector.load(folder)
    # nor with some other safetensors file beside it, even where the pickle is a harmless one of the right weights
    torch.save(load_file(folders[kind] / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "other.safetensors").write_bytes(b"")
    with pytest.raises(DetectorUnavailableError, match="is not a whole model: .*safetensors"):
        ZeroShotDetector.load(folder)
    assert not proof.exists()


def test_damaged_files(hostile):
    folder, _ = hostile("owlv2")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(DetectorUnavailableError, match="is not a whole model: "):
        ZeroShotDetector.load(folder)
    for name in ("tokenizer.json", "config.json"):
        (folder / name).write_text("{")
        with pytest.raises(DetectorUnavailableError, match="is not a whole model: "):
            ZeroShotDetector.load(folder)


def test_a_model_with_a_tensor_missing_is_named_random(hostile):
    folder, _ = hostile("owlv2")
    weights = load_file(folder / "model.safetensors")
    del weights["class_head.dense0.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.warns(UserWarning, match=r"lacks 1 of .* \(class_head.dense0.weight, .*random"):
        ZeroShotDetector.load(folder)


def test_another_kind_of_network(folders, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="model must be one of grounding-dino, owlv2, got bert"):
        ZeroShotDetector.load(tmp_path)


@pytest.mark.parametrize("name", ["grounding-dino", "owlv2", "somebody/something"])
def test_without_a_network_the_error_says_how_to_get_the_model(transformers, monkeypatch, name):
    def from_pretrained(source, **options):
        assert options == {"trust_remote_code": False, "revision": "abc", "local_files_only": False}
        raise OSError("We couldn't connect\nto the hub")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", from_pretrained)
    hub_id = KNOWN[name].hub_id if name in KNOWN else name
    with pytest.raises(DetectorUnavailableError, match=f"couldn't connect .*`hf download {hub_id} --local-dir FOLDER`"):
        ZeroShotDetector.load(name, revision="abc")


def test_a_short_name_comes_before_a_folder(transformers, tmp_path, monkeypatch):
    (tmp_path / "owlv2").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", lambda source, **options: {}[source])
    with pytest.raises(DetectorUnavailableError, match=f"hf download {KNOWN['owlv2'].hub_id}"):
        ZeroShotDetector.load("owlv2")
    with pytest.raises(DetectorUnavailableError, match="owlv2 has no"):
        ZeroShotDetector.load("./owlv2")


def test_transformers_is_not_needed_before_load(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    reloaded = importlib.reload(zeroshot)  # a module that imported transformers would fail here
    with pytest.raises(ModuleNotFoundError, match=r"transformers, .*pip install 'stylemixseg\[detectors\]'"):
        reloaded.ZeroShotDetector.load("owlv2")


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"model": "grounding-dyno"}, ValueError, "did you mean 'grounding-dino'"),
        ({"model": "no/such/folder"}, ValueError, "got 'no/such/folder'"),
        ({"model": "../no-such-model"}, ValueError, "got '../no-such-model'"),
        ({"model": "owlv2", "threshold": 1.5}, ValueError, "threshold must be in 0..1, got 1.5"),
        ({"model": "owlv2", "text_threshold": float("nan")}, ValueError, "text_threshold must be in 0..1"),
        ({"model": "owlv2", "device": "tpu9"}, ValueError, "device must be a device"),
    ],
)
def test_bad_arguments_are_named_before_anything_is_read(arguments, error, message):
    with pytest.raises(error, match=message):
        ZeroShotDetector.load(**arguments)


@pytest.mark.parametrize(
    "phrases, error, message",
    [
        ("sofa, lamp", TypeError, "use parse_phrases"),
        ([3], TypeError, "must be a sequence of texts"),
        ([], ValueError, "at least one text"),
        (["sofa", " "], ValueError, "none empty"),
    ],
)
def test_bad_phrases(folders, image, phrases, error, message):
    with pytest.raises(error, match=message):
        ZeroShotDetector.load(folders["owlv2"])(image, phrases)


def test_a_bad_image(folders, image):
    detector = ZeroShotDetector.load(folders["owlv2"])
    with pytest.raises(ValueError, match=r"image must be \(H, W, 3\) uint8"):
        detector(image / 255, ROOM)
    assert isinstance(detector(image[:1, :1], ROOM), list)  # a single pixel is an image
