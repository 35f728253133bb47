"""The notebooks that readers download hold plain Markdown, no solutions, and links that lead somewhere."""

from __future__ import annotations

import ast
import builtins
import json
import re
import sys
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import jupytext
import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from nbformat import NotebookNode

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book"))
from bookbuild.check import expected_pages
from bookbuild.execute import write_launch_notebooks
from bookbuild.exercises import code_exercises, for_instructors, for_students
from bookbuild.layout import BuildError, notebook_sources, site_url
from bookbuild.myst import directives, labelled_equations, parser
from bookbuild.notebooks import INSTRUCTOR, STUDENT, launch_notebook, markdown_of, read_source
from bookbuild.plain import plain_markdown
from bookbuild.references import References, read_references
from bookbuild.solutions import open_solutions, parts

SOURCES = {source.stem: source for source in notebook_sources()}
PAGE = "_executed/01_tour"

CHAPTER = r"""# %% [markdown]
# # Title
#
# ```{math}
# :label: eq-one
# a &= b \\
# c &= d
# ```
#
# $$e = f$$ (eq-two)
#
# ## Exercises
#
# ```{exercise}
# :label: ex-one
# What is $a$?
# ```
#
# ```{solution-start} ex-one
# :class: dropdown
# ```
#
# The cell below says it.

# %%
SECRET = 1

# %% [markdown]
# So it is.
#
# ```{solution-end}
# ```
#
# ## Summary

# %% mystnb={"figure": {"caption": "A *plot* of {eq}`eq-one`.", "name": "fig-one"}}
OPEN = 2
"""


@pytest.fixture(scope="module")
def chapter() -> NotebookNode:
    return jupytext.reads(CHAPTER, fmt="py:percent")


@pytest.fixture(scope="module")
def references(chapter: NotebookNode) -> References:
    return read_references({"01_tour": chapter})


@pytest.fixture(scope="module")
def launched(tmp_path_factory) -> dict[str, NotebookNode]:
    """The notebooks that readers download, by chapter."""
    site = tmp_path_factory.mktemp("site")
    write_launch_notebooks(list(SOURCES.values()), site)
    return {name: nbformat.read(site / STUDENT / f"{name}.ipynb", as_version=4) for name in SOURCES}


@pytest.mark.parametrize(
    ("myst", "plain"),
    [
        ("As {cite}`karras2019,karras2020` says.",
         "As ([Karras et al., 2019](https://arxiv.org/abs/1812.04948); [Karras et al., 2020]"
         "(https://arxiv.org/abs/1912.04958)) says."),
        ("{cite:t}`kingma2015` use Adam.", "[Kingma and Ba (2015)](https://arxiv.org/abs/1412.6980) use Adam."),
        ("{cite}`feng2023`", f"([Feng et al., 2023]({site_url()}/bibliography.html))"),
        ("By {eq}`eq-two` and {ref}`the first <eq-one>`.", "By (2) and the first."),
        ("See {ref}`ex-one` and {numref}`fig-one`.", "See exercise 1 and the figure."),
        ("`{eq}` and `` {cite}`x` `` are code, ${w}`$ is not a role.",
         "`{eq}` and `` {cite}`x` `` are code, ${w}`$ is not a role."),
        ("- one\n- as {cite}`feng2023,\n  kingma2015` say,\n  [and\n  more](02_style_mixing.ipynb#x) says",
         f"- one\n- as ([Feng et al., 2023]({site_url()}/bibliography.html); [Kingma and Ba, 2015]"
         f"(https://arxiv.org/abs/1412.6980)) say,\n  [and\n  more]({site_url()}/_executed/02_style_mixing.html#x) says"),
        ("| a | b |\n|---|---|\n| [x](../intro.md) | [x](../intro.md) and {eq}`eq-one` |",
         f"| a | b |\n|---|---|\n| [x]({site_url()}/intro.html) | [x]({site_url()}/intro.html) and (1) |"),
        ("## On {eq}`eq-one`\n\n> quoted {eq}`eq-two`,\n> twice {eq}`eq-two`", "## On (1)\n\n> quoted (2),\n> twice (2)"),
        ("[away](https://elsewhere.example/a.md)", "[away](https://elsewhere.example/a.md)"),
        (":::{admonition} Before $you$ start\n:class: tip\n**Goals**\n\n- $a\n  = b$ in {eq}`eq-one`\n- c\n:::\n\nText.",
         "> **Before $you$ start**\n>\n> **Goals**\n>\n> - $a = b$ in (1)\n> - c\n\nText."),
        ("```{note}\nMind.\n```", "> **Note**\n>\n> Mind."),
        ("```{math}\n:label: eq-one\na &= b \\\\\nc &= d\n```",
         r"$$ \begin{split} a &= b \\ c &= d \end{split} \tag{1} $$"),
        ("$$\ne = f\n$$ (eq-two)\n\n$$\ng\n$$", "$$ e = f \\tag{2} $$\n\n$$\ng\n$$"),
        ("(a-label)=\n## Title\n\n% for us only\n\nText.", "## Title\n\n\n\nText."),
        ("```bash\nls {x}`y`\n```", "```bash\nls {x}`y`\n```"),
    ],
)  # fmt: skip
def test_myst_becomes_plain_markdown(references: References, myst: str, plain: str) -> None:
    assert plain_markdown(myst, references, PAGE) == plain


