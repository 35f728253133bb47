"""A Sphinx extension that completes the chapters while the pages are built: quizzes, glossary links, folded checks.

The executed notebooks stay as they are, so a change to a quiz or to the glossary needs no new run of a chapter.
"""

from __future__ import annotations

import re

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from sphinx.application import Sphinx

from .exercises import CHECK
from .glossary import link_terms, terms
from .layout import EXECUTED, BuildError
from .quizzes import QUIZZES, quiz_markdown, read_quiz

_SUMMARY = re.compile(r"^## Summary$", re.MULTILINE)


def complete(notebook: NotebookNode, name: str) -> None:
    """Complete the chapter `name`, in place, as its page shows it.

    Raises:
        BuildError: the chapter has no summary, before which its quiz stands.
    """
    link_terms(notebook, terms())
    for cell in notebook.cells:
        if CHECK in cell.metadata.get("tags", []):
            cell.metadata["tags"] = [*cell.metadata["tags"], "hide-input"]
    path = QUIZZES / f"{name}.toml"
    if path.is_file():
        _place(notebook, quiz_markdown(read_quiz(path), name), name)


def _place(notebook: NotebookNode, quiz: str, name: str) -> None:
    """Put a quiz before the summary, which may begin inside a cell."""
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown" and (found := _SUMMARY.search(cell.source)):
            before, after = cell.source[: found.start()].strip("\n"), cell.source[found.start() :]
            parts = [new_markdown_cell(text) for text in (before, quiz, after) if text]
            notebook.cells[place : place + 1] = parts
            return
    raise BuildError(f"{name} has no heading '## Summary', before which its quiz stands")


def _on_source(app: Sphinx, page: str, source: list[str]) -> None:
    folder, _, name = page.partition("/")
    if folder == EXECUTED.name:
        notebook = nbformat.reads(source[0], as_version=4)
        complete(notebook, name)
        source[0] = nbformat.writes(notebook)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", _on_source)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
