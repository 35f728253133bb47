"""Redraw a mask on the photo's own pixels: GrabCut, started from the method's mask.

Where a reconstruction has another outline than its photo, no segmentation of it can be right. GrabCut (Rother,
Kolmogorov and Blake 2004, https://doi.org/10.1145/1015706.1015720) goes back to the photo: it models the colours inside
and outside the mask by a Gaussian mixture each, moves the boundary by a minimum cut so that colours fit their side and
the boundary follows edges, and repeats. It is a classical method, without labels and without a network. The person with
the brush, who tells GrabCut where the object is, is here the style-mixed mask.
"""

from __future__ import annotations

import numpy as np

from stylemixseg._util.checks import check_image, check_int
from stylemixseg._util.optional import extra
from stylemixseg.sharpening import resized_soft

SIDE = 256  # px; the cut is made at this size: the outline that an inversion misses is coarse
ITERATIONS = 3


def graph_cut(soft: np.ndarray, photo: np.ndarray, iterations: int = ITERATIONS) -> np.ndarray:
    """Redraw a soft mask on the photo.

    Every pixel may change sides. A mask that is all foreground or all background is returned as it is, since one side
    has no colours to learn.

    Args:
        soft: (s, s) float in 0..1 or bool; above one half is foreground to start with.
        photo: (s, s, 3) uint8 RGB.
        iterations: of mixtures and cut, at least 1.

    Returns:
        (s, s) float32 in 0..1, soft over one pixel of the cut's own size, so above one half is foreground.

    Raises:
        ModuleNotFoundError: OpenCV is not installed.
        TypeError, ValueError: masks and photos that do not fit.
    """
    photo = check_image("photo", photo)
    check_int("iterations", iterations, 1)
    if np.shape(soft) != photo.shape[:2] or photo.shape[0] != photo.shape[1]:
        raise ValueError(f"soft and photo must be square and of one size, got {np.shape(soft)} and {photo.shape[:2]}")
    with extra("photos", "GrabCut needs OpenCV"):
        import cv2
    side = min(SIDE, len(photo))
    small = cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA)
    labels = np.where(resized_soft(soft, side) > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    if len(np.unique(labels)) == 2:
        cv2.setRNGSeed(0)  # the mixtures start from K-means
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(small[..., ::-1].copy(), labels, (0, 0, side, side), *models, iterations, cv2.GC_INIT_WITH_MASK)
    return resized_soft(labels == cv2.GC_PR_FGD, len(photo))
