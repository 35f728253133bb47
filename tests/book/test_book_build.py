"""The built book: every page, picture, link and number is where it should be."""

from __future__ import annotations

import functools
import json
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup
from pypdf import PdfReader

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book"))
from bookbuild.browser import find_browser
from bookbuild.check import check, expected_pages, pages_of
from bookbuild.formulas import can_set
from bookbuild.layout import HTML, VENDOR, notebook_sources, site_url
from bookbuild.notebooks import STUDENT
from bookbuild.wholebook import EPUB, PDF

BUILT = (HTML / "index.html").is_file()
CHAPTERS = [source.stem for source in notebook_sources()] if BUILT else []

pytestmark = pytest.mark.skipif(not BUILT, reason="the book has not been built: `make book` builds it")


def _soup(name: str) -> BeautifulSoup:
    return BeautifulSoup((HTML / f"{name}.html").read_text(encoding="utf-8"), "html.parser")


@functools.cache
def _places(name: str) -> set[str]:
    """What a link to a page can point at."""
    return {element["id"] for element in _soup(name).find_all(id=True)}


def test_pictures_captions_links_and_hosts() -> None:
    """Alternative text and captions everywhere, links that lead somewhere, nothing from another host."""
    check()


@pytest.mark.skipif(not can_set(), reason="Node.js or MathJax is missing: the book has no PDF and no EPUB")
def test_the_whole_book_is_linked_as_files() -> None:
    """Where the tools are there, both are made, and the first page links them with their sizes."""
    files = [PDF, EPUB] if find_browser() else [EPUB]
    links = _soup("intro").select(".book-files a")
    assert [link["href"] for link in links] == files
    for link, name in zip(links, files):
        size = (HTML / name).stat().st_size / 1e6
        assert 1 < size < 60 and f"({size:.0f} MB)" in link.next_sibling
    if PDF in files:
        assert len(PdfReader(HTML / PDF).pages) > 200


def test_every_notebook_is_in_the_table_of_contents() -> None:
    chapters = [page.removeprefix("_executed/") for page in expected_pages() if page.startswith("_executed/")]
    assert chapters == CHAPTERS


@pytest.mark.parametrize("name", CHAPTERS)
def test_chapter_page(name: str) -> None:
    """Outputs, at least one figure, hidden solutions, and links to run the chapter elsewhere."""
    soup = _soup(f"_executed/{name}")
    assert soup.select(".cell_output"), "no cell shows an output"
    assert soup.select("figure img, .widget-subarea, script[type$='widget-view+json']"), "no figure"
    assert len(soup.select(".solution")) >= 2
    links = [a["href"] for a in soup.select(".notebook-links a")]
    assert len(links) == 3 and all(f"{name}.ipynb" in link for link in links)
    assert not soup.select(".output.traceback"), "the page shows an error"


@pytest.mark.parametrize("name", CHAPTERS)
def test_solutions_are_folded(name: str) -> None:
    """Between an exercise and the next heading stand only folded solutions: no text, no code, no output beside them."""
    (section,) = _soup(f"_executed/{name}").select("section#exercises")
    for solution in section.select(".solution"):
        assert "dropdown" in solution["class"]
        assert len(solution.get_text(strip=True)) > 100, "the solution is empty, so what belongs to it stands elsewhere"
    for part in section.select(".solution, .exercise, h2"):
        part.extract()
    assert not section.select(".cell, img, table") and not section.get_text(strip=True)


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_has_its_quiz_and_glossary_links(name: str) -> None:
    soup = _soup(f"_executed/{name}")
    assert len(soup.select("section#quiz .quiz-question")) >= 5
    assert soup.select("a[href*='glossary.html#term-']")


@pytest.mark.parametrize("name", CHAPTERS)
def test_notebook_to_run_elsewhere(name: str) -> None:
    """Valid, without outputs, and its first code cell installs the package where it is missing."""
    notebook = nbformat.read(HTML / STUDENT / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert "pip install" in code[0].source
    assert not any(cell.outputs for cell in code)


@pytest.mark.parametrize("name", CHAPTERS)
def test_notebook_to_run_elsewhere_refers_to_the_pages(name: str) -> None:
    """Its links lead to places of the built pages, and exercises and equations have the numbers of the page."""
    notebook = nbformat.read(HTML / STUDENT / f"{name}.ipynb", as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells)
    links = [urlsplit(link) for link in re.findall(rf"{re.escape(site_url())}/([^)\s]+)", text)]
    assert links
    for link in links:
        places = _places(link.path.removesuffix(".html"))
        assert not link.fragment or link.fragment in places, f"{link.geturl()}: the page has no such place"
    soup = _soup(f"_executed/{name}")
    exercises = [title.get_text(strip=True) for title in soup.select(".exercise > .admonition-title")]
    assert re.findall(r"^### (Exercise \d+)", text, re.MULTILINE) == exercises
    tags = re.findall(r"\\tag\{(\d+)\}", text)
    assert set(tags) <= {number.get_text().strip("()#") for number in soup.select(".eqno")}


@pytest.mark.skipif(BUILT and not (HTML / "vendor").is_dir(), reason="the book was built without npm")
def test_pages_load_their_own_mathjax_and_widgets() -> None:
    for path in pages_of():
        scripts = [
            s["src"] for s in BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").select("script[src]")
        ]
        twice = {s for s in scripts if scripts.count(s) > 1 and "vendor" in s}
        assert not twice, f"{path.name} loads {twice} twice"
    versions = json.loads((HTML.parents[1] / "package.json").read_text())["dependencies"]
    assert set(versions) == {"mathjax", "@jupyter-widgets/html-manager", "onnxruntime-web"}
    assert (VENDOR / "vendor" / "embed.js").stat().st_size > 1_000_000


def test_ledger_is_a_page_with_a_table() -> None:
    assert _soup("generated/ledger").select("table tr"), "the ledger has no table"


def test_github_pages_keeps_folders_with_an_underscore() -> None:
    assert (HTML / ".nojekyll").is_file()


def test_no_notebook_names_papermill_or_a_folder_of_a_machine() -> None:
    """What papermill adds to a run names the folders of the machine that ran it."""
    for path in (HTML / "_sources").rglob("*.ipynb"):
        assert not re.search(r"injected-parameters|input_path", path.read_text(encoding="utf-8")), path.name
