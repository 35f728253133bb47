"""`synthesize`: make the samples that are missing, then write what was asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from stylemixseg._util.checks import check_int
from stylemixseg.factory.engines.base import Engine
from stylemixseg.factory.engines.process import ProcessEngine
from stylemixseg.factory.filters import Filters
from stylemixseg.factory.finish import finish
from stylemixseg.factory.formats.base import writer_of
from stylemixseg.factory.recipe import Recipe
from stylemixseg.factory.sample import SampleMaker
from stylemixseg.factory.store import opened_store

_LAST_SEED = 2**32 - 1


def synthesize(
    out: str | Path,
    recipe: Recipe,
    count: int,
    *,
    first: int = 0,
    engine: Engine | None = None,
    filters: Filters | None = None,
    formats: Sequence[str] = (),
    progress: bool = False,
) -> dict[str, Any]:
    """Make the samples of `count` seeds, as far as they are not there yet, and write the formats.

    Sample i depends on seed i and the recipe alone: not on the engine, the number of workers, the order, nor on how
    often the run was interrupted. Every sample is kept as soon as it is made. So a run that was cut off, by Ctrl-C, a
    killed process or a full disk, is continued by the same call. A sample whose file was damaged is made again. A
    larger `count` adds samples; other filters and formats make none anew.

    Args:
        out: folder of the set: new, empty, or of an earlier call with the same recipe. A URL as text, such as
            s3://bucket/faces, names a place in an object store, where everything is kept under the same names.
        recipe: how samples are made.
        count: number of samples, at least 1.
        first: seed of the first one.
        engine: who computes; None for this process.
        filters: which samples go into the formats; None for all.
        formats: names of `formats.base.FORMATS`.
        progress: show progress bars.

    Returns:
        The manifest: what was made and how, as manifest.json has it.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument out of range, or a folder that holds something else.
        ModuleNotFoundError: a format, an engine or a URL needs a library that is not installed; names the extra.
        StoreError: the folder or the object store cannot be written, or another run works there.
        WorkerDiedError: workers died again and again over the same sample.

    Example:
        >>> from stylemixseg.foreground import CornerMinority
        >>> from stylemixseg.settings import SegmenterConfig
        >>> recipe = Recipe("toy-portrait", SegmenterConfig(n=8, k=3, rule=CornerMinority()), size=64)
        >>> manifest = synthesize("pairs", recipe, 3, formats=["folder"])
        >>> manifest["samples"]
        {'first': 0, 'made': 3, 'kept': 3, 'dropped': 0}
        >>> sorted(path.name for path in Path("pairs/folder/ann_dir/train").iterdir())
        ['0000000000.png', '0000000001.png', '0000000002.png']
    """
    check_int("first", first, 0, _LAST_SEED)
    check_int("count", count, 1, _LAST_SEED + 1 - first)
    filters = filters or Filters()
    if recipe.objects is not None and not (filters.min_agreement is None and filters.min_confidence is None):
        raise ValueError("min_agreement and min_confidence are for whole images, they do not go with objects")
    writers = {name: writer_of(name) for name in formats}
    # Everything that can be wrong with the recipe comes to light here, before a file is written or a worker started.
    identity = recipe.describe(SampleMaker(recipe).generator)
    seeds = range(first, first + count)
    with opened_store(out, identity) as store:
        store.check_replaceable(list(writers))
        missing = np.fromiter(store.missing(_shown(seeds, progress)), np.int64)
        if len(missing):
            made = (engine or ProcessEngine()).make(recipe, (int(seed) for seed in missing))
            bar = tqdm(
                total=count, initial=count - len(missing), desc="pairs", unit="pair", smoothing=0.05,
                disable=not progress, file=sys.stderr,
            )  # fmt: skip
            with bar, closing(made) as samples:  # type: ignore[type-var]  # every engine's is a generator
                for seed, data in samples:
                    store.add(seed, data)
                    bar.update()
            store.settle()
        return finish(store, seeds, recipe, identity, filters, writers, progress)


def _shown(seeds: Iterable[int], progress: bool) -> Iterator[int]:
    """The seeds, with a bar where it takes more than a moment to check what is there."""
    yield from tqdm(seeds, desc="checking", unit="pair", disable=not progress, leave=False, delay=1, file=sys.stderr)
