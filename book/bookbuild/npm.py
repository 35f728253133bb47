"""Install packages by npm, exactly as their lock says."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .layout import BuildError


def install_packages(folder: Path, lock: str) -> None:
    """Fill `node_modules` of a folder with a package.json and its lock; no script of a package is run.

    Args:
        folder: where the two files are.
        lock: how the message calls the lock.

    Raises:
        BuildError: npm could not install the packages.
    """
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise BuildError(f"npm ci failed ({lock}):\n{done.stderr.strip()[-2000:]}")
