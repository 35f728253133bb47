"""Sliders and switches that work on a page without a kernel.

Every picture is made beforehand, and the browser only chooses which of them it shows.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from stylemixseg._util.checks import check_image
from stylemixseg._util.optional import extra
from stylemixseg.viz.compositing import overlay_objects

with extra("notebooks", "A widget needs ipywidgets"):
    import ipywidgets
    from IPython.display import HTML


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
        raise ValueError(
            f"images and labels must be at least two and equally many, got {len(images)} and {len(labels)}"
        )
    pages = []
    for image, label in zip(images, labels):
        picture = ipywidgets.Image(value=_jpeg(check_image("images", image)), format="jpeg", width=width)
        pages.append(ipywidgets.VBox([ipywidgets.Label(label), picture]))
    slider = ipywidgets.IntSlider(value=0, min=0, max=len(images) - 1, description=name, readout=False)
    slider.style.description_width = "initial"
    stack = ipywidgets.Stack(pages, selected_index=0)
    ipywidgets.jslink((slider, "value"), (stack, "selected_index"))
    return ipywidgets.VBox([slider, stack])


def object_switches(
    image: np.ndarray, instance: np.ndarray, labels: Sequence[str], *, name: str, caption: str, width: int = 480
) -> HTML:
    """A picture with a check box for each object, which shows it in its colour or leaves it grey.

    Each object is a transparent layer, and a style sheet hides those that are not checked: no script, no kernel. It can
    be worked with the keyboard.

    Args:
        image: (H, W, 3) uint8.
        instance: (H, W) int, 0 where no object is, else 1..len(labels).
        labels: of the objects, in the order of their numbers.
        name: what is switched, for the legend.
        caption: what to see, under the picture.
        width: of the picture on the page, in pixels, where the page has as many.
    """
    if not labels or np.max(instance) > len(labels):
        raise ValueError(f"labels must name objects 1..{np.max(instance)}, got {len(labels)} labels")
    shown = overlay_objects(image, instance)  # grey where no object is
    pictures = [overlay_objects(image, np.zeros_like(instance))]
    pictures += [np.dstack([shown, np.where(instance == i, 255, 0)]) for i in range(1, len(labels) + 1)]
    sources = [_png_address(picture.astype(np.uint8)) for picture in pictures]
    key = "objects-" + hashlib.sha256("".join([name, *sources]).encode()).hexdigest()[:8]  # ids differ on one page
    boxes, styles = [], []
    for i, label in enumerate(labels, 1):
        identity = f"{key}-{i}"
        boxes.append(f'<input type="checkbox" id="{identity}" checked> ')
        boxes.append(f'<label for="{identity}" style="margin-right: 1em">{html.escape(label)}</label>')
        styles.append(f"#{identity}:not(:checked) ~ div .layer-{i} {{ visibility: hidden }}")
    place = "position: absolute; inset: 0; width: 100%; margin: 0; image-rendering: pixelated"
    layers = "".join(
        f'<img class="layer-{i}" src="{source}" alt="{html.escape(text)}" style="{place}">'
        for i, (source, text) in enumerate(zip(sources, [f"{name}: the scene in grey", *labels]))
    )
    shape = (
        f"aspect-ratio: {image.shape[1]} / {image.shape[0]}; width: {width}px; max-width: 100%"  # a phone is narrower
    )
    return HTML(
        f'<figure class="object-switches"><fieldset><legend>{html.escape(name)}</legend>'
        f"<style>{' '.join(styles)}</style>{''.join(boxes)}"
        f'<div style="position: relative; {shape}">{layers}</div></fieldset>'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _png_address(picture: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _jpeg(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
