"""What an inversion loses, measured on photo and reconstruction.

A mask of the reconstruction is judged by the photo's, so a changed outline costs every method that works on the
reconstruction. How much, the agreement of the face parser's masks on the two images estimates. It holds the parser's
own errors on both, and bounds no other method.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stylemixseg.inversion.losses import FeatureDistance, shrunk
from stylemixseg.inversion.projector import check_photos
from stylemixseg.metrics import Confusion, confusion
from stylemixseg.models.references import CLASS_NAMES, FaceParser, check_images

PSNR_SIDE = 256  # px


@dataclass(frozen=True, eq=False)
class Quality:
    """How near one reconstruction is to its photo.

    Attributes:
        psnr: peak signal-to-noise ratio in dB at the full size of the smaller image; infinite for equal images.
        psnr_256: the same at 256 px (at the full size where that is smaller).
        feature_distance: `losses.FeatureDistance`, 0 for equal images; the named stand-in of LPIPS.
        foreground: pixel counts of the face parser's foreground on the reconstruction, the photo's as the truth:
            `foreground.fg_iou`, `.bg_iou`, `.miou`.
        parts: IoU of each part (a name of `references.CLASS_NAMES`, the background among them) that the parser sees in
            either image; 0 where it sees it in one only.
    """

    psnr: float
    psnr_256: float
    feature_distance: float
    foreground: Confusion
    parts: Mapping[str, float]


@torch.no_grad()
def inversion_quality(photos: Tensor, reconstructions: Tensor, parser: FaceParser) -> list[Quality]:
    """Compare photos with their reconstructions, one by one.

    Args:
        photos: (N, 3, S, S) in [-1, 1]. Values outside are clamped, as an image file would.
        reconstructions: (N, 3, T, T), one for each photo, likewise; where T differs from S, the larger is averaged
            down.
        parser: the face parser, `FaceParser.load()`.

    Raises:
        TypeError, ValueError: images of the wrong type, shape or scale, or not one reconstruction a photo.
    """
    check_photos(photos)
    check_images(reconstructions)
    if len(photos) != len(reconstructions) or reconstructions.shape[-1] != reconstructions.shape[-2]:
        raise ValueError(
            f"reconstructions must be square, one for each of {len(photos)} photos, got {tuple(reconstructions.shape)}"
        )
    side = min(photos.shape[-1], reconstructions.shape[-1])
    distance = FeatureDistance(parser)
    found = []
    for photo, made in zip(photos.split(1), reconstructions.split(1)):
        # Clamped before it is shrunk: an average of what a file would hold.
        photo, made = (shrunk(image.float().cpu().clamp(-1, 1), side) for image in (photo, made))
        labels, made_labels = (parser(image)[0].numpy() for image in (photo, made))
        parts = {
            name: confusion(made_labels == k, labels == k).fg_iou
            for k, name in enumerate(CLASS_NAMES)
            if (labels == k).any() or (made_labels == k).any()
        }
        found.append(
            Quality(
                psnr=_psnr(photo, made),
                psnr_256=_psnr(shrunk(photo, PSNR_SIDE), shrunk(made, PSNR_SIDE)),
                feature_distance=distance(made, photo).item(),
                foreground=confusion(made_labels != 0, labels != 0),
                parts=parts,
            )
        )
    return found


def _psnr(a: Tensor, b: Tensor) -> float:
    error = (a - b).double().square().mean().item()
    return 10 * math.log10(4 / error) if error else math.inf  # the range, 2, squared
