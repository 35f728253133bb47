"""Which boxes are kept: against hand-worked cases, against kornia, and by property."""

from __future__ import annotations

import time
import tracemalloc
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kornia.geometry.bbox import nms

from stylemixseg.objects.detection.base import Detection, box_iou
from stylemixseg.objects.detection.filtering import BoxOutsideWarning, DetectionFilter, advice, clean

SIZE = (100, 200)  # height, width


def sofa(*box: float, score: float = 0.9, label: str = "sofa") -> Detection:
    return Detection(box, label, score)


def test_boxes_are_clipped():
    keep = DetectionFilter()
    kept = keep([sofa(-10, -5, 300, 50.5, score=0.8), sofa(150, 60, 180, 400)], SIZE)
    assert kept == [sofa(150, 60, 180, 100), sofa(0, 0, 200, 50.5, score=0.8)]
    assert keep([], SIZE) == []


@pytest.mark.parametrize("box", [(210, 10, 260, 60), (200, 10, 260, 60), (10, -50, 60, 0), (-50, -50, -1, 60)])
def test_a_box_outside_the_image_is_dropped_with_a_note(box):
    with pytest.warns(BoxOutsideWarning, match="1 of 2 boxes lie outside the image of 200 x 100 pixels") as caught:
        kept = DetectionFilter()([sofa(10, 10, 60, 60), sofa(*box)], SIZE)
    assert kept == [sofa(10, 10, 60, 60)]
    assert str(tuple(map(float, box))) in str(caught[0].message) and caught[0].filename == __file__


def test_an_unlikely_box_outside_is_not_worth_a_note():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert DetectionFilter()([sofa(210, 10, 260, 60, score=0.1)], SIZE) == []


def test_threshold_is_the_lowest_score_kept():
    boxes = [sofa(0, 0, 9, 9, score=0.3), sofa(20, 0, 29, 9, score=0.2999)]
    assert DetectionFilter(threshold=0.3)(boxes, SIZE) == boxes[:1]
    assert DetectionFilter(threshold=0)(boxes, SIZE) == boxes


def test_sizes_are_those_of_the_clipped_box():
    thin, cut, small = sofa(10, 10, 50, 14), sofa(197, 60, 250, 90), sofa(100, 10, 103.9, 50)
    assert DetectionFilter()([thin, cut, small], SIZE) == [thin]
    assert DetectionFilter(min_side=3)([thin, cut, small], SIZE) == [sofa(197, 60, 200, 90), small, thin]  # by area
    whole, half = sofa(-10, -10, 300, 300, label="room"), sofa(0, 0, 100, 100)
    assert set(DetectionFilter()([whole, half], SIZE)) == {sofa(0, 0, 200, 100, label="room"), half}
    assert DetectionFilter(max_share=0.5)([whole, half], SIZE) == [half]
    assert DetectionFilter(max_share=0.49)([whole, half], SIZE) == []


def test_suppression_by_hand():
    best, near, far = sofa(0, 0, 20, 10), sofa(10, 0, 30, 10, score=0.8), sofa(15, 0, 35, 10, score=0.7)
    assert box_iou(best.box, near.box) == pytest.approx(1 / 3)
    assert box_iou(near.box, far.box) == pytest.approx(3 / 5)
    # `far` overlaps `near` too much, but `near` is gone by then
    assert DetectionFilter(nms_iou=0.3)([far, near, best], SIZE) == [best, far]
    assert DetectionFilter(nms_iou=0.4)([far, near, best], SIZE) == [best, near]
    assert DetectionFilter(nms_iou=0.6)([far, near, best], SIZE) == [best, near, far]  # 0.6 is not above 0.6


def test_labels_suppress_their_own():
    boxes = [sofa(0, 0, 20, 10), sofa(0, 0, 20, 11, score=0.8, label="cushion"), sofa(1, 0, 20, 10, score=0.7)]
    assert DetectionFilter()(boxes, SIZE) == boxes[:2]
    assert DetectionFilter(per_label=False)(boxes, SIZE) == boxes[:1]


def test_of_equal_scores_the_smaller_box_comes_first():
    large, small, other = sofa(0, 0, 20, 10), sofa(0, 0, 18, 10), sofa(50, 50, 60, 60)
    assert DetectionFilter()([large, small, other], SIZE) == [other, small]
    assert DetectionFilter(nms_iou=1)([small, small, small], SIZE) == [small] * 3


