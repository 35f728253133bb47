"""Small results kept on disk, one JSON file an item: an interrupted experiment goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from stylemixseg.paths import atomic_write


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
