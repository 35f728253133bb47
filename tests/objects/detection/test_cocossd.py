"""COCO-SSD: how raw rows become boxes, behind an interpreter made here; and the model itself on horses."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest

from stylemixseg._util import paths
from stylemixseg.data.horses import mask_box, read_horses
from stylemixseg.objects.detection import cocossd
from stylemixseg.objects.detection.base import Detector, box_iou
from stylemixseg.objects.detection.cocossd import CocoSSD

MODEL = "models/coco_ssd_mobilenet_v1.tflite"
LABELS = "models/coco_labels.txt"
HORSES = "data/weizmann_horse"
NAMES = ["person", "n/a", "horse", "couch", "dining table", "tv"]


def needs(*relative):
    """Skip, saying which file is absent, where the data folder does not have it."""
    absent = [name for name in relative if not (paths.data_dir() / name).exists()]
    reason = f"{', '.join(absent)} is not in STYLEMIXSEG_DATA ({os.environ.get('STYLEMIXSEG_DATA')})"
    return pytest.mark.skipif(bool(absent), reason=reason)


class Interpreter:
    """Answers every image with the same rows: ((y0, x0, y1, x1) as shares, class, score)."""

    def __init__(self, rows, count=None):
        boxes, classes, scores = zip(*rows)
        self.answers = [
            np.array([boxes], np.float32),
            np.array([classes], np.float32),
            np.array([scores], np.float32),
            np.array([len(rows) if count is None else count], np.float32),
        ]
        self.given, self.invoked = None, 0

    def get_input_details(self):
        return [{"index": 9, "shape": np.array([1, 30, 40, 3], np.int32)}]

    def get_output_details(self):
        return [{"index": index} for index in range(4)]

    def set_tensor(self, index, value):
        assert index == 9 and value.shape == (1, 30, 40, 3) and value.dtype == np.uint8
        self.given = value[0]

    def invoke(self):
        self.invoked += 1

    def get_tensor(self, index):
        return self.answers[index]


@pytest.fixture
def detector_of(monkeypatch, tmp_path):
    """A CocoSSD that knows NAMES, in front of an `Interpreter` with the given rows."""
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(NAMES))
    monkeypatch.setattr(cocossd, "known_file", lambda parts, sha256: labels)

    def make(*rows, count=None) -> CocoSSD:
        monkeypatch.setattr(cocossd, "open_model", lambda parts, sha256, threads: Interpreter(rows, count))
        return CocoSSD()

    return make


IMAGE = np.full((100, 200, 3), (10, 20, 30), np.uint8)
HORSE = ((0.1, 0.2, 0.5, 0.9), 2, 0.75)  # y0, x0, y1, x1


def test_rows_become_boxes_in_pixels(detector_of):
    detector = detector_of(HORSE, ((0.0, -0.1, 1.2, 1.0), 0, 0.5), ((0, 0, 1, 1), 3, 0.25))
    assert isinstance(detector, Detector) and detector.name == "coco-ssd"
    found = detector(IMAGE, ["a person", "horses"])  # nobody asked for the couch
    assert [(item.label, item.score) for item in found] == [("horses", 0.75), ("a person", 0.5)]
    np.testing.assert_allclose(found[0].box, (40, 10, 180, 50), rtol=1e-6)
    np.testing.assert_allclose(found[1].box, (-20, 0, 200, 120), rtol=1e-6)  # clipping is the filter's business
    assert detector(IMAGE, []) == []


def test_the_network_sees_the_whole_picture_at_its_own_size(detector_of):
    detector = detector_of(HORSE)
    picture = IMAGE.copy()
    picture[:50, :100] = 200
    detector(picture, ["horse"])
    given = detector._interpreter.given
    np.testing.assert_array_equal(given[:13, :18], 200)
    np.testing.assert_array_equal(given[17:], np.broadcast_to(np.uint8((10, 20, 30)), (13, 40, 3)))


def test_rows_beyond_the_count_do_not_count(detector_of):
    assert detector_of(HORSE, HORSE, count=0)(IMAGE, ["horse"]) == []
    assert len(detector_of(HORSE, HORSE, count=1)(IMAGE, ["horse"])) == 1


def test_rows_that_are_no_boxes_are_left_out_and_counted(detector_of):
    detector = detector_of(
        HORSE,
        ((0.1, np.nan, 0.5, 0.9), 2, 0.7),
        ((0.5, 0.2, 0.1, 0.9), 2, 0.7),
        ((0.1, 0.2, 0.5, 0.9), 2, np.nan),
        ((0.1, 0.2, 0.5, 0.9), np.nan, 0.7),
    )
    with pytest.warns(UserWarning, match="gave 3 boxes with NaN or no area"):  # the last is of no class asked for
        assert [item.score for item in detector(IMAGE, ["horse"])] == [0.75]


def test_several_phrases_for_one_class(detector_of):
    detector = detector_of(((0, 0, 1, 1), 4, 0.5), ((0, 0, 1, 1), 3, 0.5))
    labels = [item.label for item in detector(IMAGE, ["coffee table", "dining table", "sofa"])]
    assert labels == ["dining table", "sofa"]
    assert [item.label for item in detector(IMAGE, ["coffee table", "side table"])] == ["coffee table"]


def test_phrases_without_a_class(detector_of):
    detector = detector_of(HORSE, ((0, 0, 1, 1), 1, 0.9))
    with pytest.warns(UserWarning, match="no class for 'house'.*did you mean 'horse'"):
        assert [item.label for item in detector(IMAGE, ["house", "horse"])] == ["horse"]
    with pytest.raises(ValueError, match=r"class of COCO, got \['zebra', 'lamp'\]: choose from person, horse, couch"):
        detector(IMAGE, ["zebra", "lamp"])
    with pytest.raises(ValueError, match="class of COCO"):
        detector(IMAGE, ["n/a"])  # a placeholder names nothing
    with pytest.raises(TypeError, match="got the text 'horses'"):
        detector(IMAGE, "horses")
    with pytest.raises(ValueError, match=r"image must be \(H, W, 3\) uint8"):
        detector(IMAGE / 255, ["horse"])
    assert detector._interpreter.invoked == 1  # nothing was computed for what was refused


def test_files_are_known_ones(monkeypatch, tmp_path):
    monkeypatch.setenv("STYLEMIXSEG_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="coco_ssd_mobilenet_v1.tflite"):
        CocoSSD()
    (tmp_path / "models").mkdir()
    (tmp_path / MODEL).write_bytes(b"cut short")
    with pytest.raises(ValueError, match="SHA-256"):
        CocoSSD()
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        CocoSSD(threads=0)


@needs(MODEL)
def test_other_labels_are_refused(monkeypatch, tmp_path):
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert (extra `references`) is not installed")
    (tmp_path / "models").mkdir()
    (tmp_path / MODEL).symlink_to(paths.data_dir() / MODEL)
    (tmp_path / LABELS).write_text("\n".join(NAMES))
    monkeypatch.setenv("STYLEMIXSEG_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="coco_labels.txt has SHA-256"):
        CocoSSD()


@needs(MODEL)
def test_the_missing_extra_is_named(no_litert):
    with pytest.raises(ModuleNotFoundError, match=r"coco_ssd.*stylemixseg\[references\]"):
        CocoSSD()


@needs(MODEL, LABELS, HORSES)
def test_it_finds_a_horse_where_the_mask_says(monkeypatch):
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert (extra `references`) is not installed")
    photo, mask = read_horses()["horse001"]
    detector = CocoSSD()
    assert len(detector.classes) == 80 and detector.classes[0] == "person" and detector.classes[89] == "toothbrush"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = detector(photo, ["a horse", "couch"])
    best = max(found, key=lambda item: item.score)
    assert best.label == "a horse" and best.score > 0.6
    assert box_iou(best.box, mask_box(mask)) > 0.6
    again = CocoSSD()(np.ascontiguousarray(photo[:, ::-1]), ["a horse"])  # mirrored, so is the box
    mirrored = max(again, key=lambda item: item.score)
    x0, y0, x1, y1 = mirrored.box
    assert box_iou((photo.shape[1] - x1, y0, photo.shape[1] - x0, y1), best.box) > 0.7
