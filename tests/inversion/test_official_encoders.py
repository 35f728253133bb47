"""Official encoders: the published names and shapes, outputs against a second implementation, and bad files.

The second implementation below walks over the names in a state dictionary with functions only. Networks here are a
quarter as wide as the published ones, for a generator of 32 px; names and shapes are checked at full size as well.
"""

from __future__ import annotations

import copy
import os
from argparse import Namespace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from checkpoint_files import random_weights, rosinality_state, torch_bytes
from PIL import Image
from torch import Tensor

from stylemixseg.generators.checkpoints import CheckpointError, read_checkpoint
from stylemixseg.generators.stylegan2.architecture import Architecture
from stylemixseg.generators.stylegan2.network import StyleGAN2
from stylemixseg.inversion import official_encoders
from stylemixseg.inversion.base import Inverter
from stylemixseg.inversion.official_encoders import OfficialEncoder, load_official_encoder
from stylemixseg.inversion.official_networks import ENCODERS, StyleEncoder

WIDTH, NUM_WS = 16, 8
W_DIM = 8 * WIDTH
GENERATOR = Architecture(z_dim=W_DIM, w_dim=W_DIM, mapping_layers=2, channels=(8, 8, 6, 4))  # 32 px

# Read off the published classes: backbone, feature pyramid, differences to the first latent, input channels.
PUBLISHED = {
    "GradualStyleEncoder": ("ir", True, False, 3),
    "Encoder4Editing": ("ir", True, True, 3),
    "BackboneEncoder": ("ir", False, False, 6),
    "ResNetBackboneEncoder": ("resnet", False, False, 6),
    "ProgressiveBackboneEncoder": ("ir", False, True, 6),
    "ResNetProgressiveBackboneEncoder": ("resnet", False, True, 6),
}
RESTYLE = [name for name, (*_, inputs) in PUBLISHED.items() if inputs == 6]
SINGLE_PASS = [name for name in PUBLISHED if name not in RESTYLE]
DOWN = {"ir": (0, 3, 7, 21), "resnet": (3, 7, 13)}  # units with stride 2
LAST = {"ir": (6, 20, 23), "resnet": (6, 12, 15)}  # units whose outputs have 64, 32 and 16 px


