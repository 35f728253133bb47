"""A stop that loses nothing: asked for by Ctrl-C, by the system, or by the clock."""

from __future__ import annotations

import signal
import time


class Stopping:
    """`asked` becomes true at the first SIGINT or SIGTERM, or when `minutes` are over; a second signal stops at once.

    A context: outside of it signals do what they did before.

    Args:
        minutes: from now on; None: no limit.
    """

    def __init__(self, minutes: float | None = None):
        self._signalled = False
        self._end = None if minutes is None else time.monotonic() + 60 * minutes

    def __enter__(self) -> Stopping:
        self._before = {number: signal.signal(number, self._take) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def asked(self) -> bool:
        return self._signalled or (self._end is not None and time.monotonic() >= self._end)

    def _take(self, *_) -> None:
        if self._signalled:
            raise KeyboardInterrupt
        self._signalled = True
        print("\nstopping after this step; the same command goes on")
