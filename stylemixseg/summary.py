"""The style summary tensor X_s, section 3.2: the colours of one pixel under n styles, side by side.

X_s (H, W, 3n) concatenates the style-mixed images at each pixel. Pixels of one semantic segment change colour
together when the style changes, so their 3n numbers agree; K-means finds the groups.

`summary_from_images` and `style_summary` give the tensor itself. `StyleStack` stands for it: it keeps the images as
bytes, a quarter of the memory, and computes the colours of those pixels that are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from torch import Tensor

from stylemixseg._util.checks import check_choice
from stylemixseg.generators.base import Generator
from stylemixseg.mixing import check_resolution, iter_style_mixes, query_image

COLOR_SPACES = ("lab", "rgb")

# sRGB (IEC 61966-2-1) to CIE XYZ, each row over the white point D65, and CIE's cube root with its linear foot: the
# constants of scikit-image and kornia.
_BYTES = np.arange(256) / 255
_LINEAR = np.where(_BYTES > 0.04045, ((_BYTES + 0.055) / 1.055) ** 2.4, _BYTES / 12.92).astype(np.float32)
_XYZ_FROM_LINEAR = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
) / np.array([[0.95047], [1.0], [1.08883]])
_FOOT, _FOOT_SLOPE = np.float32(0.008856), np.float32(7.787)

PIXELS_AT_ONCE = 4096  # of n = 50 images: 2.5 MB of numbers, which stay in the cache from one step to the next


def to_color_space(images: np.ndarray, color_space: str) -> np.ndarray:
    """Colours of (n, H, W, 3) uint8 images as (n, H, W, 3) float32.

    "rgb": 0..100, so that distances have about the size of LAB's. "lab": CIE LAB under D65:
    L 0..100, a and b about -110..110; equal distances look about equally different (section 4.6, Table 4).
    """
    check_choice("color_space", color_space, COLOR_SPACES)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"images must be (n, H, W, 3) uint8, got {images.shape} {images.dtype}")
    return np.moveaxis(_colors(np.moveaxis(images, 3, 1), color_space), 1, 3)


def _colors(images: np.ndarray, color_space: str) -> np.ndarray:
    """Colours (n, 3, ...) float32 of (n, 3, ...) uint8; a pixel's numbers do not depend on what else is converted."""
    if color_space == "rgb":
        return images * np.float32(100 / 255)
    linear = _LINEAR.take(images)
    product = np.empty_like(linear[:, 0])
    roots = []
    for weights in _XYZ_FROM_LINEAR.astype(np.float32):
        value = weights[0] * linear[:, 0]
        for weight, channel in zip(weights[1:], (1, 2)):
            value += np.multiply(weight, linear[:, channel], out=product)
        # f(t) = cbrt(t), below the foot a line: cbrt(max(t, foot)) + slope min(t - foot, 0) is both, without a branch.
        below = np.minimum(np.subtract(value, _FOOT, out=product), 0, out=product)
        below *= _FOOT_SLOPE
        np.maximum(value, _FOOT, out=value)
        roots.append(np.cbrt(value, out=value))
        value += below
    x, y, z = roots
    lab = linear  # its values are not needed any more
    np.multiply(np.subtract(x, y, out=x), 500, out=lab[:, 1])
    np.multiply(np.subtract(y, z, out=z), 200, out=lab[:, 2])
    np.multiply(y, 116, out=lab[:, 0])
    lab[:, 0] -= 16
    return lab


class StyleStack:
    """X_s of n images, its colours computed where they are looked at.

    Args:
        images: (n, 3, H, W) uint8, of any strides; not copied where rows of pixels can be joined without.
        color_space: "lab" or "rgb".

    Attributes:
        shape: (H, W, 3n), that of X_s.
    """

    def __init__(self, images: np.ndarray, color_space: str = "lab"):
        check_choice("color_space", color_space, COLOR_SPACES)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3 or images.size == 0:
            raise ValueError(f"images must be (n, 3, H, W) uint8, got {images.shape} {images.dtype}")
        n, _, height, width = images.shape
        self.images = images.reshape(n, 3, height * width)
        self.color_space = color_space
        self.shape = (height, width, 3 * n)

    def pixels(self, which: slice | np.ndarray) -> np.ndarray:
        """Rows (P, 3n) float32 of X_s as (H W, 3n), by a slice of row numbers or an array of them (P)."""
        colors = _colors(self.images[:, :, which], self.color_space)  # (n, 3, P)
        return colors.reshape(self.shape[2], -1).T

    def crop(self, rows: slice, columns: slice) -> StyleStack:
        """The stack of a rectangle of the pixels, copied: what style mixing the cropped query would give."""
        height, width, _ = self.shape
        images = self.images.reshape(*self.images.shape[:2], height, width)
        return StyleStack(images[:, :, rows, columns], self.color_space)

    def tensor(self) -> np.ndarray:
        """X_s itself, (H, W, 3n) float32."""
        summary = np.empty(self.shape, np.float32)
        rows = summary.reshape(-1, self.shape[2])
        for start in range(0, len(rows), PIXELS_AT_ONCE):
            block = slice(start, start + PIXELS_AT_ONCE)
            rows[block] = self.pixels(block)
        return summary