def test_another_chapters_page_is_linked(references: References) -> None:
    page = "_executed/02_style_mixing"
    assert plain_markdown("{eq}`eq-one`", references, page) == f"[(1)]({site_url()}/{PAGE}.html#equation-eq-one)"


def test_a_live_part_is_left_to_the_page(references: References) -> None:
    plain = plain_markdown("Try it.\n\n```{raw} html\n<script src='x.js'></script>\n```", references, PAGE)
    assert plain == f"Try it.\n\n*This part is live in [the book's page]({site_url()}/{PAGE}.html).*"


def test_an_exercise_says_where_its_solution_is(references: References) -> None:
    plain = plain_markdown("```{exercise} By hand\n:label: ex-one\nWhat is $a$?\n```", references, PAGE)
    assert plain.startswith("### Exercise 1: By hand\n\nWhat is $a$?\n\n")
    assert f"]({site_url()}/{PAGE}.html#ex-one)" in plain


@pytest.mark.parametrize(
    ("myst", "problem"),
    [
        ("```{figure} x.png\n```", "directive {figure} has no plain Markdown"),
        ("{term}`x`", "role {term} has no plain Markdown"),
        ("{eq}`eq-three`", "no chapter has the label 'eq-three'"),
        ("{cite}`nobody1900`", "no entry 'nobody1900'"),
        ("[x](12_missing.ipynb)", "the book has no such page"),
        ("[x](../README.md)", "the book has no such page"),
        ("- item\n\n  ```{note}\n  x\n  ```", "inside a list"),
        ("![x](a.png)", "a picture has no plain Markdown"),
        ("Term\n: meaning", "a definition list has no plain Markdown"),
    ],
)
def test_what_has_no_plain_form_stops_the_build(references: References, myst: str, problem: str) -> None:
    with pytest.raises(BuildError, match=re.escape(problem)):
        plain_markdown(myst, references, PAGE)


def test_a_label_that_stands_twice_is_refused(chapter: NotebookNode) -> None:
    with pytest.raises(BuildError, match="eq-one, eq-two, ex-one, fig-one"):
        read_references({"01_tour": chapter, "02_style_mixing": chapter})


