"""Do the committed numbers still come out? A few images of a large run, computed again from nothing.

The run of the profile `full` takes hours, so no build repeats it. But the scores of each of its images are committed, so
any image can be computed again by itself, at the full settings, and compared. Which images that are is drawn from a key,
the commit: another commit tests other images, and one commit always the same.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from tqdm.auto import tqdm

from stylemixseg._util.paths import atomic_write
from stylemixseg.evaluation.imagescores import ImageScores, read_scores
from stylemixseg.evaluation.numbercheck import Row, image_tolerance, measured_everywhere
from stylemixseg.evaluation.resultfiles import ResultError, read_json
from stylemixseg.experiments.detectors import run_detectors
from stylemixseg.experiments.kept import made_anew
from stylemixseg.experiments.photos import PhotoRun, run_photos
from stylemixseg.experiments.profile import Profile, load_profile
from stylemixseg.experiments.reproduce import TABLES, reproduce

FILE = "spot_check.json"
ROOMS, HORSES, QUERIES, CUTOFFS, PHOTOS = 3, 5, 2, 2, 2  # about two minutes on two cores with the profile full


@dataclass(frozen=True)
class SpotCheck:
    """What a spot check found.

    Attributes:
        profile: whose committed run was tested. key: from which its images were drawn.
        created: date and time of the end, UTC, ISO 8601. seconds: wall time.
        rows: one per image and score. left_out: {table: why nothing of it was tested}.
    """

    profile: str
    key: str
    created: str
    seconds: float
    rows: tuple[Row, ...]
    left_out: Mapping[str, str]

    def images(self, name: str) -> list[str]:
        """The images of one set of scores that were computed again."""
        return [row.image for row in self.rows if row.name == name]


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
    committed = {table: read_scores(path) for table in TABLES if (path := folder / f"{table}.json").exists()}
    if not committed:
        raise ResultError(
            f"no scores of single images in {folder}: run stylemixseg reproduce for one of its tables first"
        )
    started, rows, left_out = time.perf_counter(), [], {}
    for table in tqdm(committed, desc="spot check", unit="table"):
        draw = random.Random(f"{key} {table}")
        try:
            with made_anew(), tempfile.TemporaryDirectory() as anew:
                _AGAIN[table](profile, committed[table], draw, Path(anew))
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
        if name not in committed or not is_iou or not measured_everywhere(name):
            continue
        expected = committed[name].by_image()
        for image, value in scores.by_image().items():
            if image in expected:
                rows.append(Row(name, image, value, expected[image], image_tolerance(name)))
    return rows


def _seeds(scores: Mapping[str, ImageScores], draw: random.Random, count: int) -> list[int]:
    """Seeds of some of the images that every set of scores has."""
    shared = set.intersection(*(set(item.images) for item in scores.values()))
    names = sorted(shared) or sorted({image for item in scores.values() for image in item.images})
    return [int(name.removeprefix("seed")) for name in draw.sample(names, min(count, len(names)))]


def _of_one(profile: Profile, seed: int, **sizes) -> Profile:
    """The profile with one query only, and none of the ablation's colour spaces beside its own."""
    one = {
        "queries": 1,
        "ablation_queries": 1,
        "object_faces": 1,
        "object_scenes": 1,
        "color_spaces": (profile.color_space,),
    }
    return replace(profile, name=f"{profile.name}-seed{seed}", query_seed_first=seed, **one | sizes)


def _queries(profile: Profile, scores: Mapping[str, ImageScores], draw: random.Random, out: Path) -> None:
    for seed in _seeds(scores, draw, QUERIES):
        reproduce("table1", _of_one(profile, seed), out)


def _cells(profile: Profile, scores: Mapping[str, ImageScores], draw: random.Random, out: Path) -> None:
    (seed,) = _seeds(scores, draw, 1)
    cutoffs = tuple(draw.sample(profile.cutoffs, min(CUTOFFS, len(profile.cutoffs))))
    reproduce("table4", _of_one(profile, seed, cutoffs=cutoffs, color_spaces=profile.color_spaces), out)


def _parts(profile: Profile, scores: Mapping[str, ImageScores], draw: random.Random, out: Path) -> None:
    (seed,) = _seeds(scores, draw, 1)
    reproduce("parts", _of_one(profile, seed), out)


def _rooms(profile: Profile, scores: Mapping[str, ImageScores], draw: random.Random, out: Path) -> None:
    for seed in _seeds(scores, draw, ROOMS):
        reproduce("objects", _of_one(profile, seed), out)


def _horses(profile: Profile, scores: Mapping[str, ImageScores], draw: random.Random, out: Path) -> None:
    names = next(iter(scores.values())).images
    run_detectors(out, profile, draw.sample(names, min(HORSES, len(names))))


def _photos(profile: Profile, scores: Mapping[str, ImageScores], draw: random.Random, out: Path) -> None:
    prefix = f"{profile.prefix}table1.celeba."
    pairs = {(name.removeprefix(prefix).split(".")[0], image) for name, item in scores.items() for image in item.images}
    run = PhotoRun(profile)
    ways = dict(run.inverters)
    pairs = sorted(pair for pair in pairs if pair[0] in ways)  # the others are ceilings, which invert nothing
    for number, (inversion, name) in enumerate(draw.sample(pairs, min(PHOTOS, len(pairs)))):
        run = PhotoRun(profile, names=[name])
        run.inverters = {inversion: ways[inversion]}
        run_photos(run, out / str(number), ceilings=False)


_AGAIN: dict[str, Callable[[Profile, Mapping[str, ImageScores], random.Random, Path], None]] = {
    "table1": _queries,
    "table1_photos": _photos,
    "table4": _cells,
    "objects": _rooms,
    "parts": _parts,
    "detectors": _horses,
}


def write_spot_check(found: SpotCheck, results: str | Path) -> Path:
    """Write a spot check to `<results>/spot_check.json`, where the ledger reads it."""
    path = Path(results) / FILE
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(asdict(found), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path


def read_spot_check(results: str | Path) -> SpotCheck | None:
    """The last spot check of a folder of results; None where there is none.

    Raises:
        ResultError: a damaged file.
    """
    path = Path(results) / FILE
    if not path.exists():
        return None
    try:
        content = read_json(path)
        return SpotCheck(**{**content, "rows": tuple(Row(**row) for row in content["rows"])})
    except (KeyError, TypeError) as error:
        raise ResultError(f"{path} is not a file of a spot check: {error!r}") from error
