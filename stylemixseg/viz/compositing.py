"""Masks put to use and made visible: hard alpha composition (Figure 8), cluster colours, overlays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from stylemixseg._util.checks import check_image, check_int, check_mask

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
_BAND_PIXELS = 1 << 20


def composite(foreground: np.ndarray, background: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Alpha composition with the hard mask as alpha, no feathering (section 4.5, Figure 8).

    Args:
        foreground: image (H, W, 3) uint8.
        background: image of the same size.
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
    """Cluster map (H, W) int to an image (H, W, 3) uint8, one colour per cluster."""
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "iu" or labels.size == 0 or labels.min() < 0:
        raise ValueError(f"labels must be (H, W) integers from 0 on, got {labels.shape} {labels.dtype}")
    return PALETTE[labels % len(PALETTE)]


def overlay(image: np.ndarray, mask: np.ndarray, line: int | None = None) -> np.ndarray:
    """Show a mask on its image (H, W, 3) uint8: background darkened and greyed, an orange line along the boundary.

    Args:
        image: (H, W, 3) uint8.
        mask: (H, W) bool.
        line: width of the line in pixels, at least 1; None: `outline_width`.

    Returns:
        (H, W, 3) uint8.

    Raises:
        TypeError, ValueError: not an image or a mask, or two sizes.

    Examples:
        >>> image, mask = np.full((64, 64, 3), 200, np.uint8), np.zeros((64, 64), bool)
        >>> mask[16:48, 16:48] = True
        >>> shown = overlay(image, mask, line=1)
        >>> shown[32, 32].tolist(), shown[0, 0].tolist()  # inside as it was, outside darker
        ([200, 200, 200], [70, 70, 70])
    """
    image, mask = check_image("image", image), check_mask("mask", mask)
    if image.shape[:2] != mask.shape:
        raise ValueError(f"image and mask must have one size, got {image.shape[:2]} and {mask.shape}")
    width = outline_width(mask.shape) if line is None else check_int("line", line, 1)
    grey = image.mean(-1, keepdims=True).astype(np.uint8)
    shown = np.where(mask[..., None], image, (0.35 * grey).astype(np.uint8))
    edge = np.zeros_like(mask)
    for axis in (0, 1):
        change = np.diff(mask.astype(np.int8), axis=axis) != 0
        edge |= np.pad(change, [(0, 1) if axis == 0 else (0, 0), (0, 1) if axis == 1 else (0, 0)])
    for _ in range(width - 1):  # thicken the line on large images
        edge[1:] |= edge[:-1].copy()
        edge[:, 1:] |= edge[:, :-1].copy()
    shown[edge] = PALETTE[1]
    return shown


def outline_width(size: tuple[int, int]) -> int:
    """Width in pixels of the line along a boundary, in an image of `size` (H, W)."""
    return max(1, min(size) // 256)


def in_bands(make: Callable[..., np.ndarray], *arrays: np.ndarray, halo: int = 0) -> Image.Image:
    """The picture `make(*arrays)`, made some rows at a time, since on the way it may need many times a photo's memory.

    Args:
        make: arrays -> picture (h, W) or (h, W, C) uint8, row by row the same for a band as for the whole.
        arrays: of one height H and width W.
        halo: rows above and below a band that its picture depends on.
    """
    height, width = arrays[0].shape[:2]
    rows = max(1, _BAND_PIXELS // width)
    picture: Image.Image | None = None
    for top in range(0, height, rows):
        above, bottom = max(0, top - halo), min(height, top + rows)
        made = make(*(array[above : bottom + halo] for array in arrays))
        band = Image.fromarray(np.ascontiguousarray(made[top - above : bottom - above]))
        picture = picture or Image.new(band.mode, (width, height))
        picture.paste(band, (0, top))
    if picture is None:
        raise ValueError("arrays must have at least one row, got none")
    return picture


def overlay_objects(image: np.ndarray, instance: np.ndarray) -> np.ndarray:
    """Show objects on their image (H, W, 3) uint8: each tinted in its colour with a white edge, the rest greyed.

    Args:
        image: (H, W, 3) uint8.
        instance: (H, W) int, 0 where no object is, else its number; number i has colour (i - 1) of `PALETTE`, which
            begins anew after its last.
    """
    image, instance = check_image("image", image), np.asarray(instance)
    if instance.dtype.kind not in "iu" or instance.shape != image.shape[:2] or instance.min() < 0:
        raise ValueError(
            f"instance must be {image.shape[:2]} integers from 0 on, got {instance.shape} {instance.dtype}"
        )
    inside = instance > 0
    grey = (0.7 * image.mean(-1, keepdims=True) + 60).astype(np.uint8)
    tinted = (0.5 * image + 0.5 * PALETTE[(instance - 1) % len(PALETTE)]).astype(np.uint8)
    shown = np.where(inside[..., None], tinted, grey)
    edge = np.zeros_like(inside)
    for axis in (0, 1):
        change = np.diff(instance, axis=axis) != 0
        for side in ((0, 1), (1, 0)):
            edge |= np.pad(change, [side if axis == 0 else (0, 0), side if axis == 1 else (0, 0)])
    shown[edge & inside] = 255
    return shown


def blend(foreground: np.ndarray, background: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Alpha composition with a soft alpha: alpha F + (1 - alpha) B. The paper uses a hard one, see `composite`.

    Args:
        foreground: image (H, W, 3) uint8.
        background: image of the same size.
        alpha: (H, W) floats in 0..1; 1 takes the foreground.

    Raises:
        ValueError, TypeError: unequal sizes, or an alpha that is not (H, W) in 0..1.
    """
    foreground, background = check_image("foreground", foreground), check_image("background", background)
    alpha = np.asarray(alpha)
    if alpha.dtype.kind != "f" or not foreground.shape[:2] == background.shape[:2] == alpha.shape:
        raise ValueError(
            f"alpha must be floats of the images' size, got {alpha.shape} {alpha.dtype} for images "
            f"{foreground.shape[:2]} and {background.shape[:2]}"
        )
    if not (alpha.min() >= 0 and alpha.max() <= 1):  # catches NaN too
        raise ValueError(f"alpha must be in 0..1, got {alpha.min()}..{alpha.max()}")
    mixed = alpha[..., None] * foreground + (1 - alpha[..., None]) * background
    return np.rint(mixed).astype(np.uint8)


