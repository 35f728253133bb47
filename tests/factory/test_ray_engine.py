"""Ray: the same bytes as without, and actors and nodes that are killed cost nothing. Skipped where Ray is absent."""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import deadly
import elsewhere
import pytest
from deadly import DeadlyRecipe
from trees import tree

from stylemixseg.factory.engines.base import TRIES, WorkerDiedError
from stylemixseg.factory.engines.process import ProcessEngine
from stylemixseg.factory.recipe import Recipe
from stylemixseg.factory.run import synthesize
from stylemixseg.foreground import CornerMinority
from stylemixseg.settings import SegmenterConfig

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
ray = pytest.importorskip("ray", reason="the engine 'ray' needs Ray, extra `scale`")
from stylemixseg.factory.engines.raydata import ActorFailedError, RayEngine, RayUnavailableError

pytestmark = pytest.mark.slow
for helpers in (deadly, elsewhere):  # actors do not find the helpers of the tests
    ray.cloudpickle.register_pickle_by_value(helpers)
CONFIG = SegmenterConfig(n=4, k=3, rule=CornerMinority(), resolution=32)
RECIPE = Recipe("toy-portrait", CONFIG, size=32)
COUNT = 24
COMMAND = "--generator toy-portrait -n 4 -k 3 --rule corner --resolution 32 --size 32 --engine ray --workers 2".split()


@pytest.fixture(scope="module")
def alone() -> dict[int, bytes]:
    return dict(ProcessEngine().make(RECIPE, range(COUNT)))


@pytest.fixture(scope="module")
def running():
    """A Ray with two CPUs, for all tests that need one."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
        ray.init(num_cpus=2, _temp_dir=folder, object_store_memory=256 << 20, **quiet)
        yield
        ray.shutdown()


def test_two_actors_give_the_bytes_of_one_process(running, alone):
    made = list(RayEngine(2).make(RECIPE, range(COUNT)))
    assert len(made) == COUNT and dict(made) == alone
    assert ray.is_initialized()  # who has started it, ends it


def test_an_actor_that_dies_once_costs_nothing(running, alone, tmp_path):
    recipe = DeadlyRecipe("toy-portrait", CONFIG, size=32, fatal=9, driver=os.getpid(), once=str(tmp_path / "died"))
    made = list(RayEngine(2).make(recipe, range(COUNT)))
    assert (tmp_path / "died").exists()
    assert len(made) == COUNT and dict(made) == alone


def test_a_sample_that_actors_always_die_over_is_named(running, tmp_path):
    recipe = DeadlyRecipe("toy-portrait", CONFIG, size=32, fatal=9, driver=os.getpid())
    with pytest.raises(WorkerDiedError, match=f"died {TRIES} times in a row while it made the sample of seed 9"):
        synthesize(tmp_path / "set", recipe, COUNT, engine=RayEngine(1))


def test_an_error_in_an_actor_comes_out_in_one_line(running):
    with pytest.raises(ActorFailedError, match=r"^an actor of Ray failed: .*cutoff must be in 0\.\.12, got 13\. What"):
        list(RayEngine(1).make(Recipe("toy-portrait", SegmenterConfig(cutoff=13), size=32), range(4)))
    with pytest.raises(ActorFailedError, match=r"^an actor of Ray failed: .*seed must be in 0\.\.4294967295, got -1"):
        list(RayEngine(1).make(RECIPE, [-1]))


def test_an_actor_that_would_make_other_samples_is_refused(running):
    """As on a machine with another version of a library: half of the set would be made with each."""
    recipe = elsewhere.OtherRecipe("toy-portrait", CONFIG, size=32, driver=os.getpid())
    with pytest.raises(ActorFailedError, match=r"differs from where the run was started: versions\.torch is .*'0\.0'"):
        list(RayEngine(1).make(recipe, range(4)))


def test_too_few_cpus_are_named_before_the_job_could_wait_for_ever(running):
    with pytest.raises(RayUnavailableError, match=r"3 workers need 2\.5 CPUs.*Ray has 2: give fewer --workers"):
        next(RayEngine(3).make(RECIPE, range(4)))


def test_too_few_gpus_are_named(running):
    class OnGPU:
        config = type("Config", (), {"device": "cuda"})

    if ray.cluster_resources().get("GPU", 0) == 0:
        with pytest.raises(RayUnavailableError, match="1 workers need 1 GPUs.*Ray has 0"):
            next(RayEngine(1).make(OnGPU(), range(4)))


def test_a_node_that_is_killed_costs_nothing(alone, running):
    """The actors begin on a node of their own, which dies in the middle; another one has joined by then."""
    ray.shutdown()
    from ray.cluster_utils import Cluster

    # The driver's node computes nothing, so both actors are on the one that dies.
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 128 << 20}
    worker = {"num_cpus": 2, "object_store_memory": 128 << 20}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        doomed = cluster.add_node(**worker)
        cluster.wait_for_nodes()
        made = RayEngine(2).make(RECIPE, range(4 * COUNT))
        found = [next(made)]
        cluster.add_node(**worker)
        cluster.wait_for_nodes()
        cluster.remove_node(doomed, allow_graceful=False)  # SIGKILL to its processes
        found += made
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert len(found) == 4 * COUNT == len(dict(found))
    assert {seed: data for seed, data in found if seed in alone} == alone


def test_a_ray_that_cannot_start_is_explained(monkeypatch):
    def refused(**_):
        raise ConnectionError("could not find a running Ray instance\nsecond line")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refused)
    with pytest.raises(RayUnavailableError, match="Ray cannot start: could not find a running Ray instance. --engine"):
        next(RayEngine(1).make(RECIPE, range(4)))


def ray_processes(folder: Path) -> list[int]:
    """Processes that have the name of a folder in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are read from /proc")
def test_killed_at_random_moments_and_continued_a_set_is_the_same(tmp_path):
    """The driver alone is killed; Ray's own processes then end by themselves."""
    kills, count, rng = int(os.environ.get("STYLEMIXSEG_KILLS", "1")), 96, random.Random(0)
    synthesize(tmp_path / "whole", RECIPE, count, formats=["folder"])
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "stylemixseg", "synthesize", str(out), "--count", str(count), *COMMAND]
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as folder:
        environment = {**os.environ, "TMPDIR": folder}
        for kill in range(kills + 1):
            process = subprocess.Popen(
                [*command, "--format", "folder"], env=environment, stderr=subprocess.PIPE, text=True
            )
            if kill == kills:
                _, errors = process.communicate(timeout=300)
                assert process.returncode == 0, errors
                continue
            wanted, deadline = (
                rng.randrange(1 + 48 * kill // kills, 2 + 48 * (kill + 1) // kills),
                time.monotonic() + 120,
            )
            while len(list(out.glob("samples/*/0*.zip"))) < wanted and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            while ray_processes(Path(folder)):
                assert time.monotonic() < deadline + 120
                time.sleep(0.2)
    assert tree(out) == tree(tmp_path / "whole")
