"""The preview: exact where features are smooth, close to the image's area average elsewhere, differentiable."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from stylemixseg.generators import mobilestylegan
from stylemixseg.generators.base import seeded_z
from stylemixseg.generators.mobilestylegan import MobileStyleGAN, inverse_haar
from stylemixseg.generators.openvino.engine import OpenVINOGenerator
from stylemixseg.inversion import preview
from stylemixseg.inversion.losses import shrunk
from stylemixseg.inversion.preview import Preview, collapsed_kernel


@pytest.fixture(scope="module")
def deeper() -> MobileStyleGAN:
    """One block more than `tiny`, 64 px: at 8 px its last two blocks are collapsed, by 2 and by 4."""
    generator = MobileStyleGAN((16, 16, 16, 8), w_dim=8, name="deeper", digest="d" * 64)
    random = torch.Generator().manual_seed(4)
    for value in generator.state_dict().values():
        value.copy_(torch.randn(value.shape, generator=random) / (value[0].numel() if value.ndim > 1 else 4) ** 0.5)
    return generator.eval().requires_grad_(False)


def latents(generator) -> torch.Tensor:
    """Two latents, all layers different: crossing two samples would leave equal layers side by side."""
    return torch.randn(2, generator.num_ws, generator.w_dim, generator=torch.Generator().manual_seed(1))


def difference(shown: torch.Tensor, average: torch.Tensor) -> float:
    """Root mean square difference, as a share of the images' spread."""
    return ((shown - average).square().mean().sqrt() / average.std()).item()


def smooth(generator: MobileStyleGAN, kept: int) -> MobileStyleGAN:
    """A copy whose blocks from `kept` on neither add detail nor look at neighbours: what is collapsed loses nothing."""
    changed = copy.deepcopy(generator)
    for block in changed.blocks[kept:]:
        _no_detail(block.up)
        for conv in (block.conv1, block.conv2):
            conv.depthwise[:] = 0
            conv.depthwise[:, :, 1, 1] = torch.linspace(0.5, 1.5, len(conv.depthwise))[:, None]
            conv.noise[:] = 0.7  # the same everywhere
    changed.to_img.weight[3:] = 0
    changed.to_img.bias[3:] = 0
    return changed


def _no_detail(affine) -> None:
    """Scales of 0 for lh, hl and hh."""
    channels = len(affine.bias) // 4
    affine.weight[channels:] = 0
    affine.bias[channels:] = 0


