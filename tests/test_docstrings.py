"""Docstrings are the reference of the package: their examples are run, and what they raise is a list."""

from __future__ import annotations

import ast
import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "stylemixseg"
MODULES = sorted(PACKAGE.rglob("*.py"))
EXAMPLES = [path for path in MODULES if ">>> " in path.read_text(encoding="utf-8")]
_RAISES = re.compile(r"^Raises.*:\n((?:    .*\n?|\n)*)", re.MULTILINE)
_NAME = r"[A-Z]\w*(?:Error|Unavailable|Interrupt)\b"


def _of_package(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", EXAMPLES, ids=_of_package)
def test_examples(path: Path, cache, tmp_path, monkeypatch, capsys) -> None:
    """Each module in an empty folder. What an example raises is compared too; nothing is left out."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    module = import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert tried and not failed, capsys.readouterr().out
    assert "doctest: +SKIP" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", MODULES, ids=_of_package)
def test_each_exception_has_a_line_of_its_own(path: Path) -> None:
    """The page of the reference shows a list; a second exception on a line would be lost in the text of the first."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.Module):
            continue
        for section in _RAISES.findall(ast.get_docstring(node) or ""):
            for line in filter(str.strip, section.splitlines()):
                assert re.match(rf"    (?:{_NAME}(?:, )?)+: |     ", line), f"no exception, not indented: {line}"
                assert not re.search(rf"[.;] {_NAME}: ", line), f"two exceptions: {line}"
