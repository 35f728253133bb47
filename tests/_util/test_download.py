"""Downloading from a server that does everything wrong that servers do."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from functools import partial

import pytest
from http_server import FileServer, Reply, serving

from stylemixseg._util import download as module
from stylemixseg._util.download import DeadURLError, DownloadError, discard_part, locked, part_path

CONTENT = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(300_000)
CUT = 9 * module.BLOCK + 5
KEPT = 9 * module.BLOCK  # of a body that is cut there
download = partial(module.download, timeout=(2.0, 2.0), backoff=0.0)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(CONTENT) as server:
        yield server


@pytest.fixture
def target(tmp_path):
    return tmp_path / "cache" / "net.pkl"


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """Seconds that the client would have waited."""
    waits: list[float] = []
    monkeypatch.setattr(module.time, "sleep", waits.append)
    return waits


def files(target) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def begin(server: FileServer, target, cut: int = CUT) -> int:
    """Leave a part as a killed process would; its size."""
    server.replies.append(Reply(cut=cut))
    with pytest.raises(DownloadError, match="after one attempt. .* MB are kept"):
        download(server.url, target, retries=0)
    server.requests.clear()
    assert files(target) == ["net.pkl.part", "net.pkl.part.json"]
    return part_path(target).stat().st_size


def test_a_good_server(server, target):
    assert download(server.url, target) == target
    assert target.read_bytes() == CONTENT and files(target) == ["net.pkl"]
    (request,) = server.requests
    assert "Range" not in request.headers and request.headers["Accept-Encoding"] == "identity"


def test_cut_once_goes_on_where_it_was(server, target, capsys):
    server.replies.append(Reply(cut=CUT))
    download(server.url, target)
    assert target.read_bytes() == CONTENT and files(target) == ["net.pkl"]
    first, second = server.requests
    assert second.start == KEPT and second.headers["If-Range"] == '"v1"'
    assert first.sent + second.sent == len(CONTENT) + CUT - KEPT
    assert "the connection was cut" in capsys.readouterr().err


def test_cut_every_time_ends_and_keeps_what_came(server, target, waits):
    server.always = Reply(cut=module.BLOCK)
    with pytest.raises(DownloadError, match="connection was cut; gave up after 4 attempts. 0.1 MB are kept"):
        module.download(server.url, target, retries=3, backoff=0.5)
    assert [request.start for request in server.requests] == [i * module.BLOCK for i in range(4)]
    assert waits == [0.5, 1.0, 2.0]
    assert part_path(target).read_bytes() == CONTENT[: 4 * module.BLOCK] and not target.exists()
    server.always = Reply()
    download(server.url, target)
    assert target.read_bytes() == CONTENT and server.requests[-1].sent == len(CONTENT) - 4 * module.BLOCK


def test_cut_before_the_first_byte(server, target):
    server.always = Reply(cut=0)
    with pytest.raises(DownloadError, match="connection was cut; gave up after 2 attempts. Nothing has been kept"):
        download(server.url, target, retries=1)


def test_the_next_run_goes_on(server, target, monkeypatch):
    bars, tqdm = [], module.tqdm
    monkeypatch.setattr(module, "tqdm", lambda **options: bars.append(options) or tqdm(**options))
    size = begin(server, target)
    download(server.url, target)
    assert target.read_bytes() == CONTENT
    (request,) = server.requests
    assert (request.start, request.sent) == (size, len(CONTENT) - size)
    assert [(bar["initial"], bar["total"]) for bar in bars] == [(0, len(CONTENT)), (size, len(CONTENT))]


def test_ctrl_c_keeps_the_part(server, target, interruptible):
    """A real SIGINT while the server is silent in the middle of the file."""

    def interrupt():
        for _ in range(500):
            if part_path(target).exists() and part_path(target).stat().st_size >= 1 << 16:
                break
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        time.sleep(0.2)

    server.replies.append(Reply(cut=CUT, then=interrupt))
    with pytest.raises(KeyboardInterrupt):
        module.download(server.url, target, timeout=(5, 30))
    size = part_path(target).stat().st_size
    assert 1 << 16 <= size <= CUT and not target.exists()
    assert part_path(target).read_bytes() == CONTENT[:size]
    download(server.url, target)
    assert target.read_bytes() == CONTENT and server.requests[-1].sent == len(CONTENT) - size


def test_a_whole_part_needs_no_request(server, target):
    """Killed between the last byte and the renaming."""
    begin(server, target)
    part_path(target).write_bytes(CONTENT)
    download(server.url, target)
    assert target.read_bytes() == CONTENT and not server.requests and files(target) == ["net.pkl"]


@pytest.mark.parametrize("changed", ["etag", "etag, range answered", "length", "shorter than the part"])
def test_a_changed_file_starts_anew(server, target, changed, capsys):
    size = begin(server, target)
    server.content = OTHER
    if changed.startswith("etag"):
        server.etag = '"v2"'
    if changed == "etag, range answered":  # a server that knows Range but not If-Range
        content_range = f"bytes {size}-{len(OTHER) - 1}/{len(OTHER)}"
        server.replies.append(Reply(206, {"Content-Range": content_range}, body=OTHER[size:]))
    if changed == "length":
        server.content = OTHER + b"more"
    if changed == "shorter than the part":
        server.content = OTHER[: size // 2]
    download(server.url, target)
    assert target.read_bytes() == server.content and files(target) == ["net.pkl"]
    assert "the file on the server has changed; starting anew" in capsys.readouterr().err


def test_an_old_part_never_stands_beside_a_new_record(server, target, monkeypatch):
    """Killed between the record of the new file and its first byte."""
    begin(server, target)
    server.content, server.etag = OTHER, '"v2"'
    with monkeypatch.context() as patch:
        patch.setattr(module, "_receive", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            download(server.url, target)
    assert files(target) == ["net.pkl.part.json"]
    download(server.url, target)
    assert target.read_bytes() == OTHER


def test_another_url_starts_anew(server, target):
    begin(server, target)
    download(server.url + "?v=2", target)
    assert [request.start for request in server.requests] == [0] and target.read_bytes() == CONTENT


@pytest.mark.parametrize("record", [None, "{", "[]", '{"url": 3}', '{"url": "U", "etag": 1, "last_modified": null}'])
def test_a_part_without_a_good_record_is_not_trusted(server, target, record):
    begin(server, target)
    path = part_path(target).with_name("net.pkl.part.json")
    if record is None:
        path.unlink()
    elif "length" in json.loads(path.read_text()) and record.startswith('{"url": "U"'):
        path.write_text(json.dumps({**json.loads(path.read_text()), "etag": 1}))
    else:
        path.write_text(record)
    part_path(target).write_bytes(OTHER[:1000])
    download(server.url, target)
    assert [request.start for request in server.requests] == [0] and target.read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_not_trusted(server, target):
    begin(server, target)
    part_path(target).write_bytes(CONTENT + b"x")
    download(server.url, target)
    assert [request.start for request in server.requests] == [0] and target.read_bytes() == CONTENT


def test_a_server_that_ignores_range(server, target, capsys):
    begin(server, target)
    server.always = Reply(ranges=False)
    download(server.url, target)
    assert target.read_bytes() == CONTENT
    assert "the server cannot resume; starting anew" in capsys.readouterr().err


@pytest.mark.parametrize("headers", [{"ETag": None}, {"ETag": 'W/"v1"'}])
def test_without_a_strong_validator_nothing_is_resumed(server, target, headers):
    server.replies += [Reply(cut=CUT, headers=headers), Reply(headers=headers)]
    download(server.url, target)
    assert [request.start for request in server.requests] == [0, 0] and target.read_bytes() == CONTENT


def test_last_modified_will_do(server, target):
    server.etag = date = "Wed, 01 Jan 2020 00:00:00 GMT"
    server.replies += [Reply(cut=CUT, headers={"ETag": None, "Last-Modified": date})]
    server.always = Reply(headers={"ETag": None, "Last-Modified": date})
    download(server.url, target)
    assert server.requests[1].headers["If-Range"] == date and server.requests[1].start == KEPT
    assert target.read_bytes() == CONTENT


def test_bytes_after_the_length_are_not_read(server, target):
    server.always = Reply(extra=b"x" * 5000)
    download(server.url, target)
    assert target.read_bytes() == CONTENT


def test_a_rest_that_is_too_long(server, target):
    size = begin(server, target)
    headers = {"Content-Range": f"bytes {size}-{len(CONTENT) - 1}/{len(CONTENT)}"}
    server.always = Reply(206, headers, body=CONTENT[size:] + b"xx")
    with pytest.raises(DownloadError, match="sends more than the 300000 bytes"):
        download(server.url, target)
    assert files(target) == []


@pytest.mark.parametrize("value", ["bytes 0-299999/300000", "bytes 7-/300000", "pages 1-2/3", ""])
def test_a_range_that_was_not_asked_for(server, target, value):
    begin(server, target)
    server.always = Reply(206, {"Content-Range": value}, body=CONTENT)
    with pytest.raises(DownloadError, match="asked for the bytes from .* on, got Content-Range"):
        download(server.url, target)
    assert not target.exists()


@pytest.mark.parametrize("total", ["300000", "*"])
def test_a_part_of_the_rest(server, target, total):
    """A server may give less than was asked for; the remainder is asked for in turn."""
    size = begin(server, target)
    middle = {"Content-Range": f"bytes {size}-199999/{total}"}
    server.replies.append(Reply(206, middle, body=CONTENT[size:200_000]))
    download(server.url, target)
    assert [request.start for request in server.requests] == [size, 200_000] and target.read_bytes() == CONTENT


def test_chunks_without_a_length(server, target):
    server.replies.append(Reply(chunked=True, cut=200_000))
    server.always = Reply(chunked=True)
    download(server.url, target)
    assert target.read_bytes() == CONTENT and len(server.requests) == 2


@pytest.mark.parametrize("status", [401, 403, 404, 410, 451])
def test_a_dead_url_is_not_tried_again(server, target, waits, status):
    server.always = Reply(status)
    with pytest.raises(DeadURLError, match=f"file.pkl: the server answers {status}"):
        download(server.url, target)
    assert len(server.requests) == 1 and waits == [] and files(target) == []


@pytest.mark.parametrize("reply", [Reply(500), Reply(503), Reply(408), Reply(429, {"Retry-After": "soon"})])
def test_a_busy_server_is_tried_again(server, target, waits, reply):
    server.replies += [reply, reply]
    module.download(server.url, target, backoff=0.25)
    assert target.read_bytes() == CONTENT and waits == [0.25, 0.5]


def test_retry_after_is_honoured(server, target, waits):
    later = datetime.now(timezone.utc) + timedelta(seconds=60)
    past = later - timedelta(days=1)
    server.replies += [Reply(429, {"Retry-After": "7"})]
    server.replies += [Reply(503, {"Retry-After": format_datetime(when)}) for when in (later, past)]
    download(server.url, target)
    assert waits[0] == 7 and 50 < waits[1] <= 60 and waits[2] == 0


def test_a_long_wait_is_left_to_the_user(server, target, waits):
    server.always = Reply(429, {"Retry-After": "3600"})
    with pytest.raises(DownloadError, match="429 .*; it asks to wait 3600 s"):
        download(server.url, target)
    assert len(server.requests) == 1 and waits == []


def test_a_server_that_stays_broken(server, target):
    server.always = Reply(500)
    with pytest.raises(DownloadError, match="answers 500 Internal Server Error; gave up after 3 attempts"):
        download(server.url, target, retries=2)
    assert len(server.requests) == 3


@pytest.mark.parametrize("reply", [Reply(pause=0.6), Reply(cut=CUT, then=lambda: time.sleep(0.6))])
def test_a_silent_server(server, target, reply):
    server.always = reply
    with pytest.raises(DownloadError, match="the server is silent; gave up after one attempt"):
        download(server.url, target, timeout=(0.2, 0.2), retries=0)
    server.always = Reply()
    download(server.url, target)
    assert target.read_bytes() == CONTENT


def test_nobody_listens(target, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(b"") as server:
        url = server.url
    with pytest.raises(DownloadError, match="no connection: .*refused.*gave up after 2 attempts"):
        download(url, target, retries=1)


def test_a_chain_of_redirects(server, target):
    server.replies += [Reply(301, {"Location": "/a"}), Reply(302, {"Location": server.url}), Reply(cut=CUT)]
    server.replies += [Reply(307, {"Location": "b/c"}), Reply(308, {"Location": "../d"})]
    download(server.url, target)
    assert target.read_bytes() == CONTENT
    paths = [request.path for request in server.requests]
    assert paths == ["/file.pkl", "/a", "/file.pkl", "/file.pkl", "/b/c", "/d"]
    assert [request.start for request in server.requests[3:]] == [KEPT] * 3  # every hop is asked for the rest


def test_a_loop_of_redirects(server, target):
    server.always = Reply(302, {"Location": server.url})
    with pytest.raises(DownloadError, match="more than 10 redirects"):
        download(server.url, target)
    assert len(server.requests) == 11


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/x", "javascript:1", "data:text/plain,x"])
def test_a_redirect_out_of_the_web(server, target, place):
    server.always = Reply(302, {"Location": place})
    with pytest.raises(DownloadError, match=f"only http and https are fetched, got {place}"):
        download(server.url, target)
    assert len(server.requests) == 1 and not target.exists()


def test_a_redirect_to_nowhere(server, target):
    server.always = Reply(302)
    with pytest.raises(DownloadError, match=r"a redirect \(302\) to nowhere"):
        download(server.url, target)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "net.pkl", ""])
def test_only_the_web(target, url):
    with pytest.raises(DownloadError, match="only http and https"):
        download(url, target)
    assert not target.parent.exists()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(headers={"Content-Type": "text/html; charset=utf-8"}),
        Reply(body=b"\n <!DOCTYPE html><title>Sign in</title>"),
        Reply(body=b"<HTML><body>quota exceeded"),
    ],
)
def test_a_web_page_in_place_of_the_file(server, target, reply):
    server.always = reply
    with pytest.raises(DeadURLError, match="a web page came"):
        download(server.url, target)
    assert len(server.requests) == 1 and files(target) == []


@pytest.mark.parametrize(
    "reply, words",
    [
        (Reply(204), "answers 204 No Content, 200 was expected"),
        (Reply(206, body=b"x"), "answers 206 Partial Content, 200 was expected"),
        (Reply(body=b""), "the file is empty"),
        (Reply(headers={"Content-Encoding": "gzip"}), "came as 'gzip'"),
        (Reply(headers={"Content-Length": "many"}), "Content-Length must be a number, got 'many'"),
        (Reply(headers={"Content-Length": "-1"}), "Content-Length must be a number"),
    ],
)
def test_answers_that_are_no_file(server, target, reply, words):
    server.always = reply
    with pytest.raises(DownloadError, match=words):
        download(server.url, target)
    assert len(server.requests) == 1 and not target.exists()


def test_a_file_that_is_too_large(server, target):
    with pytest.raises(DownloadError, match="the file has 0.3 MB, at most 0.1 MB are taken"):
        download(server.url, target, max_bytes=100_000)
    server.always = Reply(chunked=True)
    with pytest.raises(DownloadError, match="sends more than the 100000 bytes"):
        download(server.url, target, max_bytes=100_000)
    assert files(target) == []


def test_no_room(server, target, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: usage(10**9, 0, 500_000))
    with pytest.raises(DownloadError, match="0.8 MB must be free on that disk, 0.5 MB are"):
        download(server.url, target, spare=500_000)
    assert files(target) == []
    size = begin(server, target)
    download(server.url, target, spare=500_000 - (len(CONTENT) - size))  # only the rest has to fit
    assert target.read_bytes() == CONTENT


def test_the_disk_fills_up(server, target, monkeypatch):
    class Full:
        def __init__(self, *args):
            self.file, self.room = open(*args), 100_000  # noqa: SIM115 - `__exit__` closes it

        def write(self, data):
            self.file.write(data[: self.room])
            if len(data) > self.room:
                raise OSError(28, "No space left on device")
            self.room -= len(data)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

    monkeypatch.setattr(module, "open", Full, raising=False)
    with pytest.raises(DownloadError, match=r"net.pkl.part: .*No space left on device. 0.1 MB are kept"):
        download(server.url, target)
    monkeypatch.undo()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    download(server.url, target)
    assert target.read_bytes() == CONTENT and server.requests[-1].start == 100_000


def test_a_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match="net.pkl.part: .*Nothing has been kept"):
        download(server.url, tmp_path / "file" / "net.pkl")
    assert server.requests == []


def test_discarding(server, target):
    begin(server, target)
    discard_part(target)
    assert files(target) == []
    discard_part(target)


def test_the_lock_is_for_one(tmp_path):
    path = tmp_path / "cache" / "net.lock"
    with locked(path):
        other = f"from stylemixseg._util.download import locked\nwith locked({str(path)!r}): print('mine')"
        done = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True)
        assert done.returncode == 1 and f"another process is at it (it holds {path})" in done.stderr
    with locked(path):  # free again
        pass


def test_a_dead_process_holds_no_lock(tmp_path):
    path = tmp_path / "net.lock"
    code = (
        f"import os\nfrom stylemixseg._util.download import locked\nwith locked({str(path)!r}): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    with locked(path):
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "certificate.pem"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no certificate can be made here: openssl: {error}")
    return str(folder / "certificate.pem"), str(folder / "key.pem")


def test_certificates_are_checked(server, target, certificate, monkeypatch):
    server.use_tls(*certificate)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, "")
    with pytest.raises(DownloadError, match="certificate cannot be trusted") as caught:
        download(server.url, target)
    assert not isinstance(caught.value, DeadURLError) and server.requests == []
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate[0])
    download(server.url, target)
    assert target.read_bytes() == CONTENT


def test_https_never_becomes_http(server, target, certificate, monkeypatch):
    server.use_tls(*certificate)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate[0])
    with serving(CONTENT) as plain:
        server.always = Reply(302, {"Location": plain.url})
        with pytest.raises(DownloadError, match="a redirect from https to http is not followed"):
            download(server.url, target)
        assert plain.requests == [] and not target.exists()
        plain.replies.append(Reply(302, {"Location": server.url}))
        server.always = Reply()
        download(plain.url, target)
    assert target.read_bytes() == CONTENT


def test_importing_it_is_quick():
    """The command line imports it for every generator."""
    code = "import sys, stylemixseg._util.download; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ}).returncode == 0
