"""Latent files: what the tools around StyleGAN2 write is read, and nothing in a file is run."""

from __future__ import annotations

import io
import pickle
import zipfile

import checkpoint_files as files
import numpy as np
import pytest
import torch

from stylemixseg.commands import main as cli
from stylemixseg.export.images import read_latent
from stylemixseg.generators import latents
from stylemixseg.generators.latents import read_latent_array
from stylemixseg.generators.toyworld.world import ToyWorld

WORLD = ToyWorld(scene="single")
WS = torch.randn(WORLD.num_ws, WORLD.w_dim, generator=torch.Generator().manual_seed(0))


def npy(array: np.ndarray, **options) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def npz(compressed: bool = False, **arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)
    return stream.getvalue()


ARRAY = WS.numpy()
NOISE = np.zeros((4, 4), np.float32)
PROJECTED = {"ab.png": {"img": torch.zeros(3, 8, 8), "latent": WS, "noise": [torch.zeros(1, 1, 4, 4)]}}
READ = {
    "numpy.save": npy(ARRAY),
    "a batch of one": npy(ARRAY[None]),
    "float64": npy(ARRAY.astype(np.float64)),
    "big-endian": npy(ARRAY.astype(">f4")),
    "columns first": npy(np.asfortranarray(ARRAY)),
    "projected_w.npz": npz(w=ARRAY[None]),
    "projected_w.npz, compressed, float64": npz(compressed=True, w=ARRAY[None].astype(np.float64)),
    "npz with noise beside": npz(noise=NOISE, w=ARRAY),
    "npz of one unnamed array": npz(arr_0=ARRAY),
    "torch.save": files.torch_bytes(WS[None]),
    "torch.save, legacy": files.torch_bytes(WS[None], legacy=True),
    "torch.save, float64": files.torch_bytes(WS.double()),
    "torch.save, a parameter": files.torch_bytes(torch.nn.Parameter(WS)),
    "torch.save, an array": files.torch_bytes(ARRAY),
    "torch.save, a dictionary": files.torch_bytes({"w": WS, "noise": torch.zeros(4, 4)}),
    "torch.save, rosinality's projector": files.torch_bytes(PROJECTED),
}


@pytest.mark.parametrize("case", READ)
def test_files_of_other_tools(case, tmp_path):
    path = tmp_path / "latent.bin"  # the name does not matter
    path.write_bytes(READ[case])
    ws = read_latent(path, WORLD)
    assert ws.dtype == torch.float32 and torch.equal(ws, WS[None])


def test_half_precision_and_one_w_for_all_layers(tmp_path):
    path = tmp_path / "latent"
    for data in (npy(ARRAY[0].astype(np.float16)), files.torch_bytes(WS[0].half())):
        path.write_bytes(data)
        assert torch.equal(read_latent(path, WORLD), WS[0].half().float().expand(1, WORLD.num_ws, -1))
    path.write_bytes(files.torch_bytes(WS.bfloat16()))
    assert torch.equal(read_latent(path, WORLD), WS.bfloat16().float()[None])


def header(shape: str, kind: str = "<f4", numbers: bytes = b"") -> bytes:
    """A .npy file whose header says anything."""
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + numbers


