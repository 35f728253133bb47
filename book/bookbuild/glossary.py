"""Links from the chapters to the glossary: the first use of each term, in the pages only.

The notebooks hold plain words, so that what readers download needs no glossary; the links are added while the pages are
built.
"""

from __future__ import annotations

import re
from pathlib import Path

from nbformat import NotebookNode

from .layout import BOOK
from .myst import directives, parser
from .plain import text_places

GLOSSARY = BOOK / "glossary.md"
# What is no running text: code, formulas, roles, links and HTML.
_NOT_TEXT = re.compile(r"(`+).+?\1|\$[^$]+\$|\{[\w:]+\}`[^`]*`|\[[^\]]*\]\([^)]*\)|<[^>]+>", re.DOTALL)


def terms(path: Path = GLOSSARY) -> list[str]:
    """The terms to link, longest first, so that "cluster map" is found before "map" would be.

    A term that says in brackets what it is about, such as "judge (of pixels)", is a word with other meanings in the
    text, so it is not linked.
    """
    found = [
        line
        for directive in directives(path.read_text(encoding="utf-8"))
        if directive.name == "glossary"
        for line in directive.body.splitlines()
        if line and not line.startswith(" ") and not line.endswith(")")
    ]
    return sorted(found, key=len, reverse=True)


def link_terms(notebook: NotebookNode, known: list[str]) -> None:
    """Link the first use of each term in the running text of a chapter, in place.

    Headings, tables, directives, and what is formatted otherwise are left as they are.
    """
    waiting = list(known)
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and waiting:
            cell.source, waiting = _linked(cell.source, waiting)


def _linked(text: str, waiting: list[str]) -> tuple[str, list[str]]:
    """A text with its first uses linked, and the terms that are still to come."""
    lines = text.splitlines()
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    columns, edits, before = [0] * len(lines), [], ""
    for token in parser().parse(text):
        if token.type == "inline":
            found, left = _first_uses(token.content, waiting) if before == "paragraph_open" else ([], waiting)
            places = text_places(token, lines, starts, columns)
            if places:  # else the text stands otherwise in its lines, and stays without links
                edits += [(places[start], places[end], term) for start, end, term in found]
                waiting = left
        before = token.type
    for start, end, term in sorted(edits, reverse=True):
        text = f"{text[:start]}{{term}}`{text[start:end]} <{term}>`{text[end:]}"
    return text, waiting


def _first_uses(content: str, waiting: list[str]) -> tuple[list[tuple[int, int, str]], list[str]]:
    """Where a paragraph uses a term for the first time: (from, to, term); and the terms that it does not use."""
    masked = _NOT_TEXT.sub(lambda match: "\0" * len(match[0]), content)
    found, left = [], []
    for term in waiting:
        if match := re.search(rf"(?<![\w-]){re.escape(term)}s?(?![\w-])", masked, re.IGNORECASE):
            found.append((match.start(), match.end(), term))
            masked = masked[: match.start()] + "\0" * len(match[0]) + masked[match.end() :]
        else:
            left.append(term)
    return found, left
