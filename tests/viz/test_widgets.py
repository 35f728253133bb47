"""Slider and switches: every picture is in the page, and the browser alone connects them."""

from __future__ import annotations

import base64
import io

import ipywidgets
import numpy as np
import pytest
from bs4 import BeautifulSoup
from ipywidgets.widgets.widget import _instances
from PIL import Image

from stylemixseg.viz.compositing import overlay_objects
from stylemixseg.viz.widgets import object_switches, picture_slider

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


def _scene():
    rng = np.random.default_rng(0)
    instance = np.zeros((16, 24), int)
    instance[2:6, 3:9], instance[8:14, 10:20] = 1, 2
    return rng.integers(0, 256, (16, 24, 3), dtype=np.uint8), instance


def test_switches_show_every_object_as_a_layer():
    image, instance = _scene()
    switches = object_switches(image, instance, ["lamp 1", "a <sofa>"], name="A room", caption="See <it>.", width=240)
    soup = BeautifulSoup(switches.data, "html.parser")
    assert soup.legend.text == "A room" and [label.text for label in soup.find_all("label")] == ["lamp 1", "a <sofa>"]
    assert soup.figure.figcaption.text == "See <it>."
    boxes = soup.find_all("input", type="checkbox")
    assert [label["for"] for label in soup.find_all("label")] == [box["id"] for box in boxes]
    files = [base64.b64decode(img["src"].split(",")[1]) for img in soup.find_all("img")]
    layers = [np.asarray(Image.open(io.BytesIO(file))) for file in files]
    assert [img["alt"] for img in soup.find_all("img")] == ["A room: the scene in grey", "lamp 1", "a <sofa>"]
    # All layers on top of each other are the whole picture; one layer holds its object alone.
    together = layers[0].copy()
    for number, layer in enumerate(layers[1:], 1):
        assert np.array_equal(layer[..., 3] == 255, instance == number) and set(np.unique(layer[..., 3])) == {0, 255}
        together[layer[..., 3] == 255] = layer[layer[..., 3] == 255][:, :3]
    assert np.array_equal(together, overlay_objects(image, instance))
    for box in boxes:
        assert f"#{box['id']}:not(:checked) ~ div .layer-{box['id'][-1]} {{ visibility: hidden }}" in soup.style.text


def test_switches_of_two_scenes_do_not_meet():
    image, instance = _scene()
    texts = [object_switches(image, instance, ["a", "b"], name=name, caption="See.").data for name in ("one", "two")]
    ids = [{box["id"] for box in BeautifulSoup(text, "html.parser").find_all("input")} for text in texts]
    assert not ids[0] & ids[1]


def test_switches_need_a_label_for_each_object():
    with pytest.raises(ValueError, match="objects 1..2, got 1 labels"):
        object_switches(*_scene(), ["lamp"], name="A room", caption="See.")
