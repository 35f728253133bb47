"""data_scripts/train_student.py from a set to weights that the package loads, for foreground and for named parts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from stylemixseg.factory.recipe import Recipe
from stylemixseg.factory.run import synthesize
from stylemixseg.foreground import CornerMinority
from stylemixseg.models.student import PartsStudent, Student
from stylemixseg.settings import SegmenterConfig


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "data_scripts")
    import train_student

    return train_student


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pairs") / "set"
    synthesize(folder, Recipe("toy-portrait", SegmenterConfig(n=6, k=3, rule=CornerMinority()), size=32), 4)
    return folder


def run(script, monkeypatch, *arguments: object) -> None:
    size = ("--start", "random", "--steps", 2, "--batch", 2, "--side", 33, "--seed", 5, "--rate", 0.002)
    monkeypatch.setattr(sys, "argv", ["train_student.py", *map(str, (*arguments, *size))])
    script.main()


def test_a_set_becomes_a_student(script, pairs, monkeypatch, tmp_path):
    out, curves = tmp_path / "student.safetensors", tmp_path / "curves.png"
    run(script, monkeypatch, pairs, "--work", tmp_path / "work", "--out", out, "--curves", curves)
    assert Student.load(out).side == 33 and curves.read_bytes().startswith(b"\x89PNG")
    about = json.loads(out.with_suffix(".json").read_text())
    how = about["training"]
    assert (how["steps"], how["batch"], how["side"], how["rate"], how["seed"]) == (2, 2, 33, 0.002, 5)
    assert how["optimiser"] == "adamw" and how["pairs"] == 4 and "classes" not in about


def test_a_set_with_labels_becomes_a_student_of_parts(script, pairs, monkeypatch, tmp_path):
    from stylemixseg.factory.store import Store

    # The toy world has no shared clusters with names, so the labels' names are given here.
    monkeypatch.setattr(Store, "made_with", lambda self: {"labels": ["background", "person"]})
    out = tmp_path / "parts.safetensors"
    run(script, monkeypatch, pairs, "--classes", "--work", tmp_path / "work", "--out", out)
    parts = PartsStudent.load(out)
    assert parts.classes == ("background", "person")
    sample = Store(pairs).read(0)
    image = sample.pixels("image.png").astype(np.float32).transpose(2, 0, 1)[None] / 127.5 - 1

    found = parts.probabilities(torch.from_numpy(image))
    assert found.shape == (1, 2, 32, 32) and torch.allclose(found.sum(1), torch.ones(1, 32, 32), atol=1e-5)
    assert parts.labels(torch.from_numpy(image)).unique().max() <= 1
