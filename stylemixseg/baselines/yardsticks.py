"""Yardsticks: what one image gives without any style mix, and what is known without looking at it.

They say what the parts of the method are worth: the style mixes against the colours of one image (n = 0), the clusters
against a classical segmenter, and all of it against masks that are the same for every image.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from stylemixseg._util.checks import check_image, check_real
from stylemixseg._util.optional import extra
from stylemixseg.clustering import KMeansResult
from stylemixseg.foreground import Saliency
from stylemixseg.summary import StyleStack

SIDE = 256  # px, at which GrabCut works; a smaller image keeps its size
ITERATIONS = 5  # of GrabCut


def colour_clusters(image: np.ndarray, k: int, color_space: str = "lab") -> KMeansResult:
    """K-means over the colours of one image (H, W, 3) uint8: the method with the query image and no style, n = 0."""
    stack = StyleStack(np.moveaxis(check_image("image", image), 2, 0)[None], color_space)
    return stack.cluster(k)


def grabcut_box(image: np.ndarray, share: float = 0.8) -> np.ndarray:
    """GrabCut (Rother et al. 2004) from a box in the middle, on the image alone.

    Args:
        image: (s, s, 3) uint8 RGB, s at most 256 or a multiple of it.
        share: of the side that the box has, 0.1..0.98; it reaches down to the lower border, as portraits do.

    Returns:
        (h, h) bool, h the smaller of s and 256.

    Raises:
        ModuleNotFoundError: OpenCV is not installed.
        TypeError, ValueError: no such image, a share out of range.
    """
    image, share = check_image("image", image), check_real("share", share, 0.1, 0.98)
    side = min(SIDE, len(image))
    if image.shape[0] != image.shape[1] or len(image) % side:
        raise ValueError(f"image must be square, its side at most {SIDE} or a multiple of it, got {image.shape[:2]}")
    with extra("photos", "GrabCut needs OpenCV"):
        import cv2
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    labels = np.zeros((side, side), np.uint8)
    edge = round((1 - share) / 2 * side)
    cv2.setRNGSeed(0)  # the mixtures start from K-means
    models = np.zeros((1, 65)), np.zeros((1, 65))
    box = (edge, edge, side - 2 * edge, side - edge)
    cv2.grabCut(small[..., ::-1].copy(), labels, box, *models, ITERATIONS, cv2.GC_INIT_WITH_RECT)
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def prior_mask(side: int, prior: Saliency) -> np.ndarray:
    """What a saliency rule would call foreground if every pixel were a cluster of its own: (side, side) bool.

    It looks at no image, so it says what the rule's map is worth without the clusters.
    """
    inside: np.ndarray = prior.map(side, side) > prior.theta_saliency
    return inside


def mean_mask(masks: Iterable[np.ndarray]) -> np.ndarray:
    """The mask (h, w) bool that covers what more than half of the masks (h, w) cover: one answer for every image.

    Raises:
        ValueError: there is none.
    """
    found = list(masks)
    if not found:
        raise ValueError("masks must hold at least one, got none")
    covered: np.ndarray = np.mean(found, axis=0) > 0.5
    return covered
