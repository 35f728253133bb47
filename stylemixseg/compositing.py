"""Masks put to use and made visible: hard alpha composition (Figure 8), cluster colours, overlays."""

from __future__ import annotations

import numpy as np

from stylemixseg.checks import check_image, check_mask

# Okabe and Ito's colour-blind safe palette, then lighter tones of it for many clusters.
PALETTE = np.array(
    [
        [0, 114, 178],
        [230, 159, 0],
        [0, 158, 115],
        [204, 121, 167],
        [86, 180, 233],
        [213, 94, 0],
        [240, 228, 66],
        [110, 110, 110],
        [127, 184, 217],
        [242, 207, 128],
        [128, 206, 185],
        [229, 188, 211],
    ],
    np.uint8,
)


def composite(foreground: np.ndarray, background: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Alpha composition with the hard mask as alpha, no feathering (section 4.5, Figure 8).

    Args:
        foreground, background: images (H, W, 3) uint8 of one size.
        mask: (H, W) bool; True takes the foreground.

    Raises:
        ValueError, TypeError: unequal sizes, or a mask that is not binary.
    """
    foreground, background = check_image("foreground", foreground), check_image("background", background)
    mask = check_mask("mask", mask)
    if not foreground.shape[:2] == background.shape[:2] == mask.shape:
        raise ValueError(
            f"foreground, background and mask must have one size, got {foreground.shape[:2]}, {background.shape[:2]} "
            f"and {mask.shape}"
        )
    return np.where(mask[..., None], foreground, background)


def clusters_to_color(labels: np.ndarray) -> np.ndarray:
    """Cluster map (H, W) int to an image (H, W, 3) uint8, a colour a cluster."""
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "iu" or labels.size == 0 or labels.min() < 0:
        raise ValueError(f"labels must be (H, W) integers from 0 on, got {labels.shape} {labels.dtype}")
    return PALETTE[labels % len(PALETTE)]


def overlay(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Show a mask on its image (H, W, 3) uint8: background darkened and greyed, an orange line along the boundary."""
    image, mask = check_image("image", image), check_mask("mask", mask)
    if image.shape[:2] != mask.shape:
        raise ValueError(f"image and mask must have one size, got {image.shape[:2]} and {mask.shape}")
    grey = image.mean(-1, keepdims=True).astype(np.uint8)
    shown = np.where(mask[..., None], image, (0.35 * grey).astype(np.uint8))
    width = max(1, min(mask.shape) // 256)
    edge = np.zeros_like(mask)
    for axis in (0, 1):
        change = np.diff(mask.astype(np.int8), axis=axis) != 0
        edge |= np.pad(change, [(0, 1) if axis == 0 else (0, 0), (0, 1) if axis == 1 else (0, 0)])
    for _ in range(width - 1):  # thicken the line on large images
        edge[1:] |= edge[:-1].copy()
        edge[:, 1:] |= edge[:, :-1].copy()
    shown[edge] = PALETTE[1]
    return shown
