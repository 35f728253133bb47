"""ADA's augmentations: pixel blits, geometry and colour, all drawn with one probability p ("bgc" in the paper).

Karras et al. 2020, https://arxiv.org/abs/2006.06676, section 2 and appendix B. D sees real and generated images only
through them. They do not leak into what G draws as long as each is left out often enough: then the distribution of
augmented images still tells the distribution of images, and G can only match the one by matching the other. So nothing
may be done to an image for which nothing was drawn: with p = 0 the very same bits come out.

All moves of an image are collected in one matrix, so that pixels are interpolated once. NVIDIA's code interpolates with
a wavelet on a doubled grid; here it is bilinear, which costs less and blurs a little more. Real and generated images
are blurred alike.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

BLIT_SHIFT = 0.125  # of the side, the most
SCALE = 0.2  # deviation of the base-2 logarithm
FREE_SHIFT = 0.125  # of the side, deviation
BRIGHTNESS = 0.2  # deviation, of values in [-1, 1]
CONTRAST = 0.5  # deviation of the base-2 logarithm
SATURATION = 1.0  # deviation of the base-2 logarithm
LUMA_AXIS = torch.ones(3) / 3**0.5  # the greys, in RGB


def augment(images: Tensor, p: float) -> Tensor:
    """Images (N, 3, R, R) in about [-1, 1] -> the same shape, each augmentation with probability p; differentiable.

    Args:
        p: in 0..1. Draws come from torch's global generator on the CPU, so they are the same on every device.
    """
    images = moved(images, draw_moves(len(images), images.shape[-1], p))
    return recoloured(images, draw_colours(len(images), p))


def moved(images: Tensor, moves: Tensor) -> Tensor:
    """Sample images (N, 3, R, R) at `moves` (N, 3, 3), which lead from places in the result to places in the image.

    Places are in half sides from the centre. What lies outside is the image reflected at its border.
    """
    touched = (moves != torch.eye(3)).flatten(1).any(1)
    if not touched.any():
        return images
    grid = F.affine_grid(moves[:, :2].to(images.device), list(images.shape), align_corners=False)
    sampled = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    return torch.where(touched.to(images.device)[:, None, None, None], sampled, images)


def recoloured(images: Tensor, colours: Tensor) -> Tensor:
    """Colours of images (N, 3, R, R) under `colours` (N, 4, 4), which map (r, g, b, 1)."""
    touched = (colours != torch.eye(4)).flatten(1).any(1)
    if not touched.any():
        return images
    matrix = colours.to(images.device)
    mapped = (matrix[:, :3, :3] @ images.flatten(2)).unflatten(2, images.shape[2:]) + matrix[:, :3, 3, None, None]
    return torch.where(touched.to(images.device)[:, None, None, None], mapped, images)


def draw_moves(count: int, side: int, p: float) -> Tensor:
    """Matrices (count, 3, 3) for `moved`, for images of `side` px.

    Sampling needs the inverse of what is done to the image. Every draw here is as likely as its inverse, so inverses
    are drawn at once; multiplied in this order, the flip comes first as seen from the image.
    """
    # pixel blits: pixels change places, none is interpolated
    mirrored = _drawn(torch.randint(2, (count,)), p)
    moves = _scaling(1 - 2 * mirrored, torch.ones(count))
    moves = moves @ _quarter_turn(_drawn(torch.randint(4, (count,)), p))
    whole = (_drawn(2 * torch.rand(count, 2) - 1, p) * BLIT_SHIFT * side).round() / side
    moves = moves @ _shift(whole)
    # geometry. A turn before and one after the anisotropic scaling let it act along any axis; their own probability
    # is such that an image is turned at all with probability p.
    scale = 2 ** (SCALE * _drawn(torch.randn(count), p))
    moves = moves @ _scaling(scale, scale)
    once = 1 - (1 - p) ** 0.5
    moves = moves @ _rotation(_drawn(_angle(count), once))
    stretch = 2 ** (SCALE * _drawn(torch.randn(count), p))
    moves = moves @ _scaling(stretch, 1 / stretch)
    moves = moves @ _rotation(_drawn(_angle(count), once))
    return moves @ _shift(FREE_SHIFT * _drawn(torch.randn(count, 2), p))


def draw_colours(count: int, p: float) -> Tensor:
    """Matrices (count, 4, 4) for `recoloured`: brightness first, saturation last."""
    eye, grey = torch.eye(3), LUMA_AXIS.outer(LUMA_AXIS)  # `grey` keeps the luma and drops the colour
    cross = torch.linalg.cross(eye, LUMA_AXIS.expand(3, 3)).T  # the axis as a cross product, to turn about it

    brightness = torch.eye(4).repeat(count, 1, 1)
    brightness[:, :3, 3] = BRIGHTNESS * _drawn(torch.randn(count, 1), p)
    contrast = 2 ** (CONTRAST * _drawn(torch.randn(count), p))[:, None, None] * eye
    inverted = eye - 2 * _drawn(torch.randint(2, (count,)), p)[:, None, None] * grey
    hue = _drawn(_angle(count), p)[:, None, None]
    turned = eye + hue.sin() * cross + (1 - hue.cos()) * (cross @ cross)  # Rodrigues' formula
    saturation = 2 ** (SATURATION * _drawn(torch.randn(count), p))[:, None, None]
    saturated = eye + (saturation - 1) * (eye - grey)
    linear = torch.eye(4).repeat(count, 1, 1)
    linear[:, :3, :3] = saturated @ turned @ inverted @ contrast
    return linear @ brightness


def _drawn(values: Tensor, p: float) -> Tensor:
    """Each row of `values` with probability p, else zeros."""
    kept = torch.rand(len(values)) < p
    return torch.where(kept.reshape(-1, *[1] * (values.ndim - 1)), values, 0)


def _angle(count: int) -> Tensor:
    return (2 * torch.rand(count) - 1) * math.pi


def _matrix(*rows: tuple[Tensor | float, ...]) -> Tensor:
    """(N, 3, 3) from two rows of entries, each a number or (N,)."""
    count = next(len(entry) for row in rows for entry in row if isinstance(entry, Tensor))
    full = [torch.as_tensor(entry, dtype=torch.float32).expand(count) for row in (*rows, (0, 0, 1)) for entry in row]
    return torch.stack(full, 1).unflatten(1, (3, 3))


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    return _matrix((x, 0, 0), (0, y, 0))


def _shift(share: Tensor) -> Tensor:
    """By a share of the side (N, 2); the side is 2 in half sides."""
    return _matrix((1, 0, 2 * share[:, 0]), (0, 1, 2 * share[:, 1]))


def _rotation(angle: Tensor) -> Tensor:
    cos, sin = angle.cos(), angle.sin()
    return _matrix((cos, -sin, 0), (sin, cos, 0))


def _quarter_turn(quarters: Tensor) -> Tensor:
    """By 0..3 quarters, exactly: the cosine of pi / 2 is not zero in floating point."""
    cos, sin = torch.tensor([1.0, 0, -1, 0])[quarters], torch.tensor([0.0, 1, 0, -1])[quarters]
    return _matrix((cos, -sin, 0), (sin, cos, 0))