def test_top_k_counts_all_labels_together():
    boxes = [sofa(10 * i, 0, 10 * i + 8, 8, score=0.9 - 0.01 * i, label=f"thing {i % 3}") for i in range(12)]
    assert DetectionFilter(top_k=5)(boxes[::-1], SIZE) == boxes[:5]
    assert DetectionFilter()(boxes, SIZE) == boxes


CORNERS = st.tuples(*[st.integers(-15, 60)] * 2, *[st.integers(1, 50)] * 2)
DETECTIONS = st.lists(
    st.builds(
        lambda c, label, score: Detection((c[0], c[1], c[0] + c[2], c[1] + c[3]), label, score / 10),
        CORNERS, st.sampled_from(["sofa", "lamp"]), st.integers(0, 10),
    ),
    max_size=25,
)  # fmt: skip
FILTERS = st.builds(
    DetectionFilter,
    threshold=st.sampled_from([0, 0.3, 0.7]),
    nms_iou=st.floats(0, 1),
    per_label=st.booleans(),
    top_k=st.integers(1, 8),
    min_side=st.integers(1, 12),
    max_share=st.floats(0.1, 1),
)


@pytest.mark.filterwarnings("ignore::stylemixseg.objects.detection.filtering.BoxOutsideWarning")
@given(FILTERS, DETECTIONS)
def test_what_is_kept_has_every_property_that_is_promised(keep, detections):
    kept = keep(detections, (48, 64))
    assert keep(kept, (48, 64)) == kept  # idempotent
    assert len(kept) <= keep.top_k
    assert [(item.score, -item.area) for item in kept] == sorted(((i.score, -i.area) for i in kept), reverse=True)
    for i, item in enumerate(kept):
        x0, y0, x1, y1 = item.box
        assert x0 >= 0 and x1 <= 64 and y0 >= 0 and y1 <= 48
        assert min(x1 - x0, y1 - y0) >= keep.min_side and item.area <= keep.max_share * 48 * 64
        assert item.score >= keep.threshold
        for other in kept[:i]:
            if not keep.per_label or other.label == item.label:
                assert box_iou(item.box, other.box) <= keep.nms_iou


def random_boxes(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 900, (n, 2))
    return np.concatenate([corners, corners + rng.uniform(5, 100, (n, 2))], 1), rng.permutation(n) / n


def test_agrees_with_kornia():
    boxes, scores = random_boxes(400)
    found, dropped = clean(boxes, scores, ["sofa"] * 400)
    expected = nms(torch.from_numpy(boxes), torch.from_numpy(scores), 0.2).tolist()
    kept = DetectionFilter(threshold=0, nms_iou=0.2, top_k=400)(found, (1000, 1000))
    assert dropped == 0 and 50 < len(kept) < 350
    assert [item.box for item in kept] == [tuple(boxes[i]) for i in expected]


def test_ten_thousand_boxes_are_quick_and_need_little_memory():
    found, _ = clean(*random_boxes(10_000), [f"thing {i % 7}" for i in range(10_000)])
    keep = DetectionFilter(threshold=0)
    tracemalloc.start()
    started = time.perf_counter()
    kept = keep(found, (1000, 1000))
    seconds, peak = time.perf_counter() - started, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(kept) == 100
    assert peak < 20e6  # a table of all pairs would be 800 MB
    assert seconds < 5


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ({"threshold": 1.1}, ValueError, r"threshold must be in 0\.\.1, got 1.1"),
        ({"threshold": float("nan")}, ValueError, "threshold must be in"),
        ({"threshold": None}, TypeError, "threshold must be a number, got None"),
        ({"nms_iou": -0.1}, ValueError, r"nms_iou must be in 0\.\.1"),
        ({"per_label": 1}, TypeError, "per_label must be True or False, got 1"),
        ({"top_k": 0}, ValueError, "top_k must be at least 1, got 0"),
        ({"top_k": 1.5}, TypeError, "top_k must be a whole number"),
        ({"min_side": 0.5}, ValueError, r"min_side must be in 1\.\."),
        ({"max_share": 2}, ValueError, r"max_share must be in 0\.\.1, got 2"),
    ],
)
def test_bad_settings(arguments, error, words):
    with pytest.raises(error, match=words):
        DetectionFilter(**arguments)


@pytest.mark.parametrize(
    "detections, size, error, words",
    [
        ([(0, 0, 1, 1)], SIZE, TypeError, r"detections must hold Detection objects, got \(0, 0, 1, 1\)"),
        ([], (0, 5), ValueError, "height must be at least 1, got 0"),
        ([], (5, 2.5), TypeError, "width must be a whole number, got 2.5"),
        ([], (5, 5, 3), TypeError, r"size must be \(height, width\) in pixels, got \(5, 5, 3\)"),
        ([], 5, TypeError, "size must be"),
    ],
)
def test_bad_input(detections, size, error, words):
    with pytest.raises(error, match=words):
        DetectionFilter()(detections, size)


