"""Weights that were converted into the user's cache: one safetensors file, and beside it a record with its hash."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from stylemixseg._util.paths import atomic_write, sha256_file


class WeightsError(RuntimeError):
    """Generator weights could not be fetched, or are not what they should be."""


def record_path(path: Path) -> Path:
    """The record of a converted file: where it came from, its licence, its SHA-256 as `sha256`."""
    return path.with_suffix(".json")


def write_converted(path: Path, save: Callable[[Path], None], record: dict[str, str]) -> None:
    """Write a converted file by `save(temporary)`, and its record with the file's SHA-256: both, or neither.

    Raises:
        OSError: no space, or no right to write there.
    """
    with atomic_write(path) as temporary:
        save(temporary)
        record = {**record, "sha256": sha256_file(temporary)}
        with atomic_write(record_path(path)) as sidecar:
            sidecar.write_text(json.dumps(record, indent=1) + "\n")


def verify_converted(path: Path, name: str) -> None:
    """Raise WeightsError unless the cache file of generator `name` is byte for byte what the conversion wrote."""
    advice = f"delete {path} and run `stylemixseg fetch {name}` again"
    try:
        recorded = json.loads(record_path(path).read_text())["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{record_path(path)} is missing or unreadable ({error}): {advice}") from error
    if (got := sha256_file(path)) != recorded:
        raise WeightsError(f"{path} has changed since it was converted (SHA-256 {got}, not {recorded}): {advice}")
