"""Readers of StyleGAN2 checkpoints: one network gives the same weights from every format, and comes back from ours."""

from __future__ import annotations

import argparse
import hashlib
import os
import pickle
import sys
import tracemalloc

import checkpoint_files as files
import numpy as np
import pytest
import second_reader
import torch
from safetensors.torch import load_file

from stylemixseg._util import paths
from stylemixseg.commands import main as cli
from stylemixseg.generators.checkpoints import (
    MAX_FILE_BYTES,
    MAX_MEMORY_FACTOR,
    MAX_MEMORY_FLOOR,
    Checkpoint,
    CheckpointError,
    read_checkpoint,
    save_checkpoint,
)
from stylemixseg.generators.checkpoints.layout import (
    IMAGE_CHANNELS,
    MAX_RESOLUTION,
    MISSING_W_AVG,
    NOISE_DRAWN,
    expected_shapes,
)
from stylemixseg.generators.checkpoints.locate import NOT_AVERAGED
from stylemixseg.generators.checkpoints.nvidia_torch import NO_SETTINGS
from stylemixseg.generators.checkpoints.restricted import parse_pickle
from stylemixseg.generators.stylegan2.architecture import Architecture
from stylemixseg.generators.stylegan2.network import StyleGAN2

FIXTURES = "fixtures/stylegan2"
FORMATS = {
    "nvidia_pytorch.pkl": "nvidia-pytorch",
    "nvidia_tensorflow.pkl": "nvidia-tensorflow",
    "rosinality.pt": "rosinality",
}
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


@pytest.mark.parametrize(
    "which",
    [
        "nvidia-pytorch",
        "nvidia-pytorch, protocol 2",
        "nvidia-pytorch, network alone",
        "nvidia-pytorch, torch.save(G)",
        "nvidia-names",
        "nvidia-tensorflow",
        "nvidia-tensorflow, network alone",
        "nvidia-tensorflow, protocol 2",
        "nvidia-tensorflow, protocol 5",
        "rosinality",
        "rosinality, legacy",
        "rosinality, bare",
        "rosinality, torch.save(g_ema)",
        "rosinality, in an encoder file",
        "stylemixseg",
    ],
)
def test_every_format_gives_the_same_network(which, valid, read):
    checkpoint = read(valid[which])
    assert checkpoint.format == which.partition(",")[0]
    clamp = None if checkpoint.format in ("rosinality", "nvidia-names") else 256.0
    assert checkpoint.architecture == Architecture(5, 6, 2, (5, 4, 3), clamp)
    assert checkpoint.sha256 == hashlib.sha256(valid[which]).hexdigest()
    wanted = dict(WEIGHTS)
    if which in ("rosinality, bare", "rosinality, torch.save(g_ema)"):
        del wanted["mapping.w_avg"]
        assert checkpoint.notes == (MISSING_W_AVG,)
    elif which == "nvidia-names":
        assert checkpoint.notes == (NO_SETTINGS,)
    elif which != "stylemixseg":
        assert checkpoint.notes == ()
    assert_same(checkpoint.weights, wanted)


def test_valid_files_are_all_tested(valid):
    (marks,) = [mark for mark in test_every_format_gives_the_same_network.pytestmark if mark.name == "parametrize"]
    assert sorted(marks.args[1]) == sorted(valid)


# ---------------------------------------------------------------------------------------------------------------------
# the same network in the wrappings in which people have it


def begin(prefix: str, names: dict) -> dict:
    return {f"{prefix}{name}": value for name, value in names.items()}


