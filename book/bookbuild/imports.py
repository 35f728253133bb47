"""Which modules the chapters import, and which ones an installation of the package brings."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import packages_distributions

from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .layout import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRA = "notebooks"  # of pyproject.toml: what the chapters import beyond the package
DEPENDENCIES: list[str] = PROJECT["dependencies"]
EXTRA_DEPENDENCIES: list[str] = PROJECT["optional-dependencies"][EXTRA]


def notebook_imports(notebook: NotebookNode) -> set[str]:
    """Top-level modules that the code cells import anywhere, without those of the standard library."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    # IPython's own reading of a cell turns lines such as `%pip install` into Python.
    return imports(ast.parse("\n".join(TransformerManager().transform_cell(source) for source in code)))


def imports(tree: ast.AST) -> set[str]:
    """Top-level modules that Python code imports anywhere, without those of the standard library."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names


@cache
def _distributions() -> dict[str, list[str]]:
    """{top-level module: distributions that bring it}. Slow, since it reads the list of all installed files."""
    return packages_distributions()


def installed_modules(requirements: Iterable[str]) -> set[str]:
    """Top-level modules of the distributions that requirements name, as far as they are installed here."""
    names = {canonicalize_name(Requirement(line).name) for line in requirements}
    return {
        module
        for module, distributions in _distributions().items()
        if names & {canonicalize_name(name) for name in distributions}
    }
