"""The students on real photos: masks and named parts against those that people drew, beside what supervision reaches.

The photos are the validation photos of CelebAMask-HQ, on which nothing was trained or chosen.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from tqdm.auto import tqdm

from stylemixseg.data.celebamask import read_celebamask, validation_names
from stylemixseg.evaluation.imagescores import ImageScores
from stylemixseg.evaluation.results import RunRecorder
from stylemixseg.experiments.classes import OF_PARSER, add_classes, class_counts
from stylemixseg.experiments.profile import Profile
from stylemixseg.experiments.registry import experiment
from stylemixseg.experiments.scoring import TRIMAP_WIDTH
from stylemixseg.generators.base import Generator
from stylemixseg.metrics import Confusion, confusion, trimap_confusion
from stylemixseg.mixing import to_generator_range
from stylemixseg.models.references import FaceParser
from stylemixseg.models.student import PartsStudent, Student
from stylemixseg.photos.student import StudentSegmenter, parts_of_photo

PREFIX = "student.celeba"
PHOTOS = 100  # at most: of the 800 photos so many are for validation, of all 30,000 some three thousand
PHOTOS_AGAIN = 10  # in a spot check
UPPER = 0.75  # share of a photo's rows, from the top: below lie shoulders, which people often left out of their masks


def score_photos(names: Sequence[str]) -> tuple[dict[str, list[Confusion]], list[float]]:
    """Scores of the student and of the face parser: {name: one per photo}, and the student's seconds for each photo.

    Over all pixels, near the outline (".trimap"), and over the upper three quarters of the photo (".upper").

    Raises:
        FileNotFoundError: the photos are not on this machine.
    """
    photos = read_celebamask()
    networks: dict[str, Student | FaceParser] = {"student": Student.load(), "face_parser": FaceParser.load()}
    found: dict[str, list[Confusion]] = {}
    seconds = []
    for name in tqdm(names, desc="photos", unit="photo"):
        image, labels = photos[name]
        truth, given = labels != 0, to_generator_range(image)
        for called, network in networks.items():
            started = time.perf_counter()
            mask = network.foreground(given)[0].numpy()
            if called == "student":
                seconds.append(time.perf_counter() - started)
            found.setdefault(called, []).append(confusion(mask, truth))
            found.setdefault(f"{called}.trimap", []).append(trimap_confusion(mask, truth, TRIMAP_WIDTH))
            rows = round(UPPER * len(truth))
            found.setdefault(f"{called}.upper", []).append(confusion(mask[:rows], truth[:rows]))
    return found, seconds


def score_parts(names: Sequence[str]) -> dict[str, list[list[list[int]]]]:
    """Counts of each class of `CLASSES`, of the student of parts and of the face parser: {name: one per photo}.

    Raises:
        FileNotFoundError: the photos are not on this machine.
    """
    photos, parser = read_celebamask(), FaceParser.load()
    segmenter, parts = StudentSegmenter(), PartsStudent.load()
    found: dict[str, list[list[list[int]]]] = {"student": [], "face_parser": []}
    for name in tqdm(names, desc="parts of photos", unit="photo"):
        image, labels = photos[name]
        truth = OF_PARSER[labels]
        by_student = parts_of_photo(parts, image, [], segmenter(image).mask)
        by_parser = OF_PARSER[parser(to_generator_range(image))[0].numpy()]
        for called, guessed in (("student", by_student), ("face_parser", by_parser)):
            found[called].append(class_counts(guessed, truth))
    return found


def _again(profile: Profile, scores: Mapping[str, ImageScores], draw: Random, out: Path) -> None:
    names = sorted({image for item in scores.values() for image in item.images})
    measure_student(profile, out, draw.sample(names, min(PHOTOS_AGAIN, len(names))))


@experiment(
    "student",
    "masks of real photos by the student, which learnt from the method's pairs, against masks drawn by people",
    measured_by=score_photos,
    again=_again,
)
def run_student(profile: Profile, results: Path, generator: Generator | None = None) -> Path:
    """Score the student on the first `PHOTOS` validation photos, as `measure_student`. It needs no generator."""
    return measure_student(profile, results, validation_names(read_celebamask())[:PHOTOS])


def measure_student(profile: Profile, results: Path, names: Sequence[str]) -> Path:
    """Score the student on some photos and write `<results>/<profile>/student.json`.

    Args:
        profile: names the folder of the results; sizes do not matter, since a photo takes a fraction of a second.
        results: the folder of all results.
        names: of the photos.

    Returns:
        The path of the result file.

    Raises:
        FileNotFoundError: the photos are not on this machine.
    """
    found, seconds = score_photos(names)
    recorder = RunRecorder("student", profile.name, results / profile.name / "student.json")
    prefix = f"{profile.prefix}{PREFIX}"
    for name, confusions in found.items():
        if name.endswith((".trimap", ".upper")):
            recorder.add_ious(f"{prefix}.{name}", confusions, average="dataset", images=list(names))
        else:
            recorder.add_both(f"{prefix}.{name}", confusions, list(names), "")
    recorder.add_mean(f"{prefix}.student.seconds", [[value] for value in seconds], images=list(names))
    for name, counts in score_parts(names).items():
        add_classes(recorder, f"{prefix}.parts.{name}", counts, list(names))
    return recorder.write()
