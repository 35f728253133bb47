"""Readers of StyleGAN2 checkpoints: one network gives the same weights from every format, and comes back from ours."""

from __future__ import annotations

import argparse
import hashlib
import os
import pickle
import sys

import checkpoint_files as files
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from stylemixseg import paths
from stylemixseg.generators.checkpoints import (
    MAX_FILE_BYTES,
    Checkpoint,
    CheckpointError,
    read_checkpoint,
    save_checkpoint,
)
from stylemixseg.generators.checkpoints.layout import MISSING_W_AVG, expected_shapes
from stylemixseg.generators.checkpoints.restricted import parse_pickle
from stylemixseg.generators.stylegan2 import Architecture

FIXTURES = "fixtures/stylegan2"
FORMATS = {"nvidia_pytorch.pkl": "nvidia-pytorch", "nvidia_tensorflow.pkl": "nvidia-tensorflow",
           "rosinality.pt": "rosinality"}
WEIGHTS = files.random_weights()


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    return files.valid_files(tmp_path_factory.mktemp("valid"))


@pytest.fixture
def read(tmp_path):
    """Read bytes as a file whose name says nothing."""

    def read(data: bytes) -> Checkpoint:
        path = tmp_path / "checkpoint.bin"
        path.write_bytes(data)
        return read_checkpoint(path)

    return read


def assert_same(got: dict, wanted: dict) -> None:
    assert got.keys() == wanted.keys()
    for name, value in got.items():
        assert value.dtype == torch.float32 and value.is_contiguous() and value.shape == wanted[name].shape, name
        # NVIDIA's TensorFlow files hold the bias of a style less 1: adding it rounds once.
        assert torch.allclose(value, wanted[name], rtol=0, atol=2e-7 if name.endswith("affine.bias") else 0), name


@pytest.mark.parametrize("which", [
    "nvidia-pytorch", "nvidia-pytorch, protocol 2", "nvidia-tensorflow", "nvidia-tensorflow, protocol 2",
    "nvidia-tensorflow, protocol 5", "rosinality", "rosinality, legacy", "rosinality, bare",
    "rosinality, in an encoder file", "stylemixseg"])
def test_every_format_gives_the_same_network(which, valid, read):
    checkpoint = read(valid[which])
    assert checkpoint.format == which.partition(",")[0]
    clamp = None if checkpoint.format == "rosinality" else 256.0
    assert checkpoint.architecture == Architecture(5, 6, 2, (5, 4, 3), clamp)
    assert checkpoint.sha256 == hashlib.sha256(valid[which]).hexdigest()
    wanted = dict(WEIGHTS)
    if which == "rosinality, bare":
        del wanted["mapping.w_avg"]
        assert checkpoint.notes == (MISSING_W_AVG,)
    elif which != "stylemixseg":
        assert checkpoint.notes == ()
    assert_same(checkpoint.weights, wanted)


@pytest.mark.parametrize("network", ["tiny32", "small64"])
def test_official_layouts_give_equal_weights(network):
    folder = paths.data_dir() / FIXTURES
    for ending in FORMATS:
        if not (folder / f"{network}_{ending}").exists():
            data = os.environ.get("STYLEMIXSEG_DATA")
            pytest.skip(f"{FIXTURES}/{network}_{ending} is not in STYLEMIXSEG_DATA ({data})")
    found = [read_checkpoint(folder / f"{network}_{ending}") for ending in FORMATS]
    assert [checkpoint.format for checkpoint in found] == list(FORMATS.values())
    channels = {"tiny32": (64, 64, 64, 32), "small64": (96, 96, 96, 64, 32)}[network]
    clamp = {"tiny32": 256.0, "small64": None}[network]
    for checkpoint in found:
        assert checkpoint.architecture.channels == channels and checkpoint.notes == ()
        assert checkpoint.architecture.conv_clamp == (None if checkpoint.format == "rosinality" else clamp)
        for name, weight in found[0].weights.items():
            assert torch.equal(weight, checkpoint.weights[name]), name
        assert checkpoint.weights.keys() == found[0].weights.keys()


