"""A photo to its mask: with an inverter that knows the latent, the mask must stand where the picture stands."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_photos import Knowing

from stylemixseg.foreground import CornerMinority
from stylemixseg.generators.base import seeded_z
from stylemixseg.generators.toyworld.world import ToyWorld
from stylemixseg.inversion.base import Inverter
from stylemixseg.metrics import confusion
from stylemixseg.photos.alignment import Frame
from stylemixseg.photos.graphcut import graph_cut
from stylemixseg.photos.segmenter import MAX_GUIDE, PhotoSegmenter
from stylemixseg.segmenter import StyleMixSegmenter
from stylemixseg.sharpening import resized_soft, sharpen

SIDE = 64


@pytest.fixture(scope="module")
def segmenter():
    return StyleMixSegmenter(ToyWorld("portrait", resolution=SIDE), n=12, cutoff=6, k=3, rule=CornerMinority())


@pytest.fixture(scope="module")
def ws(segmenter):
    return segmenter.generator.mapping(seeded_z(3, segmenter.generator.z_dim), 0.7)


@pytest.fixture(scope="module")
def known(segmenter, ws):
    """The method on the latent itself; its soft mask decides, as in a photo."""
    found = segmenter(ws)
    assert 0.05 < found.mask.mean() < 0.95
    return found


@pytest.fixture
def inverter(ws):
    return Knowing(ws)


def backdrop(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_an_aligned_photo(inverter, segmenter, known):
    assert isinstance(inverter, Inverter)
    found = PhotoSegmenter(inverter, segmenter)(known.image)
    assert np.array_equal(found.crop, known.image)
    assert torch.equal(inverter.photos, torch.from_numpy(known.image).permute(2, 0, 1)[None].float() / 127.5 - 1)
    assert np.array_equal(found.soft, known.confidence) and found.soft.dtype == np.float32
    assert np.array_equal(found.mask, known.confidence > 0.5) and found.mask.dtype == bool
    assert np.array_equal(found.segmentation.image, known.image)
    assert found.inversion.method == "known"


def test_the_mask_returns_to_a_corner_of_a_larger_photo(inverter, segmenter, known):
    photo = backdrop(90, 150)
    photo[20:84, 80:144] = known.image
    found = PhotoSegmenter(inverter, segmenter)(photo, Frame.from_box((80, 20, 144, 84), (90, 150)))
    assert np.array_equal(found.crop, known.image)
    assert found.soft.shape == found.mask.shape == (90, 150)
    np.testing.assert_allclose(found.soft[20:84, 80:144], known.confidence, atol=1e-5)
    outside = np.ones((90, 150), bool)
    outside[20:84, 80:144] = False
    assert not found.soft[outside].any() and not found.mask[outside].any()
    assert np.array_equal(found.mask, found.soft > 0.5)


def test_a_frame_that_is_turned_by_a_quarter(inverter, segmenter, known):
    photo = backdrop(100, 120)
    photo[10:74, 30:94] = known.image[::-1].transpose(1, 0, 2)  # the picture's right points down
    found = PhotoSegmenter(inverter, segmenter)(photo, Frame((62, 42), (0, 32), (100, 120)))
    assert np.array_equal(found.crop, known.image)
    np.testing.assert_allclose(found.soft[10:74, 30:94], known.confidence[::-1].T, atol=1e-5)
    assert found.soft.sum() == pytest.approx(found.soft[10:74, 30:94].sum())


def test_a_frame_that_is_enlarged_and_turned(inverter, segmenter, known):
    frame = Frame((150, 140), (80, 60), (280, 300))  # 200 px a side
    photo = np.stack([frame.paste(known.image[..., c] / 255) for c in range(3)], -1)
    found = PhotoSegmenter(inverter, segmenter)((photo * 255).round().astype(np.uint8), frame)
    assert found.crop.shape == (200, 200, 3)
    # Each pixel of the photo, turned into the frame by hand, reads the nearest pixel of the known mask.
    y, x = np.mgrid[:280, :300] + 0.5
    u = ((x - 150) * 80 + (y - 140) * 60) / 100**2
    v = ((y - 140) * 80 - (x - 150) * 60) / 100**2
    inside = (abs(u) < 1) & (abs(v) < 1)
    column, row = (np.clip((c + 1) / 2 * SIDE, 0, SIDE - 1).astype(int) for c in (u, v))
    expected = inside & (known.confidence > 0.5)[row, column]
    assert confusion(found.mask, expected).miou > 0.97
    assert not found.soft[~inside].any()


@pytest.mark.parametrize("edges, applied", [("none", None), ("guided", sharpen), ("grabcut", graph_cut)])
def test_the_photos_edges_count_in_the_frame_alone(inverter, segmenter, known, edges, applied):
    if edges == "grabcut":
        pytest.importorskip("cv2", reason="OpenCV is not installed (extra photos)")
    photo = backdrop(90, 150)
    photo[20:84, 80:144] = known.image
    found = PhotoSegmenter(inverter, segmenter, edges=edges)(photo, Frame.from_box((80, 20, 144, 84), (90, 150)))
    expected = applied(known.confidence, known.image) if applied else known.confidence
    np.testing.assert_allclose(found.soft[20:84, 80:144], expected, atol=1e-5)
    assert np.count_nonzero(found.soft) == np.count_nonzero(found.soft[20:84, 80:144])
    assert (applied is not None) == (np.abs(found.soft[20:84, 80:144] - known.confidence).max() > 0.01)


def test_large_frames_are_looked_at_reduced(inverter, segmenter, known):
    factor = 20
    photo = known.image.repeat(factor, 0).repeat(factor, 1)
    assert len(photo) > MAX_GUIDE
    found = PhotoSegmenter(inverter, segmenter)(photo)
    assert found.crop.shape == (MAX_GUIDE, MAX_GUIDE, 3) and found.mask.shape == (1280, 1280)
    assert confusion(found.mask[10::factor, 10::factor], known.confidence > 0.5).miou > 0.99


def test_a_wide_photo_without_a_frame_is_seen_in_the_middle(inverter, segmenter, known):
    photo = backdrop(64, 100)
    photo[:, 18:82] = known.image
    found = PhotoSegmenter(inverter, segmenter)(photo)
    assert found.frame == Frame.whole((64, 100)) and np.array_equal(found.crop, known.image)
    assert not found.mask[:, :18].any() and not found.mask[:, 82:].any()


def test_times(inverter, segmenter, known):
    seconds = PhotoSegmenter(inverter, segmenter)(known.image).seconds
    assert set(seconds) == {"inversion", "summary", "clustering", "back into the photo", "total"}
    assert seconds["inversion"] == 0.5 and all(value > 0 for value in seconds.values())


def test_bad_photos(inverter, segmenter, known):
    segment = PhotoSegmenter(inverter, segmenter)
    with pytest.raises(ValueError, match=r"pixels must be \(H, W, 3\) uint8, got \(64, 64\)"):
        segment(known.image[..., 0])
    with pytest.raises(ValueError, match=r"pixels must be \(H, W, 3\) uint8, got \(5,\)"):
        segment(np.zeros(5))
    with pytest.raises(ValueError, match=r"for a photo of \(height, width\) \(90, 150\), got pixels of \(64, 64\)"):
        segment(known.image, Frame.whole((90, 150)))


def test_a_latent_of_another_generator(segmenter, known):
    with pytest.raises(ValueError, match=r"ws must have shape \(N, 12, 32\)"):
        PhotoSegmenter(Knowing(torch.zeros(1, 16, 512)), segmenter)(known.image)


def test_resizing_a_soft_mask():
    mask = np.random.default_rng(0).random((12, 12)) > 0.5
    assert np.array_equal(resized_soft(mask, 12), mask.astype(np.float32))
    flat = resized_soft(np.full((6, 6), 0.25), 9)
    assert flat.shape == (9, 9) and flat.dtype == np.float32
    np.testing.assert_allclose(flat, 0.25, atol=1e-6)
    halves = np.zeros((8, 8), bool)
    halves[:, :4] = True
    for side in (4, 16):
        found = resized_soft(halves, side)
        assert np.array_equal(found > 0.5, np.arange(side)[None].repeat(side, 0) < side / 2)
        assert found.min() >= 0 and found.max() <= 1
