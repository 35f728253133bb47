"""What a method costs besides its errors: labels, images, networks, time, memory."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class Spent:
    """What a block of code took.

    Attributes:
        seconds: wall time.
        added_bytes: the most memory that the process held during the block, less what it held before; None where the
            system does not tell (it does on Linux).
    """

    seconds: float = 0.0
    added_bytes: int | None = None


@contextmanager
def spent() -> Iterator[Spent]:
    """Measure the block; the values are there after it.

    Memory is the kernel's own record of the largest resident set (VmHWM), which is set back before the block. Memory
    that was freed before it is first given back to the system, or its use would not be seen. What the block shares
    with everything else, such as the loaded generator, does not count.
    """
    found = Spent()
    _give_back()
    before = _resident("VmRSS") if _set_back() else None
    started = time.perf_counter()
    try:
        yield found
    finally:
        found.seconds = time.perf_counter() - started
        peak = None if before is None else _resident("VmHWM")
        if peak is not None and before is not None:
            found.added_bytes = max(0, peak - before)


def _give_back() -> None:
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
        if trim is not None:
            trim(0)


def _set_back() -> bool:
    """Let the kernel forget the largest resident set so far; whether it did."""
    try:
        _RESET.write_text("5")
    except OSError:
        return False
    return True


def _resident(field: str) -> int | None:
    """A field of the process's status, in bytes."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    values = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
    return 1024 * int(values[0]) if values else None
