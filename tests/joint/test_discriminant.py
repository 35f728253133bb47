"""The discriminant: scikit-learn's, blind to a pixel's own colour, the same for every form of X_s."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from stylemixseg import summary as summary_module
from stylemixseg.foreground import CornerMinority, EmptyMaskWarning, Saliency
from stylemixseg.generators.base import seeded_z
from stylemixseg.generators.toyworld.world import ToyWorld
from stylemixseg.joint.base import NoJudgeError, centred, soft_mask
from stylemixseg.joint.discriminant import WEIGHTS_FILE, DiscriminantFit, StyleDiscriminant, fitted_discriminant
from stylemixseg.metrics import confusion, mean_iou
from stylemixseg.segmenter import StyleMixSegmenter
from stylemixseg.settings import SegmenterConfig
from stylemixseg.summary import StyleStack, SummaryColumns

N = 4
SETTINGS = {"cutoff": 6, "color_space": "lab", "style_seed": 2023, "style_truncation": 1.0}
GENERATOR = SimpleNamespace(name="some", digest="a" * 64)


@pytest.fixture
def images():
    """Three summaries (9, 11, 3N) float32, and the masks of two rules that agree on most pixels."""
    rng = np.random.default_rng(0)
    pattern = rng.normal(size=3 * N)
    found = []
    for _ in range(3):
        inside = rng.random((9, 11)) > 0.6
        other = inside ^ (rng.random((9, 11)) > 0.9)
        summary = 50 + 10 * rng.normal(size=(9, 11, 3 * N)) + 15 * inside[..., None] * pattern
        found.append((summary.astype(np.float32), inside, other))
    return found


@pytest.fixture
def fitted(images):
    fit = DiscriminantFit(3 * N)
    for image in images:
        fit.add(*image)
    return fit.solve(shrinkage=0.05)


def without_mean_colour(rows: np.ndarray) -> np.ndarray:
    """Rows (P, 3N) less the mean of their N colours, written out."""
    rows = rows.astype(np.float64)
    for channel in range(3):
        rows[:, channel::3] -= rows[:, channel::3].mean(1, keepdims=True)
    return rows


def test_is_the_discriminant_of_scikit_learn(images, fitted):
    rows = np.concatenate([summary[inside == other] for summary, inside, other in images])
    side = np.concatenate([inside[inside == other] for _, inside, other in images])
    # They mix (1 - s) of the covariance with s of the sphere, we add the sphere: equal up to a factor.
    theirs = LinearDiscriminantAnalysis("lsqr", shrinkage=0.05 / 1.05).fit(without_mean_colour(rows), side)
    np.testing.assert_allclose(fitted.weights, theirs.coef_[0] / 1.05, rtol=1e-3, atol=1e-5)
    prior = np.log(theirs.priors_[1] / theirs.priors_[0])  # they count the rarer side for less, we do not
    assert abs(prior) > 0.1
    assert fitted.bias == pytest.approx((theirs.intercept_[0] - prior) / 1.05, rel=1e-3)


def test_finds_the_sides_it_learnt(images, fitted):
    for summary, inside, _ in images:
        assert ((fitted.score(summary) > 0) == inside).mean() > 0.9


def test_pixels_on_which_the_rules_differ_do_not_count(images, fitted):
    again = DiscriminantFit(3 * N)
    for summary, one, other in images:
        changed = summary.copy()
        changed[one != other] = 1e4
        assert (one != other).any()
        again.add(changed, one, other)
    found = again.solve(shrinkage=0.05)
    assert np.array_equal(found.weights, fitted.weights) and found.bias == fitted.bias


def test_a_pixels_own_mean_colour_does_not_count(images, fitted):
    summary = images[0][0]
    colours = np.random.default_rng(1).uniform(-30, 30, (9, 11, 3)).astype(np.float32)
    tinted = summary + np.tile(colours, N)
    assert np.abs(tinted - summary).max() > 10
    np.testing.assert_allclose(fitted.score(tinted), fitted.score(summary), atol=1e-3)
    assert fitted.weights.reshape(N, 3).sum(0) == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(
        centred(summary.reshape(-1, 3 * N)), without_mean_colour(summary.reshape(-1, 3 * N)), atol=1e-4
    )


def test_every_form_of_the_summary_gives_the_same_score(fitted, monkeypatch):
    monkeypatch.setattr(summary_module, "PIXELS_AT_ONCE", 7)  # more than one block
    stack = StyleStack(np.random.default_rng(2).integers(0, 256, (N, 3, 5, 6), dtype=np.uint8))
    summary = stack.tensor()
    columns = SummaryColumns(torch.from_numpy(summary.reshape(-1, 3 * N).T.copy()), (5, 6))
    expected = (summary.astype(np.float64) * fitted.weights).sum(2) + fitted.bias
    for form in (summary, stack, columns):
        score = fitted.score(form)
        assert score.shape == (5, 6) and score.dtype == np.float32
        np.testing.assert_allclose(score, expected, atol=1e-3)


@pytest.mark.parametrize(
    "form",
    [
        np.zeros((2, 2, 3 * N + 3), np.float32),
        StyleStack(np.zeros((N + 1, 3, 2, 2), np.uint8)),
        SummaryColumns(torch.zeros(3 * N + 3, 4), (2, 2)),
    ],
)
def test_a_summary_of_another_n(fitted, form):
    with pytest.raises(ValueError, match=r"summary must have 12 entries a pixel \(3n\), got 15"):
        fitted.score(form)


def test_soft_mask_is_the_logistic_function():
    score = np.array([-1e4, -2, 0, 1, 1e4], np.float32)
    np.testing.assert_allclose(soft_mask(score), [0, 0.1192029, 0.5, 0.7310586, 1], atol=1e-6)
    assert soft_mask(score).dtype == np.float32


def test_nothing_to_learn_from():
    fit = DiscriminantFit(6)
    fit.add(np.zeros((2, 2, 6), np.float32), np.ones((2, 2), bool), np.ones((2, 2), bool))
    with pytest.raises(ValueError, match="pixels of both sides, got 4 of the foreground and 0 of the background"):
        fit.solve()


def test_shrinkage_must_be_positive(images):
    fit = DiscriminantFit(3 * N)
    fit.add(*images[0])
    for shrinkage in (0, 1.5):
        with pytest.raises(ValueError, match=f"shrinkage must be in .*, got {shrinkage}"):
            fit.solve(shrinkage)


@pytest.fixture
def stored(fitted, tmp_path):
    path = tmp_path / "some_discriminant.json"
    weights = fitted.weights.tolist()
    path.write_text(
        json.dumps(
            {
                "generator": {"name": "some", "sha256": GENERATOR.digest},
                "settings": SETTINGS,
                "fits": {str(m * N): {"weights": m * weights, "bias": fitted.bias} for m in (1, 2)},
            }
        )
    )
    return path


def test_read_for_what_it_was_fitted_for(stored, fitted):
    found = StyleDiscriminant.load(GENERATOR, N, SETTINGS, stored)
    assert np.array_equal(found.weights, fitted.weights) and found.weights.dtype == np.float32
    assert found.bias == fitted.bias


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"cutoff": 8}, "some_discriminant.json does not fit: cutoff 8, fitted for 6$"),
        ({"style_seed": 1, "color_space": "rgb"}, "color_space rgb, fitted for lab; style_seed 1, fitted for 2023"),
    ],
)
def test_other_settings(stored, changes, words):
    with pytest.raises(ValueError, match=words):
        StyleDiscriminant.load(GENERATOR, N, SETTINGS | changes, stored)


def test_another_generator_or_n_or_no_file(stored):
    with pytest.raises(NoJudgeError, match=f"generator {'b' * 64}, fitted for {'a' * 64}"):
        StyleDiscriminant.load(SimpleNamespace(digest="b" * 64), N, SETTINGS, stored)
    with pytest.raises(NoJudgeError, match="n must be one of 4, 8 for some_discriminant.json, got 5"):
        StyleDiscriminant.load(GENERATOR, 5, SETTINGS, stored)
    with pytest.raises(FileNotFoundError):
        StyleDiscriminant.load(GENERATOR, N, SETTINGS, stored.with_name("absent.json"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "{}",
        lambda text: text.replace('"bias"', '"bais"'),
        lambda text: text.replace('"weights": [', '"weights": [NaN, ', 1),
        lambda text: text.replace('"weights": [', '"weights": [1.0, ', 1),
        lambda text: text.replace('"weights": [', '"weights": ["x", ', 1),
    ],
    ids=["cut", "list", "empty", "no bias", "NaN", "one too many", "text"],
)
def test_a_damaged_file_is_no_missing_fit(stored, damage):
    """Who asks whether there is a fit must not take a broken file for "none": another rule would be scored in silence."""
    stored.write_text(damage(stored.read_text()))
    with pytest.raises(
        ValueError, match="some_discriminant.json is not a file of fitted discriminants, or damaged"
    ) as caught:
        StyleDiscriminant.load(GENERATOR, N, SETTINGS, stored)
    assert not isinstance(caught.value, NoJudgeError)


def test_the_shipped_one(real_faces):
    for n in (20, 50):
        judge = StyleDiscriminant.load(real_faces, n, SETTINGS)
        weights = judge.weights.reshape(n, 3)
        assert np.isfinite(judge.weights).all() and np.abs(weights.sum(0)).max() < 1e-4 * np.abs(weights).sum()
    with pytest.raises(ValueError, match="n must be one of 20, 50"):
        StyleDiscriminant.load(real_faces, 30, SETTINGS)


# --------------------------------------------------------------------------------------------- in the segmenter


@pytest.fixture(scope="module")
def world():
    return ToyWorld("portrait", resolution=32)


def query(world, seed):
    return world.mapping(seeded_z(seed, world.z_dim), 0.7)


@pytest.fixture(scope="module")
def learnt(world):
    """From the method's own masks of the toy world, by one rule; no truth takes part."""
    segmenter = StyleMixSegmenter(world, n=12, cutoff=6, k=3, rule=CornerMinority())
    fit = DiscriminantFit(36)
    for seed in range(20, 26):
        summary = segmenter.summary(query(world, seed))
        mask = segmenter.from_summary(query(world, seed), summary).mask
        fit.add(summary, mask, mask)
    return fit.solve()


