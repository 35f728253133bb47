"""Pivotal tuning: the photo comes nearer, the given generator stays, and an interrupted run goes on exactly."""

from __future__ import annotations

import math

import pytest
import torch

from stylemixseg import StyleMixSegmenter
from stylemixseg.generators.base import seeded_z, weights_digest
from stylemixseg.generators.openvino.engine import OpenVINOGenerator
from stylemixseg.generators.zoo import with_engine
from stylemixseg.inversion import pivotal
from stylemixseg.inversion.pivotal import pivotal_tuning


@pytest.fixture(params=["tiny", "stylegan"])
def case(request):
    """A generator, a pivot, and a photo that no latent of it gives."""
    generator = request.getfixturevalue(request.param)
    ws = generator.mapping(seeded_z([0], generator.z_dim))
    rows = torch.linspace(-1, 1, generator.resolution)
    return generator, ws, rows[:, None].expand(1, 3, -1, len(rows)).contiguous()


def error(generator, ws, photo):
    return (generator.synthesis(ws) - photo).square().mean().item()


def test_brings_the_photo_nearer_and_leaves_the_original_alone(case):
    generator, ws, photo = case
    state = {name: value.clone() for name, value in generator.state_dict().items()}
    flags = {name: value.requires_grad for name, value in generator.named_parameters()}
    digest, before, losses = generator.digest, error(generator, ws, photo), []
    tuned = pivotal_tuning(
        generator, ws, photo, 25, learning_rate=0.02, on_step=lambda step, loss, image: losses.append(loss)
    )
    assert losses[0] == pytest.approx(before, rel=1e-4) and len(losses) == 25
    assert error(tuned, ws, photo) < before / 3
    for name, value in generator.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert {name: value.requires_grad for name, value in generator.named_parameters()} == flags
    assert all(value.grad is None for value in generator.parameters())
    assert generator.digest == digest and error(generator, ws, photo) == before


def test_the_result_is_a_generator_like_any_other(case):
    generator, ws, photo = case
    tuned = pivotal_tuning(generator, ws, photo, 2, learning_rate=0.02)
    assert type(tuned) is type(generator) and tuned.name == f"{generator.name}-tuned"
    assert tuned.digest == weights_digest(tuned.state_dict()) != generator.digest
    assert not tuned.training and not any(value.requires_grad for value in tuned.parameters())
    assert all(value.grad is None for value in tuned.parameters())
    z = seeded_z([7], generator.z_dim)
    assert torch.equal(tuned.mapping(z), generator.mapping(z)) and torch.equal(tuned.w_avg, generator.w_avg)
    fast = with_engine(tuned, "openvino", "cpu")
    assert fast.digest == tuned.digest
    torch.testing.assert_close(fast.synthesis(ws), tuned.synthesis(ws), rtol=1e-3, atol=1e-3)
    found = StyleMixSegmenter(fast, n=3, cutoff=3, k=2)(ws)
    assert found.generator_name == tuned.name and found.mask.shape == (generator.resolution,) * 2


def test_stops_at_a_loss(tiny):
    ws, photo = tiny.mapping(seeded_z([0], tiny.z_dim)), torch.zeros(1, 3, 32, 32)
    losses = []
    pivotal_tuning(tiny, ws, photo, 20, 0.02, on_step=lambda step, loss, image: losses.append(loss))
    stopped, limit = [], losses[8]
    tuned = pivotal_tuning(
        tiny, ws, photo, 20, 0.02, stop_loss=limit, on_step=lambda step, loss, image: stopped.append(loss)
    )
    assert stopped == losses[:8] and error(tuned, ws, photo) == pytest.approx(limit, rel=1e-4)


def test_losses_are_weighed(tiny):
    ws, photo, seen = tiny.mapping(seeded_z([0], tiny.z_dim)), torch.zeros(1, 3, 32, 32), []

    def perceptual(images, target):
        return (images - target).abs().mean((1, 2, 3))

    image = tiny.synthesis(ws)
    pivotal_tuning(
        tiny,
        ws,
        photo,
        1,
        pixel_weight=2.0,
        perceptual=perceptual,
        perceptual_weight=3.0,
        on_step=lambda step, loss, image: seen.append(loss),
    )
    assert seen[0] == pytest.approx(2 * image.square().mean().item() + 3 * image.abs().mean().item(), rel=1e-4)


