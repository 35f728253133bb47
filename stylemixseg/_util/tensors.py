"""Checks of devices and tensors; apart from `checks`, because they import PyTorch, which takes a second."""

from __future__ import annotations

import torch


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


def check_latents(name: str, ws: torch.Tensor, num_ws: int | str, w_dim: int | str) -> torch.Tensor:
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
