"""StyleGAN2's training: losses and augmentation against independent computation, and nothing lost by a stop."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from stylemixseg import StyleMixSegmenter
from stylemixseg.commands import main as cli
from stylemixseg.generators.base import mean_latent, seeded_z
from stylemixseg.generators.stylegan2.network import StyleGAN2
from stylemixseg.generators.toyworld.world import ToyWorld
from stylemixseg.generators.zoo import load_generator
from stylemixseg.mixing import to_uint8
from stylemixseg.training import Training

SCRIPTS = Path(__file__).parents[2] / "data_scripts"
sys.path.insert(0, str(SCRIPTS))

import train_stylegan2
from stylegan2_training import augment as augmentation
from stylegan2_training import data, frechet, losses, trainer
from stylegan2_training import run as running
from stylegan2_training.adaptation import INTERVAL, Adaptation
from stylegan2_training.discriminator import (
    Convolution,
    Discriminator,
    with_minibatch_deviation,
)
from stylegan2_training.initial import channels_of, new_generator
from stylegan2_training.latents import training_latents

CPU = torch.device("cpu")
SETTINGS = trainer.Settings(
    resolution=16,
    channel_base=64,
    channel_max=8,
    latent_dim=8,
    mapping_layers=2,
    batch=4,
    learning_rate=0.0025,
    gamma=0.1,
    path_weight=2.0,
    mixing=0.9,
    average_kimg=1.0,
    ada_target=0.6,
    ada_kimg=0.1,
    seed=3,
)


def never() -> bool:
    return False


def draw_bright(count: int, device: torch.device) -> torch.Tensor:
    """Images that are easily told from those of an untrained generator."""
    return 0.8 + 0.1 * draw_noise(count, device)


def draw_noise(count: int, device: torch.device) -> torch.Tensor:
    """In place of images: whatever torch's generator gives, as `Images.draw` depends on it."""
    return torch.rand(count, 3, 16, 16).to(device) * 2 - 1


# --------------------------------------------------------------------------------------------------------- losses


def test_logistic_losses_are_those_of_the_probabilities():
    real, fake = torch.tensor([0.3, -1.2]), torch.tensor([2.0, -0.5])
    chance_real, chance_fake = real.sigmoid(), fake.sigmoid()
    torch.testing.assert_close(losses.generator_loss(fake), -chance_fake.log().mean())
    expected = -chance_real.log().mean() - (1 - chance_fake).log().mean()
    torch.testing.assert_close(losses.discriminator_loss(real, fake), expected)


def test_r1_of_a_known_function():
    """D(x) = sum a x^3 + b x has the gradient 3 a x^2 + b; the penalty's own gradient by a is known, too."""
    random = torch.Generator().manual_seed(0)
    images = torch.randn(3, 3, 4, 4, generator=random).requires_grad_()
    b, a = torch.randn(3, 4, 4, generator=random), torch.tensor(0.7, requires_grad=True)
    found = losses.squared_gradients((a * images**3 + b * images).sum((1, 2, 3)), images)
    gradient = (3 * a * images**2 + b).detach()
    torch.testing.assert_close(found, gradient.square().sum((1, 2, 3)))
    found.sum().backward()
    torch.testing.assert_close(a.grad, (2 * gradient * 3 * images.detach() ** 2).sum())


def test_path_length_of_a_linear_map():
    """For x = A w + b the Jacobian is A whatever w is, so the lengths are |A^T y|; layers are averaged in the root."""
    random = torch.Generator().manual_seed(0)
    ws = torch.randn(5, 2, 6, generator=random).requires_grad_()
    matrices = torch.randn(2, 6, 3 * 4 * 4, generator=random).requires_grad_()
    images = torch.einsum("nlw,lwx->nx", ws, matrices).unflatten(1, (3, 4, 4)) + 1
    torch.manual_seed(8)
    found = losses.path_lengths(images, ws)
    torch.manual_seed(8)
    y = torch.randn(5, 48) / 4  # the side of the image
    pulled = torch.einsum("lwx,nx->nlw", matrices.detach(), y)
    torch.testing.assert_close(found, pulled.square().sum(2).mean(1).sqrt())
    penalty, mean = losses.path_penalty(found, torch.tensor(2.0))
    torch.testing.assert_close(mean, 0.99 * 2 + 0.01 * found.mean().detach())
    torch.testing.assert_close(penalty, ((found - mean) ** 2).mean())
    penalty.backward()
    assert matrices.grad.abs().sum() > 0 and not mean.requires_grad


