"""Packages that only some users need: where one is missing, the error names the extra that brings it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def extra(name: str, need: str) -> Iterator[None]:
    """Import packages of one extra inside the block.

    A module that is only for users of the extra may do so at its top. Any other one imports inside the function that
    needs the package, so that everything else works without it.

    Args:
        name: of the extra, as in pyproject.toml.
        need: what needs which package, for the message: "GrabCut needs OpenCV".

    Raises:
        ModuleNotFoundError: a package is missing; says how to install the extra.

    Examples:
        >>> with extra("photos", "GrabCut needs OpenCV"):
        ...     import no_such_package
        Traceback (most recent call last):
        ModuleNotFoundError: GrabCut needs OpenCV, which is not installed: pip install 'stylemixseg[photos]'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{need}, which is not installed: pip install 'stylemixseg[{name}]'", name=error.name
        ) from error
