"""Pairs of a set: which masks are read, which samples are taken, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from judges import BrightJudge

from stylemixseg.factory.filters import Filters
from stylemixseg.factory.recipe import IGNORE, Recipe
from stylemixseg.factory.run import synthesize
from stylemixseg.factory.store import Store
from stylemixseg.foreground import CornerMinority
from stylemixseg.settings import SegmenterConfig
from stylemixseg.students.pairs import DOUBT, pairs_of_set, shifted

SIDE = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    config = SegmenterConfig(n=8, k=3, rule=CornerMinority(), judge=BrightJudge(doubt=8.0, middle=48.0))
    out = tmp_path_factory.mktemp("set") / "pairs"
    synthesize(out, Recipe("toy-portrait", config, size=SIDE), 4, first=5)
    return out


def test_each_kind_of_mask(folder):
    sample = Store(folder).read(5)
    found = {name: pairs_of_set(folder, SIDE, masks=name).masks[0].numpy() for name in ("soft", "hard", "sure", "rule")}
    np.testing.assert_array_equal(found["soft"], sample.pixels("soft.png"))
    np.testing.assert_array_equal(found["hard"], np.where(sample.pixels("soft.png") > 127, 255, 0))
    np.testing.assert_array_equal(found["rule"], sample.pixels("rule.png"))
    labels = sample.pixels("mask.png").astype(int)
    of_labels = np.choose(np.where(labels == IGNORE, 2, labels), [0, 255, DOUBT])
    on_the_edge = np.abs(np.abs(sample.pixels("soft.png") / 255 - 0.5) - 0.1) < 1 / 255  # a file has 256 values
    np.testing.assert_array_equal(found["sure"][~on_the_edge], of_labels[~on_the_edge])
    assert (labels == IGNORE).any() and not np.array_equal(found["rule"], found["hard"])


def test_a_threshold_takes_what_is_below_it_for_background(folder):
    soft = Store(folder).read(5).pixels("soft.png")
    hard = pairs_of_set(folder, SIDE, masks="hard", threshold=0.79).masks[0].numpy()
    np.testing.assert_array_equal(hard, np.where(soft > 0.79 * 255, 255, 0))
    assert 0 < hard.mean() < pairs_of_set(folder, SIDE, masks="hard").masks[0].numpy().mean()
    changed = shifted(np.array([0.0, 0.5, 0.8, 1.0], np.float32), 0.8)
    np.testing.assert_allclose(changed, [0, 0.2, 0.5, 1], atol=1e-6)
    with pytest.raises(ValueError, match="threshold must be in"):
        pairs_of_set(folder, SIDE, threshold=1.0)


def test_seeds_and_filters(folder):
    assert len(pairs_of_set(folder, SIDE)) == 4
    some = pairs_of_set(folder, SIDE, seeds=range(6, 8))
    np.testing.assert_array_equal(some.images, pairs_of_set(folder, SIDE).images[1:3])
    shares = sorted(Store(folder).read(seed).record["mask_share"] for seed in range(5, 9))
    assert len(pairs_of_set(folder, SIDE, Filters(mask_share=(shares[1], 1)))) == 3


def test_what_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="masks must be one of"):
        pairs_of_set(folder, SIDE, masks="harsh")
    with pytest.raises(FileNotFoundError, match="synthesize"):
        pairs_of_set(tmp_path / "none", SIDE)
    with pytest.raises(ValueError, match="at least one"):
        pairs_of_set(folder, SIDE, seeds=[99])
    plain = SegmenterConfig(n=8, k=3, rule=CornerMinority())
    synthesize(tmp_path / "plain", Recipe("toy-portrait", plain, size=SIDE), 1)
    with pytest.raises(ValueError, match=r"rule\.png"):
        pairs_of_set(tmp_path / "plain", SIDE, masks="rule")
