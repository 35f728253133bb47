"""Where the numbers of an experiment go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from stylemixseg.evaluation.results import RunRecorder
from stylemixseg.experiments.profile import Profile
from stylemixseg.generators.base import Generator
from stylemixseg.metrics import Confusion


def recorder_of(
    experiment: str, profile: Profile, results: Path, generator: Generator | None = None, seed: int | None = None
) -> RunRecorder:
    """A recorder that writes `<results>/<profile>/<experiment>.json`; generator and seed where the run has them."""
    out = Path(results) / profile.name / f"{experiment}.json"
    return RunRecorder(experiment, profile.name, out, generator, seed=seed)


def add_counts(
    recorder: RunRecorder, prefix: str, found: Mapping[str, Sequence[Sequence[int]]], images: Sequence[str]
) -> None:
    """Record what `scoring.counts_of` gave for each image: over all pixels in both averages, near the outline in one.

    Args:
        recorder: to record with.
        prefix: dotted lower-case name.
        found: "all" and "trimap", [tp, fp, fn, tn] of each image.
        images: their names.
    """
    recorder.add_both(prefix, [Confusion(*counts) for counts in found["all"]], images)
    near = [Confusion(*counts) for counts in found["trimap"]]
    recorder.add_ious(f"{prefix}.trimap", near, average="dataset", images=images)
