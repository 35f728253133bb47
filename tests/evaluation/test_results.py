import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from stylemixseg.evaluation.resultfiles import MAX_BYTES, ResultError
from stylemixseg.evaluation.results import RunRecorder, load_run, load_runs, measurements, profile_runs
from stylemixseg.metrics import Confusion, mean_iou

GENERATOR = SimpleNamespace(name="toy", digest="ab" * 32)


def recorded(tmp_path, experiment="one", profile="smoke", name="toy.tour.miou", value=1 / 3):
    recorder = RunRecorder(experiment, profile, tmp_path / profile / f"{experiment}.json", GENERATOR, seed=7)
    recorder.add(name, value, n=5, interval=(0.25, 0.5), note="a note")
    return recorder


def test_a_run_comes_back_as_written_and_unrounded(tmp_path):
    run = load_run(recorded(tmp_path).write())
    (item,) = run.measurements
    assert item.value == 1 / 3 and item.n == 5 and item.interval == (0.25, 0.5) and item.note == "a note"
    assert run.generator == {"name": "toy", "sha256": "ab" * 32} and run.seed == 7
    assert {"python", "stylemixseg", "torch", "numpy", "faiss-cpu"} <= set(run.versions)
    assert run.device.startswith("cpu") and run.seconds >= 0 and run.created.endswith("+00:00")


def test_the_file_has_the_agreed_fields(tmp_path):
    content = json.loads(recorded(tmp_path).write().read_text())
    assert list(content) == [
        "experiment", "profile", "generator", "seed", "device", "versions", "created", "seconds", "measurements",
    ]  # fmt: skip
    assert list(content["measurements"][0]) == ["name", "value", "n", "interval", "note"]


def test_numpy_numbers_are_taken(tmp_path):
    recorder = recorded(tmp_path)
    recorder.add("a.b", np.float32(0.5), n=np.int64(3), interval=np.array([0.25, 0.75]))
    assert measurements(recorder.write())["a.b"].interval == (0.25, 0.75)


def test_ious_are_recorded_with_size_and_interval(tmp_path):
    images = [Confusion(5, 1, 2, 9), Confusion(3, 3, 1, 4), Confusion(8, 0, 1, 2)]
    recorder = recorded(tmp_path)
    recorder.add_ious("table1.ffhq.saliency", images, average="dataset")
    found = measurements(recorder.write())
    for statistic in ("fg_iou", "bg_iou", "miou"):
        item = found[f"table1.ffhq.saliency.{statistic}"]
        assert item.value == mean_iou(images, "dataset", statistic) and item.n == 3
        assert item.interval[0] <= item.value <= item.interval[1]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400])
def test_not_a_number_is_refused(tmp_path, value):
    recorder = recorded(tmp_path)
    with pytest.raises(ValueError, match="value of a.b must be finite"):
        recorder.add("a.b", value)
    with pytest.raises(ValueError, match="interval of a.b must be finite"):
        recorder.add("a.b", 0.5, interval=(0, value))


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ({"name": "A B"}, ValueError, "dotted lower-case"),
        ({"name": "toy.tour.miou"}, ValueError, "recorded already"),
        ({"value": "0.5"}, TypeError, "must be a number"),
        ({"value": True}, TypeError, "must be a number"),
        ({"n": 0}, ValueError, "n of a.b"),
        ({"interval": (0.6, 0.4)}, ValueError, "low <= high"),
        ({"interval": (0.6,)}, TypeError, r"\(low, high\)"),
        ({"note": 3}, TypeError, "note"),
    ],
)
def test_bad_measurements_are_named(tmp_path, arguments, error, words):
    with pytest.raises(error, match=words):
        recorded(tmp_path).add(**{"name": "a.b", "value": 0.5, **arguments})


def test_nothing_is_written_without_measurements_or_by_a_failing_write(tmp_path, monkeypatch):
    empty = RunRecorder("one", "smoke", tmp_path / "one.json")
    with pytest.raises(ValueError, match="recorded no measurement"):
        empty.write()
    recorder = recorded(tmp_path)
    path = recorder.write()
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        recorder.write()
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda c: c.pop("profile"), "profile"),
        (lambda c: c.pop("measurements"), "measurements"),
        (lambda c: c.update(extra=1), "extra"),
        (lambda c: c.update(measurements={}), "measurements must be a list"),
        (lambda c: c["measurements"].append(3), "measurement must be an object"),
        (lambda c: c["measurements"][0].pop("value"), "value"),
        (lambda c: c["measurements"][0].update(value=None), "must be a number"),
        (lambda c: c["measurements"][0].update(value=math.nan), "NaN is not a number"),
        (lambda c: c["measurements"][0].update(interval="ab"), "interval"),
        (lambda c: c["measurements"].append(c["measurements"][0]), "measured twice"),
        (lambda c: c.update(generator={"name": 1}), "generator"),
        (lambda c: c.update(versions=[]), "versions"),
        (lambda c: c.update(seed=-1), "seed"),
        (lambda c: c.update(seconds="long"), "seconds"),
        (lambda c: c.update(created="yesterday"), "yesterday"),
        (lambda c: c.update(created=3), "not a result file"),
        (lambda c: c.update(profile="../x"), "profile must be a plain name"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(tmp_path, change, words):
    path = recorded(tmp_path).write()
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ResultError, match=words) as caught:
        load_run(path)
    assert "one.json" in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"value": 1e', b" " * (MAX_BYTES + 1), b"9" * 5000],
    ids=["empty", "cut", "not-utf8", "deep", "cut-number", "large", "digits"],
)
def test_what_is_no_json_is_named(tmp_path, data):
    path = tmp_path / "broken.json"
    path.write_bytes(data)
    with pytest.raises(ResultError, match="broken.json"):
        load_run(path)


def test_folders_are_read_together(tmp_path):
    recorded(tmp_path, "one", name="a.one").write()
    recorded(tmp_path, "two", name="a.two").write()
    assert set(measurements(tmp_path / "smoke")) == {"a.one", "a.two"}
    assert [run.experiment for run in profile_runs(tmp_path, "smoke")] == ["one", "two"]
    assert load_runs(tmp_path / "absent") == []
    recorded(tmp_path, "three", name="a.one").write()
    with pytest.raises(ResultError, match="a.one is measured twice"):
        measurements(tmp_path / "smoke")


def test_results_of_another_profile_are_refused(tmp_path):
    recorded(tmp_path, profile="smoke").write()
    (tmp_path / "smoke").rename(tmp_path / "full")
    with pytest.raises(ResultError, match="holds results of profile 'smoke'"):
        profile_runs(tmp_path, "full")


def test_a_path_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ResultError, match="nowhere"):
        measurements(tmp_path / "nowhere")
