"""The page's JavaScript gives what Python gives: random numbers, colours, clusters, rules, scores, latents."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from javascript import evaluate, typed

from stylemixseg.clustering import kmeans, permutation
from stylemixseg.colors import planar_colors
from stylemixseg.foreground import CORNERS, CornerMinority, Saliency
from stylemixseg.generators.base import seeded_latent
from stylemixseg.generators.zoo import load_generator
from stylemixseg.metrics import confusion
from stylemixseg.mixing import draw_style_latents, mix_styles, style_mixed_images
from stylemixseg.settings import MixPlan
from stylemixseg.summary import StyleStack


@pytest.fixture(scope="module")
def mixes() -> np.ndarray:
    """Style mixes of a toy portrait, (n, 3, H, W) uint8."""
    generator = load_generator("toy-portrait")
    w0, styles = seeded_latent(generator, 5, 0.7), draw_style_latents(generator, 8, 2023)
    return np.moveaxis(style_mixed_images(generator, w0, styles, MixPlan(6, 64)), 3, 1)


@pytest.mark.parametrize("program", ["node", "chromium"])
def test_the_modules_load_where_they_will_run(program):
    if program == "node" and shutil.which("node") is None:
        pytest.skip("Node is not installed")
    assert evaluate("scores", "m.iou([1, 1, 0, 0], [1, 0, 0, 0])", program) == pytest.approx(
        {"foreground": 1 / 2, "background": 2 / 3, "mean": 7 / 12}
    )


@pytest.mark.parametrize("seed", [0, 1, 1234, 2**31 - 1])
def test_random_orders_are_those_of_faiss(seed):
    assert evaluate("random", f"[...m.permutation(2000, {seed})]") == permutation(2000, seed).tolist()


@pytest.mark.parametrize("space", ["lab", "rgb"])
def test_colours(space):
    image = np.random.RandomState(0).randint(0, 256, (3, 40 * 40)).astype(np.uint8)
    image[:, 0], image[:, 1], image[:, 2] = 0, 255, (10, 0, 0)  # the ends, and the foot of the cube root
    pixels = np.concatenate([image, np.full((1, 1600), 255, np.uint8)]).T
    got = evaluate("colors", f"[...m.colorPlanes({typed(pixels)}, '{space}')]")
    np.testing.assert_allclose(np.reshape(got, (3, -1)), planar_colors(image[None], space)[0], atol=2e-3)


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("most", [100, 10_000])  # some pixels train, or all of them do
def test_clusters(mixes, k, most):
    columns = StyleStack(mixes).tensor().reshape(-1, 3 * len(mixes)).T  # (3n, H W)
    options = {"seed": 3, "restarts": 4, "iterations": 25, "maxPointsPerCluster": most}
    planes = f"[{', '.join(typed(column) for column in columns)}]"
    got = evaluate(
        "kmeans", f"(({{labels, ...rest}}) => [[...labels], rest])(m.kmeans({planes}, {k}, {json.dumps(options)}))"
    )
    labels, rest = np.array(got[0]), got[1]
    expected = kmeans(StyleStack(mixes), k, seed=3, restarts=4, max_points_per_cluster=most)
    assert rest["objective"] == pytest.approx(expected.objective, rel=1e-4)
    assert (labels == expected.labels.ravel()).mean() > 0.999  # the same start: but for rounding, the same clusters
    assert rest["sizes"] == np.bincount(labels, minlength=k).tolist() == sorted(rest["sizes"], reverse=True)


LABELS = np.random.RandomState(4).randint(0, 5, (8, 8)).repeat(4, 0).repeat(4, 1).astype(np.uint8)


def _names(rule: CornerMinority) -> dict:
    return {"b": rule.b, "theta": rule.theta_corner, "corners": rule.corners, "pooled": rule.pooled}


@pytest.mark.parametrize(
    "rule",
    [
        CornerMinority(),
        CornerMinority(b=0.25, theta_corner=0.2, corners=CORNERS, pooled=False),
        CornerMinority(b=0.15625, theta_corner=0.1, corners=CORNERS[2:]),  # 0.15625 of 32 px: a half, to the even side
        CornerMinority(b=0.01, theta_corner=0.0),
    ],
    ids=repr,
)
def test_corner_minority(rule):
    got = evaluate("rules", f"m.cornerMinority({typed(LABELS)}, 6, {json.dumps(_names(rule))})")
    labels = LABELS.astype(int)
    assert got["foreground"] == rule(labels, 6).tolist()
    np.testing.assert_allclose(got["scores"], rule.scores(labels, 6))


@pytest.mark.parametrize("rule", [Saliency(), Saliency(0.5, sigma=(0.3, 0.9), center=(0.4, 0.6))], ids=repr)
def test_saliency(rule):
    settings = {"theta": rule.theta_saliency, "sigma": rule.sigma, "center": rule.center}
    got = evaluate("rules", f"m.saliency({typed(LABELS)}, 6, {json.dumps(settings)})")
    labels = LABELS.astype(int)
    assert got["foreground"] == rule(labels, 6).tolist()
    np.testing.assert_allclose(got["scores"], rule.scores(labels, 6), rtol=1e-6)
    mask = evaluate("rules", f"[...m.maskOf({typed(LABELS)}, {json.dumps(got['foreground'])})]")
    assert mask == rule(labels, 6)[labels].astype(int).ravel().tolist()


def test_iou_of_random_masks():
    masks = np.random.RandomState(6).rand(2, 30, 30) > 0.6
    got = evaluate("scores", f"m.iou({typed(masks[0].astype(np.uint8))}, {typed(masks[1].astype(np.uint8))})")
    expected = confusion(*masks)
    assert (got["foreground"], got["background"]) == pytest.approx((expected.fg_iou, expected.bg_iou))
    assert got["mean"] == pytest.approx(expected.miou)


def test_half_precision():
    numbers = np.concatenate([np.random.RandomState(7).randn(200) * 3, [0, -0.0, 6e-8, 1e-5, 65504]]).astype("<f2")
    got = evaluate("latents", f"[...m.halvesToFloats({typed(numbers.view(np.uint8))}.buffer)]")
    assert got == numbers.astype(float).tolist()


@pytest.mark.parametrize("cutoff", [0, 2, 5])
def test_truncation_and_mixing(small, cutoff):
    face, style = (seeded_latent(small, seed, 1.0) for seed in (1, 2))
    short = seeded_latent(small, 1, 0.7)[0, 0].numpy()
    mean = typed(small.w_avg.numpy())
    got = evaluate("latents", f"[...m.truncated({typed(face[0, 0].numpy())}, {mean}, 0.7)]")
    np.testing.assert_allclose(got, short, rtol=1e-5, atol=1e-6)
    pair = f"{typed(face[0, 0].numpy())}, {typed(style[0, 0].numpy())}"
    mixed = evaluate("latents", f"[...m.mixed({pair}, {cutoff}, {small.num_ws})]")
    np.testing.assert_array_equal(np.reshape(mixed, (small.num_ws, 8)), mix_styles(face, style, cutoff)[0].numpy())