def test_a_solution_is_cut_out_of_its_cells(chapter: NotebookNode) -> None:
    inside = {cell.source: label for cell, label in parts(chapter) if label}
    assert inside == dict.fromkeys(["The cell below says it.", "SECRET = 1", "So it is."], "ex-one")
    kept = [cell.source for cell in for_students(chapter).cells]
    assert kept[1:] == ["## Summary", "OPEN = 2"] and kept[0].endswith("What is $a$?\n```")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("{solution-end}", "{note}", "the solution of ex-one has no {solution-end}"),
        ("{solution-start}", "{note}", "{solution-end}  stands outside of a solution"),
        ("# So it is.", "# ```{solution-start} ex-two\n# ```", "{solution-start} ex-two stands inside a solution"),
    ],
)
def test_a_solution_without_begin_or_end_stops_the_build(old: str, new: str, problem: str) -> None:
    with pytest.raises(BuildError, match=re.escape(problem)):
        for_students(jupytext.reads(CHAPTER.replace(old, new), fmt="py:percent"))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("", "", None),
        ("# :class: dropdown\n", "", "the solution of ex-one stands open: it lacks ':class: dropdown'"),
        ("## Summary\n\n# %%", "\n# %%", "a cell stands open after an exercise: OPEN = 2"),
        ("# ## Summary", "# In short, it is.", "text stands open after an exercise: In short, it is."),
        (
            "-start} ex-one\n# :class: dropdown\n# ```\n#",
            "} ex-one\n#",
            "the solution of ex-one is no {solution-start}",
        ),
    ],
)
def test_what_stands_open_of_a_solution_is_named(old: str, new: str, problem: str | None) -> None:
    changed = CHAPTER.replace(old, new)
    if problem and "is no {solution-start}" in problem:  # then there is no gate either
        changed = changed.replace("# ```{solution-end}\n# ```", "")
    found = open_solutions(jupytext.reads(changed, fmt="py:percent"))
    assert found == [] if problem is None else any(line.startswith(problem) for line in found), found


@pytest.mark.parametrize("name", SOURCES)
def test_no_solution_is_open_on_its_page(name: str) -> None:
    """Nothing of a solution, text or cell, is visible before a click."""
    assert open_solutions(read_source(SOURCES[name])) == []


def _prose(notebook: NotebookNode) -> str:
    """The Markdown cells without code and formulas, read by a plain Markdown parser."""
    plain = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin, double_inline=True)
    tokens = [token for cell in notebook.cells if cell.cell_type == "markdown" for token in plain.parse(cell.source)]
    assert not [token.info for token in tokens if token.type == "fence" and token.info.startswith("{")]
    children = [child for token in tokens for child in token.children or []]
    return "\n".join(child.content for child in children if child.type == "text")


@pytest.mark.parametrize("name", SOURCES)
def test_no_syntax_of_myst_is_left(launched: dict[str, NotebookNode], name: str) -> None:
    nbformat.validate(launched[name])
    assert not re.findall(r"\{[\w:+-]+\}(?=`|\s|$)|:::|^\([\w-]+\)=|^:\w+:", _prose(launched[name]), re.MULTILINE)
    assert not re.findall(r"\{[\w:+-]+\}`|^\s*(?:`{3,}|:{3,})\{", markdown_of(launched[name]), re.MULTILINE)


@pytest.mark.parametrize("name", SOURCES)
def test_no_solution_is_left(launched: dict[str, NotebookNode], name: str) -> None:
    """Not one line of text or code that stands in a solution and nowhere else, but for stubs and checks."""
    chapter = read_source(SOURCES[name])
    pieces = list(parts(chapter))
    inside, outside = ({line.strip() for cell, label in pieces if bool(label) is wanted
                        for line in cell.source.splitlines()} for wanted in (True, False))  # fmt: skip
    given = {line.strip() for item in code_exercises(chapter) for line in f"{item.stub}\n{item.check}".splitlines()}
    secret = {line for line in inside - outside - given if len(line) > 3}
    assert len(secret) > 5
    assert secret & {line.strip() for cell in launched[name].cells for line in cell.source.splitlines()} == set()
    captions = [cell.metadata["mystnb"]["figure"]["caption"] for cell, label in pieces
                if label and "figure" in cell.metadata.get("mystnb", {})]  # fmt: skip
    assert not any(caption in markdown_of(launched[name]) for caption in captions)
    exercises = re.findall(r"^### Exercise \d+$", markdown_of(launched[name]), re.MULTILINE)
    assert len(exercises) == markdown_of(read_source(SOURCES[name])).count("{exercise}")
    assert markdown_of(launched[name]).count("The solution is folded in [the book's page]") == len(exercises)