def test_clean_drops_what_a_network_should_not_have_said():
    nan, inf = float("nan"), float("inf")
    rows = [
        ((0, 0, 4, 4), 0.5, "good"),
        ((0, 0, nan, 4), 0.5, "NaN corner"),
        ((0, -inf, 4, 4), 0.5, "infinite corner"),
        ((4, 0, 0, 4), 0.5, "swapped"),
        ((0, 4, 4, 0), 0.5, "swapped"),
        ((2, 0, 2, 4), 0.5, "no area"),
        ((0, 0, 4, 4), nan, "NaN score"),
        ((0, 0, 4, 4), inf, "infinite score"),
        ((0, 0, 4, 4), 1.5, "no confidence"),
        ((0, 0, 4, 4), -0.5, "no confidence"),
        ((0, 0, 4, 4), 0.5, " "),
        ((-3, 0, 900, 4), 1.0004, "a hair above 1"),
        ((0, 0, 4, 4), -1e-5, "a hair below 0"),
    ]
    boxes, scores, labels = zip(*rows)
    found, dropped = clean(np.array(boxes, np.float32), np.array(scores, np.float32), labels)
    assert found == [
        Detection((0, 0, 4, 4), "good", 0.5),
        Detection((-3, 0, 900, 4), "a hair above 1", 1.0),
        Detection((0, 0, 4, 4), "a hair below 0", 0.0),
    ]
    assert dropped == 10
    assert clean(np.zeros((0, 4)), np.zeros(0), []) == ([], 0)


@pytest.mark.parametrize(
    "boxes, scores, labels, words",
    [
        (np.zeros(4), np.zeros(1), ["sofa"], r"boxes must have shape \(N, 4\), got \(4,\)"),
        (np.zeros((2, 5)), np.zeros(2), ["sofa"] * 2, r"boxes must have shape \(N, 4\), got \(2, 5\)"),
        (np.zeros((2, 4)), np.zeros((2, 1)), ["sofa"] * 2, r"scores and labels must be 2, .* got \(2, 1\) and 2"),
        (np.zeros((2, 4)), np.zeros(2), ["sofa"], r"scores and labels must be 2, .* got \(2,\) and 1"),
    ],
)
def test_clean_refuses_other_shapes(boxes, scores, labels, words):
    with pytest.raises(ValueError, match=words):
        clean(boxes, scores, labels)


def test_advice_when_all_is_well():
    boxes = [sofa(0, 0, 9, 9)]
    assert advice(["sofa"], boxes, boxes, 0.3) == ""


def test_advice_names_the_best_score_below_the_threshold():
    found = [
        sofa(0, 0, 9, 9, score=0.1, label="lamp"),
        sofa(0, 0, 9, 9, score=0.299, label="lamp"),
        sofa(0, 0, 9, 9, score=0.2, label="rug"),
    ]
    text = advice(["lamp", "rug"], found, [], 0.3)
    assert text.startswith("no box kept for 'lamp', 'rug'. The best score below the threshold 0.3 was 0.29, for 'lamp'")
    assert DetectionFilter(threshold=0.29)(found, SIZE) == found[1:2]  # the advice helps
    assert "no box at all" not in text and "high enough" not in text


def test_advice_when_the_detector_saw_nothing():
    assert advice(["lamp", "rug"], [], [], 0.3) == (
        "no box kept for 'lamp', 'rug'. The detector gave no box at all for 'lamp', 'rug': the image may not show it; "
        "else try other, plainer English nouns."
    )
    kept = [sofa(0, 0, 9, 9, label="rug")]
    assert advice(["lamp", "rug"], kept, kept, 0.3).startswith("no box kept for 'lamp'. The detector gave no box")
    assert "'f' and" not in advice(list("abcdefgh"), [], [], 0.3)
    assert "'d', 'e' and 3 more" in advice(list("abcdefgh"), [], [], 0.3)


def test_advice_when_the_score_was_high_enough():
    found = [sofa(0, 0, 2, 2, label="lamp")]
    keep = DetectionFilter()
    text = advice(["lamp"], found, keep(found, SIZE), keep.threshold)
    assert text.startswith("no box kept for 'lamp'. The score of 'lamp' was high enough") and "min_side" in text
    assert "below the threshold" not in text
