"""Where files live, and how they are written so that nothing half-written stays."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_dir() -> Path:
    """Folder for converted weights and cached stacks.

    `$STYLEMIXSEG_CACHE`, else `$XDG_CACHE_HOME/stylemixseg`, else `~/.cache/stylemixseg`.
    The folder is not created here.
    """
    if explicit := os.environ.get("STYLEMIXSEG_CACHE"):
        return Path(explicit).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "stylemixseg"


def data_dir() -> Path:
    """Folder with optional data sets and reference models: `$STYLEMIXSEG_DATA`, else `cache_dir()/data`."""
    if explicit := os.environ.get("STYLEMIXSEG_DATA"):
        return Path(explicit).expanduser()
    return cache_dir() / "data"


def data_file(*parts: str) -> Path:
    """Path of a file or folder inside `data_dir()`.

    Raises:
        FileNotFoundError: it is not there; the message says how to point at a folder that has it.
    """
    path = data_dir().joinpath(*parts)
    if not path.exists():
        raise FileNotFoundError(
            f"{'/'.join(parts)} not found under {data_dir()}: set STYLEMIXSEG_DATA to a folder that holds it"
        )
    return path


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it into place on success, remove it on any failure.

    A reader sees the old file or the new one, never a part. Works for Ctrl-C and a full disk too.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes private files; give the result the permissions of an ordinary new file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file as 64 hex digits, read in blocks."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