def published_shapes(name: str, num_ws: int, width: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of an encoder's state dictionary."""
    backbone, pyramid, _, inputs = PUBLISHED[name]
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(prefix: str, channels: int) -> None:
        shapes.update({f"{prefix}.{part}": (channels,) for part in "weight bias running_mean running_var".split()})
        shapes[f"{prefix}.num_batches_tracked"] = ()

    if backbone == "ir":
        shapes["input_layer.0.weight"] = (width, inputs, 3, 3)
        norm("input_layer.1", width)
        shapes["input_layer.2.weight"] = (width,)
        channels = [width] * 3 + [2 * width] * 4 + [4 * width] * 14 + [8 * width] * 3
    else:
        shapes["conv1.weight"] = (width, inputs, 7, 7)
        norm("bn1", width)
        shapes["relu.weight"] = (width,)
        channels = [width] * 3 + [2 * width] * 4 + [4 * width] * 6 + [8 * width] * 3
    for i, (before, after) in enumerate(zip([width, *channels], channels)):
        unit = f"body.{i}"
        if backbone == "ir":
            if before != after:
                shapes[f"{unit}.shortcut_layer.0.weight"] = (after, before, 1, 1)
                norm(f"{unit}.shortcut_layer.1", after)
            norm(f"{unit}.res_layer.0", before)
            shapes[f"{unit}.res_layer.1.weight"] = (after, before, 3, 3)
            shapes[f"{unit}.res_layer.2.weight"] = (after,)
            shapes[f"{unit}.res_layer.3.weight"] = (after, after, 3, 3)
            norm(f"{unit}.res_layer.4", after)
            shapes[f"{unit}.res_layer.5.fc1.weight"] = (after // 16, after, 1, 1)
            shapes[f"{unit}.res_layer.5.fc2.weight"] = (after, after // 16, 1, 1)
        else:
            shapes[f"{unit}.conv1.weight"] = (after, before, 3, 3)
            norm(f"{unit}.bn1", after)
            shapes[f"{unit}.conv2.weight"] = (after, after, 3, 3)
            norm(f"{unit}.bn2", after)
            if before != after:
                shapes[f"{unit}.downsample.0.weight"] = (after, before, 1, 1)
                norm(f"{unit}.downsample.1", after)
    for i in range(num_ws):
        convolutions = 4 + (i >= 3) + (i >= 7) if pyramid else 4
        for j in range(convolutions):
            shapes[f"styles.{i}.convs.{2 * j}.weight"] = (8 * width, 8 * width, 3, 3)
            shapes[f"styles.{i}.convs.{2 * j}.bias"] = (8 * width,)
        shapes[f"styles.{i}.linear.weight"] = (8 * width, 8 * width)
        shapes[f"styles.{i}.linear.bias"] = (8 * width,)
    if pyramid:
        for layer, channels in (("latlayer1", 4 * width), ("latlayer2", 2 * width)):
            shapes[f"{layer}.weight"], shapes[f"{layer}.bias"] = (8 * width, channels, 1, 1), (8 * width,)
    return shapes


@cache
def encoder_state(name: str) -> dict[str, Tensor]:
    """Random weights that keep activations near one."""
    random = torch.Generator().manual_seed(1)
    state = {}
    for key, shape in published_shapes(name, NUM_WS, WIDTH).items():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(1000)
        elif key.endswith("running_var") or (len(shape) == 1 and key.endswith("weight")):
            state[key] = torch.rand(shape, generator=random) + 0.5
        elif key.endswith("linear.weight"):
            state[key] = torch.randn(shape, generator=random)
        else:
            fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 200
            gain = 0.2 if "res_layer.3" in key or ".conv2." in key else 1  # residuals add up
            state[key] = torch.randn(shape, generator=random) * gain * (2 / fan_in) ** 0.5
    return state


@cache
def light_state(name: str) -> dict[str, Tensor]:
    """The same names and shapes in one small storage: enough for whatever is refused before weights are read."""
    base = torch.randn(W_DIM * W_DIM * 9, generator=torch.Generator().manual_seed(1))
    shapes = published_shapes(name, NUM_WS, WIDTH)
    return {key: base[: int(np.prod(shape))].view(shape) for key, shape in shapes.items()}


def reference(name: str, state: dict[str, Tensor], x: Tensor) -> Tensor:
    """Codes (N, num_ws, w_dim), by functions over the names in the state dictionary."""
    backbone, pyramid, progressive, _ = PUBLISHED[name]

    def norm(y: Tensor, prefix: str) -> Tensor:
        scale = state[f"{prefix}.weight"] / (state[f"{prefix}.running_var"] + 1e-5).sqrt()
        shift = state[f"{prefix}.bias"] - state[f"{prefix}.running_mean"] * scale
        return y * scale[:, None, None] + shift[:, None, None]

    def prelu(y: Tensor, key: str) -> Tensor:
        return torch.where(y > 0, y, y * state[key][:, None, None])

    def conv(y: Tensor, key: str, stride: int, padding: int) -> Tensor:
        return F.conv2d(y, state[f"{key}.weight"], state.get(f"{key}.bias"), stride, padding)

    if backbone == "ir":
        x = prelu(norm(conv(x, "input_layer.0", 1, 1), "input_layer.1"), "input_layer.2.weight")
    else:
        x = prelu(norm(conv(x, "conv1", 2, 3), "bn1"), "relu.weight")
    kept = []
    for i in range(LAST[backbone][-1] + 1):
        unit, stride = f"body.{i}", 2 if i in DOWN[backbone] else 1
        shortcut = x[:, :, ::stride, ::stride]
        if backbone == "ir":
            if f"{unit}.shortcut_layer.0.weight" in state:
                shortcut = norm(conv(x, f"{unit}.shortcut_layer.0", stride, 0), f"{unit}.shortcut_layer.1")
            y = conv(norm(x, f"{unit}.res_layer.0"), f"{unit}.res_layer.1", 1, 1)
            y = conv(prelu(y, f"{unit}.res_layer.2.weight"), f"{unit}.res_layer.3", stride, 1)
            y = norm(y, f"{unit}.res_layer.4")
            hidden = y.mean((2, 3)) @ state[f"{unit}.res_layer.5.fc1.weight"][:, :, 0, 0].T
            gates = 1 / (1 + torch.exp(-hidden.clamp(min=0) @ state[f"{unit}.res_layer.5.fc2.weight"][:, :, 0, 0].T))
            x = y * gates[:, :, None, None] + shortcut
        else:
            if f"{unit}.downsample.0.weight" in state:
                shortcut = norm(conv(x, f"{unit}.downsample.0", stride, 0), f"{unit}.downsample.1")
            y = norm(conv(x, f"{unit}.conv1", stride, 1), f"{unit}.bn1").clamp(min=0)
            x = (norm(conv(y, f"{unit}.conv2", 1, 1), f"{unit}.bn2") + shortcut).clamp(min=0)
        if i in LAST[backbone]:
            kept.append(x)
    features = {16: kept[2]}
    if pyramid:
        for side, below, layer in ((32, kept[1], "latlayer1"), (64, kept[0], "latlayer2")):
            larger = F.interpolate(features[side // 2], below.shape[2:], mode="bilinear", align_corners=True)
            features[side] = larger + conv(below, layer, 1, 0)
    codes = []
    for i in range(NUM_WS):
        y = features[(16 if i < 3 else 32 if i < 7 else 64) if pyramid else 16]
        for j in range(6):
            if f"styles.{i}.convs.{2 * j}.weight" in state:
                y = conv(y, f"styles.{i}.convs.{2 * j}", 2, 1)
                y = torch.where(y > 0, y, 0.01 * y)
        assert y.shape[2:] == (1, 1)
        weight, bias = state[f"styles.{i}.linear.weight"], state[f"styles.{i}.linear.bias"]
        code = y[:, :, 0, 0] @ weight.T / W_DIM**0.5 + bias
        codes.append(code + codes[0] if progressive and i else code)
    return torch.stack(codes, 1)


@cache
def generator_weights() -> dict[str, Tensor]:
    """Random weights whose images stay near [-1, 1]."""
    weights = random_weights(GENERATOR)
    return {key: value / 2 if "torgb" in key else value for key, value in weights.items()}


def checkpoint(name: str, *, light: bool = False, **changes) -> dict:
    """What the published code saves: a change named as a key replaces it, or takes it out where it is None."""
    decoder, latent_avg = rosinality_state(generator_weights())
    state = {f"encoder.{key}": value for key, value in (light_state if light else encoder_state)(name).items()}
    state |= {f"decoder.{key}": value for key, value in decoder.items()}
    spread = torch.linspace(-1, 1, NUM_WS)[:, None]
    opts = {
        "encoder_type": name,
        "dataset_type": "ffhq_encode",
        "start_from_latent_avg": True,
        "learning_rate": 0.0001,
        "output_size": 32,
        "device": "cuda:0",
        "checkpoint_path": None,
    }
    saved = {"state_dict": state, "latent_avg": latent_avg + spread, "opts": opts} | changes
    return {key: value for key, value in saved.items() if value is not None}


def with_encoder(saved: dict, **changes: Tensor | None) -> dict:
    """A checkpoint with tensors of the encoder replaced (`__` is a dot), or taken out."""
    state = saved["state_dict"] | {f"encoder.{key.replace('__', '.')}": value for key, value in changes.items()}
    return saved | {"state_dict": {key: value for key, value in state.items() if value is not None}}


def load(folder: Path, saved: object, *, legacy: bool = False, **arguments) -> OfficialEncoder:
    return load_official_encoder(write(folder, saved, legacy=legacy), **arguments)


def write(folder: Path, saved: object, *, legacy: bool = False) -> Path:
    path = folder / "encoder.pt"
    path.write_bytes(torch_bytes(saved, legacy=legacy))
    return path


def photos(count: int = 1, side: int = 256) -> Tensor:
    small = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(5)) * 2 - 1
    return F.interpolate(small, (side, side), mode="bilinear")


@pytest.mark.parametrize("name", PUBLISHED)
def test_names_and_shapes_are_the_published_ones(name):
    backbone, pyramid, progressive, inputs = PUBLISHED[name]
    kind = ENCODERS[name]
    assert kind.backbone == {"ir": "IR-SE50", "resnet": "ResNet34"}[backbone]
    assert (kind.pyramid, kind.progressive, kind.inputs) == (pyramid, progressive, inputs)
    for num_ws in (14, 18):
        with torch.device("meta"):
            network = StyleEncoder(kind, num_ws)
        got = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        assert got == published_shapes(name, num_ws, 64)
        assert network.w_dim == 512


def test_every_published_kind_is_known():
    assert list(ENCODERS) == list(PUBLISHED)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """An encoder of a kind from a whole file, read once."""

    @cache
    def get(name: str) -> OfficialEncoder:
        return load(tmp_path_factory.mktemp("encoder"), checkpoint(name))

    return get


def mean_latent(name: str) -> Tensor:
    return checkpoint(name, light=True)["latent_avg"]


@pytest.mark.parametrize("name", SINGLE_PASS)
def test_single_pass(loaded, name):
    encoder, images, start = loaded(name), photos(2), mean_latent(name)
    with torch.no_grad():
        expected = reference(name, encoder_state(name), images) + start
    inversion = encoder(images)
    assert isinstance(encoder, Inverter)
    assert 0.1 < (inversion.ws - start).std() < 100
    assert (inversion.ws[0] - inversion.ws[1]).std() > 0.1  # the photo matters
    torch.testing.assert_close(inversion.ws, expected, rtol=1e-4, atol=1e-4)
    assert len(inversion.steps) == 2 and torch.equal(inversion.steps[1], inversion.ws)
    assert torch.equal(inversion.steps[0], start.expand(2, -1, -1))
    assert inversion.method == f"{'e4e' if 'Editing' in name else 'pSp'} ({name}), one pass" and inversion.seconds > 0


@pytest.mark.parametrize("name", RESTYLE)
def test_restyle(loaded, name):
    encoder, images, start, state = loaded(name), photos(), mean_latent(name), encoder_state(name)
    encoder = OfficialEncoder(encoder.network, encoder.generator, encoder.latent_avg, refinements=2)
    generator = StyleGAN2.from_weights(GENERATOR, generator_weights())
    with torch.no_grad():
        average = F.adaptive_avg_pool2d(generator.synthesis(start[None]), (256, 256))
        first = start + reference(name, state, torch.cat([images, average], 1))
        estimate = F.adaptive_avg_pool2d(generator.synthesis(first), (256, 256))
        second = first + reference(name, state, torch.cat([images, estimate], 1))
    inversion = encoder(images)
    assert 0.1 < (first - start).std() < 100
    assert (second - first - (first - start)).std() > 0.1  # the image of the current latent matters
    for got, expected in zip(inversion.steps, (start[None], first, second), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)
    assert torch.equal(inversion.ws, inversion.steps[-1])
    assert inversion.method == f"ReStyle ({name}), 2 refinements"


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_old_form_of_the_file_gives_the_same(loaded, tmp_path, name):
    new, old = loaded(name), load(tmp_path, checkpoint(name), legacy=True)
    assert torch.equal(new.latent_avg, old.latent_avg)
    for a, b in ((new.network, old.network), (new.generator, old.generator)):
        b = b.state_dict()
        for key, value in a.state_dict().items():
            assert torch.equal(value, b[key]), key


def test_photos_of_any_size_are_seen_as_pillow_shows_them(loaded):
    encoder = loaded("ResNetBackboneEncoder")
    rows = np.random.RandomState(0).randint(0, 256, (300, 300, 3), np.uint8)
    small = np.asarray(Image.fromarray(rows).resize((256, 256), Image.Resampling.BILINEAR))
    seen = encoder._resized(torch.from_numpy(rows).permute(2, 0, 1)[None] / 127.5 - 1)
    assert np.abs(seen[0].permute(1, 2, 0).numpy() * 127.5 + 127.5 - small).max() < 1.01  # Pillow rounds twice


def test_batches_do_not_change_the_result(loaded, monkeypatch, capsys):
    encoder = loaded("ResNetBackboneEncoder")
    encoder = OfficialEncoder(encoder.network, encoder.generator, encoder.latent_avg, refinements=2)
    images = photos(3, 64)
    together = encoder(images)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(official_encoders, "BATCH", 2)
    apart = encoder(images, progress=True)
    assert "6/6" in capsys.readouterr().err  # 3 photos, 2 refinements
    assert together.ws.shape == (3, NUM_WS, W_DIM) and len(together.steps) == 3
    for a, b in zip(together.steps, apart.steps, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(together.ws[0], together.ws[1])


def with_heads(encoder: OfficialEncoder, says: list[float], latent_avg: Tensor) -> OfficialEncoder:
    """The encoder with heads that say these numbers, whatever they look at, and so without a backbone's work."""
    network = copy.deepcopy(encoder.network)
    network.feature_maps = lambda images: [torch.zeros(len(images), WIDTH << i, 128 >> i, 128 >> i) for i in range(4)]
    for head, number in zip(network.styles, says, strict=True):
        head.linear.weight.data.zero_()
        head.linear.bias.data.fill_(number)
    return OfficialEncoder(network, encoder.generator, latent_avg)


@pytest.mark.parametrize("name", PUBLISHED)
def test_heads_of_zeros_give_the_mean_latent(loaded, name):
    encoder = with_heads(loaded(name), [0.0] * NUM_WS, mean_latent(name))
    assert torch.equal(encoder(photos()).ws[0], mean_latent(name))


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_the_heads_say_adds_up(loaded, name):
    numbers = torch.arange(1.0, NUM_WS + 1)
    inversion = with_heads(loaded(name), numbers.tolist(), torch.zeros(NUM_WS, W_DIM))(photos())
    if PUBLISHED[name][2]:
        numbers[1:] += 1  # w0 = 1 is added to the differences
    for step, ws in enumerate(inversion.steps):
        assert torch.equal(ws[0], (numbers * step)[:, None].expand(-1, W_DIM))
    assert len(inversion.steps) == (6 if name in RESTYLE else 2)
    if name in RESTYLE:
        assert inversion.method.endswith("5 refinements")


def test_cars_are_seen_without_the_bands(loaded, tmp_path):
    name = "ResNetProgressiveBackboneEncoder"
    saved = checkpoint(name)
    cars = load(tmp_path, saved | {"opts": saved["opts"] | {"dataset_type": "cars_encode"}})
    faces, start, images = loaded(name), mean_latent(name), photos()
    faces = OfficialEncoder(faces.network, faces.generator, start, refinements=1)
    cars.refinements = 1
    banded = images.clone()
    banded[:, :, :32], banded[:, :, 224:] = -1, 1
    assert torch.equal(cars(images).ws, cars(banded).ws)
    assert not torch.allclose(faces(images).ws, faces(banded).ws, atol=1e-2)
    with torch.no_grad():
        average = F.adaptive_avg_pool2d(faces.generator.synthesis(start[None]), (256, 256))
        seen = torch.cat([images, average], 1)[:, :, 32:224]
        expected = start + reference(name, encoder_state(name), seen)
    torch.testing.assert_close(cars(images).steps[1], expected, rtol=1e-3, atol=1e-3)


def test_the_decoder_is_the_generator(loaded):
    encoder = loaded("Encoder4Editing")
    assert isinstance(encoder.generator, StyleGAN2) and encoder.generator.num_ws == NUM_WS
    wanted = generator_weights()
    for key, value in encoder.generator.weights().items():
        if key != "mapping.w_avg":
            assert torch.equal(value, wanted[key]), key


def without_decoder(saved: dict) -> dict:
    return saved | {"state_dict": {k: v for k, v in saved["state_dict"].items() if k.startswith("encoder.")}}


def test_a_generator_may_be_given(tmp_path):
    saved = checkpoint("ResNetBackboneEncoder")
    generator = StyleGAN2.from_weights(GENERATOR, random_weights(GENERATOR, seed=9))
    path = write(tmp_path, without_decoder(saved))
    encoder = load_official_encoder(path, generator)
    assert encoder.generator is generator
    with pytest.raises(CheckpointError, match=r"an encoder only .*load_official_encoder\(path, generator\)"):
        load_official_encoder(path)


@pytest.mark.parametrize(
    "other",
    [
        Architecture(z_dim=W_DIM, w_dim=W_DIM, mapping_layers=2, channels=(4, 4, 4)),
        Architecture(z_dim=W_DIM, w_dim=64, mapping_layers=2, channels=(4, 4, 4, 4)),
    ],
)
def test_a_checkpoint_for_another_generator(tmp_path, other):
    generator = StyleGAN2.from_weights(other, random_weights(other))
    path = write(tmp_path, checkpoint("ResNetBackboneEncoder"))
    wanted = f"gives 8 latents of 128 numbers, .* takes {other.num_ws} of {other.w_dim}: .*made for another generator"
    with pytest.raises(ValueError, match=wanted):
        load_official_encoder(path, generator)


@pytest.mark.parametrize("legacy", [False, True])
def test_opts_may_be_a_namespace(tmp_path, legacy):
    saved = checkpoint("ResNetProgressiveBackboneEncoder")
    encoder = load(tmp_path, saved | {"opts": Namespace(**saved["opts"])}, legacy=legacy)
    assert encoder.network.kind.name == "ResNetProgressiveBackboneEncoder"


def test_half_precision_and_old_files_without_counters(tmp_path):
    saved = checkpoint("GradualStyleEncoder")
    half = {k: v.half() if v.is_floating_point() else v for k, v in saved["state_dict"].items()}
    half = {k: v for k, v in half.items() if not k.endswith("num_batches_tracked")}
    encoder = load(tmp_path, saved | {"state_dict": half})
    rounded = {key: value.half().float() for key, value in encoder_state("GradualStyleEncoder").items()}
    for key, value in encoder.network.named_parameters():
        assert value.dtype == torch.float32 and torch.equal(value, rounded[key]), key


@pytest.mark.parametrize("shape", [(W_DIM,), (1, W_DIM)])
def test_one_mean_latent_for_all_layers(tmp_path, shape):
    mean = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    encoder = load(tmp_path, checkpoint("ResNetBackboneEncoder", latent_avg=mean))
    assert torch.equal(encoder.latent_avg, mean.expand(NUM_WS, W_DIM))


def test_without_a_mean_latent(tmp_path):
    path = write(tmp_path, checkpoint("ResNetBackboneEncoder", latent_avg=None))
    with pytest.raises(CheckpointError, match=r"no latent_avg.*give latent_avg=generator\.w_avg"):
        load_official_encoder(path)
    generator = StyleGAN2.from_file(path)
    w_avg = generator.w_avg
    assert w_avg.abs().sum() > 0
    assert torch.equal(load_official_encoder(path, generator, latent_avg=w_avg).latent_avg, w_avg.expand(NUM_WS, -1))
    for wrong, error in ((w_avg[:5], ValueError), (w_avg * float("nan"), ValueError), ([0.0], TypeError)):
        with pytest.raises(error, match="latent_avg"):
            load_official_encoder(path, latent_avg=wrong)


def test_codes_that_are_no_offsets(tmp_path):
    saved = checkpoint("GradualStyleEncoder")
    path = write(tmp_path, saved | {"opts": saved["opts"] | {"start_from_latent_avg": False}})
    with pytest.raises(CheckpointError, match=r"start_from_latent_avg is False.*latent_avg=torch\.zeros\(128\)"):
        load_official_encoder(path)
    encoder = load_official_encoder(path, latent_avg=torch.zeros(W_DIM))
    assert torch.equal(encoder.latent_avg, torch.zeros(NUM_WS, W_DIM))


@pytest.mark.parametrize(
    ("name", "stated", "match"),
    [
        ("Encoder4Editing", None, "encoder_type is missing: the encoder is GradualStyleEncoder or Encoder4Editing"),
        ("Encoder4Editing", "BackboneEncoder", "opts.encoder_type is BackboneEncoder, but the encoder is Gradual"),
        ("ResNetBackboneEncoder", "BackboneEncoder", "it has ResNet34 with 6 input channels, no feature pyramid"),
        ("BackboneEncoder", 7, "opts.encoder_type is 7, but"),
        ("BackboneEncoder", "\x1b[2J" * 50, r"opts.encoder_type is (?:\\x1b\[2J)+"),
    ],
)
def test_opts_choose_only_among_what_fits(tmp_path, name, stated, match):
    saved = checkpoint(name, light=True)
    opts = {key: value for key, value in saved["opts"].items() if key != "encoder_type"}
    opts |= {} if stated is None else {"encoder_type": stated}
    path = write(tmp_path, saved | {"opts": opts})
    with pytest.raises(CheckpointError, match=match):
        load_official_encoder(path)


def test_no_opts_at_all(tmp_path):
    path = write(tmp_path, checkpoint("ResNetBackboneEncoder", opts=None))
    name = "ResNetProgressiveBackboneEncoder"
    assert load_official_encoder(path, encoder_type=name).network.kind.name == name
    with pytest.raises(CheckpointError, match="encoder_type is Encoder4Editing, but the encoder is ResNetBackboneEn"):
        load_official_encoder(path, encoder_type="Encoder4Editing")
    with pytest.raises(ValueError, match="encoder_type must be one of .*did you mean 'BackboneEncoder'"):
        load_official_encoder(path, encoder_type="BackboneEncode")


ZEROS = torch.zeros(3, 5)
LAYOUTS = {
    "a name is missing": (
        {"body__7__res_layer__3__weight": None},
        r"encoder\.body\.7\.res_layer\.3\.weight is missing",
    ),
    "a name is too many": ({"body__24__x": ZEROS}, r"published: encoder\.body\.24\.x is too many$"),
    "an unknown counter": ({"x__num_batches_tracked": torch.tensor(1)}, "x.num_batches_tracked is too many"),
    "a wrong shape": (
        {"styles__2__linear__weight": ZEROS},
        r"styles\.2\.linear\.weight has shape \(3, 5\) instead of \(128, 128\)",
    ),
    "many": (
        {f"styles__{i}__linear__bias": None for i in range(5)},
        r"styles\.0\.linear\.bias is missing; .*styles\.2\.linear\.bias is missing; and 2 more$",
    ),
    "a head in the middle": (
        {f"styles__3__{part}": None for part in ("linear.weight", "linear.bias")},
        r"styles\.3\.linear\.weight is missing",
    ),
    "another width": ({"input_layer__0__weight": torch.zeros(32, 6, 3, 3)}, r"has shape \(16,\) instead of \(32,\)"),
    "three channels": ({"input_layer__0__weight": torch.zeros(16, 3, 3, 3)}, "IR-SE50 with 3 input channels, no feat"),
    "label maps": ({"input_layer__0__weight": torch.zeros(16, 19, 3, 3)}, "IR-SE50 with 19 input channels"),
    "a first layer of two axes": ({"input_layer__0__weight": ZEROS}, "no input_layer.0.weight or conv1.weight"),
    "no first layer": ({"input_layer__0__weight": None}, "no input_layer.0.weight or conv1.weight in it"),
    "too wide": ({"input_layer__0__weight": torch.zeros(2000, 6, 1, 1)}, "8 latents and 2000 channels"),
    "too many latents": ({"styles__900__x": ZEROS}, "901 latents"),
    "NaN as weights": ({"input_layer__2__weight": torch.full((16,), float("nan"))}, "NaN or infinity: input_layer.2"),
    "whole numbers as weights": (
        {"input_layer__2__weight": torch.ones(16, dtype=torch.int64)},
        "input_layer.2.weight holds int64",
    ),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_another_layout(tmp_path, case):
    changes, match = LAYOUTS[case]
    saved = with_encoder(checkpoint("BackboneEncoder", light="weights" not in case), **changes)
    with pytest.raises(CheckpointError, match=match):
        load(tmp_path, saved)


def test_a_pyramid_with_six_channels_was_never_published(tmp_path):
    six = torch.zeros(WIDTH, 6, 3, 3)
    with pytest.raises(CheckpointError, match="none of .* it has IR-SE50 with 6 input channels, a feature pyramid"):
        load(tmp_path, with_encoder(checkpoint("GradualStyleEncoder", light=True), input_layer__0__weight=six))


class Payload:
    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("place", ["opts", "in opts", "in a namespace", "latent_avg", "in the state_dict"])
def test_nothing_in_the_file_runs(tmp_path, place, legacy):
    canary = tmp_path / "canary"
    saved, payload = checkpoint("BackboneEncoder", light=True), Payload(canary)
    places = {
        "opts": {"opts": payload},
        "in opts": {"opts": saved["opts"] | {"exp_dir": payload}},
        "in a namespace": {"opts": Namespace(**saved["opts"], exp_dir=payload)},
        "latent_avg": {"latent_avg": payload},
        "in the state_dict": {"state_dict": saved["state_dict"] | {"encoder.x": payload}},
    }
    path = write(tmp_path, saved | places[place], legacy=legacy)
    with pytest.raises(CheckpointError, match=r"refused (posix|nt)\.system.*Nothing was run"):
        load_official_encoder(path)
    assert not canary.exists()
    torch.load(path, weights_only=False)  # the payload is a live one
    assert canary.exists()


BROKEN = {
    "empty": (lambda data: b"", "not a file of torch.save: the file is empty"),
    "web page": (lambda data: b"<html>Quota exceeded", "not a file of torch.save: a web page"),
    "a third": (lambda data: data[: len(data) // 3], "truncated"),
    "the end is missing": (lambda data: data[:-1], "truncated"),
    "bits flipped": (lambda data: data.replace(data[200_000:200_064], bytes(64)), "does not match its check sum"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_damaged_files(tmp_path, case):
    damage, match = BROKEN[case]
    path = write(tmp_path, checkpoint("BackboneEncoder", light=True))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match=match):
        load_official_encoder(path)


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_truncated_in_the_old_form(tmp_path, keep):
    path = write(tmp_path, checkpoint("BackboneEncoder", light=True), legacy=True)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(CheckpointError, match="truncated"):
        load_official_encoder(path)


OTHERS = {
    "a tensor": (lambda: ZEROS, "no state_dict"),
    "a generator": (lambda: {"g_ema": {"input.input": ZEROS}}, "no state_dict"),
    "a list as state_dict": (lambda: {"state_dict": [ZEROS]}, "no state_dict"),
    "no encoder": (lambda: {"state_dict": {"decoder.input.input": ZEROS}}, "no encoder in the file"),
    "a third network": (lambda: {"state_dict": {"hypernet.x": ZEROS}}, "hypernet.x, which is neither encoder"),
    "text as a tensor": (lambda: {"state_dict": {"encoder.x": "y"}}, "expected a tensor, got str"),
    "opts of text": (lambda: checkpoint("BackboneEncoder", light=True, opts="x"), "opts must be a dictionary or"),
    "no heads": (
        lambda: {"state_dict": {"encoder.conv1.weight": torch.zeros(16, 6, 7, 7), "decoder.x": ZEROS}},
        r"no styles\.\* in it",
    ),
    "an infinite mean": (
        lambda: checkpoint("ResNetBackboneEncoder", latent_avg=torch.full((W_DIM,), torch.inf)),
        "NaN or infinity: latent_avg",
    ),
    "a mean of another size": (
        lambda: checkpoint("ResNetBackboneEncoder", latent_avg=torch.zeros(18, 512)),
        r"latent_avg must have shape \(8, 128\)",
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_other_files(tmp_path, case):
    make, match = OTHERS[case]
    saved = make()
    with pytest.raises(ValueError, match=match):
        load(tmp_path, saved)


def test_layers_that_share_their_numbers(tmp_path):
    with pytest.raises(CheckpointError, match="its layers share their numbers"):
        load(tmp_path, checkpoint("BackboneEncoder", light=True))


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_official_encoder(tmp_path / "absent.pt")


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (torch.zeros(1, 6, 64, 64), r"\(N, 3, H, W\)"),
        (torch.zeros(1, 3, 64, 48), "squares in the generator's frame, got 64 x 48"),
        (torch.full((1, 3, 64, 64), 255.0), r"in \[-1, 1\]"),
    ],
)
def test_wrong_photos(loaded, wrong, match):
    with pytest.raises(ValueError, match=match):
        loaded("ResNetBackboneEncoder")(wrong)


def test_the_generator_reads_alone_from_the_same_file(tmp_path):
    found = read_checkpoint(write(tmp_path, checkpoint("BackboneEncoder", light=True)))
    assert found.architecture == GENERATOR
