"""Clusters that images share: they keep their numbers and names in other images, other n, and other forms of X_s."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from stylemixseg.generators.base import seeded_z
from stylemixseg.generators.toyworld.world import ToyWorld
from stylemixseg.joint.base import NoJudgeError
from stylemixseg.joint.classes import (
    ClusterNames,
    class_map,
    finer_map,
    fit_clusters,
    load_clusters,
    names_by_majority,
    read_names,
    save_clusters,
    signature_length,
    unit_signatures,
)
from stylemixseg.segmenter import StyleMixSegmenter
from stylemixseg.settings import SegmenterConfig
from stylemixseg.summary import StyleStack, SummaryColumns

GENERATOR = SimpleNamespace(name="some", digest="a" * 64)
PARTS = ("background", *(f"part {label}" for label in range(1, 9)))  # the toy portrait labels its parts with numbers
NAMES = ClusterNames.of({"skin": [0, 2], "hair": [1, 3]}, 4)


@pytest.fixture(scope="module")
def world():
    return ToyWorld("portrait", resolution=32)


def seen(world, segmenter, seed):
    ws = world.mapping(seeded_z(seed, world.z_dim), 0.7)
    truth = world.truth(ws)[0]
    return segmenter.summary(ws), truth.foreground, truth.semantic


@pytest.fixture(scope="module")
def segmenter(world):
    return StyleMixSegmenter(world, n=8, cutoff=6, k=3)


@pytest.fixture(scope="module")
def shared(world, segmenter):
    images = [seen(world, segmenter, seed)[:2] for seed in range(30, 42)]
    return fit_clusters(images, 8, (4, 8), pixels_per_image=200)


def test_a_name_given_once_holds_in_images_that_were_never_seen(world, segmenter, shared):
    labelled = [seen(world, segmenter, seed) for seed in range(30, 36)]
    names = names_by_majority(shared[8], [(x, labels) for x, _, labels in labelled], PARTS)
    right = total = 0
    for seed in range(6):
        summary, foreground, labels = seen(world, segmenter, seed)
        found = class_map(shared[8], names, summary, foreground)
        assert found.dtype == np.uint8 and np.array_equal(found == 0, ~foreground)
        right += (found == labels)[foreground].sum()
        total += foreground.sum()
    assert right / total > 0.9


def test_rare_classes_get_names_when_they_weigh_more():
    """Two clusters: in one 60 pixels of a, in the other 30 of a and 10 of b, which is all that there is of b."""
    colours = np.array([[200, 40], [40, 200], [200, 40], [40, 200]], np.uint8)  # of two clusters under four styles
    of_pixel = np.array([0] * 60 + [1] * 40).reshape(10, 10)
    stack = StyleStack(np.repeat(colours[:, None, of_pixel], 3, axis=1))
    clusters = fit_clusters([(stack, np.ones((10, 10), bool))], 2, (4,))[4]
    labels = np.array([1] * 90 + [2] * 10).reshape(10, 10)
    classes = ("background", "a", "b")
    names = [names_by_majority(clusters, [(stack, labels)], classes, balance=balance).named() for balance in (0.0, 1.0)]
    second = int(clusters.assign(stack)[-1, -1])
    assert names == [{"a": [0, 1], "b": []}, {"a": [1 - second], "b": [second]}]
    with pytest.raises(ValueError, match="balance"):
        names_by_majority(clusters, [(stack, labels)], classes, balance=2)


def test_classes_meet_at_an_edge_of_the_image():
    """Two parts whose colours move against each other; the query image says that they meet one pixel further on."""
    colours = np.array([[200, 40], [40, 200], [200, 40], [40, 200]], np.uint8)
    of_pixel = np.zeros((64, 64), int)
    of_pixel[:, 31:] = 1
    stack = StyleStack(np.repeat(colours[:, None, of_pixel], 3, axis=1))
    clusters = fit_clusters([(stack, np.ones((64, 64), bool))], 2, (4,), aligned=False)[4]
    names = names_by_majority(clusters, [(stack, of_pixel + 1)], ("background", "a", "b"))
    image = np.full((64, 64, 3), 60, np.uint8)
    image[:, 32:] = 180
    mask = np.ones((64, 64), bool)
    mask[:8] = False
    np.testing.assert_array_equal(class_map(clusters, names, stack, mask), np.where(mask, of_pixel + 1, 0))
    along = class_map(clusters, names, stack, mask, image)
    np.testing.assert_array_equal(along, np.where(mask, np.where(image[..., 0] > 100, 2, 1), 0))
    with pytest.raises(ValueError, match="size"):
        class_map(clusters, names, stack, mask, image[:32])


def test_a_class_is_divided_and_all_others_stay(world, segmenter, shared):
    """The toy portrait's parts again, all called "thing" first, and divided by a second level of clusters."""
    thing = ClusterNames.of({"thing": list(range(8))}, 8)
    labelled = [(x, labels) for x, _, labels in (seen(world, segmenter, seed) for seed in range(30, 36))]
    parts = names_by_majority(shared[8], labelled, ("background", "thing", *PARTS[2:]))
    summary, foreground, _ = seen(world, segmenter, 3)
    coarse = class_map(shared[8], thing, summary, foreground)
    finer, classes = finer_map(coarse, thing, "thing", shared[8], parts, summary)
    assert classes == ("background", "thing", *PARTS[2:])
    np.testing.assert_array_equal(finer, class_map(shared[8], parts, summary, foreground))
    # A class with another label, and one beside it that stays.
    both = ClusterNames(("background", "sky", "thing"), (2,) * 8)
    coarse = np.where(foreground, 2, 0).astype(np.uint8)
    coarse[0] = 1
    finer, classes = finer_map(coarse, both, "thing", shared[8], parts, summary)
    assert classes == ("background", "sky", "thing", *PARTS[2:])
    assert (finer[0] == 1).all() and np.array_equal(finer[1:] > 0, foreground[1:])
    with pytest.raises(ValueError, match="part must be one of sky, thing, got 'wall'"):
        finer_map(coarse, both, "wall", shared[8], parts, summary)


