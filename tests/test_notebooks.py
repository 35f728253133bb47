"""Every chapter has its parts, and runs from start to end in the small profile."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
import pytest

from stylemixseg.results import load_runs

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "book"))
from bookbuild.execute import execute  # noqa: E402
from bookbuild.layout import notebook_sources  # noqa: E402
from bookbuild.notebooks import figures_without_text, problems, read_source  # noqa: E402

SOURCES = notebook_sources()


def _name(source: Path) -> str:
    return source.stem


def test_there_are_chapters() -> None:
    assert SOURCES


@pytest.mark.parametrize("source", SOURCES, ids=_name)
def test_has_its_parts(source: Path) -> None:
    """Objectives, prerequisites, run time, two exercises with solutions, summary, parameters."""
    assert problems(read_source(source)) == []


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
