"""What a page shows of a chapter's code: no line runs out of the column, and cells that teach do no bookkeeping."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nbformat import NotebookNode

COLUMNS = 80  # characters of code that fit the column of a page
HIDDEN = {"hide-input", "remove-input", "remove-cell"}  # tags of cells whose code a page folds or leaves out
# Rooms of the package that measure, store and draw. The folded first cell imports their names.
BOOKKEEPING = {"_util", "evaluation", "experiments", "ledger", "viz"}

# A line that records a number, prints a sentence or a table, or starts the chapter.
_BOOKKEEPING_LINE = re.compile(r"\brecorder\.|\bMarkdown\(|\bstart_chapter\(|^(?:profile|results)\s*=")


def wide_lines(notebook: NotebookNode) -> list[str]:
    """Lines of code that are wider than the column, folded ones too; a cell's metadata does not show."""
    return [
        f"{len(line)} characters: {line.strip()}"
        for cell in notebook.cells
        if cell.cell_type == "code"
        for line in cell.source.splitlines()
        if len(line) > COLUMNS
    ]


def shown_bookkeeping(notebook: NotebookNode) -> list[str]:
    """Lines of bookkeeping in cells whose code shows, before the exercises."""
    return [
        line.strip()
        for cell in _teaching_cells(notebook)
        if not _is_hidden(cell)
        for line in cell.source.splitlines()
        if _BOOKKEEPING_LINE.search(line)
    ]


def misplaced_imports(notebook: NotebookNode) -> list[str]:
    """Modules that a cell before the exercises imports against the rule of book/architecture.md.

    The folded first cell may import anything. A later cell imports only where its code shows, and only what teaches:
    names of the package, but none of its bookkeeping.
    """
    found = []
    for cell in _teaching_cells(notebook):
        if "start_chapter(" in cell.source:
            continue
        for node in ast.parse(cell.source).body:
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
            package, *rooms = (module or "").split(".")
            if _is_hidden(cell) or package != "stylemixseg" or BOOKKEEPING & set(rooms[:1]):
                found.append(f"line {node.lineno} of a cell imports {module}")
    return found


def _is_hidden(cell: NotebookNode) -> bool:
    """Whether the page folds the code of a cell, or leaves it out."""
    return bool(HIDDEN & set(cell.metadata.get("tags", [])))


def _teaching_cells(notebook: NotebookNode) -> Iterator[NotebookNode]:
    """Code cells up to the exercises, which have ways of their own."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            yield cell
        elif re.search(r"^## Exercises$", cell.source, flags=re.MULTILINE):
            return
