"""What every way to invert a generator takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Inversion:
    """Latents whose images resemble the given photos.

    Attributes:
        ws: latents (N, num_ws, w_dim), one a photo.
        steps: the latents on the way, each (N, num_ws, w_dim): the start first, `ws` last.
        seconds: wall time of the whole batch.
        method: what made it and in how many steps, in words ("encoder, 3 refinements").
    """

    ws: Tensor
    steps: tuple[Tensor, ...]
    seconds: float
    method: str


@runtime_checkable
class Inverter(Protocol):
    """Anything that inverts photos in the generator's frame."""

    def __call__(self, photos: Tensor, progress: bool = False) -> Inversion:
        """photos (N, 3, S, S) in [-1, 1], any S -> their inversion."""
        ...
