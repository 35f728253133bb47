"""Web servers in a thread: of one file, served well or as badly as a test asks, and of a folder."""

from __future__ import annotations

import functools
import re
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Reply:
    """How one request is answered; what is not given is done as a good server does it.

    Attributes:
        status: in place of 200 or 206; the body is then empty unless `body` is given.
        headers: added to the answer, or in place of its own; None leaves one out.
        body: in place of the file.
        cut: close the connection after so many bytes of the body.
        extra: bytes sent after the body.
        ranges: whether a `Range` is honoured.
        chunked: send the body in chunks, without its length.
        pause: seconds of silence before the answer.
        then: called after `cut` bytes, before the connection is closed.
    """

    status: int | None = None
    headers: dict[str, str | None] = field(default_factory=dict)
    body: bytes | None = None
    cut: int | None = None
    extra: bytes = b""
    ranges: bool = True
    chunked: bool = False
    pause: float = 0
    then: Callable[[], None] | None = None


@dataclass
class Request:
    """What came, and how many bytes of body were sent back."""

    path: str
    headers: dict[str, str]
    sent: int = 0

    @property
    def start(self) -> int:
        """First byte that was asked for."""
        return int(re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))[1])


class FileServer(ThreadingHTTPServer):
    """Serves `content` at every path; `replies` are used up one a request, then `always` answers."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, content: bytes):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content, self.etag, self.always = content, '"v1"', Reply()
        self.replies: deque[Reply] = deque()
        self.requests: list[Request] = []
        self.scheme = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}/file.pkl"

    def use_tls(self, certificate: str, key: str) -> None:
        """From now on https."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.scheme = "https"

    def handle_error(self, request, client_address) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server: FileServer = self.server
        self.close_connection = True
        request = Request(self.path, dict(self.headers.items()))
        server.requests.append(request)
        reply = server.replies.popleft() if server.replies else server.always
        if reply.pause:
            time.sleep(reply.pause)
        whole = server.content if reply.body is None else reply.body
        start, same = request.start, self.headers.get("If-Range", server.etag) == server.etag
        if start and reply.ranges and same and reply.status is None:
            status, body = (206, whole[start:]) if start < len(whole) else (416, b"")
        else:
            status, body = reply.status or 200, whole if reply.status in (None, 200) or reply.body is not None else b""
        headers = {"ETag": server.etag, "Content-Length": str(len(body)), "Content-Type": "application/octet-stream"}
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
        if reply.chunked:
            headers |= {"Content-Length": None, "Transfer-Encoding": "chunked"}
        self.send_response(status)
        for key, value in (headers | reply.headers).items():
            if value is not None:
                self.send_header(key, value)
        self.end_headers()
        data = body[: reply.cut] + (reply.extra if reply.cut is None else b"")
        request.sent = len(data)
        if reply.chunked:
            for i in range(0, len(data), 1000):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data[i : i + 1000]), data[i : i + 1000]))
            self.wfile.write(b"0\r\n\r\n" if reply.cut is None else b"")
        else:
            self.wfile.write(data)
        self.wfile.flush()
        if reply.then:
            reply.then()

    def log_message(self, *args) -> None:
        pass


@contextmanager
def serving(content: bytes) -> Iterator[FileServer]:
    """A server of `content` for the length of the block."""
    server = FileServer(content)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Address of a folder on a free port of this machine, for the length of the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
