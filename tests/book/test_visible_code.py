"""Code fits the column of the page, and what a page shows of it teaches."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book"))
from bookbuild.cells import COLUMNS, misplaced_imports, shown_bookkeeping, wide_lines
from bookbuild.layout import notebook_sources
from bookbuild.notebooks import read_source

SOURCES = notebook_sources()


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_code_fits_the_column(source: Path) -> None:
    assert wide_lines(read_source(source)) == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_bookkeeping_is_hidden(source: Path) -> None:
    assert shown_bookkeeping(read_source(source)) == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_imports_stand_where_they_teach(source: Path) -> None:
    assert misplaced_imports(read_source(source)) == []


def _chapter(code: str, *tags: str, heading: str = "## Step 1") -> NotebookNode:
    return new_notebook(cells=[new_markdown_cell(heading), new_code_cell(code, metadata={"tags": list(tags)})])


def test_a_wide_line_is_found_in_a_folded_cell_and_a_solution_too() -> None:
    wide = "#" + "x" * COLUMNS
    for chapter in (_chapter(wide), _chapter(wide, "hide-input"), _chapter(wide, heading="## Exercises")):
        assert wide_lines(chapter) == [f"{COLUMNS + 1} characters: {wide}"]
    assert wide_lines(_chapter(wide[:-1])) == []


@pytest.mark.parametrize(
    "line",
    [
        'recorder.add("toy.x", 1)',
        "_ = recorder.write()",
        "display(Markdown(text))",
        'P, generator, recorder, folder = start_chapter("01_tour", profile)',
        'profile = "cpu"',
    ],
)
def test_bookkeeping_that_shows_is_found(line: str) -> None:
    assert shown_bookkeeping(_chapter(line)) == [line]
    for tag in ("hide-input", "remove-input", "remove-cell"):
        assert shown_bookkeeping(_chapter(line, tag)) == []
    assert shown_bookkeeping(_chapter(line, "remove-output")) == [line]
    assert shown_bookkeeping(_chapter(line, heading="## Exercises")) == []


@pytest.mark.parametrize(
    "line",
    ["import numpy as np", "from stylemixseg.evaluation.tables import table", "from PIL import Image"],
)
def test_imports_of_bookkeeping_belong_to_the_first_cell(line: str) -> None:
    assert len(misplaced_imports(_chapter(line))) == 1
    assert misplaced_imports(_chapter(f"{line}\nstart_chapter()", "hide-input")) == []


def test_what_teaches_is_imported_where_it_shows() -> None:
    line = "from stylemixseg.clustering import kmeans"
    assert misplaced_imports(_chapter(line)) == []
    assert len(misplaced_imports(_chapter(line, "hide-input"))) == 1
