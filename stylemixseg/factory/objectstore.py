"""A set in an object store, below a URL such as s3://bucket/faces: named as in `store`, with objects in place of files.

fsspec speaks to the store. What differs from a folder, and why:

- An object appears whole or not at all, because it is sent in one request, or in parts that the store joins at the
  end. So a sample that is listed is whole, and a run goes on by listing: to read a million samples and check their
  sums, as in a folder, would take hours.
- A request takes some hundredths of a second however small the object is. So several are under way at a time, and
  memory holds these alone.
- A prefix cannot be renamed. So a format's `manifest.json` is sent last, and a format without it is not whole; the one
  that had its name before is removed when the new one begins.
- Formats are written in a temporary folder of this machine. A file is sent, and removed here, as soon as it is whole.
  What a run sends of a large file and does not finish, because it is killed, is no object; S3 keeps these parts, unseen
  and paid for, until the bucket's rule for incomplete uploads removes them.
- The process that the user started sends everything, whatever the number of workers, so its network has to bear it.
- There is no file lock. A lease takes its place: the object `.lease`, which says who works here and is renewed every
  minute. Another run is refused until five minutes after the last renewal; a run that was killed cannot end its lease.

What the lease does not protect: it compares clocks, which must agree within minutes; when it has lapsed, two runs that
take it over at the same moment may both begin, until the first renewal ends one of them; and a store that ignores
`If-None-Match: *` lets the same happen at any start. Samples suffer no harm from that, since both runs would write the
same bytes; a format that both write at a time would have to be written again.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO, TypeVar

from stylemixseg._util.optional import extra
from stylemixseg._util.outputs import record_bytes
from stylemixseg.factory.sample import Sample
from stylemixseg.factory.store import (
    MANIFEST,
    PER_FOLDER,
    RUN,
    Export,
    StoreError,
    compare,
    foreign_format,
    foreign_place,
    read_sample,
    sample_name,
)

# Of stores that take an object as a whole and can refuse to replace one: both are asked for.
PACKAGES = {"gs": "gcsfs", "s3": "s3fs", "memory": "fsspec"}
LEASE = ".lease"
LEASE_S = 300.0  # after which a run that no longer renews its lease is taken for dead
_RENEW_S = 60.0
_AT_ONCE = 16  # requests under way

T = TypeVar("T")


class Objects:
    """The objects below a URL, by their names relative to it.

    Args:
        url: without a slash at the end.

    Raises:
        ValueError: an unknown kind of URL.
        ModuleNotFoundError: the library for this kind is not installed; names the extra.
        StoreError: the store cannot be reached.
    """

    def __init__(self, url: str):
        self.url = url
        scheme = url.partition("://")[0]
        if scheme not in PACKAGES:
            raise ValueError(f"OUT must be a folder, or a URL that begins with s3://, gs:// or file://, got {url!r}")
        package = PACKAGES[scheme]
        with extra("scale", f"OUT on {scheme}:// needs {package}"):
            import_module(package)
            from fsspec.core import url_to_fs
        with self._asking():
            # Listings are not kept: another run may have changed what is there.
            self._fs, self._root = url_to_fs(url, use_listings_cache=False)

    def where(self, name: str) -> str:
        """The URL of an object, for messages."""
        return f"{self.url}/{name}"

    def read(self, name: str) -> bytes | None:
        """The bytes of an object; None where there is none.

        Raises:
            StoreError: the store cannot be read; so all methods.
        """
        with self._asking():
            try:
                data: bytes = self._fs.cat_file(self._path(name))
            except FileNotFoundError:
                return None
            return data

    def put(self, name: str, data: bytes) -> None:
        """Write an object, whole or not at all."""
        with self._asking():
            self._fs.pipe_file(self._path(name), data)

    def put_new(self, name: str, data: bytes) -> bool:
        """Write an object unless there is one of this name; gives whether it was written."""
        with self._asking():
            try:
                self._fs.pipe_file(self._path(name), data, mode="create")
            except FileExistsError:
                return False
            return True

    def put_file(self, name: str, path: Path) -> None:
        """Write an object with the bytes of a file, whole or not at all."""
        with self._asking():
            self._fs.put_file(str(path), self._path(name))

    def sizes(self, folder: str = "") -> dict[str, int]:
        """Sizes in bytes by the names of what is directly in a folder; folders have the size 0."""
        with self._asking():
            try:
                found = self._fs.ls(self._path(folder), detail=True)
            except FileNotFoundError:
                return {}
            sizes = {item["name"].strip("/"): int(item.get("size") or 0) for item in found}
            sizes.pop(self._path(folder).strip("/"), None)  # some consoles make an empty object for a folder itself
            return {path.rpartition("/")[2]: size for path, size in sizes.items()}

    def remove(self, name: str) -> None:
        """Remove an object, if there is one."""
        with self._asking(), suppress(FileNotFoundError):
            self._fs.rm_file(self._path(name))

    def remove_folder(self, name: str) -> None:
        """Remove all objects in a folder and below."""
        with self._asking():
            if paths := self._fs.find(self._path(name)):
                self._fs.rm(paths)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else str(self._root)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Every library of fsspec's has errors of its own; in these blocks nothing but its calls can fail."""
        try:
            yield
        except Exception as error:
            reason = str(error) or type(error).__name__
            advice = " (have you permission to read, list, write and delete there?)"
            raise StoreError(
                f"{self.url} cannot be used: {reason}{advice if isinstance(error, PermissionError) else ''}. The "
                f"samples in it are whole: when that is mended, the same command goes on from there"
            ) from error