def test_the_real_path_length_agrees_with_the_jacobian():
    generator = new_generator(dataclasses.replace(SETTINGS, resolution=8).architecture, 0).requires_grad_(False)
    generator.noise_mode = "none"
    w = generator.mapping(torch.randn(1, 8, generator=torch.Generator().manual_seed(1)))
    ws = w.clone().requires_grad_()
    torch.manual_seed(2)
    found = losses.path_lengths(generator.synthesis(ws), ws)
    torch.manual_seed(2)
    y = torch.randn(1, 3, 8, 8) / 8
    jacobian = torch.autograd.functional.jacobian(lambda ws: generator.synthesis(ws), w)  # (1, 3, 8, 8, 1, 4, 8)
    pulled = torch.einsum("ncij,ncijmlw->mlw", y, jacobian)
    torch.testing.assert_close(found, pulled.square().sum(2).mean(1).sqrt(), rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------------------------------- networks


def test_layers_start_with_unit_variance():
    generator = new_generator(
        trainer.Settings(
            **{**dataclasses.asdict(SETTINGS), "channel_base": 8192, "channel_max": 64, "latent_dim": 64}
        ).architecture,
        0,
    )
    ws = generator.mapping(seeded_z(range(16), 64)).detach()
    assert 0.7 < ws.square().mean() < 1.4
    assert 0.3 < generator.synthesis(ws).detach().std() < 3
    assert all(parameter.requires_grad for parameter in generator.parameters())
    torch.manual_seed(0)
    plain = torch.randn(64, 3, 1, 1).expand(-1, -1, 16, 16)  # of one colour each: no blur takes anything away
    logits = Discriminator((64, 64, 64))(plain).detach()
    assert logits.shape == (64,) and 0.2 < logits.std() < 5


@pytest.mark.parametrize("resolution, expected", [(8, (8, 8)), (64, (8, 8, 8, 4, 2))])
def test_channels(resolution, expected):
    assert channels_of(resolution, 128, 8) == expected


@pytest.mark.parametrize("resolution", [4, 48, 2048])
def test_channels_of_a_wrong_resolution(resolution):
    with pytest.raises(ValueError, match="resolution must be a power of two in 8..1024, got"):
        channels_of(resolution, 128, 8)


def test_downsampling_blurs_first():
    """A checkerboard is more than the coarser grid can hold: nothing of it is left, while a constant stays."""
    layer = Convolution(1, 1, 1, down=True)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    rows, columns = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    board = (1 - 2 * ((rows + columns) % 2)).float()[None, None]
    inner = layer(torch.cat([board, torch.ones(1, 1, 16, 16)])).detach()
    assert inner.shape == (2, 1, 8, 8)
    torch.testing.assert_close(inner[0, :, 1:-1, 1:-1], torch.zeros(1, 6, 6), atol=1e-6, rtol=0)
    torch.testing.assert_close(inner[1, :, 1:-1, 1:-1], torch.ones(1, 6, 6))
    with torch.no_grad():
        centre = Convolution(1, 1, 3, down=True)
        centre.weight.zero_()[:, :, 1, 1] = 3.0  # the middle tap alone; equalised: divided by sqrt(9)
        ramp = torch.arange(16.0).expand(1, 1, 16, 16)
        middle = centre(ramp)[0, 0, 4, 1:-1]  # the mean of pixels 2j and 2j + 1
    torch.testing.assert_close(middle, torch.arange(1, 7) * 2 + 0.5)


def test_minibatch_deviation():
    x = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    found = with_minibatch_deviation(x)
    assert found.shape == (8, 4, 4, 4) and torch.equal(found[:, :3], x)
    for i in range(2):
        group = x.numpy()[i::2]  # four images
        expected = np.sqrt(group.var(0) + 1e-8).mean()
        for member in found[i::2]:
            np.testing.assert_allclose(member[3].numpy(), np.full((4, 4), expected), rtol=1e-5)
    same = with_minibatch_deviation(x[:1].expand(6, -1, -1, -1))  # groups of two; no difference
    assert same[:, 3].max() < 1e-3


def test_style_mixing():
    generator = new_generator(SETTINGS.architecture, 0)
    torch.manual_seed(0)
    ws = training_latents(generator, 400, 0.5, CPU)
    assert ws.shape == (400, 6, 8) and ws.requires_grad
    changes = (ws[:, 1:] != ws[:, :-1]).any(2)
    assert changes.sum(1).max() == 1  # one crossing at most
    assert 160 < changes.sum() < 240 and changes.any(0).all()  # half of them, anywhere
    torch.manual_seed(0)
    plain = training_latents(generator, 400, 0.0, CPU)
    assert torch.equal(plain, plain[:, :1].expand(-1, 6, -1))
    torch.manual_seed(0)
    z = torch.randn(800, 8)
    torch.testing.assert_close(plain[:, 0], generator.mapping_network(z[:400]))
    assert torch.equal(ws[changes.any(1)][:, 0], plain[changes.any(1)][:, 0])  # structure stays the first's


# --------------------------------------------------------------------------------------------------- augmentation


def images_for_augmentation(count: int = 6) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(5)) * 2 - 1


