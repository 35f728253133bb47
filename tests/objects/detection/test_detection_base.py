"""Detection and box_iou, against counted pixels."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylemixseg.objects.detection.base import Detection, Detector, box_iou

SIDES = st.tuples(st.integers(0, 12), st.integers(1, 8))
PIXEL_BOXES = st.tuples(SIDES, SIDES).map(lambda s: (s[0][0], s[1][0], s[0][0] + s[0][1], s[1][0] + s[1][1]))


def pixels(box) -> np.ndarray:
    """The box painted into an image."""
    x0, y0, x1, y1 = box
    mask = np.zeros((20, 20), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_values_become_floats_and_stay():
    detection = Detection(np.array([1, 2, 4, 7]), "sofa", np.float32(0.5))
    assert detection.box == (1.0, 2.0, 4.0, 7.0) and all(type(value) is float for value in detection.box)
    assert type(detection.score) is float and detection.area == 15
    assert Detection([0, 0, 1, 1], "sofa").score == 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        detection.score = 0.1


def test_a_box_may_reach_out_of_the_image():
    assert Detection((-3.5, -1, 9, 2), "rug").area == pytest.approx(12.5 * 3)


@pytest.mark.parametrize(
    "box, error, words",
    [
        (5, TypeError, "box must be four numbers .* got 5"),
        ((0, 0, 1), TypeError, "box must be four numbers"),
        ((0, 0, 1, "1"), TypeError, "box must be four numbers"),
        ((0, 0, 1, True), TypeError, "box must be four numbers"),
        ("0011", TypeError, "box must be four numbers"),
        ((0, 0, 1, math.nan), ValueError, "box must be finite"),
        ((0, 0, math.inf, 1), ValueError, "box must be finite"),
        ((4, 0, 1, 2), ValueError, "corners are swapped"),
        ((0, 4, 1, 2), ValueError, "corners are swapped"),
        ((1, 0, 1, 2), ValueError, "box must have an area"),
        ((0, 2, 1, 2), ValueError, "box must have an area"),
    ],
)
def test_bad_boxes(box, error, words):
    with pytest.raises(error, match=words):
        Detection(box, "sofa")


@pytest.mark.parametrize(
    "label, score, error, words",
    [
        (None, 1.0, TypeError, "label must be text, got None"),
        (" ", 1.0, ValueError, "label must not be empty"),
        ("sofa", "1", TypeError, "score must be a number, got '1'"),
        ("sofa", True, TypeError, "score must be a number, got True"),
        ("sofa", math.nan, ValueError, r"score must be in 0\.\.1, got nan"),
        ("sofa", 1.01, ValueError, r"score must be in 0\.\.1, got 1.01"),
        ("sofa", -0.01, ValueError, r"score must be in 0\.\.1"),
    ],
)
def test_bad_labels_and_scores(label, score, error, words):
    with pytest.raises(error, match=words):
        Detection((0, 0, 1, 1), label, score)


@given(PIXEL_BOXES, PIXEL_BOXES)
def test_iou_is_that_of_the_pixels(a, b):
    first, second = pixels(a), pixels(b)
    assert box_iou(a, b) == pytest.approx((first & second).sum() / (first | second).sum())
    assert box_iou(a, b) == box_iou(b, a)


def test_iou_by_hand():
    assert box_iou((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert box_iou((0, 0, 2, 2), (2, 0, 4, 2)) == 0  # neighbours share a side and no pixel
    assert box_iou((0, 0, 1, 1), (5, 5, 6, 6)) == 0  # apart in both directions


class Corner:
    """A detector in five lines."""

    name = "corner"

    def __call__(self, image, phrases):
        return [Detection((0, 0, 4, 4), phrase) for phrase in phrases]


def test_the_protocol_asks_for_a_name_and_a_call():
    assert isinstance(Corner(), Detector)
    assert not isinstance(lambda image, phrases: [], Detector)  # no name
