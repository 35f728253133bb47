"""What an inversion loses: against scikit-image and counts by hand, and the same for each photo on its own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from stylemixseg.inversion.losses import FeatureDistance, shrunk
from stylemixseg.inversion.quality import inversion_quality
from stylemixseg.models.references import CLASS_NAMES, FaceParser


class BandParser(FaceParser):
    """Class by brightness in place of a face: what it says can be counted by hand. Its encoder is the real one."""

    def __call__(self, images, *, flip=False):
        return ((images.mean(1) + 1) * 2).floor().clamp(0, 3).byte()


@pytest.fixture(scope="module")
def parser():
    return BandParser(FaceParser.load().network)


@pytest.fixture(scope="module")
def pair():
    """Two photos of 64 px in vertical bands, and reconstructions that moved by one eighth, with noise."""
    bands = torch.tensor([-0.75, -0.75, -0.25, -0.25, 0.25, 0.25, 0.75, 0.75]).repeat_interleave(8)
    photos = bands.expand(2, 3, 64, 64).clone()
    photos[1] = photos[1].flip(2)
    noise = 0.05 * torch.randn(photos.shape, generator=torch.Generator().manual_seed(0))
    return photos, photos.roll(8, 3) + noise


def test_psnr_is_that_of_scikit_image(pair, parser):
    photos, made = pair
    for photo, other, found in zip(photos, made, inversion_quality(photos, made, parser), strict=True):
        expected = peak_signal_noise_ratio(photo.numpy(), other.clamp(-1, 1).numpy(), data_range=2)
        assert found.psnr == pytest.approx(expected, rel=1e-4)
        assert found.psnr_256 == found.psnr  # the images are smaller than 256 px


def test_larger_images_are_averaged_down(parser):
    photo = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(0)) * 2 - 1
    made = torch.nn.functional.interpolate(photo, scale_factor=2) + 0.1
    (found,) = inversion_quality(photo, made, parser)
    fit = shrunk(made.clamp(-1, 1), 512)
    for side, value in ((512, found.psnr), (256, found.psnr_256)):
        a, b = shrunk(photo, side).numpy(), shrunk(fit, side).numpy()
        assert value == pytest.approx(peak_signal_noise_ratio(a, b, data_range=2), rel=1e-4)
    assert found.psnr != found.psnr_256


def test_masks_and_parts_are_counted(pair, parser):
    photos, _ = pair
    moved = photos.roll(8, 3)
    for found in inversion_quality(photos, moved, parser):
        # Each class has 16 of 64 columns, 8 of them in common: 8 / 24. Background is class 0.
        assert found.parts == {name: pytest.approx(8 / 24) for name in CLASS_NAMES[:4]}
        assert found.foreground.bg_iou == pytest.approx(8 / 24)
        assert found.foreground.fg_iou == pytest.approx(40 / 56)
        assert found.foreground.tp + found.foreground.fn == 48 * 64


def test_a_part_in_one_image_only_has_no_overlap(pair, parser):
    photos, _ = pair
    made = photos.clamp(max=0.3)  # the brightest class is gone, its pixels are of the class below
    found = inversion_quality(photos, made, parser)[0]
    assert found.parts[CLASS_NAMES[3]] == 0 and found.parts[CLASS_NAMES[2]] == pytest.approx(0.5)
    swapped = inversion_quality(made, photos, parser)[0]
    assert swapped.parts[CLASS_NAMES[3]] == 0 and found.foreground.miou == 1


def test_equal_images_lose_nothing(pair, parser):
    photos, made = pair
    (same,) = inversion_quality(photos[:1], photos[:1], parser)
    assert same.psnr == same.psnr_256 == math.inf and same.feature_distance == 0 and same.foreground.miou == 1
    assert set(same.parts.values()) == {1.0}
    (other,) = inversion_quality(photos[:1], made[:1], parser)
    assert other.feature_distance == pytest.approx(FeatureDistance(parser)(made[:1].clamp(-1, 1), photos[:1]).item())


def test_photos_do_not_touch_each_other(pair, parser):
    photos, made = pair
    together = inversion_quality(photos, made, parser)
    alone = inversion_quality(photos[1:], made[1:], parser)[0]
    assert np.isclose(alone.psnr, together[1].psnr) and alone.parts == together[1].parts
    assert together[0].psnr != together[1].psnr


def test_refuses(pair, parser):
    photos, made = pair
    with pytest.raises(ValueError, match="one for each of 2 photos, got \\(1, 3, 64, 64\\)"):
        inversion_quality(photos, made[:1], parser)
    with pytest.raises(ValueError, match="photos must be square"):
        inversion_quality(photos[..., :32], made, parser)
    with pytest.raises(ValueError, match="reconstructions must be square"):
        inversion_quality(photos, made[..., :32], parser)
    with pytest.raises(ValueError, match="must lie in \\[-1, 1\\]"):
        inversion_quality(photos, made * 100, parser)