def test_expected_shapes_of_the_official_ffhq_network():
    channels = (512, 512, 512, 512, 512, 256, 128, 64, 32)
    shapes = expected_shapes(Architecture(512, 512, 8, channels))
    parameters = {name for name in shapes if not name.endswith(("noise_const", "w_avg"))}
    assert sum(int(np.prod(shapes[name])) for name in parameters) == 30_370_060  # as the authors' code prints
    assert shapes["synthesis.b1024.conv0.weight"] == (32, 64, 3, 3)


@pytest.mark.parametrize("make", [files.nvidia_torch_bytes, files.nvidia_tf_bytes])
def test_source_in_a_file_is_never_run(make, read, tmp_path):
    canary = tmp_path / "canary"
    source = f"open({str(canary)!r}, 'w').close()"
    before = set(sys.modules)
    assert_same(read(make(WEIGHTS, source=source)).weights, WEIGHTS)
    assert not canary.exists()
    assert not {name for name in set(sys.modules) - before if name.startswith(("torch_utils", "dnnlib", "canary"))}


@pytest.mark.parametrize("clamp", [None, 256.0, 1.5])
def test_conv_clamp(clamp, read):
    for make in (files.nvidia_torch_bytes, files.nvidia_tf_bytes):
        assert read(make(WEIGHTS, conv_clamp=clamp)).architecture.conv_clamp == clamp


def test_conv_clamp_from_flat_settings(read):
    """The code in the stylegan3 repository keeps its settings flat; here the layers do not repeat them."""

    def flatten(generator):
        def forget(module):
            module.meta["state"].pop("conv_clamp", None)
            for part in module.meta["state"]["_modules"].values():
                forget(part)

        forget(generator)

    data = files.nvidia_torch_bytes(WEIGHTS, conv_clamp=256.0, change=flatten)
    assert read(data).architecture.conv_clamp == 256.0
    flat = data.replace(b"\x8c\x10synthesis_kwargs", b"\x8c\x10syntaktic_kwargs")  # out of reach, nothing left
    assert flat != data and read(flat).architecture.conv_clamp is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("legacy", [False, True])
def test_other_float_types(dtype, legacy, read):
    rounded = {name: value.to(dtype) for name, value in WEIGHTS.items()}
    got = read(files.rosinality_bytes(rounded, legacy=legacy)).weights
    assert_same(got, {name: value.float() for name, value in rounded.items()})


def test_tensors_that_are_not_contiguous(read):
    memory_format = {
        name: value.to(memory_format=torch.channels_last) if value.ndim == 4 else value
        for name, value in WEIGHTS.items()
    }
    assert_same(read(files.nvidia_torch_bytes(memory_format)).weights, WEIGHTS)
    base = torch.randn(40)
    shifted = WEIGHTS | {"mapping.w_avg": base[3:39:6], "mapping.fc0.bias": base[10:16]}
    assert_same(read(files.rosinality_bytes(shifted)).weights, shifted)


def test_fortran_arrays(read):
    def fortran(variables):
        for part in variables.values():
            part.update({name: np.asfortranarray(value) for name, value in part.items() if value.ndim > 1})

    for protocol in (4, 5):
        assert_same(read(files.nvidia_tf_bytes(WEIGHTS, change=fortran, protocol=protocol)).weights, WEIGHTS)


def test_mean_latents(read):
    rows = torch.stack([WEIGHTS["mapping.w_avg"] + i for i in range(6)])

    def replace(value):
        return lambda saved: saved.update(latent_avg=value)

    different = read(files.rosinality_bytes(WEIGHTS, change=replace(rows)))
    assert torch.allclose(different.weights["mapping.w_avg"], rows.mean(0)) and "differs" in different.notes[0]
    absent = read(files.rosinality_bytes(WEIGHTS, change=replace(None)))
    assert "mapping.w_avg" not in absent.weights and absent.notes == (MISSING_W_AVG,)
    for make in (files.nvidia_torch_bytes, files.nvidia_tf_bytes):
        without = {name: value for name, value in WEIGHTS.items() if name != "mapping.w_avg"}
        assert read(make(without)).notes == (MISSING_W_AVG,)


