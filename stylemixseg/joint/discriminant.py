"""A foreground rule for pixels, learnt from the method's own masks: no labels, no other network. Ours, not the paper's.

One set of style latents serves all queries, so an entry of the style summary tensor means the same in every image: how
bright or how red a pixel becomes under style j. The paper's rules look at one image at a time, and on some they take a
cluster for the wrong side. Over many synthetic images such mistakes differ, and what is right repeats. So:

1. Segment synthetic images with both of the paper's rules, saliency and corner minority.
2. Keep the pixels on which the two agree, and take them for labelled.
3. Fit Fisher's linear discriminant (Fisher 1936, https://doi.org/10.1111/j.1469-1809.1936.tb02137.x) to their rows of
   the style summary tensor, centred over the styles.

What remains is one number for each entry of X_s and a constant. Their sum is the log-odds that a pixel is foreground,
both sides taken for equally frequent.
`data_scripts/fit_discriminant.py` fits the one for faces that comes with the package.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from stylemixseg._util.checks import check_real
from stylemixseg.generators.base import Generator
from stylemixseg.joint.base import NoJudgeError, centred, differences
from stylemixseg.settings import SegmenterConfig
from stylemixseg.summary import StyleSummary, as_summary

WEIGHTS_FILE = Path(__file__).parents[1] / "models" / "weights" / "faces_discriminant.json"
SHRINKAGE = 0.01  # of the covariance towards a sphere of the same size


@dataclass(frozen=True, eq=False)
class StyleDiscriminant:
    """Log-odds of foreground as a linear function of a pixel's row of X_s.

    Attributes:
        weights: (3n,) float32; those of one channel sum to zero over the styles, so that a pixel's own mean colour
            does not count.
        bias: a number.
    """

    weights: np.ndarray
    bias: float
    name: ClassVar[str] = "discriminant"
    edges: ClassVar[float] = 0.0

    @property
    def entries(self) -> int:
        """Of a row of X_s, 3n."""
        return len(self.weights)

    @classmethod
    def load(cls, generator: Generator, n: int, settings: dict, path: str | Path = WEIGHTS_FILE) -> StyleDiscriminant:
        """One that was fitted before, for exactly this generator, n and settings.

        Args:
            generator: whose pixels it judges.
            n: number of styles.
            path: the file of fitted discriminants.
            settings: the cutoff, colour space and styles, as in the file.

        Raises:
            FileNotFoundError: no such file.
            NoJudgeError: fitted for something else; the message says for what.
            ValueError: the file is damaged.
        """
        try:
            record = json.loads(Path(path).read_text(encoding="utf-8"))
            fitted = {"generator": record["generator"]["sha256"], **record["settings"]}
            fits = {
                n: cls(np.asarray(fit["weights"], np.float32), float(fit["bias"])) for n, fit in record["fits"].items()
            }
            if wrong := [n for n, fit in fits.items() if fit.weights.shape != (3 * int(n),) or not fit.is_finite()]:
                raise ValueError(f"the fit for n = {wrong[0]} must have {3 * int(wrong[0])} finite weights and a bias")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{path} is not a file of fitted discriminants, or damaged: {error!r}") from error
        wanted = {"generator": generator.digest, **settings}
        if words := differences(wanted, fitted):
            raise NoJudgeError(f"{Path(path).name} does not fit: {words}")
        if str(n) not in fits:
            raise NoJudgeError(f"n must be one of {', '.join(fits)} for {Path(path).name}, got {n}")
        return fits[str(n)]

    def without_edges(self) -> StyleDiscriminant:
        """Itself: it moves no outline to edges."""
        return self

    def is_finite(self) -> bool:
        """Whether weights and bias are numbers, none of them infinite or NaN."""
        return bool(np.isfinite(self.weights).all() and np.isfinite(self.bias))

    def score(self, summary: np.ndarray | StyleSummary) -> np.ndarray:
        """Log-odds (H, W) float32 of foreground; above 0 is foreground.

        Raises:
            ValueError: X_s of another number of styles.
        """
        return as_summary(summary).project(self.weights) + np.float32(self.bias)


def fitted_discriminant(generator: Generator, config: SegmenterConfig) -> StyleDiscriminant | None:
    """The discriminant for a generator and the method's settings; None where none was fitted.

    Raises:
        ValueError: the file of fitted discriminants is damaged.
    """
    settings = {name: getattr(config, name) for name in ("cutoff", "color_space", "style_seed", "style_truncation")}
    try:
        return StyleDiscriminant.load(generator, config.n, settings)
    except NoJudgeError:
        return None


class DiscriminantFit:
    """Collects pixels on which two rules agree, image by image, then fits; only sums are kept.

    Args:
        dimensions: entries of a pixel, 3n.
    """

    def __init__(self, dimensions: int):
        self.count = np.zeros(2)
        self.sums = np.zeros((2, dimensions))
        self.products = np.zeros((dimensions, dimensions))

    def add(self, summary: np.ndarray | StyleSummary, one: np.ndarray, other: np.ndarray) -> None:
        """One image: X_s (H, W, 3n) and the masks (H, W) bool of two rules; where they differ, pixels are left out."""
        summary = as_summary(summary)
        for side, inside in enumerate((~one & ~other, one & other)):
            rows = centred(np.asarray(summary.rows(np.flatnonzero(inside)))).astype(np.float64)
            self.count[side] += len(rows)
            self.sums[side] += rows.sum(0)
            self.products += rows.T @ rows

    def solve(self, shrinkage: float = SHRINKAGE) -> StyleDiscriminant:
        """Fisher's discriminant, the covariance shrunk a little towards a sphere.

        Args:
            shrinkage: above 0 to 1. Without any there is no solution: centred rows do not fill the space.

        Raises:
            ValueError: the rules agreed on no pixel of one side, or shrinkage out of range.
        """
        check_real("shrinkage", shrinkage, 1e-9, 1)
        if not self.count.all():
            raise ValueError(
                f"the rules must agree on pixels of both sides, got {self.count[1]:.0f} of the foreground and "
                f"{self.count[0]:.0f} of the background"
            )
        means = self.sums / self.count[:, None]
        covariance = (self.products - (self.count[:, None] * means).T @ means) / self.count.sum()
        covariance += shrinkage * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        weights = np.linalg.solve(covariance, means[1] - means[0])
        weights = centred(weights[None])[0]  # then rows need not be centred to be scored
        return StyleDiscriminant(weights.astype(np.float32), float(-weights @ means.mean(0)))
