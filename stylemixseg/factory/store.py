"""Where samples are kept: one file per sample, whole or not there, so that a run can be cut off at any moment.

The folder of a set:

    run.json                            what fixes every sample; written first
    samples/0000012/0000012345.zip      sample 12345, see `sample.Sample`; a thousand of them per folder
    samples.jsonl, manifest.json        written at the end of a run: one line per sample, and the set as a whole
    folder/, webdataset/, ...           the formats that were asked for, see `formats`

Only one process, the one that holds the lock, writes here, whatever the number of workers. `objectstore` keeps the same
files as objects below a URL.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

from stylemixseg._util.download import DownloadError, locked
from stylemixseg._util.outputs import write_record
from stylemixseg._util.paths import atomic_write
from stylemixseg.factory.sample import Sample

RUN = "run.json"
MANIFEST, SAMPLES = "manifest.json", "samples.jsonl"
_LOCK = ".lock"
_TEMPORARY = ("samples/*/.*.zip", *(f".{name}.*" for name in (RUN, MANIFEST, SAMPLES)))  # as `atomic_write` names files
PER_FOLDER = 1000  # so that no folder gets so large that listing it is slow
_NAMED = 3  # differing settings that a message names before it counts the rest
_SHORTENED = re.compile(r"[a-z0-9]{2,}:/")  # `Path` makes "s3:/bucket" of "s3://bucket"


class StoreError(RuntimeError):
    """The folder cannot take samples; what it holds is kept."""


class Export(Protocol):
    """A format in the making.

    Attributes:
        folder: where its writer writes.
    """

    folder: Path

    def done(self, files: Iterable[Path]) -> None:
        """These files in the folder are whole, and nobody here needs them any more."""
        ...

    def publish(self) -> None:
        """All files are whole: what is in the folder takes the format's name, in place of what had it."""
        ...