def test_a_cluster_has_one_number_whatever_n(world, segmenter, shared):
    summary, foreground, _ = seen(world, segmenter, 3)
    with_eight, with_four = shared[8].assign(summary), shared[4].assign(summary.first(4))
    assert (with_eight == with_four)[foreground].mean() > 0.8


def test_every_form_of_the_summary_gives_the_same(shared):
    stack = StyleStack(np.random.default_rng(0).integers(0, 256, (4, 3, 12, 10), dtype=np.uint8))
    expected = unit_signatures(stack.tensor().reshape(120, 12)) @ shared[4].centers.T
    for form in (stack, stack.tensor(), SummaryColumns.of(stack, "cpu")):
        np.testing.assert_allclose(shared[4].similarity(form).reshape(120, 8), expected, atol=1e-3)
    np.testing.assert_allclose(signature_length(stack).ravel() ** 2, (centred_rows(stack) ** 2).sum(1), rtol=1e-3)


def centred_rows(stack: StyleStack) -> np.ndarray:
    colors = stack.tensor().reshape(120, 4, 3)
    return (colors - colors.mean(1, keepdims=True)).reshape(120, 12)


def test_scenes_have_no_places(world, segmenter):
    images = [seen(world, segmenter, seed)[:2] for seed in range(30, 34)]
    assert not fit_clusters(images, 4, (8,), aligned=False)[8].share.any()


def test_names_and_numbers():
    assert NAMES.classes == ("background", "skin", "hair") and NAMES.of_cluster == (1, 2, 1, 2)
    assert NAMES.named() == {"skin": [0, 2], "hair": [1, 3]}


@pytest.mark.parametrize(
    "named, message",
    [
        ({"skin": [0, 1, 2, 4]}, "clusters must be 0 to 3, got 4 under 'skin'"),
        ({"skin": [0, -1]}, "clusters must be 0 to 3, got -1"),
        ({"skin": [0, 1], "hair": [1, 2, 3]}, "cluster 1 must have one name, got 'skin' and 'hair'"),
        ({"skin": [0, 1], "hair": [2]}, r"every cluster must have a name, got none for \[3\]"),
        ({}, "every cluster must have a name, got none for"),
        ({"background": [0, 1, 2, 3]}, "different names"),
    ],
)
def test_names_that_do_not_fit_the_clusters(named, message):
    with pytest.raises(ValueError, match=message):
        ClusterNames.of(named, 4)


def test_a_file_of_names(tmp_path):
    path = tmp_path / "names.json"
    path.write_text(json.dumps({"names": NAMES.named()}))
    assert read_names(path, 4) == NAMES
    for text, message in (
        ("{", "is not a file of names"),
        ("{}", "is not a file of names"),
        ('{"names": [1]}', "is not a file of names"),
        ('{"names": {"skin": 1}}', "is not a file of names"),
        ('{"names": {"skin": [9]}}', "names.json: clusters must be 0 to 3, got 9"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_names(path, 4)
    with pytest.raises(FileNotFoundError):
        read_names(tmp_path / "none.json", 4)


def test_what_is_stored_comes_back(shared, tmp_path):
    path = tmp_path / "some_clusters.safetensors"
    names = ClusterNames.of({"face": list(range(8))}, 8)
    save_clusters(path, shared, names, GENERATOR, SegmenterConfig(), {"made_by": "a test"})
    again, found = load_clusters(GENERATOR, SegmenterConfig(n=4), path)
    np.testing.assert_array_equal(again.centers, shared[4].centers)
    np.testing.assert_allclose(again.share, shared[4].share, atol=1e-3)  # kept in half precision
    assert found == names
    with pytest.raises(NoJudgeError, match="n must be one of 4, 8"):
        load_clusters(GENERATOR, SegmenterConfig(n=5), path)


def test_bad_input(world, segmenter, shared):
    summary, foreground, _ = seen(world, segmenter, 0)
    with pytest.raises(ValueError, match="names must be for 8 clusters, got 4"):
        class_map(shared[8], NAMES, summary, foreground)
    with pytest.raises(ValueError, match="at least k = 8 foreground pixels, got 0"):
        fit_clusters([(summary, np.zeros_like(foreground))], 8, (8,))
    with pytest.raises(ValueError, match="images must show every cluster"):
        names_by_majority(shared[8], [(summary, np.zeros(foreground.shape, int))], PARTS)


def test_the_shipped_ones(real_faces):
    for n in (8, 20):
        clusters, names = load_clusters(real_faces, SegmenterConfig(n=n))
        assert clusters.entries == 3 * n and names.classes == ("background", "skin", "hair", "cloth")
        np.testing.assert_allclose(np.linalg.norm(clusters.centers, axis=1), 1, atol=1e-5)
