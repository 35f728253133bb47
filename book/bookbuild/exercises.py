"""Exercises that ask for code: one source, from which the copies for students and for instructors are made.

Inside the fences of a solution, a cell tagged `answer` holds one function, and the cell after it, tagged `check`, calls
it and says what is wrong. Students get the function without its body and the check; instructors get everything.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from .cells import COLUMNS
from .layout import BuildError
from .myst import directives
from .solutions import parts

ANSWER, CHECK = "answer", "check"
_TODO = "# Write the function, then run the check in the next cell."
# What a check cell is in the copy of a student: hidden, and no end to "run all" where the answer is still missing.
_HIDDEN = {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": [CHECK, "hide-input", "raises-exception"]}


@dataclass(frozen=True)
class CodeExercise:
    """An exercise that asks for a function.

    Attributes:
        label: of the exercise.
        answer, check: sources of the two cells.
    """

    label: str
    answer: str
    check: str

    @property
    def function(self) -> str:
        """Name of the function."""
        return _function(self.answer).name

    @property
    def signature(self) -> str:
        """How the text names it, such as "rule(labels, k)"."""
        function = _function(self.answer)
        return f"{function.name}({ast.unparse(function.args)})"

    @property
    def stub(self) -> str:
        """The answer as students get it: the function without its body."""
        return stub(self.answer)


def code_exercises(notebook: NotebookNode) -> list[CodeExercise]:
    """The exercises of a chapter that ask for code, in their order.

    Raises:
        BuildError: an answer without a check right after it or the other way round, one outside of a solution, or one
            that is not a single function with a docstring.
    """
    found: list[CodeExercise] = []
    waiting: tuple[str, str] | None = None  # label and answer, until the check comes
    for cell, label in parts(notebook):
        kind = _kind(cell)
        if kind and not label:
            raise BuildError(f"a cell tagged {kind!r} stands outside of a solution: {cell.source.splitlines()[0]}")
        if waiting and kind != CHECK:
            raise BuildError(f"the answer of {waiting[0]} has no cell tagged 'check' right after it")
        if kind == ANSWER:
            _function(cell.source)
            waiting = (label, cell.source)
        elif kind == CHECK:
            if waiting is None:
                raise BuildError(f"the check of {label} has no cell tagged 'answer' right before it")
            found.append(CodeExercise(*waiting, cell.source))
            waiting = None
    if waiting:
        raise BuildError(f"the answer of {waiting[0]} has no cell tagged 'check' right after it")
    return found


def exercise_faults(notebook: NotebookNode) -> list[str]:
    """What is wrong with the exercises of a chapter that ask for code, one sentence each."""
    try:
        exercises = code_exercises(notebook)
    except BuildError as error:
        return [str(error)]
    texts = {
        directive.options.get("label"): " ".join(directive.body.split())
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for directive in directives(cell.source)
        if directive.name == "exercise"
    }
    found = [] if exercises else ["no exercise asks for code (a cell tagged 'answer' and one tagged 'check')"]
    for exercise in exercises:
        if f"`{exercise.signature}`" not in texts.get(exercise.label, ""):
            found.append(f"the text of {exercise.label} does not name `{exercise.signature}`")
        if f"{exercise.function}(" not in exercise.check:
            found.append(f"the check of {exercise.label} does not call {exercise.function}")
        if any(len(line) > COLUMNS for cell in (exercise.answer, exercise.check) for line in cell.splitlines()):
            found.append(f"the answer or the check of {exercise.label} has a line of more than {COLUMNS} columns")
    return found


def stub(answer: str) -> str:
    """An answer without the body of its function, which asks to be written.

    Raises:
        BuildError: the answer is not a single function with a docstring.
    """
    function = _function(answer)
    kept = answer.splitlines()[: function.body[0].end_lineno]
    return "\n".join([_TODO, *kept, f'    raise NotImplementedError("write {function.name}, then run its check")'])


def for_students(notebook: NotebookNode) -> NotebookNode:
    """A copy of a chapter in which the exercises wait for answers: stubs and hidden checks, and no solutions."""
    code_exercises(notebook)
    copied = copy.deepcopy(notebook)
    copied.cells = list(_student_cells(copied))
    return copied


def _student_cells(notebook: NotebookNode) -> Iterator[NotebookNode]:
    for cell, label in parts(notebook):
        kind = _kind(cell)
        if kind == ANSWER:
            name, cell.source = _function(cell.source).name, stub(cell.source)
            yield cell
        elif kind == CHECK:
            cell.source = f"# @title Check `{name}`: run this cell\n{cell.source}"
            cell.metadata.update(copy.deepcopy(_HIDDEN))
            yield cell
        elif not label:
            yield cell


def for_instructors(notebook: NotebookNode) -> NotebookNode:
    """A copy of a chapter in which every solution stands open below its exercise, under a title of its own."""
    copied = copy.deepcopy(notebook)
    cells, before = [], ""
    for cell, label in parts(copied):
        if label and label != before:
            cells.append(new_markdown_cell("**Solution**"))
        cells.append(cell)
        before = label
    copied.cells = cells
    return copied


def _kind(cell: NotebookNode) -> str:
    """Whether a cell is tagged as an answer or as a check; else empty."""
    return next((tag for tag in cell.metadata.get("tags", []) if tag in (ANSWER, CHECK)), "")


def _function(answer: str) -> ast.FunctionDef:
    """The one function of an answer; only imports may stand before it.

    Raises:
        BuildError: there is something else, no function, or one without a docstring.
    """
    *before, function = ast.parse(answer).body
    if not isinstance(function, ast.FunctionDef) or not all(isinstance(n, ast.Import | ast.ImportFrom) for n in before):
        raise BuildError(f"an answer must be imports and one function, got: {answer.splitlines()[0]} ...")
    if ast.get_docstring(function) is None or len(function.body) < 2:
        raise BuildError(f"the answer {function.name} needs a docstring, which students get, and a body")
    return function
