"""K-means: against scikit-learn, deterministic, ordered, with true distances, and explicit about its sub-sampling."""

from __future__ import annotations

from itertools import pairwise

import faiss
import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from stylemixseg.clustering import fit_centroids, kmeans, largest_first, squared_distances
from stylemixseg.settings import MAX_POINTS_PER_CLUSTER
from stylemixseg.summary import StyleStack, as_summary

SIZES = (900, 400, 236, 64)  # of four blobs; 40 x 40 pixels together


def blobs(spread: float = 1.0, dim: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Summary (40, 40, dim) float32 of well separated blobs, and which blob each pixel is of, largest first."""
    random = np.random.RandomState(seed)
    truth = random.permutation(np.repeat(np.arange(4), SIZES))
    centres = 20 * np.eye(4, dim)
    points = centres[truth] + spread * random.randn(len(truth), dim)
    return points.astype(np.float32).reshape(40, 40, dim), truth.reshape(40, 40)


def test_finds_blobs_and_names_them_by_size():
    summary, truth = blobs()
    result = kmeans(summary, 4)
    assert result.k == 4 and result.labels.dtype == np.int32 and result.labels.shape == (40, 40)
    assert np.array_equal(result.labels, truth)  # the largest is 0
    for cluster in range(4):
        np.testing.assert_allclose(result.centroids[cluster], summary[truth == cluster].mean(0), atol=1e-3)


@pytest.mark.parametrize("k", [2, 3, 6])
def test_no_worse_than_scikit_learn_on_overlapping_blobs(k):
    summary, _ = blobs(spread=8)
    points = summary.reshape(-1, 6)
    ours = kmeans(summary, k, iterations=100)
    theirs = KMeans(k, n_init=10, random_state=0).fit(points)
    objective = ours.distances.min(-1).sum()
    assert objective <= 1.01 * theirs.inertia_
    if k < 4:  # with more, several clusterings are about as good
        assert adjusted_rand_score(ours.labels.ravel(), theirs.labels_) > 0.9


def test_distances_are_to_the_centroids_and_label_the_pixels():
    summary, _ = blobs(spread=8)
    result = kmeans(summary, 5)
    expected = ((summary[:, :, None].astype(float) - result.centroids) ** 2).sum(-1)
    assert result.distances.shape == (40, 40, 5) and result.distances.dtype == np.float32
    np.testing.assert_allclose(result.distances, expected, rtol=1e-4, atol=1e-2)
    assert np.array_equal(result.distances.argmin(-1), result.labels)
    sizes = np.bincount(result.labels.ravel(), minlength=5)
    assert (np.diff(sizes) <= 0).all()


def test_distances_by_hand():
    points, centroids = np.array([[0, 0], [3, 4], [1, 0]], np.float32), np.array([[0, 0], [3, 0]], np.float32)
    for order in ("C", "F"):
        assert squared_distances(np.array(points, order=order), centroids).tolist() == [[0, 9], [25, 16], [1, 4]]
    # Rounding of |x|^2 - 2 x.m + |m|^2 never shows as a negative distance.
    same = np.random.RandomState(0).randn(1000, 150).astype(np.float32) * 100
    assert squared_distances(same, same[:50]).min() >= 0


def test_equal_seeds_give_equal_results():
    summary, _ = blobs(spread=10)
    first, second = kmeans(summary, 6, seed=3, restarts=1), kmeans(summary, 6, seed=3, restarts=1)
    assert np.array_equal(first.labels, second.labels) and np.array_equal(first.centroids, second.centroids)
    assert first.objective == second.objective
    others = [kmeans(summary, 6, seed=seed, restarts=1) for seed in range(4, 8)]
    assert any(not np.array_equal(first.centroids, other.centroids) for other in others)


@pytest.mark.parametrize("seed", range(5))
def test_more_restarts_are_never_worse(seed):
    summary, _ = blobs(spread=10)
    objectives = [kmeans(summary, 8, seed=seed, restarts=restarts).objective for restarts in (1, 2, 5, 10)]
    assert all(later <= earlier for earlier, later in pairwise(objectives))


def test_sub_sampling_is_ours_to_say_and_faiss_default_is_256(capfd):
    summary, _ = blobs(spread=10)
    points = summary.reshape(-1, 6)
    plain = faiss.Kmeans(6, 3, niter=25, nredo=1, seed=0)
    plain.train(points)
    few = kmeans(summary, 3, restarts=1, max_points_per_cluster=256)
    assert sorted(map(tuple, few.centroids)) == sorted(map(tuple, plain.centroids))  # what faiss does unasked
    every = kmeans(summary, 3, restarts=1)
    assert len(points) <= MAX_POINTS_PER_CLUSTER * 3  # here the default takes all pixels
    assert not np.allclose(np.sort(few.centroids, 0), np.sort(every.centroids, 0))
    # The objective sums over the pixels that trained: 3 x 256 of 1600, then all.
    assert few.objective / every.objective == pytest.approx(768 / 1600, rel=0.1)
    assert every.objective == pytest.approx(every.distances.min(-1).sum(), rel=1e-3)
    assert few.labels.shape == (40, 40)  # every pixel is assigned all the same


def picture_stack(n: int = 4, side: int = 96) -> np.ndarray:
    """Images (n, 3, side, side) uint8 of three regions that change colour together, with noise."""
    random = np.random.RandomState(5)
    regions = np.add.outer(np.arange(side), 2 * np.arange(side)) * 3 // (3 * side)
    colours = random.randint(30, 220, (n, 3, 3))
    return (colours[:, :, regions] + random.randint(-25, 26, (n, 3, side, side))).astype(np.uint8)


@pytest.mark.parametrize("limit", [256, 10**6])  # 768 of 9216 pixels train, and all of them
def test_the_pixels_that_train_are_those_that_faiss_draws(limit):
    """To the last bit: faiss is given the sample only, and must not notice."""
    summary = StyleStack(picture_stack()).tensor()
    for seed in (0, 7):
        plain = faiss.Kmeans(12, 3, niter=25, nredo=3, seed=seed, max_points_per_centroid=limit)
        plain.train(summary.reshape(-1, 12))
        ours = kmeans(summary, 3, seed=seed, restarts=3, max_points_per_cluster=limit)
        assert sorted(map(tuple, ours.centroids)) == sorted(map(tuple, plain.centroids))
        assert ours.objective == plain.obj[-1]


@pytest.mark.parametrize("color_space", ["lab", "rgb"])
def test_a_stack_gives_the_tensors_clusters(color_space):
    stack = StyleStack(picture_stack(), color_space)
    lazy, full = (kmeans(summary, 3, max_points_per_cluster=1000) for summary in (stack, stack.tensor()))
    assert np.array_equal(lazy.centroids, full.centroids) and lazy.objective == full.objective
    assert lazy.labels.shape == (96, 96) and (lazy.labels == full.labels).mean() > 0.9999
    # The sums run in another order; beside |x|^2 the difference is in the last digits.
    np.testing.assert_allclose(lazy.distances, full.distances, atol=1e-6 * (stack.tensor() ** 2).sum(-1).max())


def test_as_many_clusters_as_pixels():
    summary = np.arange(12, dtype=np.float32).reshape(2, 2, 3) * 10
    assert sorted(kmeans(summary, 4).labels.ravel()) == [0, 1, 2, 3]


def test_a_flat_image_is_one_cluster():
    result = kmeans(np.ones((4, 4, 3), np.float32), 2)
    assert len(np.unique(result.labels)) == 1 and result.labels.max() == 0  # the empty one comes last


def test_a_transposed_view_is_read_as_it_looks():
    summary, truth = blobs()
    assert np.array_equal(kmeans(summary.transpose(1, 0, 2), 4).labels, truth.T)


@pytest.mark.parametrize(
    "change, error, words",
    [
        ({"k": 1}, ValueError, r"k must be in 2\.\.1600, got 1"),
        ({"k": 1601}, ValueError, r"k must be in 2\.\.1600, got 1601"),
        ({"k": 2.0}, TypeError, "k must be a whole number, got 2.0"),
        ({"seed": -1}, ValueError, "seed must be in"),
        ({"restarts": 0}, ValueError, "restarts must be at least 1, got 0"),
        ({"iterations": 0}, ValueError, "iterations must be at least 1, got 0"),
        ({"max_points_per_cluster": 0}, ValueError, "max_points_per_cluster must be at least 1, got 0"),
        ({"summary": np.zeros((4, 4, 3))}, ValueError, r"summary .* float32 array, got \(4, 4, 3\) float64"),
        ({"summary": np.zeros((4, 4), np.float32)}, ValueError, r"got \(4, 4\) float32"),
        ({"summary": np.zeros((0, 4, 3), np.float32)}, ValueError, r"got \(0, 4, 3\)"),
        ({"summary": [[[0.0]]]}, ValueError, "got list"),
    ],
)
def test_bad_input(change, error, words):
    arguments = {"summary": np.zeros((40, 40, 3), np.float32), "k": 3, **change}
    with pytest.raises(error, match=words):
        kmeans(**arguments)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(value):
    summary, _ = blobs()
    summary[7, 8, 2] = value
    with pytest.raises(ValueError, match="summary must be finite, got NaN or infinite values"):
        kmeans(summary, 3)


def test_centroids_of_many_images_cluster_each_of_them_alike():
    """Fit on pixels of two images, then distances and order image by image: the steps of `kmeans`, taken apart."""
    summaries = [StyleStack(picture_stack()).tensor(), StyleStack(picture_stack()[..., ::-1].copy()).tensor()]
    points = np.concatenate([summary.reshape(-1, summary.shape[2]) for summary in summaries])
    centroids, objective = fit_centroids(points, 3, seed=1, restarts=3)
    assert centroids.shape == (3, summaries[0].shape[2]) and objective > 0
    found = []
    for summary in summaries:
        size = summary.shape[:2]
        result = largest_first(as_summary(summary).squared_distances(centroids), centroids, objective, size)
        near = ((summary[:, :, None] - result.centroids) ** 2).sum(-1).argmin(-1)
        assert (result.labels == near).mean() > 0.999
        assert sorted(map(tuple, result.centroids)) == sorted(map(tuple, centroids))
        found.append(result)
    alone = kmeans(summaries[0], 3, seed=1, restarts=3, max_points_per_cluster=10**9)
    points = summaries[0].reshape(-1, summaries[0].shape[2])
    again, _ = fit_centroids(points, 3, seed=1, restarts=3)
    assert np.array_equal(np.sort(again, 0), np.sort(alone.centroids, 0))


def test_bad_points():
    with pytest.raises(ValueError, match=r"k must be in 2\.\.5, got 6"):
        fit_centroids(np.zeros((5, 3), np.float32), 6)
