"""K-means over pixels, equation 2: Y' = kmeans(X_s, k), with faiss as in the paper (section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stylemixseg.checks import check_choice, check_int

try:
    import faiss
except ModuleNotFoundError as error:
    raise ImportError(
        "faiss is not installed: pip install 'stylemixseg[cpu]', or 'stylemixseg[gpu]' for an NVIDIA GPU (not both)"
    ) from error

# faiss trains on 256 points a cluster unless told otherwise, and says nothing: with k = 3 that is 768 of a million
# pixels. See the clustering notebook for how the default here was measured.
MAX_POINTS_PER_CLUSTER = 2048


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
    summary: np.ndarray,
    k: int,
    *,
    seed: int = 0,
    restarts: int = 10,
    iterations: int = 25,
    max_points_per_cluster: int = MAX_POINTS_PER_CLUSTER,
    device: str = "cpu",
) -> KMeansResult:
    """Cluster the pixels of a style summary tensor.

    Args:
        summary: X_s (H, W, D) float32.
        k: number of clusters, 2..H*W.
        seed: of the sub-sampling and of the initial centroids; equal seeds give equal results on one machine.
        restarts: number of runs from other initial centroids; the one with the lowest objective is kept.
        iterations: Lloyd iterations a run.
        max_points_per_cluster: at most k times this many pixels, drawn at random, train the centroids; every pixel is
            assigned. Fewer is faster, and noisier between seeds.
        device: "cpu", or "cuda" with faiss-gpu.

    Raises:
        TypeError, ValueError: summary of the wrong shape or with NaN, k out of range, no GPU in faiss.
    """
    if not isinstance(summary, np.ndarray) or summary.dtype != np.float32 or summary.ndim != 3 or summary.size == 0:
        got = f"{summary.shape} {summary.dtype}" if isinstance(summary, np.ndarray) else type(summary).__name__
        raise ValueError(f"summary must be a (H, W, D) float32 array, got {got}")
    height, width, dim = summary.shape
    points = np.ascontiguousarray(summary).reshape(-1, dim)
    check_int("k", k, 2, len(points))
    check_int("seed", seed, 0, 2**31 - 1)
    check_int("restarts", restarts, 1)
    check_int("iterations", iterations, 1)
    check_int("max_points_per_cluster", max_points_per_cluster, 1)
    if not np.isfinite(points.sum()):  # one pass, no mask of 3n H W booleans
        raise ValueError("summary must be finite, got NaN or infinite values")
    use_gpu = check_choice("device", device, ("cpu", "cuda")) == "cuda"
    if use_gpu and not getattr(faiss, "get_num_gpus", lambda: 0)():
        raise ValueError("device is 'cuda', but this faiss sees no GPU: install the extra 'gpu' or use device='cpu'")

    model = faiss.Kmeans(
        dim,
        k,
        niter=iterations,
        nredo=restarts,
        seed=seed,
        min_points_per_centroid=1,  # only silences a warning about few points
        max_points_per_centroid=max_points_per_cluster,
        gpu=use_gpu,
    )
    model.train(points)
    centroids = np.asarray(model.centroids).reshape(k, dim)
    distances = squared_distances(points, centroids)
    labels = distances.argmin(1)
    # faiss numbers clusters by chance; the largest first is easier to look at.
    order = np.argsort(-np.bincount(labels, minlength=k), kind="stable")
    rank = np.empty(k, np.int32)
    rank[order] = np.arange(k, dtype=np.int32)
    return KMeansResult(
        labels=rank[labels].reshape(height, width),
        centroids=centroids[order],
        distances=distances[:, order].reshape(height, width, k),
        objective=float(model.obj[-1]),
    )


def squared_distances(points: np.ndarray, centroids: np.ndarray, block: int = 65536) -> np.ndarray:
    """Squared Euclidean distances (P, k) float32 of points (P, D) to centroids (k, D), in blocks of rows."""
    result = np.empty((len(points), len(centroids)), np.float32)
    norms = (centroids**2).sum(1)
    for start in range(0, len(points), block):
        rows = points[start : start + block]
        # |x - m|^2 = |x|^2 - 2 x.m + |m|^2; rounding may leave a tiny negative number.
        square = np.einsum("pd,pd->p", rows, rows)[:, None] - 2 * rows @ centroids.T + norms
        np.maximum(square, 0, out=result[start : start + block])
    return result