class Transfers:
    """Requests that are under way together, few at a time. After the block all of them have ended."""

    def __enter__(self) -> Transfers:
        self._pool = ThreadPoolExecutor(_AT_ONCE)
        self._flying: deque[Future[Any]] = deque()
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()  # after an error or Ctrl-C, too: what was made is to be kept

    def submit(self, call: Callable[..., object], *arguments: object) -> None:
        """Begin a call; raises what an earlier one raised."""
        self._flying.append(self._pool.submit(call, *arguments))
        while len(self._flying) > 2 * _AT_ONCE or (self._flying and self._flying[0].done()):
            self._flying.popleft().result()

    def settle(self) -> None:
        """Wait for all; raises what one of them raised."""
        while self._flying:
            self._flying.popleft().result()

    def ahead(self, call: Callable[[int], T], items: Iterable[int]) -> Iterator[T]:
        """The results of a call for each item, in order, some of them computed before they are fetched."""
        waiting: deque[Future[T]] = deque()
        for item in items:
            waiting.append(self._pool.submit(call, item))
            if len(waiting) > 2 * _AT_ONCE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


class Lease:
    """The right of one run to write below a URL, while the block runs; see the module for what it protects.

    Args:
        objects: below the URL.

    Raises:
        StoreError: another run has it, or the store cannot be written.
        ValueError: what is there is no lease.
    """

    def __init__(self, objects: Objects):
        self._objects = objects
        self._owner = {"token": uuid.uuid4().hex, "host": socket.gethostname(), "process": os.getpid()}
        self._ended = threading.Event()
        self._lost = False
        self._renewed = 0.0
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Lease:
        if not self._objects.put_new(LEASE, self._now()):
            there = self._read()
            if there is not None and (age := time.time() - there["renewed"]) < LEASE_S:
                raise StoreError(
                    f"{self._objects.url}: another run is at it (process {there['process']} on {there['host']}, "
                    f"{max(age, 0):.0f} s ago): wait until it is done. If it was killed, go on in "
                    f"{LEASE_S - max(age, 0):.0f} s, or delete {self._objects.where(LEASE)}"
                )
            self._objects.put(LEASE, self._now())
        self._renewed = time.monotonic()
        if not self._is_mine():  # a store that ignored the condition, or two that took over a lapsed lease
            raise StoreError(f"{self._objects.url}: another run began at the same moment: wait until it is done")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        with suppress(StoreError, ValueError):  # it lapses by itself
            if self._is_mine():
                self._objects.remove(LEASE)

    def check(self) -> None:
        """Raise unless this run may still write.

        Raises:
            StoreError: another run has taken over, or may have done so since this one could not renew its lease.
        """
        if self._lost or time.monotonic() - self._renewed > LEASE_S:
            raise StoreError(
                f"{self._objects.url}: this run could not renew its lease for {LEASE_S:.0f} s, or another one has "
                f"taken it over. The samples are whole; the same command goes on from there"
            )

    def _keep(self) -> None:
        while not self._ended.wait(_RENEW_S):
            try:
                self._lost = self._lost or not self._is_mine()
                if self._lost:
                    return
                self._objects.put(LEASE, self._now())
                self._renewed = time.monotonic()
            except (StoreError, ValueError):  # perhaps the next time; `check` counts the seconds
                continue

    def _now(self) -> bytes:
        return json.dumps({**self._owner, "renewed": time.time()}).encode()

    def _is_mine(self) -> bool:
        there = self._read()
        return there is not None and there["token"] == self._owner["token"]

    def _read(self) -> dict[str, Any] | None:
        data = self._objects.read(LEASE)
        if data is None:
            return None
        try:
            there: dict[str, Any] = json.loads(data)
            return {"renewed": float(there["renewed"]), **{name: there[name] for name in self._owner}}
        except (ValueError, TypeError, KeyError) as error:
            where = self._objects.where(LEASE)
            raise ValueError(
                f"{where} is no lease of synthesize; delete it if no run works there: {error!r}"
            ) from error


