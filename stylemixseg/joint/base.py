"""What a judge of pixels is: fitted once over many images of a generator, it then gives every pixel its log-odds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from stylemixseg.summary import StyleSummary


@runtime_checkable
class PixelJudge(Protocol):
    """Says of every pixel how likely it is foreground, from its row of X_s and perhaps its place in the image.

    Attributes:
        name: short name, for records and messages.
    """

    name: ClassVar[str]

    @property
    def edges(self) -> float:
        """Radius, as a share of the side, within which an outline is moved to the query image's edges; 0: it is not."""
        ...

    @property
    def entries(self) -> int:
        """Of a row of X_s that it was fitted for, 3n."""
        ...

    def without_edges(self) -> PixelJudge:
        """The same judge for where the query image is not at hand, or where its edges are not those that count."""
        ...

    def score(self, summary: np.ndarray | StyleSummary) -> np.ndarray:
        """Log-odds (h, w) float32 of foreground, above 0 foreground; h and w may be multiples of those of X_s.

        Raises:
            ValueError: X_s of another number of styles.
        """
        ...


class NoJudgeError(ValueError):
    """No judge was fitted for this generator, n and settings; the message says for what there is one."""


def differences(wanted: Mapping[str, object], fitted: Mapping[str, object]) -> str:
    """In which of the settings that something was fitted for others are wanted, in words; empty where in none."""
    return "; ".join(
        f"{name} {wanted[name]}, fitted for {value}" for name, value in fitted.items() if wanted[name] != value
    )


def soft_mask(score: np.ndarray) -> np.ndarray:
    """Log-odds -> probability in 0..1."""
    return 1 / (1 + np.exp(-score.clip(-30, 30)))


def centred(rows: np.ndarray) -> np.ndarray:
    """Rows (P, 3n) of X_s less each pixel's mean over the styles, channel by channel."""
    colors = rows.reshape(len(rows), rows.shape[1] // 3, 3)
    return (colors - colors.mean(1, keepdims=True)).reshape(rows.shape)
