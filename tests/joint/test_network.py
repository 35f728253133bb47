"""The pixel network: blind to a pixel's own colour, one answer for every form of X_s, and it learns what it is shown."""

from __future__ import annotations

import numpy as np
import pytest

from stylemixseg.joint import network as network_module
from stylemixseg.joint.network import Fitting, PixelNetwork, fit_network
from stylemixseg.joint.place import place_features
from stylemixseg.summary import StyleStack, SummaryColumns

QUICK = Fitting(hidden=16, steps=400, batch=256, learning_rate=1e-2)


def made_rows(pixels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows (P, 12) of which half move with the styles one way and half another, and which half each is of."""
    rng = np.random.default_rng(seed)
    pattern = rng.normal(size=(2, 12))  # drawn first: the same for any number of pixels
    side = rng.integers(0, 2, pixels)
    rows = 40 + 30 * rng.random((pixels, 1)) + 10 * pattern[side] + 2 * rng.normal(size=(pixels, 12))
    return rows.astype(np.float32), side


@pytest.fixture(scope="module")
def learnt() -> PixelNetwork:
    rows, side = made_rows(2000)
    return fit_network(rows, None, side, QUICK)


def stack(seed: int = 0) -> StyleStack:
    return StyleStack(np.random.default_rng(seed).integers(0, 256, (4, 3, 10, 14), dtype=np.uint8))


def test_learns_what_it_is_shown_and_gives_log_odds(learnt):
    rows, side = made_rows(600, seed=0)
    score = learnt.scores(rows.reshape(20, 30, 12))[..., 0].ravel()
    assert score.dtype == np.float32
    assert ((score > 0) == side).mean() > 0.98


def test_a_pixels_own_mean_colour_does_not_count(learnt):
    rows, _ = made_rows(60)
    shifted = rows + np.tile(np.float32([7, -3, 11]), 4)
    first, second = (learnt.scores(some.reshape(6, 10, 12)) for some in (rows, shifted))
    np.testing.assert_allclose(first, second, atol=1e-3)


def test_every_form_of_the_summary_gives_the_same(learnt):
    from_bytes = learnt.scores(stack())
    from_array = learnt.scores(stack().tensor())
    on_device = learnt.scores(SummaryColumns.of(stack(), "cpu"))
    np.testing.assert_allclose(from_bytes, from_array, atol=1e-3)
    np.testing.assert_allclose(from_bytes, on_device, atol=1e-3)


def test_bands_change_nothing(learnt, monkeypatch):
    whole = learnt.scores(stack())
    monkeypatch.setattr(network_module, "_BAND", 30)  # two rows of pixels at once
    np.testing.assert_allclose(learnt.scores(stack()), whole, atol=1e-3)


def test_place_can_decide():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3000, 6)).astype(np.float32)
    places = place_features(50, 60).reshape(3000, -1)
    lower = (np.arange(3000) // 60 >= 25).astype(int)
    network = fit_network(rows, places, lower, QUICK)
    score = network.scores(rng.normal(size=(50, 60, 6)).astype(np.float32))[..., 0]
    assert score[:20].max() < 0 < score[30:].min()


def test_several_outputs_are_scores_of_classes():
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, 3000)
    rows = (20 * np.eye(3)[kind] @ rng.normal(size=(3, 12)) + rng.normal(size=(3000, 12))).astype(np.float32)
    network = fit_network(rows, None, kind, QUICK, outputs=3)
    assert (network.scores(rows.reshape(50, 60, 12)).argmax(2).ravel() == kind).mean() > 0.95


def test_equal_seeds_give_equal_networks_and_the_global_generator_stays(learnt):
    import torch

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    rows, side = made_rows(2000)
    again = fit_network(rows, None, side, QUICK)
    assert torch.equal(torch.rand(3), expected)
    assert np.array_equal(again.of_row, learnt.of_row) and np.array_equal(again.later[1][0], learnt.later[1][0])
    assert not np.array_equal(fit_network(rows, None, side, QUICK, seed=1).of_row, learnt.of_row)


def test_bad_input(learnt):
    with pytest.raises(ValueError, match="must have 12 entries a pixel"):
        learnt.scores(np.zeros((4, 4, 9), np.float32))
    rows, _ = made_rows(50)
    with pytest.raises(ValueError, match=r"targets must hold pixels of every class, got \[50, 0\]"):
        fit_network(rows, None, np.zeros(50, int), QUICK)
    with pytest.raises(ValueError, match="hidden must be at least 1"):
        Fitting(hidden=0)
