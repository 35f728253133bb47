"""The losses of an inversion: against independent computation, per photo, differentiable, and what they refuse."""

from __future__ import annotations

import hashlib
import sys
import types

import numpy as np
import pytest
import torch
from skimage.measure import block_reduce

from stylemixseg.generators.base import seeded_z
from stylemixseg.inversion import losses
from stylemixseg.inversion.losses import (
    FeatureDistance,
    latent_spread,
    lpips_distance,
    multi_scale_loss,
    noise_correlation,
    shrunk,
)


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 4 - 2


@pytest.fixture(scope="module")
def distance():
    return FeatureDistance()


def test_multi_scale_loss_is_the_mean_over_an_area_pyramid(images):
    """Written out in numpy; -2..2 reaches both branches of smooth L1. A side above the images' is left out."""
    a, b = images.numpy()[:1], images.numpy()[1:]
    expected = []
    for factor in (2, 8):
        d = np.abs(block_reduce(a - b, (1, 1, factor, factor), np.mean))
        expected.append(np.where(d < 1, d * d / 2, d - 0.5).mean())
    found = multi_scale_loss(images[:1], images[1:], (128, 32, 8))
    assert found.shape == (1,) and found.item() == pytest.approx(np.mean(expected), rel=1e-5)


def test_multi_scale_loss_takes_images_of_unequal_size(images):
    small = shrunk(images, 16)
    assert torch.equal(multi_scale_loss(images, small, (32, 16)), multi_scale_loss(small, small, (16,)))
    with pytest.raises(ValueError, match="at most 16 px"):
        multi_scale_loss(images, small, (32, 64))


def test_shrunk_averages_and_never_enlarges(images):
    np.testing.assert_allclose(shrunk(images, 16), block_reduce(images.numpy(), (1, 1, 4, 4), np.mean), atol=1e-6)
    assert shrunk(images, 65) is images


def test_photos_of_a_batch_do_not_touch(images, distance):
    for loss in (lambda a, b: multi_scale_loss(a, b, (64, 8)), distance):
        together = loss(images, images.flip(0))
        alone = torch.cat([loss(images[i : i + 1], images.flip(0)[i : i + 1]) for i in range(2)])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-6)


def test_feature_distance_is_lpips_in_form(images, distance):
    """Equation 1 of Zhang et al., pixel by pixel, on features that hooks took from the network."""
    taken = {}
    hooks = [
        distance.network.features[i].register_forward_hook(lambda _, __, out, i=i: taken.setdefault(i, []).append(out))
        for i in distance.LAYERS
    ]
    found = distance(images[:1], images[1:]).item()
    for hook in hooks:
        hook.remove()
    expected = 0.0
    for outputs in taken.values():
        # a later in-place activation does not reach these: they are outputs of linear layers
        (a, b) = (out.detach().double().numpy()[0] for out in outputs)
        a, b = (x / np.linalg.norm(x, axis=0) for x in (a, b))
        expected += ((a - b) ** 2).sum(0).mean()
    assert len(taken) == len(distance.LAYERS)
    assert found == pytest.approx(expected, rel=1e-3)


def test_feature_distance_falls_along_its_gradient(images, distance):
    moving = images[:1].clamp(-1, 1).requires_grad_()
    before = distance(moving, images[1:])
    (gradient,) = torch.autograd.grad(before, moving)
    after = distance(moving - 0.01 * gradient / gradient.abs().max(), images[1:])
    assert after.item() < before.item()
    assert distance(images, images).abs().max() == 0
    assert all(parameter.grad is None for parameter in distance.network.parameters())


