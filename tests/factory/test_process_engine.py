"""Processes: the same bytes as one, and no sample lost or doubled however processes end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from deadly import DeadlyRecipe
from trees import tree

from stylemixseg.factory.engines.base import TRIES, WorkerDiedError
from stylemixseg.factory.engines.process import ProcessEngine
from stylemixseg.factory.recipe import Recipe
from stylemixseg.factory.run import synthesize
from stylemixseg.foreground import CornerMinority
from stylemixseg.settings import SegmenterConfig

CONFIG = SegmenterConfig(n=4, k=3, rule=CornerMinority(), resolution=32)
RECIPE = Recipe("toy-portrait", CONFIG, size=32)
COUNT = 8
COMMAND = "--generator toy-portrait -n 4 -k 3 --rule corner --resolution 32 --size 32".split()


def samples_of(folder: Path) -> dict[str, str]:
    return {name: digest for name, digest in tree(folder).items() if name.startswith("samples/")}


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict[int, bytes]:
    return dict(ProcessEngine().make(RECIPE, range(COUNT)))


def test_two_processes_give_the_bytes_of_one(alone):
    made = list(ProcessEngine(2).make(RECIPE, iter(range(COUNT))))
    assert len(made) == COUNT and dict(made) == alone


def test_few_seeds_are_taken_ahead():
    taken = []

    def seeds():
        for seed in range(1000):
            taken.append(seed)
            yield seed

    made = ProcessEngine(2).make(RECIPE, seeds())
    for _ in range(3):
        next(made)
    assert len(taken) <= 3 + 2 * 2 + 1
    made.close()


def test_a_worker_that_dies_once_costs_nothing(alone, tmp_path):
    recipe = DeadlyRecipe("toy-portrait", CONFIG, size=32, fatal=2, driver=os.getpid(), once=str(tmp_path / "died"))
    made = list(ProcessEngine(2).make(recipe, range(COUNT)))
    assert (tmp_path / "died").exists()
    assert len(made) == COUNT and dict(made) == alone


def test_a_sample_that_workers_always_die_over_is_named_and_the_others_are_kept(tmp_path):
    recipe = DeadlyRecipe("toy-portrait", CONFIG, size=32, fatal=3, driver=os.getpid())
    with pytest.raises(
        WorkerDiedError, match=f"died {TRIES} times in a row while it made the sample of seed 3"
    ) as died:
        synthesize(tmp_path / "set", recipe, 4, engine=ProcessEngine(2))
    assert died.value.seed == 3
    kept = sorted(int(path.stem) for path in tmp_path.glob("set/samples/*/*.zip"))
    assert kept == [0, 1, 2]


def test_an_error_in_a_worker_comes_out_as_it_is():
    broken = Recipe("toy-portrait", SegmenterConfig(cutoff=13), size=32)
    with pytest.raises(ValueError, match=r"cutoff must be in 0\.\.12, got 13"):
        list(ProcessEngine(2).make(broken, range(4)))


@pytest.mark.parametrize("workers", [0, -1])
def test_workers_are_counted_from_one(workers):
    with pytest.raises(ValueError, match=f"workers must be at least 1, got {workers}"):
        ProcessEngine(workers)


def begun(out: Path, count: int, workers: int) -> subprocess.Popen:
    """The command in a process of its own, in a group of its own."""
    command = [sys.executable, "-m", "stylemixseg", "synthesize", str(out), "--count", str(count), *COMMAND]
    return subprocess.Popen(
        [*command, "--workers", str(workers), "--format", "folder"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_samples(process: subprocess.Popen, out: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(list(out.glob("samples/*/0*.zip"))) < count and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children of a process are read from /proc")
def test_killed_at_random_moments_and_continued_a_set_is_the_same(tmp_path):
    kills, count = int(os.environ.get("STYLEMIXSEG_KILLS", "4")), 60
    rng = random.Random(0)
    synthesize(tmp_path / "whole", RECIPE, count, formats=["folder"])
    out = tmp_path / "killed"
    for kill in range(kills):
        process = begun(out, count, workers=1 + kill % 2)
        wait_for_samples(process, out, rng.randrange(count * kill // kills, count * (kill + 1) // kills))
        time.sleep(rng.random() / 5)
        workers = children(process.pid) if process.poll() is None else []
        process.kill()
        process.communicate()
        deadline = time.monotonic() + 60
        while not all(map(ended, workers)):  # nobody fetches their samples any more
            assert time.monotonic() < deadline
            time.sleep(0.05)
    last = begun(out, count, workers=2)
    _, errors = last.communicate(timeout=300)
    assert last.returncode == 0, errors
    assert tree(out) == tree(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_leaves_what_can_be_continued_and_says_so(tmp_path, workers, interruptible):
    out = tmp_path / "set"
    process = begun(out, 2000, workers)
    wait_for_samples(process, out, 3)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes of the command
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == (
        "stylemixseg: interrupted; what was finished is kept, run the command again to go on"
    )
    assert "Traceback" not in errors
    kept = len(list(out.glob("samples/*/0*.zip")))
    manifest = synthesize(out, RECIPE, kept)
    assert manifest["samples"]["made"] == kept >= 3
