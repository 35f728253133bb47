"""Default settings are the ones that the scripts data_scripts/choose_*.py chose, not typed by hand."""

from pathlib import Path

import pytest

from stylemixseg.baselines.klish import LINKAGES, Merging
from stylemixseg.evaluation.results import load_run, measurements
from stylemixseg.experiments.profile import load_profile
from stylemixseg.foreground import CornerMinority, Saliency

DEVELOPMENT = Path(__file__).resolve().parents[2] / "book" / "results" / "development"
RUN = load_run(DEVELOPMENT / "rules.json")
CHOSEN = {item.name: item for item in RUN.measurements}


@pytest.mark.parametrize("name, rule", [("saliency", Saliency()), ("corner_minority", CornerMinority())])
def test_defaults_are_the_chosen_settings(name, rule):
    assert CHOSEN[f"rules.{name}.miou"].note == repr(rule)


@pytest.mark.parametrize("profile", ["cpu", "full", "paper"])
def test_profiles_have_the_chosen_cutoff_and_k(profile):
    assert load_profile(profile).method.cutoff == CHOSEN["rules.cutoff"].value
    assert load_profile(profile).method.k == CHOSEN["rules.k"].value


@pytest.mark.parametrize("profile", ["cpu", "full", "paper"])
def test_they_were_chosen_on_images_that_are_neither_reported_nor_compared(profile):
    chosen_on = set(range(RUN.seed, RUN.seed + CHOSEN["rules.saliency.miou"].n))
    assert chosen_on.isdisjoint(load_profile(profile).queries.seeds)
    assert chosen_on.isdisjoint(load_profile(profile).queries.comparison_seeds)


def test_classes_are_compared_as_was_chosen():
    """`Merging.linkage` is the best of linkage.json, on faces that are neither reported nor compared."""
    run = load_run(DEVELOPMENT / "linkage.json")
    means = {item.name.split(".")[1]: item for item in run.measurements if item.name.endswith(".mean")}
    assert set(means) == set(LINKAGES)
    assert max(means, key=lambda name: means[name].value) == Merging().linkage
    chosen_on = set(range(run.seed, run.seed + means["complete"].n))
    for queries in (load_profile(profile).queries for profile in ("cpu", "full", "paper")):
        assert chosen_on.isdisjoint(queries.seeds) and chosen_on.isdisjoint(queries.comparison_seeds)


def test_long_trainings_look_at_photos_as_was_chosen():
    """`long_view` has the best mIoU of long_view.json."""
    found = measurements([load_run(DEVELOPMENT / "long_view.json")])
    side = load_profile("full").table3.side
    means = {at: found[f"long_view.side{at}.miou"].value for at in (side, side + 16, side + 32, side + 48)}
    assert max(means, key=lambda at: round(means[at], 3)) == load_profile("full").table3.long_view


def test_the_file_names_the_profile_whose_sizes_it_had():
    assert RUN.profile == "cpu" and RUN.generator["name"] == load_profile("cpu").generator
    assert f"n = {load_profile('cpu').method.n}," in CHOSEN["rules.cutoff"].note