def test_without_probability_the_same_bits_come_out():
    images = images_for_augmentation()
    torch.manual_seed(0)
    assert torch.equal(augmentation.augment(images, 0.0), images)
    for _ in range(20):  # and what was not drawn is left alone beside what was
        moves = augmentation.draw_moves(6, 16, 0.05)
        same = (moves == torch.eye(3)).all((1, 2))
        assert torch.equal(augmentation.moved(images, moves)[same], images[same])


def test_every_augmentation_at_full_probability_is_differentiable():
    images = images_for_augmentation().requires_grad_()
    torch.manual_seed(0)
    found = augmentation.augment(images, 1.0)
    assert found.shape == images.shape and torch.isfinite(found).all()
    assert (found != images).flatten(1).any(1).all()
    found.sum().backward()
    assert torch.isfinite(images.grad).all() and (images.grad != 0).any()


def only(monkeypatch, wanted: int) -> None:
    """Let the augmentation number `wanted` happen, in the order of the draws, and none of the others."""
    calls = iter(range(100))
    monkeypatch.setattr(augmentation, "_drawn", lambda v, p: v if next(calls) == wanted else torch.zeros_like(v))


def test_blits_move_pixels_and_change_none(monkeypatch):
    images = images_for_augmentation(24)
    torch.manual_seed(1)
    for number, candidates in (
        (0, [images, images.flip(3)]),
        (1, [images.rot90(k, (2, 3)) for k in range(4)]),
    ):
        only(monkeypatch, number)
        found = augmentation.moved(images, augmentation.draw_moves(24, 16, 1.0))
        distances = torch.stack([(found - candidate).flatten(1).abs().amax(1) for candidate in candidates])
        nearest = distances.argmin(0).tolist()
        for i, k in enumerate(nearest):
            torch.testing.assert_close(found[i], candidates[k][i], atol=1e-5, rtol=0)
        assert len(set(nearest)) == len(candidates)
    only(monkeypatch, 2)
    moves = augmentation.draw_moves(24, 16, 1.0)
    found = augmentation.moved(images, moves)
    steps = moves[:, :2, 2] * 8  # in pixels, x and y
    torch.testing.assert_close(steps, steps.round())
    assert steps.abs().max() <= 2 and steps.abs().sum() > 0
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (3, 3), (3, 3)), mode="symmetric")
    for i, (x, y) in enumerate(steps.int().tolist()):
        expected = padded[i, :, 3 + y : 19 + y, 3 + x : 19 + x]
        np.testing.assert_allclose(found[i].numpy(), expected, atol=1e-5)


def test_geometry_has_the_stated_strength(monkeypatch):
    torch.manual_seed(0)
    only(monkeypatch, 3)  # isotropic scaling
    scale = augmentation.draw_moves(4000, 16, 1.0)
    torch.testing.assert_close(scale[:, 0, 0], scale[:, 1, 1])
    assert abs(scale[:, 0, 0].log2().std() - 0.2) < 0.01
    only(monkeypatch, 5)  # anisotropic scaling keeps areas
    torch.testing.assert_close(torch.linalg.det(augmentation.draw_moves(100, 16, 1.0)), torch.ones(100))
    for number in (4, 6):  # turns
        only(monkeypatch, number)
        turn = augmentation.draw_moves(2000, 16, 1.0)[:, :2, :2]
        torch.testing.assert_close(turn @ turn.mT, torch.eye(2).expand(2000, 2, 2), atol=1e-5, rtol=0)
        assert abs(torch.atan2(turn[:, 1, 0], turn[:, 0, 0]).std() - math.pi / 3**0.5) < 0.1
    only(monkeypatch, 7)  # shift by an eighth of the side, which is two half sides
    assert abs(augmentation.draw_moves(4000, 16, 1.0)[:, :2, 2].std() - 0.25) < 0.01


def test_each_is_drawn_with_probability_p():
    torch.manual_seed(0)
    assert abs((augmentation._drawn(torch.ones(20_000), 0.3) == 1).float().mean() - 0.3) < 0.02
    rows = augmentation._drawn(torch.ones(1000, 2), 0.5)
    assert torch.equal(rows[:, 0], rows[:, 1])  # a row as a whole
    turns = augmentation.draw_moves(5000, 16, 0.4)
    # left alone by all eight: the flip and the quarter turn do nothing in 1/2 and 1/4 of their draws, and some
    # whole shifts round to zero; the two turns together count once
    zero = (1 / 4) ** 2  # |u| <= 1/4 of a uniform step of up to 2 px, in x and y
    expected = (1 - 0.4 / 2) * (1 - 0.4 * 3 / 4) * (1 - 0.4 * (1 - zero)) * 0.6**4
    assert abs((turns == torch.eye(3)).all((1, 2)).float().mean() - expected) < 0.02


