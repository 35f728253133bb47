"""Stability of clusters: scikit-learn's index, sure maps agree, noise does not, and the choice follows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from stylemixseg.generators.base import seeded_z
from stylemixseg.generators.toyworld.world import ToyWorld
from stylemixseg.joint.stability import (
    Halves,
    Stability,
    adjusted_rand_index,
    compare_halves,
    explained_movement,
    measure_stability,
)
from stylemixseg.settings import SegmenterConfig
from stylemixseg.summary import StyleStack


def painted(regions: np.ndarray, n: int = 8, noise: int = 0) -> StyleStack:
    """Images in which every region has a colour of its own, and pixels some noise."""
    random = np.random.default_rng(0)
    colours = random.integers(40, 216, (n, 3, regions.max() + 1))
    images = colours[:, :, regions] + random.integers(-noise, noise + 1, (n, 3, *regions.shape))
    return StyleStack(images.astype(np.uint8))


@pytest.fixture
def regions() -> np.ndarray:
    found = np.zeros((24, 24), int)
    found[4:20, 4:20], found[8:16, 8:16] = 1, 2
    return found


@pytest.mark.parametrize("seed", range(5))
def test_is_the_index_of_scikit_learn(seed):
    random = np.random.default_rng(seed)
    first = random.integers(0, 2 + seed, (9, 11))
    second = np.where(random.random((9, 11)) < 0.3, random.integers(0, 5, (9, 11)), first)
    assert adjusted_rand_index(first, second) == pytest.approx(adjusted_rand_score(first.ravel(), second.ravel()))


def test_numbering_does_not_count_and_one_cluster_agrees_with_itself(regions):
    assert adjusted_rand_index(regions, np.array([2, 0, 1])[regions]) == 1
    assert adjusted_rand_index(np.zeros((3, 4), int), np.zeros((3, 4), int)) == 1
    with pytest.raises(ValueError, match="second must have the size of first"):
        adjusted_rand_index(regions, regions[:5])


def test_clusters_that_are_there_are_found_again_and_others_are_not(regions):
    found = compare_halves(painted(regions, noise=3), [2, 3, 6])
    assert found[3].agreement == 1  # the three regions
    assert found[6].agreement < 0.95  # three regions cut by chance
    nothing = compare_halves(painted(np.zeros((24, 24), int), noise=20), [3])
    assert nothing[3].agreement < 0.2


def test_movement_is_what_pixels_do_under_styles_and_not_their_colour(regions):
    """By hand: two regions of equal size that a style moves apart by 2a differ from its mean by a."""
    halves = np.zeros((4, 4), int)
    halves[:, 2:] = 1
    base = np.random.default_rng(0).integers(60, 190, (3, 4, 4))
    movement = np.array([[0, 0], [20, -20], [-20, 20], [0, 0]])[:, None, halves]  # (n, 1, H, W): of both regions
    tint = np.array([-30, -10, 10, 30])[:, None, None, None]
    stack = StyleStack((base + movement + tint).astype(np.uint8), "rgb")
    apart = (0 + 20**2 + 20**2 + 0) / 4 * (100 / 255) ** 2  # RGB entries of X_s are in 0..100
    assert explained_movement(halves, stack) == pytest.approx(apart, rel=1e-5)
    assert explained_movement(np.zeros((4, 4), int), stack) == pytest.approx(0, abs=1e-3)
    across = halves.T  # clusters that have nothing to do with the movement
    assert explained_movement(across, stack) == pytest.approx(0, abs=1e-3)


def test_the_choice_by_hand():
    """At each cutoff the k that agrees best, then the cutoff that explains most with its own k."""
    halves = {
        (4, 2): (Halves(0.9, 10.0), Halves(0.7, 10.0)),
        (4, 3): (Halves(0.6, 90.0), Halves(0.6, 90.0)),
        (6, 2): (Halves(0.2, 5.0), Halves(0.4, 5.0)),
        (6, 3): (Halves(0.7, 30.0), Halves(0.7, 20.0)),
        (8, 2): (Halves(1.0, 1.0), Halves(1.0, 1.0)),
    }
    found = Stability(halves)
    assert [found.chosen_k(cutoff) for cutoff in (4, 6, 8)] == [2, 3, 2]
    assert (found.agreement(4, 2), found.explained(6, 3)) == pytest.approx((0.8, 25.0))
    assert found.chosen_cutoff() == 6


def test_the_toy_world_gives_its_cutoff_away():
    """Its structure lies in layers 0 to 5, and its portraits hold three regions."""
    world = ToyWorld("portrait", resolution=32)
    latents = [world.mapping(seeded_z(seed, world.z_dim), 0.7) for seed in range(3)]
    found = measure_stability(world, latents, SegmenterConfig(n=12), [3, 6, 8, 10], [2, 3, 4])
    assert (found.chosen_cutoff(), found.chosen_k(6)) == (6, 3)
    most = max(found.halves, key=lambda key: found.agreement(*key))
    assert most[0] == 10  # agreement alone would choose a cutoff at which nothing moves


@pytest.mark.parametrize(
    "given, message",
    [
        ({"latents": []}, "latents must hold at least one image"),
        ({"cutoffs": []}, "cutoffs must hold at least one value"),
        ({"cutoffs": [0]}, "cutoffs must be"),
        ({"ks": [1]}, "ks must be at least 2, got 1"),
    ],
)
def test_what_cannot_be_tried_is_named(given, message):
    world = ToyWorld("portrait", resolution=32)
    usual = {"latents": [world.w_avg.expand(1, world.num_ws, -1)], "cutoffs": [6], "ks": [2]}
    with pytest.raises(ValueError, match=message):
        measure_stability(world, config=SegmenterConfig(n=4), **usual | given)


def test_equal_seeds_give_equal_numbers(regions):
    stack = painted(regions, noise=30)
    assert compare_halves(stack, [4], seed=1) == compare_halves(stack, [4], seed=1)


def test_too_few_styles_have_no_halves(regions):
    with pytest.raises(ValueError, match="n must be at least 4, got 3"):
        compare_halves(painted(regions, n=3), [2])
    with pytest.raises(ValueError, match="splits"):
        compare_halves(painted(regions), [2], splits=0)
