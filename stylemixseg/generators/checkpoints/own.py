"""Our own files: safetensors with the canonical names, and what is known about the network in the metadata.

The format is that of the `safetensors` package: 8 bytes with the length of a JSON header, the header (type, shape and
place of every tensor), the numbers. The package reads the tensors and checks their places. What is ours: the header is
bounded before it is parsed, and the metadata in it, which the package does not give for bytes in memory, are checked.
The file is written here, because the package puts the metadata in another order at every call (up to version 0.8, its
newest so far), and the same network must always give the same bytes.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, deserialize

from stylemixseg._util.paths import atomic_write
from stylemixseg.generators.checkpoints.checkpoint import Checkpoint, CheckpointError, shown
from stylemixseg.generators.checkpoints.layout import Found, expected_shapes, make_architecture
from stylemixseg.generators.checkpoints.tensors import MAX_DIMS
from stylemixseg.generators.stylegan2.architecture import Architecture

FORMAT, VERSION = "stylemixseg-stylegan2", "1"
MAX_HEADER_BYTES = 1 << 20  # about 25,000 for a network of 1024 px
MAX_TEXT = 4000


def is_safetensors(contents: bytes) -> bool:
    """Whether the bytes begin as a safetensors file does."""
    return len(contents) > 9 and contents[5:9] == b"\0\0\0{"


def read_own(contents: bytes) -> tuple[Found, Architecture]:
    """What is in the file, and the architecture that it states, which may differ from that of the tensors.

    Raises:
        CheckpointError: malformed, out of bounds, another safetensors file than one of `save_checkpoint`.
    """
    metadata = _header(contents).get("__metadata__")
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise CheckpointError("a safetensors file, but not one that stylemixseg wrote: its metadata lacks our format")
    if metadata.get("version") != VERSION:
        raise CheckpointError(f"version {shown(metadata.get('version'))} of our format; this program reads {VERSION}")
    fields = _json(metadata.get("architecture"), "architecture")
    if not isinstance(fields, dict) or fields.keys() != set(Architecture.__dataclass_fields__):
        raise CheckpointError("the architecture in the metadata is malformed")
    channels = fields.pop("channels")
    architecture = make_architecture(**fields, channels=tuple(channels) if isinstance(channels, list) else channels)
    notes = _json(metadata.get("notes"), "notes")
    if not isinstance(notes, list):
        raise CheckpointError("the notes in the metadata are malformed")
    notes = tuple(_printable("notes", note) for note in notes[:20])
    if (source := _printable("source_format", metadata.get("source_format"))) != "stylemixseg":
        notes += (f"converted from {source}, SHA-256 {_printable('source_sha256', metadata.get('source_sha256'))}",)
    licence = _printable("licence", metadata["licence"]) if "licence" in metadata else None
    found = Found(_tensors(contents), conv_clamp=architecture.conv_clamp, notes=notes, licence=licence)
    return found, architecture


def save_checkpoint(checkpoint: Checkpoint, path: str | Path) -> None:
    """Write a checkpoint as safetensors; `read_checkpoint` gives back the same weights, bit by bit.

    Raises:
        CheckpointError: weights that do not fit the architecture or are not float32, notes or a licence that are not
            printable lines of up to MAX_TEXT characters.
        OSError: the file cannot be written; nothing is left of it then.
    """
    shapes = expected_shapes(checkpoint.architecture)
    if "mapping.w_avg" not in checkpoint.weights:
        del shapes["mapping.w_avg"]
    got = {name: tuple(weight.shape) for name, weight in checkpoint.weights.items()}
    if got != shapes or any(weight.dtype != torch.float32 for weight in checkpoint.weights.values()):
        wrong = sorted(name for name in shapes.keys() | got.keys() if shapes.get(name) != got.get(name))
        raise CheckpointError(f"weights do not fit the architecture or are not float32: {', '.join(wrong[:3])}")
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "architecture": json.dumps(asdict(checkpoint.architecture)),
        "source_format": checkpoint.format,
        "source_sha256": checkpoint.sha256,
        "notes": json.dumps([_printable("notes", note) for note in checkpoint.notes]),
    }
    if checkpoint.licence is not None:
        metadata["licence"] = _printable("licence", checkpoint.licence)
    header: dict[str, dict[str, object]] = {"__metadata__": dict(metadata)}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in shapes:
            file.write(checkpoint.weights[name].detach().cpu().contiguous().numpy().astype("<f4", copy=False).data)


def _header(contents: bytes) -> dict:
    length = int.from_bytes(contents[:8], "little")
    if length > min(MAX_HEADER_BYTES, len(contents) - 8):
        raise CheckpointError(f"malformed safetensors: a header of {length} bytes in a file of {len(contents)}")
    header = _json(contents[8 : 8 + length], "header")
    if not isinstance(header, dict):
        raise CheckpointError("malformed safetensors: the header is not a dictionary")
    return header


def _tensors(contents: bytes) -> dict[str, np.ndarray]:
    """Copies of the tensors, which together are no larger than the file: their places do not overlap."""
    try:
        stored = deserialize(contents)
    except SafetensorError as error:
        raise CheckpointError(f"malformed safetensors: {shown(str(error), 200)}") from error
    arrays: dict[str, np.ndarray] = {}
    for name, tensor in stored:
        shape = tensor["shape"]
        if tensor["dtype"] != "F32" or len(shape) > MAX_DIMS or 0 in shape:
            raise CheckpointError(
                f"malformed safetensors: {shown(name)} is {tensor['dtype']} of shape {shown(str(shape))}, "
                f"not a float32 tensor with 1 or more elements and up to {MAX_DIMS} dimensions"
            )
        arrays[name] = np.frombuffer(tensor["data"], "<f4").reshape(shape)
    return arrays


def _json(text: object, what: str) -> object:
    if not isinstance(text, (str, bytes)):
        raise CheckpointError(f"the metadata lacks {what}")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, a number too long, nested too deep
        raise CheckpointError(f"malformed safetensors: the {what} is not JSON ({type(error).__name__})") from error


def _printable(name: str, text: object) -> str:
    """Text that can be shown on a terminal: one line, no control characters."""
    if not isinstance(text, str) or len(text) > MAX_TEXT or not text.isprintable():
        raise CheckpointError(f"{name} in the metadata must be a line of up to {MAX_TEXT} characters")
    return text
