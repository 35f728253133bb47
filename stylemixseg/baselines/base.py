"""What the baselines have in common: masks from latents, and the feature maps that the peers read."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stylemixseg.generators.base import Generator, GivesFeatures

MEMORY_LIMIT = 2 * 2**30  # bytes of features that a baseline keeps while it is fitted


class Baseline(Protocol):
    """Segments a generator's images, given their latents.

    Attributes:
        name: short name, for records and messages.
    """

    name: str

    def foreground(self, ws: Tensor) -> np.ndarray:
        """Foreground (h, w) bool of the image of ws (1, num_ws, w_dim), h a divisor of the generator's side."""
        ...


def check_features(generator: Generator, what: str) -> GivesFeatures:
    """The generator, when its layers have feature maps.

    Raises:
        TypeError: it has none, as the toy world, which draws.
    """
    if not isinstance(generator, GivesFeatures):
        raise TypeError(
            f"{what} reads the feature maps of a generator's layers, and {generator.name} has none: take a learnt "
            "generator, such as faces or toy-stylegan"
        )
    return generator


def pixels_that_fit(wanted: int, images: int, bytes_per_pixel: int, memory_limit: int) -> int:
    """How many pixels to draw from each image, so that those of all images fit into memory: at most `wanted`.

    Raises:
        ValueError: not even one per image fits.
    """
    least = images * bytes_per_pixel
    if memory_limit < least:
        raise ValueError(
            f"memory_limit must be at least {least} bytes, what one pixel of each of {images} images takes, got "
            f"{memory_limit}"
        )
    return min(wanted, memory_limit // least)


def resized_features(features: Tensor, side: int) -> Tensor:
    """Feature maps (N, C, h, h) at another side: bilinear where they grow, averaged where they shrink."""
    if features.shape[-1] == side:
        return features
    if features.shape[-1] > side:
        return F.adaptive_avg_pool2d(features, side)
    return F.interpolate(features, size=(side, side), mode="bilinear", align_corners=False)


@torch.no_grad()
def features_at(generator: GivesFeatures, ws: Tensor, layer: int) -> Tensor:
    """The features of one layer, (N, C, h, h) float32."""
    (found,) = generator.feature_maps(ws, [layer])
    return found.float()