def test_locality_keeps_other_images(tiny, monkeypatch):
    monkeypatch.setattr(pivotal, "LOCALITY_RADIUS", 0.5)  # of a network whose latents lie about that far apart
    ws, photo = tiny.mapping(seeded_z([0], tiny.z_dim)), torch.zeros(1, 3, 32, 32)
    others = torch.cat([pivotal._near(tiny, ws, 9, step) for step in range(8)])
    distance = (others - ws).flatten(1).norm(dim=1)
    torch.testing.assert_close(distance, torch.full((8,), 0.5))

    def change(weight):
        tuned = pivotal_tuning(tiny, ws, photo, 10, 0.01, locality_weight=weight)
        return (tuned.synthesis(others) - tiny.synthesis(others)).square().mean().item()

    assert change(10.0) < change(0.0) / 2


@pytest.mark.parametrize("settings", [{}, {"locality_weight": 0.1, "seed": 3}])
def test_resumed_run_equals_an_uninterrupted_one(case, tmp_path, settings):
    generator, ws, photo = case

    def stop(step, loss, image):
        if step == 3:
            raise KeyboardInterrupt

    whole = pivotal_tuning(generator, ws, photo, 6, 0.01, **settings)
    with pytest.raises(KeyboardInterrupt):
        pivotal_tuning(generator, ws, photo, 6, 0.01, resume=tmp_path, on_step=stop, **settings)
    steps = []
    again = pivotal_tuning(
        generator, ws, photo, 6, 0.01, resume=tmp_path, on_step=lambda step, *_: steps.append(step), **settings
    )
    assert steps == [4, 5] and again.digest == whole.digest
    assert len(list(tmp_path.iterdir())) == 1


def test_another_photo_setting_or_fewer_steps_begin_anew(tiny, tmp_path):
    ws, photo, steps = tiny.mapping(seeded_z([0], tiny.z_dim)), torch.zeros(1, 3, 32, 32), []

    def tune(photo=photo, count=2, rate=0.01):
        pivotal_tuning(tiny, ws, photo, count, rate, resume=tmp_path, on_step=lambda step, *_: steps.append(step))

    tune()
    tune(photo + 0.1)
    tune(rate=0.02)
    tune(count=1)
    assert steps == [0, 1, 0, 1, 0, 1, 0]


def test_unused_weights_stay(make_stylegan):
    """Without noise its strength has no gradient; the rest is tuned all the same."""
    generator = make_stylegan(noise_mode="none")
    ws, photo = generator.mapping(seeded_z([0], generator.z_dim)), torch.zeros(1, 3, 64, 64)
    tuned = pivotal_tuning(generator, ws, photo, 3, 0.01)
    assert torch.equal(tuned.blocks[1].conv0.noise_strength, generator.blocks[1].conv0.noise_strength)
    assert error(tuned, ws, photo) < error(generator, ws, photo)


def test_photos_may_have_any_size(tiny):
    ws, image = tiny.mapping(seeded_z([0], tiny.z_dim)), torch.rand(1, 3, 96, 96)
    sides = []
    for photo in (image, image[..., :16, :16].contiguous()):
        pivotal_tuning(tiny, ws, photo, 1, on_step=lambda step, loss, image: sides.append(image.shape[-1]))
    assert sides == [32, 16]


def test_a_loss_that_is_not_finite_is_reported(tiny):
    ws, photo = tiny.mapping(seeded_z([0], tiny.z_dim)), torch.zeros(1, 3, 32, 32)
    with pytest.raises(FloatingPointError, match="at step 0: lower learning_rate"):
        pivotal_tuning(tiny, ws, photo, 1, perceptual=lambda a, b: a.mean((1, 2, 3)) * math.nan)


def test_refuses(tiny):
    ws, photo = tiny.mapping(seeded_z([0, 1], tiny.z_dim)), torch.zeros(2, 3, 32, 32)
    with pytest.raises(ValueError, match="must hold one photo, got 2 and 2"):
        pivotal_tuning(tiny, ws, photo)
    with pytest.raises(ValueError, match="must hold one photo, got 1 and 2"):
        pivotal_tuning(tiny, ws[:1], photo)
    ws, photo = ws[:1], photo[:1]
    with pytest.raises(TypeError, match="engine='torch'"):
        pivotal_tuning(OpenVINOGenerator(tiny), ws, photo)
    with pytest.raises(ValueError, match=r"ws must have shape \(N, 6, 8\)"):
        pivotal_tuning(tiny, ws[:, :3], photo)
    for name in ("pixel_weight", "perceptual_weight", "locality_weight", "stop_loss", "learning_rate"):
        with pytest.raises(ValueError, match=name):
            pivotal_tuning(tiny, ws, photo, **{name: -1.0})
    with pytest.raises(ValueError, match="steps must be at least 1"):
        pivotal_tuning(tiny, ws, photo, 0)
