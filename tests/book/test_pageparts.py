"""What is added to chapters while the pages are built: links to the glossary, quizzes, folded checks."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import jupytext
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book"))
from bookbuild.glossary import link_terms, terms
from bookbuild.layout import BuildError, notebook_sources
from bookbuild.notebooks import markdown_of, read_source
from bookbuild.pageparts import complete


def _linked(text: str, known: list[str]) -> str:
    notebook = new_notebook(cells=[new_markdown_cell(text)])
    link_terms(notebook, known)
    return notebook.cells[0].source


@pytest.mark.parametrize(
    ("text", "linked"),
    [
        ("The mask and the mask.", "The {term}`mask <mask>` and the mask."),
        ("Masks of two.", "{term}`Masks <mask>` of two."),
        ("- one\n- a mask", "- one\n- a {term}`mask <mask>`"),
        ("The cluster map is no mask.", "The {term}`cluster map <cluster map>` is no {term}`mask <mask>`."),
        ("# The mask\n\n`mask`, $mask$, [mask](x.md) and {eq}`mask`.", None),
        ("| mask |\n|---|\n| mask |", None),
        ("```{note}\nmask\n```", None),
        ("unmasked, mask-like, *masks*", "unmasked, mask-like, *{term}`masks <mask>`*"),
    ],
)
def test_the_first_use_of_a_term_is_linked(text: str, linked: str | None) -> None:
    assert _linked(text, ["cluster map", "mask"]) == (linked or text)


def test_the_glossary_is_sorted_and_its_words_are_used() -> None:
    known = terms()
    assert len(known) > 40 and [len(term) for term in known] == sorted(map(len, known), reverse=True)
    page = (Path(__file__).resolve().parents[2] / "book" / "glossary.md").read_text()
    in_page = re.findall(r"(?:^|\n\n|glossary\}\n)([^\n]+)\n  (?=\S)", page)
    assert in_page == sorted(in_page, key=str.lower)
    assert set(in_page) - set(known) == {
        "confidence (of a pixel)",
        "encoder (of photos)",
        "judge (of pixels)",
        "student (network)",
    }


@pytest.fixture(scope="module")
def completed() -> dict[str, NotebookNode]:
    chapters = {source.stem: read_source(source) for source in notebook_sources()}
    for name, notebook in chapters.items():
        complete(notebook, name)
    return chapters


def test_every_term_but_a_few_is_linked_from_a_chapter(completed: dict[str, NotebookNode]) -> None:
    text = "\n".join(map(markdown_of, completed.values()))
    unused = [term for term in terms() if f"<{term}>`" not in text]
    # Said in other words there, or explained in the chapter on generators.
    assert set(unused) <= {"alpha channel", "distillation", "modulation", "layered latent"}, unused


def test_a_quiz_stands_before_the_summary(completed: dict[str, NotebookNode]) -> None:
    for name, notebook in completed.items():
        titles = [
            line for line in markdown_of(notebook).splitlines() if line in ("## Exercises", "## Quiz", "## Summary")
        ]
        assert titles == ["## Exercises", "## Quiz", "## Summary"], name
        checks = [cell for cell in notebook.cells if "check" in cell.metadata.get("tags", [])]
        assert checks and all("hide-input" in cell.metadata["tags"] for cell in checks)


def test_a_chapter_without_summary_is_refused() -> None:
    with pytest.raises(BuildError, match="01_tour has no heading '## Summary'"):
        complete(jupytext.reads("# %% [markdown]\n# # Title\n", fmt="py:percent"), "01_tour")
