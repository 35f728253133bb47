"""The encoder: where it starts, how refinements add up, what it looks at, which weights it accepts."""

from __future__ import annotations

import copy
import hashlib
import json
import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from stylemixseg.generators.base import seeded_z
from stylemixseg.generators.mobilestylegan import MobileStyleGAN
from stylemixseg.inversion import encoder as encoder_module
from stylemixseg.inversion.base import Inverter
from stylemixseg.inversion.encoder import Encoder, EncoderNet, refine, shrink
from stylemixseg.inversion.preview import Preview

REAL = pytest.mark.skipif(
    not encoder_module.WEIGHTS_FILE.exists(),
    reason=f"{encoder_module.WEIGHTS_FILE.name} has not been trained yet: data_scripts/train_encoder.py makes it",
)


@pytest.fixture(scope="module")
def generator(small) -> MobileStyleGAN:
    return small


@pytest.fixture(scope="module")
def network(generator) -> EncoderNet:
    torch.manual_seed(0)
    network = EncoderNet(generator.num_ws, generator.w_dim)
    network.w_std[:] = torch.linspace(0.5, 2, generator.w_dim)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def photos() -> torch.Tensor:
    return torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(1)) * 2 - 1


class Recording(nn.Module):
    """In place of the network: notes what it is shown, answers with a constant step."""

    def __init__(self, step: torch.Tensor):
        super().__init__()
        self.step, self.shown = step, []

    def forward(self, x):
        self.shown.append(x)
        return self.step.expand(len(x), -1, -1)


def psnr(images: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return 10 * torch.log10(4 / (images - target).square().mean((1, 2, 3)))


def save(path, network: EncoderNet, generator, **changes) -> None:
    """Weights as the training script stores them."""
    save_file({name: value.half() for name, value in network.state_dict().items() if value.is_floating_point()}, path)
    record = {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "generator": {"name": generator.name, "sha256": generator.digest},
    }
    path.with_suffix(".json").write_text(json.dumps(record | changes))


def test_the_network_gives_one_step_a_layer_in_units_of_the_spread(generator, network, photos):
    x = torch.cat([photos, photos.flip(3)], 1)
    step = network(x)
    assert step.shape == (2, generator.num_ws, generator.w_dim) and step.dtype == torch.float32
    assert not torch.allclose(step[0], step[1])
    wider = copy.deepcopy(network)
    wider.w_std *= 3
    torch.testing.assert_close(wider(x), 3 * step)
    assert 10e6 < sum(parameter.numel() for parameter in EncoderNet().parameters()) < 12.5e6  # 25 MB in fp16


def test_without_an_opinion_it_stays_at_the_average(generator, network, photos):
    silent = copy.deepcopy(network)
    for head in silent.heads:
        head.weight[:] = head.bias[:] = 0
    found = Encoder(silent, Preview(generator), refinements=2)(photos)
    assert len(found.steps) == 3
    for ws in found.steps:
        assert torch.equal(ws, generator.w_avg.expand(2, generator.num_ws, -1))


def test_refinements_add_up(generator, network, photos):
    constant = copy.deepcopy(network)
    for i, head in enumerate(constant.heads):
        head.weight[:] = 0
        head.bias[:] = 0.01 * i
    found = Encoder(constant, Preview(generator), refinements=3)(photos[:1])
    step = 0.01 * torch.arange(generator.num_ws)[:, None] * constant.w_std  # (num_ws, w_dim)
    for count, ws in enumerate(found.steps):
        torch.testing.assert_close(ws[0], generator.w_avg + count * step)


def test_each_refinement_sees_the_photo_and_the_current_reconstruction(generator, photos):
    preview = Preview(generator)
    recording = Recording(torch.full((1, generator.num_ws, generator.w_dim), 0.1))
    found = Encoder(recording, preview, refinements=2)(photos[:1])
    assert len(recording.shown) == 2
    for x, ws in zip(recording.shown, found.steps):
        assert torch.equal(x, torch.cat([photos[:1], preview.synthesis(ws)], 1))
    assert not torch.equal(*recording.shown)
    torch.testing.assert_close(refine(recording, preview, photos[:1], found.steps[0]), found.steps[1])


def test_what_comes_out(generator, network, photos):
    encoder = Encoder(network, Preview(generator), refinements=2)
    assert isinstance(encoder, Inverter)
    found = encoder(photos)
    assert found.ws.shape == (2, generator.num_ws, generator.w_dim) and found.ws is found.steps[-1]
    assert found.method == "encoder, 2 refinements" and found.seconds > 0
    assert not found.ws.requires_grad
    torch.testing.assert_close(encoder(photos[1:]).ws, found.ws[1:], atol=1e-5, rtol=1e-4)  # whoever stands beside it
    one = Encoder(network, Preview(generator), refinements=1)(photos[:1])
    assert one.method == "encoder, 1 refinement" and len(one.steps) == 2


def test_photos_of_any_size(generator, photos):
    recording = Recording(torch.zeros(1, generator.num_ws, generator.w_dim))
    encoder = Encoder(recording, Preview(generator), refinements=1)
    large = photos[:1].repeat_interleave(3, 2).repeat_interleave(3, 3)  # 384 px
    for given in (photos[:1], large, large.double()):
        encoder(given)
        torch.testing.assert_close(recording.shown[-1][:, :3], photos[:1])
    encoder(photos[:1, :, :50, :50])
    assert recording.shown[-1].shape == (1, 6, 128, 128) and recording.shown[-1].dtype == torch.float32


def test_shrink_by_hand():
    image = torch.rand(1, 2, 12, 12, generator=torch.Generator().manual_seed(0))
    expected = image.numpy().reshape(1, 2, 4, 3, 4, 3).mean((3, 5))
    np.testing.assert_allclose(shrink(image, 4), expected, rtol=1e-5)
    assert torch.equal(shrink(image, 12), image)
    ramp = torch.arange(4.0).expand(1, 1, 4, 4)
    enlarged = shrink(ramp, 8)[0, 0, 3]
    assert enlarged.tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]


