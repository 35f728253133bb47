"""Drive a headless Chromium over its DevTools pipe: no driver, no extra package."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,1000",
    # A page that asks another host gets an error at once, and the request is still recorded.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def find_chromium() -> str | None:
    """Path of Chromium or Chrome, None where there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@dataclass
class Page:
    """One open page: what it asked for, what went wrong on it, and how to act on it."""

    browser: Browser
    session: str
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    loaded: bool = False

    def call(self, method: str, **parameters: Any) -> dict:
        """One DevTools command on this page."""
        return self.browser.call(method, parameters, self.session)

    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression; promises are awaited.

        Raises:
            RuntimeError: the expression threw.
        """
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 20) -> bool:
        """Whether the expression becomes true in time."""
        return self._wait(lambda: bool(self.evaluate(expression)), seconds)

    def wait_for_request(self, url: str, seconds: float = 20) -> bool:
        """Whether the page asks for an address in time. Nothing is evaluated, since the page may be on its way there."""
        return self._wait(lambda: url in self.requests, seconds)

    def open(self, url: str, seconds: float = 60) -> None:
        """Load an address and wait until the page and what it asked for have arrived.

        Raises:
            TimeoutError: the page did not load in time.
        """
        self.call("Page.navigate", url=url)
        if not self._wait(lambda: self.loaded, seconds):
            raise TimeoutError(f"{url} did not load in {seconds} s")

    def _wait(self, done: Callable[[], bool], seconds: float) -> bool:
        """Whether something becomes true in time, while what Chromium says is read."""
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end:
                return False
            self.browser.pump(0.1)
        return True

    def press(self, key: str) -> None:
        """Press and release a key, e.g. "ArrowRight", on what has the focus."""
        codes = {"Tab": 9, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key])

    def record(self, method: str, parameters: dict) -> None:
        """Keep what an event tells about requests and errors."""
        if method == "Page.loadEventFired":
            self.loaded = True
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            text = details.get("exception", {}).get("description", "").partition("\n")[0]
            self.errors.append(f"{details['text']} {text}".strip())
        elif method == "Runtime.consoleAPICalled" and parameters["type"] == "error":
            self.errors.append(" ".join(str(a.get("value", a.get("description"))) for a in parameters["args"]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.errors.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}".strip())


class Browser:
    """A Chromium of our own, with a fresh user folder; a context manager that ends it."""

    def __init__(self, program: str) -> None:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        # Chromium reads commands on descriptor 3 and answers on 4; bash, since dash knows descriptors 0 to 9 only.
        command = ["bash", "-c", f'exec "$@" 3<&{to_read} 4>&{to_write}', "bash", program, *FLAGS]
        command += ["--remote-debugging-pipe", f"--user-data-dir={self._folder.name}", "about:blank"]
        self._process = subprocess.Popen(
            command,
            pass_fds=(to_read, to_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._buffer = b""
        self._answers: dict[int, dict] = {}
        self._pages: dict[str, Page] = {}
        self._number = 0

    @property
    def pid(self) -> int:
        """Of the browser's main process."""
        return self._process.pid

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._write)
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)
        self._folder.cleanup()

    def new_page(self) -> Page:
        """An empty page whose requests and errors are recorded from the start."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Network", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        page.loaded = False
        return page

    def call(
        self, method: str, parameters: dict | None = None, session: str | None = None, seconds: float = 60
    ) -> dict:
        """Send one DevTools command and give its result.

        Raises:
            RuntimeError: Chromium refused the command or ended.
            TimeoutError: no answer in time.
        """
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters or {}}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + seconds
        while number not in self._answers:
            if time.monotonic() > end:
                raise TimeoutError(f"Chromium did not answer {method} in {seconds} s")
            self.pump(1)
        answer = self._answers.pop(number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def pump(self, seconds: float) -> None:
        """Read what Chromium has to say, waiting at most so long for it."""
        if not select.select([self._read], [], [], seconds)[0]:
            return
        block = os.read(self._read, 1 << 20)
        if not block:
            raise RuntimeError("Chromium ended")
        *messages, self._buffer = (self._buffer + block).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self._answers[message["id"]] = message
            elif page := self._pages.get(message.get("sessionId", "")):
                page.record(message["method"], message["params"])
