"""The check of the numbers: has anything that the book reports moved since it was last accepted?

An expectation is a number that an earlier run of the same profile measured, on the same images with the same seeds. So
the images' sampling error does not enter: a second run can differ only by the machine's arithmetic and by a change of
the code. How far the first of these moves a number was measured (`data_scripts/measure_noise.py`, `noise.json`), and
the tolerances are taken from that measurement. Means over images are compared, and every single image.
The check says nothing about the paper; the ledger's tables and claims do.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from stylemixseg._util.paths import atomic_write
from stylemixseg.evaluation.imagescores import ImageScores, folder_scores, read_scores
from stylemixseg.evaluation.resultfiles import ResultError, read_json
from stylemixseg.evaluation.results import Measurement, measurements, profile_runs

Expected = TypeVar("Expected")  # of a mean, or of all images of a set of scores

FOLDER = Path(__file__).parent / "expectations"
NOISE_FILE = FOLDER / "noise.json"
# What rounding moves. A mean that the noise study did not move may still move on a machine that it did not try.
MEAN_TOLERANCE, IMAGE_TOLERANCE = 0.002, 0.005
MARGIN = 2  # tolerances are so many times the largest movement that was measured, where that is more
# One single image among so many may move further: where two clusters are nearly tied, the rounding of a processor that
# the noise study did not try lets K-means end elsewhere on that one image. Its mean is still held to its own tolerance.
IMAGES_PER_STRAY = 1000
FEWEST = 100  # among fewer scores none may
# What needs DeepLabV3 or OpenCV, which not every machine has, is recorded but never expected.
SECOND_REFERENCE = ("deeplab", "references")
REDRAWN = "_cut"  # how the names of masks end that GrabCut redrew
# What needs CelebAMask-HQ, which not every machine has either, is expected of a run that measured any of it.
PHOTOS = ("table1.celeba.", "student.celeba.")
# What is fitted anew in every run, by many steps that each build on the last: rounding grows with them, and on another
# processor another network or other clusters come out. It is recorded, and never expected. How far the yardsticks among
# the baselines move has not been measured, so they are not expected either.
FITTED_ANEW = ("table3.", "baselines.", "other_ways.")


@dataclass(frozen=True)
class Row:
    """One check.

    Attributes:
        name: of the mean, or of the images' scores.
        image: the image that was compared, None for a mean.
        measured, expected: the two numbers. tolerance: how far apart they may be.
        n, interval: of a mean, as in `Measurement`.
    """

    name: str
    image: str | None
    measured: float
    expected: float
    tolerance: float
    n: int | None = None
    interval: tuple[float, float] | None = None

    @property
    def ok(self) -> bool:
        """Whether the number is within its tolerance of what was expected."""
        return abs(self.measured - self.expected) <= self.tolerance


def passed(rows: Iterable[Row]) -> bool:
    """Whether a check found nothing wrong: every mean within its tolerance, and the single images but for strays.

    A stray is a score of a single image that moved further than its tolerance. One is let pass for every
    `IMAGES_PER_STRAY` scores or part of them, and none among fewer than `FEWEST`. All strays of one image may pass
    together, since what moves its latent or its clusters moves all scores of it.
    """
    rows = list(rows)
    images = [row for row in rows if row.image is not None]
    strays = [row for row in images if not row.ok]
    allowed = math.ceil(len(images) / IMAGES_PER_STRAY) if len(images) >= FEWEST else 0
    few = len(strays) <= allowed or (allowed > 0 and len({row.image for row in strays}) == 1)
    return all(row.ok for row in rows if row.image is None) and few


@dataclass(frozen=True)
class Expectations:
    """What a profile's numbers should be.

    Attributes:
        means: {name: (value, tolerance)}.
        images: {name of images' scores: {image: (value, tolerance)}}.
    """

    means: Mapping[str, tuple[float, float]]
    images: Mapping[str, Mapping[str, tuple[float, float]]]


def expectations_path(profile: str) -> Path:
    """Where the expectations of a profile stand in the package; the file need not exist."""
    return FOLDER / f"{profile}.json"


def check(
    profile: str,
    results_dir: str | Path,
    expectations: str | Path | None = None,
    experiments: tuple[str, ...] | None = None,
) -> list[Row]:
    """Compare a profile's results with its expectations: one row per mean, and one per image of each set of scores.

    Expectations on real photos (`PHOTOS`) are left out where the run has no result on photos at all: the data were not
    there.

    Args:
        profile: whose results, `<results_dir>/<profile>/*.json`.
        results_dir: the folder of all result files, such as `book/results`.
        expectations: a file as `update_expectations` writes; None: the package's own for this profile.
        experiments: only what these experiments measured, such as ("table1",); None: everything, all of it measured.

    Raises:
        ResultError: no or damaged files, or an expectation that has no result; names the file and the measurement.
    """
    path = Path(expectations) if expectations is not None else expectations_path(profile)
    expected = read_expectations(path)
    runs = profile_runs(results_dir, profile)
    scores = folder_scores(Path(results_dir) / profile)
    if experiments is not None:
        if absent := sorted(set(experiments) - {run.experiment for run in runs}):
            raise ResultError(f"{Path(results_dir) / profile} holds no results of {absent[0]}: run it first")
        runs = [run for run in runs if run.experiment in experiments]
        own = {item.name for run in runs for item in run.measurements}
        names = {name for run in runs for name in _scores_of(Path(results_dir) / profile, run.experiment)}
        expected = Expectations(
            {name: value for name, value in expected.means.items() if name in own},
            {name: value for name, value in expected.images.items() if name in names},
        )
    found = measurements(runs)
    if not any(name.startswith(PHOTOS) for name in found):
        expected = Expectations(_without_photos(expected.means), _without_photos(expected.images))
    if not expected.means and not expected.images:
        raise ResultError(f"{path} expects nothing of {', '.join(experiments or ['these results'])}")
    missing = [name for name in expected.means if name not in found]
    missing += [name for name in expected.images if name not in scores]
    if missing:
        raise ResultError(
            f"{path} expects {missing[0]}, which no result file in {Path(results_dir) / profile} holds"
            + (f" (and {len(missing) - 1} more)" if len(missing) > 1 else "")
            + f": run the notebooks with profile {profile}, or take the expectation out"
        )
    rows = []
    for name, (value, tolerance) in expected.means.items():
        item = found[name]
        rows.append(Row(name, None, item.value, value, tolerance, item.n, item.interval))
    for name, images in expected.images.items():
        measured = scores[name].by_image()
        if set(measured) != set(images):
            odd = sorted(set(measured) ^ set(images))[0]
            raise ResultError(f"{path} expects other images of {name} than were scored: {odd} is in one of them only")
        rows += [Row(name, image, measured[image], *entry) for image, entry in images.items()]
    return rows


def _scores_of(folder: Path, experiment: str) -> dict[str, ImageScores]:
    """Images' scores of one experiment of a profile; none where it kept none."""
    path = folder / "images" / f"{experiment}.json"
    return read_scores(path) if path.exists() else {}


def _without_photos(expected: Mapping[str, Expected]) -> dict[str, Expected]:
    return {name: value for name, value in expected.items() if not name.startswith(PHOTOS)}


def read_expectations(path: Path) -> Expectations:
    """Read an expectation file.

    Raises:
        ResultError: missing, damaged, or empty; names the file and the expectation.
    """
    content = read_json(path)
    try:
        means = {name: _expected(name, entry) for name, entry in content["means"].items()}
        images = {
            name: {image: _expected(f"{name} of image {image}", entry) for image, entry in entries.items()}
            for name, entries in content["images"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ResultError(f"{path} is not a file of expectations: {error!r}") from error
    if not means:
        raise ResultError(f"{path} holds no expectation")
    return Expectations(means, images)


def _expected(name: str, entry: object) -> tuple[float, float]:
    if not isinstance(entry, list) or len(entry) != 2:
        raise ValueError(f"{name} must be [value, tolerance], got {entry!r:.80}")
    value, tolerance = (Measurement("a", number).value for number in entry)  # refuses what is no finite number
    if tolerance < 0:
        raise ValueError(f"{name} must have a tolerance of at least 0, got {tolerance}")
    return value, tolerance


@cache
def noise() -> dict[str, Any]:
    """What `data_scripts/measure_noise.py` measured.

    Returns:
        {"means": {name: movement}, "images": {name: {image: movement}}, "variants": [...]}.
    """
    return read_json(NOISE_FILE)


def mean_tolerance(name: str) -> float:
    """How far a mean over images may move: `MARGIN` times what was measured for it, and at least `MEAN_TOLERANCE`."""
    movement: float = noise()["means"].get(_plain(name), 0.0)
    return max(MEAN_TOLERANCE, round(MARGIN * movement, 4))


def image_tolerance(name: str) -> float:
    """The same for a single image of a set of scores."""
    movement: float = noise()["images"].get(_plain(name), 0.0)
    return max(IMAGE_TOLERANCE, round(MARGIN * movement, 4))


def _plain(name: str) -> str:
    return name.removeprefix("toy.") if not name.startswith("toy.objects") else name


def propose_expectations(profile: str, results_dir: str | Path) -> Expectations:
    """Expectations for a profile from its own results, so that no number is typed by hand.

    Expected are IoUs that are means over images, the ones with an interval, and the scores of all images. Counts,
    distances and costs are recorded too, but not expected.

    Raises:
        ResultError: the profile has no results.
    """
    found = measurements(profile_runs(results_dir, profile))
    if not found:
        raise ResultError(f"no results of profile {profile} in {Path(results_dir) / profile}: run it first")
    means = {
        name: (round(item.value, 6), mean_tolerance(name))
        for name, item in sorted(found.items())
        if name.endswith("iou") and item.interval and measured_everywhere(name)
    }
    images = {
        name: {image: (round(value, 5), image_tolerance(name)) for image, value in scores.by_image().items()}
        for name, scores in sorted(folder_scores(Path(results_dir) / profile).items())
        if measured_everywhere(name) and (scores.counts is not None or name.endswith("iou"))
    }
    return Expectations(means, images)


def measured_everywhere(name: str) -> bool:
    """Whether a number needs nothing that not every machine has, and comes out the same on all of them."""
    parts = name.split(".")
    return not name.removeprefix("toy.").startswith(FITTED_ANEW) and not any(
        part in SECOND_REFERENCE or part.endswith(REDRAWN) for part in parts
    )


def update_expectations(profile: str, results_dir: str | Path, path: str | Path | None = None) -> Path:
    """Write `propose_expectations` to a file (None: the package's own for this profile), and return its path."""
    path = Path(path) if path is not None else expectations_path(profile)
    proposed = propose_expectations(profile, results_dir)
    parts = []
    for kind in ("means", "images"):
        lines = [f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in getattr(proposed, kind).items()]
        parts.append(f' "{kind}": {{\n' + ",\n".join(lines) + "\n }")
    with atomic_write(path) as temporary:
        temporary.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
    return path
