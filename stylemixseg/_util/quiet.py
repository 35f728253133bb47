"""What keeps the libraries that we use from doing what nobody asked for: telemetry, and files in the home folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stylemixseg._util.paths import cache_dir

# Hugging Face's libraries read it when they are imported; what they tell their hub is then less.
HUB_TELEMETRY = "HF_HUB_DISABLE_TELEMETRY"


@contextmanager
def absent(name: str) -> Iterator[None]:
    """Let an import of the module `name` fail inside the block as if it were not installed.

    Afterwards the table of modules is as it was: whoever imports the module later gets it, and whoever had imported it
    before keeps it.
    """
    modules: dict[str, Any] = sys.modules
    missing = object()
    before = modules.get(name, missing)
    modules[name] = None  # Python's own mark for "not to be found"
    try:
        yield
    finally:
        if before is missing:
            modules.pop(name, None)
        else:
            modules[name] = before


def set_environment() -> None:
    """Make a process that is ours alone, and those that it starts, keep to our cache; what the user has set stays.

    For the build of the book and the tests. Not for a library in the user's process: there Matplotlib reads the user's
    own settings.
    """
    os.environ.setdefault("MPLCONFIGDIR", str(cache_dir().absolute() / "matplotlib"))  # Matplotlib's list of fonts
    os.environ.setdefault(HUB_TELEMETRY, "1")
