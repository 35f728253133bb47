"""The student's scores on photos: names, numbers by counting, and a spot check that finds the same."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from students import write_parts, write_student

from stylemixseg.evaluation.imagescores import read_scores
from stylemixseg.evaluation.results import load_run, measurements, scores_path
from stylemixseg.experiments import student as experiment
from stylemixseg.experiments.classes import CLASSES
from stylemixseg.experiments.profile import load_profile
from stylemixseg.experiments.registry import experiments
from stylemixseg.experiments.student import PREFIX, measure_student, run_student
from stylemixseg.metrics import confusion, mean_iou, trimap_confusion
from stylemixseg.mixing import to_generator_range
from stylemixseg.models import student as module
from stylemixseg.models.student import PartsStudent, Student
from stylemixseg.photos.student import StudentSegmenter, parts_of_photo

PROFILE = load_profile("smoke")


class Photos(dict):
    """Three photos, of which a part is foreground."""

    names = ("a", "b", "c")


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Photos:
    monkeypatch.setattr(module, "WEIGHTS_FILE", write_student(tmp_path / "student.safetensors"))
    monkeypatch.setattr(module, "PARTS_FILE", write_parts(tmp_path / "student_parts.safetensors", CLASSES))
    random, found = np.random.default_rng(0), Photos()
    for number, name in enumerate(Photos.names):
        labels = np.zeros((40, 40), np.uint8)
        labels[10 + number :, 8:30] = 1
        found[name] = random.integers(0, 256, (40, 40, 3), dtype=np.uint8), labels
    monkeypatch.setattr(experiment, "read_celebamask", lambda: found)
    monkeypatch.setattr(experiment, "validation_names", lambda photos: list(photos.names))
    return found


def test_scores_by_counting(photos, tmp_path):
    path = run_student(PROFILE, tmp_path)
    assert path == tmp_path / "smoke" / "student.json" and load_run(path).experiment == "student"
    found, student = measurements(path), Student.load()
    counts = [
        confusion(student.foreground(to_generator_range(image))[0].numpy(), labels > 0)
        for image, labels in photos.values()
    ]
    tp, fp, fn = (sum(getattr(item, name) for item in counts) for name in ("tp", "fp", "fn"))
    assert found[f"toy.{PREFIX}.student.fg_iou"].value == pytest.approx(tp / (tp + fp + fn))
    near = [
        trimap_confusion(student.foreground(to_generator_range(image))[0].numpy(), labels > 0, 3)
        for image, labels in photos.values()
    ]
    assert found[f"toy.{PREFIX}.student.trimap.miou"].value == pytest.approx(mean_iou(near, "dataset"))
    for network in ("student", "face_parser"):
        for kind in ("", ".per_image", ".trimap", ".upper"):
            assert found[f"toy.{PREFIX}.{network}{kind}.miou"].n == 3
    upper = [  # 30 of the 40 rows
        confusion(student.foreground(to_generator_range(image))[0].numpy()[:30], labels[:30] > 0)
        for image, labels in photos.values()
    ]
    assert found[f"toy.{PREFIX}.student.upper.miou"].value == pytest.approx(mean_iou(upper, "dataset"))
    assert found[f"toy.{PREFIX}.student.seconds"].value > 0
    inside = over = 0
    for image, labels in photos.values():
        skin = parts_of_photo(PartsStudent.load(), image, [], StudentSegmenter()(image).mask) == 1
        inside, over = inside + (skin & (labels == 1)).sum(), over + (skin | (labels == 1)).sum()
    assert found[f"toy.{PREFIX}.parts.student.skin.fg_iou"].value == pytest.approx(inside / over)
    assert found[f"toy.{PREFIX}.parts.face_parser.mean"].n == 3


def test_a_spot_check_scores_some_of_the_same_photos(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "PHOTOS_AGAIN", 2)
    name = f"toy.{PREFIX}.student"

    def scores(folder):
        return read_scores(scores_path(folder / "smoke" / "student.json"))

    run_student(PROFILE, tmp_path / "all")
    first = scores(tmp_path / "all")
    experiments()["student"].again(PROFILE, first, Random(0), tmp_path / "again")
    once = dict(zip(first[name].images, first[name].values, strict=True))
    again = scores(tmp_path / "again")[name]
    assert len(again.images) == 2
    assert all(once[image] == value for image, value in zip(again.images, again.values, strict=True))


def test_without_photos(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEMIXSEG_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="STYLEMIXSEG_DATA"):
        measure_student(PROFILE, tmp_path, ["a"])
