"""Is a confidence a probability? Of the pixels that get 0.8, 80 % should be foreground.

The expected calibration error of Guo et al. 2017 (https://arxiv.org/abs/1706.04599), with probabilities in equal bins.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

BINS = 15  # as Guo et al.


@dataclass(frozen=True, eq=False)
class Calibration:
    """Pixels counted by the probability that they got.

    Attributes:
        pixels: in each bin, (15,). said: sum of their probabilities. true: how many of them are foreground.
    """

    pixels: np.ndarray
    said: np.ndarray
    true: np.ndarray

    @classmethod
    def of(cls, probability: np.ndarray, truth: np.ndarray) -> Calibration:
        """Of one image: probabilities (H, W) in 0..1 of foreground, and the reference (H, W) bool."""
        place = (probability.ravel() * BINS).astype(int).clip(0, BINS - 1)
        counted = [np.bincount(place, weights, BINS) for weights in (None, probability.ravel(), truth.ravel())]
        return cls(*(np.asarray(values, float) for values in counted))

    @classmethod
    def together(cls, images: Iterable[dict[str, list[float]]]) -> Calibration:
        """Of many images, each as `plain` gave it."""
        images = list(images)
        return cls(*(np.sum([item[name] for item in images], axis=0) for name in ("pixels", "said", "true")))

    def plain(self) -> dict[str, list[float]]:
        """As plain values for a JSON file."""
        return {name: getattr(self, name).tolist() for name in ("pixels", "said", "true")}

    @property
    def curve(self) -> list[tuple[float, float]]:
        """The reliability diagram: (share that is foreground, mean probability), one for each bin that holds pixels."""
        filled = self.pixels > 0
        share, said = self.true[filled] / self.pixels[filled], self.said[filled] / self.pixels[filled]
        return list(zip(share.tolist(), said.tolist(), strict=True))

    @property
    def error(self) -> float:
        """Expected calibration error in 0..1: mean distance of the two, weighted by pixels."""
        return float(np.abs(self.true - self.said).sum() / self.pixels.sum())
