"""What a command prints must not decide about its work: streams that cannot fail while the work goes on.

A name may hold characters that a terminal's encoding does not know, the reader of a pipe may leave (`| head`), and the
disk that a log is written to may be full. Each of these makes `print` raise in the middle of work that has nothing to
do with it. Inside `unfailing_streams` such characters are written as escapes, and after any other failure the rest of
that stream's text is dropped; `finish` says at the end what could not be printed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO


class UnfailingStream:
    """A text stream whose `write` and `flush` never raise; everything else is the stream's own.

    Args:
        stream: the stream, or None where there is none (a closed standard output is None): then text goes nowhere.

    Attributes:
        failure: the first error of the stream, after which its text is dropped; None so far.
    """

    def __init__(self, stream: TextIO | None):
        # Open until the process ends, as the standard stream in whose place it stands.
        self._stream = open(os.devnull, "w") if stream is None else stream  # noqa: SIM115
        self.failure: Exception | None = None

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        if self.failure is None:
            try:
                self._write(text)
            except (OSError, ValueError) as error:  # ValueError: the stream is closed
                self.failure = error
        return len(text)

    def flush(self) -> None:
        if self.failure is None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self.failure = error

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except UnicodeEncodeError:
            encoding = getattr(self._stream, "encoding", None) or "ascii"
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def finish(self) -> None:
        """Write what is left; after a failure nothing more, where the interpreter would try once more as it exits."""
        self.flush()
        if self.failure is not None:
            with suppress(OSError, ValueError, AttributeError), open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())  # raises where a stream has no descriptor of its own


@contextmanager
def unfailing_streams() -> Iterator[tuple[UnfailingStream, UnfailingStream]]:
    """Standard output and standard error as `UnfailingStream`, for the time of the block."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err = UnfailingStream(before[0]), UnfailingStream(before[1])
    try:
        yield out, err
    finally:
        out.finish()
        err.finish()
        sys.stdout, sys.stderr = before


def unprinted(stream: UnfailingStream) -> str | None:
    """Why a command's text is not whole, in words; None where it is, or where its reader has left (`| head`)."""
    stream.flush()
    if stream.failure is None or isinstance(stream.failure, BrokenPipeError):
        return None
    return f"what was printed is not whole ({stream.failure}); all else was done"
