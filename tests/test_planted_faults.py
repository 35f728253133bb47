"""The check of the numbers can fail: faults planted in copies of the package move the headline numbers out of tolerance.

Each copy measures Table 1 at the book's own settings (profile cpu) by the command that users call, and is compared with
the committed expectations by `stylemixseg ledger --check`. The copy without a fault passes; every fault must be seen in
the headline number itself, not only somewhere.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stylemixseg.paths import cache_dir

ROOT = Path(__file__).resolve().parents[1]
HEADLINE = "table1.ffhq.saliency.miou"
# Each: the file, what stands there, and what the fault makes of it.
FAULTS = {
    "lightness in 0..1 in place of 0..100": (
        "summary.py",
        "np.multiply(y, 116, out=lab[:, 0])\n    lab[:, 0] -= 16",
        "np.multiply(y, 1.16, out=lab[:, 0])\n    lab[:, 0] -= 0.16",
    ),
    "cutoff off by one": (
        "mixing.py",
        "    side = _check_mixes(generator, w0, styles, cutoff, resolution, batch_size)\n",
        "    cutoff += 1\n    side = _check_mixes(generator, w0, styles, cutoff, resolution, batch_size)\n",
    ),
    "one style latent doubled": (
        "mixing.py",
        ".randn(n, generator.z_dim)\n",
        ".randn(n, generator.z_dim)\n    z[-1] = z[0]\n",
    ),
}


def measure(copy: Path, cache: Path, results: Path) -> subprocess.CompletedProcess:
    """Table 1 by the package in `copy`, and the check of its numbers."""
    environment = os.environ | {"PYTHONPATH": str(copy), "STYLEMIXSEG_CACHE": str(cache)}
    for arguments in (["reproduce", "table1"], ["ledger", "--check", "--experiment", "table1"]):
        command = [sys.executable, "-m", "stylemixseg.cli", *arguments, "--profile", "cpu", "--results", str(results)]
        done = subprocess.run(command, env=environment, cwd=copy, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if arguments[0] == "reproduce":
            assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def copy(tmp_path) -> Path:
    """A copy of the package."""
    shutil.copytree(ROOT / "stylemixseg", tmp_path / "copy" / "stylemixseg", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "copy"


def plant(copy: Path, file: str, old: str, new: str) -> None:
    path = copy / "stylemixseg" / file
    text = path.read_text()
    assert text.count(old) == 1, f"the place of the fault in {file} has changed: adapt the test"
    path.write_text(text.replace(old, new))


def test_without_a_fault_nothing_moves(copy, real_faces, tmp_path):
    """In the user's own cache: the book goes on with what is made here."""
    done = measure(copy, cache_dir(), tmp_path / "results")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"ok   {HEADLINE} " in done.stdout
    assert re.search(r"(\d+) of \1 means and (\d+) of \2 scores of single images as expected", done.stdout)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_moves_the_headline(fault, copy, real_faces, tmp_path):
    plant(copy, *FAULTS[fault])
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "generators").symlink_to(cache_dir() / "generators")  # weights only: nothing that the true method kept
    done = measure(copy, cache, tmp_path / "results")
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"FAIL {HEADLINE} " in done.stdout, done.stdout
