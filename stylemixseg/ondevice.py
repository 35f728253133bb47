"""The method on an accelerator, from latents to clusters, without a way back to the CPU in between.

The CPU path keeps images as bytes, since memory traffic is what it waits for (`summary.StyleStack`). A GPU has memory
enough for the style summary tensor itself, and K-means on it is a few matrix products. Same steps, same random choices
as `clustering.kmeans`: the results agree but for rounding. Everything here runs on a CPU too, which is how it is tested.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from kornia.color import rgb_to_lab
from torch import Tensor
from tqdm.auto import tqdm

from stylemixseg._util.checks import check_choice, check_device, check_int, fit_latents
from stylemixseg.clustering import (
    MAX_POINTS_PER_CLUSTER,
    KMeansResult,
    largest_first,
    permutation,
    pixel_rows,
    training_pixels,
)
from stylemixseg.generators.base import Generator
from stylemixseg.mixing import byte_levels, check_resolution, iter_mixed_images
from stylemixseg.summary import COLOR_SPACES, StyleStack

_PIXELS_AT_ONCE = 1 << 16  # moved to the device: of n = 50 images 40 MB
_REDO_SEED = 15486557  # faiss draws the initial centroids of restart r with seed + 1 + r times this


@dataclass(frozen=True, eq=False)
class SummaryColumns:
    """X_s on a device, one row a dimension: `columns` (3n, H W) float32, of an image of `size` (H, W)."""

    columns: Tensor
    size: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """That of X_s, (H, W, 3n)."""
        return *self.size, len(self.columns)

    def crop(self, rows: slice, columns: slice) -> SummaryColumns:
        """X_s of a rectangle of the pixels, copied."""
        cut = self.columns.unflatten(1, self.size)[:, rows, columns]
        return SummaryColumns(cut.flatten(1), tuple(cut.shape[1:]))


def summary_columns(
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
    device: str | torch.device = "cuda",
) -> SummaryColumns:
    """X_s of one query on `device`; the other arguments as `summary.style_summary`."""
    check_choice("color_space", color_space, COLOR_SPACES)
    device = check_device("device", device)
    side = check_resolution(resolution, generator.resolution)
    w0, styles = fit_latents("w0", w0, generator), fit_latents("styles", styles, generator)
    mixes = torch.cat([styles, w0]) if include_query else styles  # the query is the mix with its own style
    columns, done = torch.empty(len(mixes), 3, side * side, device=device), 0
    with tqdm(total=len(mixes), desc="style mixes", unit="image", disable=not progress) as bar:
        for images in iter_mixed_images(generator, w0, mixes, cutoff, resolution=resolution, batch_size=batch_size):
            colors = byte_levels(images.to(device))  # as an image file would hold them
            colors = rgb_to_lab(colors / 255) if color_space == "lab" else colors * (100 / 255)
            columns[done : done + len(images)] = colors.flatten(2)
            done += len(images)
            bar.update(len(images))
    return SummaryColumns(columns.flatten(0, 1), (side, side))


def to_device(summary: np.ndarray | StyleStack | SummaryColumns, device: str | torch.device) -> SummaryColumns:
    """X_s (H, W, 3n) that is at hand, or what stands for it, on `device`.

    Raises:
        ValueError: summary of the wrong shape or with NaN, a device that is not there.
    """
    device = check_device("device", device)
    if isinstance(summary, SummaryColumns):
        return SummaryColumns(summary.columns.to(device), summary.size)
    rows, (height, width, dim) = pixel_rows(summary), summary.shape
    columns = torch.empty(dim, height * width, device=device)
    for start in range(0, height * width, _PIXELS_AT_ONCE):
        block = slice(start, start + _PIXELS_AT_ONCE)
        columns[:, block] = torch.from_numpy(np.ascontiguousarray(rows(block))).to(device).T
    return SummaryColumns(columns, (height, width))


def kmeans_columns(
    summary: SummaryColumns,
    k: int,
    *,
    seed: int = 0,
    restarts: int = 10,
    iterations: int = 25,
    max_points_per_cluster: int = MAX_POINTS_PER_CLUSTER,
) -> KMeansResult:
    """K-means, equation 2, where X_s is; all restarts run at once. Arguments as `clustering.kmeans`.

    A cluster that loses all its points keeps its centroid (faiss splits another one).
    """
    columns, pixels = summary.columns, summary.columns.shape[1]
    check_int("k", k, 2, pixels)
    order = training_pixels(pixels, k * max_points_per_cluster, seed)
    train = columns if isinstance(order, slice) else columns[:, torch.from_numpy(order).long().to(columns.device)]
    starts = [permutation(train.shape[1], seed + 1 + r * _REDO_SEED)[:k] for r in range(restarts)]
    chosen = torch.from_numpy(np.stack(starts)).long().to(columns.device)  # (R, k)
    centroids = train.T[chosen]  # (R, k, D)
    norms = train.square().sum(0)  # (S,)
    objective = norms.new_zeros(restarts)
    for _ in range(iterations):
        distances = _distances(centroids.flatten(0, 1), train, norms).unflatten(0, (restarts, k))  # (R, k, S)
        nearest, label = distances.min(1)
        objective = nearest.sum(1)
        member = torch.zeros_like(distances).scatter_(1, label[:, None], 1.0)
        count = member.sum(2, keepdim=True)
        sums = (member.flatten(0, 1) @ train.T).unflatten(0, (restarts, k))
        centroids = torch.where(count > 0, sums / count.clamp(min=1), centroids)
    best = int(objective.argmin())
    distances = _distances(centroids[best], columns, columns.square().sum(0))  # (k, H W)
    return largest_first(
        np.ascontiguousarray(distances.T.cpu().numpy()),
        centroids[best].cpu().numpy(),
        float(objective[best]),
        summary.size,
    )


def _distances(centroids: Tensor, columns: Tensor, norms: Tensor) -> Tensor:
    """Squared distances (C, P) of points (D, P), whose squared norms are (P,), to centroids (C, D)."""
    square = norms - 2 * centroids @ columns + centroids.square().sum(1, keepdim=True)
    return square.clamp_(min=0)