def test_colours(monkeypatch):
    torch.manual_seed(0)
    images = images_for_augmentation(4)
    grey = images.mean(1, keepdim=True)
    for number in range(5):
        only(monkeypatch, number)
        matrix = augmentation.draw_colours(4, 1.0)
        found = augmentation.recoloured(images, matrix)
        luma = found.mean(1, keepdim=True)
        if number == 0:  # brightness: the same for all three channels and all pixels
            offset = found - images
            torch.testing.assert_close(offset, offset[:, :1, :1, :1].expand_as(offset), atol=1e-5, rtol=0)
            assert offset.abs().min() > 0
        elif number == 1:  # contrast
            factor = matrix[:, 0, 0][:, None, None, None]
            torch.testing.assert_close(found, images * factor)
            assert (factor > 0).all()
        elif number == 2:  # the luma upside down, its colour as it was
            flipped = (luma - grey).flatten(1).abs().amax(1) > 1e-3
            torch.testing.assert_close(luma[flipped], -grey[flipped], atol=1e-5, rtol=0)
            torch.testing.assert_close(found - luma, images - grey, atol=1e-5, rtol=0)
            assert flipped.any()
        elif number == 3:  # hue: luma and strength of colour stay
            torch.testing.assert_close(luma, grey, atol=1e-5, rtol=0)
            torch.testing.assert_close((found - luma).norm(dim=1), (images - grey).norm(dim=1), atol=1e-5, rtol=0)
            assert (found - images).abs().max() > 0.1
        else:  # saturation: luma stays, colour is scaled
            factor = ((found - luma) / (images - grey)).flatten(1).median(1).values[:, None, None, None]
            torch.testing.assert_close(found, grey + factor * (images - grey), atol=1e-4, rtol=0)
            assert (factor > 0).all()


def test_p_follows_the_sign_of_the_logits():
    ada = Adaptation(target=0.6, kimg=1.0)
    for _ in range(INTERVAL - 1):
        ada.observe(torch.full((10,), 5.0))
    assert ada.p == 0 and ada.r == 0
    ada.observe(torch.full((10,), 5.0))  # sure of all real images: r = 1
    assert ada.r == 1 and ada.p == pytest.approx(INTERVAL * 10 / 1000)
    for _ in range(INTERVAL * 200):
        ada.observe(torch.full((10,), 0.1))
    assert ada.p == 1.0
    for _ in range(INTERVAL):
        ada.observe(torch.tensor([3.0, 1.0, 0.5, -0.1, 2.0]))  # r = 0.6, the target
    assert ada.r == 0.6 and ada.p == 1.0
    for _ in range(INTERVAL):
        ada.observe(torch.tensor([3.0, 1.0, 0.5, -0.1, -2.0]))
    assert ada.r == pytest.approx(0.2) and ada.p == pytest.approx(1 - INTERVAL * 5 / 1000)
    for _ in range(INTERVAL * 200):
        ada.observe(torch.tensor([-9.0, 0.1, 0.1, 0.1, 0.1, -0.1, 0.1, -0.1, 0.1, 0.1]))
    assert ada.p == 0.0
    off = Adaptation(target=0, kimg=1.0)
    for _ in range(INTERVAL):
        off.observe(torch.ones(10))
    assert off.p == 0 and off.r == 1


# -------------------------------------------------------------------------------------------------------- trainer


def test_adam_is_corrected_for_lazy_regularisers():
    (group,) = trainer.lazy_adam([nn.Parameter(torch.zeros(1))], 0.01, 4).param_groups
    assert group["lr"] == pytest.approx(0.008) and group["betas"] == (0.0, pytest.approx(0.99**0.8))
    (group,) = trainer.lazy_adam([nn.Parameter(torch.zeros(1))], 0.01, None).param_groups
    assert group["lr"] == 0.01 and group["betas"] == (0.0, 0.99)


def test_weights_are_averaged_with_a_half_life_that_ramps_up():
    run = trainer.Trainer(dataclasses.replace(SETTINGS, average_kimg=0.4), draw_noise, CPU)
    (mean, weight) = run.average.blocks[0].conv1.bias, run.generator.blocks[0].conv1.bias
    expected = 0.0
    for step, value in enumerate((3.0, 5.0, -1.0, 2.0)):
        run.step = [0, 100, 2000, 4000][step]  # 0, 400, 8000, 16000 images
        with torch.no_grad():
            weight.fill_(value)
        run._weight_average.follow(run.step)
        keep = [0.0, 0.5 ** (4 / 20), 0.5 ** (4 / 400), 0.5 ** (4 / 400)][step]  # 5 % of the images, at most 400
        expected = keep * expected + (1 - keep) * value
        torch.testing.assert_close(mean, torch.full_like(mean, expected))
    assert run.average.noise_mode == "const" and not mean.requires_grad


