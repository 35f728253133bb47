import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import jaccard_score

from stylemixseg.metrics import (
    Confusion,
    bootstrap_interval,
    bootstrap_mean,
    confusion,
    mean_iou,
    paired_difference,
    total,
    trimap_band,
    trimap_confusion,
)

PAIRS = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape))
)
CONFUSIONS = st.lists(st.builds(Confusion, *[st.integers(0, 2**22)] * 4), min_size=1, max_size=12)


def test_hand_worked_counts_and_ious():
    pred = [[1, 1, 0], [0, 0, 0]]
    truth = [[1, 0, 0], [1, 0, 0]]
    counted = confusion(pred, truth)
    assert counted == Confusion(tp=1, fp=1, fn=1, tn=3)
    assert counted.fg_iou == pytest.approx(1 / 3)
    assert counted.bg_iou == pytest.approx(3 / 5)
    assert counted.miou == pytest.approx((1 / 3 + 3 / 5) / 2)


def test_ignored_pixels_do_not_count():
    ignore = [[0, 1, 0], [0, 0, 0]]
    assert confusion([[1, 1, 0], [0, 0, 0]], [[1, 0, 0], [1, 0, 0]], ignore) == Confusion(1, 0, 1, 3)


@pytest.mark.parametrize(
    "pred, truth, fg, bg",
    [(0, 0, 1.0, 1.0), (1, 1, 1.0, 1.0), (0, 1, 0.0, 0.0), (1, 0, 0.0, 0.0)],
)
def test_empty_and_full_masks_are_defined(pred, truth, fg, bg):
    counted = confusion(np.full((3, 4), pred), np.full((3, 4), truth))
    assert (counted.fg_iou, counted.bg_iou) == (fg, bg)


def test_dataset_and_per_image_averages_differ():
    images = [Confusion(tp=90, fp=0, fn=10, tn=0), Confusion(tp=1, fp=1, fn=0, tn=98)]
    assert mean_iou(images, "per_image", "fg_iou") == pytest.approx((0.9 + 0.5) / 2)
    assert mean_iou(images, "dataset", "fg_iou") == pytest.approx(91 / 102)
    assert mean_iou(images, "dataset") == total(images).miou
    assert total(images) == images[0] + images[1] == Confusion(91, 1, 10, 98)


@given(PAIRS)
def test_agrees_with_scikit_learn(pair):
    pred, truth = pair
    counted = confusion(pred, truth)
    for label, value in ((1, counted.fg_iou), (0, counted.bg_iou)):
        # scikit-learn's zero_division=1 covers a class absent from both, as ours is defined.
        assert value == pytest.approx(jaccard_score(truth.ravel(), pred.ravel(), pos_label=label, zero_division=1.0))


@given(PAIRS)
def test_complement_swaps_foreground_and_background(pair):
    pred, truth = pair
    counted, swapped = confusion(pred, truth), confusion(~pred, ~truth)
    assert (counted.fg_iou, counted.bg_iou) == (swapped.bg_iou, swapped.fg_iou)
    assert confusion(truth, pred).miou == counted.miou
    assert 0 <= counted.miou <= 1
    assert counted.tp + counted.fp + counted.fn + counted.tn == truth.size


@given(CONFUSIONS, st.sampled_from(["per_image", "dataset"]), st.sampled_from(["fg_iou", "bg_iou", "miou"]))
def test_averages_agree_with_plain_python_and_intervals_are_ordered(images, average, statistic):
    mean = mean_iou(images, average, statistic)
    if average == "per_image":
        assert mean == pytest.approx(sum(getattr(image, statistic) for image in images) / len(images))
    else:
        assert mean == pytest.approx(getattr(total(images), statistic))
    low, high = bootstrap_interval(images, statistic, average, samples=50)
    values = [getattr(image, statistic) for image in images]
    assert 0 <= low <= high <= 1 + 1e-12
    if average == "per_image":
        assert min(values) - 1e-12 <= low and high <= max(values) + 1e-12


