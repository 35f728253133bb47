"""Samples made in this process, or in several processes on this machine."""

from __future__ import annotations

import multiprocessing
import signal
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from stylemixseg._util.checks import check_int
from stylemixseg._util.processes import end_with_parent
from stylemixseg._util.threads import usable_cores
from stylemixseg.factory.engines.base import TRIES, WorkerDiedError
from stylemixseg.factory.recipe import Recipe
from stylemixseg.factory.sample import SampleMaker

_AHEAD = 2  # samples asked of each worker at a time: while one is fetched, the next is being made
_IMAGES_AT_ONCE = 4  # in this process alone; each has its feature maps, 0.15 GB for 1024 px faces

_recipe: Recipe | None = None  # of a worker process
_maker: SampleMaker | None = None


class ProcessEngine:
    """The engine that needs nothing else.

    Args:
        workers: 1 makes the samples in this process, one after the other. More are processes that each load the
            generator; a script must then guard its start with `if __name__ == "__main__":`, since they import it.

    Raises:
        TypeError: not a whole number.
        ValueError: fewer than one.
    """

    def __init__(self, workers: int = 1):
        self.workers = check_int("workers", workers, 1)

    def make(self, recipe: Recipe, seeds: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        """Yield (seed, bytes of its sample), once per seed, in any order; see `Engine`."""
        if self.workers > 1:
            yield from _pooled(recipe, seeds, self.workers)
            return
        maker = SampleMaker(recipe, min(usable_cores(), _IMAGES_AT_ONCE))
        for seed in seeds:
            yield seed, maker(seed).to_bytes()


def _pooled(recipe: Recipe, seeds: Iterable[int], workers: int) -> Iterator[tuple[int, bytes]]:
    """Samples from a pool of processes. When one of them dies, the whole pool is gone, and a new one is made.

    Which of the samples in the making had killed it is not known. So these are made one at a time; the one that a
    worker dies over again is named after `TRIES` of them.
    """
    waiting = iter(seeds)
    suspects: deque[int] = deque()
    deaths: Counter[int] = Counter()
    while True:
        flying: dict[Future[bytes], int] = {}
        # Spawned: a fork after OpenMP has started its threads would hang.
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start, (recipe,))
        try:
            while True:
                with _ctrl_c_later():
                    if suspects and not flying:
                        flying[pool.submit(_make, suspects[0])] = suspects[0]
                    while not suspects and len(flying) < _AHEAD * workers and (seed := next(waiting, None)) is not None:
                        flying[pool.submit(_make, seed)] = seed
                if not flying:
                    return
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    data, seed = future.result(), flying.pop(future)
                    if suspects:
                        suspects.popleft()
                    yield seed, data
        except BrokenProcessPool:
            if suspects:
                deaths[suspects[0]] += 1
                if deaths[suspects[0]] == TRIES:
                    raise WorkerDiedError(suspects[0]) from None
            else:
                suspects.extend(flying.values())
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _ctrl_c_later() -> Iterator[None]:
    """Ctrl-C reaches this process after the block, and workers that are started in the block never: they inherit that.

    It goes to all processes of a terminal, and one that still imports its modules would answer with a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(recipe: Recipe) -> None:
    """Begin a worker process. The generator is loaded with the first sample, so that its errors come with a message."""
    global _recipe
    _recipe = recipe
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one decides
    end_with_parent()  # nobody would fetch the samples


def _make(seed: int) -> bytes:
    global _maker
    if _maker is None:
        assert _recipe is not None
        _maker = SampleMaker(_recipe)
    return _maker(seed).to_bytes()
