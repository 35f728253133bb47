"""Random views of images for training: flipped, zoomed, turned, shifted, and in other light."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORE = 255  # label of what lies outside of the image after a shift or a turn


class Views(NamedTuple):
    """What `random_views` gives.

    Attributes:
        inputs: (B, 3, S, S) float32 in [-1, 1].
        grid: (B, S, S, 2) float32, where each pixel lies in its image: x and y, in [-1, 1] inside of it.
        flipped: (B,) bool, whether left and right are exchanged.
    """

    inputs: Tensor
    grid: Tensor
    flipped: Tensor


def random_views(images: Tensor, side: int, rng: torch.Generator) -> Views:
    """One random view of each image.

    Flip, zoom 0.7 to 1.35, turn up to 15 degrees, shift up to a tenth, then brightness, contrast, saturation and a
    colour cast. Where a view reaches beyond the image, the image is mirrored at its border.

    Args:
        images: (B, 3, H, W) uint8, on the device on which the views are to be computed.
        side: S of the views, in pixels.
        rng: of the CPU; everything random comes from it, so that the views are the same on every device.
    """
    b, device = len(images), images.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return (torch.rand(b, *shape, generator=rng) * (high - low) + low).to(device)

    flipped = (torch.rand(b, generator=rng) < 0.5).to(device)
    reach = torch.exp(-uniform(math.log(0.7), math.log(1.35)))  # half the width of the window, in image halves
    angle = uniform(-15, 15) * math.pi / 180
    cos, sin = reach * angle.cos(), reach * angle.sin()
    mirror = torch.where(flipped, -1.0, 1.0)
    shift = uniform(-0.2, 0.2, 2)  # in image halves: a tenth of the width
    theta = torch.stack(
        [torch.stack([cos * mirror, -sin, shift[:, 0]], 1), torch.stack([sin * mirror, cos, shift[:, 1]], 1)], 1
    )  # (B, 2, 3)
    grid = F.affine_grid(theta, [b, 3, side, side], align_corners=False)
    x = F.grid_sample(images.float() / 255, grid, padding_mode="reflection", align_corners=False)
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * uniform(0.5, 1.4, 1, 1, 1)  # saturation
    mean = x.mean((1, 2, 3), keepdim=True)
    x = mean + (x - mean) * uniform(0.7, 1.3, 1, 1, 1)  # contrast
    x = x * uniform(0.9, 1.1, 3, 1, 1) * uniform(0.7, 1.3, 1, 1, 1)  # colour cast, brightness
    return Views(x.clamp(0, 1) * 2 - 1, grid, flipped)


def labels_at(labels: Tensor, grid: Tensor) -> Tensor:
    """The labels at the places of a grid, `IGNORE` outside of the image.

    Args:
        labels: (B, H, W) uint8.
        grid: (B, h, w, 2) as in `Views`.

    Returns:
        (B, h, w) int64.
    """
    side = torch.tensor([labels.shape[2], labels.shape[1]], device=labels.device)
    index = torch.floor((grid + 1) / 2 * side).long()
    inside = ((index >= 0) & (index < side)).all(-1)
    index = torch.minimum(index.clamp(min=0), side - 1)
    which = torch.arange(len(labels), device=labels.device).view(-1, 1, 1)
    found = labels[which, index[..., 1], index[..., 0]].long()
    found[~inside] = IGNORE
    return found


def values_at(values: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Soft masks at the places of a grid, between pixels bilinear, and which places lie inside of the image.

    Args:
        values: (B, H, W) uint8, 255 for 1.
        grid: (B, h, w, 2) as in `Views`.

    Returns:
        (B, h, w) float32 in 0..1, and (B, h, w) bool.
    """
    found = F.grid_sample(values[:, None].float() / 255, grid, padding_mode="border", align_corners=False)[:, 0]
    return found, (grid.abs() <= 1).all(-1)
