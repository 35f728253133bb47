"""The diffusion source: whole small networks with random weights, saved to disk, loaded, and segmented with."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from stylemixseg._util.quiet import HUB_TELEMETRY
from stylemixseg.variants import diffusion
from stylemixseg.variants.diffusion import DiffusionQuery, DiffusionUnavailableError, DiffusionVariants, Repainting
from stylemixseg.variants.segmenting import segment_variants

PROMPTS = ["oil on wood", "cold ice", "a red night"]
QUICK = Repainting(steps=2, strength=1.0)
WIDTH = 16  # of the text features


@pytest.fixture(scope="module")
def diffusers():
    pytest.importorskip("transformers", reason="transformers (extra `diffusion`) is not installed")
    return pytest.importorskip("diffusers", reason="diffusers (extra `diffusion`) is not installed")


@pytest.fixture(scope="module")
def folders(diffusers, tmp_path_factory) -> tuple[Path, Path]:
    """A model and a ControlNet as `hf download` makes them: all files, weights random."""
    torch.manual_seed(2)
    root = tmp_path_factory.mktemp("models")
    model, control = root / "small-diffusion", root / "small-canny"
    blocks = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4}
    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        **blocks,
    )
    controlnet = diffusers.ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 8))
    zeros = [controlnet.controlnet_cond_embedding.conv_out, controlnet.controlnet_mid_block]
    for zero in (*zeros, *controlnet.controlnet_down_blocks):
        torch.nn.init.normal_(zero.weight, std=0.5)  # new ones are zero, and would do nothing
    vae = diffusers.AutoencoderKL(
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        **blocks,
    )
    for part, network in (("unet", unet), ("vae", vae)):
        network.save_pretrained(model / part)
    diffusers.PNDMScheduler(steps_offset=1, skip_prk_steps=True).save_pretrained(model / "scheduler")
    controlnet.save_pretrained(control)
    _save_text_parts(model)
    return model, control


def _save_text_parts(model: Path) -> None:
    import transformers

    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = ["!", *letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    files = model / "vocabulary"
    files.mkdir()
    (files / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (files / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(files, model_max_length=24)
    tokenizer.save_pretrained(model / "tokenizer")
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokens), hidden_size=WIDTH, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=24, bos_token_id=len(tokens) - 2, eos_token_id=len(tokens) - 1,
    )  # fmt: skip
    transformers.CLIPTextModel(config).save_pretrained(model / "text_encoder")


@pytest.fixture(scope="module")
def source(folders) -> DiffusionVariants:
    return DiffusionVariants.load(*folders, PROMPTS, QUICK)


@pytest.fixture
def query() -> DiffusionQuery:
    image = np.zeros((16, 24, 3), np.uint8)
    image[4:12, 8:16] = (200, 120, 40)
    control = np.zeros_like(image)
    control[4:12, [8, 15]] = control[[4, 11], 8:16] = 255
    return DiffusionQuery(image, control)


def variants(source: DiffusionVariants, query: DiffusionQuery) -> np.ndarray:
    return np.concatenate(list(source.iter_variants(query)))


@pytest.mark.filterwarnings("error::UserWarning")
def test_the_whole_path_from_folders_to_a_mask(source, query):
    found = segment_variants(source, query, k=2, rule=lambda labels, k: np.arange(k) == 0)
    assert found.mask.shape == (16, 24) and np.array_equal(found.image, query.image)
    assert found.config.n == 3 and found.kmeans.centroids.shape == (2, 9)
    assert found.generator_name == "small-diffusion with small-canny" and len(found.generator_digest) == 64
    assert "torchvision" not in sys.modules and os.environ[HUB_TELEMETRY]


def test_variants_differ_by_their_prompts_and_are_the_same_again(source, query, folders):
    images = variants(source, query)
    assert images.shape == (3, 16, 24, 3) and images.dtype == np.uint8
    assert not np.array_equal(images[0], images[1]) and not np.array_equal(images[1], images[2])
    np.testing.assert_array_equal(variants(source, query), images)
    swapped = DiffusionVariants.load(*folders, PROMPTS[::-1], QUICK)
    np.testing.assert_array_equal(variants(swapped, query), images[::-1])


def test_image_and_control_both_count(source, query):
    images = variants(source, query)
    assert not np.array_equal(variants(source, query._replace(control=255 - query.control)), images)
    weak = DiffusionVariants(source.pipeline, PROMPTS, Repainting(steps=4, strength=0.25), name="weak")
    assert not np.array_equal(variants(weak, query._replace(image=255 - query.image)), variants(weak, query))


def test_the_digest_covers_weights_prompts_and_settings(source, folders, tmp_path):
    again = DiffusionVariants.load(*folders, PROMPTS, QUICK)
    others = [
        DiffusionVariants(source.pipeline, PROMPTS[:2], QUICK, name=source.name),
        DiffusionVariants(source.pipeline, PROMPTS, Repainting(steps=2, strength=1.0, seed=1), name=source.name),
    ]
    changed = _copied(folders[1], tmp_path / "canny")
    weights = load_file(changed / "diffusion_pytorch_model.safetensors")
    weights["conv_in.bias"] += 1
    save_file(weights, changed / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
    others.append(DiffusionVariants.load(folders[0], changed, PROMPTS, QUICK))
    assert again.digest == source.digest
    assert len({source.digest, *(other.digest for other in others)}) == 4


def _copied(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


class Bomb:
    """A pickle that makes a file when it is read."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_that_comes_with_a_model_is_run(folders, source, query, tmp_path):
    model, proof = _copied(folders[0], tmp_path / "model"), tmp_path / "it-ran"
    bomb = pickle.dumps(Bomb(proof))
    for part, name in (("unet", "diffusion_pytorch_model.bin"), ("text_encoder", "pytorch_model.bin")):
        (model / part / name).write_bytes(bomb)
        config = json.loads((model / part / "config.json").read_text())
        config |= {"auto_map": {"AutoModel": "evil.Net"}, "attn_implementation": "kernels-community/evil"}
        (model / part / "config.json").write_text(json.dumps(config))
        (model / part / "evil.py").write_text(f"from pathlib import Path\nPath({str(proof)!r}).touch()\n")
    (model / "model_index.json").write_text(json.dumps({"_class_name": "Evil", "unet": ["evil", "Net"]}))
    loaded = DiffusionVariants.load(model, folders[1], PROMPTS, QUICK)
    np.testing.assert_array_equal(variants(loaded, query), variants(source, query))
    assert not proof.exists() and "evil" not in sys.modules


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_pickle_in_place_of_safetensors_is_refused(folders, tmp_path, part):
    model, proof = _copied(folders[0], tmp_path / "model"), tmp_path / "it-ran"
    for file in (model / part).glob("*.safetensors"):
        file.unlink()
    (model / part / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps(Bomb(proof)))
    (model / part / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(proof)))
    with pytest.raises(DiffusionUnavailableError, match=rf"{part} has no \*\.safetensors file: .*pickles"):
        DiffusionVariants.load(model, folders[1], PROMPTS)
    (model / part / "other.safetensors").write_bytes(b"")
    with pytest.raises(DiffusionUnavailableError, match="is not a whole model: "):
        DiffusionVariants.load(model, folders[1], PROMPTS)
    assert not proof.exists()


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_a_missing_tensor_is_named(folders, tmp_path, part):
    model = _copied(folders[0], tmp_path / "model")
    (file,) = (model / part).glob("*.safetensors")
    weights = load_file(file)
    gone = sorted(weights)[0]
    del weights[gone]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(DiffusionUnavailableError, match=rf"{part} lacks 1 of the network's tensors"):
        DiffusionVariants.load(model, folders[1], PROMPTS)


