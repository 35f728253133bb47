"""K-means over pixels, equation 2: Y' = kmeans(X_s, k), with faiss as in the paper (section 4.1)."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from stylemixseg._util.checks import check_int
from stylemixseg.summary import PIXELS_AT_ONCE, StyleStack

try:
    import faiss
except ModuleNotFoundError as error:
    raise ImportError(
        "faiss is not installed: pip install faiss-cpu, or faiss-gpu for an NVIDIA GPU (never both, since both bring the "
        "module faiss)"
    ) from error

# faiss trains on 256 points a cluster unless told otherwise, and says nothing: with k = 3 that is 768 of a million
# pixels. See the clustering notebook for how the default here was measured.
MAX_POINTS_PER_CLUSTER = 2048
THREADS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True)
class KMeansResult:
    """Clusters of one image's pixels.

    Attributes:
        labels: cluster map Y' (H, W) int32 in 0..k-1; 0 is the largest cluster.
        centroids: (k, D) float32.
        distances: squared Euclidean distance of each pixel to each centroid, (H, W, k) float32.
        objective: sum of the distances to the own centroid, over the pixels that trained the centroids.
    """

    labels: np.ndarray
    centroids: np.ndarray
    distances: np.ndarray
    objective: float

    @property
    def k(self) -> int:
        return len(self.centroids)


def kmeans(
    summary: np.ndarray | StyleStack,
    k: int,
    *,
    seed: int = 0,
    restarts: int = 10,
    iterations: int = 25,
    max_points_per_cluster: int = MAX_POINTS_PER_CLUSTER,
) -> KMeansResult:
    """Cluster the pixels of a style summary tensor on the CPU; on a GPU `ondevice.kmeans_columns` does it.

    Args:
        summary: X_s (H, W, D) float32, or a `StyleStack` that stands for it.
        k: number of clusters, 2..H*W.
        seed: of the sub-sampling and of the initial centroids; equal seeds give equal results on one machine.
        restarts: number of runs from other initial centroids; the one with the lowest objective is kept.
        iterations: Lloyd iterations a run.
        max_points_per_cluster: at most k times this many pixels, drawn at random, train the centroids; every pixel is
            assigned. Fewer is faster, and noisier between seeds.

    Raises:
        TypeError, ValueError: summary of the wrong shape or with NaN, k out of range.
    """
    rows, (height, width, dim) = pixel_rows(summary), summary.shape
    check_int("k", k, 2, height * width)
    check_int("seed", seed, 0, 2**31 - 1)
    check_int("restarts", restarts, 1)
    check_int("iterations", iterations, 1)
    check_int("max_points_per_cluster", max_points_per_cluster, 1)

    model = faiss.Kmeans(
        dim,
        k,
        niter=iterations,
        nredo=restarts,
        seed=seed,
        min_points_per_centroid=1,  # only silences a warning about few points
        max_points_per_centroid=max_points_per_cluster,
    )
    model.train(np.ascontiguousarray(rows(training_pixels(height * width, k * max_points_per_cluster, seed))))
    centroids = np.asarray(model.centroids).reshape(k, dim)
    distances = np.empty((height * width, k), np.float32)

    def assign(start: int) -> None:
        block = slice(start, start + PIXELS_AT_ONCE)
        distances[block] = squared_distances(rows(block), centroids)

    with ThreadPoolExecutor(THREADS) as pool:  # NumPy gives up the interpreter's lock while it computes
        list(pool.map(assign, range(0, len(distances), PIXELS_AT_ONCE)))
    return largest_first(distances, centroids, float(model.obj[-1]), (height, width))


def largest_first(
    distances: np.ndarray, centroids: np.ndarray, objective: float, size: tuple[int, int]
) -> KMeansResult:
    """Clusters numbered by size, from distances (H W, k) and centroids (k, D): K-means itself numbers them by chance."""
    labels, k = distances.argmin(1), len(centroids)
    order = np.argsort(-np.bincount(labels, minlength=k), kind="stable")
    rank = np.empty(k, np.int32)
    rank[order] = np.arange(k, dtype=np.int32)
    return KMeansResult(
        labels=rank[labels].reshape(size),
        centroids=centroids[order],
        distances=distances[:, order].reshape(*size, k),
        objective=objective,
    )


def pixel_rows(summary: np.ndarray | StyleStack) -> Callable[[slice | np.ndarray], np.ndarray]:
    """A function that gives rows (P, D) float32 of the pixels (H W, D), by a slice or an array of row numbers.

    Raises:
        ValueError: summary is not a (H, W, D) float32 array, or holds NaN or infinity.
    """
    if isinstance(summary, StyleStack):
        return summary.pixels
    if not isinstance(summary, np.ndarray) or summary.dtype != np.float32 or summary.ndim != 3 or summary.size == 0:
        got = f"{summary.shape} {summary.dtype}" if isinstance(summary, np.ndarray) else type(summary).__name__
        raise ValueError(f"summary must be a (H, W, D) float32 array, got {got}")
    points = np.ascontiguousarray(summary).reshape(-1, summary.shape[2])
    if not np.isfinite(points.sum()):  # one pass, no mask of 3n H W booleans
        raise ValueError("summary must be finite, got NaN or infinite values")
    return points.__getitem__


def training_pixels(pixels: int, limit: int, seed: int) -> slice | np.ndarray:
    """Which pixels train the centroids: all, or the `limit` that faiss itself would draw from them."""
    return slice(None) if pixels <= limit else permutation(pixels, seed)[:limit]


def permutation(count: int, seed: int) -> np.ndarray:
    """faiss's own random order of 0..count - 1, (count,) int32."""
    order = np.empty(count, np.int32)
    faiss.rand_perm(faiss.swig_ptr(order), count, seed)
    return order


def squared_distances(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances (P, k) float32 of points (P, D) to centroids (k, D)."""
    # |x - m|^2 = |x|^2 - 2 x.m + |m|^2; rounding may leave a tiny negative number.
    # Not through BLAS: with so few columns it is no faster, and its threads cost more than they bring in small blocks.
    result = np.einsum("pd,kd->pk", points, -2 * centroids)
    result += np.einsum("pd,pd->p", points, points)[:, None]
    result += (centroids**2).sum(1)
    return np.maximum(result, 0, out=result)
