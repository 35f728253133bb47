"""Merging of clusters: what no linear separator tells apart becomes one; and the fitted clusters on a small network."""

from __future__ import annotations

import numpy as np
import pytest

from stylemixseg.baselines.klish import Group, Merging, fit_klish, merge, separation
from stylemixseg.baselines.segmentation_in_style import FeatureClustering
from stylemixseg.generators.base import seeded_latent
from stylemixseg.generators.zoo import load_generator


def clouds(*centres, count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Points (P, 3) about each centre, and the number of each one's cloud."""
    draw = np.random.default_rng(0)
    points = np.concatenate([draw.normal(centre, 1.0, (count, 3)) for centre in centres])
    return points, np.arange(len(centres)).repeat(count)


def test_separation_grows_with_the_distance_and_is_nothing_for_equal_clouds():
    points, labels = clouds((0, 0, 0), (0, 0, 0), (3, 0, 0), (9, 0, 0))
    groups = [Group.of(points[labels == label]) for label in range(4)]
    same, near, far = (separation(groups[0], other, 0.01) for other in groups[1:])
    assert same < 0.1 < near < far
    assert separation(groups[0], Group.of(points[:1]), 0.01) == 0  # one point: no half to judge


def test_the_pieces_of_one_cloud_are_merged_before_two_clouds_are():
    """K-means cuts a large cloud into pieces; a plane separates neighbouring pieces without error, yet they are one."""
    points, labels = clouds((0, 0, 0), (12, 0, 0))
    pieces = np.where(labels == 0, (points[:, 1] > 0) + 2 * (points[:, 2] > 0), 4 + (points[:, 1] > 0))
    found = merge(points, pieces, 6, Merging(FeatureClustering(k=6), classes=2, components=3))
    assert found.tolist() == [0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize(("linkage", "expected"), [("single", [0, 1, 1, 1, 1]), ("complete", [0, 0, 0, 1, 1])])
def test_linkage_decides_whether_a_chain_of_neighbours_is_one_class(linkage, expected):
    points, labels = clouds(*((x, 0, 0) for x in (0, 3.2, 5.6, 8.1, 10.7)))
    how = Merging(FeatureClustering(k=5), classes=2, components=3, linkage=linkage)
    assert merge(points, labels, 5, how).tolist() == expected


def test_classes_are_shared_by_all_images_and_named_as_the_clusters_of_segmentation_in_style():
    network = load_generator("toy-stylegan", engine="torch")
    latents = [seeded_latent(network, seed, 1.0) for seed in range(5)]
    how = Merging(FeatureClustering(k=12, layer=6, side=32, pixels_per_image=300), classes=3, components=8)
    found = fit_klish(network, latents, how)
    assert found.merged.shape == (12,) and set(found.merged) == {0, 1, 2} and found.classes == 3
    clusters = found.clusters(latents[0])
    assert clusters.shape == (32, 32) and set(np.unique(clusters)) <= {0, 1, 2}
    truth = clusters == clusters[0, 0]
    found.by_labels((ws, found.clusters(ws) == clusters[0, 0]) for ws in latents)
    np.testing.assert_array_equal(found.foreground(latents[0]), truth)
    found.by_corners(latents)
    assert found.background.shape == (3,)


def test_bad_settings():
    with pytest.raises(ValueError, match="classes must be in 2..5, got 9"):
        Merging(FeatureClustering(k=5))
    with pytest.raises(ValueError, match="linkage must be one of single, average, complete, got 'ward'"):
        Merging(linkage="ward")
    with pytest.raises(TypeError, match="and toy-portrait has none"):
        fit_klish(load_generator("toy-portrait"), [])
