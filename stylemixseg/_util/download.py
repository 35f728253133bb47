"""Large files over HTTP: resumed where they were cut off, checked for length, never taken half.

A download is written to `<target>.part`; beside it `<target>.part.json` says which version of which file it is a part
of (RFC 9110: `ETag`, `Last-Modified`). The next run asks for the rest of that version (`Range` with `If-Range`). Only
a whole file gets the name `<target>`. What is in it is for the caller to check: by hash, and by reading it.

The library `pooch` does not serve: it begins a file that was cut off from its first byte again (version 1.9 sends no
`Range`), bounds no sizes, and follows redirects from https to http.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from stylemixseg._util.paths import atomic_write

MAX_BYTES = 2_000_000_000  # the largest official checkpoint has about 0.4 GB
MAX_REDIRECTS = 10
BLOCK = 1 << 14  # a cut connection loses at most so many bytes
_REDIRECTS = (301, 302, 303, 307, 308)
_LATER = (408, 429)  # of the 4xx, those that ask to try again


class DownloadError(RuntimeError):
    """A file could not be downloaded; what had arrived is kept where it can be used."""


class DeadURLError(DownloadError):
    """The URL does not give the file, and trying again would not help."""


class _PassingError(Exception):
    """This attempt failed and the next may not; `wait` is how long the server asks to wait, if it does."""

    def __init__(self, message: str, wait: float | None = None):
        super().__init__(message)
        self.wait = wait


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Hold a lock file while the block runs, so that one process at a time does so; a dead process holds none.

    Raises:
        DownloadError: another process holds it.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DownloadError(f"another process is at it (it holds {path}): wait until it is done") from None
    try:
        yield
    finally:
        lock.release()


def part_path(target: str | Path) -> Path:
    """Where a download stands until it is whole."""
    return Path(f"{target}.part")


def discard_part(target: str | Path) -> None:
    """Remove what an unfinished download of `target` has left."""
    _discard(part_path(target))


def download(
    url: str,
    target: str | Path,
    *,
    max_bytes: int = MAX_BYTES,
    spare: int = 0,
    timeout: tuple[float, float] = (10.0, 60.0),
    retries: int = 5,
    backoff: float = 1.0,
    max_wait: float = 120.0,
) -> Path:
    """Download `url` to `target` and return it; a part from an earlier run is completed. Progress goes to stderr.

    Hold `locked` while it runs: two processes must not write one part.

    Args:
        url: http or https. Redirects are followed, never from https to http. Certificates are always checked.
        target: the file to write; its folder is made. An unfinished download stands beside it, see `part_path`.
        max_bytes: a longer file is refused.
        spare: bytes that must stay free on the disk besides the file.
        timeout: seconds to wait for a connection, and for the next bytes.
        retries: how often a cut connection, a time-out or a busy server (5xx, 408, 429) is tried again.
        backoff: seconds before the first retry, doubled each time; a `Retry-After` is honoured instead.
        max_wait: the longest `Retry-After` that is waited for.

    Raises:
        DeadURLError: the server says that there is no such file for us, or gives a web page.
        DownloadError: anything else; the part is kept if it is good.
    """
    _check_scheme(url)
    part = part_path(target)
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(retries + 1):
            try:
                _attempt(url, part, max_bytes, spare, timeout)
                break
            except _PassingError as error:
                wait = backoff * 2**attempt if error.wait is None else error.wait
                if attempt == retries or wait > max_wait:
                    count = "one attempt" if attempt == 0 else f"{attempt + 1} attempts"
                    why = f"it asks to wait {wait:.0f} s" if wait > max_wait else f"gave up after {count}"
                    raise DownloadError(f"{url}: {error}; {why}. {_kept(part)}") from error
                _say(part, f"{error}" + (f"; trying again in {wait:.0f} s" if wait else ""))
                time.sleep(wait)
        part.replace(target)
        _record_path(part).unlink(missing_ok=True)
    except OSError as error:
        raise DownloadError(f"{part}: {error}. {_kept(part)}") from error
    return Path(target)


@dataclass(frozen=True)
class _Version:
    """Which version of which file a part belongs to."""

    url: str
    etag: str | None
    last_modified: str | None
    length: int | None  # of the whole file

    @property
    def validator(self) -> str | None:
        """What `If-Range` may carry: never a weak ETag, under which two files with other bytes may count as one."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified

    def agrees(self, other: _Version) -> bool:
        """Whether both can be the same version; what one of them does not say cannot differ."""
        pairs = ((getattr(self, key), getattr(other, key)) for key in ("etag", "last_modified", "length"))
        return all(mine is None or yours is None or mine == yours for mine, yours in pairs)


