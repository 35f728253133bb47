"""DatasetGAN and Segmentation in Style on a small network: what they learn, what they refuse, and the shared arithmetic."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from stylemixseg.baselines.base import check_features, resized_features
from stylemixseg.baselines.datasetgan import Voting, fit_datasetgan
from stylemixseg.baselines.segmentation_in_style import (
    FeatureClustering,
    drawn_pixels,
    fit_segmentation_in_style,
)
from stylemixseg.generators.base import seeded_latent
from stylemixseg.generators.zoo import load_generator

HOW = Voting(members=3, side=32, pixels_per_image=600, steps=120, batch=128, rate=3e-3)
CLASSES = ("background", "bright")


@pytest.fixture(scope="module")
def network():
    return load_generator("toy-stylegan", engine="torch")


def bright(network, ws) -> np.ndarray:
    """What the labels of these tests are: 1 where the network's own 32 px features add up to much."""
    (features,) = network.feature_maps(ws, [6])
    total = features[0].sum(0)
    return (total > total.median()).byte().numpy()


def examples(network, seeds):
    for seed in seeds:
        ws = seeded_latent(network, seed, 1.0)
        yield ws, bright(network, ws)


@pytest.fixture(scope="module")
def fitted(network):
    return fit_datasetgan(network, examples(network, range(8)), CLASSES, HOW)


def test_labels_of_a_few_images_are_learnt(network, fitted):
    right = [(fitted.labels(ws) == labels).mean() for ws, labels in examples(network, range(20, 24))]
    assert np.mean(right) > 0.85
    ws, labels = next(examples(network, [20]))
    assert np.array_equal(fitted.foreground(ws), fitted.labels(ws) != 0)
    uncertainty = fitted.uncertainty(ws)
    wrong = fitted.labels(ws) != labels
    assert uncertainty.shape == (32, 32) and uncertainty.min() >= 0
    assert uncertainty[wrong].mean() > uncertainty[~wrong].mean()


def test_the_first_layer_is_computed_at_the_maps_own_sizes(network, fitted):
    """Enlarging all features, scaling them, and running each member on every pixel gives the same."""
    ws = seeded_latent(network, 21, 1.0)
    with torch.no_grad():
        maps = network.feature_maps(ws, list(range(network.num_ws - 1)))
        rows = torch.cat([resized_features(features, 32) for features in maps], 1)[0].flatten(1).T
        scores = [
            torch.nn.functional.linear(rows, first, bias)
            for first, bias in zip(fitted._first, fitted._bias, strict=True)
        ]
        expected = torch.stack(
            [network_[1:](score).softmax(1).T.reshape(2, 32, 32) for network_, score in zip(fitted._networks, scores)]
        )
    torch.testing.assert_close(fitted.probabilities(ws), expected, rtol=1e-3, atol=1e-4)


def test_bad_labels(network):
    with pytest.raises(ValueError, match="at least as many images as there are classes, 2, got 1"):
        fit_datasetgan(network, examples(network, [0]), CLASSES, HOW)
    empty = [(ws, np.zeros_like(labels)) for ws, labels in examples(network, range(2))]
    with pytest.raises(ValueError, match="none with bright"):
        fit_datasetgan(network, empty, CLASSES, HOW)
    with pytest.raises(ValueError, match="multiple of 32"):
        fit_datasetgan(network, 2 * [(seeded_latent(network, 0, 1.0), np.zeros((40, 40)))], CLASSES, HOW)


def test_features_that_do_not_fit_into_memory_are_of_fewer_pixels(network):
    latents = [seeded_latent(network, seed, 1.0) for seed in range(3)]
    whole = FeatureClustering(k=4, layer=6, side=32, pixels_per_image=300)
    pixels = drawn_pixels(network, latents, whole)
    limit = pixels.nbytes // 2
    fewer = drawn_pixels(network, latents, replace(whole, memory_limit=limit))
    assert len(pixels) == 900 and len(fewer) == 450 and fewer.nbytes <= limit
    with pytest.raises(ValueError, match="memory_limit must be at least 192 bytes, what one pixel of each of 3 images"):
        drawn_pixels(network, latents, replace(whole, memory_limit=100))
    with pytest.raises(ValueError, match="memory_limit must be at least"):
        fit_datasetgan(network, examples(network, range(3)), CLASSES, replace(HOW, memory_limit=100))
    fitted = fit_datasetgan(network, examples(network, range(3)), CLASSES, replace(HOW, memory_limit=200_000, steps=5))
    assert fitted.labels(latents[0]).shape == (32, 32)


def test_a_generator_without_feature_maps_is_refused():
    world = load_generator("toy-portrait")
    for fit in (
        lambda: fit_datasetgan(world, [], CLASSES, HOW),
        lambda: fit_segmentation_in_style(world, []),
        lambda: check_features(world, "This"),
    ):
        with pytest.raises(
            TypeError, match="reads the feature maps of a generator's layers, and toy-portrait has none"
        ):
            fit()


def test_clusters_are_shared_and_the_background_is_named_once(network):
    latents = [seeded_latent(network, seed, 1.0) for seed in range(6)]
    found = fit_segmentation_in_style(network, latents, FeatureClustering(k=4, layer=6, side=32, pixels_per_image=300))
    ws = latents[0]
    clusters = found.clusters(ws)
    assert clusters.shape == (32, 32) and 1 < len(np.unique(clusters)) <= 4
    with pytest.raises(ValueError, match="must be named first"):
        found.foreground(ws)
    found.by_labels((ws, bright(network, ws) > 0) for ws in latents)
    right = [(found.foreground(ws) == (bright(network, ws) > 0)).mean() for ws in latents]
    assert np.mean(right) > 0.6 and found.background.shape == (4,)
    found.by_corners(latents)
    assert found.background.dtype == bool
    with pytest.raises(ValueError, match="at least k = 9 pixels, got 0"):
        fit_segmentation_in_style(network, [])
    with pytest.raises(ValueError, match="layer"):
        fit_segmentation_in_style(network, latents, FeatureClustering(layer=99))


def test_feature_maps_are_those_of_the_layers(make_mobilestylegan):
    tiny_faces = make_mobilestylegan((16, 16, 8), "tiny")
    ws = seeded_latent(tiny_faces, 0, 1.0)
    layers = list(range(tiny_faces.num_ws - 1))
    found = tiny_faces.feature_maps(ws, layers)
    assert [features.shape[-1] for features in found] == [4 * 2 ** ((layer + 1) // 2) for layer in layers]
    image = tiny_faces.run_layers(found[-1], ws, tiny_faces.num_ws - 1, tiny_faces.num_ws)
    torch.testing.assert_close(image, tiny_faces.synthesis(ws))
    (single,) = tiny_faces.feature_maps(ws, [3])
    torch.testing.assert_close(single, found[3])
    for wrong in ([], [3, 2], [99]):
        with pytest.raises(ValueError, match="layers must"):
            tiny_faces.feature_maps(ws, wrong)
