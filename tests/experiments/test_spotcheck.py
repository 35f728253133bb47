"""Spot checks: the images are drawn from the key, computed from nothing, and a change of the code is seen."""

from __future__ import annotations

import numpy as np
import pytest

from stylemixseg import mixing
from stylemixseg._util.paths import cache_dir
from stylemixseg.evaluation.imagescores import folder_scores
from stylemixseg.evaluation.numbercheck import Row
from stylemixseg.evaluation.resultfiles import ResultError
from stylemixseg.evaluation.results import measurements
from stylemixseg.evaluation.spotcheck import FILE, SpotCheck, read_spot_check, write_spot_check
from stylemixseg.experiments import ablation, evaluation, objects, parts
from stylemixseg.experiments.kept import kept_folder, made_anew
from stylemixseg.experiments.profile import load_profile
from stylemixseg.experiments.reproduce import reproduce
from stylemixseg.experiments.spotcheck import spot_check

PROFILE = load_profile("smoke").changed(
    method={"n": 3}, queries={"count": 6}, table4={"queries": 3, "cutoffs": (4, 6), "ks": (2, 3)}, objects={"scenes": 2}
)
TABLES = ("table1", "table4", "parts")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A committed run of the toy world, and a cache that keeps what it made."""
    folder = tmp_path_factory.mktemp("committed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STYLEMIXSEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        for table in TABLES:
            reproduce(table, PROFILE, folder)
        yield folder


def test_everything_comes_out_again(results):
    found = spot_check(PROFILE, results, "a commit")
    assert found.left_out == {} and all(row.ok for row in found.rows)
    assert max(abs(row.measured - row.expected) for row in found.rows) < 1e-6
    assert len(found.images("toy.table1.ffhq.saliency")) == 2
    assert len(found.images("toy.table4.lab.c4.k2")) == len(found.images("toy.table4.rgb.c6.k3")) == 1
    assert not (results / FILE).exists() and sorted(path.name for path in results.iterdir()) == ["smoke"]


def test_rooms_come_out_again(results, tmp_path, monkeypatch):
    monkeypatch.setattr(objects, "ROOMS_AGAIN", 1)
    reproduce("objects", PROFILE, tmp_path)
    found = spot_check(PROFILE, tmp_path, "a commit")
    assert len(found.images("toy.objects.oracle.instances.iou")) == 1
    assert all(row.ok for row in found.rows) and {row.name.split(".")[1] for row in found.rows} == {"objects"}


def test_the_key_draws_the_images(results, monkeypatch):
    """What is drawn, not what is computed: the tables are only asked for their images."""
    asked = []
    for module, name in ((evaluation, "run_evaluation"), (ablation, "run_ablation"), (parts, "run_parts")):
        monkeypatch.setattr(module, name, lambda profile, out, name=name: asked.append((name, profile.queries.first)))

    def drawn(key):
        asked.clear()
        spot_check(PROFILE, results, key)
        return tuple(asked)

    assert drawn("a") == drawn("a") and len(drawn("a")) == 4  # two queries, one of the ablation, one of the parts
    assert len({drawn(key) for key in "abcdef"}) > 2


def test_what_was_kept_is_not_read(results, monkeypatch):
    """A changed method is seen though the results of the old one lie in the cache."""
    mix = mixing.mix_styles
    monkeypatch.setattr(mixing, "mix_styles", lambda w0, ws, cutoff: mix(w0, ws, cutoff + 3))
    found = spot_check(PROFILE, results, "a commit")
    moved = {row.name for row in found.rows if not row.ok}
    assert any(name.startswith("toy.table1") for name in moved)
    assert any(name.startswith("toy.table4") for name in moved)


def test_nothing_is_kept_of_what_is_made_anew(results):
    with made_anew():
        inside = kept_folder("maps")
        assert cache_dir() not in inside.parents and inside.parent.is_dir()
    assert not inside.parent.exists() and kept_folder("maps") == cache_dir() / "maps"
    with pytest.raises(KeyError), made_anew():
        raise KeyError
    assert kept_folder("maps") == cache_dir() / "maps"


def test_a_table_without_its_data_is_left_out_by_name(results, monkeypatch):
    def absent(*arguments):
        raise FileNotFoundError("data/celebamask_hq_800 not found")

    monkeypatch.setattr(parts, "run_parts", absent)
    monkeypatch.setattr(ablation, "run_ablation", lambda *arguments: None)
    found = spot_check(PROFILE, results, "a commit")
    assert found.left_out == {"parts": "data/celebamask_hq_800 not found"}
    assert any(row.name.startswith("toy.table1") for row in found.rows)


def test_a_spot_check_comes_back_as_written(tmp_path):
    rows = (Row("a.b", "seed1", 0.5, 0.5, 0.005), Row("a.b", "seed2", 0.5, 0.6, 0.005))
    found = SpotCheck("full", "a commit", "2026-11-25T10:00:00+00:00", 12.5, rows, {"parts": "not here"})
    assert read_spot_check(tmp_path) is None
    path = write_spot_check(found, tmp_path)
    again = read_spot_check(tmp_path)
    assert (
        again == found and [row.ok for row in again.rows] == [True, False] and again.images("a.b") == ["seed1", "seed2"]
    )
    path.write_text('{"rows": [{"name": 1}]}')
    with pytest.raises(ResultError, match="spot_check.json is not a file of a spot check"):
        read_spot_check(tmp_path)


def test_without_scores_of_images_there_is_nothing_to_compare(tmp_path):
    with pytest.raises(ResultError, match="no scores of single images in .*smoke"):
        spot_check(PROFILE, tmp_path, "a commit")


def test_scores_of_images_add_up_to_the_means(results):
    found, scores = measurements(results / "smoke"), folder_scores(results / "smoke")
    assert scores["toy.table1.ffhq.saliency"].images == tuple(f"seed{seed:05d}" for seed in range(6))
    for name in ("toy.table1.ffhq.saliency.per_image.miou", "toy.table4.lab.c4.k2.miou"):
        score = scores[name.removesuffix(".miou").removesuffix(".per_image")]
        assert found[name].value == pytest.approx(np.mean(score.values))
