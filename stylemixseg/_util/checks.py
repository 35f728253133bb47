"""Argument checks whose messages name the argument, what it got and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from numbers import Integral, Real

import numpy as np
import torch


def check_int(name: str, value, low: int, high: int | None = None) -> int:
    """Return `value` as int when it is a whole number in low..high (both included).

    Raises:
        TypeError: not a whole number (bool included).
        ValueError: out of range.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < low or (high is not None and value > high):
        allowed = f"at least {low}" if high is None else f"in {low}..{high}"
        raise ValueError(f"{name} must be {allowed}, got {value}")
    return int(value)


def check_real(name: str, value, low: float, high: float) -> float:
    """Return `value` as float when it is a number in low..high (both included)."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not low <= value <= high:  # False for NaN as well
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


def parse_device(name: str, value: str | torch.device) -> torch.device:
    """The device that is meant, whether or not this machine has it; "cpu:0" is "cpu".

    Raises:
        TypeError: neither text nor a torch.device.
        ValueError: no name of a device that computes.
    """
    if not isinstance(value, str | torch.device):
        raise TypeError(f"{name} must be text such as 'cpu', 'cuda' or 'cuda:1', or a torch.device, got {value!r}")
    try:
        device = torch.device(value)
    except RuntimeError as error:
        raise _unusable(name, value, error) from error
    if device.type == "meta":
        raise _unusable(name, value, "it holds shapes and no numbers")
    if device.type == "cpu":  # all cores are one device
        if device.index:
            raise _unusable(name, value, "there is one, 'cpu'")
        return torch.device("cpu")
    return device


def check_device(name: str, value: str | torch.device) -> str:
    """Return the name of a device, "cpu", "cuda", "cuda:1", ..., when PyTorch can use it here.

    One device has one name ("cpu:0" becomes "cpu"), so that names can be compared.

    Raises:
        TypeError: neither text nor a torch.device.
        ValueError: no such device, or none that works here.
    """
    device = parse_device(name, value)
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # no driver, a CPU build, fewer GPUs
        raise _unusable(name, value, error) from error
    return str(device)


def _unusable(name: str, value, reason: Exception | str) -> ValueError:
    reason = str(reason).splitlines()[0]
    return ValueError(f"{name} must be a device that PyTorch can use here, got {str(value)!r}: {reason}")


def check_latents(name: str, ws: torch.Tensor, num_ws: int, w_dim: int) -> torch.Tensor:
    """Return layered latents `ws (N, num_ws, w_dim)` when shape, type and values are right.

    Raises:
        TypeError: not a floating-point tensor.
        ValueError: wrong shape, NaN or infinity.
    """
    if not isinstance(ws, torch.Tensor) or not ws.is_floating_point():
        raise TypeError(f"{name} must be a floating-point torch.Tensor, got {type(ws).__name__}")
    if ws.ndim != 3 or ws.shape[0] < 1 or tuple(ws.shape[1:]) != (num_ws, w_dim):
        raise ValueError(f"{name} must have shape (N, {num_ws}, {w_dim}) with N >= 1, got {tuple(ws.shape)}")
    if not torch.isfinite(ws).all():
        raise ValueError(f"{name} must be finite, got NaN or infinite values")
    return ws


def fit_latents(name: str, ws: torch.Tensor, generator) -> torch.Tensor:
    """Layered latents of any floating type and device as the generator computes: with the type and device of its w_avg.

    Gradients pass through.

    Raises:
        TypeError, ValueError: see `check_latents`; a value that its type cannot hold (infinite there).
    """
    check_latents(name, ws, generator.num_ws, generator.w_dim)
    return check_latents(name, ws.to(generator.w_avg), generator.num_ws, generator.w_dim)


def check_mask(name: str, mask) -> np.ndarray:
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


def check_image(name: str, image) -> np.ndarray:
    """Return an image `(H, W, 3)` uint8, or raise saying what was got."""
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise ValueError(f"{name} must be (H, W, 3) uint8, got {array.shape} {array.dtype}")
    return array