def test_regularisers_come_at_their_intervals_and_change_their_network():
    run = trainer.Trainer(SETTINGS, draw_noise, CPU)
    before = {name: value.clone() for name, value in run.generator.state_dict().items()}
    for _ in range(5):
        run.take_step()
    assert {name: len(values) for name, values in run.losses.items()} == {
        "loss_g": 5,
        "loss_d": 5,
        "path_length": 2,
        "r1": 1,
    }
    means = run.take_losses()
    assert all(math.isfinite(value) for value in means.values()) and run.losses == {}
    after = run.generator.state_dict()
    unchanged = {name for name, value in before.items() if torch.equal(value, after[name])}
    assert unchanged == {"w_avg", *(name for name in before if name.endswith("noise_const"))}
    plain = trainer.Trainer(dataclasses.replace(SETTINGS, path_weight=0.0, gamma=0.0), draw_noise, CPU)
    plain.take_step()
    assert set(plain.losses) == {"loss_g", "loss_d"} and plain.optimiser_d.param_groups[0]["lr"] == 0.0025


def test_the_discriminator_learns_to_tell_apart():
    """Real images that are all bright: after a few steps D says so, and r_t rises."""
    run = trainer.Trainer(dataclasses.replace(SETTINGS, learning_rate=0.02, ada_kimg=500), draw_bright, CPU)
    for _ in range(16):
        run.take_step()
    with torch.no_grad():
        fake = run._draw_fakes(16, torch.float32)[0]
        assert run.discriminator(draw_bright(16, CPU)).mean() > run.discriminator(fake).mean()
    assert run.adaptation.r > 0 and run.take_losses()["loss_d"] < 2 * math.log(2)


def test_an_interrupted_run_takes_the_same_steps(tmp_path):
    settings = dataclasses.replace(SETTINGS, ada_target=0.01, learning_rate=0.02)
    whole = trainer.Trainer(settings, draw_bright, CPU)
    for _ in range(6):
        whole.take_step()
    part = trainer.Trainer(settings, draw_bright, CPU)
    for _ in range(3):  # between two adaptations, whose signs must not be lost
        part.take_step()
    Training(part, tmp_path / "checkpoint.pt").save()
    torch.manual_seed(999)
    later = trainer.Trainer(settings, draw_bright, CPU)
    Training(later, tmp_path / "checkpoint.pt")
    for _ in range(3):
        later.take_step()
    assert later.step == whole.step and later.adaptation.p == whole.adaptation.p > 0
    assert torch.equal(later.path_mean, whole.path_mean) and whole.path_mean > 0
    for name in ("generator", "discriminator", "average"):
        expected, found = (getattr(run, name).state_dict() for run in (whole, later))
        for key, value in expected.items():
            assert torch.equal(value, found[key]), (name, key)
    assert not torch.equal(part.generator.const, later.generator.const)


def test_bfloat16_is_near_enough():
    exact, rough = (
        trainer.Trainer(SETTINGS, draw_noise, CPU),
        trainer.Trainer(SETTINGS, draw_noise, CPU, torch.bfloat16),
    )
    for run in (exact, rough):
        run.take_step()
    assert all(parameter.dtype == torch.float32 for parameter in rough.generator.parameters())
    a, b = exact.take_losses(), rough.take_losses()
    assert a["loss_d"] != b["loss_d"]
    for name, value in a.items():
        assert b[name] == pytest.approx(value, rel=0.05, abs=0.01), name


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"resolution": 20}, "resolution must be a power of two"),
        ({"batch": 1}, "batch must be at least 2, got 1"),
        ({"mixing": 1.5}, "mixing must be in 0..1"),
        ({"gamma": float("nan")}, "gamma must be in"),
    ],
)
def test_wrong_settings(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SETTINGS, **changes)


# ----------------------------------------------------------------------------------------------------------- data


