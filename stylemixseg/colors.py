"""The colours that are clustered: LAB or RGB (section 4.6, Table 4)."""

from __future__ import annotations

import numpy as np

from stylemixseg._util.checks import check_choice

COLOR_SPACES = ("lab", "rgb")

# sRGB (IEC 61966-2-1) to CIE XYZ, each row over the white point D65, and CIE's cube root with its linear foot: the
# constants of scikit-image and kornia.
_BYTES = np.arange(256) / 255
_LINEAR = np.where(_BYTES > 0.04045, ((_BYTES + 0.055) / 1.055) ** 2.4, _BYTES / 12.92).astype(np.float32)
_XYZ_FROM_LINEAR = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
) / np.array([[0.95047], [1.0], [1.08883]])
_FOOT, _FOOT_SLOPE = np.float32(0.008856), np.float32(7.787)


def to_color_space(images: np.ndarray, color_space: str) -> np.ndarray:
    """Colours of (n, H, W, 3) uint8 images as (n, H, W, 3) float32.

    "rgb": 0..100, so that distances have about the size of LAB's. "lab": CIE LAB under D65:
    L 0..100, a and b about -110..110; equal distances look about equally different (section 4.6, Table 4).
    """
    check_choice("color_space", color_space, COLOR_SPACES)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"images must be (n, H, W, 3) uint8, got {images.shape} {images.dtype}")
    return np.moveaxis(planar_colors(np.moveaxis(images, 3, 1), color_space), 1, 3)


def planar_colors(images: np.ndarray, color_space: str) -> np.ndarray:
    """Colours (n, 3, ...) float32 of (n, 3, ...) uint8; a pixel's numbers do not depend on what else is converted."""
    if color_space == "rgb":
        return images * np.float32(100 / 255)
    linear = _LINEAR.take(images)
    product = np.empty_like(linear[:, 0])
    roots = []
    for weights in _XYZ_FROM_LINEAR.astype(np.float32):
        value = weights[0] * linear[:, 0]
        for weight, channel in zip(weights[1:], (1, 2)):
            value += np.multiply(weight, linear[:, channel], out=product)
        # f(t) = cbrt(t), below the foot a line: cbrt(max(t, foot)) + slope min(t - foot, 0) is both, without a branch.
        below = np.minimum(np.subtract(value, _FOOT, out=product), 0, out=product)
        below *= _FOOT_SLOPE
        np.maximum(value, _FOOT, out=value)
        roots.append(np.cbrt(value, out=value))
        value += below
    x, y, z = roots
    lab = linear  # its values are not needed any more
    np.multiply(np.subtract(x, y, out=x), 500, out=lab[:, 1])
    np.multiply(np.subtract(y, z, out=z), 200, out=lab[:, 2])
    np.multiply(y, 116, out=lab[:, 0])
    lab[:, 0] -= 16
    return lab