def summary_from_images(images: np.ndarray | Iterable[np.ndarray], color_space: str = "lab") -> np.ndarray:
    """X_s (H, W, 3n) float32 from images (n, H, W, 3) uint8 that are at hand."""
    if not isinstance(images, np.ndarray):
        images = [np.asarray(image) for image in images]
        sizes = {image.shape for image in images}
        if len(sizes) != 1:
            raise ValueError(f"images must be (n, H, W, 3) with n >= 1 and equal sizes, got sizes {sorted(sizes)}")
        images = np.stack(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or images.size == 0:
        raise ValueError(f"images must be (n, H, W, 3) uint8 with n >= 1, got {images.shape} {images.dtype}")
    return StyleStack(np.moveaxis(images, 3, 1), color_space).tensor()


def style_stack(
    generator: Generator,
    w0: Tensor,
    styles: Tensor,
    cutoff: int,
    *,
    color_space: str = "lab",
    include_query: bool = False,
    resolution: int | None = None,
    batch_size: int = 1,
    progress: bool = False,
) -> StyleStack:
    """The style-mixed images of one query as a `StyleStack`; arguments as `style_summary`.

    At 1024 px and n = 50 it holds 0.16 GB.
    """
    check_choice("color_space", color_space, COLOR_SPACES)
    side = check_resolution(resolution, generator.resolution)
    images = np.empty((len(styles) + include_query, 3, side, side), np.uint8)
    batches = _batches(generator, w0, styles, cutoff, include_query, resolution, batch_size, progress)
    for place, image in zip(images, (image for batch in batches for image in batch)):
        place[...] = np.moveaxis(image, 2, 0)
    return StyleStack(images, color_space)


def style_summary(
    generator: Generator,
    w0: Tensor,
    styles: Tensor,
    cutoff: int,
    *,
    color_space: str = "lab",
    include_query: bool = False,
    resolution: int | None = None,
    batch_size: int = 1,
    progress: bool = False,
) -> np.ndarray:
    """X_s of one query, built as the images come: only one batch of them is in memory beside the tensor.

    Args:
        w0: structure latent (1, num_ws, w_dim).
        styles: style latents (n, num_ws, w_dim).
        cutoff: c in 0..num_ws.
        color_space: "lab" or "rgb".
        include_query: append the query image X_0 itself; the paper does not say whether it does (we: no).
        resolution: side in pixels, a divisor of the generator's; None for its own.
        batch_size: images synthesised at once.
        progress: show a progress bar.

    Returns:
        (h, w, 3n) float32, or (h, w, 3(n + 1)) with the query. At 1024 px and n = 50 it holds 0.63 GB.
    """
    check_choice("color_space", color_space, COLOR_SPACES)
    side = check_resolution(resolution, generator.resolution)
    n = len(styles) + include_query
    summary = np.empty((side, side, n, 3), np.float32)
    done = 0
    for batch in _batches(generator, w0, styles, cutoff, include_query, resolution, batch_size, progress):
        for image in to_color_space(batch, color_space):
            summary[:, :, done] = image
            done += 1
    return summary.reshape(side, side, 3 * n)


def _batches(
    generator: Generator, w0: Tensor, styles: Tensor, cutoff: int, include_query, resolution, batch_size, progress
) -> Iterator[np.ndarray]:
    """The style-mixed images (b, h, w, 3) uint8, and the query after them where it is wanted."""
    yield from iter_style_mixes(
        generator, w0, styles, cutoff, resolution=resolution, batch_size=batch_size, progress=progress
    )
    if include_query:
        yield query_image(generator, w0, resolution)[None]
