"""The check of the numbers can fail: faults planted in copies of the package move the headline numbers out of tolerance.

Each copy measures the headline of Table 1 on the book's own images at the book's own settings (profile cpu) by the
command that users call, and is compared with the committed expectations by `stylemixseg ledger --check`. The copy
without a fault passes; every fault must be seen in the headline number itself, not only somewhere. The copies share the
style mixes that are the same in all of them, because these take nearly all of the time.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stylemixseg._util.paths import cache_dir
from stylemixseg.experiments.profile import load_profile, profile_file

pytestmark = pytest.mark.slow  # each measures a headline anew, in a minute or more

ROOT = Path(__file__).resolve().parents[2]
REMEMBERED_MIXES = ROOT / "tests" / "helpers" / "remembered_mixes.py"
HEADLINE = "table1.ffhq.saliency.miou"
# Each: the file, what stands there, and what the fault makes of it.
FAULTS = {
    "lightness in 0..1 in place of 0..100": (
        "colors.py",
        "np.multiply(y, 116, out=lab[:, 0])\n    lab[:, 0] -= 16",
        "np.multiply(y, 1.16, out=lab[:, 0])\n    lab[:, 0] -= 0.16",
    ),
    "cutoff off by one": (
        "mixing.py",
        "    w0, styles, side = _check_mixes(generator, w0, styles, plan)\n    if side",
        "    plan = replace(plan, cutoff=plan.cutoff + 1)\n"
        "    w0, styles, side = _check_mixes(generator, w0, styles, plan)\n    if side",
    ),
    "one style latent doubled": (
        "mixing.py",
        "        return generator.mapping(torch.from_numpy(z).to(generator.w_avg), truncation)\n",
        "        ws = generator.mapping(torch.from_numpy(z).to(generator.w_avg), truncation)\n"
        "        return torch.cat([ws[:-1], 2 * ws[-1:]])\n",
    ),
}
# One style of twenty that comes twice changes next to nothing, and the headline moves by less than its tolerance. It is
# seen all the same: in the scores of single images, and along the boundaries.
USED_TWICE = ("mixing.py", ".randn(n, generator.z_dim)\n", ".randn(n, generator.z_dim)\n    z[-1] = z[0]\n")


def measure(copy: Path, mixes: Path) -> subprocess.CompletedProcess:
    """The headline by the package in `copy`, and the check of its numbers; `mixes` are shared by all copies."""
    environment = os.environ | {
        "PYTHONPATH": str(copy),
        "STYLEMIXSEG_CACHE": str(copy / "cache"),
        "STYLEMIXSEG_DATA": str(copy / "none"),  # no second reference, of which the headline knows nothing
    }
    # A profile file of the name cpu: one k and one colour space, so that only the headline's cluster maps are made.
    profile, results = copy / "cpu.toml", copy / "results"
    text = profile_file("cpu").read_text()
    for setting, values in (("ks", "[4]"), ("color_spaces", '["lab"]')):
        text, count = re.subn(rf"^{setting} = .*$", f"{setting} = {values}", text, flags=re.MULTILINE)
        assert count == 1
    profile.write_text(text)
    side = load_profile("cpu").method.resolution
    for program, arguments in (
        ([REMEMBERED_MIXES, mixes, side], ["reproduce", "table1", "--profile", profile]),
        (["-m", "stylemixseg.commands.main"], ["ledger", "--check", "--experiment", "table1", "--profile", "cpu"]),
    ):
        command = [sys.executable, *map(str, [*program, *arguments, "--results", results])]
        done = subprocess.run(
            command, env=environment, cwd=copy, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        if "reproduce" in arguments:
            assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def copy(tmp_path) -> Path:
    """A copy of the package, with a cache that holds the generator's weights and nothing that the true method kept."""
    shutil.copytree(ROOT / "stylemixseg", tmp_path / "stylemixseg", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "generators").symlink_to(cache_dir() / "generators")
    return tmp_path


@pytest.fixture(scope="module")
def mixes(tmp_path_factory) -> Iterator[Path]:
    """Style mixes at the profile's size, 0.4 GB in the end."""
    folder = tmp_path_factory.mktemp("mixes")
    yield folder
    shutil.rmtree(folder)


def plant(copy: Path, file: str, old: str, new: str) -> None:
    path = copy / "stylemixseg" / file
    text = path.read_text()
    assert text.count(old) == 1, f"the place of the fault in {file} has changed: adapt the test"
    path.write_text(text.replace(old, new))


def test_without_a_fault_nothing_moves(copy, mixes, real_faces):
    done = measure(copy, mixes)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"ok   {HEADLINE} " in done.stdout
    assert re.search(r"(\d+) of \1 means and (\d+) of \2 scores of single images as expected", done.stdout)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_moves_the_headline(fault, copy, mixes, real_faces):
    plant(copy, *FAULTS[fault])
    done = measure(copy, mixes)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"FAIL {HEADLINE} " in done.stdout, done.stdout


def test_a_style_that_comes_twice_is_seen_in_single_images(copy, mixes, real_faces):
    plant(copy, *USED_TWICE)
    done = measure(copy, mixes)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"FAIL table1\.ffhq\.\S+, seed\d+ ", done.stdout), done.stdout
