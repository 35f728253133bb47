"""Every chapter has its parts, and runs from start to end in the small profile."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat
import pytest
from profile_files import write_profile

from stylemixseg.evaluation.results import load_runs
from stylemixseg.generators.zoo import CATALOGUE

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book"))
from bookbuild.execute import execute
from bookbuild.layout import notebook_sources
from bookbuild.notebooks import figures_without_text, problems, read_source

SOURCES = notebook_sources()


def _name(source: Path) -> str:
    return source.stem


def test_there_are_chapters() -> None:
    assert SOURCES


@pytest.mark.parametrize("source", SOURCES, ids=_name)
def test_has_its_parts(source: Path) -> None:
    """Objectives, prerequisites, run time, two exercises with solutions, summary, parameters."""
    assert problems(read_source(source)) == []


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize("source", SOURCES, ids=_name)
def test_runs(source: Path, tmp_path: Path) -> None:
    """Runs under papermill; its figures have alternative text and captions, and it records results."""
    output = tmp_path / f"{source.stem}.ipynb"
    execute(source, output, profile="smoke", results=tmp_path / "results")
    notebook = nbformat.read(output, as_version=4)
    assert figures_without_text(notebook) == []
    assert str(tmp_path) not in output.read_text(), (
        "an output names a folder of this machine, e.g. `recorder.write()` last"
    )
    runs = load_runs(tmp_path / "results" / "smoke")
    assert runs, "the notebook recorded no result"
    assert {run.profile for run in runs} == {"smoke"}


def test_the_tours_map_lists_every_other_chapter_in_order() -> None:
    others = [source for source in SOURCES if source.stem != "01_tour"]
    section = (SOURCES[0].parent / "01_tour.py").read_text().split("## The map of the book")[1].split("## ")[0]
    assert re.findall(r"\]\((\w+)\.ipynb\)", section) == [source.stem for source in others]


def test_every_generator_that_the_text_fetches_is_known() -> None:
    book = Path(__file__).resolve().parents[2] / "book"
    pages = [*SOURCES, *book.glob("*.md"), book.parent / "README.md"]
    named = {
        (page.name, name) for page in pages for name in re.findall(r"stylemixseg fetch ([\w-]+)", page.read_text())
    }
    assert named
    assert [(page, name) for page, name in sorted(named) if name not in CATALOGUE] == []


def test_real_photos_without_their_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chapter goes the whole way with the astronaut, says what the table needs, and measures nothing for it."""
    monkeypatch.setenv("STYLEMIXSEG_DATA", str(tmp_path / "empty"))
    path = write_profile(tmp_path / "random.toml", "smoke", prefix="random.")  # no samples in place of photos
    (source,) = (item for item in SOURCES if item.stem == "10_real_photos")
    output = tmp_path / "out.ipynb"
    execute(source, output, profile=str(path), results=tmp_path / "results")
    assert figures_without_text(nbformat.read(output, as_version=4)) == []
    assert "No photos with masks are at hand" in output.read_text()
    assert str(tmp_path) not in output.read_text()
    (run,) = load_runs(tmp_path / "results" / "random")
    assert run.experiment == "10_real_photos"
    assert not any("celeba" in item.name for item in run.measurements)
