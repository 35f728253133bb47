"""`stylemixseg synthesize` as users call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylemixseg._util.quiet import absent
from stylemixseg.commands import main as cli

TOY = "--generator toy-portrait -n 4 -k 3 --rule corner --resolution 32 --size 32".split()


def run(out: Path, *arguments: str) -> int:
    return cli.main(["synthesize", str(out), *arguments])


def test_pairs_are_made_and_continued(tmp_path, capsys):
    out = tmp_path / "set"
    assert run(out, "--count", "2", *TOY, "--format", "folder") == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == [f"{out}: 2 pairs", f"{out / 'folder'}: see its README.md"]
    assert "pair/s" in told.err
    assert run(out, "--count", "3", *TOY, "--format", "folder", "--mask-share", "0.9999,1") == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{out}: 0 pairs, 3 dropped"
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["filters"] == {"min_agreement": None, "mask_share": [0.9999, 1.0], "min_confidence": None}
    assert manifest["run"]["method"]["rule"].startswith("CornerMinority")


def test_objects_of_a_room(tmp_path):
    out = tmp_path / "rooms"
    assert (
        run(out, "--count", "2", "--generator", "toy-room", "-n", "4", "--objects", "sofa, lamp", "--margin", "0.2")
        == 0
    )
    listed = [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]
    assert {item["phrase"] for line in listed for item in line["objects"]} == {"sofa", "lamp"}
    record = json.loads((out / "run.json").read_text())
    assert record["labels"] == ["background", "sofa", "lamp"] and record["objects"]["margin"] == 0.2


def test_faces_by_the_judge_with_named_parts(tmp_path, real_faces):
    out = tmp_path / "parts"
    assert run(out, "--count", "1", "-n", "8", "--size", "256", "--classes", "--format", "folder") == 0
    record = json.loads((out / "run.json").read_text())
    assert record["labels"] == ["background", "skin", "hair", "cloth"] and record["method"]["judge"] == "joint, n = 8"
    mask = np.asarray(Image.open(out / "folder" / "ann_dir" / "train" / "0000000000.png"))
    assert mask.shape == (256, 256) and {0, 1, 2} <= set(np.unique(mask)) <= {0, 1, 2, 3, 255}
    licences = json.loads((out / "manifest.json").read_text())["licences"]
    assert "non-commercial" in licences["generator faces"] and "judge of pixels" in licences


def test_faces_with_features(tmp_path, real_faces, capsys):
    out = tmp_path / "parts"
    options = ("--count", "1", "-n", "8", "--size", "256", "--classes")
    assert run(out, *options, "--features") == 0
    record = json.loads((out / "run.json").read_text())
    features = ("brows", "eyes", "nose", "mouth")
    assert record["labels"] == ["background", "skin", "hair", "cloth", *features]
    assert list(record["clusters of the features"]) == ["skin", *features]
    with zipfile.ZipFile(out / "samples" / "0000000" / "0000000000.zip") as archive:
        mask = np.asarray(Image.open(archive.open("mask.png")))
    assert {0, 1, 2, 5, 6, 7} <= set(np.unique(mask)) <= {*range(8), 255}
    assert run(out, *options) == 1  # not the same set
    assert "OUT holds samples of other settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--count", "0"], "count must be in 1..4294967296, got 0"),
        (["--count", "1", "--first", "-3"], "first must be in 0..4294967295, got -3"),
        (["--count", "1", "--size", "100"], "size: resolution must divide the generator's 128, got 100"),
        (["--count", "1", "--workers", "0"], "workers must be at least 1, got 0"),
        (["--count", "1", "--min-agreement", "1.2"], "min_agreement must be in 0..1, got 1.2"),
        (
            ["--count", "1", "--mask-share", "0.9,0.1"],
            "mask_share must be least, most with least <= most, got 0.9, 0.1",
        ),
        (["--count", "1", "--truncation", "nan"], "truncation must be in 0..1, got nan"),
        (["--count", "1", "--generator", "toy-rom"], "unknown generator 'toy-rom': did you mean 'toy-room'"),
    ],
)
def test_bad_input_is_one_clear_line_and_leaves_nothing(tmp_path, capsys, arguments, words):
    assert run(tmp_path / "set", *TOY, *arguments) == 1
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--mask", "joint", "--rule", "corner"], "--mask joint takes no --rule"),
        (["--classes", "--rule", "corner"], "--classes names parts of a joint mask, it does not go with --rule"),
        (["--classes", "--objects", "sofa"], "it does not go with --objects"),
        (["--classes", "--mask", "rule"], "--classes needs --mask joint"),
        (["--features"], "--features divides the skin of --classes: give both"),
        (["--margin", "0.1"], "--margin is for --objects"),
        (["--objects", "sofa", "--mask", "rule"], "--mask is for whole images"),
        (["--mask-share", "0.5"], "must be two numbers LEAST,MOST, got '0.5'"),
        (["--format", "tfrecord"], "invalid choice: 'tfrecord'"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(tmp_path, capsys, arguments, words):
    with pytest.raises(SystemExit) as left:
        run(tmp_path / "set", "--count", "1", "--generator", "toy-portrait", *arguments)
    assert left.value.code == 2 and words in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_without_ray_its_extra_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "stylemixseg.factory.engines.raydata", raising=False)
    with absent("ray"):
        assert run(tmp_path / "set", "--count", "1", *TOY, "--engine", "ray") == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "stylemixseg: The engine 'ray' needs Ray, which is not installed: pip install 'stylemixseg[scale]'"
    )
    assert not (tmp_path / "set").exists()


def test_help_shows_the_formats_without_loading_pytorch():
    code = (
        "import sys\nfrom stylemixseg.commands.main import main\n"
        "try:\n    main(['synthesize', '--help'])\nexcept SystemExit:\n    print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert "webdataset" in done.stdout and done.stdout.splitlines()[-1] == "False"
