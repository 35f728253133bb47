"""From the kept samples to what is handed on: one line per sample, the manifest, and the formats, in one pass."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from tqdm.auto import tqdm

from stylemixseg._util.outputs import write_record
from stylemixseg.factory.card import data_card
from stylemixseg.factory.filters import Filters
from stylemixseg.factory.formats.base import Writer
from stylemixseg.factory.recipe import Recipe
from stylemixseg.factory.sample import MEASURES
from stylemixseg.factory.store import MANIFEST, SAMPLES, WritableStore


def finish(
    store: WritableStore,
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
        stack.enter_context(store.writing())
        store.clear_exports()
        exports = {name: store.export(name) for name in writers}
        opened = {name: writer(exports[name].folder, recipe.labels) for name, writer in writers.items()}
        lines = stack.enter_context(store.text(SAMPLES))
        bar = tqdm(total=len(seeds), desc="writing", unit="pair", disable=not progress, leave=False)
        stack.callback(bar.close)
        for sample in store.read_each(seeds):
            reason = filters.reason(sample.record)
            lines.write(json.dumps({**sample.record, "dropped": reason}) + "\n")
            if reason is None:
                kept += 1
                sums.update({name: sample.record[name] for name in MEASURES if name in sample.record})
                for name, format_writer in opened.items():
                    exports[name].done(format_writer.add(sample))
            bar.update()
        for name, format_writer in opened.items():
            exports[name].done(format_writer.close())
    manifest = {
        "run": dict(identity),
        "samples": {"first": seeds.start, "made": len(seeds), "kept": kept, "dropped": len(seeds) - kept},
        "filters": filters.describe(),
        "means of the kept": {name: value / kept for name, value in sums.items()},
        "licences": recipe.licences(),
    }
    with store.writing():
        for name, writer in writers.items():
            folder = exports[name].folder
            (folder / "README.md").write_text(data_card(manifest, writer), encoding="utf-8")
            write_record(folder / MANIFEST, manifest)
            exports[name].publish()
        store.write_manifest(manifest)
    return manifest
