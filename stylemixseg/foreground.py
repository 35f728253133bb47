"""Foreground rules, section 3.2: which clusters of Y' are the object?

A rule is any callable `rule(labels, k) -> (k,) bool`. The paper gives two: corner minority and saliency.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stylemixseg._util.checks import check_choice, check_int, check_real

CORNERS = ("top-left", "top-right", "bottom-left", "bottom-right")


class ForegroundRule(Protocol):
    """Says which clusters are foreground: labels (H, W) int in 0..k-1 -> (k,) bool, True for foreground."""

    def __call__(self, labels: np.ndarray, k: int) -> np.ndarray:
        """Which of the k clusters in `labels` are foreground, in the order of their numbers."""
        ...


class EmptyMaskWarning(UserWarning):
    """No cluster was taken for foreground."""


class FullMaskWarning(UserWarning):
    """Every cluster was taken for foreground."""


@dataclass(frozen=True)
class CornerMinority:
    """A cluster that holds at least round(theta_corner b^2) of a corner's b x b pixels is background (section 3.2).

    The paper leaves two things open:

    * *Which corners.* It says four; that suits boxes around whole objects. A portrait's shoulders reach the bottom
      corners, and would be thrown away, so the default looks at the top two. Use `corners=CORNERS` for crops.
    * *Pooled or each.* Its threshold, round(theta_corner b^2), may count in each corner or in all of them together.
      Pooled (theta_corner of the pixels of all chosen corners) is the default: one odd corner decides less.

    Both choices, b and theta_corner are the best on development images (data_scripts/choose_rules.py).

    Attributes:
        b: side of the square at each corner: pixels when an int, a fraction of the shorter side when a float below 1.
        theta_corner: share of the square in 0..1 from which a cluster is background.
        corners: which of `CORNERS` to look at.
        pooled: judge all corners together.

    Examples:
        Cluster 0 fills the upper corners, cluster 1 is the thing in the middle.

        >>> labels = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [2, 1, 1, 2]])
        >>> CornerMinority(b=1)(labels, k=3)
        array([False,  True,  True])
        >>> CornerMinority(b=1, corners=CORNERS, pooled=False)(labels, k=3)
        array([False,  True, False])
    """

    b: int | float = 0.0625
    theta_corner: float = 0.5
    corners: tuple[str, ...] = ("top-left", "top-right")
    pooled: bool = True

    def __post_init__(self) -> None:
        check_real("theta_corner", self.theta_corner, 0, 1)
        if not self.corners:
            raise ValueError("corners must name at least one corner, got none")
        for corner in self.corners:
            check_choice("corners", corner, CORNERS)
        if isinstance(self.b, float):
            if not 0 < self.b <= 0.5:
                raise ValueError(f"b as a fraction must be in 0..0.5, got {self.b}")
        else:
            check_int("b", self.b, 1)

    def counts(self, labels: np.ndarray, k: int) -> tuple[np.ndarray, int]:
        """Pixels of each cluster in each chosen corner, (corners, k) int, and the side b in pixels."""
        height, width = _check_labels(labels, k).shape
        b = max(1, round(self.b * min(height, width))) if isinstance(self.b, float) else self.b
        if b > min(height, width):
            raise ValueError(f"b must be at most the shorter side, {min(height, width)} pixels, got {b}")
        rows = {"top": slice(0, b), "bottom": slice(height - b, height)}
        columns = {"left": slice(0, b), "right": slice(width - b, width)}
        squares = [labels[rows[corner.split("-")[0]], columns[corner.split("-")[1]]] for corner in self.corners]
        return np.stack([np.bincount(square.ravel(), minlength=k) for square in squares]), b

    def scores(self, labels: np.ndarray, k: int) -> np.ndarray:
        """Share of a corner that each cluster fills, (k,) in 0..1: of all corners if pooled, else the fullest one."""
        counts, b = self.counts(labels, k)
        shares: np.ndarray = (counts.mean(0) if self.pooled else counts.max(0)) / b**2
        return shares

    def __call__(self, labels: np.ndarray, k: int) -> np.ndarray:
        """Apply the rule: labels (H, W) int in 0..k-1 -> (k,) bool, True for foreground.

        Raises:
            ValueError: labels of another shape or range, or b larger than the image's shorter side.
        """
        counts, b = self.counts(labels, k)
        areas = len(self.corners) * b * b if self.pooled else b * b
        held = counts.sum(0) if self.pooled else counts.max(0)
        # At least one pixel: in a tiny crop the product may round to 0, and then every cluster would be background.
        foreground: np.ndarray = held < max(1, round(self.theta_corner * areas))
        return foreground


@dataclass(frozen=True, eq=False)
class Saliency:
    """A cluster whose mean saliency exceeds theta_saliency is foreground (equation 3).

    Attributes:
        theta_saliency: threshold in 0..1.
        saliency_map: S (H, W) in 0..1 of the cluster map's size; None for a Gaussian heat map, the paper's choice for
            faces. Its widths are not stated there; ours were chosen on development seeds (see the notebook).
        sigma: standard deviations (vertical, horizontal) of the Gaussian, as fractions of height and width.
        center: its peak (vertical, horizontal), likewise; the middle of the image in the paper.

    Examples:
        >>> labels = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [2, 1, 1, 2]])
        >>> Saliency(theta_saliency=0.5)(labels, k=3)
        array([False,  True, False])
        >>> Saliency().scores(labels, k=3).round(2)
        array([0.32, 0.74, 0.14])
    """

    theta_saliency: float = 0.25
    saliency_map: np.ndarray | None = None
    sigma: tuple[float, float] = (0.5, 0.2)
    center: tuple[float, float] = (0.5, 0.5)

    def __post_init__(self) -> None:
        check_real("theta_saliency", self.theta_saliency, 0, 1)
        if len(self.sigma) != 2 or not all(value > 0 for value in self.sigma):
            raise ValueError(f"sigma must be two positive fractions (vertical, horizontal), got {self.sigma}")
        if len(self.center) != 2 or not np.isfinite(self.center).all():
            raise ValueError(f"center must be two fractions (vertical, horizontal), got {self.center}")
        if self.saliency_map is not None:
            saliency = np.asarray(self.saliency_map)
            # all() of an empty map is True, hence size; NaN compares false
            if saliency.ndim != 2 or saliency.size == 0 or not ((saliency >= 0) & (saliency <= 1)).all():
                raise ValueError(f"saliency_map must be (H, W) with values in 0..1, got shape {saliency.shape}")
            object.__setattr__(self, "saliency_map", saliency)  # the class is frozen

    def map(self, height: int, width: int) -> np.ndarray:
        """S (height, width) float in 0..1."""
        if self.saliency_map is not None:
            if self.saliency_map.shape != (height, width):
                raise ValueError(
                    f"saliency_map must have the cluster map's size {(height, width)}, got {self.saliency_map.shape}"
                )
            return self.saliency_map
        return gaussian_map(height, width, self.sigma, self.center)

    def scores(self, labels: np.ndarray, k: int) -> np.ndarray:
        """Mean saliency of each cluster, (k,) in 0..1; 0 for an empty one."""
        saliency = self.map(*_check_labels(labels, k).shape)
        sums = np.bincount(labels.ravel(), saliency.ravel(), minlength=k)
        return sums / np.maximum(np.bincount(labels.ravel(), minlength=k), 1)

    def __call__(self, labels: np.ndarray, k: int) -> np.ndarray:
        """Apply the rule: labels (H, W) int in 0..k-1 -> (k,) bool, True for foreground.

        Raises:
            ValueError: labels of another shape or range, or a saliency map of another size.
        """
        return self.scores(labels, k) > self.theta_saliency


def gaussian_map(
    height: int, width: int, sigma: tuple[float, float] = (0.5, 0.2), center: tuple[float, float] = (0.5, 0.5)
) -> np.ndarray:
    """Gaussian heat map (height, width), 1 at its peak; sigma and center are (vertical, horizontal) fractions."""
    y = ((np.arange(height) + 0.5) / height - center[0]) / sigma[0]
    x = ((np.arange(width) + 0.5) / width - center[1]) / sigma[1]
    return np.exp(-0.5 * (y[:, None] ** 2 + x[None] ** 2))


def apply_rule(labels: np.ndarray, k: int, rule: ForegroundRule) -> np.ndarray:
    """Apply a rule and check what it gives: (k,) bool, empty or full as it may be; arguments as `foreground_clusters`.

    Raises:
        ValueError: labels outside 0..k-1, or a rule that does not return k booleans.
    """
    _check_labels(labels, k)
    chosen = np.asarray(rule(labels, k))
    if chosen.shape != (k,) or chosen.dtype != bool:
        raise ValueError(f"the foreground rule must return ({k},) bool, got {chosen.shape} {chosen.dtype}")
    return chosen


def foreground_clusters(labels: np.ndarray, k: int, rule: ForegroundRule) -> np.ndarray:
    """Apply a rule: which clusters are foreground (section 3.2).

    Args:
        labels: cluster map (H, W) int in 0..k-1.
        k: number of clusters, at least 1.
        rule: any callable with the same two arguments.

    Returns:
        (k,) bool, True for foreground. An empty or full result is returned with a warning that gives advice.

    Raises:
        ValueError: labels outside 0..k-1, or a rule that does not return k booleans.

    Examples:
        >>> labels = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0]])
        >>> foreground_clusters(labels, 2, lambda labels, k: np.arange(k) > 0)
        array([False,  True])
    """
    chosen = apply_rule(labels, k, rule)
    present = np.bincount(labels.ravel(), minlength=k) > 0
    name = type(rule).__name__
    if not chosen[present].any():
        warnings.warn(
            f"empty mask: {name} took no cluster for foreground. Lower theta_saliency or raise theta_corner, look at "
            f"fewer corners, or raise k so that object and background do not share a cluster",
            EmptyMaskWarning,
            stacklevel=2,
        )
    elif chosen[present].all():
        warnings.warn(
            f"full mask: {name} took every cluster for foreground. Raise theta_saliency or lower theta_corner, or "
            f"lower k so that the background is not cut into small pieces",
            FullMaskWarning,
            stacklevel=2,
        )
    return chosen


def _check_labels(labels: np.ndarray, k: int) -> np.ndarray:
    check_int("k", k, 1)
    if not isinstance(labels, np.ndarray) or labels.ndim != 2 or labels.size == 0 or labels.dtype.kind not in "iu":
        got = f"{labels.shape} {labels.dtype}" if isinstance(labels, np.ndarray) else type(labels).__name__
        raise ValueError(f"labels must be a (H, W) integer array, got {got}")
    if labels.min() < 0 or labels.max() >= k:
        raise ValueError(f"labels must be in 0..{k - 1}, got {labels.min()}..{labels.max()}")
    return labels
