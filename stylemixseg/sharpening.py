"""Sharpen a soft mask with the photo's own pixels: its boundary moves to the photo's edges.

A mask made from a generator's images follows the reconstruction, not the photo. The guided filter (He, Sun and Tang
2013, https://doi.org/10.1109/TPAMI.2012.213) repairs the last pixels: in every small window the new mask is a linear
function of the photo's colours, so it can only have an edge where the photo has one.

It is for masks that are off by some pixels or made of blocks. A mask that is right already loses thin strands of hair
and takes on edges within the object, the more the larger the window. The defaults were chosen on 30 training photos
of CelebAMask-HQ whose human masks had been shifted, warped, coarsened or smoothed.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from kornia.filters import guided_blur

from stylemixseg._util.checks import check_image, check_real

FINE_RADIUS = 8  # px; the statistics of larger windows are taken on every s-th pixel, so that 8 to 15 px remain


def sharpen(soft, photo, radius: float = 1 / 64, eps: float = 1e-4) -> np.ndarray:
    """Guided filter of a soft mask, the photo in colour as its guide (He et al. 2013).

    The radius is a share of the side, so a photo gives the same result at any size. Large windows are measured on a
    subsampled photo (the fast guided filter, He and Sun 2015, https://arxiv.org/abs/1505.00996). A photo of
    2048 x 2048 pixels takes about 300 MB.

    Args:
        soft: mask (H, W) in 0..1, float or bool.
        photo: the photo that the mask belongs to, (H, W, 3) uint8 RGB.
        radius: half the window's side as a share of the photo's shorter side, in 0..0.25; one pixel at least.
        eps: variance of a colour, on the scale 0..1 squared, below which a window counts as flat; in 1e-8..1. A larger
            value blurs more and follows only strong edges.

    Returns:
        Sharpened soft mask (H, W) float32 in 0..1.

    Raises:
        TypeError, ValueError: a wrong type, shape, size or range; the photo has a side of one pixel.
    """
    photo, soft = check_image("photo", photo), _check_soft(soft)
    height, width = photo.shape[:2]
    if soft.shape != (height, width):
        raise ValueError(f"soft must have the photo's size {(height, width)}, got {soft.shape}")
    if (side := min(height, width)) < 2:
        raise ValueError(f"photo must have sides of at least 2 pixels, got {(height, width)}")
    radius, eps = check_real("radius", radius, 0, 0.25), check_real("eps", eps, 1e-8, 1)

    s = max(1, round(radius * side) // FINE_RADIUS)
    # A multiple of s: then the subsampled window is odd too, and is centred on its pixel.
    pixels = s * max(1, round(radius * side / s))
    pad = ((0, -height % s), (0, -width % s))  # to multiples of s, repeating the last row and column
    guide = torch.from_numpy(np.pad(photo, (*pad, (0, 0)), mode="edge")).permute(2, 0, 1)[None].float() / 255
    mask = torch.from_numpy(np.pad(soft, pad, mode="edge"))[None, None]  # (1, 1, H, W)
    sharp = guided_blur(guide, mask, 2 * pixels + 1, eps, subsample=s)[0, 0, :height, :width]
    return sharp.clamp(0, 1).numpy()  # a linear function of colours may leave the range


def sharpen_mask(soft, photo, radius: float = 1 / 64, eps: float = 1e-4) -> np.ndarray:
    """`sharpen`, then the threshold 0.5: mask (H, W) bool. Arguments and errors as there."""
    return sharpen(soft, photo, radius, eps) > 0.5


def resized_soft(soft: np.ndarray, side: int) -> np.ndarray:
    """A soft mask (h, h) in 0..1 -> (side, side) float32, averaged where it shrinks."""
    values = torch.from_numpy(np.ascontiguousarray(soft, np.float32))[None, None]
    resized = F.interpolate(values, (side, side), mode="bilinear", antialias=True)
    return resized[0, 0].clamp(0, 1).numpy()


def _check_soft(soft) -> np.ndarray:
    array = np.asarray(soft)
    if array.dtype.kind not in "bf":
        raise TypeError(f"soft must be bool or float in 0..1, got {array.dtype}")
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"soft must have shape (H, W) with H, W >= 1, got {array.shape}")
    if not ((array >= 0) & (array <= 1)).all():  # NaN compares false
        raise ValueError(f"soft must lie in 0..1, got {array.min():.4g}..{array.max():.4g}")
    return array.astype(np.float32)
