"""What `make check` runs: the same commands as pre-commit's, and before all else in continuous integration."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
METHOD = ("mixing", "summary", "clustering", "foreground", "segmenter", "metrics")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def commands_of_make_check() -> list[str]:
    """The commands of the recipe, as a shell gets them, without what is said when they fail."""
    recipe = re.search(r"^check: env\n((?:\t.*\n|  .*\n)+)", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert recipe is not None
    lines = [line for line in recipe[1].splitlines() if line.startswith("\t@")]
    return [re.sub(r" \|\| .*", "", line).strip("\t@").replace("$(RUN)", ".venv/bin/python") for line in lines]


def test_pre_commit_runs_the_commands_of_make_check() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"  # nothing is fetched
    assert [hook["entry"] for hook in repository["hooks"]] == commands_of_make_check()
    assert all(hook["pass_filenames"] is False for hook in repository["hooks"])  # all files, as there


def test_make_check_says_which_checker_failed() -> None:
    recipe = (ROOT / "Makefile").read_text()
    said = re.findall(r'echo "make check: (ruff check|ruff format|mypy) ', recipe)
    assert said == ["ruff check", "ruff format", "mypy"] and len(commands_of_make_check()) == 3


def test_continuous_integration_begins_with_make_check() -> None:
    steps = re.findall(r"^make (?:--\S+ )*(\w+)", (ROOT / ".ci" / "run").read_text(), flags=re.MULTILINE)
    assert steps[0] == "check"


def test_the_method_and_the_evaluation_are_checked_strictly_and_measured() -> None:
    strict = [item["module"] for item in PYPROJECT["tool"]["mypy"]["overrides"] if item.get("disallow_untyped_defs")]
    expected = {f"stylemixseg.{name}" for name in METHOD} | {"stylemixseg.generators.base", "stylemixseg.evaluation.*"}
    assert len(strict) == 1 and expected <= set(strict[0])
    measured = PYPROJECT["tool"]["coverage"]["run"]["include"]
    assert {f"stylemixseg/{name}.py" for name in METHOD} | {"stylemixseg/evaluation/*"} <= set(measured)
    assert all(list(ROOT.glob(name)) for name in measured)
    assert PYPROJECT["tool"]["coverage"]["report"]["fail_under"] > 0
