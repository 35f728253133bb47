"""Sharpening: the boundary goes to the photo's edge, a flat photo only blurs, sizes and ranges hold."""

import numpy as np
import pytest
from scipy import ndimage

from stylemixseg import sharpening
from stylemixseg.metrics import confusion
from stylemixseg.sharpening import sharpen, sharpen_mask


def two_halves(side=64, edge=32, left=(200, 60, 40), right=(40, 60, 200)):
    """A photo (side, side, 3) of two colours that meet at column `edge`."""
    photo = np.empty((side, side, 3), np.uint8)
    photo[:, :edge], photo[:, edge:] = left, right
    return photo


def blurred_step(side=64, edge=28.0, width=3.0):
    """A soft mask (side, side), 1 on the left, that falls through 0.5 at column `edge`."""
    columns = np.arange(side) + 0.5
    return np.tile(1 / (1 + np.exp((columns - edge) / width)), (side, 1)).astype(np.float32)


def guided_filter(soft, photo, radius, eps):
    """The paper's colour filter in float64, one 3 x 3 system a pixel, SciPy's window means."""

    def mean(values):
        return ndimage.uniform_filter(values, (2 * radius + 1, 2 * radius + 1, *[1] * (values.ndim - 2)), mode="mirror")

    guide, p = photo / 255.0, soft.astype(np.float64)
    mu, p_mean = mean(guide), mean(p)
    covariance = mean(guide[..., :, None] * guide[..., None, :]) - mu[..., :, None] * mu[..., None, :]
    shared = mean(guide * p[..., None]) - mu * p_mean[..., None]
    a = np.linalg.solve(covariance + eps * np.eye(3), shared[..., None])[..., 0]
    b = p_mean - (a * mu).sum(-1)
    return np.clip((mean(a) * guide).sum(-1) + mean(b), 0, 1)


def test_is_the_papers_filter():
    rng = np.random.default_rng(0)
    photo = ndimage.gaussian_filter(rng.uniform(0, 255, (40, 56, 3)), (2, 2, 0)).astype(np.uint8)
    soft = ndimage.gaussian_filter((rng.uniform(size=(40, 56)) > 0.5).astype(np.float64), 1.5)
    found = sharpen(soft, photo, radius=0.1, eps=1e-3)  # 4 of 40 pixels
    assert found.dtype == np.float32 and found.shape == (40, 56)
    np.testing.assert_allclose(found, guided_filter(soft, photo, 4, 1e-3), atol=1e-4)


def test_a_blurred_mask_goes_to_the_photos_edge():
    photo, soft = two_halves(edge=32), blurred_step(edge=28)
    truth = np.zeros((64, 64), bool)
    truth[:, :32] = True
    before = confusion(soft > 0.5, truth)
    mask = sharpen_mask(soft, photo, radius=1 / 8)
    assert before.fn == 4 * 64  # four columns short
    np.testing.assert_array_equal(mask, truth)
    rise = np.abs(np.diff(sharpen(soft, photo, radius=1 / 8), axis=1)).max(0)
    assert rise.argmax() == 31 and rise[31] > 3 * np.abs(np.diff(soft, axis=1)).max()


def test_colours_of_one_brightness_guide_too():
    red, green = (200, 60, 60), (60, 200, 60)
    mask = sharpen_mask(blurred_step(edge=28), two_halves(left=red, right=green), radius=1 / 8)
    assert (mask == (np.arange(64) < 32)).all()


def test_a_flat_photo_only_blurs():
    soft = (np.random.default_rng(1).uniform(size=(48, 48)) > 0.5).astype(np.float32)
    found = sharpen(soft, np.full((48, 48, 3), 90, np.uint8), radius=1 / 16)
    once = ndimage.uniform_filter(soft.astype(np.float64), 7, mode="mirror")
    np.testing.assert_allclose(found, ndimage.uniform_filter(once, 7, mode="mirror"), atol=1e-3)


