"""The state of a long optimisation on disk: written now and then and when it stops, read back without trust."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from stylemixseg._util.paths import named_in_utf8, write_cached

SAVE_EVERY = 30.0  # s


def state_key(settings: str, tensors: Sequence[Tensor]) -> str:
    """32 hex digits that change with the settings and with any value of the tensors: a state's file name."""
    key = hashlib.sha256(settings.encode())
    for tensor in tensors:
        key.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
        key.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return key.hexdigest()[:32]


class StateFile:
    """Keeps the newest state of a run and writes it every `SAVE_EVERY` seconds, and on leaving, whatever the reason.

    What is kept is a copy, so Ctrl-C in the middle of a step leaves the state of the step before.

    Args:
        path: where; None keeps nothing.

    Examples:
        >>> path = Path("run.state")
        >>> with StateFile(path) as file:
        ...     for step in range(3):
        ...         file.keep({"w": torch.full((2,), float(step))}, {"step": step})
        >>> read_state(path, {"w": (2,)})
        ({'w': tensor([2., 2.])}, {'step': 2})
    """

    def __init__(self, path: Path | None):
        self.path = path
        self._newest: tuple[dict[str, Tensor], str] | None = None
        self._written = time.monotonic()

    def __enter__(self) -> StateFile:
        return self

    def __exit__(self, *exception) -> None:
        self._write()

    def keep(self, tensors: Mapping[str, Tensor], record: Mapping) -> None:
        """Take a copy of the float32 `tensors` and of `record`, plain values."""
        if self.path is None:
            return
        copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
        self._newest = copies, json.dumps(record)
        if time.monotonic() - self._written >= SAVE_EVERY:
            self._write()

    def _write(self) -> None:
        if self._newest is None or self.path is None:
            return
        tensors, record = self._newest
        content = save(tensors, {"record": record})  # a state that cannot be kept must not end the optimisation
        write_cached(self.path, lambda temporary: temporary.write_bytes(content))
        self._newest, self._written = None, time.monotonic()


def read_state(path: Path | None, shapes: Mapping[str, Sequence[int]]) -> tuple[dict[str, Tensor], dict] | None:
    """The tensors and record of a `StateFile`; None where there is none, or it is damaged or of other shapes.

    Nothing in the file is run, and no tensor is read before all names and shapes are the expected ones.
    """
    if path is None or not path.is_file():
        return None
    try:
        with named_in_utf8(path) as name, safe_open(name, "pt") as file:
            found = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it has no __iter__
            if {name: (part.get_dtype(), tuple(part.get_shape())) for name, part in found.items()} != {
                name: ("F32", tuple(shape)) for name, shape in shapes.items()
            }:
                return None
            record = json.loads(file.metadata()["record"])
            tensors = {name: file.get_tensor(name) for name in found}
    except (OSError, SafetensorError, TypeError, KeyError, ValueError):  # cut off, or without our record
        return None
    usable = isinstance(record, dict) and all(torch.isfinite(tensor).all() for tensor in tensors.values())
    return (tensors, record) if usable else None
