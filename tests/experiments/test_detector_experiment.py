"""Recall and precision of a detector on horses: by hand on three photos made here, and once by COCO-SSD itself."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from stylemixseg._util import paths
from stylemixseg.data.horses import mask_box, read_horses
from stylemixseg.evaluation.results import RunRecorder, load_run
from stylemixseg.experiments import detectors as experiment
from stylemixseg.experiments.detectors import run_detectors, run_horses, wilson_interval
from stylemixseg.experiments.profile import load_profile
from stylemixseg.objects.detection.base import Detection, box_iou
from stylemixseg.objects.detection.cocossd import CocoSSD

MODEL = "models/coco_ssd_mobilenet_v1.tflite"
HORSES = "data/weizmann_horse"
PREFIX = "detector.drawn_boxes.horses"

# Every horse fills (10, 10, 50, 50). Boxes of its full width and a share of its height have that share as their IoU.
FULL, EIGHTY, SIXTY, FORTY = ((10, 10, 50, 10 + side) for side in (40, 32, 24, 16))
ELSEWHERE = (60, 0, 90, 30)
ANSWERS = {
    "horse1": [(FULL, 0.9)],  # found at both thresholds
    "horse2": [(SIXTY, 0.6), (ELSEWHERE, 0.35)],  # IoU 0.6; and a wrong box
    "horse3": [(EIGHTY, 0.4), (FORTY, 0.2)],  # found below 0.5 only
    "horse4": [],  # nothing
}


class DrawnBoxes:
    """A detector that tells the photos apart by their first pixel, and counts how often it is asked."""

    name, digest = "drawn-boxes", "b" * 64

    def __init__(self):
        self.asked = 0
        self.stops_at = None

    def __call__(self, image, phrases):
        if self.asked == self.stops_at:
            raise KeyboardInterrupt
        self.asked += 1
        (phrase,) = phrases
        return [Detection(box, phrase, score) for box, score in ANSWERS[f"horse{round(image[0, 0, 0] / 50)}"]]


@pytest.fixture
def photos(tmp_path):
    mask = np.zeros((60, 100), np.uint8)
    mask[10:50, 10:50] = 1
    for name in ANSWERS:
        split = tmp_path / ("test" if name == "horse4" else "train")
        for part in ("images", "masks"):
            (split / part).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (100, 60), (50 * int(name[-1]),) * 3).save(split / "images" / f"{name}.jpg")
        Image.fromarray(mask).save(split / "masks" / f"{name}.png")
    return read_horses(tmp_path)


def measured(detector, photos, tmp_path, **settings) -> dict:
    recorder = RunRecorder("detectors", "smoke", tmp_path / "detectors.json")
    run_horses(detector, photos, recorder, **settings)
    return {item.name.removeprefix(f"{PREFIX}."): item for item in load_run(recorder.write()).measurements}


def test_numbers_by_hand(photos, cache, tmp_path):
    found = measured(DrawnBoxes(), photos, tmp_path)
    values = {name: (item.value, item.n) for name, item in found.items()}
    assert values == {
        "recall50.t30": (3 / 4, 4), "recall70.t30": (2 / 4, 4),
        "precision50.t30": (3 / 4, 4), "precision70.t30": (2 / 4, 4),
        "answered.t30": (3 / 4, 4), "best_iou.t30": (pytest.approx((1 + 0.6 + 0.8) / 4), 4),
        "recall50.t50": (2 / 4, 4), "recall70.t50": (1 / 4, 4),
        "precision50.t50": (2 / 2, 2), "precision70.t50": (1 / 2, 2),
        "answered.t50": (2 / 4, 4), "best_iou.t50": (pytest.approx((1 + 0.6) / 4), 4),
    }  # fmt: skip
    for name, item in found.items():
        if not name.startswith("best_iou"):
            assert item.interval == wilson_interval(round(item.value * item.n), item.n)
        assert item.interval[0] <= item.value <= item.interval[1]
        assert f"score at least 0.{name[-2]}; drawn-boxes, SHA-256 bbbbbbbbbbbb" in item.note


def test_boxes_are_clipped_and_suppressed_before_they_count(photos, cache, tmp_path, monkeypatch):
    """A horse cut off by the border, and two boxes on it: one box counts, and what lies outside the photo does not."""
    monkeypatch.setitem(ANSWERS, "horse1", [((-40, 10, 50, 50), 0.9), ((-50, 10, 50, 50), 0.8)])
    found = measured(DrawnBoxes(), photos.__class__(photos.folder, {"horse1": "train"}), tmp_path, thresholds=[0.5])
    assert found["best_iou.t50"].value == pytest.approx(40 * 40 / (50 * 40))  # clipped to (0, 10, 50, 50)
    assert found["precision70.t50"].n == 1


def test_without_any_box_there_is_no_precision(photos, cache, tmp_path):
    found = measured(DrawnBoxes(), photos, tmp_path, thresholds=[0.95])
    assert sorted(found) == ["answered.t95", "best_iou.t95", "recall50.t95", "recall70.t95"]
    assert found["recall50.t95"].value == found["best_iou.t95"].value == 0


def test_answers_are_kept_and_a_stopped_run_goes_on(photos, cache, tmp_path):
    detector = DrawnBoxes()
    detector.stops_at = 2
    with pytest.raises(KeyboardInterrupt):
        measured(detector, photos, tmp_path)
    detector.stops_at = None
    first = measured(detector, photos, tmp_path)
    assert detector.asked == 4
    assert measured(detector, photos, tmp_path) == first and detector.asked == 4
    measured(detector, photos, tmp_path, thresholds=[0.1])  # all boxes are kept, whatever the threshold
    assert detector.asked == 4


def test_another_model_or_other_pixels_are_asked_again(photos, cache, tmp_path):
    detector = DrawnBoxes()
    measured(detector, photos, tmp_path)
    Image.new("RGB", (100, 60), (51,) * 3).save(photos.folder / "train" / "images" / "horse1.jpg")
    measured(detector, photos, tmp_path)
    assert detector.asked == 5
    detector.digest = "c" * 64
    measured(detector, photos, tmp_path)
    assert detector.asked == 9


def test_bad_thresholds(photos, cache, tmp_path):
    for threshold in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="thresholds must be in 0..1"):
            measured(DrawnBoxes(), photos, tmp_path, thresholds=[threshold])


@pytest.mark.parametrize("successes, n", [(0, 10), (10, 10), (3, 7), (1, 1), (265, 327)])
def test_wilson_interval_solves_its_equation(successes, n):
    """The ends are the proportions from which the share is z standard errors away."""
    share = successes / n
    low, high = wilson_interval(successes, n)
    assert 0 <= low <= share <= high <= 1 and low < high
    for end in (low, high):
        assert abs(share - end) == pytest.approx(1.959964 * np.sqrt(end * (1 - end) / n), rel=1e-5, abs=1e-9)


def test_wilson_interval_of_a_published_example():
    """Newcombe 1998 (https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E), table I: 81 of
    263."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize("successes, n", [(-1, 3), (4, 3), (0, 0)])
