"""A photograph to its mask: frame, inversion, the method on the inverted code, and back into the photo's pixels."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from stylemixseg._util.checks import check_choice, check_image
from stylemixseg.inversion.base import Inversion, Inverter
from stylemixseg.mixing import to_generator_range
from stylemixseg.photos.alignment import Frame
from stylemixseg.photos.graphcut import graph_cut
from stylemixseg.segmenter import Segmentation, StyleMixSegmenter
from stylemixseg.sharpening import resized_soft, sharpen

MAX_GUIDE = 1024  # px; a frame that is larger in the photo is looked at in this size
# A soft mask and the photo, both of the frame -> a soft mask.
EDGES = {"none": lambda soft, photo: soft, "guided": sharpen, "grabcut": graph_cut}


@dataclass(frozen=True, eq=False)
class PhotoMask:
    """The foreground of a photograph of (H, W) pixels.

    Attributes:
        crop: the photo inside the square that was looked at, (s, s, 3) uint8; the first one's, where there are several.
        soft: soft mask (H, W) float32 in 0..1 in the photo's pixels, 0 where nothing was looked at.
        mask: soft > 0.5, (H, W) bool.
        seconds: wall time of each step.
    """

    crop: np.ndarray
    soft: np.ndarray
    mask: np.ndarray
    seconds: dict[str, float]


@dataclass(frozen=True, eq=False)
class PhotoSegmentation(PhotoMask):
    """What the method says about a photograph of (H, W) pixels.

    Attributes:
        frame: the square that was looked at.
        inversion: the latent of the photo, and those on the way.
        segmentation: the method on the inverted code; its `image` is the reconstruction.
    """

    frame: Frame
    inversion: Inversion
    segmentation: Segmentation


class PhotoSegmenter:
    """Segment photographs with a generator that can show them.

    Args:
        inverter: photo to latent; an encoder, a projector, or both. Its generator must be the segmenter's.
        segmenter: the method.
        edges: what the photo's own pixels do to the mask. "none": nothing. "guided": they move its boundary by a few
            pixels (`sharpening.sharpen`). "grabcut": they redraw it (`graphcut.graph_cut`).

    Raises:
        ValueError: edges that are none of these.
    """

    def __init__(self, inverter: Inverter, segmenter: StyleMixSegmenter, *, edges: str = "none"):
        self.inverter, self.segmenter = inverter, segmenter
        self.edges = check_choice("edges", edges, EDGES)

    def __call__(self, pixels: np.ndarray, frame: Frame | None = None, progress: bool = False) -> PhotoSegmentation:
        """Segment one photo.

        Args:
            pixels: (H, W, 3) uint8 RGB.
            frame: the square that the generator is to show; None: the largest in the middle, for a photo that is
                aligned already.
            progress: show progress bars.

        Raises:
            ValueError: pixels that are not an RGB image, or a frame of another photo.
            ModuleNotFoundError: edges "grabcut" without OpenCV.
        """
        started = time.perf_counter()
        frame = frame or Frame.whole(check_image("pixels", pixels).shape[:2])
        crop = frame.crop(pixels, min(MAX_GUIDE, max(1, round(frame.side))))
        inversion = self.inverter(to_generator_range(crop), progress=progress)
        segmentation = self.segmenter(inversion.ws.to(self.segmenter.generator.w_avg), progress=progress)
        segmented = time.perf_counter()
        inside = resized_soft(segmentation.confidence, len(crop))
        soft = frame.paste(EDGES[self.edges](inside, crop))
        seconds = {
            "inversion": inversion.seconds,
            **segmentation.seconds,
            "back into the photo": time.perf_counter() - segmented,
            "total": time.perf_counter() - started,
        }
        return PhotoSegmentation(crop, soft, soft > 0.5, seconds, frame, inversion, segmentation)