def test_the_segmenter_judges_pixels_by_it(world, learnt):
    plain = StyleMixSegmenter(world, n=12, cutoff=6, k=3, rule=CornerMinority())
    judged = StyleMixSegmenter(world, plain.config, judge=learnt)
    confusions = []
    for seed in range(2):
        ws = query(world, seed)
        found, by_rule = judged(ws), plain(ws)
        score = learnt.score(plain.summary(ws))
        assert np.array_equal(found.mask, score > 0) and np.array_equal(found.mask, found.confidence > 0.5)
        np.testing.assert_allclose(found.confidence, 1 / (1 + np.exp(-score.astype(np.float64))), atol=1e-3)
        assert found.confidence.dtype == np.float32
        assert np.array_equal(found.clusters, by_rule.clusters)  # made all the same
        assert np.array_equal(found.foreground, by_rule.foreground)
        confusions.append(confusion(found.mask, world.truth(ws)[0].foreground))
    assert mean_iou(confusions, "per_image") > 0.8


def test_smaller_clusterings_are_enlarged(world, learnt):
    small = StyleMixSegmenter(world, n=12, cutoff=6, k=3, resolution=16, judge=learnt)
    found = small(query(world, 0))
    score = learnt.score(small.summary(query(world, 0)))
    assert score.shape == (16, 16)
    assert np.array_equal(found.mask, (score > 0).repeat(2, 0).repeat(2, 1))
    assert np.array_equal(found.mask, found.confidence > 0.5)


