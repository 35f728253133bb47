"""Where files live, and how they are written so that nothing half-written stays."""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path


class CacheWarning(UserWarning):
    """A result could not be kept in the cache; it is used, and made again next time."""


def cache_dir() -> Path:
    """Folder for converted weights and cached stacks.

    `$STYLEMIXSEG_CACHE`, else `$XDG_CACHE_HOME/stylemixseg`, else `~/.cache/stylemixseg`.
    The folder is not created here.

    Raises:
        RuntimeError: the user has no home folder; the message names STYLEMIXSEG_CACHE.
    """
    if explicit := os.environ.get("STYLEMIXSEG_CACHE"):
        return _expanded(explicit)
    base = os.environ.get("XDG_CACHE_HOME") or _expanded("~/.cache")
    return Path(base) / "stylemixseg"


def data_dir() -> Path:
    """Folder with optional data sets and reference models: `$STYLEMIXSEG_DATA`, else `cache_dir()/data`."""
    if explicit := os.environ.get("STYLEMIXSEG_DATA"):
        return _expanded(explicit)
    return cache_dir() / "data"


def _expanded(path: str) -> Path:
    """The path with `~` replaced, which needs a home folder: some containers and services have none."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise RuntimeError(
            f"{path} needs a home folder, and this user has none: set STYLEMIXSEG_CACHE to the full path of a folder "
            f"that you may write"
        ) from error


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
        with suppress(OSError):  # exFAT, CIFS and some FUSE systems have no permissions to set, and refuse
            temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def named_in_utf8(path: str | Path) -> Iterator[Path]:
    """A path of an existing file for libraries that open no path but UTF-8, as safetensors.

    It is the given one where that is UTF-8, else one like /dev/fd/3, which names the file while it is open.
    """
    try:
        os.fspath(path).encode("utf-8")
    except UnicodeEncodeError:
        with open(path, "rb") as file:
            yield Path(f"/dev/fd/{file.fileno()}")
    else:
        yield Path(path)


def write_cached(path: str | Path, write: Callable[[Path], object]) -> None:
    """Keep a result that can be made again: `write(temporary)` under `atomic_write`, as far as it is possible.

    A cache that is read-only or full must not cost the result, which has been computed already. So an error of the file
    system becomes one note for each folder and reason, and nothing half-written stays.

    Warns:
        CacheWarning: the file could not be written; the message names the folder and STYLEMIXSEG_CACHE.
    """
    try:
        with atomic_write(path) as temporary:
            write(temporary)
    except OSError as error:
        _say_once(
            f"{Path(path).parent} cannot be written ({error.strerror or error}): what is computed is used, but not "
            f"kept there; STYLEMIXSEG_CACHE names another place for the cache"
        )


@cache
def _say_once(message: str) -> None:
    warnings.warn(message, CacheWarning, stacklevel=3)


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file as 64 hex digits, read in blocks."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
