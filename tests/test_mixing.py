"""Style mixing: the two ends of the cutoff exactly, shared and nested styles, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stylemixseg.generators.base import seeded_z
from stylemixseg.generators.toyworld.world import ToyWorld
from stylemixseg.mixing import (
    check_resolution,
    draw_style_latents,
    iter_style_mixes,
    mix_styles,
    query_image,
    style_mixed_images,
    to_uint8,
)
from stylemixseg.settings import MixPlan


@pytest.fixture(scope="module")
def world():
    return ToyWorld("portrait", resolution=32)


@pytest.fixture(scope="module")
def w0(world):
    return world.mapping(seeded_z(7, world.z_dim), 0.7)


@pytest.fixture(scope="module")
def styles(world):
    return draw_style_latents(world, 5, seed=1)


def test_a_seed_is_the_official_tools_seed():
    rows = seeded_z([3, 2**32 - 1], 6)
    assert np.array_equal(rows[:1].numpy(), np.random.RandomState(3).randn(1, 6).astype(np.float32))
    assert torch.equal(seeded_z(3, 6), rows[:1])
    with pytest.raises(ValueError, match=r"seed must be in 0\.\.4294967295, got -1"):
        seeded_z(-1, 6)
    with pytest.raises(TypeError, match="seed must be a whole number, got 1.5"):
        seeded_z([1.5], 6)
    with pytest.raises(ValueError, match="seeds must hold at least one seed, got none"):
        seeded_z([], 6)


@pytest.mark.parametrize("cutoff", range(5))
def test_layers_below_the_cutoff_are_the_structures(cutoff):
    structure, style = torch.zeros(3, 4, 2), torch.ones(3, 4, 2)
    mixed = mix_styles(structure, style, cutoff)
    assert mixed.shape == (3, 4, 2)
    assert (mixed[:, :cutoff] == 0).all() and (mixed[:, cutoff:] == 1).all()


def test_one_latent_is_shared_by_many():
    one, many = torch.zeros(1, 4, 2), torch.arange(24.0).reshape(3, 4, 2)
    assert torch.equal(mix_styles(one, many, 1)[:, 1:], many[:, 1:])
    assert torch.equal(mix_styles(many, one, 1)[:, :1], many[:, :1])
    assert mix_styles(many, one, 0).shape == mix_styles(one, many, 4).shape == (3, 4, 2)


def test_cutoff_0_is_the_style_and_num_ws_the_query_exactly(world, w0, styles):
    assert torch.equal(mix_styles(w0, styles, 0), styles)
    assert torch.equal(mix_styles(w0, styles, world.num_ws), w0.expand_as(styles))
    assert np.array_equal(style_mixed_images(world, w0, styles, MixPlan(0)), to_uint8(world.synthesis(styles)))
    for image in style_mixed_images(world, w0, styles, MixPlan(world.num_ws)):
        assert np.array_equal(image, query_image(world, w0))


@pytest.mark.parametrize(
    "structure, style, cutoff, error, words",
    [
        (torch.zeros(1, 4, 2), torch.zeros(1, 4, 2), 5, ValueError, r"cutoff must be in 0\.\.4, got 5"),
        (torch.zeros(1, 4, 2), torch.zeros(1, 4, 2), -1, ValueError, r"cutoff must be in 0\.\.4, got -1"),
        (torch.zeros(1, 4, 2), torch.zeros(1, 4, 2), 1.0, TypeError, "cutoff must be a whole number, got 1.0"),
        (torch.zeros(2, 4, 2), torch.zeros(3, 4, 2), 1, ValueError, "equal N, or one of them N = 1, got 2 and 3"),
        (torch.zeros(1, 4, 2), torch.zeros(1, 5, 2), 1, ValueError, r"ws_style .* \(N, 4, 2\).* got \(1, 5, 2\)"),
        (torch.zeros(4, 2), torch.zeros(4, 2), 1, ValueError, r"ws_structure .* \(N, num_ws, w_dim\).* got \(4, 2\)"),
        (torch.zeros(1, 4, 2), torch.zeros(4, 2), 1, ValueError, r"ws_style must have shape .* got \(4, 2\)"),
        (torch.zeros(0, 4, 2), torch.zeros(1, 4, 2), 1, ValueError, r"ws_structure .* N >= 1, got \(0, 4, 2\)"),
        (torch.zeros(1, 4, 2) / 0, torch.zeros(1, 4, 2), 1, ValueError, "ws_structure must be finite, got NaN"),
        (torch.zeros(1, 4, 2), torch.ones(1, 4, 2) / 0, 1, ValueError, "ws_style must be finite"),
        (np.zeros((1, 4, 2)), torch.zeros(1, 4, 2), 1, TypeError, "ws_structure must be a floating-point torch.Tensor"),
        (torch.zeros(1, 4, 2), [[[0.0]]], 1, TypeError, "ws_style must be a floating-point torch.Tensor, got list"),
        ([[[0.0]]], [[[0.0]]], 1, TypeError, "ws_structure must be a floating-point torch.Tensor, got list"),
    ],
)
def test_bad_mixes(structure, style, cutoff, error, words):
    with pytest.raises(error, match=words):
        mix_styles(structure, style, cutoff)


def test_styles_are_nested_and_shared(world):
    fifty, ten = draw_style_latents(world, 50, seed=2023), draw_style_latents(world, 10, seed=2023)
    assert fifty.shape == (50, world.num_ws, world.w_dim) and not fifty.requires_grad
    torch.testing.assert_close(fifty[:10], ten)
    assert torch.equal(fifty, draw_style_latents(world, 50, seed=2023))
    assert not torch.allclose(fifty, draw_style_latents(world, 50, seed=2024))
    expected = world.mapping(torch.from_numpy(np.random.RandomState(2023).randn(10, world.z_dim)).float())
    torch.testing.assert_close(ten, expected)
    assert torch.allclose(draw_style_latents(world, 3, 0, truncation=0.0), world.w_avg.expand(3, world.num_ws, -1))


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"n": 0, "seed": 0}, "n must be at least 1, got 0"),
        ({"n": 2, "seed": -1}, r"seed must be in 0\.\.4294967295, got -1"),
        ({"n": 2, "seed": 0, "truncation": 2}, r"truncation must be in 0\.0\.\.1\.0, got 2"),
    ],
)
def test_bad_draws(world, arguments, words):
    with pytest.raises(ValueError, match=words):
        draw_style_latents(world, **arguments)


def test_batches_and_resolution(world, w0, styles):
    whole = style_mixed_images(world, w0, styles, MixPlan(6))
    assert whole.shape == (5, 32, 32, 3) and whole.dtype == np.uint8
    batches = list(iter_style_mixes(world, w0, styles, MixPlan(6, batch_size=2)))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert np.array_equal(np.concatenate(batches), whole)
    floats = world.synthesis(mix_styles(w0, styles, 6)).numpy()
    squares = floats.reshape(5, 3, 8, 4, 8, 4).mean((3, 5)).transpose(0, 2, 3, 1)  # averages of 4 x 4 pixels
    expected = np.clip(np.rint(squares * 127.5 + 127.5), 0, 255)
    got = style_mixed_images(world, w0, styles, MixPlan(6, resolution=8))
    assert got.shape == (5, 8, 8, 3) and np.abs(got - expected).max() <= 1  # 1: rounding of a value midway
    assert (got == expected).mean() > 0.999
    assert np.array_equal(
        query_image(world, w0, 8), style_mixed_images(world, w0, styles, MixPlan(12, resolution=8))[0]
    )


def test_a_generator_with_a_shared_prefix_gives_the_same(tiny):
    class Plain:
        """The tiny generator without its shortcut."""

        def __init__(self):
            for name in ("num_ws", "w_dim", "w_avg", "resolution", "synthesis"):
                setattr(self, name, getattr(tiny, name))

    w0, styles = tiny.mapping(seeded_z(0, 8)), tiny.mapping(seeded_z(range(1, 6), 8))
    for cutoff in range(7):
        fast = style_mixed_images(tiny, w0, styles, MixPlan(cutoff, batch_size=2)).astype(int)
        plain = style_mixed_images(Plain(), w0, styles, MixPlan(cutoff, batch_size=3))
        assert np.abs(fast - plain).max() <= 1


def test_gradients_are_off_inside_and_as_before_outside(tiny):
    w0 = tiny.mapping(seeded_z(0, 8)).requires_grad_()
    modes = []

    class Spy:
        def __getattr__(self, name):
            return getattr(tiny, name)

        def iter_mixed_synthesis(self, *arguments):
            for images in tiny.iter_mixed_synthesis(*arguments):
                modes.append(torch.is_grad_enabled())
                yield images

    for _ in iter_style_mixes(Spy(), w0, tiny.mapping(seeded_z(range(4), 8)), MixPlan(3, batch_size=1)):
        assert torch.is_grad_enabled()
    assert modes == [False] * 4
    mixes = iter_style_mixes(Spy(), w0, tiny.mapping(seeded_z(range(4), 8)), MixPlan(3, batch_size=1))
    next(mixes)
    mixes.close()  # left in the middle
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    "change, words",
    [
        ({"cutoff": 13}, r"cutoff must be in 0\.\.12, got 13"),
        ({"w0": torch.zeros(2, 12, 32)}, r"w0 must hold one query, .* got \(2, 12, 32\)"),
        ({"w0": torch.zeros(1, 11, 32)}, r"w0 must have shape \(N, 12, 32\)"),
        ({"w0": torch.full((1, 12, 32), float("nan"))}, "w0 must be finite"),
        ({"styles": torch.zeros(0, 12, 32)}, r"styles must have shape .* got \(0, 12, 32\)"),
        ({"styles": torch.full((1, 12, 32), float("nan"))}, "styles must be finite"),
        ({"resolution": 24}, "resolution must divide the generator's 32, got 24"),
        ({"resolution": 64}, r"resolution must be in 1\.\.32, got 64"),
        ({"resolution": 0}, "resolution must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ],
)
def test_bad_stacks(world, w0, styles, change, words):
    with pytest.raises(ValueError, match=words):
        latents = {"w0": w0, "styles": styles} | {name: change[name] for name in change if name in ("w0", "styles")}
        plan = {"cutoff": 6} | {name: change[name] for name in change if name not in ("w0", "styles")}
        style_mixed_images(world, **latents, plan=MixPlan(**plan))


def test_resolution_none_is_the_generators():
    assert check_resolution(None, 64) == 64 and check_resolution(16, 64) == 16


def test_eight_bits_are_rounded_and_clipped():
    values = torch.tensor([-2.0, -1.0, -1 + 0.4 / 127.5, -1 + 0.6 / 127.5, 0.0, 1.0, 1.3])
    images = values.expand(1, 3, 1, 7).clone()
    kept = images.clone()
    assert to_uint8(images)[0, 0, :, 0].tolist() == [0, 0, 0, 1, 128, 255, 255]  # 127.5 goes to the even 128
    assert torch.equal(images, kept)
    assert to_uint8(torch.zeros(2, 3, 4, 5)).shape == (2, 4, 5, 3)