def test_a_rule_that_takes_nothing_is_not_warned_of(world, learnt):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        judged = StyleMixSegmenter(world, n=12, cutoff=6, rule=Saliency(1.0), judge=learnt)(query(world, 0))
    assert judged.mask.any() and not judged.foreground.any()
    with pytest.warns(EmptyMaskWarning):
        StyleMixSegmenter(world, n=12, cutoff=6, rule=Saliency(1.0))(query(world, 0))


def test_the_record_names_it(world, learnt):
    found = StyleMixSegmenter(world, n=12, cutoff=6, k=3, judge=learnt)(query(world, 0))
    assert json.loads(json.dumps(found.describe()))["settings"]["judge"] == "discriminant, n = 12"


@pytest.mark.parametrize("settings", [{"n": 8}, {"n": 12, "include_query": True}])
def test_one_for_another_n_is_refused_before_anything_is_drawn(world, learnt, settings):
    entries = 24 if settings["n"] == 8 else 39
    with pytest.raises(
        ValueError, match=f"judge must be for {entries} entries of X_s, got one for 36: it is for n = 12"
    ):
        StyleMixSegmenter(world, cutoff=6, judge=learnt, **settings)


def test_a_discriminant_only_where_one_fits():
    shipped = json.loads(WEIGHTS_FILE.read_text())
    faces = SimpleNamespace(digest=shipped["generator"]["sha256"])
    config = SegmenterConfig(n=20)
    assert len(fitted_discriminant(faces, config).weights) == 60
    for other in (replace(config, n=21), replace(config, cutoff=8), replace(config, color_space="rgb")):
        assert fitted_discriminant(faces, other) is None
    other = SimpleNamespace(digest="0" * 64)
    assert fitted_discriminant(other, config) is None


def test_a_broken_file_of_discriminants_is_not_passed_over(tmp_path, monkeypatch):
    """A photo must not be scored with another rule in silence because a file is damaged."""
    broken = tmp_path / "faces_discriminant.json"
    broken.write_text("{")
    load = StyleDiscriminant.load
    monkeypatch.setattr(StyleDiscriminant, "load", lambda *arguments: load(*arguments, broken))
    with pytest.raises(ValueError, match="damaged"):
        fitted_discriminant(SimpleNamespace(digest="a" * 64), SegmenterConfig())
