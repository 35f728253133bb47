"""GrabCut from the method's mask: the outline goes to where the photo's colours change."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from stylemixseg.metrics import confusion
from stylemixseg.photos.graphcut import graph_cut

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed (extra photos)")


def scene(side: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """A reddish disc with noise before a bluish ground with noise, (side, side, 3) uint8, and where the disc is."""
    y, x = np.mgrid[:side, :side] / side
    inside = (y - 0.55) ** 2 + (x - 0.5) ** 2 < 0.3**2
    rng = np.random.default_rng(0)
    colors = np.where(inside[..., None], (190, 90, 80), (60, 90, 160)) + rng.normal(0, 12, (side, side, 3))
    return colors.clip(0, 255).astype(np.uint8), inside


@pytest.mark.parametrize("side", [256, 512, 100])
def test_a_displaced_mask_returns_to_the_object(side):
    photo, inside = scene(side)
    moved = np.roll(inside, side // 12, axis=1)
    before = confusion(moved, inside).miou
    after = confusion(graph_cut(moved, photo) > 0.5, inside).miou
    assert before < 0.85 and after > 0.97


def test_a_soft_mask_counts_from_one_half():
    photo, inside = scene()
    soft = np.where(np.roll(inside, 16, axis=0), 0.6, 0.45).astype(np.float32)
    found = graph_cut(soft, photo)
    assert found.dtype == np.float32 and found.min() >= 0 and found.max() <= 1
    assert confusion(found > 0.5, inside).miou > 0.97


def test_the_same_each_time_and_the_photo_stays_as_it_is():
    photo, inside = scene()
    kept, moved = photo.copy(), np.roll(inside, 16, axis=1)
    assert np.array_equal(graph_cut(moved, photo), graph_cut(moved, photo)) and np.array_equal(photo, kept)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_mask_of_one_side_stays(value):
    photo, _ = scene()
    assert (graph_cut(np.full(photo.shape[:2], value, np.float32), photo) == value).all()


@pytest.mark.parametrize(
    ("soft", "photo", "message"),
    [
        (np.zeros((8, 8)), np.zeros((9, 9, 3), np.uint8), "of one size"),
        (np.zeros((8, 9)), np.zeros((8, 9, 3), np.uint8), "square"),
    ],
)
def test_what_does_not_fit_is_refused(soft, photo, message):
    with pytest.raises(ValueError, match=message):
        graph_cut(soft, photo)


def test_iterations_are_checked():
    photo, inside = scene()
    with pytest.raises(ValueError, match="iterations must be at least 1, got 0"):
        graph_cut(inside, photo, iterations=0)


def test_without_opencv_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    photo, inside = scene()
    with pytest.raises(ModuleNotFoundError, match=r"stylemixseg\[photos\]"):
        graph_cut(inside, photo)
