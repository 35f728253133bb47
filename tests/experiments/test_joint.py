"""The judge as an experiment: paired with the rules on the same styles, calibrated, and the same when made again."""

from __future__ import annotations

import json

import numpy as np
import pytest

from stylemixseg.evaluation.imagescores import read_scores
from stylemixseg.evaluation.results import measurements, scores_path
from stylemixseg.experiments import joint
from stylemixseg.experiments.calibration import BINS, Calibration
from stylemixseg.experiments.joint import judge_query, judges_for, run_joint
from stylemixseg.experiments.profile import load_profile
from stylemixseg.experiments.spotcheck import spot_check
from stylemixseg.generators.toyworld.world import ToyWorld

PROFILE = load_profile("smoke").changed(
    method={"n": 6, "resolution": None}, queries={"count": 4}, table4={"queries": 2}, joint={"ns": (4, 6)}
)


@pytest.fixture(scope="module")
def world():
    return ToyWorld("portrait", resolution=32)


@pytest.fixture(scope="module")
def measured(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("joint")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STYLEMIXSEG_CACHE", str(folder / "cache"))
        yield run_joint(PROFILE, folder / "results", world), folder


def test_rules_and_judges_are_scored_on_the_same_images(measured):
    file, _ = measured
    found, scores = measurements(file), read_scores(scores_path(file))
    for name in ("saliency.n6", "corner_minority.n6", "judge.n4", "judge.n6"):
        assert found[f"toy.joint.ffhq.{name}.miou"].n == 4
        assert scores[f"toy.joint.ffhq.{name}"].images == scores["toy.joint.ffhq.judge.n6"].images
        assert f"toy.joint.ffhq.{name}.trimap.miou" in found
    assert found["toy.joint.ffhq.judge.n6.miou"].value > 0.8
    assert 0 <= found["toy.joint.ffhq.judge.n6.calibration_error"].value < 0.2
    assert found["toy.joint.ffhq.judge.n6.surest.miou"].n == 4  # a tenth of four images is none


def test_no_clusters_with_names_come_with_a_toy(measured):
    assert not any("classes" in name for name in measurements(measured[0]))


def test_a_judge_is_fitted_on_other_images_than_it_is_measured_on(world, monkeypatch):
    seen = []
    original = joint.query_latent
    monkeypatch.setattr(joint, "query_latent", lambda *given: seen.append(given[2]) or original(*given))
    judges = judges_for(world, PROFILE.changed(joint={"ns": (4,)}))
    assert set(judges) == {4} and judges[4].entries == 12
    used = PROFILE.queries
    assert not set(seen) & {*used.seeds, *used.development_seeds, *used.comparison_seeds}


def test_queries_are_kept(world, cache, monkeypatch):
    judges = judges_for(world, PROFILE)
    tools = joint.Tools(judges, {}, None)
    first = judge_query(world, PROFILE, 1, tools)
    assert set(first["bins"]) == {"4", "6"} and len(first["counts"]["judge.n4"]) == 4
    monkeypatch.setattr(joint, "_judge_query", lambda *given: pytest.fail("made again"))
    assert judge_query(world, PROFILE, 1, tools) == first
    files = list((cache / "joint").rglob("*.json"))
    assert len(files) == 1 and json.loads(files[0].read_text()) == first


def test_a_spot_check_finds_the_same(measured, world, monkeypatch):
    _, folder = measured
    monkeypatch.setenv("STYLEMIXSEG_CACHE", str(folder / "cache"))
    monkeypatch.setattr(joint, "load_generator", lambda name: world)
    found = spot_check(PROFILE, folder / "results", "any key")
    assert found.rows and all(row.ok for row in found.rows) and not found.left_out


def test_calibration_of_made_up_pixels():
    said = np.float32([[0.05, 0.05, 0.95, 0.95]])
    right = Calibration.of(said, np.array([[False, False, True, True]]))
    assert right.pixels.sum() == 4 and len(right.pixels) == BINS
    assert right.error == pytest.approx(0.05) and len(right.curve) == 2
    wrong = Calibration.of(said, np.array([[True, True, False, False]]))
    assert wrong.error == pytest.approx(0.95)
    both = Calibration.together([right.plain(), wrong.plain()])
    assert both.error == pytest.approx(0.45)
    assert both.curve[0] == (0.5, pytest.approx(0.05))
