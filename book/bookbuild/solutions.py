"""Exercises and their solutions: where a solution begins and ends in a chapter, and what stands open between them."""

from __future__ import annotations

import copy
from collections.abc import Iterator

from nbformat import NotebookNode

from .layout import BuildError
from .myst import directives, parser

START, END = "solution-start", "solution-end"


def parts(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, str]]:
    """The cells of a chapter, cut where a solution begins or ends, each with the label of its exercise; else "".

    The two directives that mark a solution are left out.

    Raises:
        BuildError: a solution has no end, or an end no beginning.
    """
    opened = ""
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            yield cell, opened
            continue
        lines, first = cell.source.splitlines(), 0
        for mark in (d for d in directives(cell.source) if d.name in (START, END)):
            yield from _piece(cell, lines[first : mark.lines[0]], opened)
            if (mark.name == START) == bool(opened):
                raise BuildError(
                    f"{{{mark.name}}} {mark.argument} stands {'inside' if opened else 'outside of'} a solution"
                )
            opened = mark.argument if mark.name == START else ""
            first = mark.lines[1]
        yield from _piece(cell, lines[first:], opened)
    if opened:
        raise BuildError(f"the solution of {opened} has no {{{END}}}")


def _piece(cell: NotebookNode, lines: list[str], label: str) -> Iterator[tuple[NotebookNode, str]]:
    """Some lines of a Markdown cell as a cell of their own; nothing where they are blank."""
    if text := "\n".join(lines).strip("\n"):
        piece = copy.deepcopy(cell)
        piece.source = text
        yield piece, label


def open_solutions(notebook: NotebookNode) -> list[str]:
    """What a reader of the page would see of a solution before opening it, one sentence each.

    A solution folds by the class `dropdown`, and takes with it all text and cells up to its end. Between an exercise
    and the next heading there is therefore nothing else than exercises and such solutions.
    """
    found = []
    for cell in (cell for cell in notebook.cells if cell.cell_type == "markdown"):
        for directive in directives(cell.source):
            if directive.name == "solution":
                found.append(f"the solution of {directive.argument} is no {{{START}}}, so that its cells stand open")
            if directive.name == START and "dropdown" not in directive.options.get("class", "").split():
                found.append(f"the solution of {directive.argument} stands open: it lacks ':class: dropdown'")
    try:
        pieces = list(parts(notebook))
    except BuildError as error:
        return [*found, str(error)]
    after_exercise = False
    for cell, inside in pieces:
        if inside:
            continue
        if cell.cell_type != "markdown":
            if after_exercise:
                found.append(f"a cell stands open after an exercise: {cell.source.splitlines()[0]}")
            continue
        exercises = {d.lines: d for d in directives(cell.source) if d.name == "exercise"}
        for token in parser().parse(cell.source):
            if token.level or token.map is None:
                continue
            if token.type == "heading_open":
                after_exercise = False
            elif tuple(token.map) in exercises:
                after_exercise = True
            elif after_exercise:
                found.append(f"text stands open after an exercise: {cell.source.splitlines()[token.map[0]]}")
    return found
