"""The OpenVINO engine gives the module's images, mixes included, and none of its gradients."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from protocols import lacking

from stylemixseg.generators.base import Generator, seeded_z
from stylemixseg.generators.openvino.engine import OpenVINOGenerator
from stylemixseg.mixing import iter_style_mixes, mix_styles, style_mixed_images, to_uint8
from stylemixseg.settings import MixPlan


@pytest.fixture(scope="module")
def engine(tiny):
    return OpenVINOGenerator(tiny)


def test_protocol_is_the_modules(tiny, engine):
    assert not lacking(engine, Generator)
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


@pytest.mark.parametrize("cutoff, factor", [*((cutoff, 1) for cutoff in range(7)), (5, -5)])
def test_bytes_are_the_rounded_images(tiny, engine, cutoff, factor):
    """Apart from values that lie between two bytes to within rounding."""
    w0, styles = tiny.mapping(seeded_z(0, 8)), factor * tiny.mapping(seeded_z(range(1, 6), 8))
    expected = to_uint8(tiny.synthesis(mix_styles(w0, styles, cutoff)))
    batches = list(engine.iter_mixed_bytes(w0, styles, cutoff, batch_size=2))
    assert [batch.shape for batch in batches] == [(2, 32, 32, 3)] * 2 + [(1, 32, 32, 3)]
    images = style_mixed_images(engine, w0, styles, MixPlan(cutoff))
    assert images.dtype == np.uint8 and np.array_equal(images, np.concatenate(batches))
    assert np.abs(images.astype(int) - expected).max() <= 1 and (images == expected).mean() > 0.999
    assert factor == 1 or {0, 255} < set(images.ravel())  # clipped at both ends
    assert style_mixed_images(engine, w0, styles, MixPlan(cutoff, resolution=8)).shape == (5, 8, 8, 3)


def test_iterators_may_be_left_early_and_run_at_once(engine):
    w0, styles = engine.mapping(seeded_z(0, 8)), engine.mapping(seeded_z(range(1, 6), 8))
    expected = torch.cat(list(engine.iter_mixed_synthesis(w0, styles, 2, 1)))
    left = engine.iter_mixed_synthesis(w0, styles, 2, 1)
    next(left)
    del left
    both = zip(engine.iter_mixed_synthesis(w0, styles, 2, 1), engine.iter_mixed_synthesis(w0, styles.flip(0), 2, 1))
    for i, (one, other) in enumerate(both):
        torch.testing.assert_close(one[0], expected[i], rtol=0, atol=1e-6)
        torch.testing.assert_close(other[0], expected[-1 - i], rtol=0, atol=1e-6)


def test_noise_maps_are_inputs_not_constants(tiny, engine):
    """As constants each would be kept once a channel; at 1024 px that breaks the memory bar."""
    compiled, noises = engine._compiled(0, 6, False)
    maps = {tuple(value.shape): 0 for name, value in tiny.named_buffers() if name.endswith("noise")}
    assert {noise.shape for noise in noises} == set(maps) and len(noises) == 5
    assert len(compiled.inputs) == 2 + len(noises)


@pytest.mark.parametrize("noise_mode", ["const", "none"])
def test_stylegan2_mixes_are_the_modules(make_stylegan, noise_mode):
    module = make_stylegan(noise_mode=noise_mode)
    engine = OpenVINOGenerator(module)
    w0, styles = module.mapping(seeded_z(0, 8)), module.mapping(seeded_z(range(1, 4), 8))
    for cutoff in range(module.num_ws + 1):
        expected = module.synthesis(mix_styles(w0, styles, cutoff))
        mixes = torch.cat(list(engine.iter_mixed_synthesis(w0, styles, cutoff, batch_size=2)))
        torch.testing.assert_close(mixes, expected, rtol=1e-4, atol=1e-4)
        images = style_mixed_images(engine, w0, styles, MixPlan(cutoff))
        assert np.abs(images.astype(int) - to_uint8(expected)).max() <= 1
    torch.testing.assert_close(engine.synthesis(w0), module.synthesis(w0), rtol=1e-4, atol=1e-4)


def test_random_noise_has_no_graph(make_stylegan):
    with pytest.raises(ValueError, match="noise_mode 'random'"):
        engine = OpenVINOGenerator(make_stylegan(noise_mode="random"))
        engine.synthesis(engine.mapping(seeded_z(0, 8)))


def test_bad_latents(engine):
    with pytest.raises(ValueError, match=r"ws must have shape \(N, 6, 8\)"):
        engine.synthesis(torch.zeros(1, 6, 9))
    with pytest.raises(ValueError, match="ws must be finite"):
        engine.synthesis(torch.full((1, 6, 8), float("nan")))
    with pytest.raises(ValueError, match=r"cutoff must be in 0\.\.6, got 7"):
        next(iter_style_mixes(engine, torch.zeros(1, 6, 8), torch.zeros(2, 6, 8), MixPlan(7)))


def test_real_faces(real_faces):
    engine = OpenVINOGenerator(real_faces)
    w0, styles = engine.mapping(seeded_z(0, 512), 0.7), engine.mapping(seeded_z(range(1, 3), 512))
    for cutoff in (0, 8, 16):
        mixes = torch.cat(list(engine.iter_mixed_synthesis(w0, styles, cutoff, batch_size=2)))
        expected = engine.synthesis(mix_styles(w0, styles, cutoff))
        torch.testing.assert_close(mixes, expected, rtol=0, atol=1e-5)
    expected = real_faces.synthesis(mix_styles(w0, styles, 8))
    torch.testing.assert_close(engine.synthesis(mix_styles(w0, styles, 8)), expected, rtol=0, atol=1e-4)


INTERRUPTED = """
import gc, os, signal
from stylemixseg.generators.base import seeded_z
from stylemixseg.generators.zoo import load_generator
signal.signal(signal.SIGINT, signal.default_int_handler)
engine = load_generator("toy-stylegan", engine="openvino")
ws = engine.mapping(seeded_z(range(4), engine.z_dim))
for cutoff in (0, 3, 6):
    list(engine.iter_mixed_synthesis(ws[:1], ws, cutoff, 2))
del engine
gc.collect()
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_after_an_engine_has_gone():
    """OpenVINO's plugin, unloaded, left a trap behind: the process ended with a segmentation fault."""
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr


def test_threads_are_not_pinned_to_cores(tiny):
    """Every process would pin its threads to the same cores, so that two would be no faster than one."""
    compiled, _ = OpenVINOGenerator(tiny)._compiled(0, 2, False)
    assert compiled.get_property("ENABLE_CPU_PINNING") is False