RO_NAMES, LATENT_AVG = files.rosinality_state(WEIGHTS)
NV_NAMES = files.with_filters(WEIGHTS)
OTHER_NETWORK = {"discriminator.convs.0.0.weight": torch.zeros(2, 3, 1, 1)}
WRAPPED = {
    "module.": {"g_ema": begin("module.", RO_NAMES), "latent_avg": LATENT_AVG},
    "module. at top level": begin("module.", RO_NAMES),
    "generator.": {"state_dict": begin("generator.", RO_NAMES) | OTHER_NETWORK, "latent_avg": LATENT_AVG},
    "module.generator.": begin("module.generator.", RO_NAMES),
    "a compiled network": begin("_orig_mod.", RO_NAMES),
    "average beside the trained": begin("g_ema.", RO_NAMES)
    | begin("generator.", {name: value + 1 for name, value in RO_NAMES.items()}),
    "NVIDIA, module.": begin("module.", NV_NAMES),
    "NVIDIA, generator.": {"state_dict": begin("generator.", NV_NAMES)},
    "NVIDIA, names under G_ema": {"G": begin("", {"x": torch.zeros(1)}), "G_ema": NV_NAMES},
    "NumPy arrays": {name: value.numpy() for name, value in RO_NAMES.items()},
    "latent_avg as NumPy": {"g_ema": RO_NAMES, "latent_avg": LATENT_AVG.double().numpy()},
    "latent_avg in a batch": {"g_ema": RO_NAMES, "latent_avg": LATENT_AVG.repeat(1, 6, 1)},
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("case", WRAPPED)
def test_wrappings(case, legacy, read):
    saved = WRAPPED[case]
    checkpoint = read(files.torch_bytes(saved, legacy=legacy))
    wanted = dict(WEIGHTS)
    if "NVIDIA" not in case and "latent_avg" not in saved:
        del wanted["mapping.w_avg"]
    assert_same(checkpoint.weights, wanted)
    assert checkpoint.notes == (
        (NO_SETTINGS,) if "NVIDIA" in case else () if "latent_avg" in saved else (MISSING_W_AVG,)
    )


def test_a_pickled_state_dict(read):
    """Outside torch.save, the storages lie inside the pickle."""
    assert_same(read(pickle.dumps(dict(NV_NAMES), 4)).weights, WEIGHTS)
    assert_same(read(pickle.dumps({"g_ema": RO_NAMES, "latent_avg": LATENT_AVG}, 2)).weights, WEIGHTS)


@pytest.mark.parametrize("torch_save", [False, True])
def test_only_the_trained_generator(torch_save, read):
    network = files.nvidia_generator(WEIGHTS)
    for saved in ({"G": network}, {"G": network, "D": network, "G_ema": None}):
        checkpoint = read(files.nvidia_object_bytes(saved, torch_save=torch_save))
        assert checkpoint.notes == (NOT_AVERAGED,) and checkpoint.architecture.conv_clamp == 256.0
        assert_same(checkpoint.weights, WEIGHTS)
    checkpoint = read(files.rosinality_bytes(WEIGHTS, change=lambda saved: {"g": saved["g_ema"], "d": OTHER_NETWORK}))
    assert checkpoint.notes == (NOT_AVERAGED, MISSING_W_AVG)
    checkpoint = read(files.nvidia_tf_bytes(WEIGHTS, wrap=lambda generator: (generator, None, None)))
    assert checkpoint.notes == (NOT_AVERAGED,)
    assert_same(checkpoint.weights, WEIGHTS)


def test_the_average_is_taken_where_both_are_there(read):
    trained = files.nvidia_generator(files.random_weights(seed=1))
    both = {"G": trained, "D": trained, "G_ema": files.nvidia_generator(WEIGHTS)}
    checkpoint = read(files.nvidia_object_bytes(both))
    assert checkpoint.notes == ()
    assert_same(checkpoint.weights, WEIGHTS)


def test_whole_networks_of_other_repositories_and_in_data_parallel(read):
    without = {name: value for name, value in WEIGHTS.items() if name != "mapping.w_avg"}
    for package in ("", "models.stylegan2.", "stylegan2."):
        assert_same(read(files.rosinality_object_bytes(WEIGHTS, package=package)).weights, without)
    assert_same(read(files.rosinality_object_bytes(WEIGHTS, wrap=torch.nn.DataParallel)).weights, without)
    left = {"model", "op", "models.stylegan2", "stylegan2.model"} & set(sys.modules)
    assert not left  # the makers leave nothing behind
    with_average = files.rosinality_object_bytes(WEIGHTS, wrap=lambda g: {"g_ema": g, "latent_avg": LATENT_AVG})
    assert_same(read(with_average).weights, WEIGHTS)


def test_settings_of_a_whole_network_are_checked_in_torch_files_too(read):
    network = files.nvidia_generator(WEIGHTS)
    network.meta["state"]["c_dim"] = 3
    with pytest.raises(CheckpointError, match="conditional"):
        read(files.nvidia_object_bytes(network, torch_save=True))


@pytest.mark.parametrize("network", ["tiny32", "small64"])
def test_official_networks_saved_whole(network, read):
    """The official class, with all that it saves of itself, as torch.save(G) and pickle.dump(G) would write it."""
    folder = paths.data_dir() / FIXTURES
    if not (folder / f"{network}_nvidia_pytorch.pkl").exists():
        pytest.skip(f"{FIXTURES}/{network}_nvidia_pytorch.pkl is not in STYLEMIXSEG_DATA")
    original = read_checkpoint(folder / f"{network}_nvidia_pytorch.pkl")
    snapshot = second_reader.load_pickle((folder / f"{network}_nvidia_pytorch.pkl").read_bytes())
    for torch_save in (False, True):
        checkpoint = read(files.nvidia_object_bytes(snapshot["G_ema"], torch_save=torch_save, protocol=2))
        assert checkpoint.format == "nvidia-pytorch" and checkpoint.architecture == original.architecture
        assert checkpoint.notes == ()
        assert checkpoint.weights.keys() == original.weights.keys()
        assert all(torch.equal(value, original.weights[name]) for name, value in checkpoint.weights.items())


@pytest.mark.parametrize("legacy", [False, True])
def test_rosinality_without_noise_maps(legacy, read):
    """As its own FFHQ file of 256 px is: the maps are drawn, always the same, and the notes say so."""
    data = files.rosinality_bytes(
        WEIGHTS,
        legacy=legacy,
        change=lambda saved: (
            saved | {"g_ema": {name: value for name, value in saved["g_ema"].items() if not name.startswith("noises.")}}
        ),
    )
    checkpoint = read(data)
    assert checkpoint.notes == (NOISE_DRAWN,)
    noise = {name for name in WEIGHTS if name.endswith("noise_const")}
    assert_same(
        {name: value for name, value in checkpoint.weights.items() if name not in noise},
        {name: value for name, value in WEIGHTS.items() if name not in noise},
    )
    assert len(noise) == 5 and noise <= checkpoint.weights.keys()
    values = torch.cat([checkpoint.weights[name].flatten() for name in sorted(noise)])
    assert values.unique().numel() == values.numel()  # no map repeats another
    assert abs(values.mean()) < 0.1 and abs(values.std() - 1) < 0.1
    first = checkpoint.weights["synthesis.b4.conv1.noise_const"].flatten()[:2]
    assert torch.allclose(first, torch.tensor([1.7640524, 0.4001572]))  # RandomState(0).randn(2)
    assert all(torch.equal(read(data).weights[name], checkpoint.weights[name]) for name in noise)
    generator = StyleGAN2.from_weights(checkpoint.architecture, checkpoint.weights)
    ws = generator.mapping(torch.ones(1, 5))
    assert not torch.equal(generator.synthesis(ws), generator_of(WEIGHTS).synthesis(ws))


def test_drawn_noise_stays_below_the_bound_of_memory(read):
    """The smallest file of the largest network: its maps are not in the file and still count."""
    weights = files.random_weights(Architecture(2, 2, 1, (1,) * 10))
    data = files.rosinality_bytes({name: value for name, value in weights.items() if "noise_const" not in name})
    tracemalloc.start()
    try:
        checkpoint = read(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert checkpoint.architecture.resolution == MAX_RESOLUTION and len(data) < 100_000
    assert peak < MAX_MEMORY_FACTOR * len(data) + MAX_MEMORY_FLOOR


def test_the_notes_of_a_network_without_noise_maps_reach_the_user(tmp_path, capsys):
    names = {name: value for name, value in RO_NAMES.items() if not name.startswith("noises.")}
    path = tmp_path / "550000.pt"
    path.write_bytes(files.torch_bytes({"g_ema": names}))
    assert NOISE_DRAWN in StyleGAN2.from_file(path).notes
    assert cli.main(["inspect", str(path)]) == 0
    assert "drawn here with seed 0" in " ".join(capsys.readouterr().out.split())
    assert cli.main(["convert", str(path), str(tmp_path / "a.safetensors")]) == 0
    assert NOISE_DRAWN in capsys.readouterr().err and NOISE_DRAWN in read_checkpoint(tmp_path / "a.safetensors").notes


def generator_of(weights: dict) -> StyleGAN2:
    return StyleGAN2.from_weights(Architecture(5, 6, 2, (5, 4, 3)), weights)


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_rgba_generators_draw_rgb(channels, read):
    """The colours of a StyleGAN2 do not meet: those of a network with fewer or more of them are a part of the whole."""
    more = torch.randn(1, generator=torch.Generator().manual_seed(3))
    other = {
        name: value[:1] if channels == 1 else torch.cat([value, more.expand(1, *value.shape[1:])])
        for name, value in WEIGHTS.items()
        if ".torgb." in name and "affine" not in name
    }
    assert len(other) == 6
    clamp = {"conv_clamp": None}
    weights = WEIGHTS | other
    for data in (
        files.rosinality_bytes(weights),
        files.nvidia_torch_bytes(weights, **clamp),
        files.nvidia_tf_bytes(weights, **clamp),
        files.torch_bytes(files.with_filters(weights)),
    ):
        checkpoint = read(data)
        assert IMAGE_CHANNELS[channels] in checkpoint.notes and checkpoint.architecture.channels == (5, 4, 3)
        rgb = generator_of(WEIGHTS)
        ws = rgb.mapping(torch.ones(2, 5))
        wanted = rgb.synthesis(ws)[:, [0, 0, 0] if channels == 1 else [0, 1, 2]]
        assert torch.allclose(generator_of(checkpoint.weights).synthesis(ws), wanted, atol=1e-5)


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
        return saved | {
            "g": saved["g_ema"],
            "d": linear.state_dict(),
            "g_optim": optimiser.state_dict(),
            "args": argparse.Namespace(size=16, path="x", seeds={1, 2}),
            "ada_aug_p": 0.0,
        }

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
    value = {
        "a": [1, -1, 2**40, -(2**100), 1.5, True, None, "ä\udc80", ()],
        "b": (1, (2, 3), (4, 5, 6), (1,) * 9),
        3: shared,
        "d": shared,
        "e": {"f": {}},
        "g": "y" * 300,
    }
    for protocol in (2, 3, 4, 5):
        for write in (pickle.dumps, pickle._dumps):
            got = parse_pickle(memoryview(write(value, protocol))).value
            assert got == value and got[3] is got["d"]
    got = parse_pickle(memoryview(pickle.dumps([b"1", b"2" * 300, {"s"}, bytearray(b"3")], 5))).value
    assert [bytes(got[0]), bytes(got[1]), got[2], bytes(got[3])] == [b"1", b"2" * 300, {"s"}, b"3"]