def _attempt(url: str, part: Path, max_bytes: int, spare: int, timeout: tuple[float, float]) -> None:
    """One request, after which the part is whole."""
    known = _read_record(part)
    position = part.stat().st_size if known and known.url == url and part.exists() else 0
    if known and position and position == known.length:
        return
    validator = known.validator if known else None
    if not known or not validator or position > (known.length or max_bytes):
        position = 0
    headers = {"Accept-Encoding": "identity"}
    if position and validator:
        headers |= {"Range": f"bytes={position}-", "If-Range": validator}
    try:
        with _get(url, headers, timeout) as response:
            if position and response.status_code == 416:  # that file ends before our part does
                raise _changed(part)
            found = _check_answer(url, response, position)
            if known and position and response.status_code == 200:
                why = "the server cannot resume" if found.agrees(known) else "the file on the server has changed"
                _say(part, f"{why}; starting anew")
                position = 0  # this answer is the whole file
            elif known and position and not found.agrees(known):
                raise _changed(part)
            length = known.length if known and position and found.length is None else found.length
            _check_room(part.parent, length, position, max_bytes, spare)
            if not position:
                _discard(part)  # before the new record, so that no old part can pass for a new one
                with atomic_write(_record_path(part)) as temporary:
                    temporary.write_text(json.dumps(asdict(found), indent=1) + "\n")
            _receive(url, response, part, position, length, max_bytes)
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise DownloadError(f"{url}: the server's certificate cannot be trusted ({_reason(error)})") from error
        raise _PassingError(_reason(error)) from error
    except requests.RequestException as error:
        raise DownloadError(f"{url}: {error}") from error


def _get(url: str, headers: dict[str, str], timeout: tuple[float, float]) -> requests.Response:
    """The first answer that is no redirect."""
    hop = url
    for _ in range(MAX_REDIRECTS + 1):
        response = requests.get(hop, headers=headers, stream=True, allow_redirects=False, timeout=timeout)
        if response.status_code not in _REDIRECTS:
            return response
        response.close()
        if not (location := response.headers.get("Location")):
            raise DownloadError(f"{url}: a redirect ({response.status_code}) to nowhere")
        following = urljoin(hop, location)
        _check_scheme(following, before=hop)
        hop = following
    raise DownloadError(f"{url}: more than {MAX_REDIRECTS} redirects")


def _check_scheme(url: str, before: str | None = None) -> None:
    scheme = urlsplit(url).scheme
    if scheme not in ("http", "https"):
        raise DownloadError(f"only http and https are fetched, got {url}" + (f" (from {before})" if before else ""))
    if before and urlsplit(before).scheme == "https" and scheme == "http":
        raise DownloadError(f"a redirect from https to http is not followed: {before} to {url}")


def _check_answer(url: str, response: requests.Response, position: int) -> _Version:
    """Raise unless this is the file, or its rest from `position` on; which version it is."""
    code = response.status_code
    answer = f"the server answers {code} {response.reason}".strip()
    if code in _LATER or code >= 500:
        raise _PassingError(answer, _retry_after(response.headers.get("Retry-After")))
    if 400 <= code < 500:
        raise DeadURLError(f"{url}: {answer}")
    if code != 200 and not (code == 206 and position):
        raise DownloadError(f"{url}: {answer}, 200 was expected")
    headers = response.headers
    if (kind := headers.get("Content-Type", "")).lower().startswith("text/html"):
        raise DeadURLError(f"{url}: a web page came ({kind}), not the file")
    if (encoding := headers.get("Content-Encoding", "identity")).lower() != "identity":
        raise DownloadError(f"{url}: came as {encoding!r}, although the plain file was asked for")
    if code == 206:
        length = _whole_length(url, headers.get("Content-Range", ""), position)
    else:
        length = _number(url, headers["Content-Length"]) if "Content-Length" in headers else None
    return _Version(url, headers.get("ETag"), headers.get("Last-Modified"), length)


