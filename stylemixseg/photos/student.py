"""A photograph to its mask at once: the student looks at each face's square, and the masks go back into the photo."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from stylemixseg._util.checks import check_image
from stylemixseg.mixing import to_generator_range
from stylemixseg.models.student import PartsStudent, Student
from stylemixseg.photos.alignment import Frame
from stylemixseg.photos.segmenter import MAX_GUIDE, PhotoMask


class StudentSegmenter:
    """Segment photographs of people without a generator, an inversion or style mixes.

    Args:
        student: None for the one that comes with the package.

    Example:
        >>> photo = np.full((60, 80, 3), 128, np.uint8)
        >>> found = StudentSegmenter()(photo)
        >>> found.mask.shape, found.mask.dtype
        ((60, 80), dtype('bool'))
    """

    def __init__(self, student: Student | None = None):
        self.student = student or Student.load()

    def __call__(self, pixels: np.ndarray, frames: Sequence[Frame] = ()) -> PhotoMask:
        """Segment one photo.

        Args:
            pixels: (H, W, 3) uint8 RGB.
            frames: the squares of the faces, as `photos.alignment` gives them; none: the largest square in the middle,
                for a photo that is aligned already. Where squares overlap, the largest probability counts.

        Raises:
            ValueError: pixels that are not an RGB image, or a frame of another photo.
        """
        started = time.perf_counter()
        looked_at = _looked_at(pixels, frames)
        soft = np.zeros(pixels.shape[:2], np.float32)
        for frame, crop in looked_at:
            inside = self.student.probability(to_generator_range(crop))[0].numpy()
            np.maximum(soft, frame.paste(inside), out=soft)
        return PhotoMask(looked_at[0][1], soft, soft > 0.5, {"total": time.perf_counter() - started})


def parts_of_photo(parts: PartsStudent, pixels: np.ndarray, frames: Sequence[Frame], mask: np.ndarray) -> np.ndarray:
    """Named parts of people in a photo: background outside of the mask, inside it the likeliest part.

    Args:
        parts: the network.
        pixels: (H, W, 3) uint8 RGB.
        frames: the squares of the faces; none: as `StudentSegmenter`.
        mask: foreground (H, W) bool, such as the student's.

    Returns:
        (H, W) uint8, labels as in `parts.classes`.

    Raises:
        ValueError: pixels that are not an RGB image, or a frame of another photo.
    """
    likeliest = np.zeros(mask.shape, np.uint8)
    best = np.zeros(mask.shape, np.float32)
    for frame, crop in _looked_at(pixels, frames):
        found = parts.probabilities(to_generator_range(crop))[0, 1:].numpy()
        for label, probability in enumerate(found, 1):  # one after the other: a photo may be large
            placed = frame.paste(probability)
            better = placed > best
            best[better], likeliest[better] = placed[better], label
    return np.where(mask, likeliest, 0).astype(np.uint8)


def _looked_at(pixels: np.ndarray, frames: Sequence[Frame]) -> list[tuple[Frame, np.ndarray]]:
    """The squares of a photo and what they show; without any, the largest square in the middle."""
    chosen = list(frames) or [Frame.whole(check_image("pixels", pixels).shape[:2])]
    return [(frame, frame.crop(pixels, min(MAX_GUIDE, max(1, round(frame.side))))) for frame in chosen]
