"""The whole method on the toy world, whose masks are exact."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stylemixseg.foreground import CornerMinority, EmptyMaskWarning, FullMaskWarning, Saliency
from stylemixseg.generators.base import seeded_z
from stylemixseg.generators.toyworld.world import ToyWorld
from stylemixseg.joint.base import soft_mask
from stylemixseg.metrics import confusion, mean_iou
from stylemixseg.mixing import draw_style_latents, query_image
from stylemixseg.segmenter import StyleMixSegmenter, confidence, enlarge, probability_of
from stylemixseg.settings import SegmenterConfig

RULE = CornerMinority()
SQUARE = np.zeros((96, 96), bool)  # what the query image of the tests of outlines shows
SQUARE[24:72, 24:72] = True


def shown_square() -> np.ndarray:
    noise = np.random.RandomState(0).randint(-8, 9, (96, 96, 3))
    return (np.where(SQUARE[..., None], 170, 70) + noise).astype(np.uint8)


def square_score(grown: int) -> np.ndarray:
    """Log-odds of a judge that draws the square too large by some pixels of 96, at half the size."""
    large = np.zeros((96, 96), bool)
    large[24 - grown : 72 + grown, 24 - grown : 72 + grown] = True
    return np.where(large, 4.0, -4.0).astype(np.float32).reshape(48, 2, 48, 2).mean((1, 3))


def test_a_judges_outline_goes_to_the_edges_of_the_image():
    plain, along = (SimpleNamespace(edges=edges) for edges in (0.0, 1 / 8))
    score = square_score(2)
    drawn = probability_of(along, score, shown_square())
    assert drawn.shape == (96, 96) and drawn.min() >= 0 and drawn.max() <= 1
    left_as_it_is = probability_of(plain, score, shown_square())
    assert left_as_it_is.shape == (48, 48)
    np.testing.assert_array_equal(left_as_it_is, soft_mask(score))
    before = confusion(enlarge(left_as_it_is > 0.5, 96), SQUARE).miou
    assert before < 0.92 and confusion(drawn > 0.5, SQUARE).miou > 0.99


def test_an_outline_that_does_not_move_fits_an_image_of_any_size():
    score = square_score(0)
    assert probability_of(SimpleNamespace(edges=0.0), score, shown_square()[:40, :40]).shape == (40, 40)


@pytest.fixture(scope="module")
def world():
    return ToyWorld("portrait", resolution=64)


@pytest.fixture(scope="module")
def segmenter(world):
    return StyleMixSegmenter(world, n=12, cutoff=6, k=3, rule=RULE)


def query(world, seed: int) -> torch.Tensor:
    return world.mapping(seeded_z(seed, world.z_dim), 0.7)


@pytest.fixture(scope="module")
def result(world, segmenter):
    return segmenter(query(world, 3))


def test_masks_are_the_toy_worlds_truth(world, segmenter):
    confusions = [
        confusion(segmenter(query(world, seed)).mask, world.truth(query(world, seed))[0].foreground)
        for seed in range(6)
    ]
    assert mean_iou(confusions, "per_image") > 0.9
    assert min(item.miou for item in confusions) > 0.7


def test_what_comes_out(world, segmenter, result):
    assert result.image.shape == (64, 64, 3) and result.image.dtype == np.uint8
    assert np.array_equal(result.image, query_image(world, query(world, 3)))
    assert result.clusters.shape == (64, 64) and result.clusters.dtype == np.int32
    assert result.mask.shape == (64, 64) and result.mask.dtype == bool
    assert result.confidence.shape == (64, 64) and result.confidence.dtype == np.float32
    assert result.foreground.shape == (3,) and result.foreground.dtype == bool
    assert np.array_equal(result.mask, result.foreground[result.clusters])
    assert np.array_equal(result.foreground, RULE(result.clusters, 3))
    assert (np.diff(np.bincount(result.clusters.ravel(), minlength=3)) <= 0).all()
    assert result.config is segmenter.config
    assert (result.generator_name, result.generator_digest) == (world.name, world.digest)
    assert set(result.seconds) == {"summary", "clustering"} and all(value > 0 for value in result.seconds.values())


def test_confidence_is_above_one_half_inside_the_mask_only(result):
    soft = result.confidence
    assert 0 <= soft.min() < 0.5 < soft.max() <= 1
    clear = np.abs(soft - 0.5) > 1e-4  # away from ties
    assert clear.mean() > 0.99
    assert np.array_equal((soft > 0.5)[clear], result.mask[clear])


def test_confidence_by_hand():
    distances = np.array([[[0, 9, 16], [9, 0, 4], [4, 4, 100], [0, 0, 0]]], np.float32)  # squared, k = 3
    soft = confidence(distances, np.array([True, False, False]))
    np.testing.assert_allclose(soft[0, :3], [1, 0, 0.5])
    two = confidence(distances, np.array([False, True, True]))
    np.testing.assert_allclose(two[0, :3], [0, 1, 0.5])
    assert np.isfinite(soft).all()
    np.testing.assert_allclose(confidence(np.array([[[9.0, 1.0]]], np.float32), np.array([True, False])), [[0.25]])
    assert (confidence(distances, np.array([True] * 3)) == 1).all()
    assert (confidence(distances, np.array([False] * 3)) == 0).all()


def test_describe_is_json(world, result):
    record = json.loads(json.dumps(result.describe()))
    assert record["settings"]["n"] == 12 and record["settings"]["rule"] == repr(RULE)
    assert set(SegmenterConfig.__dataclass_fields__) - set(record["settings"]) == {"batch_size", "memory_limit"}
    assert record["generator"] == {"name": "toy-portrait", "sha256": world.digest}
    assert record["image_size"] == record["clustering_size"] == [64, 64]
    assert record["foreground_clusters"] == np.flatnonzero(result.foreground).tolist()
    assert record["mask_share"] == pytest.approx(result.mask.mean())
    mapped = StyleMixSegmenter(world, n=2, cutoff=6, rule=Saliency(0.2, saliency_map=np.ones((64, 64)) / 2))
    with pytest.warns(FullMaskWarning, match="full mask"):  # a map that is the same everywhere takes all
        json.dumps(mapped(query(world, 0)).describe())


def test_reduced_resolution(world):
    small = StyleMixSegmenter(world, n=12, cutoff=6, k=3, rule=RULE, resolution=32)(query(world, 3))
    assert small.image.shape == (64, 64, 3) and small.clusters.shape == small.mask.shape == (64, 64)
    assert small.confidence.shape == (64, 64) and small.kmeans.labels.shape == (32, 32)
    assert np.array_equal(small.clusters[::2, ::2], small.kmeans.labels)
    assert np.array_equal(small.clusters[1::2, 1::2], small.kmeans.labels)  # no value is invented
    assert confusion(small.mask, world.truth(query(world, 3))[0].foreground).miou > 0.8
    assert small.describe()["clustering_size"] == [32, 32]


def test_settings_reach_the_steps(world, segmenter, result):
    assert torch.equal(segmenter.styles, draw_style_latents(world, 12, 2023, 1.0))
    ws = query(world, 3)
    assert np.array_equal(segmenter(ws).mask, result.mask)  # deterministic
    assert segmenter.summary(ws).shape == (64, 64, 36)
    with_query = StyleMixSegmenter(world, segmenter.config, include_query=True, color_space="rgb")
    assert with_query.config.n == 12 and with_query.summary(ws).shape == (64, 64, 39)
    eight = StyleMixSegmenter(world, segmenter.config, k=8)(ws)
    assert eight.clusters.max() > 2 and eight.foreground.shape == (8,)
    for summary in (segmenter.summary(ws), segmenter.summary(ws).tensor()):
        again = segmenter.from_summary(ws, summary)
        assert np.array_equal(again.kmeans.centroids, result.kmeans.centroids)
        assert (again.clusters == result.clusters).mean() > 0.9999
        np.testing.assert_allclose(again.confidence, result.confidence, atol=1e-3)


def test_an_empty_mask_warns(world):
    nothing = StyleMixSegmenter(world, n=2, cutoff=6, rule=Saliency(1.0))
    with pytest.warns(EmptyMaskWarning):
        result = nothing(query(world, 0))
    assert not result.mask.any() and not result.confidence.any()


@pytest.mark.parametrize(
    "settings, error, words",
    [
        ({"n": 0}, ValueError, "n must be at least 1, got 0"),
        ({"k": 1}, ValueError, "k must be at least 2, got 1"),
        ({"cutoff": -1}, ValueError, "cutoff must be at least 0, got -1"),
        ({"cutoff": 13}, ValueError, r"cutoff must be in 0\.\.12, got 13"),
        ({"color_space": "lb"}, ValueError, "color_space must be one of lab, rgb, got 'lb'; did you mean 'lab'"),
        ({"style_truncation": 1.5}, ValueError, r"style_truncation must be in 0\.\.1, got 1.5"),
        ({"style_seed": -1}, ValueError, r"seed must be in 0\.\.4294967295, got -1"),
        ({"rule": "saliency"}, TypeError, "rule must be callable, .* got str"),
        ({"colour_space": "lab"}, TypeError, "colour_space"),
    ],
)
def test_bad_settings(world, settings, error, words):
    with pytest.raises(error, match=words):
        StyleMixSegmenter(world, **settings)


@pytest.mark.parametrize(
    "ws, error, words",
    [
        (torch.zeros(2, 12, 32), ValueError, r"ws must hold one query, .*got \(2, 12, 32\): loop over them"),
        (torch.zeros(12, 32), ValueError, r"ws must have shape \(N, 12, 32\)"),
        (torch.full((1, 12, 32), float("nan")), ValueError, "ws must be finite"),
        (np.zeros((1, 12, 32)), TypeError, "ws must be a floating-point torch.Tensor, got ndarray"),
    ],
)
def test_bad_latents(segmenter, ws, error, words):
    with pytest.raises(error, match=words):
        segmenter(ws)


def test_more_clusters_than_pixels(world):
    with pytest.raises(ValueError, match=r"k must be in 2\.\.16, got 17"):
        StyleMixSegmenter(world, n=1, cutoff=6, resolution=4, k=17)(query(world, 0))


def test_enlarge_repeats_pixels():
    assert enlarge(np.array([[1, 2], [3, 4]]), 4).tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]


PROCESSES = """
import multiprocessing

from stylemixseg import StyleMixSegmenter, load_generator, seeded_z


def share(seed):
    generator = load_generator("toy-portrait")
    return StyleMixSegmenter(generator, n=3)(generator.mapping(seeded_z(seed, generator.z_dim), 0.7)).mask.mean()


if __name__ == "__main__":
    here = share(4)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply_async(share, (4,)).get(timeout=300) == here
"""


def test_processes_that_are_spawned_after_a_segmentation(tmp_path):
    """As the class advises; a forked one would wait for OpenMP's threads for ever."""
    script = tmp_path / "script.py"
    script.write_text(PROCESSES)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'get_context("spawn")' in StyleMixSegmenter.__doc__


def test_our_own_processes_are_spawned():
    root = Path(__file__).resolve().parents[1]
    for folder in ("stylemixseg", "data_scripts", "benchmarks", "book"):
        for path in (root / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert "os.fork" not in text and "get_context('fork" not in text, path
            if "ProcessPoolExecutor(" in text or "multiprocessing.Pool" in text:
                assert 'multiprocessing.get_context("spawn")' in text, path
