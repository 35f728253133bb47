"""The state of a training in one file: written whole or not at all, read without running anything of it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from torch import Tensor

from stylemixseg._util.paths import atomic_write

FORMAT = "stylemixseg-training 1"


class TrainingStateError(ValueError):
    """A file holds no usable state: it is damaged, of another training, or of other settings."""


def write_state(file: Path, state: Mapping[str, object]) -> None:
    """Write a state of plain values and tensors in any nesting.

    Raises:
        RuntimeError: a tensor holds NaN or infinity; it is named. Such a state must not take the place of a good one.
    """
    for name, tensor in _tensors(state, ""):
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise RuntimeError(
                f"{name} became NaN or infinite before step {state['step']}. The last state is kept in {file}: go on "
                "from it in float32, or begin anew with a lower learning rate"
            )
    with atomic_write(file) as temporary:
        torch.save({"format": FORMAT, **state}, temporary)


def read_state(file: Path) -> dict[str, Any]:
    """Read a state of `write_state`; tensors come to the CPU.

    Raises:
        TrainingStateError: damaged or cut off, or no state of a training.
        OSError: the file cannot be read.
    """
    advice = "Delete it to begin anew, or put a copy in its place"
    try:
        with ZipFile(file) as archive:  # torch.load does not compare the check sums of all the numbers
            damaged = archive.testzip()
        if damaged is not None:
            raise BadZipFile(f"{damaged} does not match its check sum")
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (BadZipFile, EOFError, KeyError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingStateError(f"{file} is damaged, or no state of a training ({reason}). {advice}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        found = state.get("format") if isinstance(state, dict) else type(state).__name__
        raise TrainingStateError(f"{file} is no state of a training as this program writes it ({found!r}). {advice}")
    return state


def check_settings(file: Path, kept: Mapping[str, object], ours: Mapping[str, object]) -> None:
    """Raise TrainingStateError, which names the differences, unless a state's settings are those of this run."""
    names = [*ours, *(name for name in kept if name not in ours)]
    different = [f"{name} {kept.get(name)}, now {ours.get(name)}" for name in names if kept.get(name) != ours.get(name)]
    if different:
        raise TrainingStateError(
            f"{file} belongs to a run with {'; '.join(different)}: give the same settings, or another place for the "
            "state"
        )


def _tensors(value: object, name: str) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of all tensors in nested dictionaries and lists."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _tensors(part, f"{name}.{key}" if name else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, part in enumerate(value):
            yield from _tensors(part, f"{name}.{index}")
