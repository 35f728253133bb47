"""A judge of pixels that needs no fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class BrightJudge:
    """Calls pixels foreground whose mean lightness over eight styles is above the middle.

    Attributes:
        doubt: lightness for each unit of log-odds; the larger, the less sure it is.
    """

    name = "bright"
    edges = 0.0
    entries: int = 24
    doubt: float = 1.0
    middle: float = 50.0

    def score(self, summary):
        mean = np.asarray(summary.project(np.tile([1, 0, 0], 8).astype(np.float32))) / 8
        return (mean - self.middle) / self.doubt
