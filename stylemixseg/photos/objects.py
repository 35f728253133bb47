"""Objects of a photograph: boxes found in the photo, masks made on its inverted code, and both back in its pixels."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stylemixseg._util.checks import check_image
from stylemixseg.inversion.base import Inversion, Inverter
from stylemixseg.mixing import to_generator_range
from stylemixseg.objects.detection.phrases import PromptLanguageWarning, parse_phrases
from stylemixseg.objects.segmenter import ObjectSegmentation, ObjectSegmenter
from stylemixseg.photos.alignment import Frame


@dataclass(frozen=True, eq=False)
class PhotoObjects:
    """The objects of a photograph of (H, W) pixels.

    Attributes:
        frame: the square that was looked at.
        crop: the photo inside the frame, (R, R, 3) uint8 with R the generator's resolution; the detector saw it.
        inversion: the latent of the photo, and those on the way.
        inside: objects in the frame, on the reconstruction.
        result: the same with `image`, `semantic` and `instance` in the photo's pixels; no object is outside the frame.
            Boxes and crops of its objects are still those of the frame.
    """

    frame: Frame
    crop: np.ndarray
    inversion: Inversion
    inside: ObjectSegmentation
    result: ObjectSegmentation


class PhotoObjectSegmenter:
    """Segment the objects of photographs with a generator that can show them.

    Args:
        inverter: photo to latent; its generator must be the segmenter's.
        objects: detector and method.
    """

    def __init__(self, inverter: Inverter, objects: ObjectSegmenter):
        self.inverter, self.objects = inverter, objects

    def __call__(
        self, pixels: np.ndarray, prompt: str | Sequence[str], frame: Frame | None = None, progress: bool = False
    ) -> PhotoObjects:
        """Segment the objects of one photo.

        Args:
            pixels: (H, W, 3) uint8 RGB.
            prompt: a caption or phrases, as for `ObjectSegmenter`.
            frame: the square that the generator is to show; None: the largest in the middle.
            progress: show progress bars.

        Raises:
            ValueError: pixels that are not an RGB image, a frame of another photo, a prompt that names nothing.
        """
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PromptLanguageWarning)  # the segmenter will say it
            parse_phrases(prompt)  # a bad prompt is said before the inversion, which may take minutes
        frame = frame or Frame.whole(check_image("pixels", pixels).shape[:2])
        generator = self.objects.segmenter.generator
        crop = frame.crop(pixels, generator.resolution)
        inversion = self.inverter(to_generator_range(crop), progress=progress)
        inside = self.objects(inversion.ws.to(generator.w_avg), prompt, image=crop, progress=progress)
        seconds = {"inversion": inversion.seconds, **inside.seconds, "total": time.perf_counter() - started}
        return PhotoObjects(frame, crop, inversion, inside, replace(in_photo(inside, frame, pixels), seconds=seconds))


def in_photo(inside: ObjectSegmentation, frame: Frame, pixels: np.ndarray) -> ObjectSegmentation:
    """The maps of a segmentation in a frame, in the pixels (H, W, 3) uint8 of the frame's photo."""
    semantic, instance = np.zeros((2, *pixels.shape[:2]), np.int32)
    for item in inside.objects:
        mask = frame.paste(inside.visible(item.number).astype(np.float32)) > 0.5
        semantic[mask] = inside.phrases.index(item.detection.label) + 1
        instance[mask] = item.number
    return replace(inside, image=pixels, semantic=semantic, instance=instance)
