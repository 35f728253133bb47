"""The slider: every picture is in the page, and the browser alone connects them."""

from __future__ import annotations

import io

import ipywidgets
import numpy as np
import pytest
from ipywidgets.widgets.widget import _instances
from PIL import Image

from stylemixseg.widgets import picture_slider

PICTURES = [np.full((16, 24, 3), value, np.uint8) for value in (0, 100, 250)]
LABELS = ["c = 0", "c = 8", "c = 16"]


def test_every_picture_with_its_label():
    slider, stack = picture_slider(PICTURES, LABELS, name="cutoff c", width=300).children
    assert (slider.min, slider.max, slider.value, slider.description) == (0, 2, 0, "cutoff c")
    assert stack.selected_index == 0 and len(stack.children) == 3
    for page, label, image in zip(stack.children, LABELS, PICTURES):
        text, picture = page.children
        assert text.value == label and picture.format == "jpeg" and picture.width == "300"
        shown = np.asarray(Image.open(io.BytesIO(picture.value)))
        assert shown.shape == image.shape and np.abs(shown.astype(int) - image).max() <= 2


def test_slider_and_pictures_are_linked_in_the_browser():
    slider, stack = picture_slider(PICTURES, LABELS, name="c").children
    links = [widget for widget in _instances.values() if type(widget) is ipywidgets.widgets.widget_link.Link]
    assert any(link.source == (slider, "value") and link.target == (stack, "selected_index") for link in links)


@pytest.mark.parametrize(
    "images, labels, words",
    [
        (PICTURES[:1], LABELS[:1], "at least two and equally many, got 1 and 1"),
        (PICTURES, LABELS[:2], "got 3 and 2"),
        ([PICTURES[0], PICTURES[1].astype(float)], LABELS[:2], r"images must be \(H, W, 3\) uint8, got .* float64"),
    ],
)
def test_bad_input(images, labels, words):
    with pytest.raises(ValueError, match=words):
        picture_slider(images, labels, name="c")