@pytest.mark.parametrize("damaged", ["tokenizer/tokenizer.json", "scheduler/scheduler_config.json", "vae/config.json"])
def test_damaged_files(folders, tmp_path, damaged):
    model = _copied(folders[0], tmp_path / "model")
    (model / damaged).write_text("{")
    with pytest.raises(DiffusionUnavailableError, match="is not a whole model: "):
        DiffusionVariants.load(model, folders[1], PROMPTS)


def test_a_controlnet_of_another_model(diffusers, folders, tmp_path):
    other = diffusers.ControlNetModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=8,
        attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        conditioning_embedding_out_channels=(4, 8),
    )
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(ValueError, match="controlnet must be made for this model, .*'controlnet': 8"):
        DiffusionVariants.load(folders[0], tmp_path / "other", PROMPTS)


def test_without_a_network_the_error_says_how_to_get_the_model(diffusers, folders, monkeypatch):
    asked = []

    def from_pretrained(source, **options):
        asked.append(options)
        raise OSError("We couldn't connect\nto the hub")

    monkeypatch.setattr(diffusers.AutoencoderKL, "from_pretrained", from_pretrained)
    with pytest.raises(
        DiffusionUnavailableError, match="couldn't connect .*`hf download some/model --local-dir FOLDER`"
    ):
        DiffusionVariants.load("some/model", folders[1], PROMPTS)
    assert asked[0]["use_safetensors"] and not asked[0]["local_files_only"]


def test_diffusers_is_not_needed_before_load(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    assert not {"diffusers", "transformers"} & set(vars(diffusion))
    with pytest.raises(ModuleNotFoundError, match=r"needs diffusers, which .*pip install 'stylemixseg\[diffusion\]'"):
        DiffusionVariants.load("some/model", "some/controlnet", PROMPTS)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"model": "no-such-folder"}, ValueError, "model must be a folder, or owner/name on the hub, got 'no-such-f"),
        ({"controlnet": "../no/x"}, ValueError, "controlnet must be a folder, or owner/name on the hub, got '../no/x'"),
        ({"device": "tpu9"}, ValueError, "device must be a device"),
        ({"prompts": "in oil"}, TypeError, "prompts must be a sequence of texts, got 'in oil'"),
        ({"prompts": []}, ValueError, "prompts must be at least one text"),
        ({"prompts": ["in oil", " "]}, ValueError, "none empty"),
    ],
)
def test_bad_arguments_are_named_before_anything_is_read(arguments, error, message):
    with pytest.raises(error, match=message):
        DiffusionVariants.load(**{"model": "a/b", "controlnet": "a/c", "prompts": PROMPTS} | arguments)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"strength": 0.0}, r"strength must be in 0.05..1, got 0.0"),
        ({"steps": 2, "strength": 0.4}, r"strength must be in 0.5..1, got 0.4"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"guidance": 0.5}, "guidance must be in 1..100"),
        ({"seed": -1}, "seed must be in 0"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        Repainting(**settings)


def test_bad_queries_and_long_prompts(source, query):
    with pytest.raises(TypeError, match="query must be a DiffusionQuery"):
        source.query_image(query.image)
    with pytest.raises(ValueError, match=r"control must have the image's size \(16, 24, 3\), got \(8, 24, 3\)"):
        source.query_image(query._replace(control=query.control[:8]))
    with pytest.raises(ValueError, match="image must have sides that are multiples of 2, got"):
        source.query_image(DiffusionQuery(query.image[:15], query.control[:15]))
    with pytest.raises(ValueError, match=r"image must be \(H, W, 3\) uint8"):
        source.query_image(query._replace(image=query.image / 255))
    with pytest.raises(ValueError, match="a prompt must have at most 24 tokens here, got 32"):
        DiffusionVariants(source.pipeline, ["x" * 30], name="long")
