"""K-means over pixels, equation 2: the rows of the style summary tensor X_s fall into k clusters Y'.

Three steps, each of its own use: `fit_centroids` on some pixels, distances of all pixels to the centroids, and
`largest_first`, which numbers the clusters. `kmeans` goes through all three. Clusters that are shared by many images
are fitted once, on pixels of all of them, and every image is then assigned to the same centroids.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from stylemixseg._util.checks import check_int
from stylemixseg.settings import MAX_POINTS_PER_CLUSTER

try:
    import faiss
except ModuleNotFoundError as error:
    raise ImportError(
        "faiss is not installed: pip install faiss-cpu, or faiss-gpu for an NVIDIA GPU (never both, since both bring "
        "the module faiss)"
    ) from error

PIXELS_AT_ONCE = 4096  # of n = 50 images: 2.5 MB of numbers, which stay in the cache from one step to the next
THREADS = min(4, os.cpu_count() or 1)
_REDO_SEED = 15486557  # faiss draws the initial centroids of restart r with seed + 1 + r times this


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
        """Number of clusters."""
        return len(self.centroids)


@runtime_checkable
class Pixels(Protocol):
    """What K-means needs of X_s, wherever it is kept. `shape` is (H, W, D)."""

    shape: tuple[int, int, int]

    def rows(self, which: slice | np.ndarray) -> np.ndarray | Tensor:
        """Rows (P, D) float32 of X_s as (H W, D), by a slice of row numbers or an array of them (P)."""
        ...

    def squared_distances(self, centroids: np.ndarray) -> np.ndarray:
        """Squared Euclidean distances (H W, k) float32 of all pixels to centroids (k, D)."""
        ...


class HostPixels(ABC):
    """Pixels in the memory of the CPU: a class that has `shape` and `rows` gets distances in blocks, on all cores."""

    shape: tuple[int, int, int]

    @abstractmethod
    def rows(self, which: slice | np.ndarray) -> np.ndarray:
        """Rows (P, D) float32, by a slice of row numbers or an array of them (P)."""

    def squared_distances(self, centroids: np.ndarray) -> np.ndarray:
        """Squared Euclidean distances (H W, k) float32 of all pixels to centroids (k, D)."""
        height, width, _ = self.shape
        distances = np.empty((height * width, len(centroids)), np.float32)

        def assign(start: int) -> None:
            block = slice(start, start + PIXELS_AT_ONCE)
            distances[block] = squared_distances(self.rows(block), centroids)

        with ThreadPoolExecutor(THREADS) as pool:  # NumPy gives up the interpreter's lock while it computes
            list(pool.map(assign, range(0, len(distances), PIXELS_AT_ONCE)))
        return distances


class ArrayPixels(HostPixels):
    """X_s as an array.

    Args:
        array: (H, W, D) float32.

    Raises:
        ValueError: not a (H, W, D) float32 array, or one that holds NaN or infinity.
    """

    def __init__(self, array: np.ndarray):
        if not isinstance(array, np.ndarray) or array.dtype != np.float32 or array.ndim != 3 or array.size == 0:
            got = f"{array.shape} {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
            raise ValueError(f"summary must be a (H, W, D) float32 array, got {got}")
        self.shape = array.shape
        self.points = np.ascontiguousarray(array).reshape(-1, array.shape[2])
        if not np.isfinite(self.points.sum()):  # one pass, no mask of 3n H W booleans
            raise ValueError("summary must be finite, got NaN or infinite values")

    def rows(self, which: slice | np.ndarray) -> np.ndarray:
        """Rows (P, D) float32, by a slice of row numbers or an array of them (P)."""
        return self.points[which]


def kmeans(
    summary: np.ndarray | Pixels,
    k: int,
    *,
    seed: int = 0,
    restarts: int = 10,
    iterations: int = 25,
    max_points_per_cluster: int = MAX_POINTS_PER_CLUSTER,
) -> KMeansResult:
    """Cluster the pixels of a style summary tensor, where it is kept.

    Args:
        summary: X_s (H, W, D) float32, or what stands for it.
        k: number of clusters, 2..H*W.
        seed: of the sub-sampling and of the initial centroids; equal seeds give equal results on one machine.
        restarts: number of runs from other initial centroids; the one with the lowest objective is kept.
        iterations: Lloyd iterations in a run.
        max_points_per_cluster: at most k times this many pixels, drawn at random, train the centroids; every pixel is
            assigned. Fewer is faster, and noisier between seeds.

    Raises:
        TypeError, ValueError: summary of the wrong shape or with NaN, k out of range.

    Example:
        >>> flag = np.zeros((2, 3, 6), np.float32)
        >>> flag[:, 2] = 50  # the third column of pixels has other colours
        >>> kmeans(flag, 2).labels
        array([[0, 0, 1],
               [0, 0, 1]], dtype=int32)
    """
    pixels = summary if isinstance(summary, Pixels) else ArrayPixels(summary)
    height, width, _ = pixels.shape
    check_int("k", k, 2, height * width)
    check_int("seed", seed, 0, 2**31 - 1)
    check_int("max_points_per_cluster", max_points_per_cluster, 1)
    points = pixels.rows(training_pixels(height * width, k * max_points_per_cluster, seed))
    centroids, objective = fit_centroids(points, k, seed=seed, restarts=restarts, iterations=iterations)
    return largest_first(pixels.squared_distances(centroids), centroids, objective, (height, width))


def fit_centroids(
    points: np.ndarray | Tensor, k: int, *, seed: int = 0, restarts: int = 10, iterations: int = 25
) -> tuple[np.ndarray, float]:
    """K-means on points (P, D) float32, P >= k: centroids (k, D) float32, and the objective over the points.

    An array goes through faiss. A tensor is fitted where it is, all restarts at once, with the same random choices:
    the results agree but for rounding, except that a cluster which loses all its points keeps its centroid there,
    whereas faiss splits another one.
    """
    check_int("k", k, 2, len(points))
    check_int("restarts", restarts, 1)
    check_int("iterations", iterations, 1)
    if isinstance(points, Tensor):
        return _fit_on_device(points, k, seed, restarts, iterations)
    model = faiss.Kmeans(
        points.shape[1],
        k,
        niter=iterations,
        nredo=restarts,
        seed=seed,
        min_points_per_centroid=1,  # only silences a warning about few points
        max_points_per_centroid=len(points),  # all: which ones they are was the caller's choice
    )
    model.train(np.ascontiguousarray(points))
    assert model.obj is not None  # the objective after every iteration
    return np.asarray(model.centroids).reshape(k, points.shape[1]), float(model.obj[-1])


def _fit_on_device(points: Tensor, k: int, seed: int, restarts: int, iterations: int) -> tuple[np.ndarray, float]:
    columns = points.T  # (D, P): X_s lies so on a device
    starts = [permutation(len(points), seed + 1 + r * _REDO_SEED)[:k] for r in range(restarts)]
    chosen = torch.from_numpy(np.stack(starts)).long().to(points.device)  # (R, k)
    centroids = points[chosen]  # (R, k, D)
    norms = columns.square().sum(0)  # (P,)
    objective = norms.new_zeros(restarts)
    for _ in range(iterations):
        distances = device_distances(centroids.flatten(0, 1), columns, norms).reshape(restarts, k, -1)  # (R, k, P)
        nearest, label = distances.min(1)
        objective = nearest.sum(1)
        member = torch.zeros_like(distances).scatter_(1, label[:, None], 1.0)
        count = member.sum(2, keepdim=True)
        sums = (member.flatten(0, 1) @ points).reshape(restarts, k, -1)
        centroids = torch.where(count > 0, sums / count.clamp(min=1), centroids)
    best = int(objective.argmin())
    return centroids[best].cpu().numpy(), float(objective[best])


def largest_first(
    distances: np.ndarray, centroids: np.ndarray, objective: float, size: tuple[int, int]
) -> KMeansResult:
    """Number the clusters by size, from distances (H W, k) and centroids (k, D): K-means numbers them by chance."""
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


def training_pixels(pixels: int, limit: int, seed: int) -> slice | np.ndarray:
    """Which pixels train the centroids: all, or the `limit` that faiss itself would draw from them."""
    return slice(None) if pixels <= limit else permutation(pixels, seed)[:limit]


def permutation(count: int, seed: int) -> np.ndarray:
    """faiss's own random order of 0..count - 1, (count,) int32."""
    order = np.empty(count, np.int32)
    faiss.rand_perm(faiss.swig_ptr(order), count, seed)  # type: ignore[attr-defined]  # made by SWIG at run time
    return order


def squared_distances(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances (P, k) float32 of points (P, D) to centroids (k, D)."""
    # |x - m|^2 = |x|^2 - 2 x.m + |m|^2; rounding may leave a tiny negative number.
    # Not through BLAS: with so few columns it is no faster, and its threads cost more than they bring in small blocks.
    result: np.ndarray = np.einsum("pd,kd->pk", points, -2 * centroids)
    result += np.einsum("pd,pd->p", points, points)[:, None]
    result += (centroids**2).sum(1)
    np.maximum(result, 0, out=result)
    return result


def device_distances(centroids: Tensor, columns: Tensor, norms: Tensor) -> Tensor:
    """Squared distances (C, P) of points (D, P), whose squared norms are (P,), to centroids (C, D)."""
    square = norms - 2 * centroids @ columns + centroids.square().sum(1, keepdim=True)
    return square.clamp_(min=0)
