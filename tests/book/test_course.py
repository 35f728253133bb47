"""The course: units cover the chapters, tables and slides are made from one file, projects run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book"))
from bookbuild.check import expected_pages
from bookbuild.course import COURSE, LONGEST_UNIT, VERBS, Slide, read_course, write_course
from bookbuild.layout import BOOK, BuildError, notebook_sources
from bookbuild.notebooks import read_source
from bookbuild.slides import write_decks

SESSIONS = read_course()
UNITS = [unit for session in SESSIONS for unit in session.units]


def test_every_chapter_belongs_to_a_unit_in_order() -> None:
    taught = list(dict.fromkeys(unit.page for unit in UNITS if unit.is_chapter))
    chapters = [source.stem for source in notebook_sources()]
    # Failures and compositing are taught after the ablation, as they stand in the book.
    assert taught == chapters
    pages = [unit.page for unit in UNITS if not unit.is_chapter] + [unit.also for unit in UNITS if unit.also]
    assert set(pages) <= set(expected_pages())


def test_units_are_short_and_say_what_can_be_examined() -> None:
    for unit in UNITS:
        assert 0 < unit.minutes <= LONGEST_UNIT
        verbs = [objective.split()[0] for objective in unit.objectives]
        assert len(verbs) >= 2 and set(verbs) <= set(VERBS) and all(o.endswith(".") for o in unit.objectives)
        assert unit.part or [other.page for other in UNITS].count(unit.page) == 1, f"{unit.title}: which part of it?"
    assert all(session.minutes <= 90 for session in SESSIONS)


@pytest.mark.parametrize("source", notebook_sources(), ids=lambda path: path.stem)
def test_slides_show_figures_of_the_chapter(source: Path) -> None:
    notebook = read_source(source)
    figures = {cell.metadata.get("mystnb", {}).get("figure", {}).get("name") for cell in notebook.cells}
    shown = [slide.figure for unit in UNITS if unit.page == source.stem for slide in unit.slides]
    assert shown and set(shown) <= figures


def test_headings_that_split_a_chapter_are_there() -> None:
    for unit in UNITS:
        for words in re.findall(r'"(.+?)"', unit.part):
            text = (ROOT / "notebooks" / f"{unit.page}.py").read_text()
            assert re.search(rf"^# ##+ {re.escape(words)}", text, re.MULTILINE), f"{unit.page} has no section {words!r}"


def test_tables_have_all_units_and_sessions(tmp_path: Path) -> None:
    write_course(tmp_path)
    units, sessions = ((tmp_path / f"{name}.md").read_text() for name in ("units", "sessions"))
    assert re.findall(r"^\| (\d+) \|", units, re.M) == [str(i) for i in range(1, len(UNITS) + 1)]
    rows = [line.split(" | ") for line in sessions.splitlines()[2:]]
    assert [int(row[3]) for row in rows] == [session.minutes for session in SESSIONS]
    taught = [int(number) for row in rows for number in row[2].split(" and ")]
    assert taught == list(range(1, len(UNITS) + 1))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("minutes = 60", "minutes = 75", "takes 75 minutes, more than 60"),
        ('"Predict how mask', '"See how mask', "an objective begins with one of"),
        ('page = "01_tour"', 'pages = "01_tour"', "session 2"),
        ("after =", "later =", "session 1: 'after'"),
    ],
)
def test_faults_of_the_course_are_named(tmp_path: Path, old: str, new: str, fault: str) -> None:
    path = tmp_path / "course.toml"
    path.write_text(COURSE.read_text().replace(old, new, 1))
    with pytest.raises(BuildError, match=re.escape(fault)):
        read_course(path)


@pytest.fixture
def executed(tmp_path: Path) -> Path:
    """Chapters that hold every picture of the outline, each of one pixel."""
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
    folder = tmp_path / "executed"
    folder.mkdir()
    for page in {unit.page for unit in UNITS if unit.is_chapter}:
        cells = []
        for slide in (slide for unit in UNITS if unit.page == page for slide in unit.slides):
            cell = new_code_cell("x", outputs=[new_output("display_data", {"image/png": pixel})])
            cell.metadata["mystnb"] = {"image": {"alt": f"Picture {slide.figure}"}, "figure": {"name": slide.figure}}
            cells.append(cell)
        nbformat.write(new_notebook(cells=cells), folder / f"{page}.ipynb")
    return folder


def test_slides_are_written_for_each_session(tmp_path: Path, executed: Path) -> None:
    decks = write_decks(SESSIONS, tmp_path / "slides", executed)
    assert len(decks) == len(SESSIONS)
    for deck, session in zip(decks, SESSIONS):
        text = deck.read_text()
        assert text.startswith("---\nmarp: true") and session.title in text
        for unit in session.units:
            assert all(objective in text for objective in unit.objectives)
            for slide in unit.slides:
                assert f"![Picture {slide.figure}](images/{slide.figure}.png)\n\n{slide.say}" in text
                assert (deck.parent / "images" / f"{slide.figure}.png").stat().st_size > 0
    assert "`lloyd_step(points, centroids)`" in decks[2].read_text()


def test_a_figure_that_is_gone_stops_the_slides(tmp_path: Path, executed: Path) -> None:
    unit = UNITS[0].__class__(**{**UNITS[0].__dict__, "slides": (Slide("fig-gone", "x"),)})
    session = SESSIONS[0].__class__("t", "a", (unit,))
    with pytest.raises(
        BuildError, match="course.toml shows fig-gone, and the executed chapter 00_generators has no such"
    ):
        write_decks([session], tmp_path / "slides", executed)


@pytest.mark.parametrize("program", sorted((BOOK / "projects").glob("*.py")), ids=lambda path: path.stem)
def test_starter_code_runs_in_the_toy_world(program: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(re.findall(r"0\.\d{3}|1\.000", done.stdout)) >= 6  # a score per row