class WritableStore(Protocol):
    """What `synthesize` asks of the place of a set, as `opened_store` gives it."""

    def missing(self, seeds: Iterable[int]) -> Iterator[int]:
        """Those of the seeds whose samples have to be made."""
        ...

    def add(self, seed: int, data: bytes) -> None:
        """Keep the bytes of a sample, whole or not at all; when `settle` has returned, they are kept."""
        ...

    def settle(self) -> None:
        """Wait until all is kept that was added."""
        ...

    def read_each(self, seeds: Iterable[int]) -> Iterator[Sample]:
        """The samples of some seeds, one after the other."""
        ...

    def check_replaceable(self, names: Sequence[str]) -> None:
        """Raise ValueError unless what is there under the names of formats was written by `synthesize`."""
        ...

    def writing(self) -> AbstractContextManager[None]:
        """Turn an error of the file system into one that says how to go on."""
        ...

    def clear_exports(self) -> None:
        """Remove formats that a run which was cut off left unfinished."""
        ...

    def export(self, name: str) -> Export:
        """Begin to write a format."""
        ...

    def text(self, name: str) -> AbstractContextManager[TextIO]:
        """A text file beside the samples, which appears as a whole when the block ends."""
        ...

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest beside the samples."""
        ...


def sample_name(seed: int) -> str:
    """Where the sample of a seed is in its set."""
    return f"samples/{seed // PER_FOLDER:07d}/{seed:010d}.zip"


def read_sample(data: bytes, seed: int, where: object) -> Sample:
    """The sample in the bytes of a file.

    Raises:
        ValueError: damaged, or another seed's; the message says where.
    """
    try:
        sample = Sample.from_bytes(data)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if sample.record.get("seed") != seed:
        raise ValueError(f"{where} is not of seed {seed}")
    return sample


class Store:
    """The samples of one set in a folder. `opened_store` gives one.

    Args:
        folder: of the set.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, seed: int) -> Path:
        """Where the sample of a seed is, or would be."""
        return self.folder / sample_name(seed)

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
        return read_sample(path.read_bytes(), seed, path)

    def read_each(self, seeds: Iterable[int]) -> Iterator[Sample]:
        """The samples of some seeds, one after the other; raises as `read`."""
        return map(self.read, seeds)

    def missing(self, seeds: Iterable[int]) -> Iterator[int]:
        """Those of the seeds whose samples are not there, or damaged."""
        return (seed for seed in seeds if not self.has(seed))

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
        with self.writing(), atomic_write(self.path(seed)) as temporary:
            temporary.write_bytes(data)

    def settle(self) -> None:
        """Nothing is left to be kept."""

    def writing(self) -> AbstractContextManager[None]:
        """Turn an error of the file system into one that says how to go on."""
        return writing(self.folder)

    def check_replaceable(self, names: Sequence[str]) -> None:
        """Raise unless what is there under the names of formats was written by `synthesize`.

        Raises:
            ValueError: something else has the name of a format.
        """
        for name in names:
            if (self.folder / name).exists() and not (self.folder / name / MANIFEST).is_file():
                raise ValueError(foreign_format(self.folder / name, name))

    def clear_exports(self) -> None:
        """Remove formats that a run which was cut off left unfinished."""
        for partial in self.folder.glob(_partial(Path(), "*").name):
            shutil.rmtree(partial)

    def export(self, name: str) -> Export:
        """Begin to write a format, beside what has its name."""
        partial = _partial(self.folder, name)
        partial.mkdir()
        return _FolderExport(partial, self.folder / name)

    @contextmanager
    def text(self, name: str) -> Iterator[TextIO]:
        """A text file beside the samples, which appears as a whole when the block ends."""
        with atomic_write(self.folder / name) as temporary, temporary.open("w", encoding="utf-8") as file:
            yield file

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest beside the samples."""
        write_record(self.folder / MANIFEST, manifest)


class _FolderExport:
    def __init__(self, folder: Path, final: Path):
        self.folder, self._final = folder, final

    def done(self, files: Iterable[Path]) -> None:
        """They are where they belong."""

    def publish(self) -> None:
        """Give the folder its name. What had the name is moved aside first: half removed, it would be foreign."""
        if self._final.exists():
            aside = _partial(self._final.parent, f"{self._final.name}-before")
            self._final.rename(aside)
            self.folder.rename(self._final)
            shutil.rmtree(aside)
        else:
            self.folder.rename(self._final)


def _partial(folder: Path, name: str) -> Path:
    """Where a format stands until it is whole."""
    return folder / f".{name}.partial"


def foreign_format(where: object, name: str) -> str:
    """What is said of something that has the name of a format and no manifest."""
    return f"{where} was not written by synthesize, and the format {name!r} would replace it"


def place_of(out: str | Path) -> str | Path:
    """OUT as a URL of an object store, or as a local path: text with :// is a URL, and file:// a local path.

    Raises:
        ValueError: a `Path` that was made of a URL, or file:// with another machine's name.

    Examples:
        >>> place_of("s3://bucket/faces")
        's3://bucket/faces'
        >>> place_of("file:///data/faces").as_posix(), place_of("faces").as_posix()
        ('/data/faces', 'faces')
    """
    if isinstance(out, Path) and _SHORTENED.match(str(out)):
        raise ValueError(
            f"OUT must be text where it is a URL, because Path takes one of its two slashes away: got {out!r}"
        )
    text = str(out)
    if "://" not in text:
        return Path(out)
    parts = urlsplit(text)
    if parts.scheme != "file":
        return text.rstrip("/")
    if parts.netloc not in ("", "localhost"):
        raise ValueError(f"OUT must have three slashes where it is a local path, file:///FOLDER, got {text!r}")
    return Path(url2pathname(parts.path))


@contextmanager
def opened_store(out: str | Path, identity: dict[str, Any]) -> Iterator[WritableStore]:
    """The store in a folder or below a URL, for this process alone while the block runs; see `objectstore` for URLs.

    The folder is made where it is absent.

    Args:
        out: place of the set: new, empty, or of an earlier run with the same settings.
        identity: what fixes every sample, plain values.

    Raises:
        ValueError: the place holds files that are not of a set, or samples of other settings, which are named; or an
            unknown kind of URL.
        ModuleNotFoundError: the URL needs a library that is not installed; names the extra.
        StoreError: another process works there, or it cannot be written.
    """
    folder = place_of(out)
    if isinstance(folder, str):
        from stylemixseg.factory.objectstore import opened_object_store

        with opened_object_store(folder, identity) as objects:
            yield objects
        return
    _refuse_foreign(folder)
    with ExitStack() as stack:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(locked(folder / _LOCK))
            except DownloadError as error:
                raise StoreError(f"{folder}: {error}") from error
        if (folder / RUN).exists():
            compare((folder / RUN).read_bytes(), folder / RUN, identity)
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
        raise ValueError(foreign_place(folder, foreign[0]))


def foreign_place(where: object, found: str) -> str:
    """What is said of a place that holds something, and no set."""
    return f"OUT must be a new folder, an empty one, or one that synthesize made; {where} holds {found!r} and no {RUN}"


def compare(record: bytes, where: object, identity: dict[str, Any]) -> None:
    """Raise unless a set that is there was made with the settings of this run.

    Args:
        record: what run.json holds.
        where: it is.
        identity: of this run.

    Raises:
        ValueError: other settings, the first of which are named, or a damaged record.
    """
    try:
        there = json.loads(record)
        if not isinstance(there, dict):
            raise ValueError("no JSON object")
    except ValueError as error:
        raise ValueError(f"{where} is damaged, so the samples beside it cannot be trusted: {error}") from error
    if other := differences(there, identity):
        raise ValueError(
            f"OUT holds samples of other settings ({other}): give the settings of {where} again, or another folder"
        )


def differences(there: dict[str, Any], here: dict[str, Any]) -> str:
    """The first settings in which two identities differ, in words; empty where they are equal."""
    old, new = _flat(there), _flat(json.loads(json.dumps(here)))
    other = [
        f"{name} is {old.get(name)!r} there, {new.get(name)!r} here"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    more = f"; and {len(other) - _NAMED} more" if len(other) > _NAMED else ""
    return "; ".join(other[:_NAMED]) + more


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested mappings as one, names joined by dots."""
    if not isinstance(value, dict):
        return {name: value}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flat(item, f"{name}.{key}" if name else key)
    return flat
