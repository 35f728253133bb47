"""How a chapter of the book starts: the sizes of its run, a generator, and a place for the numbers that it measures."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from stylemixseg._util.checks import suggest
from stylemixseg.evaluation.results import RunRecorder, results_folder
from stylemixseg.experiments.profile import Profile, described_profile, load_profile
from stylemixseg.experiments.recording import recorder_of
from stylemixseg.generators.base import Generator
from stylemixseg.generators.zoo import load_generator


class Chapter(NamedTuple):
    """What a chapter works with.

    Attributes:
        P: the profile, that is the settings of the method and the sample sizes of this run.
        generator: turns latents into images.
        recorder: collects the chapter's measurements; its `write()` makes `<folder>/<profile>/<chapter>.json`.
        folder: all result files, `<profile>/<experiment>.json` below it.
    """

    P: Profile
    generator: Generator
    recorder: RunRecorder
    folder: Path


def start_chapter(
    name: str,
    profile: str,
    results: str | Path | None = None,
    *,
    seed: str = "queries.first",
    generator: Generator | None = None,
) -> Chapter:
    """Load what a chapter works with.

    Args:
        name: of the chapter and its result file, such as "05_foreground_rules".
        profile: name of the profile, or a .toml file of your own.
        results: the folder of all result files; None: the one of `evaluation.results.results_folder`.
        seed: which setting of the profile is the seed that the result file names, "section.setting"; of a list, its
            first entry.
        generator: what the chapter draws with; None: the profile's own.

    Raises:
        ValueError: an unknown profile, generator or setting (the nearest names are suggested), or a setting that is no
            seed.

    Examples:
        >>> P, generator, recorder, folder = start_chapter("05_foreground_rules", "smoke", "results")
        >>> generator.name, P.method.n
        ('toy-portrait', 12)
        >>> recorder.out_path.as_posix()
        'results/smoke/05_foreground_rules.json'
    """
    loaded, folder = load_profile(profile), results_folder(results)
    number = _seed(loaded, seed)
    if generator is None:
        generator = load_generator(loaded.generator)
    return Chapter(loaded, generator, recorder_of(name, loaded, folder, generator, seed=number), folder)


def _seed(profile: Profile, setting: str) -> int:
    settings = described_profile(profile)
    if setting not in settings:
        raise ValueError(f"seed must name a setting of the profile, got {setting!r}: {suggest(setting, settings)}")
    value = settings[setting]
    first = value[0] if isinstance(value, tuple) else value
    if isinstance(first, bool) or not isinstance(first, int):
        raise ValueError(f"seed must name a setting that is an integer or a list of them, {setting} is {value!r}")
    return first
