"""Results kept on disk: an interrupted experiment goes on where it was, and another setting has another folder.

`made_anew` is for whoever wants to know whether the numbers still come out: inside it nothing that was kept is read.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import numpy as np

from stylemixseg._util.paths import cache_dir, write_cached

_instead_of_cache: ContextVar[Path | None] = ContextVar("_instead_of_cache", default=None)


def kept_folder(kind: str) -> Path:
    """Where results of one kind ("maps", "photos", ...) are kept: in the cache folder, or as `made_anew` says."""
    return (_instead_of_cache.get() or cache_dir()) / kind


@contextmanager
def made_anew() -> Iterator[None]:
    """Inside, experiments start from nothing: what they kept before is not read, and what they keep is thrown away."""
    with tempfile.TemporaryDirectory(prefix="stylemixseg-anew-") as folder:
        token = _instead_of_cache.set(Path(folder))
        try:
            yield
        finally:
            _instead_of_cache.reset(token)


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
    write_cached(path, lambda temporary: temporary.write_text(json.dumps(made), encoding="utf-8"))
    return json.loads(json.dumps(made))  # as a second run will read it


def kept_arrays(path: Path, names: set[str], make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What `make()` gave, arrays by name, from an .npz file or made now.

    A damaged file, and one that lacks some of `names`, is made again. The path must hold all that the arrays depend on.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        if names <= set(arrays):
            return arrays
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        pass  # not there yet, or damaged
    arrays = make()
    write_cached(path, lambda temporary: np.savez_compressed(temporary, **arrays))  # type: ignore[arg-type]  # NumPy's stub
    return arrays
