"""Each argument check: what passes, what is refused, and that the message names argument, value and what is right."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stylemixseg._util.checks import (
    check_choice,
    check_image,
    check_int,
    check_mask,
    check_real,
    check_view_side,
    suggest,
)
from stylemixseg._util.tensors import check_device, check_latents, parse_device


@pytest.mark.parametrize("value", [2, np.int64(5), np.uint8(9)])
def test_whole_numbers_pass_as_int(value):
    assert check_int("k", value, 2, 9) == value and type(check_int("k", value, 2, 9)) is int


@pytest.mark.parametrize(
    "value, high, error, words",
    [
        (1, 9, ValueError, r"k must be in 2\.\.9, got 1"),
        (10, 9, ValueError, r"k must be in 2\.\.9, got 10"),
        (1, None, ValueError, "k must be at least 2, got 1"),
        (True, 9, TypeError, "k must be a whole number, got True"),
        (3.0, 9, TypeError, "k must be a whole number, got 3.0"),
        ("3", 9, TypeError, "k must be a whole number, got '3'"),
        (None, 9, TypeError, "k must be a whole number, got None"),
    ],
)
def test_other_whole_numbers_are_refused(value, high, error, words):
    with pytest.raises(error, match=words):
        check_int("k", value, 2, high)


def test_real_numbers():
    assert [check_real("psi", value, 0, 1) for value in (0, 1, 0.5, np.float32(0.5))] == [0.0, 1.0, 0.5, 0.5]
    for value in (-1e-9, 1.001, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"psi must be in 0\.\.1, got"):
            check_real("psi", value, 0, 1)
    for value in (True, "0.5", None):
        with pytest.raises(TypeError, match="psi must be a number, got"):
            check_real("psi", value, 0, 1)


def test_sides_of_views():
    assert [check_view_side("side", side) for side in (33, 113, np.int64(257))] == [33, 113, 257]
    for side, words in ((17, "at least 33"), (112, "a multiple of 16, plus 1")):
        with pytest.raises(ValueError, match=f"side must be {words}, got {side}"):
            check_view_side("side", side)


def test_choices_suggest_the_nearest_names():
    assert check_choice("color_space", "lab", ("lab", "rgb")) == "lab"
    with pytest.raises(ValueError, match="color_space must be one of lab, rgb, got 'labb'; did you mean 'lab'?"):
        check_choice("color_space", "labb", ("lab", "rgb"))
    assert suggest("facs", ["faces", "toy-room"]) == "did you mean 'faces'?"
    assert suggest("zzzz", ["faces", "toy-room"]) == "choose from faces, toy-room"


@pytest.mark.parametrize("value", ["cpu", "cpu:0", torch.device("cpu"), torch.device("cpu", 0)])
def test_the_cpu_has_one_name(value):
    assert check_device("device", value) == "cpu"


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_a_gpu_keeps_its_number(name, monkeypatch):
    assert parse_device("device", name) == torch.device(name)
    asked = []
    monkeypatch.setattr(torch, "empty", lambda size, device: asked.append(device))
    assert [check_device("device", value) for value in (name, torch.device(name))] == [name, name]
    assert asked == [torch.device(name)] * 2


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        ("gpu", ValueError, "device must be a device that PyTorch can use here, got 'gpu': Expected one of"),
        ("", ValueError, "got ''"),
        ("cuda:x", ValueError, "got 'cuda:x'"),
        ("cuda:99", ValueError, "got 'cuda:99'"),
        (torch.device("cuda:99"), ValueError, "got 'cuda:99'"),
        ("cpu:1", ValueError, "got 'cpu:1': there is one, 'cpu'"),
        ("meta", ValueError, "got 'meta': it holds shapes and no numbers"),
        (0, TypeError, "device must be text such as 'cpu', 'cuda' or 'cuda:1', or a torch.device, got 0"),
        (None, TypeError, "got None"),
    ],
)
def test_other_devices_are_refused(value, error, words):
    with pytest.raises(error, match=words):
        check_device("device", value)


def test_latents():
    good = torch.zeros(2, 3, 4, dtype=torch.float64)
    assert check_latents("ws", good, 3, 4) is good
    for shape in ((3, 4), (0, 3, 4), (2, 4, 4), (2, 3, 5), (1, 2, 3, 4)):
        with pytest.raises(ValueError, match=r"ws must have shape \(N, 3, 4\) with N >= 1, got \("):
            check_latents("ws", torch.zeros(shape), 3, 4)
    for value in (float("nan"), float("inf")):
        bad = good.clone()
        bad[1, 2, 3] = value
        with pytest.raises(ValueError, match="ws must be finite, got NaN or infinite values"):
            check_latents("ws", bad, 3, 4)
    for bad in (np.zeros((2, 3, 4)), torch.zeros(2, 3, 4, dtype=torch.int64), None):
        with pytest.raises(TypeError, match="ws must be a floating-point torch.Tensor"):
            check_latents("ws", bad, 3, 4)


def test_masks():
    assert check_mask("mask", [[True, False]]).dtype == bool
    assert check_mask("mask", np.array([[0, 1]], np.uint8)).tolist() == [[False, True]]
    for shape in ((4,), (2, 2, 1), (0, 3), ()):
        with pytest.raises(ValueError, match=r"mask must have shape \(H, W\)"):
            check_mask("mask", np.zeros(shape, bool))
    with pytest.raises(ValueError, match="only 0 and 1, got values up to 255 .*mask > 127"):
        check_mask("mask", np.array([[0, 255]], np.uint8))
    with pytest.raises(TypeError, match="mask must be bool or integers 0 and 1, got float64"):
        check_mask("mask", np.zeros((2, 2)))


def test_images():
    image = np.zeros((2, 3, 3), np.uint8)
    assert check_image("image", image) is image
    for bad in (image.astype(float), image[0], np.zeros((2, 3, 4), np.uint8), np.zeros((0, 3, 3), np.uint8)):
        with pytest.raises(ValueError, match=r"image must be \(H, W, 3\) uint8, got \("):
            check_image("image", bad)
