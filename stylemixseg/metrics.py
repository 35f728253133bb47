"""How well a mask agrees with a reference: intersection over union (IoU), its averages, their intervals, trimaps.

Section 4.2 of the paper: foreground IoU, background IoU, and "their average as mIOU". It does not say how images are
averaged, and the two usual ways differ, so both stand here by name:

- `"dataset"`: counts are summed over all images first, then one IoU is taken (Labels4Free, Segmentation in Style,
  mmsegmentation). Large objects weigh more.
- `"per_image"`: one IoU an image, then their mean. Every image weighs the same.

A class that neither mask contains has IoU 1.0 (both agree that it is absent); one that only one of them contains has
IoU 0.0. So there is no NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike

from stylemixseg._util.checks import check_choice, check_int, check_mask, check_real

AVERAGES = ("per_image", "dataset")
STATISTICS = ("fg_iou", "bg_iou", "miou")


@dataclass(frozen=True)
class Confusion:
    """Pixel counts of a predicted mask against the truth; foreground is the positive class.

    Attributes:
        tp, fp, fn, tn: true positives, false positives, false negatives, true negatives, each at least 0.

    Counts add up: `a + b` is the confusion of both images together.
    """

    tp: int
    fp: int
    fn: int
    tn: int

    def __post_init__(self) -> None:
        for part in fields(self):
            object.__setattr__(self, part.name, check_int(part.name, getattr(self, part.name), 0))

    def __add__(self, other: Confusion) -> Confusion:
        if not isinstance(other, Confusion):
            return NotImplemented
        return Confusion(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @property
    def fg_iou(self) -> float:
        """Foreground IoU in 0..1: TP / (TP + FP + FN)."""
        return _iou(self.tp, self.fp + self.fn)

    @property
    def bg_iou(self) -> float:
        """Background IoU in 0..1: TN / (TN + FP + FN)."""
        return _iou(self.tn, self.fp + self.fn)

    @property
    def miou(self) -> float:
        """Mean of foreground and background IoU, in 0..1."""
        return (self.fg_iou + self.bg_iou) / 2


def _iou(agreed: int, differing: int) -> float:
    return agreed / (agreed + differing) if agreed + differing else 1.0


def confusion(pred: ArrayLike, truth: ArrayLike, ignore: ArrayLike | None = None) -> Confusion:
    """Count how a predicted mask agrees with the truth.

    Args:
        pred: mask (H, W), bool or integers 0 and 1, True where the object is said to be.
        truth: mask of the same size, True where it is.
        ignore: mask (H, W), True where pixels are left out; None counts all.

    Raises:
        TypeError: not a mask.
        ValueError: wrong shape, unequal sizes, values other than 0 and 1.

    Examples:
        >>> counts = confusion([[1, 1, 0, 0]], [[1, 0, 0, 0]])
        >>> counts
        Confusion(tp=1, fp=1, fn=0, tn=2)
        >>> counts.fg_iou, round(counts.bg_iou, 3)
        (0.5, 0.667)
    """
    said, true = check_mask("pred", pred), check_mask("truth", truth)
    if said.shape != true.shape:
        raise ValueError(f"pred and truth must be of one size, got {said.shape} and {true.shape}")
    if ignore is not None:
        left_out = check_mask("ignore", ignore)
        if left_out.shape != true.shape:
            raise ValueError(f"ignore must have the masks' size {true.shape}, got {left_out.shape}")
        said, true = said[~left_out], true[~left_out]
    tp = np.count_nonzero(said & true)
    fp = np.count_nonzero(said) - tp
    fn = np.count_nonzero(true) - tp
    return Confusion(int(tp), int(fp), int(fn), int(true.size - tp - fp - fn))


def total(confusions: Sequence[Confusion]) -> Confusion:
    """Sum of the counts of all images: the dataset-level confusion."""
    return Confusion(*_counts(confusions).sum(0).tolist())


def mean_iou(confusions: Sequence[Confusion], average: str, statistic: str = "miou") -> float:
    """IoU over a set of images, in 0..1 (section 4.2).

    Args:
        confusions: one an image, at least one.
        average: "per_image" or "dataset", see the module's description.
        statistic: "miou", "fg_iou" or "bg_iou".

    Examples:
        A small object that is missed weighs less where pixels are counted over all images.

        >>> images = [Confusion(tp=90, fp=0, fn=0, tn=10), Confusion(tp=0, fp=0, fn=10, tn=90)]
        >>> mean_iou(images, "per_image", "fg_iou"), mean_iou(images, "dataset", "fg_iou")
        (0.5, 0.9)
    """
    _check(average, statistic)
    counts = _counts(confusions)
    if average == "dataset":
        counts = counts.sum(0, keepdims=True)
    return float(ious_of_counts(counts, statistic).mean())


def bootstrap_interval(
    confusions: Sequence[Confusion],
    statistic: str,
    average: str,
    samples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval over images: how far the number would move with other images of the same kind.

    It says nothing about an error of the reference masks, which all images share. For one image it has no width.

    Args:
        confusions: one an image, at least one; images are drawn from it with replacement.
        statistic: "miou", "fg_iou" or "bg_iou".
        average: "per_image" or "dataset", see the module's description.
        samples: resampled sets.
        seed: of the resampling; the same seed gives the same interval.
        level: coverage, in 0..1.

    Returns:
        (low, high), both in 0..1.

    Examples:
        >>> images = [Confusion(tp=tp, fp=0, fn=10 - tp, tn=90) for tp in (9, 8, 9, 5)]
        >>> low, high = bootstrap_interval(images, "fg_iou", "per_image")
        >>> low < mean_iou(images, "per_image", "fg_iou") < high
        True
    """
    samples, seed = check_int("samples", samples, 1), check_int("seed", seed, 0)
    level = check_real("level", level, 0, 1)
    values = _resampled(confusions, statistic, average, samples, seed)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_difference(
    a: Sequence[Confusion], b: Sequence[Confusion], statistic: str, average: str
) -> tuple[float, tuple[float, float]]:
    """How much better `a` is than `b` on the same images, with its 95 % percentile interval (seed 0, 2000 samples).

    Each resampled set holds the same images for both, so what an image does to both methods alike (a hard picture, a
    fault of its reference) cancels in the difference. The interval can therefore be much narrower than the two
    intervals of `bootstrap_interval` suggest.

    Args:
        a: confusions of one method, one an image, at least one.
        b: those of the other; a[i] and b[i] belong to the same image and the same reference.
        statistic: "miou", "fg_iou" or "bg_iou".
        average: "per_image" or "dataset", see the module's description.

    Returns:
        The value of `a` minus that of `b` in -1..1, and (low, high). Zero outside of it: the sign of the difference
        would hold on other images of the same kind, judged by the same reference.

    Raises:
        TypeError: not Confusions.
        ValueError: no image, unequal numbers of images, or an unknown statistic or average.

    Examples:
        `ours` is better by little, but on every image, so the sign of the difference is certain.

        >>> theirs = [Confusion(tp=tp, fp=0, fn=10 - tp, tn=90) for tp in (8, 3, 8, 5)]
        >>> ours = [Confusion(tp=item.tp + 1, fp=0, fn=item.fn - 1, tn=90) for item in theirs]
        >>> value, (low, high) = paired_difference(ours, theirs, "fg_iou", "per_image")
        >>> round(value, 3), low > 0
        (0.1, True)
    """
    a, b = list(a), list(b)
    if len(a) != len(b):
        raise ValueError(f"a and b must hold the same images, got {len(a)} in a and {len(b)} in b")
    value = mean_iou(a, average, statistic) - mean_iou(b, average, statistic)
    values = _resampled(a, statistic, average) - _resampled(b, statistic, average)  # one seed: the same images drawn
    low, high = np.quantile(values, [0.025, 0.975])
    return value, (float(low), float(high))


