"""Experiments register themselves; what their source text says of them is what they are."""

from __future__ import annotations

import inspect

import pytest

from stylemixseg.experiments import registry
from stylemixseg.experiments.registry import experiment, experiments, listed
from stylemixseg.experiments.reproduce import BY_REFERENCE


def test_the_tables_are_there():
    assert set(experiments()) == {
        "baselines",
        "cutoffs",
        "detectors",
        "joint",
        "objects",
        "parts",
        "student",
        "table1",
        "table1_photos",
        "table3",
        "table4",
    }


def test_the_source_text_says_the_same():
    assert list(listed()) == list(experiments())
    for name, item in experiments().items():
        lines, first = inspect.getsourcelines(item.measured_by)
        found = listed()[name]
        assert (found.words, found.lines) == (item.words, (first, first + len(lines) - 1))
        assert str(found.file) == inspect.getsourcefile(item.measured_by)


def test_all_have_one_signature():
    for item in experiments().values():
        assert list(inspect.signature(item.run).parameters) == ["profile", "results", "generator"]


def test_a_name_is_given_once(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTERED", {})
    register = experiment("mine", "a table of mine", measured_by=len)

    @register
    def run(profile, results, generator=None):
        return results

    assert registry._REGISTERED["mine"].run is run
    with pytest.raises(ValueError, match="experiment mine is registered already"):
        register(run)


def test_tables_that_look_at_the_profiles_reference_are_listed():
    """`reproduce --reference` refuses the others, whose numbers would be the same under another name."""
    look = {
        name
        for name, item in listed().items()
        if "reference_masks(profile.reference" in item.file.read_text(encoding="utf-8")
    }
    assert look == set(BY_REFERENCE)
