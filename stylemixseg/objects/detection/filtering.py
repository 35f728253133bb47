"""Which of a detector's boxes are kept, and what to advise when none is."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stylemixseg._util.checks import check_int, check_real
from stylemixseg.objects.detection.base import Detection, shared_areas

SCORE_TOLERANCE = 1e-3  # a sigmoid in half precision may round to a hair above 1
LISTED = 5  # phrases that a message names before it counts the rest


class NoDetectionWarning(UserWarning):
    """No box is left for a prompt."""


class BoxOutsideWarning(UserWarning):
    """A box lies wholly outside the image, so it was probably made for another one."""


@dataclass(frozen=True)
class DetectionFilter:
    """Keep the boxes that are worth a mask, best first. The paper does not state its detector's settings.

    Steps, in this order:

    1. Boxes are clipped to the image.
    2. Boxes that are too small or too large are dropped.
    3. Boxes with a score below the threshold are dropped.
    4. Non-maximum suppression: from the best score on, of equals from the smaller box on, a box drops the boxes after
       it that overlap it with an IoU above `nms_iou`.
    5. The `top_k` best are kept.

    Filtering twice changes nothing.

    Attributes:
        threshold: lowest score that is kept, in 0..1.
        nms_iou: highest IoU of two boxes that are both kept, in 0..1; 1 suppresses nothing.
        per_label: a box suppresses boxes of its own label only, so that a cushion may lie on a sofa.
        top_k: how many boxes are kept at most, of all labels together.
        min_side: shortest side of a box in pixels, at least 1; a crop of fewer pixels has nothing to cluster.
        max_share: largest share of the image's area that a box may cover, in 0..1; below 1 it drops boxes of the whole
            scene.

    Raises:
        TypeError, ValueError: a setting that does not fit, named.

    Examples:
        The second box overlaps a better one, the third has too low a score.

        >>> found = [
        ...     Detection((0, 0, 20, 20), "sofa", 0.9),
        ...     Detection((1, 1, 20, 20), "sofa", 0.6),
        ...     Detection((40, 0, 60, 20), "lamp", 0.1),
        ... ]
        >>> DetectionFilter(threshold=0.3)(found, size=(64, 64))
        [Detection(box=(0.0, 0.0, 20.0, 20.0), label='sofa', score=0.9)]
    """

    threshold: float = 0.3
    nms_iou: float = 0.5
    per_label: bool = True
    top_k: int = 100
    min_side: float = 4
    max_share: float = 1.0

    def __post_init__(self) -> None:
        check_real("threshold", self.threshold, 0, 1)
        check_real("nms_iou", self.nms_iou, 0, 1)
        if not isinstance(self.per_label, bool):
            raise TypeError(f"per_label must be True or False, got {self.per_label!r}")
        check_int("top_k", self.top_k, 1)
        check_real("min_side", self.min_side, 1, 100_000)
        check_real("max_share", self.max_share, 0, 1)

    def __call__(self, detections: Sequence[Detection], size: tuple[int, int]) -> list[Detection]:
        """The boxes that are kept, clipped to an image of `size` (H, W), by falling score; none is an empty list.

        Boxes wholly outside the image are dropped too, with a `BoxOutsideWarning` if their score would do. A box is
        compared with the kept ones only, so time and memory grow with the number of boxes, not with its square.
        """
        height, width = check_size(size)
        for item in detections:
            if not isinstance(item, Detection):
                raise TypeError(f"detections must hold Detection objects, got {item!r:.80}")
        boxes = np.array([item.box for item in detections]).reshape(-1, 4)  # (N, 4)
        scores = np.array([item.score for item in detections])  # (N,)
        clipped = np.clip(boxes, 0, [width, height, width, height])
        sides = clipped[:, 2:] - clipped[:, :2]  # (N, 2) width and height; 0 where nothing is inside
        areas = sides.prod(axis=1)
        confident = scores >= self.threshold
        if outside := np.flatnonzero(confident & (sides <= 0).any(axis=1)).tolist():
            first = detections[outside[0]]
            warnings.warn(
                f"{len(outside)} of {len(detections)} boxes lie outside the image of {width} x {height} pixels and are "
                f"dropped, first: {first.label!r} at {first.box}; boxes are (x0, y0, x1, y1) in pixels of this image",
                BoxOutsideWarning,
                stacklevel=2,
            )
        fits = (sides >= self.min_side).all(axis=1) & (areas <= self.max_share * height * width)
        order = np.lexsort((areas, -scores))  # by score, then by area; stable
        order = order[(fits & confident)[order]]
        labels = np.unique([item.label for item in detections], return_inverse=True)[1]  # (N,) a number for each label
        kept: list[int] = []
        while order.size and len(kept) < self.top_k:
            best, order = order[0], order[1:]
            kept.append(best)
            suppressed = _iou(clipped[best], clipped[order]) > self.nms_iou
            if self.per_label:
                suppressed &= labels[order] == labels[best]
            order = order[~suppressed]
        return [replace(detections[i], box=tuple(clipped[i].tolist())) for i in kept]


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size (H, W) of an image in pixels, or raise TypeError or ValueError saying what was got."""
    if not isinstance(size, Sequence) or len(size) != 2:
        raise TypeError(f"size must be (height, width) in pixels, got {size!r:.80}")
    return check_int("height", size[0], 1), check_int("width", size[1], 1)


