"""Self-training: it uses no truth, keeps what repeats, stops by itself, and refuses what it cannot learn from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stylemixseg.foreground import CornerMinority, Saliency
from stylemixseg.generators.base import seeded_z
from stylemixseg.generators.toyworld.world import ToyWorld
from stylemixseg.joint.network import Fitting
from stylemixseg.joint.selftraining import Example, SelfTraining, fit_judge
from stylemixseg.metrics import confusion, mean_iou
from stylemixseg.segmenter import StyleMixSegmenter

QUICK = SelfTraining(rounds=2, segments=6, fitting=Fitting(hidden=8, steps=150, batch=512, pixels_per_image=200))


@pytest.fixture(scope="module")
def world():
    return ToyWorld("portrait", resolution=32)


def query(world, seed):
    return world.mapping(seeded_z(seed, world.z_dim), 0.7)


@pytest.fixture(scope="module")
def segmenter(world):
    return StyleMixSegmenter(world, n=6, cutoff=6, k=3)


@pytest.fixture(scope="module")
def examples(world, segmenter):
    return [Example.of(segmenter.summary(query(world, seed)), 3, 6) for seed in range(40, 64)]


@pytest.fixture(scope="module")
def fitted(examples):
    return fit_judge(examples, QUICK)


def test_better_than_the_rules_it_learnt_from(world, segmenter, fitted):
    by_rule, by_judge = [], []
    for seed in range(8):
        truth = world.truth(query(world, seed))[0].foreground
        summary = segmenter.summary(query(world, seed))
        labels = summary.cluster(3).labels
        by_rule.append(confusion(Saliency()(labels, 3)[labels], truth))
        by_judge.append(confusion(fitted.judge.score(summary) > 0, truth))
    assert mean_iou(by_judge, "dataset") > 0.9
    assert mean_iou(by_judge, "dataset") >= mean_iou(by_rule, "dataset") - 0.02


def test_the_round_of_the_greatest_agreement_is_taken(fitted):
    assert len(fitted.agreement) == len(fitted.by_round) <= 2
    assert fitted.rounds == int(np.argmax(fitted.agreement)) + 1
    assert fitted.judge is fitted.by_round[fitted.rounds - 1]
    assert all(0.5 < value <= 1 for value in fitted.agreement)


def test_a_fit_can_be_repeated(examples, fitted):
    again = fit_judge(examples, QUICK)
    assert again.agreement == fitted.agreement
    np.testing.assert_array_equal(again.judge.network.of_row, fitted.judge.network.of_row)


def test_places_count_only_where_images_are_aligned(examples, fitted):
    scenes = fit_judge(examples, replace(QUICK, aligned=False)).judge
    assert scenes.prior is None and not scenes.network.of_place.any()
    assert fitted.judge.prior is not None


def test_an_example_holds_what_the_rules_say(segmenter, world):
    summary = segmenter.summary(query(world, 1))
    example = Example.of(summary, 3, 0, (Saliency(), CornerMinority()))
    labels = summary.cluster(3).labels
    assert np.array_equal(example.one, Saliency()(labels, 3)[labels])
    assert np.array_equal(example.agreed, example.one == example.other) and example.clusters is None


def test_bad_input(examples):
    with pytest.raises(ValueError, match="examples must be at least 20 images, got 5"):
        fit_judge(examples[:5], QUICK)
    other = replace(examples[0], summary=examples[0].summary.first(5))
    with pytest.raises(ValueError, match="with the same styles, got"):
        fit_judge([other, *examples[1:]], QUICK)
    nothing = [replace(example, one=np.zeros((32, 32), bool), other=np.zeros((32, 32), bool)) for example in examples]
    with pytest.raises(ValueError, match="must agree on pixels of both sides"):
        fit_judge(nothing, QUICK)
    with pytest.raises(ValueError, match="rounds must be at least 1"):
        SelfTraining(rounds=0)
