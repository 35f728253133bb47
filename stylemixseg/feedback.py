"""Feedback on an answer to an exercise: what was got, what would be right, and what to look at.

The check cells of the book's exercises call `expect`. A wrong answer ends with an `AssertionError` whose message a
student can act on, so a notebook that was downloaded teaches without a teacher.
"""

from __future__ import annotations

from typing import NoReturn

import numpy as np
from numpy.typing import ArrayLike

_SHOWN = 12  # an array with at most this many entries is printed whole


def expect(call: str, got: object, right: ArrayLike, hint: str, *, tolerance: float = 0.0) -> None:
    """Compare an answer with the right one.

    Args:
        call: the call that gave the answer, as a student would write it, such as "rule(labels, 3)".
        got: what the student's function returned: a number, a truth value, an array or a tensor.
        right: what it should have returned, of the right shape.
        hint: what to look at when the two differ: a sentence.
        tolerance: largest absolute difference of numbers that still counts as equal, at least 0.

    Raises:
        AssertionError: the answer is missing, or its shape, kind or values are not the right ones. The message says
            which, and ends with the hint.

    Examples:
        >>> expect("double(2)", 4, 4, "multiply by two")
        >>> expect("double(2)", 5, 4, "multiply by two")
        Traceback (most recent call last):
        AssertionError: double(2) is not right yet.
          got:      5
          right:    4
          look at:  multiply by two
    """
    wanted = np.asarray(right)
    if got is None:
        _wrong(call, "None, as of a function without `return`", _described(wanted), hint)
    try:
        found = np.asarray(got)
    except (TypeError, ValueError, RuntimeError):  # a ragged list, or a tensor that needs its gradient
        _wrong(call, f"a {type(got).__name__} that is no array", _described(wanted), hint)
    if found.shape != wanted.shape:
        _wrong(call, _described(found), _described(wanted), hint)
    if (found.dtype == bool) != (wanted.dtype == bool):
        _wrong(call, f"values of type {found.dtype}", f"values of type {wanted.dtype}", hint)
    if wanted.dtype.kind not in "biuf":  # words
        differs = found != wanted
    elif found.dtype.kind not in "biuf":
        _wrong(call, f"values of type {found.dtype}", "numbers", hint)
    else:
        # NaN differs from everything, so an answer with NaN is wrong.
        differs = ~(np.abs(found.astype(np.float64) - wanted.astype(np.float64)) <= tolerance)
    if not differs.any():
        return
    if wanted.size <= _SHOWN:
        _wrong(call, _plain(found), _plain(wanted), hint)
    place = tuple(int(i) for i in np.argwhere(differs)[0])
    at = f"at [{', '.join(map(str, place))}] ({differs.mean():.1%} of the entries differ)"
    _wrong(call, f"{_plain(found[place])} {at}", _plain(wanted[place]), hint)


def _wrong(call: str, got: str, right: str, hint: str) -> NoReturn:
    raise AssertionError(
        f"{call} is not right yet.\n  got:      {got}\n  right:    {right}\n  look at:  {hint}"
    ) from None


def _described(array: np.ndarray) -> str:
    """An array by its shape; a single value by itself."""
    return f"shape {array.shape}" if array.ndim else _plain(array)


def _plain(array: np.ndarray) -> str:
    return str(np.round(array, 4).tolist() if array.dtype.kind == "f" else array.tolist())
