"""The experiment on several cutoffs: each set is what the source of variants gives, and gains are paired."""

from __future__ import annotations

import numpy as np
import pytest

from stylemixseg.evaluation.imagescores import read_scores
from stylemixseg.evaluation.results import measurements
from stylemixseg.experiments import cutoffs
from stylemixseg.experiments.clustermaps import query_latent
from stylemixseg.experiments.cutoffs import run_cutoffs, score_cutoffs, set_maps
from stylemixseg.experiments.profile import load_profile
from stylemixseg.experiments.spotcheck import spot_check
from stylemixseg.experiments.words import cutoff_sets, set_name
from stylemixseg.foreground import CornerMinority
from stylemixseg.generators.toyworld.world import ToyWorld
from stylemixseg.metrics import confusion
from stylemixseg.variants.segmenting import segment_variants
from stylemixseg.variants.stylemixes import StyleMixes

PROFILE = load_profile("smoke").changed(method={"n": 5, "resolution": None}, table4={"queries": 3})


@pytest.fixture(scope="module")
def world():
    return ToyWorld("portrait", resolution=32)


def test_the_sets_of_a_cutoff():
    assert cutoff_sets(6) == ((6,), (4,), (8,), (4, 6), (6, 8), (4, 6, 8))
    assert set_name((4, 6, 8)) == "c4_c6_c8"


def test_a_set_is_what_the_source_of_variants_gives(cache, world):
    maps = set_maps(world, PROFILE, 1)
    w0, config = query_latent(world, PROFILE, 1), PROFILE.method
    assert set(maps) == {"image", *map(set_name, cutoff_sets(6))}
    for chosen in cutoff_sets(6):
        found = segment_variants(StyleMixes(world, config, cutoffs=chosen), w0, config, rule=CornerMinority())
        np.testing.assert_array_equal(maps[set_name(chosen)], found.clusters)
        np.testing.assert_array_equal(maps["image"], found.image)


def test_maps_are_kept_and_those_of_other_settings_made(cache, world, monkeypatch):
    first, images = set_maps(world, PROFILE, 1), []
    original = cutoffs.style_mixed_images

    def counted(*arguments):
        images.append(original(*arguments))
        return images[-1]

    monkeypatch.setattr(cutoffs, "style_mixed_images", counted)
    again = set_maps(world, PROFILE, 1)
    assert not images and all(np.array_equal(again[name], first[name]) for name in first)
    set_maps(world, PROFILE.changed(method={"n": 4}), 1)
    assert [len(item) for item in images] == [4, 4, 4]  # one stack for each cutoff serves all sets


def test_numbers_are_means_and_paired_gains(cache, world, tmp_path):
    path = run_cutoffs(PROFILE, tmp_path, world)
    assert path == tmp_path / "smoke" / "cutoffs.json"
    found, scores = measurements(path), read_scores(path.parent / "images" / "cutoffs.json")
    rules = ("saliency", "corner_minority", "oracle")
    assert set(scores) == {f"toy.cutoffs.{set_name(item)}.{rule}" for item in cutoff_sets(6) for rule in rules}
    for name, item in scores.items():
        values = np.array(list(item.by_image().values()))
        single = np.array(list(scores[f"toy.cutoffs.c6.{name.split('.')[-1]}"].by_image().values()))
        assert len(values) == 3 and found[f"{name}.miou"].value == pytest.approx(values.mean())
        if ".c6." in name:
            assert f"{name}.gain" not in found
        else:
            assert found[f"{name}.gain"].value == pytest.approx((values - single).mean())


def test_scores_are_against_the_truth(cache, world):
    truth = world.truth(query_latent(world, PROFILE, 2))[0].foreground
    labels = set_maps(world, PROFILE, 2)["c4_c6"]
    (item,) = score_cutoffs(world, PROFILE, [2])["c4_c6.oracle"]
    inside = [truth[labels == m].mean() > 0.5 for m in range(3)]
    assert item == confusion(np.array(inside)[labels], truth)


def test_one_of_its_images_is_measured_again(cache, tmp_path):
    profile = PROFILE.changed(table4={"queries": 2})
    run_cutoffs(profile, tmp_path)
    found = spot_check(profile, tmp_path, "any key")
    assert len(found.rows) == 18 and all(row.ok for row in found.rows) and not found.left_out


def test_a_cutoff_at_the_end_has_no_neighbours(cache, world):
    with pytest.raises(ValueError, match=r"cutoff must be in 0\.\.12, got 13"):
        set_maps(world, PROFILE.changed(method={"cutoff": 11}), 1)
    with pytest.raises(ValueError, match="cutoff must be at least 0, got -1"):
        set_maps(world, PROFILE.changed(method={"cutoff": 1}), 1)
