"""Where samples are kept: one file per sample, whole or not there, so that a run can be cut off at any moment.

The folder of a set:

    run.json                            what fixes every sample; written first
    samples/0000012/0000012345.zip      sample 12345, see `sample.Sample`; a thousand of them per folder
    samples.jsonl, manifest.json        written at the end of a run: one line per sample, and the set as a whole
    folder/, webdataset/, ...           the formats that were asked for, see `formats`

Only one process, the one that holds the lock, writes here, whatever the number of workers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from stylemixseg._util.download import DownloadError, locked
from stylemixseg._util.outputs import write_record
from stylemixseg._util.paths import atomic_write
from stylemixseg.factory.sample import Sample

RUN = "run.json"
MANIFEST, SAMPLES = "manifest.json", "samples.jsonl"
_LOCK = ".lock"
_TEMPORARY = ("samples/*/.*.zip", *(f".{name}.*" for name in (RUN, MANIFEST, SAMPLES)))  # as `atomic_write` names files
_PER_FOLDER = 1000  # so that no folder gets so large that listing it is slow
_NAMED = 3  # differing settings that a message names before it counts the rest


class StoreError(RuntimeError):
    """The folder cannot take samples; what it holds is kept."""


class Store:
    """The samples of one set. `opened_store` gives one.

    Args:
        folder: of the set.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, seed: int) -> Path:
        """Where the sample of a seed is, or would be."""
        return self.folder / "samples" / f"{seed // _PER_FOLDER:07d}" / f"{seed:010d}.zip"

    def seeds(self) -> list[int]:
        """The seeds of all samples that are there, in order; damaged ones are among them."""
        return sorted(int(path.stem) for path in self.folder.glob("samples/*/[0-9]*.zip"))

    def has(self, seed: int) -> bool:
        """Whether the sample is there and undamaged: its checksums are computed."""
        try:
            self.read(seed)
        except (FileNotFoundError, ValueError):
            return False
        return True

    def read(self, seed: int) -> Sample:
        """The sample of a seed.

        Raises:
            FileNotFoundError: it has not been made.
            ValueError: its file is damaged, or another sample's.
        """
        path = self.path(seed)
        try:
            sample = Sample.from_bytes(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        if sample.record.get("seed") != seed:
            raise ValueError(f"{path} is not of seed {seed}")
        return sample

    def made_with(self) -> dict[str, Any]:
        """What fixes the samples, as `Recipe.describe` gives it.

        Raises:
            FileNotFoundError: no set in the folder.
        """
        found: dict[str, Any] = json.loads((self.folder / RUN).read_text(encoding="utf-8"))
        return found

    def add(self, seed: int, data: bytes) -> None:
        """Keep the bytes of a sample, whole or not at all.

        Raises:
            StoreError: the file cannot be written (a full disk, a read-only folder).
        """
        with writing(self.folder), atomic_write(self.path(seed)) as temporary:
            temporary.write_bytes(data)


@contextmanager
def opened_store(folder: str | Path, identity: dict[str, Any]) -> Iterator[Store]:
    """The store in a folder, for this process alone while the block runs. The folder is made where it is absent.

    Args:
        folder: of the set: new, empty, or of an earlier run with the same settings.
        identity: what fixes every sample, plain values.

    Raises:
        ValueError: the folder holds files that are not of a set, or samples of other settings, which are named.
        StoreError: another process works in the folder, or it cannot be written.
    """
    folder = Path(folder)
    _refuse_foreign(folder)
    with ExitStack() as stack:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(locked(folder / _LOCK))
            except DownloadError as error:
                raise StoreError(f"{folder}: {error}") from error
        if (folder / RUN).exists():
            _compare(folder, identity)
        with writing(folder):
            for pattern in _TEMPORARY:  # of a process that was killed while it wrote
                for leftover in folder.glob(pattern):
                    leftover.unlink()
            if not (folder / RUN).exists():
                write_record(folder / RUN, identity)
        yield Store(folder)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn an error of the file system into one that says how to go on."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be written ({error.strerror or error}). The samples in it are whole: when that is "
            f"mended, the same command goes on from there"
        ) from error


def _refuse_foreign(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"OUT must be a folder, got the file {folder}")
    if not folder.exists() or (folder / RUN).exists():
        return
    # A name with a dot may be our own lock, or a record that was being written when the process was killed.
    foreign = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if foreign:
        raise ValueError(
            f"OUT must be a new folder, an empty one, or one that synthesize made; {folder} holds {foreign[0]!r} and "
            f"no {RUN}"
        )


def _compare(folder: Path, identity: dict[str, Any]) -> None:
    try:
        there = json.loads((folder / RUN).read_text(encoding="utf-8"))
        if not isinstance(there, dict):
            raise ValueError("no JSON object")
    except ValueError as error:
        raise ValueError(f"{folder / RUN} is damaged, so the samples beside it cannot be trusted: {error}") from error
    old, new = _flat(there), _flat(json.loads(json.dumps(identity)))
    other = [
        f"{name} is {old.get(name)!r} there, {new.get(name)!r} here"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    if other:
        more = f"; and {len(other) - _NAMED} more" if len(other) > _NAMED else ""
        raise ValueError(
            f"OUT holds samples of other settings ({'; '.join(other[:_NAMED])}{more}): give the settings of "
            f"{folder / RUN} again, or another folder"
        )


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested mappings as one, names joined by dots."""
    if not isinstance(value, dict):
        return {name: value}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flat(item, f"{name}.{key}" if name else key)
    return flat
