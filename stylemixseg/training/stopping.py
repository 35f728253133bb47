"""A stop that loses nothing: asked for by Ctrl-C, by the system, or by the clock."""

from __future__ import annotations

import signal
import time

from stylemixseg._util.checks import check_real


class Stopping:
    """`asked` becomes true at the first SIGINT or SIGTERM, or when `minutes` are over; a second signal stops at once.

    It is a context: outside of it, signals do what they did before. Enter it in the main thread, the only one in which
    Python allows handlers of signals to be set.

    Args:
        minutes: the time budget from now on, 0 or more; None: no limit.

    Raises:
        ValueError, TypeError: `minutes` is no number from 0 on.
    """

    def __init__(self, minutes: float | None = None):
        self._signalled = False
        self._end = None if minutes is None else time.monotonic() + 60 * check_real("minutes", minutes, 0, 1e9)

    def __enter__(self) -> Stopping:
        self._before = {number: signal.signal(number, self._take) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def asked(self) -> bool:
        """Whether to stop after the current step."""
        return self._signalled or (self._end is not None and time.monotonic() >= self._end)

    def _take(self, *_: object) -> None:
        if self._signalled:
            raise KeyboardInterrupt
        self._signalled = True
        print("\nstopping after this step; the same command goes on")