@pytest.mark.parametrize("resolution, kept", [(8, 1), (16, 2)])
def test_is_the_area_average_where_features_are_smooth(deeper, resolution, kept):
    generator = smooth(deeper, kept)
    ws = latents(generator)
    image = generator.synthesis(ws)
    assert image.shape == (2, 3, 64, 64)
    assert difference(Preview(generator, resolution).synthesis(ws), F.avg_pool2d(image, 64 // resolution)) < 1e-5


def test_is_the_area_average_at_half_the_size(deeper):
    ws = latents(deeper)  # no layer is collapsed, only the last detail is left out
    assert difference(Preview(deeper, 32).synthesis(ws), F.avg_pool2d(deeper.synthesis(ws), 2)) < 1e-5


@pytest.mark.parametrize("resolution", [8, 16])
def test_is_near_the_area_average_elsewhere(deeper, resolution):
    ws = latents(deeper)
    average = F.avg_pool2d(deeper.synthesis(ws), 64 // resolution)
    assert 0.001 < difference(Preview(deeper, resolution).synthesis(ws), average) < 0.3


@pytest.fixture
def linear(monkeypatch):
    """Leaky ReLUs that leak everything: what remains is linear, and its average is exact."""
    for module in (mobilestylegan, preview):
        monkeypatch.setattr(module, "LEAK", 1.0)


@pytest.mark.parametrize("block", [1, 2])
def test_filters_are_collapsed_by_their_blocks_factor(deeper, linear, block):
    generator = smooth(deeper, kept=1)
    kernels = generator.blocks[block].conv1.depthwise
    kernels[:] = torch.randn(kernels.shape, generator=torch.Generator().manual_seed(0))
    ws = latents(generator)
    average = F.avg_pool2d(generator.synthesis(ws), 8)
    assert difference(Preview(generator, 8).synthesis(ws), average) < 1e-5
    assert difference(Preview(smooth(deeper, kept=1), 8).synthesis(ws), average) > 0.01


def test_noise_is_averaged_and_biases_are_added(deeper, linear):
    ws, generator = latents(deeper), smooth(deeper, kept=1)
    last = generator.blocks[-1].conv2
    last.bias += torch.linspace(-1, 1, last.bias.shape[1])[:, None, None]
    last.noise[:] = torch.randn(last.noise.shape, generator=torch.Generator().manual_seed(0))
    average = F.avg_pool2d(generator.synthesis(ws), 8)
    assert difference(Preview(generator, 8).synthesis(ws), average) < 1e-5
    assert difference(Preview(smooth(deeper, kept=1), 8).synthesis(ws), average) > 0.01


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_collapsed_kernel_by_brute_force(factor):
    random = torch.Generator().manual_seed(factor)
    kernel = torch.randn(5, 1, 3, 3, generator=random, dtype=torch.float64)
    x = torch.randn(2, 5, 6, 7, generator=random, dtype=torch.float64)
    large = F.interpolate(x, scale_factor=factor, mode="nearest")
    expected = F.avg_pool2d(F.conv2d(large, kernel, padding=1, groups=5), factor)
    found = F.conv2d(x, collapsed_kernel(kernel, factor), padding=1, groups=5)
    torch.testing.assert_close(found, expected)  # at the border too: zeros stand outside in both
    assert not torch.allclose(F.conv2d(x, kernel, padding=1, groups=5), expected, atol=0.1)


def test_the_low_band_is_the_average_of_an_inverse_haar_transform():
    x = torch.randn(1, 8, 5, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(F.avg_pool2d(inverse_haar(x), 2), x[:, :2] / 2)


def test_is_differentiable_and_reads_every_layer(deeper):
    ws = latents(deeper).requires_grad_()
    Preview(deeper, 8).synthesis(ws).square().mean().backward()
    assert (ws.grad.abs().amax(2) > 0).all()  # (N, num_ws)
    step = 1e-2 * ws.grad / ws.grad.norm()
    with torch.no_grad():
        before, after = (Preview(deeper, 8).synthesis(w).square().mean() for w in (ws, ws + step))
    assert (after - before).item() == pytest.approx(1e-2 * ws.grad.norm().item(), rel=0.05)


def test_shares_the_generators_weights_and_leaves_them(deeper):
    generator = copy.deepcopy(deeper)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    shown = Preview(generator, 8)
    shown.synthesis(latents(generator))
    assert shown.generator is generator
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())
    ours = {id(parameter) for parameter in generator.parameters()}
    assert all(id(conv.weight) in ours for _, convs in shown._blocks for conv, *_ in convs)


def test_a_digest_tells_previews_apart(deeper):
    assert Preview(deeper, 8).digest == Preview(deeper, 8).digest != Preview(deeper, 16).digest
    other = copy.deepcopy(deeper)
    other.digest = "1" * 64
    assert Preview(other, 8).digest != Preview(deeper, 8).digest


@pytest.mark.parametrize(
    "resolution, error, words",
    [
        (4, ValueError, r"resolution must be in 8\.\.16, got 4"),
        (32, ValueError, r"resolution must be in 8\.\.16, got 32"),
        (12, ValueError, "resolution must be a power of two, got 12"),
        (16.0, TypeError, "resolution must be a whole number, got 16.0"),
    ],
)
def test_no_such_resolution(tiny, resolution, error, words):
    with pytest.raises(error, match=words):
        Preview(tiny, resolution)


def test_another_kind_of_generator(tiny, stylegan):
    with pytest.raises(TypeError, match="must be a MobileStyleGAN in PyTorch, .* got stylegan as StyleGAN2"):
        Preview(stylegan, 16)
    with pytest.raises(TypeError, match="engine='torch'.*OpenVINOGenerator"):
        Preview(OpenVINOGenerator(tiny), 16)


def test_latents_are_checked(tiny):
    with pytest.raises(ValueError, match=r"ws must have shape \(N, 6, 8\)"):
        Preview(tiny, 16).synthesis(torch.zeros(1, 5, 8))


def test_on_the_face_generator(real_faces):
    small = Preview(real_faces)
    assert small.resolution == 128
    with torch.no_grad():
        for seed in (0, 1):
            ws = real_faces.mapping(seeded_z(seed, 512), 0.7)
            image = shrunk(real_faces.synthesis(ws).clamp(-1, 1), 128)
            error = (small.synthesis(ws).clamp(-1, 1) - image).square().mean()
            assert 10 * torch.log10(4 / error) > 25  # dB