def test_wilson_interval_refuses(successes, n):
    with pytest.raises(ValueError, match="must be"):
        wilson_interval(successes, n)


def test_run_detectors_writes_one_file(photos, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "read_horses", lambda: photos)
    monkeypatch.setattr(experiment, "CocoSSD", DrawnBoxes)
    path = run_detectors(load_profile("smoke").changed(detectors={"photos": 2}), tmp_path / "results")
    assert path == tmp_path / "results" / "smoke" / "detectors.json"
    run = load_run(path)
    assert run.experiment == "detectors" and run.profile == "smoke" and run.generator is None
    assert {item.name: item.n for item in run.measurements}[f"{PREFIX}.recall50.t30"] == 2
    run = load_run(run_detectors(load_profile("smoke").changed(detectors={"photos": 4}), tmp_path / "results"))
    assert {item.name: item.n for item in run.measurements}[f"{PREFIX}.recall50.t30"] == 4
    for count in (5, 40):
        with pytest.raises(ValueError, match="detectors.photos must be in 1..4"):
            run_detectors(load_profile("smoke").changed(detectors={"photos": count}), tmp_path / "results")


@pytest.mark.skipif(
    not all((paths.data_dir() / name).exists() for name in (MODEL, HORSES)),
    reason=f"{MODEL} or {HORSES} is not in STYLEMIXSEG_DATA ({os.environ.get('STYLEMIXSEG_DATA')})",
)
def test_coco_ssd_on_the_first_horses(cache, tmp_path):
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert (extra `references`) is not installed")
    run = load_run(run_detectors(load_profile("smoke").changed(detectors={"photos": 10}), tmp_path))
    values = {item.name: item.value for item in run.measurements}
    horses, detector, hits = read_horses(), CocoSSD(), 0
    for name in horses.names[:10]:
        image, mask = horses[name]
        ious = [box_iou(item.box, mask_box(mask)) for item in detector(image, ["horse"]) if item.score >= 0.5]
        hits += max(ious, default=0) >= 0.5
    assert values["detector.coco_ssd.horses.recall50.t50"] == hits / 10
    assert hits >= 6
