"""Figures: what is drawn where, and clear errors."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from stylemixseg.viz.plotting import heatmap, image_grid, image_row, lines, strip

IMAGE = np.zeros((4, 5, 3), np.uint8)


@pytest.fixture(autouse=True)
def nothing_left_open():
    """A notebook would show an open figure twice."""
    yield
    assert plt.get_fignums() == []


def test_a_grid_of_images_masks_and_maps():
    mask, soft = np.eye(4, dtype=bool), np.full((4, 4), 0.5)
    figure = image_grid([[IMAGE, mask], [soft, None]], column_titles=["a", "b"], row_titles=["c", "d"])
    axes = np.reshape(figure.axes, (2, 2))
    assert [axis.get_title() for axis in axes[0]] == ["a", "b"]
    assert [axis.get_ylabel() for axis in axes[:, 0]] == ["c", "d"]
    assert [len(axis.images) for axis in axes.flat] == [1, 1, 1, 0]
    assert not any(len(axis.get_xticks()) or len(axis.get_yticks()) for axis in axes.flat)
    # Masks and maps keep their meaning: 0 is black and 1 white, even in a map that is the same everywhere.
    assert axes[0, 1].images[0].get_clim() == axes[1, 0].images[0].get_clim() == (0, 1)


def test_grey_images_of_8_bits_keep_their_scale():
    figure = image_row([np.full((4, 4), 100, np.uint8)])
    assert figure.axes[0].images[0].get_clim() == (0, 255)


def test_a_row():
    figure = image_row([IMAGE] * 3, ["x", "y", "z"])
    assert [axis.get_title() for axis in figure.axes] == ["x", "y", "z"]


@pytest.mark.parametrize("rows", [[], [[]], [[IMAGE], [IMAGE, IMAGE]]])
def test_uneven_rows(rows):
    with pytest.raises(ValueError, match="rows must hold at least one image each, all the same number, got"):
        image_grid(rows)


def test_heatmap_writes_each_number_and_leaves_gaps_empty():
    figure = heatmap(
        [[0.1, 0.25, 0.9], [0.5, np.nan, 0.7]], ["r", "s"], ["1", "2", "3"], rows="row", columns="column", title="t"
    )
    (axis,) = figure.axes
    texts = {text.get_position(): text.get_text() for text in axis.texts}
    assert texts == {(0, 0): "0.10", (1, 0): "0.25", (2, 0): "0.90", (0, 1): "0.50", (2, 1): "0.70"}
    colours = {text.get_text(): text.get_color() for text in axis.texts}
    assert colours["0.10"] == "white" and colours["0.90"] == "black"  # readable on dark and on bright cells
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "2", "3"]
    assert (axis.get_xlabel(), axis.get_ylabel(), axis.get_title()) == ("column", "row", "t")
    assert axis.images[0].get_clim() == (0.1, 0.9)
    shared = heatmap([[0.5]], ["r"], ["1"], rows="", columns="", title="", limits=(0, 1))
    assert shared.axes[0].images[0].get_clim() == (0, 1)


def test_heatmap_with_other_labels():
    with pytest.raises(ValueError, match=r"values must be \(1, 2\), got \(2, 2\)"):
        heatmap(np.zeros((2, 2)), ["r"], ["1", "2"], rows="", columns="", title="")


def test_strip_shows_every_value():
    groups = {"one": [0.1, 0.2, 0.3, 0.3], "two": [0.5]}
    figure = strip(groups, values="mIoU", intervals={"one": (0.15, 0.3), "two": (0.4, 0.6)})
    (axis,) = figure.axes
    assert [sorted(dots.get_offsets()[:, 0].tolist()) for dots in axis.collections] == [[0.1, 0.2, 0.3, 0.3], [0.5]]
    bars = [line.get_xdata() for line in axis.lines[::2]]
    assert [tuple(bar) for bar in bars] == [(0.15, 0.3), (0.4, 0.6)]
    assert [line.get_xdata()[0] for line in axis.lines[1::2]] == pytest.approx([0.225, 0.5])
    assert axis.get_xlabel() == "mIoU" and axis.yaxis_inverted()  # the first on top


def test_lines_with_intervals():
    intervals = {"a": [(0, 2), (1, 3)], "b": [(2, 4)] * 2}
    figure = lines([0, 10], {"a": [1, 2], "b": [3, 4]}, xlabel="c", ylabel="mIoU", intervals=intervals)
    (axis,) = figure.axes
    assert [line.get_label() for line in axis.lines] == ["a", "b"]
    assert axis.lines[1].get_ydata().tolist() == [3, 4]
    assert len({(line.get_color(), line.get_marker(), line.get_linestyle()) for line in axis.lines}) == 2
    bars = [bar.get_segments() for bar in axis.collections]
    assert [segment[:, 1].tolist() for segment in bars[0]] == [[0, 2], [1, 3]]
    assert bars[0][0][0, 0] != bars[1][0][0, 0]  # side by side
    assert len(lines([1], {"a": [1]}, xlabel="", ylabel="").axes[0].collections) == 0
