"""The judge: its parts add up, the outline moves as far as it says, and files are taken only for what they are for."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from stylemixseg.joint.base import NoJudgeError, PixelJudge
from stylemixseg.joint.discriminant import StyleDiscriminant
from stylemixseg.joint.judge import (
    StyleJudge,
    averaged_inside,
    clusters_of,
    fitted_judge,
    load_judge,
    moved_outline,
    save_judges,
)
from stylemixseg.joint.network import Fitting, PixelNetwork, fit_network
from stylemixseg.settings import SegmenterConfig
from stylemixseg.summary import StyleStack

GENERATOR = SimpleNamespace(name="some", digest="a" * 64)
CONFIG = SegmenterConfig(n=4)


@pytest.fixture(scope="module")
def network() -> PixelNetwork:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 12)).astype(np.float32)
    return fit_network(rows, None, (rows[:, 0] > rows[:, 3]).astype(int), Fitting(hidden=4, steps=60, batch=128))


@pytest.fixture
def summary() -> StyleStack:
    return StyleStack(np.random.default_rng(1).integers(0, 256, (4, 3, 16, 16), dtype=np.uint8))


@pytest.fixture
def stored(network, tmp_path):
    path = tmp_path / "some_judge.safetensors"
    prior = np.linspace(-1, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    judges = {4: StyleJudge(network, prior, segments=3, outline=0.01)}
    save_judges(path, judges, GENERATOR, CONFIG, {"made_by": "a test"})
    return path, judges[4]


def test_the_network_alone(network, summary):
    judge = StyleJudge(network)
    assert isinstance(judge, PixelJudge) and judge.entries == 12 and judge.name == "joint"
    np.testing.assert_allclose(judge.score(summary), network.scores(summary)[..., 0].clip(-6, 6))


def test_the_prior_is_added(network, summary):
    prior = np.full((64, 64), 1.5, np.float32)
    plain, with_prior = StyleJudge(network).score(summary), StyleJudge(network, prior).score(summary)
    np.testing.assert_allclose(with_prior - plain, 1.5, atol=1e-5)


def test_half_is_averaged_inside_clusters(network, summary):
    judge = StyleJudge(network, segments=3)
    clusters = clusters_of(summary, 3)
    found, pixels = judge.before_outline(summary, clusters), judge.of_pixels(summary)
    # In so small an image the other half is smoothed by an eighth of a pixel, which is nothing.
    np.testing.assert_allclose(found, (averaged_inside(pixels, clusters) + pixels) / 2, atol=1e-3)
    assert found.std() < pixels.std()


def test_means_inside_clusters():
    values, clusters = np.float32([[1, 3], [5, 8]]), np.array([[0, 0], [2, 2]])
    np.testing.assert_allclose(averaged_inside(values, clusters), [[2, 2], [6.5, 6.5]])


@pytest.mark.parametrize("side", [128, 512])
def test_the_outline_moves_by_its_share_of_the_side(side):
    y, x = np.indices((side, side)) / side - 0.5
    score = (0.25 - np.hypot(x, y)).astype(np.float32)  # a disc
    moved = moved_outline(score, 4 / 512)
    assert moved.shape == (512, 512)
    reach = distance_transform_edt(~(moved_outline(score, 0.0) > 0))[moved > 0].max()
    assert 3 < reach < 5.5
    assert (moved >= moved_outline(score, 0.0)).all()


def test_the_same_mask_with_and_without_an_outline_of_zero(network, summary):
    assert np.array_equal(StyleJudge(network, outline=0.0).score(summary), StyleJudge(network).score(summary))


def test_without_edges_the_outline_is_drawn_in_another_way(network, summary):
    judge = StyleJudge(network, outline=0.02, edges=0.05, outline_alone=0.01)
    alone = judge.without_edges()
    assert (alone.outline, alone.edges) == (0.01, 0.0)
    np.testing.assert_array_equal(alone.score(summary), StyleJudge(network, outline=0.01).score(summary))
    assert alone.without_edges() is alone


def test_bad_settings(network, summary):
    with pytest.raises(ValueError, match=r"edges must be .* got 0\.5"):
        StyleJudge(network, edges=0.5)
    with pytest.raises(ValueError, match=r"outline_alone must be .* got 0\.2"):
        StyleJudge(network, outline_alone=0.2)
    with pytest.raises(ValueError, match=r"outline must be .* got 0\.2"):
        StyleJudge(network, outline=0.2)
    with pytest.raises(ValueError, match="segments must be at least 0"):
        StyleJudge(network, segments=-1)
    with pytest.raises(ValueError, match="summary must have 12 entries"):
        StyleJudge(network).score(np.zeros((4, 4, 15), np.float32))


def test_what_is_stored_comes_back(stored, summary):
    path, judge = stored
    again = load_judge(GENERATOR, CONFIG, path)
    np.testing.assert_array_equal(again.score(summary), judge.score(summary))
    assert (again.segments, again.outline) == (3, 0.01)
    assert json.loads(path.with_suffix(".json").read_text())["made_by"] == "a test"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"n": 5}, "n must be one of 4 for some_judge.safetensors, got 5"),
        ({"cutoff": 7}, "cutoff 7, fitted for 6"),
        ({"style_seed": 1}, "style_seed 1, fitted for 2023"),
        ({"color_space": "rgb"}, "color_space rgb, fitted for lab"),
        ({"include_query": True}, "include_query True, fitted for False"),
    ],
)
def test_another_setting_is_refused(stored, change, message):
    with pytest.raises(NoJudgeError, match=message):
        load_judge(GENERATOR, replace(CONFIG, **change), stored[0])


def test_another_generator_is_refused(stored):
    other = SimpleNamespace(name="other", digest="b" * 64)
    with pytest.raises(NoJudgeError, match="was fitted for some and does not suit other: generator bbbb"):
        load_judge(other, CONFIG, stored[0])
    assert fitted_judge(other, CONFIG) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.with_suffix(".json").write_text("{"),
        lambda path: path.with_suffix(".json").write_text("[]"),
        lambda path: path.with_suffix(".json").write_text("{}"),
        lambda path: path.with_suffix(".json").write_text(
            path.with_suffix(".json").read_text().replace('"fits"', '"fit"')
        ),
    ],
    ids=["cut", "no JSON", "list", "empty", "no fits"],
)
def test_a_damaged_file_is_no_missing_judge(stored, damage):
    path, _ = stored
    damage(path)
    with pytest.raises(ValueError, match="some_judge") as caught:
        load_judge(GENERATOR, CONFIG, path)
    assert not isinstance(caught.value, NoJudgeError)


def test_a_discriminant_is_a_judge_too():
    assert isinstance(StyleDiscriminant(np.zeros(12, np.float32), 0.0), PixelJudge)


def test_the_shipped_one(real_faces):
    for n in (4, 8, 20):
        judge = load_judge(real_faces, SegmenterConfig(n=n))
        assert judge.entries == 3 * n and judge.prior is not None
        assert judge.edges > 0 and judge.outline > judge.without_edges().outline > 0
    assert fitted_judge(real_faces, SegmenterConfig(n=30)) is None
