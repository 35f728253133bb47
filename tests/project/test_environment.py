"""One set of versions: environment.yml and the lock agree with the ranges of pyproject.toml."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOCK = (ROOT / "requirements" / "lock.txt").read_text()
# What conda calls them, where it has another name or another build is wanted.
CONDA_NAMES = {"torch": "pytorch-gpu", "faiss-cpu": "faiss-gpu"}
CONDA_ONLY = {"python", "pip", "nodejs"}


def _required(*lists: list[str]) -> dict[str, SpecifierSet]:
    """{name: range} of lists of requirements."""
    requirements = [Requirement(line) for lines in lists for line in lines]
    return {canonicalize_name(r.name): r.specifier for r in requirements}


def _conda() -> dict[str, SpecifierSet]:
    """{name: range} of environment.yml, its pip part included."""
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    plain = [item for item in listed if isinstance(item, str)]
    by_pip = [line for item in listed if isinstance(item, dict) for line in item["pip"]]
    return _required(plain, by_pip)


def _locked() -> dict[str, Version]:
    """{name: version} of the lock."""
    lines = [line for line in LOCK.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[^\s+]+", line) for line in lines), "the lock has a line that is no pin"
    return {canonicalize_name(name): Version(version) for name, version in (line.split("==") for line in lines)}


USED = ("references", "objects", "detectors", "formats", "photos", "notebooks", "book", "test")
ALL = _required(PROJECT["dependencies"], *(EXTRAS[name] for name in USED))


@pytest.mark.parametrize("name", sorted(ALL))
def test_environment_yml_has_the_range_of_pyproject(name: str) -> None:
    conda = _conda()
    theirs = CONDA_NAMES.get(name, name)
    assert theirs in conda, f"environment.yml lacks {theirs}"
    assert conda[theirs] == ALL[name]


def test_environment_yml_has_nothing_else() -> None:
    ours = {CONDA_NAMES.get(name, name) for name in ALL}
    assert set(_conda()) - ours == CONDA_ONLY
    assert _conda()["python"] == SpecifierSet(PROJECT["requires-python"])


@pytest.mark.parametrize("name", sorted(set(ALL) - {"tomli"}))
def test_lock_lies_in_the_range_of_pyproject(name: str) -> None:
    locked = _locked()
    assert name in locked, f"requirements/lock.txt lacks {name}: run `make lock`"
    assert locked[name] in ALL[name]


def test_lock_has_one_faiss() -> None:
    assert [name for name in _locked() if name.startswith("faiss")] == ["faiss-cpu"]


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The interpreter of an environment without pip, as uv makes them."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    return tmp_path / "bare" / "bin" / "python"


def _install(python: Path, *arguments: str | Path, path: str) -> subprocess.CompletedProcess:
    command = [ROOT / "requirements" / "install.sh", python, *arguments]
    return subprocess.run(command, env=os.environ | {"PATH": path}, capture_output=True, text=True)


def test_an_environment_without_pip_is_filled_by_uv(bare: Path, tmp_path: Path) -> None:
    uv = tmp_path / "programs" / "uv"
    uv.parent.mkdir()
    uv.write_text('#!/bin/sh\necho "uv $@"\n')
    uv.chmod(0o755)
    done = _install(bare, "-r", "lock.txt", path=f"{uv.parent}:{os.defpath}")
    assert done.stdout == f"uv pip install --quiet --python {bare} -r lock.txt\n"
    own = _install(Path(sys.executable), "--help", path=f"{uv.parent}:{os.defpath}")
    assert "Usage" in own.stdout  # of pip: where there is one, it is used


def test_an_environment_without_pip_and_uv_gets_pip(bare: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "found = True\n")
        archive.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
        archive.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.dist-info/RECORD", "")
    done = _install(bare, "--no-index", wheel, path=os.defpath)
    assert done.returncode == 0, done.stderr
    assert subprocess.run([bare, "-c", "import tiny; assert tiny.found"]).returncode == 0


def test_an_environment_that_nothing_can_fill_is_named(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")  # as on Debian, where ensurepip is a package of its own
    python.chmod(0o755)
    done = _install(python, "-r", "lock.txt", path=os.defpath)
    assert done.returncode == 1
    assert f"{python} has no pip" in done.stderr and "python3-venv" in done.stderr


def test_extras_that_texts_and_messages_name_exist() -> None:
    files = [ROOT / "README.md", ROOT / "Makefile", *(ROOT / "book").glob("*.md")]
    files += [
        path for folder in ("stylemixseg", "book/bookbuild", "notebooks") for path in (ROOT / folder).rglob("*.py")
    ]
    named = [
        (name, path.relative_to(ROOT))
        for path in files
        for listed, single in re.findall(
            r"(?:stylemixseg|'\.)\[([a-z,]+)\]|(?<!no )\bextras? [`']([a-z]+)[`']", path.read_text(encoding="utf-8")
        )
        for name in (listed or single).split(",")
    ]
    assert {"align", "detectors", "photos", "references"} <= {name for name, _ in named}
    assert [(name, path) for name, path in named if name not in EXTRAS] == []


NAMES_NO_REGISTRY = (
    "requirements/lock.txt",
    "book/package-lock.json",
    "book/slides/package-lock.json",
    "Makefile",
    "environment.yml",
)


@pytest.mark.parametrize("file", NAMES_NO_REGISTRY)
def test_no_registry_is_named(file: str) -> None:
    """Downloads come from where the user has set up pip, npm and conda."""
    text = (ROOT / file).read_text()
    assert "index-url" not in text and "find-links" not in text and '"resolved"' not in text


def test_the_container_makes_the_environment_with_a_python_that_the_lock_allows() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert container["postCreateCommand"] == "make env"
    python = Version(container["image"].removeprefix("python:"))
    low, high = map(Version, re.search(r"The locked versions need Python (\S+) to (\S+):", _makefile()).groups())
    assert low <= python <= high
    interpreter = container["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    assert interpreter.endswith("/.venv/bin/python") and "VENV := .venv" in _makefile()


def _makefile() -> str:
    return (ROOT / "Makefile").read_text()