def test_rooms_are_the_toy_worlds_and_depend_on_seed_and_number_alone(tmp_path):
    assert data.make_rooms(tmp_path / "few", 3, 16, seed=1, workers=0, asked=never)
    assert data.make_rooms(tmp_path / "more", 5, 16, seed=1, workers=0, asked=never)
    few, more = (data.Images(tmp_path / name) for name in ("few", "more"))
    assert few.pixels.shape == (3, 16, 16, 3) and np.array_equal(few.pixels, more.pixels[:3])
    assert len({image.tobytes() for image in more.pixels}) == 5
    world = ToyWorld("room", resolution=16)
    z = torch.from_numpy(np.random.default_rng([1, 2]).standard_normal((2, 32))).float()
    ws = world.mapping(z)
    mixed = torch.cat([ws[:1, :6], ws[1:, 6:]], 1)  # layout from one, paint from another
    assert np.array_equal(few.pixels[2], to_uint8(world.synthesis(mixed))[0])
    assert few.record == {
        "source": "rendered: toy-room",
        "digest": world.digest,
        "seed": 1,
        "count": 3,
        "resolution": 16,
    }
    with pytest.raises(ValueError, match="holds other images"):
        data.make_rooms(tmp_path / "few", 4, 16, seed=1, workers=0, asked=never)


def ones(index: int) -> np.ndarray:
    return np.full((data.PART, 8, 8, 3), index + 1, np.uint8)


def test_making_images_goes_on_after_a_stop(tmp_path, monkeypatch):
    record, made = {"count": 3 * data.PART, "resolution": 8}, []

    def job(index):
        made.append(index)
        return ones(index)

    jobs = [lambda index=index: job(index) for index in range(3)]
    assert data.fill(tmp_path, record, jobs, 0, lambda: len(made) == 1) is False
    with pytest.raises(ValueError, match="not finished: 2 parts are missing"):
        data.Images(tmp_path)

    def broken():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # at once, in the middle of a part
        data.fill(tmp_path, record, [jobs[0], jobs[1], broken], 0, never)
    assert data.fill(tmp_path, record, jobs, 0, never) is True
    assert made == [0, 1, 2]
    pixels = data.Images(tmp_path).pixels
    assert [int(pixels[i * data.PART].max()) for i in range(3)] == [1, 2, 3]
    monkeypatch.setattr(data.shutil, "disk_usage", lambda folder: SimpleNamespace(free=100))
    with pytest.raises(OSError, match="must be free on that disk"):
        data.fill(tmp_path / "full", record, jobs, 0, never)


def test_photographs_are_cropped_and_resized(tmp_path):
    source = tmp_path / "photos"
    source.mkdir()
    wide = np.zeros((40, 80, 3), np.uint8)
    wide[:, 20:60] = (200, 100, 50)  # the middle square
    Image.fromarray(wide).save(source / "a.png")
    Image.fromarray(np.full((64, 64, 3), 7, np.uint8)).save(source / "b.png")
    assert data.import_photos(tmp_path / "made", source, 16, 0, never)
    images = data.Images(tmp_path / "made")
    assert images.record["source"] == "photographs: photos" and len(images) == 2
    assert np.array_equal(images.pixels[1], np.full((16, 16, 3), 7))
    assert np.abs(images.pixels[0].astype(int) - (200, 100, 50)).max() <= 1
    batch = images.at(np.array([0]), CPU)
    assert batch.shape == (1, 3, 16, 16) and batch.dtype == torch.float32
    np.testing.assert_allclose(batch[0, :, 8, 8].numpy(), images.pixels[0, 8, 8] / 127.5 - 1, rtol=1e-5)
    torch.manual_seed(0)
    drawn = images.draw(50, CPU)
    assert 10 < (drawn[:, 0, 8, 8] > 0).sum() < 40


def test_files_that_do_not_agree(tmp_path):
    data.make_rooms(tmp_path, 2, 16, 0, 0, never)
    np.save(tmp_path / "images.npy", np.zeros((2, 8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match=r"2 images of 16 px, got \(2, 8, 8, 3\) uint8"):
        data.Images(tmp_path)


# --------------------------------------------------------------------------------------------------------- metric


def test_frechet_distance_agrees_with_a_matrix_root():
    linalg = pytest.importorskip("scipy.linalg")
    random = np.random.default_rng(0)
    a = random.standard_normal((60, 5)) @ random.standard_normal((5, 5))
    b = random.standard_normal((80, 5)) @ random.standard_normal((5, 5)) + 1
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * linalg.sqrtm(cov_a @ cov_b).real)
    assert frechet.frechet_distance(a, b) == pytest.approx(expected)
    assert frechet.frechet_distance(b, a) == pytest.approx(expected)
    assert frechet.frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet.frechet_distance(a, a + np.array([3, 0, 0, 4, 0])) == pytest.approx(25)
    few = a[:3]  # singular
    assert frechet.frechet_distance(few, few) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match=r"\(M, D\) and \(M', D\)"):
        frechet.frechet_distance(a, b[:, :4])


class Colours:
    """In place of `FeatureDistance`: the colours themselves, and their squares at half the size."""

    network = nn.Identity()

    def features(self, images):
        return [images, F.avg_pool2d(images, 2).square()]