def test_eps_decides_what_counts_as_an_edge():
    faint = two_halves(left=(100, 100, 100), right=(104, 104, 104))  # variance about 6e-5 in the window on the edge
    soft = blurred_step(edge=28)
    assert sharpen_mask(soft, faint, radius=1 / 8, eps=1e-7)[:, 31].all()
    assert not sharpen_mask(soft, faint, radius=1 / 8, eps=1e-1)[:, 31].any()


def test_stays_in_range():
    rng = np.random.default_rng(2)
    photo = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    photo[20:40, 20:40] = 255  # beyond the colours that the windows around it fit
    soft = np.zeros((64, 64), np.float32)
    soft[10:50, 10:30] = 1
    sharp = sharpen(soft, photo, radius=1 / 16, eps=1e-6)
    assert sharp.min() >= 0 and sharp.max() <= 1 and sharp.max() - sharp.min() > 0.9


@pytest.mark.parametrize("value", [False, True])
def test_a_full_or_empty_mask_stays(value):
    photo = np.random.default_rng(3).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert (sharpen_mask(np.full((32, 32), value), photo) == value).all()


def test_the_same_at_another_resolution():
    small = sharpen(blurred_step(64, 28, 3), two_halves(64, 32), radius=1 / 8)
    large = sharpen(blurred_step(256, 112, 12), two_halves(256, 128), radius=1 / 8)
    assert large[:, 127].min() > 0.5 > large[:, 128].max()  # both at the photo's edge
    assert small[:, 31].min() > 0.5 > small[:, 32].max()
    np.testing.assert_allclose(large.reshape(64, 4, 64, 4).mean((1, 3)), small, atol=0.03)


@pytest.mark.parametrize("height, width", [(64, 64), (65, 71), (66, 129)])
def test_large_windows_are_subsampled(monkeypatch, height, width):
    """On every second pixel: close to the exact filter at any size, and the boundary stays."""
    photo = np.tile(two_halves(width, 32)[:1], (height, 1, 1))
    soft = np.tile(blurred_step(width, 28)[:1], (height, 1))
    exact = sharpen(soft, photo, radius=1 / 8)
    monkeypatch.setattr(sharpening, "FINE_RADIUS", 4)  # the window's radius is 8 px
    fast = sharpen(soft, photo, radius=1 / 8)
    assert fast.shape == (height, width)
    assert 0 < np.abs(fast - exact).max() < 0.05
    np.testing.assert_array_equal(fast > 0.5, exact > 0.5)


@pytest.mark.parametrize(
    "soft, photo, settings, error, message",
    [
        (np.zeros((4, 4), np.uint8), None, {}, TypeError, "soft must be bool or float in 0..1, got uint8"),
        (np.zeros((4, 4, 1)), None, {}, ValueError, r"soft must have shape \(H, W\)"),
        (np.full((4, 4), 255.0), None, {}, ValueError, "soft must lie in 0..1, got 255..255"),
        (np.full((4, 4), np.nan), None, {}, ValueError, "soft must lie in 0..1, got nan"),
        (np.zeros((4, 5)), None, {}, ValueError, r"soft must have the photo's size \(4, 4\), got \(4, 5\)"),
        (np.zeros((4, 4)), np.zeros((4, 4, 3)), {}, ValueError, "photo must be .* uint8, got .* float64"),
        (np.zeros((1, 9)), np.zeros((1, 9, 3), np.uint8), {}, ValueError, "sides of at least 2 pixels"),
        (np.zeros((4, 4)), None, {"radius": 4}, ValueError, "radius must be in 0..0.25, got 4"),
        (np.zeros((4, 4)), None, {"eps": 0}, ValueError, "eps must be in 1e-08..1, got 0"),
    ],
)
def test_bad_input(soft, photo, settings, error, message):
    photo = np.zeros((4, 4, 3), np.uint8) if photo is None else photo
    with pytest.raises(error, match=message):
        sharpen(soft, photo, **settings)


def test_the_smallest_photo():
    assert sharpen(np.eye(2), np.zeros((2, 2, 3), np.uint8)).shape == (2, 2)
