"""From the kept samples to what is handed on: one line per sample, the manifest, and the formats, in one pass."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from stylemixseg._util.outputs import write_record
from stylemixseg._util.paths import atomic_write
from stylemixseg.factory.card import data_card
from stylemixseg.factory.filters import Filters
from stylemixseg.factory.formats.base import Writer
from stylemixseg.factory.recipe import Recipe
from stylemixseg.factory.sample import MEASURES
from stylemixseg.factory.store import MANIFEST, SAMPLES, Store, writing


def finish(
    store: Store,
    seeds: range,
    recipe: Recipe,
    identity: Mapping[str, Any],
    filters: Filters,
    writers: Mapping[str, type[Writer]],
    progress: bool = False,
) -> dict[str, Any]:
    """Write samples.jsonl, manifest.json and one folder per format; what is there of these is replaced.

    Samples are read one after the other in the order of their seeds, so the files do not depend on how, or how often
    interrupted, the samples were made, and memory does not grow with their number.

    Args:
        store: holds all samples.
        seeds: of the set.
        recipe: how they were made.
        identity: what `recipe.describe` gave.
        filters: which samples go into the formats; samples.jsonl lists the others, too, with the reason.
        writers: by the name of the format.
        progress: show a progress bar.

    Returns:
        The manifest.

    Raises:
        ValueError: a sample is damaged.
        StoreError: the folder cannot be written.
    """
    kept = 0
    sums: Counter[str] = Counter()
    with ExitStack() as stack:
        stack.enter_context(writing(store.folder))
        for partial in store.folder.glob(_partial(Path(), "*").name):  # of a run that was cut off
            shutil.rmtree(partial)
        opened = {name: writer(_made(_partial(store.folder, name)), recipe.labels) for name, writer in writers.items()}
        lines = stack.enter_context(atomic_write(store.folder / SAMPLES)).open("w", encoding="utf-8")
        stack.callback(lines.close)
        for seed in tqdm(seeds, desc="writing", unit="pair", disable=not progress, leave=False):
            sample = store.read(seed)
            reason = filters.reason(sample.record)
            lines.write(json.dumps({**sample.record, "dropped": reason}) + "\n")
            if reason is None:
                kept += 1
                sums.update({name: sample.record[name] for name in MEASURES if name in sample.record})
                for format_writer in opened.values():
                    format_writer.add(sample)
        for format_writer in opened.values():
            format_writer.close()
    manifest = {
        "run": dict(identity),
        "samples": {"first": seeds.start, "made": len(seeds), "kept": kept, "dropped": len(seeds) - kept},
        "filters": filters.describe(),
        "means of the kept": {name: value / kept for name, value in sums.items()},
        "licences": recipe.licences(),
    }
    with writing(store.folder):
        for name, writer in writers.items():
            partial = _partial(store.folder, name)
            (partial / "README.md").write_text(data_card(manifest, writer), encoding="utf-8")
            write_record(partial / MANIFEST, manifest)
            _replace(store.folder / name, partial)
        write_record(store.folder / MANIFEST, manifest)
    return manifest


def _replace(folder: Path, partial: Path) -> None:
    """Give a whole folder its name. What had the name is moved aside first: half removed, it would be foreign."""
    if folder.exists():
        aside = _partial(folder.parent, f"{folder.name}-before")
        folder.rename(aside)
        partial.rename(folder)
        shutil.rmtree(aside)
    else:
        partial.rename(folder)


def check_replaceable(folder: Path, names: Sequence[str]) -> None:
    """Raise unless what is there under the names of formats was written by `finish`.

    Raises:
        ValueError: something else has the name of a format.
    """
    for name in names:
        if (folder / name).exists() and not (folder / name / MANIFEST).is_file():
            raise ValueError(f"{folder / name} was not written by synthesize, and the format {name!r} would replace it")


def _partial(folder: Path, name: str) -> Path:
    """Where a format stands until it is whole."""
    return folder / f".{name}.partial"


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
