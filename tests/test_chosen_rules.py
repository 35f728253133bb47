"""The rules' default settings are the ones that data_scripts/choose_rules.py chose, not typed by hand."""

from pathlib import Path

import pytest

from stylemixseg.foreground import CornerMinority, Saliency
from stylemixseg.profiles import load_profile
from stylemixseg.results import load_run

RUN = load_run(Path(__file__).resolve().parents[1] / "book" / "results" / "full" / "rules.json")
CHOSEN = {item.name: item for item in RUN.measurements}


@pytest.mark.parametrize("name, rule", [("saliency", Saliency()), ("corner_minority", CornerMinority())])
def test_defaults_are_the_chosen_settings(name, rule):
    assert CHOSEN[f"rules.{name}.miou"].note == repr(rule)


@pytest.mark.parametrize("profile", ["cpu", "full", "paper"])
def test_profiles_have_the_chosen_cutoff_and_k(profile):
    assert load_profile(profile).cutoff == CHOSEN["rules.cutoff"].value
    assert load_profile(profile).k == CHOSEN["rules.k"].value


def test_they_were_chosen_on_development_images():
    first, count = RUN.seed, CHOSEN["rules.saliency.miou"].n
    for profile in ("cpu", "full", "paper"):
        assert not set(range(first, first + count)) & set(load_profile(profile).query_seeds)