def _resampled(
    confusions: Sequence[Confusion], statistic: str, average: str, samples: int = 2000, seed: int = 0
) -> np.ndarray:
    """The statistic on each resampled set of images (samples,); which images are drawn depends on seed and number."""
    _check(average, statistic)
    counts = _counts(confusions)
    images = len(counts)
    drawn = times_drawn(images, samples, seed)
    if average == "dataset":
        return ious_of_counts(drawn @ counts, statistic)
    means: np.ndarray = drawn @ ious_of_counts(counts, statistic) / images
    return means


def times_drawn(images: int, samples: int = 2000, seed: int = 0) -> np.ndarray:
    """How often each image is drawn into each resampled set (samples, images) int64; rows add up to `images`.

    The same arguments give the same draws, so two methods can be compared on the same resampled images.
    """
    return np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=samples)


def bootstrap_mean(
    groups: Sequence[Sequence[float]], samples: int = 2000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over all values; whole groups are drawn.

    Args:
        groups: values that belong together, such as those of the objects of one scene; one value each where nothing
            does. Empty ones count for nothing.
        samples: resampled sets.
        seed: of the resampling; the same seed gives the same interval.
        level: coverage, in 0..1.

    Returns:
        (low, high).
    """
    groups = [group for group in groups if len(group)]
    if not groups:
        raise ValueError("groups must hold at least one value, got none")
    samples, seed = check_int("samples", samples, 1), check_int("seed", seed, 0)
    level = check_real("level", level, 0, 1)
    sums, sizes = np.array([(np.sum(group), len(group)) for group in groups]).T  # (G,) each
    drawn = times_drawn(len(groups), samples, seed)
    low, high = np.quantile(drawn @ sums / (drawn @ sizes), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _check(average: str, statistic: str) -> None:
    check_choice("average", average, AVERAGES)
    check_choice("statistic", statistic, STATISTICS)


def _counts(confusions: Sequence[Confusion]) -> np.ndarray:
    """Counts (images, 4) int64, columns tp, fp, fn, tn."""
    confusions = list(confusions)
    if not confusions:
        raise ValueError("confusions must hold at least one image, got none")
    if odd := [item for item in confusions if not isinstance(item, Confusion)]:
        raise TypeError(f"confusions must hold only Confusion, got {type(odd[0]).__name__}")
    return np.array([[item.tp, item.fp, item.fn, item.tn] for item in confusions], np.int64)


def ious_of_counts(counts: np.ndarray, statistic: str = "miou") -> np.ndarray:
    """IoU of every row of counts (..., 4), columns tp, fp, fn, tn -> (...) float64.

    Args:
        counts: (..., 4) integers of at least 0.
        statistic: "miou", "fg_iou" or "bg_iou"; absent classes count as in `Confusion`.
    """
    tp, fp, fn, tn = np.moveaxis(counts, -1, 0)
    values = []
    for name, agreed in (("fg_iou", tp), ("bg_iou", tn)):
        if statistic in (name, "miou"):
            union = agreed + fp + fn
            values.append(np.where(union == 0, 1.0, agreed / np.maximum(union, 1)))
    ious: np.ndarray = np.mean(values, axis=0)
    return ious


def trimap_band(truth: ArrayLike, width: int = 3, side: str = "both") -> np.ndarray:
    """Pixels in a narrow band round the truth's boundary (Kohli et al. 2009; the paper's Table 3: "3 pixels").

    The boundary runs between a foreground and a background pixel that touch by a side or a corner. A pixel's distance
    to it is the Chebyshev distance to the nearest pixel of the other class: 1 for those that touch it. The image's own
    border is not a boundary. The paper does not say whether its 3 pixels are counted in all or on each side, so both
    are here; the default is the literal reading.

    Args:
        truth: mask (H, W).
        width: of the band in pixels, at least 1, at the resolution of `truth`.
        side: "both": `width` pixels in all, an odd one going to the foreground side, so that width 3 is the
            foreground's outermost pixels, one pixel within them and one outside. "per_side": `width` on each side.

    Returns:
        band (H, W) bool, True inside; all False where the truth has one class only.

    Examples:
        >>> trimap_band([[0, 0, 0, 1, 1, 1, 1]], width=3).astype(int)
        array([[0, 0, 1, 1, 1, 0, 0]])
    """
    true = check_mask("truth", truth)
    width = check_int("width", width, 1)
    check_choice("side", side, ("both", "per_side"))
    inside, outside = (width, width) if side == "per_side" else (width - width // 2, width // 2)
    band: np.ndarray = (true & _dilate(~true, inside)) | (~true & _dilate(true, outside))
    return band


def _dilate(mask: np.ndarray, radius: int) -> np.ndarray:
    """Pixels (H, W) within Chebyshev distance `radius` of `mask`; nothing comes in over the image's border."""
    from scipy.ndimage import maximum_filter  # most of this module's time of import, and only trimaps need it

    dilated: np.ndarray = maximum_filter(mask, size=2 * radius + 1, mode="constant")
    return dilated


def trimap_confusion(pred: ArrayLike, truth: ArrayLike, width: int = 3, side: str = "both") -> Confusion:
    """Confusion over the pixels of `trimap_band` only: how precise the mask is along the truth's boundary.

    A truth without a boundary has no band; all counts are 0 then and, as defined above, every IoU is 1.0. Tossing a
    coin inside a band with a share f of foreground gives f / (1 + f) for it and (1 - f) / (2 - f) for the background.
    """
    return confusion(pred, truth, ignore=~trimap_band(truth, width, side))
