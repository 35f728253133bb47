"""Weights of our own networks as files: half precision in a .safetensors file, and beside it, as .json, what it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from safetensors.torch import load_file
from torch import Tensor, nn

from stylemixseg._util.paths import sha256_file

Filled = TypeVar("Filled", bound=nn.Module)


def checked_record(path: Path, what: str, otherwise: str) -> dict[str, Any]:
    """The record beside a file of weights, when the file is the one that it tells of.

    Args:
        path: the .safetensors file.
        what: the weights are, in words for a message.
        otherwise: how they come to be, the end of the sentence that says that they are missing.

    Raises:
        FileNotFoundError: either file is missing.
        ValueError: the file's SHA-256 is not the one in the .json.
    """
    provenance = path.with_suffix(".json")
    for file in (path, provenance):
        if not file.is_file():
            raise FileNotFoundError(f"no {what} at {file}; {otherwise}")
    record: dict[str, Any] = json.loads(provenance.read_text(encoding="utf-8"))
    if (found := sha256_file(path)) != record["sha256"]:
        raise ValueError(
            f"{path} has SHA-256 {found} but {provenance.name} says {record['sha256']}: the file is damaged or was "
            "changed; install the package again"
        )
    return record


def stored_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file in single precision. Batch counters are not stored, because inference does not use them."""
    return {name: tensor.float() for name, tensor in load_file(path).items()}


def filled(network: Filled, path: Path) -> Filled:
    """The network with the weights of a file."""
    network.load_state_dict(network.state_dict() | stored_tensors(path))
    return network


def half_precision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is stored of a network's state: its floating-point tensors, in half precision."""
    return {name: value.half().contiguous() for name, value in state.items() if value.is_floating_point()}
