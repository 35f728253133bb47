"""The benchmark scripts run, at toy size, and write what the README of theirs promises. Nothing is timed here."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from chromium import find_chromium

FOLDER = Path(__file__).parents[2] / "benchmarks"
RUN = {"wall_s", "cpu_s", "peak_bytes", "laps"}


@pytest.fixture(scope="module")
def measure():
    spec = importlib.util.spec_from_file_location("measure", FOLDER / "measure.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(script: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, FOLDER / script, *arguments], capture_output=True, text=True)


def check_head(record: dict, benchmark: str) -> None:
    assert record["benchmark"] == benchmark and record["date"].endswith("+00:00")
    assert {"cpu", "cores", "memory_bytes", "load_average", "libraries", "threads"} <= set(record["machine"])
    assert {"numpy", "openvino", "torch"} <= set(record["machine"]["libraries"])
    assert len(record["machine"]["load_average"]) == 2  # before and after


def test_cpu_faces(tmp_path):
    out = tmp_path / "new" / "faces.json"
    done = run("cpu_faces.py", *"--generator toy-portrait --seeds 3 --n 3 --out".split(), str(out))
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text())
    check_head(record, "cpu_faces")
    assert record["settings"]["generator"] == "toy-portrait" and record["settings"]["seeds"] == [3]
    assert [(item["seed"], item["variant"]) for item in record["runs"]] == [(3, "peer"), (3, "ours")]
    peer, ours = record["runs"]
    assert set(RUN) <= set(peer) and {"synthesis", "lab", "concatenate", "kmeans", "rule"} <= set(peer["laps"])
    assert set(RUN) <= set(ours) and set(ours["query"]) == {"summary", "clustering"}
    for key, ratio in record["ratios"].items():
        assert ratio["median"] == ours[key] / peer[key] and ratio["n"] == 1
    (agreement,) = record["agreement"]
    assert 0 <= agreement["iou"] <= 1 and 0 < agreement["same_cluster"] <= 1
    assert record["limits"] is None  # it counts the face generator's arithmetic


def test_judge_is_for_the_face_generator(real_faces, faces_wheel, tmp_path):
    out = tmp_path / "judge.json"
    done = run("judge.py", *"--seeds 3 --n 4 --wheel".split(), str(faces_wheel), "--out", str(out))
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text())
    check_head(record, "judge")
    assert [item["variant"] for item in record["runs"]] == ["peer", "judge", "warm"]
    assert set(record["ratios"]) == {"wall_s", "cpu_s", "peak_bytes", "warm_query"}
    assert record["ratios"]["wall_s"]["median"] > 0 and record["ratios"]["warm_query"]["n"] == 1


def test_growth(tmp_path):
    out = tmp_path / "growth.json"
    grid = "--n 2 4 --resolution 32 --k 2 --generator toy-portrait --out"
    done = run("growth.py", *grid.split(), str(out))
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text())
    check_head(record, "growth")
    assert [(row["varied"], row["n"], row["resolution"], row["k"]) for row in record["table"]] == [
        ("n", 2, 32, 2),
        ("n", 4, 32, 2),
        ("resolution", 4, 32, 2),
        ("k", 4, 32, 2),
    ]
    assert all(RUN | {"summary_s", "clustering_s"} <= set(row) for row in record["table"])
    fits = {fit["number"]: fit for fit in record["fits"]}
    assert {fit["varied"] for fit in record["fits"]} == {"n"}  # of the others there is one value
    assert fits["peak_bytes"]["expected"] == 3 * 32**2
    assert {"slope", "intercept", "r2", "power", "reason"} <= set(fits["summary_s"])


SCRIPTS = sorted(path.name for path in FOLDER.glob("*.py") if "\n    if not measure.serve(" in path.read_text())


@pytest.mark.parametrize("script", SCRIPTS)
def test_help(script):
    done = run(script, "--help")
    assert done.returncode == 0 and "--out" in done.stdout and f"python benchmarks/{script}" in done.stdout


def test_committed_results_are_of_these_benchmarks():
    for path in (FOLDER / "results").glob("*.json"):
        check_head(json.loads(path.read_text()), path.stem)


def test_a_failing_variant_is_named(measure, tmp_path):
    script = tmp_path / "broken.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(FOLDER)!r})\n"
        "import measure\n"
        "def work(variant, settings, laps):\n"
        "    laps('start'); block = bytearray(settings['bytes']); laps('fill')\n"
        "    return {'half': len(block) / 2} if variant == 'good' else block['no']\n"
        "measure.serve(work)\n"
    )
    small, large = (measure.fresh_run(script, "good", {"bytes": size}) for size in (1, 200 << 20))
    assert large["half"] == 100 << 20 and set(large["laps"]) == {"start", "fill"}
    assert 0.9 < (large["peak_bytes"] - small["peak_bytes"]) / (200 << 20) < 1.1
    with pytest.raises(RuntimeError, match="broken.py, variant 'bad', failed with status 1"):
        measure.fresh_run(script, "bad", {"bytes": 1})


def test_pairs_alternate_and_ratios_are_within_rounds(measure):
    assert list(measure.interleaved("AB", 3)) == [(0, "A"), (0, "B"), (1, "B"), (1, "A"), (2, "A"), (2, "B")]
    runs = [
        {"round": i, "variant": variant, "wall_s": seconds}
        for i, variant, seconds in [(0, "a", 1), (0, "b", 2), (1, "b", 40), (1, "a", 10), (2, "a", 3), (2, "b", 3)]
    ]
    expected = {"wall_s": {"min": 0.25, "median": 0.5, "max": 1.0, "n": 3}}
    assert measure.paired_ratios(runs, "a", "b", keys=["wall_s"]) == expected


def test_line(measure):
    line = measure.fit_line([1, 2, 4], [5, 7, 11])
    assert line == {"slope": pytest.approx(2), "intercept": pytest.approx(3), "r2": pytest.approx(1)}
    assert measure.fit_line([1, 2, 3, 4], [1, -1, 1, -1])["r2"] < 0.5


def test_cpu_stylegan2(tmp_path):
    out = tmp_path / "stylegan2.json"
    size = "--resolution 32 --channel-base 256 --cutoffs 0 8 --n 2 --repeats 2 --out"
    done = run("cpu_stylegan2.py", *size.split(), str(out))
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text())
    check_head(record, "cpu_stylegan2")
    first, last = record["by_cutoff"]
    assert (first["cutoff"], first["arithmetic_above"]) == (0, 1.0) and last["arithmetic_above"] == 0.0
    for row in (first, last):
        assert set(row["ratios"]) == {"shared", "ours"} and row["ratios"]["ours"]["n"] == 2
        assert all(value < 1e-4 for value in row["largest_difference"].values())
    assert [row["resolution"] for row in record["earlier"]] == [16, 32]
    assert record["earlier"][-1]["correlation"] == pytest.approx(1, abs=1e-4)


def test_gpu_script_on_the_cpu(tmp_path):
    """The one command that measures a GPU, on what there is: half precision must not change the mask by much."""
    out = tmp_path / "gpu.json"
    size = "--device cpu --resolution 32 --channel-base 256 --n 3 --repeats 2 --dtype bfloat16 --batch-size 2"
    done = run("gpu.py", *size.split(), "--variants", "plain", "half", "half_last", "--out", str(out))
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text())
    check_head(record, "gpu")
    assert record["device"] == "CPU" and set(record["ratios"]) == {"half", "half_last"}
    assert all(item["iou"] > 0.9 and item["image"] < 5 for item in record["agreement"].values())
    assert record["limits"]["flops_per_s"] > 0 and record["bars"]["ratio"] == 0.5


def test_factory(tmp_path):
    """Without Ray, whose own tests are slow enough."""
    out = tmp_path / "factory.json"
    size = "--generator toy-portrait --count 8 --repeats 1 --sizes 4 8 --variants loop process1 process2 judge2 --out"
    done = run("factory.py", *size.split(), str(out))
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text())
    check_head(record, "factory")
    assert [item["variant"] for item in record["runs"]] == ["loop", "process1", "process2", "judge2"]
    assert all(item["pairs_per_s"] > 0 and item["start_s"] > 0 for item in record["runs"])
    assert set(record["ratios"]) == {"process2 / loop", "judge2 / loop"} and record["differing_pixels"] == 0
    assert record["miou"] is None  # no parser knows the toy world
    assert all(item["bytes_per_pair"] > 1000 for item in record["runs"][1:])
    assert [item["samples"] for item in record["memory"]] == [4, 8]


def test_the_steps_of_the_factory(tmp_path):
    """Each is compared with the one before it."""
    out = tmp_path / "steps.json"
    done = run("factory.py", *"--steps --generator toy-portrait --count 8 --repeats 1 --out".split(), str(out))
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text())
    check_head(record, "factory_steps")
    steps = ["loop", "process2", "fewer2", "exact2", "judge2"]
    assert [item["variant"] for item in record["runs"]] == steps and record["memory"] == []
    rates = [item["pairs_per_s"] for item in record["runs"]]
    expected = [later / before for before, later in pairwise(rates)]
    assert [ratio["median"] for ratio in record["ratios"].values()] == pytest.approx(expected)


@pytest.mark.slow
@pytest.mark.browser
def test_the_live_page(real_faces, tmp_path):
    if find_chromium() is None or not (FOLDER.parent / "book" / "_runtime").is_dir():
        pytest.skip("needs Chromium, and the runtime that `make book` gets through npm")
    out = tmp_path / "live.json"
    done = run("live.py", *"--rounds 1 --seeds 3 --out".split(), str(out))
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text())
    check_head(record, "live")
    assert [item["variant"] for item in record["runs"]] == ["http", "disk"]
    for item in record["runs"]:
        assert 0 < item["mix_s"] < item["first_s"] < item["mask_s"] and item["peak_bytes"] > 1e8
    assert 8e6 < record["download_bytes"] < record["bars"]["download_bytes"]
    (agreement,) = record["agreement"]
    assert agreement["seed"] == 3
    assert all(0.9 < agreement[name]["fg_iou"] <= 1 for name in ("network", "int8", "page", "restart", "whole"))
