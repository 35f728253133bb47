"""Scores of single images: written and read back, by name, and refused where they are damaged."""

from __future__ import annotations

import json

import numpy as np
import pytest

from stylemixseg.evaluation.imagescores import ImageScores, folder_scores, read_scores, write_scores
from stylemixseg.evaluation.resultfiles import ResultError
from stylemixseg.evaluation.results import RunRecorder, scores_path
from stylemixseg.metrics import Confusion

IMAGES = [Confusion(8, 1, 1, 10), Confusion(5, 5, 0, 10)]


def test_scores_come_back_as_written(tmp_path):
    path = tmp_path / "images" / "one.json"
    counts = ImageScores.of_confusions(IMAGES, ["a", "b"])
    numbers = ImageScores.of_values([1 / 3, 2.5])
    write_scores(path, {"x.y": counts, "x.psnr": numbers})
    found = read_scores(path)
    assert found["x.y"].images == ("a", "b") and np.array_equal(found["x.y"].counts, counts.counts)
    assert found["x.psnr"].images == ("0", "1") and found["x.psnr"].by_image() == {"0": 1 / 3, "1": 2.5}
    assert found["x.y"].by_image() == {"a": IMAGES[0].miou, "b": IMAGES[1].miou}
    write_scores(path, {})  # a later run without scores leaves none of an earlier one
    assert not path.exists()


def test_a_recorder_writes_them_beside_the_means(tmp_path):
    recorder = RunRecorder("one", "smoke", tmp_path / "smoke" / "one.json")
    recorder.add_both("a.b", IMAGES, ["x", "y"])
    recorder.add_mean("a.iou", [[0.5, 1.0], [], [0.25]], images=["x", "y", "z"])
    path = recorder.write()
    found = read_scores(scores_path(path))
    assert set(found) == {"a.b", "a.iou"} and found["a.iou"].by_image() == {"x": 0.75, "z": 0.25}
    assert folder_scores(tmp_path / "smoke").keys() == found.keys()
    measured = json.loads(path.read_text())["measurements"]
    assert [item["name"] for item in measured if item["name"].startswith("a.b")] == [
        f"a.b{average}.{iou}" for average in ("", ".per_image") for iou in ("fg_iou", "bg_iou", "miou")
    ]
    (mean,) = (item for item in measured if item["name"] == "a.iou")
    assert mean["value"] == pytest.approx(1.75 / 3) and mean["n"] == 3


def test_a_name_is_scored_once(tmp_path):
    recorder = RunRecorder("one", "smoke", tmp_path / "one.json")
    recorder.add_scores("a.b", ImageScores.of_confusions(IMAGES))
    with pytest.raises(ValueError, match="scores of a.b have been recorded already"):
        recorder.add_scores("a.b", ImageScores.of_confusions(IMAGES))
    with pytest.raises(ValueError, match="dotted lower-case"):
        recorder.add_scores("A b", ImageScores.of_confusions(IMAGES))


@pytest.mark.parametrize("images, values", [((), ()), (("a", "a"), (1, 2)), (("a",), (1, 2))])
def test_every_image_has_one_score(images, values):
    with pytest.raises(ValueError, match="images must be at least one name, each once"):
        ImageScores.of_values(values, images)


@pytest.mark.parametrize(
    "content, words",
    [
        ('{"a.b": 1}', "a.b: must map images to scores"),
        ('{"a.b": {}}', "at least one name"),
        ('{"a.b": {"x": [1, 2, 3]}}', "a.b"),
        ('{"a.b": {"x": [1, 2, 3, -4]}}', "tn must be"),
        ('{"a.b": {"x": [1, 2, 3, 0.5]}}', "tn must be"),
        ('{"a.b": {"x": "1"}}', "image 'x' must be a number"),
        ('{"a.b": {"x": true}}', "image 'x' must be a number"),
        ('{"a.b": {"x": [1, 2, 3, 4], "y": 1}}', "must be a number, or four counts"),
        ('{"a.b": {"x": Infinity}}', "Infinity"),
        ("[]", "JSON object"),
    ],
)
def test_damaged_files_are_named(tmp_path, content, words):
    path = tmp_path / "broken.json"
    path.write_text(content)
    with pytest.raises(ResultError, match=words) as caught:
        read_scores(path)
    assert "broken.json" in str(caught.value)


def test_two_files_do_not_score_the_same(tmp_path):
    for name in ("one", "two"):
        write_scores(tmp_path / "images" / f"{name}.json", {"a.b": ImageScores.of_values([1.0])})
    with pytest.raises(ResultError, match="two.json: the images' scores of a.b stand in another file too"):
        folder_scores(tmp_path)
    assert folder_scores(tmp_path / "absent") == {}
