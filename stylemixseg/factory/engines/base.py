"""What an engine is: seeds in, samples out, in any order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from stylemixseg.factory.recipe import Recipe

TRIES = 3  # of one sample that a worker died over, before the run stops


class WorkerDiedError(RuntimeError):
    """Workers died again and again over one sample; the message names its seed."""

    def __init__(self, seed: int):
        super().__init__(
            f"a worker died {TRIES} times in a row while it made the sample of seed {seed}: most often memory runs out "
            f"(fewer --workers, a smaller -n). What was finished is kept; the same command goes on from there"
        )
        self.seed = seed

    def __reduce__(self):
        return type(self), (self.seed,)  # it comes from another process


class Engine(Protocol):
    """Makes the samples of many seeds."""

    def make(self, recipe: Recipe, seeds: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        """Yield (seed, bytes of its sample), once per seed, in any order.

        Few seeds are taken before their samples have been fetched, so memory does not grow with their number. Closing
        the iterator ends the workers.

        Raises:
            WorkerDiedError: workers died `TRIES` times over the same sample.
        """
        ...
