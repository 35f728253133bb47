"""Foreground rules, against cases worked by hand."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from stylemixseg.foreground import (
    CORNERS,
    CornerMinority,
    EmptyMaskWarning,
    FullMaskWarning,
    Saliency,
    foreground_clusters,
    gaussian_map,
)


def corner(count: int, where: str = "top-left", side: int = 12) -> np.ndarray:
    """Labels (side, side): 0, but `count` pixels of the 4 x 4 square at one corner are cluster 1, the middle is 2."""
    labels = np.zeros((side, side), int)
    labels[5:7, 5:7] = 2
    square = np.zeros(16, int)
    square[:count] = 1
    rows = slice(0, 4) if where.startswith("top") else slice(side - 4, side)
    columns = slice(0, 4) if where.endswith("left") else slice(side - 4, side)
    labels[rows, columns] = square.reshape(4, 4)
    return labels


@pytest.mark.parametrize("where", CORNERS)
@pytest.mark.parametrize(
    "count, theta, background",
    [
        (8, 0.5, True),  # round(0.5 * 16) = 8: at least 8 is background
        (7, 0.5, False),
        (4, 0.25, True),
        (3, 0.25, False),
        (5, 0.3, True),  # round(4.8) = 5
        (4, 0.3, False),
        (5, 0.33, True),  # round(5.28) = 5, so 5 is enough although 5/16 < 0.33
        (4, 0.33, False),
        (16, 1.0, True),
        (15, 1.0, False),
    ],
)
def test_at_least_round_theta_b_squared_is_background(where, count, theta, background):
    rule = CornerMinority(b=4, theta_corner=theta, corners=CORNERS, pooled=False)
    assert rule(corner(count, where), 3).tolist() == [False, not background, True]


def test_only_the_chosen_corners_are_looked_at():
    labels = corner(16, "bottom-left")
    for pooled in (False, True):
        rule = CornerMinority(b=4, theta_corner=0.5, pooled=pooled)
        assert rule.corners == ("top-left", "top-right")  # portraits reach the bottom corners
        assert rule(labels, 3).tolist() == [False, True, True]
        rule = CornerMinority(b=4, theta_corner=0.5, corners=("bottom-left",), pooled=pooled)
        assert rule(labels, 3).tolist() == [True, False, True]


def test_pooled_counts_all_corners_together():
    labels = corner(8)  # 8 of 16 in one corner, 8 of 64 in all four
    each = CornerMinority(b=4, theta_corner=0.5, corners=CORNERS, pooled=False)
    pooled = CornerMinority(b=4, theta_corner=0.5, corners=CORNERS, pooled=True)
    assert each(labels, 3).tolist() == [False, False, True]
    assert pooled(labels, 3).tolist() == [False, True, True]
    # round(0.125 * 64) = 8: the boundary, pooled
    assert not CornerMinority(b=4, theta_corner=0.125, corners=CORNERS, pooled=True)(labels, 3)[1]
    assert CornerMinority(b=4, theta_corner=0.14, corners=CORNERS, pooled=True)(labels, 3)[1]  # round(8.96) = 9
    np.testing.assert_allclose(each.scores(labels, 3), [1, 0.5, 0])
    np.testing.assert_allclose(pooled.scores(labels, 3), [56 / 64, 8 / 64, 0])


@pytest.mark.parametrize(
    "b, shape, side",
    [(3, (12, 20), 3), (0.25, (12, 20), 3), (0.125, (128, 128), 16), (0.125, (256, 300), 32), (0.01, (12, 12), 1)],
)
def test_b_in_pixels_or_of_the_shorter_side(b, shape, side):
    counts, got = CornerMinority(b=b).counts(np.zeros(shape, int), 2)
    assert got == side and counts.tolist() == [[side**2, 0]] * 2


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ({"b": 0}, ValueError, "b must be at least 1, got 0"),
        ({"b": True}, TypeError, "b must be a whole number, got True"),
        ({"b": "4"}, TypeError, "b must be a whole number, got '4'"),
        ({"b": 0.6}, ValueError, r"b as a fraction must be in 0\.\.0\.5, got 0.6"),
        ({"b": 0.0}, ValueError, "b as a fraction"),
        ({"b": float("nan")}, ValueError, "b as a fraction"),
        ({"theta_corner": 1.1}, ValueError, r"theta_corner must be in 0\.\.1, got 1.1"),
        ({"theta_corner": None}, TypeError, "theta_corner must be a number, got None"),
        ({"corners": ()}, ValueError, "corners must name at least one corner, got none"),
        ({"corners": ("top-lft",)}, ValueError, "corners must be one of .* did you mean 'top-left'"),
    ],
)
def test_bad_corner_settings(arguments, error, words):
    with pytest.raises(error, match=words):
        CornerMinority(**arguments)


def test_a_square_larger_than_the_image():
    with pytest.raises(ValueError, match="b must be at most the shorter side, 6 pixels, got 7"):
        CornerMinority(b=7)(np.zeros((6, 9), int), 2)


LABELS = np.array([[0, 0, 1, 1], [0, 2, 2, 1]])
SALIENCY = np.array([[0.0, 0.5, 1.0, 0.75], [0.25, 0.5, 0.5, 0.5]])


def test_saliency_is_the_mean_inside_each_cluster_strictly_above_the_threshold():
    rule = Saliency(0.5, saliency_map=SALIENCY)
    np.testing.assert_allclose(rule.scores(LABELS, 4), [0.25, 0.75, 0.5, 0])  # cluster 3 is empty
    assert rule(LABELS, 4).tolist() == [False, True, False, False]  # 0.5 is not above 0.5
    assert Saliency(0.49, saliency_map=SALIENCY)(LABELS, 3).tolist() == [False, True, True]
    assert Saliency(0.0, saliency_map=SALIENCY)(LABELS, 4).tolist() == [True, True, True, False]


def test_a_users_map_may_be_a_list_and_must_fit():
    assert Saliency(0.5, saliency_map=SALIENCY.tolist())(LABELS, 3).tolist() == [False, True, False]
    with pytest.raises(ValueError, match=r"saliency_map must have the cluster map's size \(3, 3\), got \(2, 4\)"):
        Saliency(0.5, saliency_map=SALIENCY)(np.zeros((3, 3), int), 1)


def test_gaussian_map_by_hand():
    heat = gaussian_map(5, 5, sigma=(0.2, 0.4))
    assert heat[2, 2] == 1 and heat.shape == (5, 5)
    assert heat[1, 2] == pytest.approx(np.exp(-0.5))  # one row is 0.2 of the height: one sigma
    assert heat[0, 2] == pytest.approx(np.exp(-2))
    assert heat[2, 0] == pytest.approx(np.exp(-0.5))  # two columns are 0.4 of the width: one sigma
    assert heat[0, 0] == pytest.approx(np.exp(-2.5))
    np.testing.assert_allclose(heat, heat[::-1])
    np.testing.assert_allclose(heat, heat[:, ::-1])
    moved = gaussian_map(10, 10, sigma=(0.3, 0.3), center=(0.25, 0.75))
    assert np.unravel_index(moved.argmax(), moved.shape) == (2, 7)


def test_gaussian_map_does_not_depend_on_the_size_of_the_image():
    small, large = gaussian_map(8, 6), gaussian_map(24, 18)
    np.testing.assert_allclose(large[1::3, 1::3], small)  # the middle of each 3 x 3 square


def test_the_default_saliency_takes_the_middle():
    labels = np.zeros((20, 20), int)
    labels[5:15, 7:13] = 1
    assert Saliency(0.6)(labels, 2).tolist() == [False, True]


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"theta_saliency": 1.5}, r"theta_saliency must be in 0\.\.1, got 1.5"),
        ({"theta_saliency": float("nan")}, "theta_saliency"),
        ({"sigma": (0.0, 0.3)}, "sigma must be two positive fractions"),
        ({"sigma": (0.5, float("nan"))}, "sigma must be two positive fractions"),
        ({"sigma": (0.5,)}, r"sigma must be two positive fractions .* got \(0.5,\)"),
        ({"center": (0.5,)}, r"center must be two fractions .* got \(0.5,\)"),
        ({"center": (0.5, float("nan"))}, "center must be two fractions"),
        ({"saliency_map": np.zeros(4)}, r"saliency_map must be \(H, W\) with values in 0\.\.1, got shape \(4,\)"),
        ({"saliency_map": np.zeros((0, 4))}, r"saliency_map must be .* got shape \(0, 4\)"),
        ({"saliency_map": np.full((2, 2), 1.1)}, "saliency_map must be"),
        ({"saliency_map": np.full((2, 2), np.nan)}, "saliency_map must be"),
    ],
)
def test_bad_saliency_settings(arguments, words):
    with pytest.raises(ValueError, match=words):
        Saliency(**arguments)


def smallest_cluster(labels, k):
    """A user's rule in five lines: the smallest cluster that is there."""
    sizes = np.bincount(labels.ravel(), minlength=k)
    sizes[sizes == 0] = labels.size
    return np.arange(k) == sizes.argmin()


