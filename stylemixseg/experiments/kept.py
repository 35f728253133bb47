"""Results kept on disk: an interrupted experiment goes on where it was, and another setting has another folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from stylemixseg.paths import atomic_write


def settings_key(depends: dict | list) -> str:
    """16 hex digits that stand for all that results depend on, plain values; equal settings give equal keys."""
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]


def kept(path: Path, make: Callable[[], dict]) -> dict:
    """What `make()` gave, plain values, from the file or made now; a damaged file is made again.

    The path must hold all that the result depends on.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    except (OSError, ValueError):
        pass  # not there yet, or damaged
    made = make()
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(made), encoding="utf-8")
    return json.loads(json.dumps(made))  # as a second run will read it
