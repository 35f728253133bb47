"""The check of the numbers: it holds where nothing moved, and fails where a mean or a single image did."""

from __future__ import annotations

import json

import pytest

from stylemixseg.evaluation import numbercheck
from stylemixseg.evaluation.numbercheck import (
    FOLDER,
    IMAGE_TOLERANCE,
    MARGIN,
    MEAN_TOLERANCE,
    Row,
    check,
    image_tolerance,
    mean_tolerance,
    measured_everywhere,
    noise,
    passed,
    propose_expectations,
    read_expectations,
    update_expectations,
)
from stylemixseg.evaluation.resultfiles import ResultError
from stylemixseg.evaluation.results import RunRecorder
from stylemixseg.metrics import Confusion

MAIN = "table1.ffhq.saliency.miou"
ON_PHOTOS = "table1.celeba.encoder.saliency.miou"
IMAGES = [Confusion(90, 5, 5, 100), Confusion(60, 10, 20, 110), Confusion(80, 0, 15, 105)]


def run(folder, profile, values, experiment="table1"):
    recorder = RunRecorder(experiment, profile, folder / profile / f"{experiment}.json")
    for name, (value, n, interval) in values.items():
        recorder.add(name, value, n=n, interval=interval)
    recorder.write()


def scored(folder, images, names=("a", "b", "c"), experiment="table1", prefix="table1.ffhq.saliency"):
    recorder = RunRecorder(experiment, "cpu", folder / "cpu" / f"{experiment}.json")
    recorder.add_both(prefix, images, names)
    recorder.write()
    return folder


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    run(folder, "cpu", {MAIN: (0.7654321, 12, (0.70, 0.82))})
    return folder


def expect(path, means, images=None):
    path.write_text(json.dumps({"means": means, "images": images or {}}))
    return path


def test_a_check_holds_and_fails_at_the_tolerance(results, tmp_path):
    expected = expect(tmp_path / "cpu.json", {MAIN: [0.75, 0.02]})
    (row,) = check("cpu", results, expected)
    assert (row.name, row.measured, row.n, row.interval) == (MAIN, 0.7654321, 12, (0.70, 0.82)) and row.ok
    assert not check("cpu", results, expect(expected, {MAIN: [0.74, 0.02]}))[0].ok


def test_single_images_are_compared_where_means_hide_them(tmp_path):
    """One image better, one worse by as much: the mean over images stays, both images are reported."""
    path = update_expectations("cpu", scored(tmp_path / "first", IMAGES), tmp_path / "cpu.json")
    assert all(row.ok for row in check("cpu", tmp_path / "first", path))
    swapped = scored(tmp_path / "second", [IMAGES[1], IMAGES[0], IMAGES[2]])
    rows = check("cpu", swapped, path)
    assert all(row.ok for row in rows if row.image is None)
    assert {row.image for row in rows if not row.ok} == {"a", "b"}


def test_one_image_in_a_thousand_may_stray_but_neither_its_mean_nor_a_second_image():
    image = Row("a.miou", "1", 0.5, 0.5, 0.005)
    far = Row("a.miou", "2", 0.6, 0.5, 0.005)
    assert passed([far, *[image] * 999]) and passed([far, *[image] * 99])
    assert not passed([far, *[image] * 98])
    other = Row("a.miou", "3", 0.6, 0.5, 0.005)
    assert not passed([far, other, *[image] * 998]) and passed([far, other, *[image] * 999])
    assert not passed([Row("a.miou", None, 0.6, 0.5, 0.002), *[image] * 1000])


def test_all_scores_of_one_image_may_stray_together():
    """A photo whose inversion ends elsewhere moves in every score."""
    still = [Row("a.miou", "1", 0.5, 0.5, 0.005)] * 200
    moved = [Row(name, "2", 0.6, 0.5, 0.005) for name in ("a.miou", "a.trimap.miou", "b.miou")]
    assert passed([*still, *moved])
    assert not passed([*still, *moved, Row("a.miou", "3", 0.6, 0.5, 0.005)])


def test_other_images_than_expected_are_named(tmp_path):
    path = update_expectations("cpu", scored(tmp_path / "first", IMAGES), tmp_path / "cpu.json")
    with pytest.raises(ResultError, match="expects other images of table1.ffhq.saliency than were scored: c is in one"):
        check("cpu", scored(tmp_path / "second", IMAGES, ("a", "b", "d")), path)


def test_an_expectation_without_its_result_is_named(results, tmp_path):
    expected = expect(tmp_path / "cpu.json", {"table4.lab.c8.k4.miou": [0.75, 0.02]})
    with pytest.raises(ResultError, match="cpu.json expects table4.lab.c8.k4.miou, which no result file in .*cpu"):
        check("cpu", results, expected)
    expect(expected, {MAIN: [0.76, 0.02]}, {"table4.lab.c8.k4": {"a": [0.75, 0.02]}})
    with pytest.raises(ResultError, match="expects table4.lab.c8.k4, which no result file"):
        check("cpu", results, expected)


def test_one_experiment_alone_can_be_checked(tmp_path):
    folder = scored(tmp_path, IMAGES)
    scored(folder, IMAGES, experiment="table4", prefix="table4.lab.c6.k4")
    path = update_expectations("cpu", folder, tmp_path / "cpu.json")
    names = {row.name for row in check("cpu", folder, path, ("table4",))}
    assert names and all(name.startswith("table4.") for name in names)
    (folder / "cpu" / "table1.json").unlink()
    assert check("cpu", folder, path, ("table4",))
    with pytest.raises(ResultError, match="holds no results of table1: run it first"):
        check("cpu", folder, path, ("table1",))


