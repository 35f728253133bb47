"""StyleGAN2 checkpoints of every common format, read without running anything of them.

`read_checkpoint` finds the format from the content:

- NVIDIA's PyTorch networks (stylegan2-ada-pytorch, the StyleGAN2 files of stylegan3): training snapshots, one network
  alone, as PTI saves the generators that it tunes, and a state_dict,
- NVIDIA's TensorFlow pickles (stylegan2 configurations E and F, stylegan2-ada),
- rosinality's networks, as names and tensors or whole, also as they stand in pSp, e4e and ReStyle checkpoints,
- our own safetensors, written by `save_checkpoint`.

The first three may stand in a pickle or in a file of torch.save, in the wrappings that `locate` knows.

Files are untrusted. Pickles are read by a machine that calls nothing (`restricted`); storages are views into the file,
with every offset and size checked (`storages`, `tensors`); only names and shapes of a StyleGAN2 pass (`layout`).
Nothing is decompressed. Reading takes at most MAX_MEMORY_FACTOR times the size of the file plus MAX_MEMORY_FLOOR bytes
of memory, whatever the file says; files larger than MAX_FILE_BYTES are refused. A real file takes its own size plus
that of the weights.

`torch.load(weights_only=True)` runs nothing of a file either, but does not serve here: it inflates compressed archives
(0.5 MB became 480 MB), spent 4.8 GB on a pickle of 0.35 MB, compares no check sums of the numbers, and refuses networks
that were saved whole, NumPy arrays, and the settings that stand in pSp's files (measured with PyTorch 2.13). NVIDIA's
pickles, which are no files of torch.save, would need the machine in `restricted` anyway.
"""

from __future__ import annotations

import hashlib
import stat
from dataclasses import replace
from pathlib import Path

from stylemixseg.generators.checkpoints.checkpoint import Checkpoint, CheckpointError
from stylemixseg.generators.checkpoints.layout import MISSING_W_AVG, Found, assemble
from stylemixseg.generators.checkpoints.locate import locate
from stylemixseg.generators.checkpoints.nvidia_tf import is_nvidia_tf, read_nvidia_tf
from stylemixseg.generators.checkpoints.nvidia_torch import read_nvidia_names, read_nvidia_torch
from stylemixseg.generators.checkpoints.own import is_safetensors, read_own, save_checkpoint
from stylemixseg.generators.checkpoints.restricted import parse_pickle
from stylemixseg.generators.checkpoints.rosinality import read_rosinality
from stylemixseg.generators.checkpoints.storages import (
    LEGACY_MAGIC,
    ZIP_MAGIC,
    TorchFile,
    read_torch_legacy,
    read_torch_zip,
)

MAX_FILE_BYTES = (4 << 30) - 1  # official generators have at most 0.4 GB, encoders with their generator about 1.2 GB
MAX_MEMORY_FACTOR = 6
MAX_MEMORY_FLOOR = 96 << 20

__all__ = ["Checkpoint", "CheckpointError", "open_torch_file", "read_checkpoint", "save_checkpoint"]


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a StyleGAN2 generator from a file of any supported format; the file's name does not matter.

    Raises:
        CheckpointError: not such a file; the message says what it is, or what in it was refused.
        OSError: the path is absent or unreadable.
    """
    contents = _read(Path(path))
    stated = None
    if is_safetensors(contents):
        kind, (found, stated) = "stylemixseg", read_own(contents)
    elif torch_file := _torch_file(contents):
        kind, found = _read_saved(torch_file.value, torch_file)
    elif contents.startswith(b"\x80"):
        kind, found = _read_saved(parse_pickle(memoryview(contents)).value, None)
    else:
        raise CheckpointError(f"not a StyleGAN2 checkpoint: {_what_is(contents)}")
    architecture, weights, notes = assemble(found, len(contents))
    if stated is not None and stated != architecture:
        raise CheckpointError("the architecture in the metadata is not that of the tensors")
    notes = found.notes + notes
    if "mapping.w_avg" not in weights and MISSING_W_AVG not in notes:
        notes += (MISSING_W_AVG,)
    digest = hashlib.sha256(contents).hexdigest()
    return Checkpoint(kind, architecture, weights, digest, notes, found.licence)


def open_torch_file(path: str | Path) -> tuple[TorchFile, int]:
    """A file of torch.save in either form as inert values, and its size in bytes; tensors by `tensors.tensor_view`.

    Raises:
        CheckpointError: not such a file, or damaged.
        OSError: the path is absent or unreadable.
    """
    contents = _read(Path(path))
    if (torch_file := _torch_file(contents)) is None:
        raise CheckpointError(f"not a file of torch.save: {_what_is(contents)}")
    return torch_file, len(contents)


def _torch_file(contents: bytes) -> TorchFile | None:
    """What torch.save wrote, in either form; None for any other file."""
    if contents.startswith(ZIP_MAGIC):
        return read_torch_zip(memoryview(contents))
    if contents.startswith(LEGACY_MAGIC):
        return read_torch_legacy(memoryview(contents))
    return None


def _read_saved(value: object, file: TorchFile | None) -> tuple[str, Found]:
    """(format, what was found) in the value of a pickle, or of a file of torch.save, which holds the storages."""
    if is_nvidia_tf(value):
        return "nvidia-tensorflow", read_nvidia_tf(value)
    located = locate(value)
    if located.layout == "rosinality":
        kind, found = "rosinality", read_rosinality(located.tensors, located.latent_avg, file)
    elif located.network is not None:
        kind, found = "nvidia-pytorch", read_nvidia_torch(located.network, located.tensors, located.prefix, file)
    else:
        kind, found = "nvidia-names", read_nvidia_names(located.tensors, file)
    return kind, replace(found, notes=located.notes + found.notes)


def _read(path: Path) -> bytes:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise CheckpointError(f"{path} is not a file")
    if status.st_size > MAX_FILE_BYTES:
        raise CheckpointError(f"the file has {status.st_size} bytes, {MAX_FILE_BYTES} are the limit")
    with open(path, "rb") as file:
        return file.read(status.st_size)


def _what_is(contents: bytes) -> str:
    if not contents:
        return "the file is empty"
    if contents.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer; the file itself was not downloaded (git lfs pull)"
    head = contents[:512].lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page; the download failed"
    if all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in head):
        return "a text file"
    known = {b"\x1f\x8b": "a gzip archive", b"\x89HDF": "an HDF5 file", b"\x93NUMPY": "a NumPy array"}
    found = next((words for magic, words in known.items() if contents.startswith(magic)), "its kind is unknown")
    return f"{found}; it begins with {contents[:8].hex(' ')}"
