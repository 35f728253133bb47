"""Latents in files as this package and the tools around StyleGAN2 write them, read without running anything in them.

- .npy: one array, as `numpy.save` writes it;
- .npz: NVIDIA's projector writes `projected_w.npz` with the array `w`;
- .pt: a tensor, as PTI and e4e save their latents; or a dictionary with one, as rosinality's projector does.

The kind is found from the content. Sizes are checked before anything is made of them.
"""

from __future__ import annotations

import io
import tokenize
import zipfile
import zlib
from math import prod
from pathlib import Path
from typing import TypeVar

import numpy as np

from stylemixseg.generators.checkpoints import CheckpointError, open_torch_file
from stylemixseg.generators.checkpoints.checkpoint import shown
from stylemixseg.generators.checkpoints.layout import to_float32
from stylemixseg.generators.checkpoints.storages import BFLOAT16, LEGACY_MAGIC, ZIP_MAGIC, TorchFile
from stylemixseg.generators.checkpoints.tensors import is_call, numbers_view

MAX_FILE_BYTES = 64 << 20  # rosinality's projector saves image and noise maps beside the latent
MAX_LATENT_BYTES = 4 << 20  # 18 layers of 512 doubles take 74 kB
NPY_MAGIC = b"\x93NUMPY"
Key = TypeVar("Key")  # of a dictionary in a file: text, or anything else that a pickle may hold
KEYS = ("w", "ws", "latent")  # of the latent, where there are other arrays beside it
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_latent_array(path: str | Path) -> np.ndarray:
    """The floating-point array of a latent file as float32, in the shape in which it was saved.

    Raises:
        ValueError: no such file, too large, several arrays of which none is called w, ws or latent, pickled objects
            (which could run code), no floating-point numbers.
        FileNotFoundError: no file at that path.
    """
    path = Path(path)
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise ValueError(f"{path} is too large for a latent: {size} bytes, at most {MAX_FILE_BYTES}")
    try:
        array = _read(path)
    except ValueError as error:  # CheckpointError is one
        raise ValueError(f"{path} is no latent that can be read: {error}") from error
    if array.dtype.kind != "f" and array.dtype != BFLOAT16:
        raise ValueError(f"{path} must hold floating-point numbers, got {array.dtype}")
    if array.nbytes > MAX_LATENT_BYTES:
        raise ValueError(f"{path} is too large for a latent: {array.nbytes} bytes, at most {MAX_LATENT_BYTES}")
    return to_float32(str(path), array)


def _read(path: Path) -> np.ndarray:
    with open(path, "rb") as file:
        head = file.read(len(LEGACY_MAGIC))
    if head.startswith(NPY_MAGIC):
        return _npy(path.read_bytes())
    if head == LEGACY_MAGIC:
        return _torch(path)
    if head.startswith(ZIP_MAGIC):
        try:
            with zipfile.ZipFile(path) as archive:
                if any(name.endswith(".npy") for name in archive.namelist()):
                    return _npz(archive)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error, OSError) as error:
            raise ValueError(f"a damaged archive ({error})") from error
        return _torch(path)
    if head.startswith(b"\x80"):
        raise ValueError("it is a pickle, which could run code and is not opened: save the array, numpy.save(path, w)")
    raise ValueError("expected what numpy.save, numpy.savez or torch.save writes")


def _npy(data: bytes) -> np.ndarray:
    """The array in the bytes of a .npy file; numpy.load would reserve whatever size the header claims."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            raise ValueError(f"version {version} of the .npy format, which no array of numbers needs")
        shape, fortran, dtype = _HEADERS[version](stream)
    except (ValueError, TypeError, SyntaxError, RecursionError, tokenize.TokenError) as error:
        raise ValueError(f"a malformed .npy file ({error})") from error
    if dtype.hasobject:
        raise ValueError(
            "it holds a pickled object, such as a dictionary, which could run code and is not opened: save the array "
            "in it alone, numpy.save(path, latents['w'])"
        )
    numbers = memoryview(data)[stream.tell() :]
    if dtype.kind not in "fiub" or any(side < 0 for side in shape) or prod(shape) * dtype.itemsize != len(numbers):
        raise ValueError(f"a .npy file of shape {shape} and type {dtype} with {len(numbers)} bytes of numbers")
    return np.frombuffer(numbers, dtype).reshape(shape, order="F" if fortran else "C")


def _npz(archive: zipfile.ZipFile) -> np.ndarray:
    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    info = members[_choose(list(members))]
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack without a bound
        raise ValueError("an archive that numpy.savez did not write: it is compressed in another way")
    if info.file_size > 2 * MAX_LATENT_BYTES:  # as it would be unpacked
        raise ValueError(f"array {info.filename} of {info.file_size} bytes is too large, at most {MAX_LATENT_BYTES}")
    return _npy(archive.read(info))


def _torch(path: Path) -> np.ndarray:
    file, _ = open_torch_file(path)
    value = file.value
    if isinstance(value, dict) and not set(KEYS) & value.keys() and len(value) == 1:
        (inner,) = value.values()  # rosinality: {path of the photo: {"img", "latent", "noise"}}
        value = inner if isinstance(inner, dict) else value
    if isinstance(value, dict):
        value = value[_choose(list(value))]
    return _view(value, file)


def _view(value: object, file: TorchFile) -> np.ndarray:
    if not is_call(value, "tensor") and not is_call(value, "parameter") and not is_call(value, "array"):
        raise CheckpointError(f"expected a tensor, got {type(value).__name__}")
    return numbers_view(value, file)


def _choose(names: list[Key]) -> Key:
    """The name of the latent among those of several arrays."""
    if found := [name for key in KEYS for name in names if name == key]:
        return found[0]
    if len(names) == 1:
        return names[0]
    listed = ", ".join(f"{shown(name, 40)}" for name in names[:5]) or "nothing"
    raise ValueError(f"expected one array, or one called {', '.join(KEYS)}, got {listed}")
