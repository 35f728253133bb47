"""Samples made by the workers of Ray, on this machine or on a cluster, through Ray Data.

Ray Data keeps a pool of actors, each of which loads the generator once, sends seeds to them, and holds them back while
finished samples have not been fetched (backpressure). In `ray status` and `ray list actors` they are
`MapBatches(MakeSamples)`. Actors that die are started again by Ray, on another node if theirs is gone, and what they
were making is made again.

An actor takes half a CPU and computes on one thread. Were it a whole one, two actors would take both CPUs of a small
machine, none would be left for the tasks that read and write, and the job would wait for ever.
"""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np

from stylemixseg._util.checks import check_int
from stylemixseg._util.optional import extra
from stylemixseg.factory.engines.base import TRIES, WorkerDiedError
from stylemixseg.factory.recipe import Recipe
from stylemixseg.factory.sample import SampleMaker
from stylemixseg.factory.store import differences

# Read when Ray starts: otherwise it reports to its makers.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
with extra("scale", "The engine 'ray' needs Ray"):
    import ray
    import ray.data
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

CPUS = 0.5  # of one actor
SPARE_CPUS = 1  # for Ray Data's own tasks
_BLOCK = 2  # samples that are fetched together, and made again together if their actor dies
_WINDOW = 8192  # samples of one Ray Data job; Ray keeps a note of every block of a job
_DIED = "died"  # in the place of a problem's text: actors died over this seed
_OBJECT_STORE = (
    512 << 20
)  # bytes of shared memory, of a Ray that is started here: a sample has a tenth to two megabytes


class RayUnavailableError(RuntimeError):
    """Ray does not start, or has too few CPUs or GPUs for the workers."""


class ActorFailedError(RuntimeError):
    """An actor raised an error, for example because a checkpoint is not on its machine."""

    def __init__(self, reason: str):
        super().__init__(
            f"an actor of Ray failed: {reason}. What was finished is kept; the same command goes on from there"
        )