def test_bootstrap_is_seeded_and_agrees_with_drawing_one_by_one():
    random = np.random.default_rng(1)
    images = [Confusion(*random.integers(1, 100, 4)) for _ in range(30)]
    assert bootstrap_interval(images, "miou", "dataset") == bootstrap_interval(images, "miou", "dataset")
    assert bootstrap_interval(images, "miou", "dataset", seed=1) != bootstrap_interval(images, "miou", "dataset")
    for average in ("dataset", "per_image"):
        drawn = [mean_iou([images[i] for i in random.integers(0, 30, 30)], average) for _ in range(2000)]
        expected = np.quantile(drawn, [0.025, 0.975])
        assert bootstrap_interval(images, "miou", average) == pytest.approx(expected, abs=0.01)
    wide, narrow = (bootstrap_interval(images, "miou", "per_image", level=level) for level in (0.95, 0.5))
    assert wide[0] < narrow[0] < mean_iou(images, "per_image") < narrow[1] < wide[1]


def test_one_image_gives_an_interval_without_width():
    image = Confusion(3, 1, 2, 4)
    assert bootstrap_interval([image], "miou", "per_image") == pytest.approx((image.miou, image.miou))


def test_a_paired_difference_agrees_with_drawing_images_one_by_one():
    random = np.random.default_rng(2)
    a, b = ([Confusion(*random.integers(1, 100, 4)) for _ in range(30)] for _ in range(2))
    for average in ("dataset", "per_image"):
        value, interval = paired_difference(a, b, "miou", average)
        assert value == mean_iou(a, average) - mean_iou(b, average)
        drawn = [
            mean_iou([a[i] for i in places], average) - mean_iou([b[i] for i in places], average)
            for places in random.integers(0, 30, (2000, 30))
        ]
        assert interval == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.01)
        assert paired_difference(b, a, "miou", average) == (-value, pytest.approx((-interval[1], -interval[0])))


def test_what_both_methods_share_cancels_in_a_paired_difference():
    """Images of very unequal difficulty, on each of which a is better by one pixel in a hundred."""
    tp = np.linspace(10, 90, 20).astype(int).tolist()
    a, b = ([Confusion(hit - missed, 0, 100 - hit + missed, 100) for hit in tp] for missed in (0, 1))
    value, (low, high) = paired_difference(a, b, "fg_iou", "per_image")
    assert value == pytest.approx(0.01) and (low, high) == pytest.approx((0.01, 0.01))
    assert paired_difference(a, b, "fg_iou", "dataset")[1][0] > 0
    # The intervals of the two alone overlap almost wholly.
    assert bootstrap_interval(b, "fg_iou", "per_image")[1] > bootstrap_interval(a, "fg_iou", "per_image")[0] + 0.1


def test_a_paired_difference_with_itself_is_nothing():
    images = [Confusion(3, 1, 2, 4), Confusion(9, 1, 0, 5)]
    assert paired_difference(images, images, "miou", "dataset") == (0.0, (0.0, 0.0))


def test_trimap_band_widths_by_hand():
    truth = np.zeros((7, 10), bool)
    truth[:, 5:] = True  # one straight boundary between columns 4 and 5; the mask touches three image borders

    def columns(width, side):
        band = trimap_band(truth, width, side)
        assert (band == band[0]).all()  # the image's border is no boundary
        return np.flatnonzero(band[0]).tolist()

    assert columns(1, "both") == [5]
    assert columns(2, "both") == [4, 5]
    assert columns(3, "both") == [4, 5, 6]
    assert columns(1, "per_side") == [4, 5]
    assert columns(3, "per_side") == [2, 3, 4, 5, 6, 7]


def test_trimap_band_is_a_chebyshev_band():
    truth = np.zeros((9, 9), bool)
    truth[4, 4] = True
    band = trimap_band(truth, 2, "per_side")
    expected = np.zeros((9, 9), bool)
    expected[2:7, 2:7] = True
    assert (band == expected).all()