def cutout(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Image with the mask as its alpha channel, (H, W, 4) uint8: 255 inside the mask, 0 outside."""
    image, mask = check_image("image", image), check_mask("mask", mask)
    if image.shape[:2] != mask.shape:
        raise ValueError(f"image and mask must have one size, got {image.shape[:2]} and {mask.shape}")
    return np.dstack([image, np.where(mask, 255, 0).astype(np.uint8)])


AGREEMENT_COLORS = {  # what a pixel of `agreement_map` is: its colour
    "true positive": (0, 114, 178),  # blue
    "false positive": (230, 159, 0),  # orange
    "false negative": (204, 121, 167),  # pink
    "true negative": (232, 232, 232),  # light grey
}


def agreement_map(pred: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """A mask against a reference, (H, W, 3) uint8: each pixel in the colour of its kind in `AGREEMENT_COLORS`."""
    pred, truth = check_mask("pred", pred), check_mask("truth", truth)
    if pred.shape != truth.shape:
        raise ValueError(f"pred and truth must be of one size, got {pred.shape} and {truth.shape}")
    colors = np.array(list(AGREEMENT_COLORS.values()), np.uint8)
    kind = np.select([pred & truth, pred & ~truth, ~pred & truth], [0, 1, 2], 3)
    return colors[kind]


def boundary_windows(mask: np.ndarray, count: int, side: int) -> list[tuple[slice, slice]]:
    """Square windows (rows, columns) on a mask's boundary, spread out along it, for looking at details (Figure 6).

    The first is on the boundary's topmost point; each next one is as far as can be from those before.

    Args:
        mask: (H, W) with both classes.
        count: number of windows, at least 1.
        side: of the windows in pixels, at most the mask's shorter side.
    """
    mask = check_mask("mask", mask)
    check_int("count", count, 1)
    check_int("side", side, 1, min(mask.shape))
    change = np.zeros_like(mask)
    change[:-1] |= mask[1:] != mask[:-1]
    change[:, :-1] |= mask[:, 1:] != mask[:, :-1]
    points = np.argwhere(change)  # (P, 2), from the top
    if not len(points):
        raise ValueError("mask must have a boundary, got one class only")
    # Windows stay inside the image, and so do the points that may be their centres, where there are any.
    half = side / 2
    inside = points[((points >= half) & (points <= np.array(mask.shape) - half)).all(1)]
    points = inside if len(inside) else points
    chosen = [points[0]]
    for _ in range(count - 1):
        away = np.min([np.square(points - point).sum(1) for point in chosen], axis=0)
        chosen.append(points[away.argmax()])
    corners = [np.clip(point - side // 2, 0, np.array(mask.shape) - side) for point in chosen]
    return [(slice(y, y + side), slice(x, x + side)) for y, x in corners]
