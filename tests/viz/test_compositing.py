"""Composition, colours and overlays, on images of a few pixels."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from stylemixseg.viz import compositing
from stylemixseg.viz.compositing import (
    AGREEMENT_COLORS,
    PALETTE,
    agreement_map,
    blend,
    boundary_windows,
    clusters_to_color,
    composite,
    cutout,
    in_bands,
    outline_width,
    overlay,
    overlay_objects,
)

RED = np.broadcast_to(np.array([200, 0, 0], np.uint8), (2, 3, 3))
BLUE = np.broadcast_to(np.array([0, 0, 100], np.uint8), (2, 3, 3))
MASK = np.array([[True, False, False], [True, True, False]])


def test_composite_takes_each_pixel_whole():
    out = composite(RED, BLUE, MASK)
    assert out.dtype == np.uint8 and out.shape == (2, 3, 3)
    assert (out[MASK] == [200, 0, 0]).all() and (out[~MASK] == [0, 0, 100]).all()
    assert np.array_equal(composite(RED, BLUE, MASK.astype(int)), out)


def test_blend_mixes_and_agrees_with_composite_at_the_ends():
    alpha = np.array([[0, 0.25, 1], [0.5, 0.999, 0.5]])
    out = blend(RED, BLUE, alpha)
    assert out.dtype == np.uint8
    assert out[0].tolist() == [[0, 0, 100], [50, 0, 75], [200, 0, 0]]
    assert out[1].tolist() == [[100, 0, 50], [200, 0, 0], [100, 0, 50]]
    assert np.array_equal(blend(RED, BLUE, MASK.astype(np.float32)), composite(RED, BLUE, MASK))


def test_cutout_has_the_mask_as_alpha():
    out = cutout(RED, MASK)
    assert out.shape == (2, 3, 4) and out.dtype == np.uint8
    assert out[..., 3].tolist() == [[255, 0, 0], [255, 255, 0]] and np.array_equal(out[..., :3], RED)


def test_clusters_have_different_colours():
    labels = np.array([[0, 1], [2, 13]])
    out = clusters_to_color(labels)
    assert out.shape == (2, 2, 3) and np.array_equal(out[0, 1], PALETTE[1])
    assert np.array_equal(out[1, 1], PALETTE[1])  # after 12 clusters colours repeat
    assert len({tuple(colour) for colour in PALETTE}) == len(PALETTE) == 12


def test_overlay_keeps_the_object_and_darkens_the_rest():
    image = np.full((6, 6, 3), (200, 100, 60), np.uint8)
    mask = np.zeros((6, 6), bool)
    mask[:, :3] = True
    out = overlay(image, mask)
    assert (out[:, :2] == image[:, :2]).all()  # inside, untouched
    assert (out[:, 2] == PALETTE[1]).all()  # the line, on the last column inside
    assert (out[:, 3:] == 42).all()  # grey, 0.35 * 120
    assert (image == (200, 100, 60)).all()  # the input is not written to
    large = np.zeros((1024, 1024), bool)
    large[:, :500] = True
    line = (overlay(np.zeros((1024, 1024, 3), np.uint8), large) == PALETTE[1]).all(-1)
    assert (line.sum(1) == 4).all()  # thicker on a large image


@pytest.mark.parametrize("value, shown", [(True, 100), (False, 35)])
def test_overlay_of_a_mask_without_boundary(value, shown):
    assert (overlay(np.full((4, 4, 3), 100, np.uint8), np.full((4, 4), value)) == shown).all()


def test_agreement_of_every_kind():
    out = agreement_map(np.array([[1, 1], [0, 0]]), np.array([[1, 0], [1, 0]]))
    assert out.reshape(4, 3).tolist() == [list(colour) for colour in AGREEMENT_COLORS.values()]


@pytest.mark.parametrize("size", [(40, 30), (700, 800), (1, 7)])
@pytest.mark.parametrize("band", [30, 900, 10**6])
def test_a_picture_in_bands_is_the_whole_picture(monkeypatch, size, band):
    monkeypatch.setattr(compositing, "_BAND_PIXELS", band)
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (*size, 3), dtype=np.uint8)
    instance = random.integers(0, 3, size)
    mask = instance > 0
    line = outline_width(size)
    found = in_bands(partial(overlay, line=line), image, mask, halo=line)
    np.testing.assert_array_equal(np.asarray(found), overlay(image, mask))
    found = in_bands(overlay_objects, image, instance, halo=1)
    np.testing.assert_array_equal(np.asarray(found), overlay_objects(image, instance))
    np.testing.assert_array_equal(np.asarray(in_bands(lambda rows: rows, image)), image)


def test_windows_lie_on_the_boundary_and_apart():
    mask = np.zeros((100, 80), bool)
    mask[30:70, 20:60] = True
    windows = boundary_windows(mask, 4, 16)
    assert len({(rows.start, columns.start) for rows, columns in windows}) == 4
    for rows, columns in windows:
        part = mask[rows, columns]
        assert part.shape == (16, 16) and part.any() and not part.all()
    assert windows[0][0].start == 29 - 8  # around the topmost row of the boundary
    assert boundary_windows(mask, 1, 16) == windows[:1]


def test_a_window_at_the_border_stays_inside():
    mask = np.zeros((20, 20), bool)
    mask[0, 0] = True
    ((rows, columns),) = boundary_windows(mask, 1, 12)
    assert (rows, columns) == (slice(0, 12), slice(0, 12))


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: composite(RED, BLUE[:1], MASK), ValueError, r"one size, got \(2, 3\), \(1, 3\) and \(2, 3\)"),
        (lambda: composite(RED, BLUE, MASK.T), ValueError, r"and \(3, 2\)"),
        (lambda: composite(RED.astype(float), BLUE, MASK), ValueError, r"foreground must be \(H, W, 3\) uint8"),
        (lambda: composite(RED, BLUE[..., :2], MASK), ValueError, r"background must be .* got \(2, 3, 2\)"),
        (lambda: composite(RED, BLUE, MASK.astype(float)), TypeError, "mask must be bool or integers"),
        (lambda: composite(RED, BLUE, MASK * np.uint8(255)), ValueError, "mask must hold only 0 and 1"),
        (lambda: blend(RED, BLUE, MASK), ValueError, r"alpha must be floats .* got \(2, 3\) bool"),
        (lambda: blend(RED, BLUE, np.zeros((3, 2))), ValueError, r"alpha must be floats of the images' size"),
        (lambda: blend(RED, BLUE, np.full((2, 3), 1.5)), ValueError, r"alpha must be in 0\.\.1, got 1.5"),
        (lambda: blend(RED, BLUE, np.full((2, 3), np.nan)), ValueError, "alpha must be in"),
        (lambda: cutout(RED, MASK.T), ValueError, "image and mask must have one size"),
        (lambda: overlay(RED, MASK.T), ValueError, "image and mask must have one size"),
        (lambda: clusters_to_color(MASK), ValueError, r"labels must be \(H, W\) integers .* bool"),
        (lambda: clusters_to_color(np.array([[-1]])), ValueError, "labels must be .* from 0 on"),
        (lambda: agreement_map(MASK, MASK.T), ValueError, r"one size, got \(2, 3\) and \(3, 2\)"),
        (lambda: boundary_windows(MASK, 0, 1), ValueError, "count must be at least 1, got 0"),
        (lambda: boundary_windows(MASK, 1, 3), ValueError, r"side must be in 1\.\.2, got 3"),
        (lambda: boundary_windows(MASK | True, 1, 1), ValueError, "mask must have a boundary, got one class only"),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()
