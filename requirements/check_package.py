#!/usr/bin/env python3
"""Build wheel and source distribution, look into them, and segment with each in an environment without the source.

    .venv/bin/python requirements/check_package.py

The environments hold the package alone; what it depends on is found in the environment that runs this script, so that
nothing large is downloaded. Only `build` and what pyproject.toml names under [build-system] come from a registry.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LICENCE = "Apache-2.0 AND LicenseRef-stylemixseg-weights"
LICENCE_FILES = {
    "LICENSE",
    "LICENSES/LicenseRef-stylemixseg-weights.txt",
    "stylemixseg/models/weights/face_parser.LICENSE.md",
    "stylemixseg/models/weights/faces_encoder.LICENSE.md",
}
SEGMENT = ("segment", "--generator", "toy-room", "--seed", "3", "-o", "out/")
WRITTEN = {"image.png", "mask.png", "clusters.png", "overlay.png", "segmentation.json"}


def run(*command: str | Path, folder: Path, **variables: str) -> str:
    """Run a program in a folder, without this project's and Jupyter's variables but with `variables`.

    Gives what it printed; a failure ends this program.
    """
    ours = ("PYTHON", "STYLEMIXSEG_", "JUPYTER", "IPYTHON", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)} | variables
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode != 0:
        sys.exit(f"failed: {' '.join(map(str, command))}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def copied(folder: Path) -> Path:
    """A copy of the files that git tracks or would track, since a build leaves files beside its source."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", folder=ROOT).split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():  # a file that was deleted is listed until the deletion is committed
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def tools(folder: Path) -> Path:
    """The interpreter of a new environment that has pip and `build`."""
    run(sys.executable, "-m", "venv", folder, folder=folder.parent)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "build>=1.2", folder=folder)
    return python


def build(python: Path, source: Path, folder: Path) -> tuple[Path, Path]:
    """(wheel, source distribution); the wheel is built from the source distribution, as `python -m build` does."""
    run(python, "-m", "build", "--outdir", folder / "dist", source, folder=folder)
    (wheel,), (sdist,) = (folder / "dist").glob("*.whl"), (folder / "dist").glob("*.tar.gz")
    return wheel, sdist


def check_wheel(wheel: Path, source: Path) -> Message:
    """The wheel holds the package's own files and its licences, and nothing else; gives its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
        metadata = message_from_string(archive.read(f"{info}/METADATA").decode())
    package = {str(path.relative_to(source)) for path in (source / "stylemixseg").rglob("*") if path.is_file()}
    held = {name for name in names if not name.startswith(info)}
    compare("the wheel's files", held, package)
    compare("the wheel's licences", {name.removeprefix(f"{info}/licenses/") for name in names if "/licenses/" in name},
            LICENCE_FILES)  # fmt: skip
    return metadata


def check_sdist(sdist: Path) -> None:
    """The source distribution holds the package and the texts, but no book, results, notebooks or tests."""
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    top = {name.split("/")[0] for name in names} - {""}
    texts = {"CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "LICENSES", "README.md"}
    made = {"PKG-INFO", "setup.cfg", "stylemixseg.egg-info"}
    compare("the source distribution", top, {"MANIFEST.in", "pyproject.toml", "stylemixseg"} | texts | made)


def check_metadata(metadata: Message) -> None:
    """Licence and version are those of the files."""
    version = re.search(r'__version__ = "(.+)"', (ROOT / "stylemixseg" / "__init__.py").read_text())[1]
    compare("version", {metadata["Version"]}, {version})
    compare("licence", {metadata["License-Expression"]}, {LICENCE})
    compare("licence files", set(metadata.get_all("License-File", [])), LICENCE_FILES)


def compare(what: str, got: set[str], expected: set[str]) -> None:
    """End the program where two sets differ, and say in what."""
    if got != expected:
        sys.exit(f"{what}: lacks {sorted(expected - got)}, has besides {sorted(got - expected)}")


def installed(pip: str | Path, artifact: Path, folder: Path) -> Path:
    """The interpreter of a new environment that holds an artifact alone; what it depends on is found in this one.

    `pip` is an interpreter that has it.
    """
    run(sys.executable, "-m", "venv", "--without-pip", folder, folder=folder.parent)
    python = folder / "bin" / "python"
    # A line of a .pth file adds the folder without its own .pth files: an editable installation there stays unknown.
    (site,) = (folder / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    run(pip, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", artifact, folder=folder)
    place = run(python, "-c", "import stylemixseg; print(stylemixseg.__file__)", folder=folder).strip()
    if not Path(place).is_relative_to(site):
        sys.exit(f"{artifact.name}: the package was found at {place}, and not where it was installed")
    return python


def check_use(pip: Path, artifact: Path, metadata: Message, folder: Path) -> None:
    """Install an artifact into an environment of its own and segment there, in an empty folder."""
    python = installed(pip, artifact, folder)
    work = folder / "work"
    work.mkdir()
    program = python.parent / "stylemixseg"
    compare("the command's version", {run(program, "--version", folder=work).strip()},
            {f"stylemixseg {metadata['Version']}"})  # fmt: skip
    run(program, *SEGMENT, folder=work)
    compare("what was written", {path.name for path in (work / "out").iterdir()}, WRITTEN)


def main() -> None:
    """Check both artifacts; the first thing that is wrong ends the program with a message."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = copied(folder / "source")
        python = tools(folder / "tools")
        wheel, sdist = build(python, source, folder)
        metadata = check_wheel(wheel, copied(folder / "compared"))
        check_sdist(sdist)
        check_metadata(metadata)
        for artifact in (wheel, sdist):
            check_use(python, artifact, metadata, folder / f"environment-{artifact.name}")
            print(f"{artifact.name}: {artifact.stat().st_size / 1e6:.1f} MB, installs and segments")


if __name__ == "__main__":
    main()