def test_a_users_rule():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert foreground_clusters(LABELS, 4, smallest_cluster).tolist() == [False, False, True, False]


def test_an_empty_or_full_mask_is_a_warning_with_advice():
    with pytest.warns(EmptyMaskWarning, match="empty mask: Saliency took no cluster .*Lower theta_saliency"):
        assert not foreground_clusters(LABELS, 3, Saliency(1.0, saliency_map=SALIENCY)).any()
    with pytest.warns(FullMaskWarning, match="full mask: CornerMinority took every cluster.*lower k"):
        assert foreground_clusters(np.array([[0, 1], [1, 0]]), 2, CornerMinority(b=2, theta_corner=1)).all()


def test_clusters_that_are_not_there_do_not_count():
    for there, warning in ((False, EmptyMaskWarning), (True, FullMaskWarning)):
        with pytest.warns(warning):  # cluster 3 has no pixel, so what the rule says of it makes no mask
            foreground_clusters(LABELS, 4, lambda labels, k, there=there: np.array([there] * 3 + [not there]))


@pytest.mark.parametrize(
    "rule, words",
    [
        (lambda labels, k: np.array([True]), r"must return \(3,\) bool, got \(1,\) bool"),
        (lambda labels, k: np.array([1, 0, 0]), r"must return \(3,\) bool, got \(3,\) int64"),
        (lambda labels, k: labels == 1, r"must return \(3,\) bool, got \(2, 4\) bool"),
        (lambda labels, k: None, r"must return \(3,\) bool, got \(\) object"),
    ],
)
def test_a_rule_that_returns_something_else(rule, words):
    with pytest.raises(ValueError, match=words):
        foreground_clusters(LABELS, 3, rule)


@pytest.mark.parametrize(
    "labels, k, words",
    [
        (LABELS, 2, r"labels must be in 0\.\.1, got 0\.\.2"),
        (LABELS - 1, 3, r"labels must be in 0\.\.2, got -1\.\.1"),
        (LABELS.astype(float), 3, r"labels must be a \(H, W\) integer array, got \(2, 4\) float64"),
        (LABELS[0], 3, r"got \(4,\) int64"),
        (LABELS[:0], 3, r"got \(0, 4\) int64"),
        (LABELS.tolist(), 3, "got list"),
        (LABELS, 0, "k must be at least 1, got 0"),
    ],
)
@pytest.mark.parametrize("rule", [CornerMinority(b=1), Saliency(), smallest_cluster])
def test_bad_labels(labels, k, words, rule):
    with pytest.raises(ValueError, match=words):
        foreground_clusters(labels, k, rule)
