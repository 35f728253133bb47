"""Latents and recorded mixes, as a page gets them."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from stylemixseg import load_generator
from stylemixseg.clustering import kmeans
from stylemixseg.foreground import Saliency, apply_rule
from stylemixseg.generators.base import seeded_latent
from stylemixseg.live.latents import read_latents, stored_latents
from stylemixseg.live.recording import recorded_mixes
from stylemixseg.mixing import MixPlan, draw_style_latents, style_mixed_images
from stylemixseg.summary import summary_from_images


def test_latents_are_the_mean_then_faces_then_styles(small):
    rows = read_latents(stored_latents(small, [3, 9], n=4, style_seed=1), 8)
    assert rows.shape == (1 + 2 + 4, 8)
    expected = [small.w_avg, *(seeded_latent(small, seed, 1.0)[0, 0] for seed in (3, 9))]
    np.testing.assert_allclose(rows[:3], np.stack([w.numpy() for w in expected]), rtol=2**-10, atol=1e-7)
    np.testing.assert_allclose(rows[3:], draw_style_latents(small, 4, 1)[:, 0].numpy(), rtol=2**-10, atol=1e-7)


@pytest.fixture(scope="module")
def recorded():
    """Pictures of a toy portrait, as recorded and as they are: (text by name, images by name, styles)."""
    generator = load_generator("toy-portrait")
    w0, styles = seeded_latent(generator, 1, 0.7), draw_style_latents(generator, 6, 2023)
    found = recorded_mixes(generator, w0, styles, [4, 6], 128)
    return found, {f"c{c}": style_mixed_images(generator, w0, styles, MixPlan(c, 128)) for c in (4, 6)}


def _pictures(texts: list[str]) -> np.ndarray:
    return np.stack([np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")) for text in texts])


def test_a_recording_holds_the_query_and_the_mixes(recorded):
    found, images = recorded
    assert set(found) == {"query", "c4", "c6"} and len(found["query"]) == 1
    for name, expected in images.items():
        got = _pictures(found[name])
        assert got.shape == expected.shape
        assert np.abs(got.astype(int) - expected).mean() < 3  # of 255: WebP loses a little
        # each is its own mix and no other's
        nearest = np.abs(got[:, None].astype(int) - expected[None]).mean((2, 3, 4)).argmin(1)
        assert nearest.tolist() == list(range(len(expected)))


def test_what_the_recording_loses_hardly_moves_the_mask(recorded):
    found, images = recorded
    masks = []
    for pictures in (_pictures(found["c6"]), images["c6"]):
        labels = kmeans(summary_from_images(pictures), 3).labels
        masks.append(apply_rule(labels, 3, Saliency(0.4))[labels])
    assert 0 < masks[1].mean() < 1
    assert (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum() > 0.97
