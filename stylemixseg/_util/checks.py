"""Argument checks whose messages name the argument, what it got and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike


def check_int(name: str, value: object, low: int, high: int | None = None) -> int:
    """Return `value` as int when it is a whole number in low..high (both included).

    Raises:
        TypeError: not a whole number (bool included).
        ValueError: out of range.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    number = int(value)
    if number < low or (high is not None and number > high):
        allowed = f"at least {low}" if high is None else f"in {low}..{high}"
        raise ValueError(f"{name} must be {allowed}, got {value}")
    return number


def check_view_side(name: str, value: object) -> int:
    """Return `value` as int when it can be the side of views in pixels: at least 33, a multiple of 16, plus 1.

    The networks halve an image four times, and with such a side the corner pixels of all levels lie on each other.

    Raises:
        TypeError: not a whole number.
        ValueError: another number.
    """
    side = check_int(name, value, 33)
    if side % 16 != 1:
        raise ValueError(f"{name} must be a multiple of 16, plus 1, got {side}")
    return side


def check_real(name: str, value: object, low: float, high: float) -> float:
    """Return `value` as float when it is a number in low..high (both included)."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if value < low or not value <= high:  # NaN is not at most anything
        raise ValueError(f"{name} must be in {low}..{high}, got {value}")
    return float(value)


def suggest(name: str, choices: Iterable[str]) -> str:
    """' Did you mean ...?' with the nearest of `choices`, or the whole list when none is near."""
    choices = list(choices)
    near = difflib.get_close_matches(str(name), choices, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else f"choose from {', '.join(choices)}"


def check_choice(name: str, value, choices: Iterable[str]) -> str:
    """Return `value` when it is one of `choices`; the error suggests the nearest names."""
    choices = list(choices)
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}; {suggest(value, choices)}")
    return value


def check_mask(name: str, mask: ArrayLike) -> np.ndarray:
    """Return a binary mask `(H, W)` as a bool array; 0/1 integers are accepted, anything else is not."""
    array = np.asarray(mask)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name} must have shape (H, W) with H, W >= 1, got {array.shape}")
    if array.dtype == bool:
        return array
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be bool or integers 0 and 1, got {array.dtype}")
    if not np.isin(array, (0, 1)).all():
        raise ValueError(f"{name} must hold only 0 and 1, got values up to {array.max()} (for 0/255 use mask > 127)")
    return array.astype(bool)


def check_image(name: str, image: ArrayLike) -> np.ndarray:
    """Return an image `(H, W, 3)` uint8, or raise saying what was got."""
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise ValueError(f"{name} must be (H, W, 3) uint8, got {array.shape} {array.dtype}")
    return array