class ObjectStore:
    """The samples of one set below a URL, see `WritableStore`. `opened_object_store` gives one.

    Args:
        objects: below the URL.
        lease: of this run.
        transfers: of samples and of files of formats.
        scratch: an empty folder of this machine.
    """

    def __init__(self, objects: Objects, lease: Lease, transfers: Transfers, scratch: Path):
        self._objects, self._lease, self._transfers, self._scratch = objects, lease, transfers, scratch

    def missing(self, seeds: Iterable[int]) -> Iterator[int]:
        """Those of the seeds whose samples are not listed, or empty."""
        for _, together in groupby(seeds, lambda seed: seed // PER_FOLDER):
            wanted = list(together)
            there = self._objects.sizes(sample_name(wanted[0]).rpartition("/")[0])
            yield from (seed for seed in wanted if not there.get(sample_name(seed).rpartition("/")[2]))

    def add(self, seed: int, data: bytes) -> None:
        """Begin to send a sample.

        Raises:
            StoreError: the store cannot be written, or another run has taken over.
        """
        self._lease.check()
        self._transfers.submit(self._objects.put, sample_name(seed), data)

    def settle(self) -> None:
        """Wait until all is kept that was added; raises as `add`."""
        self._transfers.settle()

    def read_each(self, seeds: Iterable[int]) -> Iterator[Sample]:
        """The samples of some seeds, one after the other.

        Raises:
            ValueError: one is damaged or not there.
        """
        return self._transfers.ahead(self._read, seeds)

    def _read(self, seed: int) -> Sample:
        where = self._objects.where(sample_name(seed))
        data = self._objects.read(sample_name(seed))
        if data is None:
            raise ValueError(f"{where} has been deleted while the set was written: the same command makes it again")
        try:
            return read_sample(data, seed, where)
        except ValueError as error:
            self._lease.check()
            self._objects.remove(sample_name(seed))  # a listing cannot tell it from a whole one
            raise ValueError(f"{error}. It was removed, and the same command makes it again") from error

    def check_replaceable(self, names: Sequence[str]) -> None:
        """Raise unless what is there under the names of formats was written by `synthesize`.

        Raises:
            ValueError: something else has the name of a format.
        """
        for name in names:
            there = self._objects.sizes(name)
            if there and MANIFEST not in there and self._objects.read(_unfinished(name)) is None:
                raise ValueError(foreign_format(self._objects.where(name), name))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turn an error of this machine's temporary folder into one that says how to go on."""
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"{self._scratch}, where files stand until they are sent, cannot be written "
                f"({error.strerror or error}); TMPDIR names another place. The samples in {self._objects.url} are "
                f"whole: the same command goes on from there"
            ) from error

    def clear_exports(self) -> None:
        """Nothing is to be removed here: what is unfinished has the format's name, and `export` begins by that."""

    def export(self, name: str) -> Export:
        """Begin to write a format; what had its name is removed."""
        self._lease.check()
        folder = self._scratch / name
        folder.mkdir()
        self._objects.put(_unfinished(name), b"{}")
        self._objects.remove_folder(name)
        return _ObjectExport(self._objects, name, folder, self._lease, self._transfers)

    @contextmanager
    def text(self, name: str) -> Iterator[TextIO]:
        """A text file beside the samples, which is sent when the block has ended."""
        path = self._scratch / f"{name}.text"
        with path.open("w", encoding="utf-8") as file:
            yield file
        self._objects.put_file(name, path)

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest beside the samples."""
        self._objects.put(MANIFEST, record_bytes(manifest))


class _ObjectExport:
    def __init__(self, objects: Objects, name: str, folder: Path, lease: Lease, transfers: Transfers):
        self.folder = folder
        self._objects, self._name, self._lease, self._transfers = objects, name, lease, transfers

    def done(self, files: Iterable[Path]) -> None:
        """Begin to send whole files; they are removed here."""
        for file in files:
            self._lease.check()
            self._transfers.submit(self._send, file)

    def _send(self, file: Path) -> None:
        self._objects.put_file(f"{self._name}/{file.relative_to(self.folder).as_posix()}", file)
        file.unlink()

    def publish(self) -> None:
        """Send what is left, the manifest last."""
        left = [path for path in self.folder.rglob("*") if path.is_file() and path.name != MANIFEST]
        self._transfers.settle()
        self.done(path for path in left if path.exists())
        self._transfers.settle()
        self._send(self.folder / MANIFEST)
        self._objects.remove(_unfinished(self._name))


def _unfinished(name: str) -> str:
    """The object that says that a format is being written."""
    return f".{name}.unfinished"


@contextmanager
def opened_object_store(url: str, identity: dict[str, Any]) -> Iterator[ObjectStore]:
    """The store below a URL, for this run alone while the block runs.

    Args:
        url: of the set: with nothing below it, or of an earlier run with the same settings.
        identity: what fixes every sample, plain values.

    Raises:
        ValueError: an unknown kind of URL, objects below it that are not of a set, or samples of other settings.
        ModuleNotFoundError: the library for this kind of URL is not installed; names the extra.
        StoreError: another run works there, or the store cannot be reached, read or written.
    """
    objects = Objects(url)
    record = objects.read(RUN)
    if record is not None:
        compare(record, objects.where(RUN), identity)
    elif foreign := sorted(name for name in objects.sizes() if not name.startswith(".")):
        raise ValueError(foreign_place(url, foreign[0]))
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stylemixseg-")))
        lease = stack.enter_context(Lease(objects))
        # The run that had the lease until now may have been of other settings.
        if not objects.put_new(RUN, record_bytes(identity)):
            compare(objects.read(RUN) or b"", objects.where(RUN), identity)
        transfers = stack.enter_context(Transfers())
        yield ObjectStore(objects, lease, transfers, scratch)