@pytest.mark.parametrize(
    "content, words",
    [
        ("{}", "means"),
        ("[]", "JSON object"),
        ('{"means": {}, "images": {}}', "no expectation"),
        ('{"means": {"a.b": 1}, "images": {}}', r"a.b must be \[value, tolerance\]"),
        ('{"means": {"a.b": [1]}, "images": {}}', r"a.b must be \[value, tolerance\]"),
        ('{"means": {"a.b": [NaN, 1]}, "images": {}}', "NaN"),
        ('{"means": {"a.b": [1, -1]}, "images": {}}', "at least 0"),
        ('{"means": {"a.b": [1, 1]}, "images": {"a": {"x": ["1", 1]}}}', "must be a number"),
        ('{"means": {"a.b": [1, 1]}, "images": []}', "not a file of expectations"),
    ],
)
def test_a_damaged_expectation_file_is_named(results, tmp_path, content, words):
    path = tmp_path / "broken.json"
    path.write_text(content)
    with pytest.raises(ResultError, match=words) as caught:
        check("cpu", results, path)
    assert "broken.json" in str(caught.value)


def test_no_expectation_file_is_named(results, tmp_path):
    with pytest.raises(ResultError, match="absent.json"):
        check("cpu", results, tmp_path / "absent.json")


def test_proposed_expectations_hold_and_leave_costs_out(tmp_path):
    folder = scored(tmp_path, IMAGES)
    run(folder, "cpu", {"tour.seconds": (12.0, None, None)}, experiment="01_tour")
    proposed = propose_expectations("cpu", folder)
    assert set(proposed.images) == {"table1.ffhq.saliency"} and set(proposed.images["table1.ffhq.saliency"]) == set(
        "abc"
    )
    assert {name.rsplit(".", 1)[0] for name in proposed.means} == {
        "table1.ffhq.saliency",
        "table1.ffhq.saliency.per_image",
    }
    with pytest.raises(ResultError, match="no results of profile paper"):
        propose_expectations("paper", folder)


@pytest.mark.parametrize(
    "name",
    [
        "counts.pixels",
        "table1.ffhq.saliency.deeplab.miou",
        "references.agreement.miou",
        "table1.celeba.both.judge_cut.miou",
    ],
)
def test_only_ious_that_every_machine_can_measure_are_expected(tmp_path, name):
    run(
        tmp_path,
        "cpu",
        {MAIN: (0.8, 12, (0.7, 0.9)), name: (0.8, 12, (0.7, 0.9)), "single.image.miou": (0.9, None, None)},
    )
    assert set(propose_expectations("cpu", tmp_path).means) == {MAIN}


def test_expectations_on_photos_count_only_where_photos_were(results, tmp_path):
    expected = expect(tmp_path / "cpu.json", {MAIN: [0.76, 0.02], ON_PHOTOS: [0.85, 0.02]})
    assert [row.name for row in check("cpu", results, expected)] == [MAIN]
    run(results, "cpu", {"table1.celeba.encoder.oracle.miou": (0.95, 8, None)}, experiment="table1_photos")
    with pytest.raises(ResultError, match=ON_PHOTOS):  # photos were there, but this was not measured
        check("cpu", results, expected)
    run(results, "cpu", {ON_PHOTOS: (0.7, 8, (0.6, 0.8))}, experiment="table1_photos")
    assert {row.name: row.ok for row in check("cpu", results, expected)} == {MAIN: True, ON_PHOTOS: False}


# The tolerances that are committed.


def test_tolerances_come_from_the_noise_study(monkeypatch):
    monkeypatch.setattr(
        numbercheck, "noise", lambda: {"means": {"a.miou": 0.004, "b.miou": 0.0001}, "images": {"a": 0.02}}
    )
    assert mean_tolerance("a.miou") == MARGIN * 0.004 and mean_tolerance("b.miou") == MEAN_TOLERANCE
    assert mean_tolerance("toy.a.miou") == mean_tolerance("a.miou")
    assert image_tolerance("a") == MARGIN * 0.02 and image_tolerance("b") == IMAGE_TOLERANCE


@pytest.mark.parametrize("profile", ["cpu", "smoke"])
def test_committed_tolerances_are_those_of_the_study_and_small(profile):
    """A mean may move by .005 at most, unless the study saw it move so far; then the study's number stands for it."""
    expected = read_expectations(FOLDER / f"{profile}.json")
    for name, (_, tolerance) in expected.means.items():
        assert tolerance == mean_tolerance(name)
        assert tolerance <= 0.005 or tolerance == pytest.approx(
            MARGIN * noise()["means"][numbercheck._plain(name)], abs=1e-4
        )
    for name, images in expected.images.items():
        assert {tolerance for _, tolerance in images.values()} == {image_tolerance(name)}


@pytest.mark.parametrize(
    "name",
    ["table3.judge.miou", "toy.table3.human.trimap.miou", "baselines.datasetgan.miou", "baselines.sis_labels.miou"],
)
def test_what_is_fitted_anew_is_never_expected(name):
    assert not measured_everywhere(name)
    assert measured_everywhere("table1.ffhq.saliency.miou")