def test_latent_spread_measures_the_generators_own_latents(stylegan):
    spread = latent_spread(stylegan, samples=4000, seed=1)
    own = stylegan.mapping(seeded_z(range(500), stylegan.z_dim))
    centred = stylegan.w_avg.expand(1, stylegan.num_ws, -1)
    # Mahalanobis distance by solving with the covariance of the samples, another way than by eigenvectors.
    z = torch.from_numpy(np.random.RandomState(1).randn(4000, stylegan.z_dim)).float()
    samples = (stylegan.mapping(z)[:, 0] - stylegan.w_avg).double().numpy()
    covariance = samples.T @ samples / len(samples)
    offset = (own[0, 0] - stylegan.w_avg).double().numpy()
    assert spread.distance(own[:1]).item() == pytest.approx(
        offset @ np.linalg.solve(covariance, offset) / len(offset), rel=1e-3
    )
    assert spread.distance(own).mean().item() == pytest.approx(1, abs=0.15)
    assert spread.distance(centred).item() == 0
    halfway = centred + 0.5 * (own - centred)
    torch.testing.assert_close(spread.distance(halfway), spread.distance(own) / 4)


def test_spread_between_layers(stylegan):
    spread = latent_spread(stylegan, samples=100)
    own = stylegan.mapping(seeded_z([0, 1], stylegan.z_dim))
    assert spread.between_layers(own).abs().max() < 1e-9
    mixed = own[:1].clone()
    mixed[:, ::2] = own[1:, ::2]  # half of the layers from another latent: each lies half the way from the mean
    half = ((own[:1] - own[1:]) / 2) @ spread.whitening
    assert spread.between_layers(mixed).item() == pytest.approx(half.square().mean().item(), rel=1e-4)


def test_latent_spread_is_seeded_and_needs_samples(stylegan):
    a, b, c = (latent_spread(stylegan, samples=100, seed=seed).whitening for seed in (3, 3, 4))
    assert torch.equal(a, b) and not torch.allclose(a, c)
    with pytest.raises(ValueError, match="samples must be at least 16"):
        latent_spread(stylegan, samples=15)


def test_noise_correlation_tells_white_noise_from_smooth():
    white = np.random.RandomState(0).randn(32, 32)
    expected, level = 0.0, white
    for _ in range(3):  # 32, 16 and 8 px
        for axis in (0, 1):
            expected += (level * np.roll(level, 1, axis)).mean() ** 2
        level = block_reduce(level, (2, 2), np.mean) * 2
    found = noise_correlation([torch.from_numpy(white)]).item()
    assert found == pytest.approx(expected)
    smooth = torch.from_numpy(white + np.roll(white, 1, 0) + np.roll(white, 1, 1))
    assert noise_correlation([smooth / smooth.square().mean().sqrt()]).item() > 10 * found


class FakeLPIPS(torch.nn.Module):
    def __init__(self, net, verbose):
        super().__init__()
        self.net = net

    def forward(self, a, b):
        return (a - b).square().mean((1, 2, 3), keepdim=True)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub folder and a module `lpips` that stand in for the real ones; the weights' name ends in their hash."""
    monkeypatch.setitem(sys.modules, "lpips", types.SimpleNamespace(LPIPS=FakeLPIPS))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def test_lpips_is_used_where_it_is(hub, images, monkeypatch):
    weights = b"weights"
    name = f"net-{hashlib.sha256(weights).hexdigest()[:8]}.pth"
    monkeypatch.setitem(losses._BACKBONES, "alex", name)
    (hub / name).write_bytes(weights)
    found = lpips_distance("alex")(images, images.flip(0))
    torch.testing.assert_close(found, (images - images.flip(0)).square().mean((1, 2, 3)))
    (hub / name).write_bytes(b"other")
    with pytest.raises(ValueError, match="not the one in its name"):
        lpips_distance("alex")


def test_lpips_says_what_is_missing(hub, monkeypatch):
    with pytest.raises(FileNotFoundError, match="alexnet-owt-7be5be79.pth"):
        lpips_distance()
    with pytest.raises(ValueError, match="net must be one of"):
        lpips_distance("squeeze")
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(ModuleNotFoundError, match="pip install lpips"):
        lpips_distance()
