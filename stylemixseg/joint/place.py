"""Where in the image a pixel lies: for aligned images, such as portraits, this alone says much about foreground.

Only for a generator that shows its object always in one place and size. A scene has no such place.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

PLACE_FEATURES = 6
_SIDE = 64  # px, of a stored prior: it is smooth
_SMOOTHING = 3 / 128  # of the side
_SURE = 0.01  # no place is taken for more certain than this


def place_features(height: int, width: int) -> np.ndarray:
    """What a network is told of each pixel's place, (height, width, 6) float32.

    Products of the coordinates x and y, in -1..1 from edge to edge, and a bump in the middle. All are even in x, so the
    mirror image of a mask is as likely as the mask.
    """
    y = (2 * np.arange(height, dtype=np.float32) + 1)[:, None] / height - 1
    x = (2 * np.arange(width, dtype=np.float32) + 1)[None] / width - 1
    features = (x**2, np.abs(x), y, y**2, x**2 * y, np.exp(-2 * (x**2 + y**2)))
    return np.stack([np.broadcast_to(feature, (height, width)) for feature in features], -1).astype(np.float32)


def location_prior(scores: Iterable[np.ndarray], rounds: int = 4) -> np.ndarray:
    """Log-odds of foreground by place alone, from what a judge says of many aligned images.

    The share of masks that cover a place, averaged with its mirror image, smoothed, and kept within 1 to 99 %. The
    masks themselves depend on the prior, so it is computed a few times, each time from the masks under the last one.

    Args:
        scores: log-odds (h, w) of a judge without a prior, one per image, all of one size.
        rounds: how often.

    Returns:
        (64, 64) float32.
    """
    small = np.stack([resized(score, (_SIDE, _SIDE)) for score in scores])
    prior = np.zeros((_SIDE, _SIDE), np.float32)
    for _ in range(rounds):
        share = (small + prior > 0).mean(0)
        share = gaussian_filter((share + share[:, ::-1]) / 2, _SMOOTHING * _SIDE, mode="nearest")
        share = share.clip(_SURE, 1 - _SURE)
        prior = np.log(share / (1 - share)).astype(np.float32)
    return prior


def resized(field: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A smooth field (h, w) float32 at another size (h', w'), bilinear; where it shrinks, values are averaged."""
    if field.shape == size:
        return field
    shrinks = size[0] < field.shape[0]
    made = F.interpolate(torch.from_numpy(field)[None, None], size=size, mode="bilinear", antialias=shrinks)
    result: np.ndarray = made[0, 0].numpy()
    return result