def _whole_length(url: str, content_range: str, position: int) -> int | None:
    """Length of the whole file from `bytes START-END/LENGTH`; None for `*`."""
    match = re.fullmatch(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15}|\*)", content_range.strip())
    if not match or int(match[1]) != position:
        raise DownloadError(f"{url}: asked for the bytes from {position} on, got Content-Range {content_range!r}")
    return None if match[3] == "*" else int(match[3])


def _number(url: str, text: str) -> int:
    if not re.fullmatch(r"\d{1,15}", text):
        raise DownloadError(f"{url}: Content-Length must be a number, got {text!r}")
    return int(text)


def _check_room(folder: Path, length: int | None, position: int, max_bytes: int, spare: int) -> None:
    if length is not None and length > max_bytes:
        raise DownloadError(f"the file has {_size(length)}, at most {_size(max_bytes)} are taken")
    needed, free = (length or position) - position + spare, shutil.disk_usage(folder).free
    if free < needed:
        raise DownloadError(f"{folder}: {_size(needed)} must be free on that disk, {_size(free)} are")


def _receive(
    url: str, response: requests.Response, part: Path, position: int, length: int | None, max_bytes: int
) -> None:
    """Append the body to the part, up to `length`."""
    limit = max_bytes if length is None else length
    # The bar starts at what is already there. disable=None: none where stderr is no terminal.
    bar = tqdm(total=length, initial=position, unit="B", unit_scale=True, desc=part.stem, disable=None)
    with open(part, "ab" if position else "wb") as file, bar:
        for block in response.iter_content(BLOCK):
            if not position and block.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
                _discard(part)
                raise DeadURLError(f"{url}: a web page came, not the file")
            position += len(block)
            if position > limit:
                _discard(part)
                raise DownloadError(f"{url}: the server sends more than the {limit} bytes that were to come")
            file.write(block)
            bar.update(len(block))
    if position == 0:
        raise DownloadError(f"{url}: the file is empty")
    if length is not None and position < length:
        raise _PassingError(f"the server stopped after {position} of {length} bytes")


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait from a `Retry-After` header: a number or a date."""
    if value is None:
        return None
    if re.fullmatch(r"\d{1,9}", value.strip()):
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
    return max(0.0, (when - datetime.now(timezone.utc)).total_seconds())


def _record_path(part: Path) -> Path:
    return Path(f"{part}.json")


def _changed(part: Path) -> _PassingError:
    _discard(part)
    return _PassingError("the file on the server has changed; starting anew", wait=0)


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _record_path(part).unlink(missing_ok=True)


def _read_record(part: Path) -> _Version | None:
    """What is known of the part; None where that is nothing, or cannot be read: then the download starts anew."""
    try:
        record = json.loads(_record_path(part).read_text())
        known = _Version(**record)
    except (OSError, ValueError, TypeError):
        return None
    text = all(value is None or isinstance(value, str) for value in (known.url, known.etag, known.last_modified))
    return known if text and (known.length is None or type(known.length) is int) else None


def _reason(error: requests.RequestException) -> str:
    """A failed connection in words: the innermost reason, without the libraries' wrappers round it."""
    if isinstance(error, requests.Timeout) or "Read timed out" in str(error):
        return "the server is silent"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was cut"
    inner = error.args[0] if error.args else "for an unknown reason"
    return f"no connection: {getattr(inner, 'reason', None) or inner}"


def _kept(part: Path) -> str:
    size = part.stat().st_size if part.exists() else 0
    return f"{_size(size)} are kept: the same command goes on from there" if size else "Nothing has been kept"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _say(part: Path, message: str) -> None:
    print(f"{part.stem}: {message}", file=sys.stderr)