def clean(boxes: np.ndarray, scores: np.ndarray, labels: Sequence[str]) -> tuple[list[Detection], int]:
    """Detections from a network's raw output, and how many of its rows were dropped.

    A row is dropped whose box or score is NaN or infinite, whose corners are swapped, that has no area or no label, or
    whose score is no confidence: outside 0..1 by more than SCORE_TOLERANCE. Within it a score is clamped.

    Args:
        boxes: (N, 4) x0, y0, x1, y1 in pixels.
        scores: (N,).
        labels: N texts.

    Raises:
        ValueError: arrays of other shapes.
    """
    boxes, scores = np.asarray(boxes, np.float64), np.asarray(scores, np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must have shape (N, 4), got {boxes.shape}")
    if scores.shape != (len(boxes),) or len(labels) != len(boxes):
        raise ValueError(f"scores and labels must be {len(boxes)}, one a box, got {scores.shape} and {len(labels)}")
    good = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    good &= (scores >= -SCORE_TOLERANCE) & (scores <= 1 + SCORE_TOLERANCE)  # False for NaN
    good &= np.array([bool(label.strip()) for label in labels], bool)
    scores = scores.clip(0, 1)
    kept = np.flatnonzero(good).tolist()
    return [Detection(tuple(boxes[i]), labels[i], scores[i]) for i in kept], len(boxes) - len(kept)


def advice(phrases: Sequence[str], found: Sequence[Detection], kept: Sequence[Detection], threshold: float) -> str:
    """What to try for the phrases that have no box; an empty text when each has one.

    Args:
        phrases: what was asked for.
        found: what the detector answered.
        kept: what a filter left of it.
        threshold: the filter's.
    """
    seen = {item.label for item in kept}
    missing = [phrase for phrase in phrases if phrase not in seen]
    if not missing:
        return ""
    best: dict[str, float] = {}
    for item in found:
        best[item.label] = max(item.score, best.get(item.label, 0.0))
    sentences = [f"no box kept for {_listed(missing)}."]
    if weak := [phrase for phrase in missing if phrase in best and best[phrase] < threshold]:
        nearest = max(weak, key=best.__getitem__)
        score = math.floor(100 * best[nearest]) / 100  # rounded down: as a threshold it lets the box through
        sentences.append(
            f"The best score below the threshold {threshold:g} was {score:g}, for {nearest!r}: lower the threshold to "
            "that to see what it found."
        )
    if unseen := [phrase for phrase in missing if phrase not in best]:
        sentences.append(
            f"The detector gave no box at all for {_listed(unseen)}: the image may not show it; else try other, "
            "plainer English nouns."
        )
    if strong := [phrase for phrase in missing if best.get(phrase, -1.0) >= threshold]:
        sentences.append(
            f"The score of {_listed(strong)} was high enough, but the box was outside the image, too small, too large, "
            "suppressed by a better one, or not among the best: look at min_side, max_share, nms_iou and top_k."
        )
    return " ".join(sentences)


def _listed(phrases: Sequence[str]) -> str:
    names = ", ".join(map(repr, phrases[:LISTED]))
    return names if len(phrases) <= LISTED else f"{names} and {len(phrases) - LISTED} more"


def _iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """IoU of one box (4,) with many (N, 4), (N,) in 0..1; all with an area."""
    shared = shared_areas(box, boxes)
    areas = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return shared / (areas - shared)