@pytest.mark.parametrize("name", SOURCES)
def test_no_cell_needs_what_a_solution_defines(launched: dict[str, NotebookNode], name: str) -> None:
    cells = [cell.source for cell in launched[name].cells if cell.cell_type == "code"]
    nodes = [*ast.walk(ast.parse(TransformerManager().transform_cell("\n".join(cells))))]
    names = [node for node in nodes if isinstance(node, ast.Name)]
    bound = {node.id for node in names if not isinstance(node.ctx, ast.Load)} | {"get_ipython", *dir(builtins)}
    bound |= {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.ExceptHandler))}
    bound |= {node.asname or node.name.partition(".")[0] for node in nodes if isinstance(node, ast.alias)}
    bound |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    assert {node.id for node in names if isinstance(node.ctx, ast.Load)} - bound == set()


def _formulas(text: str, found: list[str] | None = None) -> list[str]:
    """All formulas of a text, without labels and tags and with spaces as they may be, in their order."""
    found = [] if found is None else found
    for token in parser().parse(text):
        if token.type.startswith("math_block"):
            found.append(token.content)
        found += [child.content for child in token.children or [] if child.type.startswith("math_inline")]
    for directive in directives(text):
        found += (
            [directive.body] if directive.name == "math" else _formulas(directive.argument + "\n\n" + directive.body)
        )
    tidy = [re.sub(r"\\tag\{\d+\}|\\(?:begin|end)\{split\}|\s+", "", formula) for formula in found]
    return sorted(tidy)


@pytest.mark.parametrize("name", SOURCES)
def test_formulas_survive(launched: dict[str, NotebookNode], name: str) -> None:
    """Each formula outside of solutions is there, and one that is displayed has its number."""
    source = for_students(read_source(SOURCES[name]))
    ours = [text for cell in source.cells if cell.cell_type == "markdown" for text in _formulas(cell.source)]
    # A quotation's formulas are read with it, and captions are cells of their own.
    theirs = [text for cell in launched[name].cells if cell.cell_type == "markdown"
              and not cell.source.startswith("**Figure.**") for text in _formulas(cell.source)]  # fmt: skip
    assert sorted(ours) == sorted(theirs) and ours
    labels = [
        label for cell in source.cells if cell.cell_type == "markdown" for label in labelled_equations(cell.source)
    ]
    assert len(re.findall(r"\\tag\{\d+\} \$\$", markdown_of(launched[name]))) == len(labels)


@pytest.mark.parametrize("name", SOURCES)
def test_links_resolve(launched: dict[str, NotebookNode], name: str) -> None:
    """No relative link is left, and those to the book name a page of it; `test_book_build.py` follows them."""
    found = re.findall(r"\]\(([^)\s]+)\)", "\n".join(cell.source for cell in launched[name].cells))
    links = [link for link in found if not link.startswith("{")]
    assert all(urlsplit(link).scheme == "https" for link in links)
    pages = [link.removeprefix(f"{site_url()}/").partition(".html")[0] for link in links if link.startswith(site_url())]
    assert len(pages) >= 3 and set(pages) <= set(expected_pages())


@pytest.mark.parametrize("name", SOURCES)
def test_captions_follow_their_figures(launched: dict[str, NotebookNode], name: str) -> None:
    cells = launched[name].cells
    for cell, following in pairwise(cells):
        if "figure" in cell.metadata.get("mystnb", {}):
            assert following.source.startswith("**Figure.** ")


def test_a_build_is_repeatable(references: References) -> None:
    source = SOURCES["01_tour"]
    whole = read_references({name: read_source(path) for name, path in SOURCES.items()})
    assert json.dumps(launch_notebook(source, whole)) == json.dumps(launch_notebook(source, whole))


@pytest.mark.parametrize("name", SOURCES)
def test_instructors_get_every_solution_open(name: str) -> None:
    chapter = read_source(SOURCES[name])
    references = read_references({name: read_source(path) for name, path in SOURCES.items()})
    copied = launch_notebook(SOURCES[name], references, INSTRUCTOR)
    nbformat.validate(copied)
    sources = [cell.source for cell in copied.cells]
    solved = [cell.source for cell, label in parts(chapter) if label and cell.cell_type == "code"]
    assert solved and [source for source in sources if source in solved] == solved
    assert sources.count("**Solution**") == len(set(filter(None, (label for _, label in parts(chapter)))))
    assert "NotImplementedError" not in "".join(sources) and "The solution is folded" not in "".join(sources)
    assert len(for_instructors(chapter).cells) > len(for_students(chapter).cells)
