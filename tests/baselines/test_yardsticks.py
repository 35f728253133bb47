"""Yardsticks: colours of one image, a box, and one mask for all."""

from __future__ import annotations

import numpy as np
import pytest

from stylemixseg.baselines.yardsticks import colour_clusters, grabcut_box, mean_mask, prior_mask
from stylemixseg.foreground import Saliency, apply_rule


def square(side: int) -> tuple[np.ndarray, np.ndarray]:
    """An image of a red square before a blue ground with noise, and where it is."""
    known = np.zeros((side, side), bool)
    known[side // 3 :, side // 4 : -side // 4] = True
    noise = np.random.default_rng(0).integers(-12, 13, (side, side, 3))
    return (np.where(known[..., None], [190, 60, 50], [50, 70, 180]) + noise).astype(np.uint8), known


def test_colours_alone_part_a_square_from_its_ground():
    image, known = square(64)
    labels = colour_clusters(image, 2).labels
    assert max((labels == label)[known].mean() - (labels == label)[~known].mean() for label in (0, 1)) > 0.99
    with pytest.raises(ValueError, match="image"):
        colour_clusters(image[..., 0], 2)


@pytest.mark.parametrize("side", [96, 512])
def test_grabcut_from_a_box_in_the_middle(side):
    pytest.importorskip("cv2")
    image, known = square(side)
    found = grabcut_box(image)
    step = side // len(found)
    assert found.shape == (min(side, 256),) * 2
    assert (found == known[::step, ::step]).mean() > 0.97
    with pytest.raises(ValueError, match="square, its side at most 256 or a multiple"):
        grabcut_box(np.zeros((300, 300, 3), np.uint8))
    with pytest.raises(ValueError, match="share"):
        grabcut_box(image, 2.0)


def test_one_mask_for_all():
    masks = [np.array([[1, 1], [0, 0]], bool), np.array([[1, 0], [0, 0]], bool), np.array([[1, 0], [1, 0]], bool)]
    np.testing.assert_array_equal(mean_mask(masks), [[True, False], [False, False]])
    with pytest.raises(ValueError, match="at least one"):
        mean_mask([])


def test_the_prior_alone_is_the_rule_on_single_pixels():
    rule = Saliency()
    pixels = np.arange(64).reshape(8, 8)
    np.testing.assert_array_equal(prior_mask(8, rule), apply_rule(pixels, 64, rule)[pixels])
    assert 0 < prior_mask(8, rule).mean() < 1
