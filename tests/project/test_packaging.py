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
from bookbuild.api import METHOD, rooms, write_api
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


def test_the_reference_has_every_public_module(tmp_path) -> None:
    write_api(tmp_path / "api")
    text = "\n".join(path.read_text() for path in (tmp_path / "api").glob("*.md"))
    shown = re.findall(r"automodule:: (\S+)", text)
    assert len(shown) == len(set(shown))
    parts = [path.relative_to(ROOT).with_suffix("").parts for path in (ROOT / "stylemixseg").rglob("*.py")]
    modules = {".".join(part[:-1] if part[-1] == "__init__" else part) for part in parts}
    assert set(shown) == {name for name in modules if "._" not in name}


def test_every_room_has_its_page_and_says_why_it_is_there(tmp_path) -> None:
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())
    chapters = [chapter for part in toc["parts"] for chapter in part["chapters"]]
    (reference,) = [chapter for chapter in chapters if chapter["file"] == "api"]
    assert {page["file"] for page in reference["sections"]} == {f"generated/api/{page}" for page in rooms()}
    assert reference["sections"][0]["file"] == f"generated/api/{METHOD}"
    write_api(tmp_path / "api")
    reasons = re.findall(r"\(generated/api/\w+\.md\) \| (.+) \|", (tmp_path / "rooms.md").read_text())
    assert len(reasons) == len(rooms()) and all(len(reason.split()) > 4 for reason in reasons)


def test_a_page_of_a_room_that_is_gone_is_removed(tmp_path) -> None:
    package = tmp_path / "stylemixseg"
    for room in ("one", "two"):
        (package / room).mkdir(parents=True)
        (package / room / "__init__.py").write_text(f'"""Why room {room} is there."""\n')
    (package / "__init__.py").write_text('"""The method."""\n')
    (package / "_private.py").write_text("")
    write_api(tmp_path / "api", package)
    assert {path.stem for path in (tmp_path / "api").iterdir()} == {METHOD, "one", "two"}
    (package / "two" / "__init__.py").unlink()
    (package / "two").rmdir()
    write_api(tmp_path / "api", package)
    assert {path.stem for path in (tmp_path / "api").iterdir()} == {METHOD, "one"}
    assert "Why room one is there." in (tmp_path / "rooms.md").read_text()
