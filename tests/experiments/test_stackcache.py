"""Cached stacks: made once, keyed by all that they depend on, made again when the file is damaged."""

from __future__ import annotations

import numpy as np
import pytest

from stylemixseg._util.paths import CacheWarning
from stylemixseg.experiments import stackcache
from stylemixseg.experiments.stackcache import cached_stack
from stylemixseg.generators.base import seeded_z
from stylemixseg.generators.toyworld.world import ToyFailures, ToyWorld
from stylemixseg.mixing import draw_style_latents, style_mixed_images
from stylemixseg.settings import MixPlan


@pytest.fixture(scope="module")
def world():
    return ToyWorld("portrait", resolution=32)


@pytest.fixture
def made(monkeypatch):
    """Counts how often images are really made."""
    calls = []

    def counting(*arguments, **keywords):
        calls.append(arguments)
        return style_mixed_images(*arguments, **keywords)

    monkeypatch.setattr(stackcache, "style_mixed_images", counting)
    return calls


def latents(world, seed=7, n=3, style_seed=1):
    return world.mapping(seeded_z(seed, world.z_dim)), draw_style_latents(world, n, style_seed)


def test_made_once(cache, world, made):
    first = cached_stack(world, *latents(world), MixPlan(6))
    second = cached_stack(world, *latents(world), MixPlan(6, batch_size=1))  # the batch size changes nothing
    assert len(made) == 1
    expected = style_mixed_images(world, *latents(world), MixPlan(6))
    for stack in (first, second):
        assert np.array_equal(stack, expected) and stack.dtype == np.uint8
        with pytest.raises(ValueError, match="read-only"):
            stack[0] = 0
    assert [path.suffix for path in (cache / "stacks").iterdir()] == [".npy"]


def test_whatever_the_images_depend_on_is_in_the_key(cache, world, made):
    w0, styles = latents(world)
    other = ToyWorld("portrait", resolution=32, failures=ToyFailures(highlights=True))
    for arguments in (
        (world, w0, styles, MixPlan(6)),
        (world, w0, styles, MixPlan(5)),
        (world, w0, styles[:2], MixPlan(6)),
        (world, w0, latents(world, style_seed=2)[1], MixPlan(6)),
        (world, latents(world, seed=8)[0], styles, MixPlan(6)),
        (other, w0, styles, MixPlan(6)),
    ):
        assert np.array_equal(cached_stack(*arguments), style_mixed_images(*arguments))
    assert cached_stack(world, w0, styles, MixPlan(6, resolution=16)).shape == (3, 16, 16, 3)
    assert len(made) == 7
    cached_stack(world, w0, styles, MixPlan(6, resolution=32))  # the generator's own: the first one
    assert len(made) == 7


def test_layers_that_are_not_read_are_not_in_the_key(cache, world, made):
    w0, styles = latents(world)
    cached_stack(world, w0, styles, MixPlan(6))
    unread = w0.clone()
    unread[:, 6:] += 1
    cached_stack(world, unread, styles, MixPlan(6))
    assert len(made) == 1
    unread[:, 5] += 1
    cached_stack(world, unread, styles, MixPlan(6))
    assert len(made) == 2


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "other shape", "other type", "pickle"])
def test_a_damaged_file_is_made_again(cache, world, made, damage):
    whole = np.array(cached_stack(world, *latents(world), MixPlan(6)))
    (path,) = (cache / "stacks").iterdir()
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage in ("empty", "text"):
        path.write_bytes(b"" if damage == "empty" else b"hello, this is no array")
    else:
        arrays = {"other shape": whole[:2], "other type": whole.astype(float), "pickle": np.array([{}], object)}
        np.save(path, arrays[damage], allow_pickle=True)
    assert np.array_equal(cached_stack(world, *latents(world), MixPlan(6)), whole)
    assert len(made) == 2
    cached_stack(world, *latents(world), MixPlan(6))
    assert len(made) == 2  # repaired


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_cache_that_cannot_be_written_does_not_cost_the_images(cache, world, monkeypatch, failure):
    expected = style_mixed_images(world, *latents(world), MixPlan(6))

    def fail(path, array):
        path.write_bytes(b"half")
        raise failure

    monkeypatch.setattr(stackcache.np, "save", fail)
    if isinstance(failure, OSError):
        with pytest.warns(CacheWarning, match="No space left on device"):
            assert np.array_equal(cached_stack(world, *latents(world), MixPlan(6)), expected)
    else:
        with pytest.raises(KeyboardInterrupt):
            cached_stack(world, *latents(world), MixPlan(6))
    assert list((cache / "stacks").iterdir()) == []


def test_bad_input_makes_no_file(cache, world):
    w0, styles = latents(world)
    for cutoff, resolution, words in ((13, None, "cutoff"), (-1, None, "cutoff"), (6, 5, "resolution")):
        with pytest.raises(ValueError, match=words):
            cached_stack(world, w0, styles, MixPlan(cutoff, resolution=resolution))
    with pytest.raises(ValueError, match="styles must be finite"):
        cached_stack(world, w0, styles / 0, MixPlan(6))
    assert not cache.exists()
