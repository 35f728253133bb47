"""Labels4Free on a small network: what it trains, that it goes on where it was, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from stops import StopsAfter

from stylemixseg.baselines.labels4free import (
    AlphaNetwork,
    Compositing,
    _layers_up_to,
    _Pool,
    fit_labels4free,
    regularisers,
    weak_discriminator,
)
from stylemixseg.generators.base import PaintsBackgrounds, seeded_latent
from stylemixseg.generators.zoo import load_generator
from stylemixseg.training import Stopping, TrainingStateError

HOW = Compositing(side=16, steps=6, batch=2, rate=1e-2, r1_every=2)


@pytest.fixture(scope="module")
def network():
    return load_generator("toy-stylegan", engine="torch")


@pytest.fixture(scope="module")
def latents(network):
    return [seeded_latent(network, seed, 1.0) for seed in range(4)]


@pytest.fixture(scope="module")
def photos():
    return [np.random.default_rng(seed).integers(0, 256, (24, 24, 3), np.uint8) for seed in range(5)]


def test_a_training_that_was_stopped_ends_as_one_that_was_not(network, latents, photos, tmp_path):
    whole = fit_labels4free(network, latents, photos, HOW, tmp_path / "whole.pt", Stopping())
    state = tmp_path / "parts.pt"
    assert fit_labels4free(network, latents, photos, HOW, state, StopsAfter(3)) is None
    parts = fit_labels4free(network, latents, photos, HOW, state, Stopping())
    np.testing.assert_array_equal(whole.alpha(latents[0]), parts.alpha(latents[0]))
    alpha = whole.alpha(latents[0])
    assert alpha.shape == (16, 16) and 0 < alpha.min() <= alpha.max() < 1
    np.testing.assert_array_equal(whole.foreground(latents[0]), alpha > 0.9)
    assert whole.parameters < whole.discriminator_parameters and whole.seconds > 0
    with pytest.raises(TrainingStateError, match="rate"):
        fit_labels4free(network, latents, photos, replace(HOW, rate=1e-3), state, Stopping())


def test_alpha_learns_where_the_background_gives_itself_away(network, latents, photos, tmp_path):
    """Where the background is white and photos never are, alpha must come to show the image and not the background."""

    class WhiteCorner:
        """The network, whose background has a white left half."""

        def __getattr__(self, name):
            return getattr(network, name)

        def feature_maps(self, ws, layers):
            maps = network.feature_maps(ws, layers)
            for features in maps:
                features[..., : features.shape[-1] // 2] = 3
            return maps

        def synthesis(self, ws):
            return network.synthesis(ws).clamp(-1, 0)

        def background(self, ws):
            image = network.synthesis(ws).clamp(-1, 0)
            image[..., : image.shape[-1] // 2] = 1
            return image

    dark = [photo // 2 for photo in photos]
    how = replace(HOW, steps=150, batch=4, rate=2e-2, strength=0.0, background_strength=0.0)
    found = fit_labels4free(WhiteCorner(), latents, dark, how, tmp_path / "state.pt", Stopping())
    alpha = np.mean([found.alpha(ws) for ws in latents], axis=0)
    assert alpha[:, :8].mean() > 0.8
    assert [entry["step"] for entry in found.log] == [25.0, 50.0, 75.0, 100.0, 125.0, 150.0]


def test_regularisers_push_masks_from_all_nothing_and_doubt():
    def loss(value: float) -> float:
        return regularisers(torch.full((1, 1, 4, 4), value), HOW).item()

    halves = torch.tensor([0.0, 1.0]).repeat(8).reshape(1, 1, 4, 4)
    assert regularisers(halves, HOW).item() == 0
    assert loss(0.0) == pytest.approx(HOW.strength * HOW.least_foreground)
    assert loss(1.0) == pytest.approx(HOW.background_strength * HOW.least_background)
    assert loss(0.5) == pytest.approx(HOW.strength * 0.5)


def test_the_alpha_network_reads_two_maps_of_every_size(network, latents):
    layers = _layers_up_to(network, 32)
    maps = network.feature_maps(latents[0], layers)
    assert [one.shape[-1] for one in maps] == [8, 8, 16, 16, 32, 32]
    alpha = AlphaNetwork([one.shape[1] for one in maps], torch.ones(6))(maps)
    assert alpha.shape == (1, 1, 32, 32)
    assert weak_discriminator(32)(torch.zeros(2, 3, 32, 32)).shape == (2, 1)


def test_what_does_not_fit_into_memory_is_computed_anew(network, latents):
    layers = _layers_up_to(network, 16)
    roomy, tight = (_Pool(network, latents, layers, replace(HOW, memory_limit=limit)) for limit in (2**30, 0))
    numbers = [0, 3, 0]
    for one, other in zip(roomy.batch(numbers)[0], tight.batch(numbers)[0], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert roomy.bytes > 0 and tight.bytes == 0
    half = _Pool(network, latents, layers, replace(HOW, memory_limit=roomy.bytes // 2 + 1))
    half.batch(numbers)
    assert half.bytes == roomy.bytes // 2


def test_backgrounds_begin_with_a_first_feature_map_of_zeros(network, tiny, latents):
    """Their image differs from the whole one, and is what the layers from the second on make of zeros."""
    assert isinstance(network, PaintsBackgrounds) and isinstance(tiny, PaintsBackgrounds)
    ws = seeded_latent(tiny, 0, 1.0)
    zeros = torch.zeros_like(tiny.run_layers(tiny.const, ws, 0, 1))
    torch.testing.assert_close(tiny.background(ws), tiny.run_layers(zeros, ws, 1, tiny.num_ws))
    features = network.feature_maps(latents[0], [0])[0]
    _, expected = network.run_layers((torch.zeros_like(features), None), latents[0], 1, network.num_ws)
    torch.testing.assert_close(network.background(latents[0]), expected)
    assert not torch.allclose(network.background(latents[0]), network.synthesis(latents[0]), atol=0.1)
    pytest.importorskip("openvino")
    for name in ("toy-stylegan",):
        fast = load_generator(name, engine="openvino")
        torch.testing.assert_close(fast.background(latents[0]), expected, rtol=1e-3, atol=1e-3)


def test_bad_input(network, latents, photos, tmp_path):
    def fit(generator=network, latents=latents, photos=photos, how=HOW):
        return fit_labels4free(generator, latents, photos, how, tmp_path / "bad.pt", Stopping())

    with pytest.raises(TypeError, match="Labels4Free reads the feature maps.*toy-portrait has none"):
        fit(load_generator("toy-portrait"))

    class NoBackground:
        name, num_ws, w_avg = "mine", network.num_ws, network.w_avg

        def feature_maps(self, ws, layers):
            return network.feature_maps(ws, layers)

    with pytest.raises(TypeError, match="leave out its first features.*and mine cannot"):
        fit(NoBackground())
    with pytest.raises(ValueError, match="latents must hold at least one"):
        fit(latents=[])
    with pytest.raises(ValueError, match="photos must hold at least one"):
        fit(photos=[])
    with pytest.raises(ValueError, match="photos must have at least 16 px"):
        fit(photos=[np.zeros((8, 8, 3), np.uint8)])
    with pytest.raises(ValueError, match="side must be at most 64"):
        fit(how=replace(HOW, side=128))
    with pytest.raises(ValueError, match="side must be a power of two, got 48"):
        Compositing(side=48)
