"""The style summary tensor X_s, section 3.2: the colours of one pixel under n styles, side by side.

X_s (H, W, 3n) concatenates the style-mixed images at each pixel. Pixels of one semantic segment change colour
together when the style changes, so their 3n numbers agree; K-means finds the groups.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from kornia.color import rgb_to_lab
from torch import Tensor

from stylemixseg.checks import check_choice
from stylemixseg.generators.base import Generator
from stylemixseg.mixing import check_resolution, iter_style_mixes, query_image

COLOR_SPACES = ("lab", "rgb")


def to_color_space(images: np.ndarray, color_space: str) -> np.ndarray:
    """Colours of (n, H, W, 3) uint8 images as (n, H, W, 3) float32.

    "rgb": 0..100, so that distances have about the size of LAB's. "lab": CIE LAB under D65 (kornia's conversion):
    L 0..100, a and b about -110..110; equal distances look about equally different (section 4.6, Table 4).
    """
    check_choice("color_space", color_space, COLOR_SPACES)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"images must be (n, H, W, 3) uint8, got {images.shape} {images.dtype}")
    if color_space == "rgb":
        return images * np.float32(100 / 255)
    channels_first = torch.tensor(images).permute(0, 3, 1, 2) / 255  # copies: a cached stack is read-only
    return rgb_to_lab(channels_first).permute(0, 2, 3, 1).numpy()


def summary_from_images(images: np.ndarray | Iterable[np.ndarray], color_space: str = "lab") -> np.ndarray:
    """X_s (H, W, 3n) float32 from images (n, H, W, 3) uint8 that are at hand."""
    images = [np.asarray(image) for image in images]
    sizes = {image.shape for image in images}
    if len(sizes) != 1 or images[0].ndim != 3:
        raise ValueError(f"images must be (n, H, W, 3) with n >= 1 and equal sizes, got sizes {sorted(sizes)}")
    return _fill([image[None] for image in images], len(images), images[0].shape[:2], color_space)


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
    side = check_resolution(resolution, generator.resolution)
    mixes = iter_style_mixes(
        generator, w0, styles, cutoff, resolution=resolution, batch_size=batch_size, progress=progress
    )

    def images():
        yield from mixes
        if include_query:
            yield query_image(generator, w0, resolution)[None]

    return _fill(images(), len(styles) + include_query, (side, side), color_space)


def _fill(batches: Iterable[np.ndarray], n: int, size: tuple[int, int], color_space: str) -> np.ndarray:
    summary = np.empty((*size, n, 3), np.float32)
    done = 0
    for batch in batches:
        for image in to_color_space(batch, color_space):
            summary[:, :, done] = image
            done += 1
    return summary.reshape(*size, 3 * n)