def test_training_checkpoint_with_everything_around_the_generator(read):
    def training(saved):
        linear = torch.nn.Linear(3, 2)
        optimiser = torch.optim.Adam(linear.parameters())
        linear(torch.ones(1, 3)).sum().backward()
        optimiser.step()
        return saved | {"g": saved["g_ema"], "d": linear.state_dict(), "g_optim": optimiser.state_dict(),
                        "args": argparse.Namespace(size=16, path="x", seeds={1, 2}), "ada_aug_p": 0.0}

    for legacy in (False, True):
        assert_same(read(files.rosinality_bytes(WEIGHTS, legacy=legacy, change=training)).weights, WEIGHTS)


def test_own_format_comes_back(read, tmp_path):
    original = Checkpoint("nvidia-pytorch", files.SMALL, WEIGHTS, "ab" * 32, ("first", "second"), "non-commercial")
    path = tmp_path / "new" / "network.safetensors"
    save_checkpoint(original, path)
    again = read_checkpoint(path)
    assert again.architecture == original.architecture and again.licence == "non-commercial"
    assert again.notes == ("first", "second", f"converted from nvidia-pytorch, SHA-256 {'ab' * 32}")
    assert all(torch.equal(again.weights[name], value) for name, value in WEIGHTS.items())
    theirs = load_file(path)  # the package of that name reads it as well
    assert all(torch.equal(theirs[name], value) for name, value in WEIGHTS.items())

    second = tmp_path / "second.safetensors"
    save_checkpoint(again, second)
    assert read_checkpoint(second).notes == again.notes  # the provenance is not repeated
    third = tmp_path / "third.safetensors"
    save_checkpoint(again, third)
    assert third.read_bytes() == second.read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_own_format_without_mean_latent(tmp_path):
    weights = {name: value for name, value in WEIGHTS.items() if name != "mapping.w_avg"}
    save_checkpoint(Checkpoint("rosinality", files.SMALL, weights, "0" * 64, (MISSING_W_AVG,)), tmp_path / "a")
    again = read_checkpoint(tmp_path / "a")
    assert again.notes.count(MISSING_W_AVG) == 1 and again.licence is None and "mapping.w_avg" not in again.weights


@pytest.mark.parametrize(
    "change, words",
    [
        ({"mapping.fc0.bias": torch.zeros(7)}, "mapping.fc0.bias"),
        ({"mapping.fc0.bias": torch.zeros(6, dtype=torch.float64)}, "float32"),
        ({"more": torch.zeros(1)}, "more"),
    ],
)
def test_save_refuses_what_does_not_fit(change, words, tmp_path):
    with pytest.raises(CheckpointError, match=words):
        save_checkpoint(Checkpoint("rosinality", files.SMALL, WEIGHTS | change, "0" * 64), tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_save_refuses_text_that_a_reader_would_refuse(tmp_path):
    for notes, licence in [(("two\nlines",), None), ((), "\x1b[2J")]:
        with pytest.raises(CheckpointError, match="must be a line"):
            save_checkpoint(Checkpoint("rosinality", files.SMALL, WEIGHTS, "0" * 64, notes, licence), tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_paths(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_checkpoint(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="is not a file"):
        read_checkpoint(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="is not a file"):  # and does not wait for a writer
        read_checkpoint(tmp_path / "pipe")
    with open(tmp_path / "large", "wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(CheckpointError, match="are the limit"):
        read_checkpoint(tmp_path / "large")


def test_the_pickle_machine_agrees_with_pickle():
    """On data without names, in every protocol that it reads."""
    shared = ["x"]
    value = {"a": [1, -1, 2**40, -(2**100), 1.5, True, None, "ä\udc80", ()], "b": (1, (2, 3), (4, 5, 6), (1,) * 9),
             3: shared, "d": shared, "e": {"f": {}}, "g": "y" * 300}
    for protocol in (2, 3, 4, 5):
        for write in (pickle.dumps, pickle._dumps):
            got = parse_pickle(memoryview(write(value, protocol))).value
            assert got == value and got[3] is got["d"]
    got = parse_pickle(memoryview(pickle.dumps([b"1", b"2" * 300, {"s"}, bytearray(b"3")], 5))).value
    assert [bytes(got[0]), bytes(got[1]), got[2], bytes(got[3])] == [b"1", b"2" * 300, {"s"}, b"3"]