@pytest.mark.parametrize(
    "given, error, words",
    [
        (torch.zeros(1, 3, 64, 48), ValueError, r"must be square, .* got \(1, 3, 64, 48\)"),
        (torch.zeros(3, 64, 64), ValueError, r"\(N, 3, H, W\), got \(3, 64, 64\)"),
        (torch.full((1, 3, 8, 8), 255.0), ValueError, r"must lie in \[-1, 1\], got values up to 255"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), TypeError, "torch.uint8"),
    ],
)
def test_bad_photos(generator, network, given, error, words):
    with pytest.raises(error, match=words):
        Encoder(network, Preview(generator))(given)


def test_at_least_one_refinement(generator, network):
    with pytest.raises(ValueError, match="refinements must be at least 1, got 0"):
        Encoder(network, Preview(generator), refinements=0)


def test_stored_in_half_precision_and_read_again(generator, network, photos, tmp_path):
    path = tmp_path / "encoder.safetensors"
    save(path, network, generator)
    loaded = Encoder.load(generator, refinements=2, weights=path)
    state = loaded.network.state_dict()
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            assert state[name].dtype == torch.float32 and torch.equal(state[name], value.half().float())
    found, expected = loaded(photos[:1]), Encoder(network, Preview(generator), refinements=2)(photos[:1])
    moved = (expected.ws - generator.w_avg).abs().mean()
    assert moved > 0.01 and (found.ws - expected.ws).abs().mean() < 0.02 * moved


def test_weights_that_do_not_belong(generator, network, tmp_path):
    path = tmp_path / "encoder.safetensors"
    with pytest.raises(FileNotFoundError, match=r"encoder\.safetensors; data_scripts/train_encoder\.py makes them"):
        Encoder.load(generator, weights=path)
    save(path, network, generator)
    other = copy.deepcopy(generator)
    other.name, other.digest = "other", "6" * 64
    with pytest.raises(ValueError, match=r"for the generator small \(5{12}\.\.\.\), got other \(6{12}\.\.\.\)"):
        Encoder.load(other, weights=path)
    with open(path, "r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    with pytest.raises(ValueError, match="has SHA-256 .* the file is damaged or was changed; install"):
        Encoder.load(generator, weights=path)
    path.with_suffix(".json").unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(path.with_suffix(".json").name)):
        Encoder.load(generator, weights=path)


def test_another_kind_of_generator(stylegan):
    with pytest.raises(TypeError, match="must be a MobileStyleGAN"):
        Encoder.load(stylegan)


@REAL
def test_the_shipped_file_is_small_and_says_what_it_is():
    assert encoder_module.WEIGHTS_FILE.stat().st_size <= 25_000_000
    record = json.loads(encoder_module.WEIGHTS_FILE.with_suffix(".json").read_text())
    assert record["generator"]["name"] == "faces" and record["pairs"] > 0 and record["photos"] == 700


@REAL
def test_synthetic_faces_are_recognised(real_faces):
    encoder = Encoder.load(real_faces)
    with torch.no_grad():
        target = torch.cat([encoder.preview.synthesis(real_faces.mapping(seeded_z(seed, 512), 0.7)) for seed in (0, 1)])
        found = encoder(target.clamp(-1, 1))
        start, end = (torch.cat([encoder.preview.synthesis(w[None]) for w in ws]) for ws in (found.steps[0], found.ws))
    gain = psnr(end, target) - psnr(start, target)
    assert gain.mean() > 4 and gain.min() > 2  # dB over the average face
