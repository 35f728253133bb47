"""Do the committed numbers still come out? A few images of a large run, computed again from nothing.

The run of the profile `full` takes hours, so no build repeats it. But the scores of each of its images are committed,
so any image can be computed again by itself, at the full settings, and compared. Which images that are is drawn from a
key, the commit: another commit tests other images, and one commit always the same.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from tqdm.auto import tqdm

from stylemixseg.evaluation.imagescores import ImageScores, read_scores
from stylemixseg.evaluation.numbercheck import Row, image_tolerance, measured_everywhere
from stylemixseg.evaluation.resultfiles import ResultError
from stylemixseg.evaluation.spotcheck import SpotCheck
from stylemixseg.experiments.kept import made_anew
from stylemixseg.experiments.profile import Profile, load_profile
from stylemixseg.experiments.registry import experiments, listed
from stylemixseg.experiments.words import YARDSTICKS


def spot_check(profile: str | Profile, results: str | Path, key: str) -> SpotCheck:
    """Compute a few images of a committed run again, and compare all their scores.

    Args:
        profile: a profile or its name; its images' scores stand in `<results>/<profile>/images`.
        results: the folder of all results; nothing is written there.
        key: any text, such as a commit; the same key draws the same images.

    Returns:
        The comparison. A table whose data are not on this machine is left out, and the reason is given.

    Raises:
        ResultError: no scores of single images, or damaged ones.
    """
    profile = load_profile(profile) if isinstance(profile, str) else profile
    folder = Path(results) / profile.name / "images"
    committed = {table: read_scores(path) for table in listed() if (path := folder / f"{table}.json").exists()}
    if not committed:
        raise ResultError(
            f"no scores of single images in {folder}: run stylemixseg reproduce for one of its tables first"
        )
    started, known = time.perf_counter(), experiments()
    rows: list[Row] = []
    left_out: dict[str, str] = {}
    for table in tqdm(committed, desc="spot check", unit="table"):
        draw, again = random.Random(f"{key} {table}"), known[table].again
        if again is None:
            left_out[table] = "it cannot measure single images again"
            continue
        try:
            with made_anew(), tempfile.TemporaryDirectory() as anew:
                again(profile, committed[table], draw, Path(anew))
                found = [read_scores(path) for path in Path(anew).glob(f"**/images/{table}.json")]
        except (FileNotFoundError, ModuleNotFoundError) as error:
            left_out[table] = str(error)
            continue
        rows += [row for scores in found for row in _compared(scores, committed[table])]
    created = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return SpotCheck(profile.name, key, created, round(time.perf_counter() - started, 1), tuple(rows), left_out)


def _compared(found: Mapping[str, ImageScores], committed: Mapping[str, ImageScores]) -> list[Row]:
    """One row per image and IoU that both have, less those of masks that not every machine makes alike."""
    rows = []
    for name, scores in found.items():
        is_iou = scores.counts is not None or name.endswith("iou")
        if name not in committed or not is_iou or not (measured_everywhere(name) or _of_yardstick(name)):
            continue
        expected = committed[name].by_image()
        for image, value in scores.by_image().items():
            if image in expected:
                rows.append(Row(name, image, value, expected[image], image_tolerance(name)))
    return rows


def _of_yardstick(name: str) -> bool:
    """Whether a score is of another method that fits nothing: alone among these it comes out again."""
    experiment, *rest = name.removeprefix("toy.").split(".")
    return experiment == "baselines" and rest[0] in YARDSTICKS
