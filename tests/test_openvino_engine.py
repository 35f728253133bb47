"""The OpenVINO engine gives the module's images, mixes included, and none of its gradients."""

from __future__ import annotations

import pytest
import torch

from stylemixseg.generators.base import Generator, seeded_z
from stylemixseg.generators.openvino_engine import OpenVINOGenerator
from stylemixseg.mixing import iter_style_mixes, mix_styles


@pytest.fixture(scope="module")
def engine(tiny):
    return OpenVINOGenerator(tiny)


def test_protocol_is_the_modules(tiny, engine):
    assert isinstance(engine, Generator)
    for name in ("name", "digest", "z_dim", "w_dim", "num_ws", "resolution"):
        assert getattr(engine, name) == getattr(tiny, name)
    assert torch.equal(engine.w_avg, tiny.w_avg)
    z = seeded_z(range(3), 8)
    assert torch.equal(engine.mapping(z, 0.7), tiny.mapping(z, 0.7))


def test_images_are_the_modules(tiny, engine):
    ws = tiny.mapping(seeded_z(range(18), 8)).reshape(3, 6, 6, 8)[:, :, 0]  # another style in every layer
    images = engine.synthesis(ws)
    assert images.dtype == torch.float32 and not images.requires_grad
    torch.testing.assert_close(images, tiny.synthesis(ws), rtol=0, atol=1e-4)


def test_images_are_not_overwritten_by_the_next(engine):
    ws = engine.mapping(seeded_z(range(2), 8))
    first = engine.synthesis(ws[:1])
    kept = first.clone()
    engine.synthesis(ws[1:])
    assert torch.equal(first, kept)


def test_latents_with_a_gradient_or_in_double_precision_are_taken(engine):
    ws = engine.mapping(seeded_z(0, 8))
    image = engine.synthesis(ws)
    assert torch.equal(engine.synthesis(ws.clone().requires_grad_()), image)
    assert torch.equal(engine.synthesis(ws.double()), image)


@pytest.mark.parametrize("cutoff", range(7))
def test_mixes_are_those_of_full_synthesis(engine, cutoff):
    w0, styles = engine.mapping(seeded_z(0, 8)), engine.mapping(seeded_z(range(1, 4), 8))
    batches = list(engine.iter_mixed_synthesis(w0, styles, cutoff, batch_size=2))
    assert [len(batch) for batch in batches] == [2, 1]
    expected = engine.synthesis(mix_styles(w0, styles, cutoff))
    torch.testing.assert_close(torch.cat(batches), expected, rtol=0, atol=1e-5)


def test_noise_maps_are_inputs_not_constants(tiny, engine):
    """As constants each would be kept once a channel; at 1024 px that breaks the memory bar."""
    compiled, noises = engine._compiled(0, 6, (1, 16, 4, 4))
    maps = {tuple(value.shape): 0 for name, value in tiny.named_buffers() if name.endswith("noise")}
    assert {noise.shape for noise in noises} == set(maps) and len(noises) == 5
    assert len(compiled.inputs) == 2 + len(noises)


def test_bad_latents(engine):
    with pytest.raises(ValueError, match=r"ws must have shape \(N, 6, 8\)"):
        engine.synthesis(torch.zeros(1, 6, 9))
    with pytest.raises(ValueError, match="ws must be finite"):
        engine.synthesis(torch.full((1, 6, 8), float("nan")))
    with pytest.raises(ValueError, match=r"cutoff must be in 0\.\.6, got 7"):
        next(iter_style_mixes(engine, torch.zeros(1, 6, 8), torch.zeros(2, 6, 8), 7))


def test_real_faces(real_faces):
    engine = OpenVINOGenerator(real_faces)
    w0, styles = engine.mapping(seeded_z(0, 512), 0.7), engine.mapping(seeded_z(range(1, 3), 512))
    for cutoff in (0, 8, 16):
        mixes = torch.cat(list(engine.iter_mixed_synthesis(w0, styles, cutoff, batch_size=2)))
        expected = engine.synthesis(mix_styles(w0, styles, cutoff))
        torch.testing.assert_close(mixes, expected, rtol=0, atol=1e-5)
    expected = real_faces.synthesis(mix_styles(w0, styles, 8))
    torch.testing.assert_close(engine.synthesis(mix_styles(w0, styles, 8)), expected, rtol=0, atol=1e-4)
