"""Read a chapter's source, and say what a chapter must have and lacks."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jupytext
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from .exercises import exercise_faults, for_instructors, for_students
from .imports import EXTRA, EXTRA_DEPENDENCIES, installed_modules
from .layout import EXECUTED, repository_url, site_url
from .myst import directives
from .plain import plain_markdown
from .references import References
from .solutions import START, open_solutions

SECTIONS = ("objectives", "prerequisites", "run time", "summary")
MINIMUM_EXERCISES = 2
STUDENT, INSTRUCTOR = "student", "instructor"  # folders of the published book that hold the copies to run
UNITS = {"second": 1, "minute": 60, "hour": 3600}

# A line that only titles something: a heading, bold words, a directive or a table cell.
_TITLE = r"^\s*(?:#+|\*\*|:{{3,}}\s*\{{|`{{3,}}\s*\{{|:?\w*:?\s*\||[-*]\s+\*\*).*\b{word}\b"

# A Markdown link to another chapter.
_CHAPTER_LINK = re.compile(r"\]\((\d\d_\w+\.ipynb)\)")


def read_source(path: Path) -> NotebookNode:
    """Notebook of a py:percent file, with a kernel that every installation has."""
    notebook = jupytext.read(path, fmt="py:percent")
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return notebook


def markdown_of(notebook: NotebookNode) -> str:
    """All Markdown cells of a notebook, joined."""
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def stated_seconds(notebook: NotebookNode) -> float | None:
    """Run time in seconds that the text states, e.g. "**Run time:** about 3 minutes"; None where it states none.

    A range such as "2 to 3 minutes" counts as its upper end.
    """
    match = re.search(
        r"run time\b.{0,120}?(\d+(?:\.\d+)?)(?:\s*(?:to|-|–)\s*(\d+(?:\.\d+)?))?\s*(second|minute|hour)s?\b",
        markdown_of(notebook),
        flags=re.IGNORECASE | re.DOTALL,
    )
    if match is None:
        return None
    low, high, unit = match.groups()
    return float(high or low) * UNITS[unit.lower()]


def problems(notebook: NotebookNode) -> list[str]:
    """What a chapter's source lacks, one sentence each; empty where it is complete."""
    text = markdown_of(notebook)
    found = [
        f"no line titles the section '{section}' (a heading, bold words or a directive)"
        for section in SECTIONS
        if not re.search(_TITLE.format(word=section), text, flags=re.IGNORECASE | re.MULTILINE)
    ]
    if stated_seconds(notebook) is None:
        found.append("no run time of the form 'Run time: about 3 minutes'")
    read = list(directives(text))
    exercises = [d.options.get("label", "") for d in read if d.name == "exercise"]
    if len(exercises) < MINIMUM_EXERCISES:
        found.append(f"needs {MINIMUM_EXERCISES} exercises, has {len(exercises)}")
    solved = {d.argument for d in read if d.name == START}
    found += [f"the exercise {label} has no solution" for label in exercises if label not in solved]
    parameters = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    if len(parameters) != 1:
        found.append(f"needs one cell tagged 'parameters', has {len(parameters)}")
    else:
        for name in ("profile", "results"):
            if not re.search(rf"^{name}\s*=", parameters[0].source, flags=re.MULTILINE):
                found.append(f"the parameters cell does not set {name!r}")
    return found + open_solutions(notebook) + exercise_faults(notebook)


def figures_without_text(notebook: NotebookNode) -> list[str]:
    """Cells of an executed notebook that show a picture without alternative text or without a caption."""
    found = []
    for index, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type != "code" or "remove-cell" in cell.metadata.get("tags", []):
            continue
        shown = [o for o in cell.outputs if any(m.startswith("image/") for m in o.get("data", {}))]
        settings = cell.metadata.get("mystnb", {})
        missing = [
            what
            for what, text in (
                ("alternative text", settings.get("image", {}).get("alt")),
                ("a caption", settings.get("figure", {}).get("caption")),
            )
            if not (text or "").strip()
        ]
        if shown and missing:
            found.append(f"cell {index} ({first_line(cell)}) shows a picture without {' and '.join(missing)}")
    return found


def first_line(cell: NotebookNode) -> str:
    """First line of a cell that is neither blank nor a comment, for messages."""
    lines = [line.strip() for line in cell.source.splitlines() if line.strip()]
    code = [line for line in lines if not line.startswith("#")]
    return (code or lines or ["empty cell"])[0]


def launch_links(name: str) -> str:
    """One line of HTML with the ways to run a chapter: Colab, Binder, download."""
    owner_and_name = repository_url().removeprefix("https://github.com/")
    file = f"{STUDENT}/{name}.ipynb"
    colab = f"https://colab.research.google.com/github/{owner_and_name}/blob/gh-pages/{file}"
    binder = f"https://mybinder.org/v2/gh/{owner_and_name}/gh-pages?labpath={file.replace('/', '%2F')}"
    return (
        f'<p class="notebook-links">Run this chapter: <a href="{colab}">in Colab</a>, '
        f'<a href="{binder}">in Binder</a>, or <a href="../{file}">download the notebook</a>.</p>'
    )


def launch_notebook(source: Path, references: References, audience: str = STUDENT) -> NotebookNode:
    """The chapter as a notebook to run elsewhere: plain Markdown, without outputs.

    Its first cell installs what it needs.

    Args:
        source: py:percent file of the chapter.
        references: what the chapters refer to, from `read_references`.
        audience: `STUDENT`, whose exercises wait for answers, or `INSTRUCTOR`, with all solutions open.

    Raises:
        BuildError: the text has what plain Markdown cannot show, or a solution has no end.
    """
    solved = audience == INSTRUCTOR
    notebook = (for_instructors if solved else for_students)(read_source(source))
    page = f"{EXECUTED.name}/{source.stem}"
    cells = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = plain_markdown(cell.source, references, page, solved=solved)
        elif cell.cell_type == "code":
            # Text that a cell prints may link to another chapter.
            cell.source = _CHAPTER_LINK.sub(lambda link: f"]({references.page_address(link[1])})", cell.source)
        if cell.source:
            cells.append(cell)
        if caption := cell.metadata.get("mystnb", {}).get("figure", {}).get("caption"):
            cells.append(new_markdown_cell(f"**Figure.** {plain_markdown(caption, references, page)}"))
    title, _, rest = cells[0].source.partition("\n")
    whose = "Copy for instructors, with all solutions." if solved else "Copy for students, to run and to change."
    copy_of = f"*{whose} With all its results the chapter is [a page of the book]({site_url()}/{page}.html).*"
    cells[0].source = f"{title}\n\n{copy_of}\n{rest}"
    cells.insert(1, new_code_cell(install_code()))
    # Cell names drawn at random would make every build differ.
    for index, cell in enumerate(cells):
        cell["id"] = f"cell-{index}"
    notebook.cells = cells
    return notebook


def install_code() -> str:
    """The first code cell of a notebook to run elsewhere."""
    modules = ["stylemixseg", *sorted(installed_modules(EXTRA_DEPENDENCIES))]
    return (
        "# Installs the package and what this book's notebooks import, where something is missing, as on Colab.\n"
        "from importlib.util import find_spec\n\n"
        f"if not all(map(find_spec, {json.dumps(modules)})):\n"
        f'    %pip install --quiet "stylemixseg[{EXTRA}] @ git+{repository_url()}"'
    )
