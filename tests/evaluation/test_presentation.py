"""What notebooks and ledger show results with: tables, comparison pictures, cutouts, and where results lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stylemixseg.evaluation.results import Measurement, results_folder
from stylemixseg.evaluation.tables import measured_cells, measured_text, reported_text, table
from stylemixseg.metrics import confusion
from stylemixseg.viz.compositing import (
    AGREEMENT_COLORS,
    PALETTE,
    agreement_map,
    blend,
    boundary_windows,
    composite,
    cutout,
    overlay_objects,
)


@pytest.fixture
def mask():
    mask = np.zeros((40, 50), bool)
    mask[10:30, 15:35] = True
    return mask


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (2, 40, 50, 3), dtype=np.uint8)


def test_table_has_one_cell_a_column_and_survives_bars_and_line_breaks():
    assert table(["a", "b"], [["1 | 2", "x\ny"]]) == "| a | b |\n| --- | --- |\n| 1 \\| 2 | x y |"
    with pytest.raises(ValueError, match="2 cells, got 1"):
        table(["a", "b"], [["1"]])


def test_measurements_in_words():
    item = Measurement("a.miou", 0.81234, 12, (0.7, 0.9))
    assert measured_text(item) == "0.812 [0.700, 0.900], n = 12"
    assert measured_cells(item) == ["0.812", "0.700 to 0.900", "12"]
    assert measured_cells(Measurement("a.miou", 0.5)) == ["0.500", "", ""]
    assert measured_text(None) == measured_cells(None)[0] == "not measured"
    assert reported_text({"a": 0.8}, "a") == "0.80"
    assert reported_text({"a": 0.8}, "toy.a") == reported_text({"a": 0.8}, None) == "not reported"


def test_agreement_map_has_the_colours_of_the_confusion(mask):
    pred = np.roll(mask, 3, axis=1)
    shown = agreement_map(pred, mask)
    counts = confusion(pred, mask)
    expected = dict(zip(AGREEMENT_COLORS, (counts.tp, counts.fp, counts.fn, counts.tn)))
    for name, color in AGREEMENT_COLORS.items():
        assert (shown == color).all(-1).sum() == expected[name] > 0, name


def test_boundary_windows_are_whole_different_and_on_the_boundary(mask):
    windows = boundary_windows(mask, count=4, side=12)
    details = [mask[window] for window in windows]
    assert all(detail.shape == (12, 12) and detail.any() and not detail.all() for detail in details)
    assert len({(rows.start, columns.start) for rows, columns in windows}) == 4


def test_boundary_windows_need_a_boundary_and_room(mask):
    with pytest.raises(ValueError, match="boundary"):
        boundary_windows(np.zeros_like(mask), 1, 3)
    with pytest.raises(ValueError, match="side must be"):
        boundary_windows(mask, 1, 41)


def test_blend_with_a_hard_alpha_is_the_hard_composition(mask, images):
    front, behind = images
    assert (blend(front, behind, mask.astype(np.float32)) == composite(front, behind, mask)).all()
    half = blend(front, behind, np.full(mask.shape, 0.5))
    assert np.abs(half - (front.astype(float) + behind) / 2).max() <= 0.5


@pytest.mark.parametrize("alpha", [np.full((40, 50), 1.5), np.full((40, 50), np.nan), np.zeros((3, 3))])
def test_blend_refuses_an_alpha_that_is_none(images, alpha):
    with pytest.raises(ValueError, match="alpha must be"):
        blend(*images, alpha)


def test_cutout_keeps_the_image_and_takes_the_mask_as_alpha(mask, images):
    cut = cutout(images[0], mask)
    assert (cut[..., :3] == images[0]).all()
    assert (cut[..., 3] == np.where(mask, 255, 0)).all()


def edges(instance: np.ndarray) -> np.ndarray:
    """Pixels of objects with another value above, below, to the left or to the right; pixel by pixel."""
    found = np.zeros(instance.shape, bool)
    height, width = instance.shape
    for y, x in np.argwhere(instance > 0):
        beside = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        found[y, x] = any(0 <= v < height and 0 <= u < width and instance[v, u] != instance[y, x] for v, u in beside)
    return found


@pytest.mark.parametrize("dtype", [np.int32, np.uint16])
def test_objects_are_tinted_with_a_white_edge_on_grey(images, dtype):
    """One at the border, two that touch, and a number beyond the palette, whose colours go round."""
    image = images[0]
    instance = np.zeros(image.shape[:2], dtype)
    instance[:12, :9], instance[20:30, 10:20], instance[20:30, 20:30] = 1, 2, 3
    instance[5:12, 30:45] = len(PALETTE) + 2
    shown = overlay_objects(image, instance)
    assert shown.shape == image.shape and shown.dtype == np.uint8
    edge = edges(instance)
    assert (shown[edge] == 255).all() and edge[25, 19] and edge[25, 20] and not edge[0, 4]
    for number, colour in ((1, 0), (2, 1), (3, 2), (len(PALETTE) + 2, 1)):
        inner = (instance == number) & ~edge
        expected = (image[inner].astype(float) + PALETTE[colour]) / 2
        assert inner.sum() > 20 and np.abs(shown[inner] - expected).max() < 1
    outside = shown[instance == 0].astype(int)
    assert (outside == outside[:, :1]).all()  # grey
    brightness = image[instance == 0].mean(1)
    assert np.corrcoef(outside[:, 0], brightness)[0, 1] > 0.999
    assert np.ptp(overlay_objects(image, np.zeros_like(instance)), axis=-1).max() == 0  # no object: all grey


@pytest.mark.parametrize(
    "instance, words",
    [
        (np.zeros((40, 49), int), r"instance must be \(40, 50\) integers from 0 on, got \(40, 49\)"),
        (np.zeros((40, 50)), "got .* float64"),
        (np.full((40, 50), -1), "integers from 0 on"),
    ],
)
def test_overlay_refuses_a_map_that_is_none(images, instance, words):
    with pytest.raises(ValueError, match=words):
        overlay_objects(images[0], instance)


def test_results_folder(tmp_path):
    assert results_folder(tmp_path) == results_folder(str(tmp_path)) == tmp_path
    assert results_folder(None) in (Path(__file__).resolve().parents[2] / "book" / "results", Path("results"))