@given(PAIRS, st.integers(1, 4), st.sampled_from(["both", "per_side"]))
def test_trimap_counts_the_band_and_nothing_else(pair, width, side):
    pred, truth = pair
    band = trimap_band(truth, width, side)
    counted = trimap_confusion(pred, truth, width, side)
    assert counted.tp + counted.fp + counted.fn + counted.tn == band.sum()
    assert not band.any() or (band & truth).any()
    assert band.any() == (truth.any() and not truth.all())
    assert trimap_confusion(np.where(band, truth, pred), truth, width, side).miou == 1.0


def test_the_interval_of_a_mean_draws_whole_groups():
    ious = [confusion(np.arange(10)[None] < 5, np.arange(10)[None] < cut) for cut in (3, 5, 8, 9)]
    assert bootstrap_mean([[item.miou] for item in ious]) == pytest.approx(
        bootstrap_interval(ious, "miou", "per_image")
    )
    many = np.random.default_rng(0).normal(5, 2, 400)
    low, high = bootstrap_mean(many[:, None])
    assert (low, high) == pytest.approx((many.mean() - 0.196, many.mean() + 0.196), abs=0.03)  # 1.96 * 2 / 20
    # 400 copies of one scene's values tell no more than the scene: the interval is that of the scenes.
    scenes = np.repeat([[0.0], [1.0], [0.0], [1.0]], 100, axis=1)
    low, high = bootstrap_mean(scenes)
    assert low == 0.0 and high == 1.0
    assert bootstrap_mean([[0.5, 0.1], [], [0.6]]) == bootstrap_mean([[0.5, 0.1], [0.6]])
    assert bootstrap_mean([[0.3]]) == pytest.approx((0.3, 0.3))


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: bootstrap_mean([[], []]), ValueError, "at least one value"),
        (lambda: confusion(np.zeros((2, 3), bool), np.zeros((3, 2), bool)), ValueError, "one size"),
        (lambda: confusion(np.zeros((2, 3)), np.zeros((2, 3), bool)), TypeError, "pred must be bool"),
        (lambda: confusion(np.zeros((2, 3), bool), np.full((2, 3), 255)), ValueError, "truth must hold only 0 and 1"),
        (lambda: confusion(np.zeros(3, bool), np.zeros(3, bool)), ValueError, "shape"),
        (lambda: confusion([[1]], [[1]], [[1, 0]]), ValueError, "ignore"),
        (lambda: Confusion(1, -1, 0, 0), ValueError, "fp"),
        (lambda: Confusion(0.5, 0, 0, 0), TypeError, "tp"),
        (lambda: mean_iou([], "dataset"), ValueError, "at least one"),
        (lambda: mean_iou([0.5], "dataset"), TypeError, "Confusion"),
        (lambda: mean_iou([Confusion(1, 1, 1, 1)], "datset"), ValueError, "dataset"),
        (lambda: bootstrap_interval([Confusion(1, 1, 1, 1)], "iou", "dataset"), ValueError, "statistic"),
        (lambda: bootstrap_interval([Confusion(1, 1, 1, 1)], "miou", "dataset", samples=0), ValueError, "samples"),
        (lambda: paired_difference([], [], "miou", "dataset"), ValueError, "at least one"),
        (lambda: paired_difference([Confusion(1, 1, 1, 1)], [], "miou", "dataset"), ValueError, "1 in a and 0 in b"),
        (lambda: paired_difference([0.5], [0.5], "miou", "dataset"), TypeError, "Confusion"),
        (
            lambda: paired_difference([Confusion(1, 1, 1, 1)], [Confusion(1, 1, 1, 1)], "iou", "dataset"),
            ValueError,
            "statistic",
        ),
        (lambda: trimap_band([[1, 0]], 0), ValueError, "width"),
        (lambda: trimap_band([[1, 0]], 3, "one"), ValueError, "side"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
