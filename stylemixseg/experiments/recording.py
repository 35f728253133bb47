"""Where the numbers of an experiment go."""

from __future__ import annotations

from pathlib import Path

from stylemixseg.evaluation.results import RunRecorder
from stylemixseg.experiments.profile import Profile
from stylemixseg.generators.base import Generator


def recorder_of(
    experiment: str, profile: Profile, results: Path, generator: Generator | None = None, seed: int | None = None
) -> RunRecorder:
    """A recorder that writes `<results>/<profile>/<experiment>.json`; generator and seed where the run has them."""
    out = Path(results) / profile.name / f"{experiment}.json"
    return RunRecorder(experiment, profile.name, out, generator, seed=seed)