class RayEngine:
    """The engine for several machines. `ray.init` is called where it has not been; RAY_ADDRESS names a cluster.

    Args:
        workers: actors that make samples, each on half a CPU, and on one GPU where the recipe's device is one.

    Raises:
        TypeError: not a whole number.
        ValueError: fewer than one.
    """

    def __init__(self, workers: int = 1):
        self.workers = check_int("workers", workers, 1)

    def make(self, recipe: Recipe, seeds: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        """Yield (seed, bytes of its sample), once per seed, in any order; see `Engine`.

        Raises:
            RayUnavailableError: Ray does not start, or has too few CPUs or GPUs.
            WorkerDiedError: actors died `TRIES` times over the same sample.
            ActorFailedError: an actor raised an error.
        """
        gpus = 0 if str(recipe.config.device) == "cpu" else 1
        waiting = iter(seeds)
        with _running():
            self._check_resources(gpus)
            identity = recipe.describe(recipe.load())
            here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
            tally = ray.remote(Tally).options(num_cpus=0, scheduling_strategy=here).remote()
            while window := list(islice(waiting, _WINDOW)):
                yield from self._window((recipe, tally, identity), window, gpus)

    def _window(
        self, of_actors: tuple[Recipe, Any, dict[str, Any]], seeds: list[int], gpus: int
    ) -> Iterator[tuple[int, bytes]]:
        blocks = [np.array(seeds[start : start + _BLOCK]) for start in range(0, len(seeds), _BLOCK)]
        made = ray.data.from_numpy(blocks).map_batches(
            MakeSamples,
            batch_size=None,
            compute=ray.data.ActorPoolStrategy(size=min(self.workers, len(blocks))),
            fn_constructor_args=of_actors,
            num_cpus=CPUS,
            num_gpus=gpus,
        )
        made.context.enable_progress_bars = False
        try:
            for batch in made.iter_batches(batch_size=None, batch_format="numpy"):
                for seed, data, problem in zip(batch["seed"], batch["data"], batch["problem"], strict=True):
                    if problem == _DIED:
                        raise WorkerDiedError(int(seed))
                    if problem:
                        raise ActorFailedError(f"at seed {seed}: {problem}")
                    yield int(seed), bytes(data)
        except ray.exceptions.RayError as error:  # its text ends with what was raised in an actor that began
            raise ActorFailedError(str(error).strip().splitlines()[-1]) from error

    def _check_resources(self, gpus: int) -> None:
        there = ray.cluster_resources()
        needed = {"CPU": self.workers * CPUS + SPARE_CPUS, "GPU": self.workers * gpus}
        for kind, number in needed.items():
            if number > there.get(kind, 0):
                raise RayUnavailableError(
                    f"{self.workers} workers need {number:g} {kind}s ({CPUS:g} CPUs each, and {SPARE_CPUS} for reading "
                    f"and writing), and Ray has {there.get(kind, 0):g}: give fewer --workers, or a larger cluster"
                )


class MakeSamples:
    """The work of one actor: batches of seeds in, batches of samples out.

    Args:
        recipe: how samples are made.
        tally: the actor that counts how often a seed was begun.
        identity: what the recipe describes where the run was started. With another version of a library, or another
            file under the checkpoint's name, this machine would make other bytes of the same seeds.
    """

    def __init__(self, recipe: Recipe, tally: Any, identity: dict[str, Any]):
        self.maker = SampleMaker(recipe)
        self.tally = tally
        other = differences(identity, recipe.describe(self.maker.generator))
        self.problem = other and f"{socket.gethostname()} differs from where the run was started: {other}"

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        """Samples of the seeds in batch["data"] (B,), up to the first problem.

        A problem is told as text in the result, since Ray would wrap an exception in one of its own.
        """
        seeds = batch["data"].tolist()
        if self.problem:
            return _columns([(seeds[0], b"", self.problem)])
        made, problem = [], ""
        for seed in seeds:
            data = b""
            if ray.get(self.tally.begin.remote(seed)) > TRIES:
                problem = _DIED
            else:
                try:
                    data = self.maker(seed).to_bytes()
                except Exception as error:
                    problem = f"{type(error).__name__}: {error}"
            self.tally.end.remote(seed)
            made.append((seed, data, problem))
            if problem:
                break
        return _columns(made)


def _columns(made: list[tuple[int, bytes, str]]) -> dict[str, Any]:
    """(seed, bytes, problem) of samples as a batch of Ray Data."""
    seeds, samples, problems = zip(*made, strict=True)
    return {"seed": np.array(seeds), "data": np.array(samples, dtype=object), "problem": np.array(problems)}


class Tally:
    """How often each seed was begun and not finished: Ray itself does not say which one an actor died over."""

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()

    def begin(self, seed: int) -> int:
        """Which attempt this is, from 1 on."""
        self._begun[seed] += 1
        return self._begun[seed]

    def end(self, seed: int) -> None:
        """The sample is finished."""
        del self._begun[seed]


@contextmanager
def _running() -> Iterator[None]:
    """Ray, as it runs already, or as RAY_ADDRESS says, or started for this block alone."""
    if ray.is_initialized():
        yield
        return
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        started: dict[str, Any] = {
            "include_dashboard": False,
            "_temp_dir": folder,
            "object_store_memory": _OBJECT_STORE,
        }
        if not os.environ.get("RAY_ADDRESS"):  # of our own Ray, what concerns users comes as an exception
            os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        try:
            ray.init(
                log_to_driver=False,
                logging_level=logging.ERROR,
                **({} if os.environ.get("RAY_ADDRESS") else started),
            )
        except (RuntimeError, OSError, ValueError, ConnectionError, TimeoutError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise RayUnavailableError(f"Ray cannot start: {reason}. --engine process does without it") from error
        logger = logging.getLogger("ray.data")
        before, logger.level = logger.level, logging.ERROR
        try:
            yield
        finally:
            logger.setLevel(before)
            ray.shutdown()
