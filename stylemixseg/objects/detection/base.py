"""The detector protocol: an image and phrases in, boxes out. The method needs nothing else of a detector.

A detector is a supervised network, or somebody's boxes. "Network-free" is said of the masking only: what a box holds is
then separated from its surroundings without labels and without another network (section 3.3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True)
class Detection:
    """One box.

    Attributes:
        box: (x0, y0, x1, y1) in pixels, floats; x0 <= x < x1 and y0 <= y < y1 are inside, so the pixel in the top left
            corner alone is (0, 0, 1, 1). It may reach out of the image.
        label: the phrase that it was asked for.
        score: confidence in 0..1.

    Raises:
        TypeError: a box that is not four numbers, a label that is not text.
        ValueError: NaN or infinity, swapped corners, no area, an empty label, a score outside 0..1.

    Examples:
        >>> Detection((10, 20, 50, 40), "sofa", score=0.8).area
        800.0
    """

    box: tuple[float, float, float, float]
    label: str
    score: float = 1.0

    def __post_init__(self) -> None:
        try:
            values = tuple(self.box)
        except TypeError:
            values = ()
        if len(values) != 4 or not all(isinstance(v, Real) and not isinstance(v, bool) for v in values):
            raise TypeError(f"box must be four numbers (x0, y0, x1, y1), got {self.box!r}")
        try:
            values = tuple(float(value) for value in values)
        except OverflowError:  # a whole number that no float can hold
            values = (math.inf,) * 4
        if not all(map(math.isfinite, values)):
            raise ValueError(f"box must be finite, got {values}")
        x0, y0, x1, y1 = values
        if x1 < x0 or y1 < y0:
            raise ValueError(
                f"box must be (x0, y0, x1, y1) with x0 < x1 and y0 < y1, got {values}: corners are swapped"
            )
        if x1 == x0 or y1 == y0:
            raise ValueError(f"box must have an area, got {values}")
        object.__setattr__(self, "box", values)
        if not isinstance(self.label, str):
            raise TypeError(f"label must be text, got {self.label!r}")
        if not self.label.strip():
            raise ValueError("label must not be empty")
        if isinstance(self.score, bool) or not isinstance(self.score, Real):
            raise TypeError(f"score must be a number, got {self.score!r}")
        if not 0 <= self.score <= 1:  # False for NaN as well
            raise ValueError(f"score must be in 0..1, got {self.score}")
        object.__setattr__(self, "score", float(self.score))

    @property
    def area(self) -> float:
        """In square pixels."""
        x0, y0, x1, y1 = self.box
        return (x1 - x0) * (y1 - y0)


@runtime_checkable
class Detector(Protocol):
    """Anything that finds boxes for phrases.

    Attributes:
        name: short name, for records.
    """

    @property
    def name(self) -> str:
        """Short name, for records."""
        ...

    def __call__(self, image: np.ndarray, phrases: Sequence[str]) -> list[Detection]:
        """Boxes of the phrases in `image` (H, W, 3) uint8, in its pixels, in any order; none is an empty list.

        Every label is one of `phrases`.
        """
        ...


def shared_areas(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Area that one box (4,) shares with each of many (N, 4), (N,) in square pixels."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])  # (N, 2)
    return sides.clip(0).prod(axis=1)


def box_iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1), in 0..1."""
    shared = float(shared_areas(np.asarray(a, float), np.asarray([b], float))[0])
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return shared / (areas - shared)
