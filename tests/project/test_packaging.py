"""What users install: one version, stated licences, and a package that works without any of its extras.

`requirements/check_package.py` builds the wheel and looks into it; CI runs it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import stylemixseg

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book"))
from bookbuild.imports import DEPENDENCIES, PROJECT, installed_modules

EXTRAS = PROJECT["optional-dependencies"]
WEIGHTS = ROOT / "stylemixseg" / "models" / "weights"


def test_every_file_states_the_version_of_the_package() -> None:
    assert "version" in PROJECT["dynamic"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == stylemixseg.__version__
    assert f"{stylemixseg.__version__} " in (ROOT / "CHANGELOG.md").read_text()


def test_ci_tries_every_interpreter_and_the_lowest_versions_on_the_oldest() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())
    matrix = workflow["jobs"]["versions"]["strategy"]["matrix"]
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert matrix["python"] == [version for version in (f"3.{minor}" for minor in range(30)) if version in allowed]
    assert {"python": matrix["python"][0], "versions": "lowest-direct"} in matrix["include"]


def test_the_licence_of_every_file_of_weights_is_stated() -> None:
    terms = (ROOT / "LICENSES" / "LicenseRef-stylemixseg-weights.txt").read_text()
    named = set(re.findall(r"\b\w+\.(?:safetensors|json)\b", terms))
    assert named == {path.name for path in WEIGHTS.iterdir() if path.suffix != ".md"}
    references = set(re.findall(r"LicenseRef-[\w.-]+", PROJECT["license"]))
    assert references == {path.stem for path in (ROOT / "LICENSES").iterdir()}
    for pattern in PROJECT["license-files"]:
        assert list(ROOT.glob(pattern)), pattern


def _brought(lines: Iterable[str]) -> set[str]:
    """Distributions that requirements bring, and what these need in turn, as far as they are installed here."""
    found: set[str] = set()
    waiting = [Requirement(line) for line in lines]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        try:
            waiting += map(Requirement, requires(name) or ())
        except PackageNotFoundError:
            continue
        found.add(name)
    return found


def _only_in_extras() -> set[str]:
    """Top-level modules that only extras bring."""
    return installed_modules(_brought(line for lines in EXTRAS.values() for line in lines) - _brought(DEPENDENCIES))


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> list[str]:
    """A command that runs the command line as where no extra is installed."""
    missing = _only_in_extras()
    assert {"cv2", "ipywidgets", "matplotlib", "pycocotools"} <= missing
    program = tmp_path_factory.mktemp("bare") / "bare.py"
    program.write_text(
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({sorted(missing)!r}))\n"  # importing any of them fails
        "from stylemixseg.commands.main import main\n"
        "sys.exit(main())\n"
    )
    return [sys.executable, str(program)]


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_without_any_extra_an_image_is_segmented(bare, tmp_path) -> None:
    done = _run([*bare, *"segment --generator toy-room --seed 3 -o out".split()], tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "mask.png").is_file()


def test_without_the_extra_objects_it_is_named(bare, tmp_path) -> None:
    done = _run([*bare, *"segment --generator toy-room --seed 3 --objects sofa -o out".split()], tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "stylemixseg: The COCO file of objects needs pycocotools, which is not installed: "
        "pip install 'stylemixseg[objects]'"
    )
    assert not (tmp_path / "out").exists()
