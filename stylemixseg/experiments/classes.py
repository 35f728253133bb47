"""Parts of faces by name: the classes, their reference, and the scores of class maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

import numpy as np

from stylemixseg.evaluation.results import RunRecorder
from stylemixseg.experiments.profile import Profile
from stylemixseg.experiments.scoring import oracle_labels, reference_parts
from stylemixseg.generators.base import Generator
from stylemixseg.metrics import Confusion, confusion, times_drawn
from stylemixseg.models.references import CLASS_NAMES
from stylemixseg.segmenter import enlarge
from stylemixseg.summary import StyleSummary

CLASSES = ("background", "skin", "hair", "cloth")
_OTHERS = {
    "background": 0,
    "hair": 2,
    "hat": 2,
    "cloth": 3,
}  # the parser's class; all others are skin and what is on it
OF_PARSER = np.array([_OTHERS.get(name, 1) for name in CLASS_NAMES])  # label by the parser's class
FEATURES = (
    "background",
    "skin",
    "brows",
    "eyes",
    "nose",
    "mouth",
)  # inside the skin; all that is not skin is background
_FEATURE_OF = {"nose": 4} | {
    f"{side}_{name}": label for side in ("left", "right") for name, label in (("brow", 2), ("eye", 3), ("ear", 1))
}
_FEATURE_OF |= dict.fromkeys(("skin", "neck", "eyeglasses", "earring", "necklace"), 1)
_FEATURE_OF |= dict.fromkeys(("mouth", "upper_lip", "lower_lip"), 5)
OF_FEATURES = np.array([_FEATURE_OF.get(name, 0) for name in CLASS_NAMES])  # label by the parser's class
PAPER_K = 8  # section 4.1: for eyes and mouth


def class_reference(generator: Generator, profile: Profile, seed: int, image: np.ndarray) -> np.ndarray:
    """The face parser's classes in a query image (h, w, 3), as labels of `CLASSES`, (h, w) uint8."""
    labels, _ = reference_parts("face_parser", generator, profile, seed, image)
    return OF_PARSER[labels].astype(np.uint8)


def class_counts(found: np.ndarray, truth: np.ndarray, classes: Sequence[str] = CLASSES) -> list[list[int]]:
    """[tp, fp, fn, tn] of each class, from a class map (h, w) and its reference."""
    return [list(astuple(confusion(found == label, truth == label))) for label in range(len(classes))]


def named_by_reference(summary: StyleSummary, truth: np.ndarray) -> np.ndarray:
    """The paper's eight clusters of one image, each named after the class of most of its pixels in the reference.

    No method without labels could name them so, and it takes eight names for every image.

    Args:
        summary: X_s (h, w, 3n).
        truth: the reference (H, W), H and W multiples of h and w.

    Returns:
        Labels (H, W) of `CLASSES`.
    """
    labels = enlarge(summary.cluster(PAPER_K).labels, len(truth))
    named: np.ndarray = oracle_labels(labels, PAPER_K, truth, len(CLASSES))[labels]
    return named


def add_classes(
    recorder: RunRecorder,
    prefix: str,
    counts: Sequence[Sequence[Sequence[int]]],
    images: list[str],
    classes: Sequence[str] = CLASSES,
) -> float:
    """Record the IoU of every class as `<prefix>.<class>.fg_iou`, and their mean as `<prefix>.mean`; gives the mean.

    Args:
        recorder: to record with.
        prefix: dotted lower-case name.
        counts: [tp, fp, fn, tn] of each class, of each image.
        images: their names.
        classes: names by label.
    """
    for label, name in enumerate(classes):
        confusions = [Confusion(*of_image[label]) for of_image in counts]
        recorder.add_ious(f"{prefix}.{name}", confusions, average="dataset", images=images)
    array = np.array(counts)[..., :3]  # (images, classes, 3)
    drawn = np.tensordot(times_drawn(len(array)), array, 1)  # (samples, classes, 3)
    mean, between = _mean_iou(array.sum(0)), np.quantile(_mean_iou(drawn), [0.025, 0.975])
    return recorder.add(
        f"{prefix}.mean", float(mean), n=len(array), interval=between.tolist(), note=", ".join(classes)
    ).value


def _mean_iou(counts: np.ndarray) -> np.ndarray:
    """Mean over the classes (..., classes, 3) of tp / (tp + fp + fn)."""
    mean: np.ndarray = (counts[..., 0] / counts.sum(-1).clip(1)).mean(-1)
    return mean