def test_the_metric_and_its_floor():
    random = torch.Generator().manual_seed(0)
    real, other, fake = (torch.rand(20, 3, 8, 8, generator=random) for _ in range(3))
    fake = fake * 0.2
    metric = frechet.Metric(real.split(8), other.split(8), 20, CPU, Colours())
    result = metric(fake.split(8))

    def features(x):
        halves = F.avg_pool2d(x, 2).square()
        return np.concatenate([x.mean((2, 3)).numpy(), halves.mean((2, 3)).numpy()], 1).astype(np.float64)

    expected = frechet.frechet_distance(features(real), features(fake))
    assert result == {
        "name": "frechet_face_parser_features",
        "images": 20,
        "value": pytest.approx(expected, abs=1e-5),
        "floor": pytest.approx(frechet.frechet_distance(features(real), features(other)), abs=1e-5),
    }
    assert result["floor"] < 0.1 * result["value"]
    with pytest.raises(ValueError, match="must hold 20 images, got 12"):
        metric(fake[:12].split(8))


def test_the_real_features():
    distance = frechet.FeatureDistance()
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = frechet.pooled_features(distance, images.split(1))
    assert found.shape == (2, 232) and found.dtype == np.float64
    expected = torch.cat([layer.mean((2, 3)) for layer in distance.features(images)], 1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


# --------------------------------------------------------------------------------------------------------- script

TINY = [
    "--device",
    "cpu",
    "--count",
    "10",
    "--resolution",
    "16",
    "--channel-base",
    "64",
    "--channel-max",
    "8",
    "--latent-dim",
    "8",
    "--batch",
    "4",
    "--metric-images",
    "4",
    "--workers",
    "0",
    "--report-kimg",
    "0.004",
    "--sheet-kimg",
    "0.008",
    "--metric-kimg",
    "0",
]


@pytest.fixture
def simple_metric(monkeypatch):
    monkeypatch.setattr(frechet, "FeatureDistance", Colours)


def log_of(work: Path) -> list[dict]:
    return [json.loads(line) for line in (work / "log.jsonl").read_text().splitlines()]


@pytest.mark.filterwarnings("ignore::stylemixseg.foreground.FullMaskWarning")
def test_train_stop_go_on_and_export(cache, tmp_path, simple_metric, monkeypatch, capsys):
    """The command whole, and stopped by the clock after two of three steps: the same file comes out."""
    whole, part = tmp_path / "whole", tmp_path / "part"
    command = [*TINY, "--kimg", "0.012"]
    out = whole / "rooms.safetensors"
    assert train_stylegan2.main([*command, "--work", str(whole), "--export", str(out)]) == 0

    taken = []
    real_step = trainer.Trainer.take_step
    monkeypatch.setattr(trainer.Trainer, "take_step", lambda run: (real_step(run), taken.append(run.step)))
    monkeypatch.setattr(train_stylegan2.Stopping, "asked", property(lambda stop: taken == [1, 2] and not resumed))
    resumed: list[bool] = []
    again = [*command, "--work", str(part), "--export", str(part / "rooms.safetensors")]
    assert train_stylegan2.main(again) == 1
    assert "stopped at 0.0 of 0.012" in capsys.readouterr().out and not (part / "rooms.safetensors").exists()
    with open(part / "log.jsonl", "a") as file:  # a later entry, and one cut off: as after a power cut
        file.write('{"step": 3, "seconds": 99.0}\n{"step": 3, "sec')
    resumed.append(True)
    assert train_stylegan2.main(again) == 0 and taken == [1, 2, 3]
    assert (part / "rooms.safetensors").read_bytes() == out.read_bytes()
    losses_of = [
        [{k: e[k] for k in ("step", "loss_g", "loss_d", "p")} for e in log_of(work) if "loss_g" in e]
        for work in (whole, part)
    ]
    assert losses_of[0] == losses_of[1] and [e["step"] for e in losses_of[0]] == [1, 2, 3]
    assert all(e["sec_per_kimg"] > 0 for e in log_of(whole) if "loss_g" in e)
    seconds = [e["seconds"] for e in log_of(part)]
    assert seconds == sorted(seconds) and seconds[-1] < 99

    sheet = Image.open(whole / "samples" / "000000008.png")
    assert sheet.size == (8 * 16, 4 * 16)

    provenance = json.loads(out.with_suffix(".json").read_text())
    assert provenance["kimg"] == 0.012 and provenance["images"]["source"] == "rendered: toy-room"
    assert provenance["metric"]["images"] == 4 and provenance["settings"]["gamma"] == pytest.approx(0.0002 * 256 / 4)
    assert provenance["hardware"].endswith("CPU, 1 threads" if torch.get_num_threads() == 1 else "threads")

    # the result is a generator of the package, and the averaged one
    generator = load_generator(out, engine="torch")
    assert isinstance(generator, StyleGAN2) and generator.resolution == 16 and generator.num_ws == 6
    settings = train_stylegan2.settings_of(train_stylegan2.parse(again))
    last = trainer.Trainer(settings, draw_noise, CPU)
    Training(last, part / "checkpoint.pt", settings=dataclasses.asdict(settings))
    z = seeded_z([0, 1], 8)
    torch.testing.assert_close(generator.synthesis(generator.mapping(z)), last.sample(z))
    torch.testing.assert_close(generator.w_avg, mean_latent(last.average.mapping_network, 8, 10_000, 0))
    top_row = to_uint8(last.sample(seeded_z([0], 8)))[0]
    latest = np.asarray(Image.open(part / "samples" / "000000012.png"))[:16, :16]
    assert np.abs(top_row.astype(int) - latest).max() <= 1
    assert cli.main(["inspect", str(out)]) in (0, None)
    assert "Apache-2.0" in capsys.readouterr().out
    result = StyleMixSegmenter(generator, n=4, cutoff=3, k=3)(generator.mapping(seeded_z(0, 8), 0.7))
    assert result.mask.shape == (16, 16)


def test_a_smaller_kimg_exports_what_is_there(cache, tmp_path, simple_metric, monkeypatch):
    command = [*TINY, "--work", str(tmp_path)]
    assert train_stylegan2.main([*command, "--kimg", "0.008"]) == 0
    monkeypatch.setattr(trainer.Trainer, "take_step", None)
    out = tmp_path / "early.safetensors"
    assert train_stylegan2.main([*command, "--kimg", "0", "--export", str(out)]) == 0
    assert json.loads(out.with_suffix(".json").read_text())["kimg"] == 0.008


def test_a_run_on_other_images_is_refused(cache, tmp_path, simple_metric):
    command = [*TINY, "--work", str(tmp_path), "--kimg", "0.004"]
    assert train_stylegan2.main(command) == 0
    with pytest.raises(ValueError, match="a run with gamma 0.0128, now 3.0: give the same settings"):
        train_stylegan2.main([*command, "--gamma", "3"])
    with pytest.raises(ValueError, match="was trained on other images"):
        train_stylegan2.main([*command, "--count", "12"])
    made = next((cache / "stylegan2").glob("rooms-10-*"))
    with pytest.raises(ValueError, match="--resolution must be that of the images"):
        train_stylegan2.main([*command, "--images", str(made), "--resolution", "32"])
    assert train_stylegan2.main([*command, "--images", str(made)]) == 0  # the same images, by name
    with pytest.raises(ValueError, match="two sets of at least 2 real images"):
        train_stylegan2.main([*command, "--work", str(tmp_path / "new"), "--metric-images", "1"])


def test_the_distance_is_logged(cache, tmp_path, simple_metric):
    assert train_stylegan2.main([*TINY, "--work", str(tmp_path), "--kimg", "0.008", "--metric-kimg", "0.008"]) == 0
    (entry,) = [entry for entry in log_of(tmp_path) if "metric" in entry]
    assert entry["step"] == 2 and entry["metric"]["name"] == frechet.NAME


@pytest.mark.parametrize(
    "before, seen, every, expected",
    [(0, 32, 0.1, False), (96, 128, 0.1, True), (0, 32, 0, False), (100, 132, 0.1, False)],
)
def test_crossed(before, seen, every, expected):
    assert running.crossed(before, seen, every) is expected


def test_export_needs_its_ending(capsys):
    with pytest.raises(SystemExit):
        train_stylegan2.parse(["--work", "x", "--export", "rooms.pt"])
    assert "--export must end in .safetensors, got rooms.pt" in capsys.readouterr().err


INTERRUPTED = """
import os, signal, sys, train_stylegan2
from stylegan2_training.trainer import Trainer
real = Trainer.take_step
def step(run):
    real(run)
    if run.step == 2:
        os.kill(os.getpid(), signal.SIGINT)
Trainer.take_step = step
sys.exit(train_stylegan2.main(sys.argv[1:]))
"""


def test_ctrl_c_finishes_the_step_and_saves(tmp_path):
    """In a process of its own: a signal reaches whatever other tests have loaded, too. Workers make the rooms."""
    command = [*TINY, "--work", str(tmp_path), "--kimg", "0.1", "--workers", "1"]
    environment = {**os.environ, "STYLEMIXSEG_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    script = tmp_path / "interrupted.py"
    script.write_text(f"if __name__ == '__main__':\n    {'    '.join(INTERRUPTED.strip().splitlines(True))}\n")
    environment["PYTHONPATH"] = os.pathsep.join([str(SCRIPTS), str(SCRIPTS.parent)])
    done = subprocess.run([sys.executable, script, *command], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "the same command goes on" in done.stdout, done.stderr
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 2
