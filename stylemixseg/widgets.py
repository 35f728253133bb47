"""Sliders that work on a page without a kernel: every picture is made beforehand, the browser only chooses one."""

from __future__ import annotations

import io
from collections.abc import Sequence

import ipywidgets
import numpy as np
from PIL import Image

from stylemixseg.checks import check_image


def picture_slider(
    images: Sequence[np.ndarray], labels: Sequence[str], *, name: str, width: int = 480
) -> ipywidgets.VBox:
    """A slider that shows one of several pictures with its label.

    `interact` would need a running kernel for each move; linking the slider to a stack of pictures does not, so the
    widget works in the online book.

    Args:
        images: pictures (H, W, 3) uint8, at least two.
        labels: a short text for each, shown above it ("c = 8"); it is what a screen reader hears.
        name: what the slider changes, shown beside it ("cutoff c").
        width: of the pictures on the page, in pixels.
    """
    if len(images) < 2 or len(images) != len(labels):
        raise ValueError(f"images and labels must be at least two and equally many, got {len(images)} and {len(labels)}")
    pages = []
    for image, label in zip(images, labels):
        picture = ipywidgets.Image(value=_jpeg(check_image("images", image)), format="jpeg", width=width)
        pages.append(ipywidgets.VBox([ipywidgets.Label(label), picture]))
    slider = ipywidgets.IntSlider(value=0, min=0, max=len(images) - 1, description=name, readout=False)
    slider.style.description_width = "initial"
    stack = ipywidgets.Stack(pages, selected_index=0)
    ipywidgets.jslink((slider, "value"), (stack, "selected_index"))
    return ipywidgets.VBox([slider, stack])


def _jpeg(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