def zipped(method: int, **members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return stream.getvalue()


class Payload:
    """Runs something when a pickle is opened without care."""

    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return open, (self.canary, "w")


REFUSED = {
    "empty": (b"", "expected what numpy.save, numpy.savez or torch.save writes"),
    "text": (b"0.1 0.2\n", "expected what numpy.save"),
    "a dictionary by numpy.save": (npy(np.array({"w": ARRAY}, object), allow_pickle=True), "a pickled object, such as"),
    "a list by numpy.savez": (npz(w=np.array([{}, 1], object)), "a pickled object, such as a dictionary"),
    "a pickle": (pickle.dumps({"w": ARRAY}), "it is a pickle, which could run code"),
    "whole numbers": (npy(np.zeros((2, 3), int)), "must hold floating-point numbers, got int64"),
    "whole numbers, torch": (files.torch_bytes(torch.zeros(2, dtype=torch.int64)), "floating-point numbers, got int64"),
    "complex": (npy(np.zeros(2, complex)), "type complex128"),
    "records": (npy(np.zeros(2, [("a", "f4")])), "a .npy file of shape"),
    "the numbers are cut": (npy(ARRAY)[:-4], "a .npy file of shape"),
    "more than the numbers": (npy(ARRAY) + b"\0", "a .npy file of shape"),
    "2^60 numbers": (header("(1152921504606846976,)"), "with 0 bytes of numbers"),
    "2^60 numbers in an archive": (zipped(0, w=header("(1152921504606846976,)")), "with 0 bytes of numbers"),
    "a negative side": (header("(-1, -1)", numbers=bytes(4)), "a .npy file of shape"),
    "no shape": (header("None"), "a malformed .npy file"),
    "a header that does not end": (b"\x93NUMPY\x01\x00\xff\xff{", "a malformed .npy file"),
    "a header of brackets": (header("(" * 90), "a malformed .npy file"),
    "version 9": (b"\x93NUMPY\x09\x00", "a malformed .npy file"),
    "several arrays": (npz(a=ARRAY, b=ARRAY), "expected one array, or one called w, ws, latent, got a, b"),
    "no arrays": (zipped(0), "a damaged archive|expected"),
    "a bomb": (zipped(zipfile.ZIP_DEFLATED, w=header("(25000000,)", numbers=bytes(100_000_000))), "is too large"),
    "bzip2": (zipped(zipfile.ZIP_BZIP2, w=npy(ARRAY)), "compressed in another way"),
    "a cut archive": (npz(w=ARRAY)[:-30], "a damaged archive"),
    "too large": (npy(np.zeros(2 << 20)), "is too large for a latent: 16777216 bytes, at most 4194304"),
    "too large, torch": (files.torch_bytes(torch.zeros(2 << 20)), "is too large for a latent"),
    "a cut torch file": (files.torch_bytes(WS)[:-30], "truncated|damaged archive"),
    "text in a torch file": (files.torch_bytes("w"), "expected a tensor, got str"),
    "a dictionary of text": (files.torch_bytes({"w": "x"}), "expected a tensor, got str"),
    "a network": (files.torch_bytes({"a": WS, "b": WS}), "expected one array, or one called"),
    "NaN": (npy(np.full(ARRAY.shape, np.nan)), "must be finite"),
    "too large for single precision": (npy(np.full(ARRAY.shape, 1e300)), "must be finite"),
    "another generator's": (npy(ARRAY[:, :-1]), r"must have shape \(N, 12, "),
    "two latents": (npy(np.stack([ARRAY, ARRAY])), "holds 2 latents, one is needed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_files_are_named(case, tmp_path):
    data, words = REFUSED[case]
    path = tmp_path / "latent"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=words) as caught:
        read_latent(path, WORLD)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "write",
    [
        lambda payload, path: path.write_bytes(pickle.dumps(payload)),
        lambda payload, path: path.write_bytes(npy(np.array(payload, object), allow_pickle=True)),
        lambda payload, path: path.write_bytes(npz(w=np.array(payload, object))),
        lambda payload, path: path.write_bytes(files.torch_bytes({"w": WS, "more": payload})),
        lambda payload, path: path.write_bytes(files.torch_bytes({"w": WS, "more": payload}, legacy=True)),
    ],
)
def test_nothing_runs(write, tmp_path):
    path, canary = tmp_path / "latent", tmp_path / "canary"
    write(Payload(canary), path)
    with pytest.raises(ValueError, match="could run code|Nothing was run"):
        read_latent(path, WORLD)
    assert not canary.exists()


def test_a_large_file_is_not_opened(tmp_path):
    with open(tmp_path / "latent", "wb") as file:
        file.truncate(latents.MAX_FILE_BYTES + 1)
    with pytest.raises(ValueError, match="too large for a latent: 67108865 bytes"):
        read_latent_array(tmp_path / "latent")
    with pytest.raises(FileNotFoundError):
        read_latent_array(tmp_path / "absent")


@pytest.mark.parametrize(
    "case",
    ["numpy.save", "projected_w.npz", "projected_w.npz, compressed, float64", "torch.save", "torch.save, legacy"],
)
def test_changed_bytes_change_what_they_stand_for(case, tmp_path):
    """A byte of the numbers changes one number or, where a check sum covers it, ends in an error; no other byte
    changes a number."""
    data, path = READ[case], tmp_path / "latent"
    numbers = ARRAY.tobytes()
    start = data.find(numbers)  # -1: compressed
    random = np.random.default_rng(0)
    places = [*random.choice(len(data), 150), *random.choice(np.arange(len(numbers)) + max(start, 0), 50)]
    seen = {"same": 0, "changed": 0, "refused": 0}
    for place in map(int, places):
        changed = bytearray(data)
        changed[place] ^= 1 << random.integers(8)
        path.write_bytes(changed)
        wanted = ARRAY
        inside = 0 <= place - start < len(numbers) and start >= 0
        if inside:
            wanted = np.frombuffer(changed[start : start + len(numbers)], np.float32).reshape(ARRAY.shape)
        try:
            got = read_latent_array(path)
        except ValueError:
            seen["refused"] += 1
            assert not inside or case not in ("numpy.save", "torch.save, legacy")  # these have no check sum
            continue
        outcome = "changed" if inside else "same"
        seen[outcome] += 1
        assert got.size == wanted.size and got.reshape(-1).tobytes() == wanted.tobytes()
    assert seen["refused"] > 0
    assert (seen["changed"] > 0) == (case in ("numpy.save", "torch.save, legacy"))


def test_the_command_line_takes_what_a_projector_wrote(tmp_path, capsys):
    (tmp_path / "projected_w.npz").write_bytes(READ["projected_w.npz"])
    np.save(tmp_path / "w.npy", ARRAY)
    base = ["segment", "--generator", "toy-single", "-n", "4", "-c", "6", "-k", "2"]
    for name in ("projected_w.npz", "w.npy"):
        assert cli.main([*base, "--latent", str(tmp_path / name), "-o", str(tmp_path / f"of {name}")]) == 0
    pictures = [(tmp_path / f"of {name}" / "mask.png").read_bytes() for name in ("projected_w.npz", "w.npy")]
    assert pictures[0] == pictures[1]
    np.save(tmp_path / "d.npy", np.array({"w": ARRAY}, object), allow_pickle=True)
    assert cli.main([*base, "--latent", str(tmp_path / "d.npy"), "-o", str(tmp_path / "no")]) == 1
    assert "a pickled object, such as a dictionary" in capsys.readouterr().err and not (tmp_path / "no").exists()
