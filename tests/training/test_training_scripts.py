"""Pairs and training of the encoder: nothing is lost by a stop, nothing leaks from the validation photos."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stylemixseg.data import celebamask as datasets
from stylemixseg.generators.base import seeded_z
from stylemixseg.generators.mobilestylegan import MobileStyleGAN
from stylemixseg.inversion.encoder import Encoder, EncoderNet
from stylemixseg.inversion.preview import Preview
from stylemixseg.mixing import to_uint8


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "data_scripts")


@pytest.fixture
def making(monkeypatch, tiny):
    """The script that makes pairs, with the tiny generator in place of the faces."""
    import make_inversion_pairs

    monkeypatch.setattr(make_inversion_pairs, "load_generator", lambda name: tiny)
    return make_inversion_pairs


@pytest.fixture
def training(monkeypatch):
    """The script that trains, with two pairs held out."""
    import train_encoder

    monkeypatch.setattr(train_encoder, "HELD_OUT", 2)
    return train_encoder


@pytest.fixture(scope="module")
def generator(small) -> MobileStyleGAN:
    return small


# ---------------------------------------------------------------------------------------------------- pairs


def read_pairs(folder):
    return np.load(folder / "ws.npy"), np.load(folder / "images.npy"), json.loads((folder / "pairs.json").read_text())


def test_pairs_are_latents_and_their_images(making, tiny, tmp_path):
    making.make_pairs(tmp_path, 3, seed=1)
    ws, images, record = read_pairs(tmp_path)
    assert ws.shape == (3, 6, 8) and ws.dtype == np.float16
    assert images.shape == (3, 128, 128, 3) and images.dtype == np.uint8
    assert record == {"count": 3, "seed": 1, "generator": tiny.digest, "side": 128, "made": 3}
    for i in range(3):
        latent = making.pair_latent(tiny, 1, i)
        assert np.array_equal(ws[i], latent[0].half().numpy())
        shown = tiny.synthesis(latent).repeat_interleave(4, 2).repeat_interleave(4, 3)  # 32 px to 128
        assert np.array_equal(images[i], to_uint8(shown)[0])


def test_a_pair_depends_on_seed_and_number_alone(making, tiny, tmp_path):
    making.make_pairs(tmp_path / "few", 2, seed=1)
    making.make_pairs(tmp_path / "more", 4, seed=1)
    making.make_pairs(tmp_path / "other", 2, seed=2)
    few, more, other = (read_pairs(tmp_path / name) for name in ("few", "more", "other"))
    for part in (0, 1):
        assert np.array_equal(few[part], more[part][:2])
        assert not np.array_equal(few[part], other[part])
    assert len({image.tobytes() for image in more[1]}) == 4


def test_half_of_the_latents_are_crossed(making, tiny):
    latents = [making.pair_latent(tiny, 5, i)[0] for i in range(200)]
    sources = [len({layer.numpy().tobytes() for layer in latent}) for latent in latents]
    assert set(sources) == {1, 2, 3}
    assert 70 < sum(source > 1 for source in sources) < 130
    for latent in latents:  # low layers from one, then at most two changes
        assert sum(not torch.equal(a, b) for a, b in pairwise(latent)) <= 2
    spread = torch.stack([latent[0] - tiny.w_avg for latent in latents]).norm(dim=1)
    whole = (tiny.mapping(seeded_z(range(200), 8))[:, 0] - tiny.w_avg).norm(dim=1)
    assert 0.6 < (spread.mean() / whole.mean()).item() < 0.9  # psi between 0.5 and 1


def test_pairs_go_on_after_a_stop(making, tiny, monkeypatch, tmp_path, capsys):
    making.make_pairs(tmp_path / "whole", 5, seed=3)
    calls = []

    def stopping(self, ws, real=MobileStyleGAN.synthesis):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, ws)

    monkeypatch.setattr(MobileStyleGAN, "synthesis", stopping)
    making.make_pairs(tmp_path / "stopped", 5, seed=3)
    assert "stopped at 2 of 5 pairs" in capsys.readouterr().out
    assert read_pairs(tmp_path / "stopped")[2]["made"] == 2
    making.make_pairs(tmp_path / "stopped", 5, seed=3)
    assert len(calls) == 3 + 3  # none is made twice
    whole, stopped = (read_pairs(tmp_path / name) for name in ("whole", "stopped"))
    assert np.array_equal(whole[0], stopped[0]) and np.array_equal(whole[1], stopped[1]) and whole[2] == stopped[2]
    making.make_pairs(tmp_path / "stopped", 5, seed=3)
    assert len(calls) == 6


@pytest.mark.parametrize("count, seed", [(3, 1), (2, 2)])
def test_a_folder_of_other_pairs_is_left_alone(making, tmp_path, count, seed):
    making.make_pairs(tmp_path, 2, seed=1)
    before = read_pairs(tmp_path)
    with pytest.raises(ValueError, match="holds other pairs .* give another --folder"):
        making.make_pairs(tmp_path, count, seed)
    after = read_pairs(tmp_path)
    assert np.array_equal(before[1], after[1]) and before[2] == after[2]


# -------------------------------------------------------------------------------------------- what is trained on


def test_pairs_are_read_as_they_were_made(making, training, tiny, tmp_path):
    making.make_pairs(tmp_path, 6, seed=1)
    pairs = training.Pairs(tmp_path, tiny)
    assert pairs.count == 6 and pairs.training.tolist() == [0, 1, 2, 3] and pairs.held_out.tolist() == [4, 5]
    images, ws = pairs.batch([5, 0])
    stored_ws, stored_images, _ = read_pairs(tmp_path)
    assert images.shape == (2, 3, 128, 128) and -1 <= images.min() < images.max() <= 1
    assert np.array_equal(to_uint8(images), stored_images[[0, 5]])
    assert ws.dtype == torch.float32 and np.array_equal(ws.numpy(), stored_ws[[0, 5]])
    drawn = training.choose(pairs.training, 500, torch.Generator().manual_seed(0))
    assert set(drawn.tolist()) == {0, 1, 2, 3}


def test_pairs_that_do_not_serve(making, training, tiny, generator, tmp_path):
    with pytest.raises(FileNotFoundError, match="no pairs in .*: run data_scripts/make_inversion_pairs.py"):
        training.Pairs(tmp_path, tiny)
    making.make_pairs(tmp_path, 2, seed=1)
    with pytest.raises(ValueError, match="holds 2 pairs; make more than 2"):
        training.Pairs(tmp_path, tiny)
    with pytest.raises(ValueError, match="pairs of another generator"):
        training.Pairs(tmp_path, generator)


def test_validation_photos_are_never_looked_at(training, monkeypatch, tmp_path):
    validation = json.loads(datasets.SPLIT_FILE.read_text())["validation"]
    seen = []

    class Photos(dict):
        folder, names = tmp_path, (*validation, "a", "b", "c")

        def __missing__(self, name):
            seen.append(name)
            return np.full((256, 256, 3), 10 * len(seen), np.uint8), None

    monkeypatch.setattr(training, "read_celebamask", Photos)
    photos = training.training_photos()
    assert seen == ["a", "b", "c"] and not set(seen) & set(validation)
    assert photos.shape == (3, 128, 128, 3) and photos.dtype == torch.uint8
    assert photos[:, 0, 0, 0].tolist() == [10, 20, 30]
    assert len(training.training_photos(limit=2)) == 2


def test_images_are_made_a_little_less_clean(training):
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    given = training.as_a_photo(images, torch.Generator().manual_seed(1))
    assert torch.equal(given, training.as_a_photo(images, torch.Generator().manual_seed(1)))
    assert given.shape == images.shape and given.abs().max() <= 1
    change = (given - images).square().mean((1, 2, 3)).sqrt()
    assert (change > 1e-3).all() and change.std() > 1e-3  # each by another amount
    assert given.mean() == pytest.approx(images.mean().item(), abs=0.02)


def test_losses_by_hand(training):
    rng = np.random.default_rng(0)
    ws, target, spread = rng.normal(size=(2, 4, 6)), rng.normal(size=(2, 4, 6)), rng.uniform(0.5, 2, 6)
    d = np.abs((ws - target) / spread)
    expected = np.where(d < 1, d**2 / 2, d - 0.5).mean()
    assert training.latent_loss(*map(torch.from_numpy, (ws, target, spread))).item() == pytest.approx(expected)

    image, wanted = rng.uniform(-1, 1, (2, 2, 3, 128, 128))
    levels = []
    for side in training.SIDES:
        a, b = (x.reshape(2, 3, side, 128 // side, side, 128 // side).mean((3, 5)) for x in (image, wanted))
        d = np.abs(a - b)
        levels.append(np.where(d < 0.2, d**2 / 0.4, d - 0.1).mean())
    found = training.image_loss(torch.from_numpy(image), torch.from_numpy(wanted))
    assert len(levels) == 3 and found.item() == pytest.approx(np.mean(levels))


# ------------------------------------------------------------------------------------------------ the training loop


def small_run(training, file):
    """A network with batch statistics, its optimiser, and steps on noise that depend on their number alone."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
    run = training.Run(file, network, torch.optim.AdamW(network.parameters(), weight_decay=0.01))

    def one_step(rng):
        x = torch.randn(16, 4, generator=rng)
        loss = F.mse_loss(network(x), x[:, :1].sin())
        loss.backward()
        return loss.item()

    return run, one_step


class StopAfter:
    """Asks for a stop when it has been looked at so many times."""

    def __init__(self, steps):
        self.left = steps

    @property
    def asked(self):
        self.left -= 1
        return self.left < 0


NEVER = SimpleNamespace(asked=False)


def test_a_stopped_training_goes_on_as_if_it_had_not_been(training, tmp_path):
    whole, step = small_run(training, tmp_path / "whole.pt")
    assert training.train(whole, 60, 1e-2, step, NEVER, "whole") is True
    part, step = small_run(training, tmp_path / "part.pt")
    assert training.train(part, 60, 1e-2, step, StopAfter(40), "part") is False
    assert 0 < part.step < 60
    later, step = small_run(training, tmp_path / "part.pt")
    assert later.step == part.step and later.log == part.log
    assert training.train(later, 60, 1e-2, step, NEVER, "part") is True
    assert later.step == whole.step == 60 and later.log == whole.log and len(whole.log) == 3  # steps 0, 25, 50
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, later.network.state_dict()[name]), name
    for name, value in whole.average.items():
        assert torch.equal(value, later.average[name]), name
    assert whole.log[-1][1] < whole.log[0][1]


def test_a_finished_training_takes_no_step(training, tmp_path):
    run, step = small_run(training, tmp_path / "run.pt")
    training.train(run, 3, 1e-2, step, NEVER, "run")
    again, _ = small_run(training, tmp_path / "run.pt")
    assert training.train(again, 3, 1e-2, None, NEVER, "run") is True and again.step == 3


def test_weights_are_averaged_over_the_steps(training, tmp_path):
    network = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(0.0)
    run = training.Run(tmp_path / "run.pt", network, torch.optim.AdamW(network.parameters()))
    expected = 0.0
    for step, value in enumerate((1.0, 3.0, -2.0), 1):
        with torch.no_grad():
            network.weight.fill_(value)
        run.advance()
        share = 1 - (1 + step) / (10 + step)
        expected += share * (value - expected)
        assert run.average["weight"].item() == pytest.approx(expected) and network.weight.item() == value
    assert run.step == 3


STOPPING = """
import os, signal, train_encoder
stop = train_encoder.Stop()
assert not stop.asked
os.kill(os.getpid(), signal.SIGINT)
assert stop.asked
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("stopped")
"""


def test_ctrl_c_asks_and_a_second_one_stops():
    """In a process of its own: a signal reaches whatever other tests have loaded, too."""
    scripts = Path(__file__).parents[2] / "data_scripts"
    done = subprocess.run([sys.executable, "-c", STOPPING], cwd=scripts, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.split("\n")[-2] == "stopped", done.stderr


# ------------------------------------------------------------------------------------------------- its two stages


class SmallNet(nn.Module):
    """In place of EncoderNet: a linear map of 8 x 8 px."""

    def __init__(self, generator):
        super().__init__()
        self.shape = (generator.num_ws, generator.w_dim)
        self.linear = nn.Linear(6 * 64, generator.num_ws * generator.w_dim)
        self.register_buffer("w_std", torch.linspace(0.5, 1.5, generator.w_dim))

    def forward(self, x):
        return self.linear(F.adaptive_avg_pool2d(x, 8).flatten(1)).unflatten(1, self.shape) * self.w_std


class SomePairs:
    """Two pairs of the generator, without files."""

    def __init__(self, generator):
        self.training = self.held_out = np.arange(2)
        self.target = generator.mapping(seeded_z([0, 1], generator.z_dim))
        self.images = F.interpolate(generator.synthesis(self.target), (128, 128), mode="area").clamp(-1, 1)

    def batch(self, indices):
        return self.images[indices], self.target[indices]


@pytest.fixture
def stage(training, generator, monkeypatch):
    """Network, preview and pairs for one step, computed in fp32 so that gradients compare."""
    torch.manual_seed(0)
    monkeypatch.setattr(training, "seen", lambda network, photos, current: network(torch.cat([photos, current], 1)))
    return SmallNet(generator), Preview(generator), SomePairs(generator)


def gradients(network):
    found = [parameter.grad.clone() for parameter in network.parameters()]
    network.zero_grad()
    return found


def test_the_first_stage_learns_the_latents(training, stage, generator):
    network, preview, pairs = stage
    run = SimpleNamespace(step=0)
    step = training.latents_step(network, preview, pairs, batch=4, own_from=1, run=run)
    rng = torch.Generator().manual_seed(7)
    loss, found = step(rng), gradients(network)

    rng = torch.Generator().manual_seed(7)
    images, target = pairs.batch(training.choose(pairs.training, 4, rng))
    photos = training.as_a_photo(images, rng)
    start = generator.w_avg.expand(4, generator.num_ws, -1)
    ws = start + network(torch.cat([photos, preview.synthesis(start)], 1))
    first = training.latent_loss(ws, target, network.w_std)
    first.backward()
    expected = gradients(network)
    assert loss == pytest.approx(first.item())
    torch.testing.assert_close(found, expected)

    run.step = 1  # from here on, from its own estimate too
    step(torch.Generator().manual_seed(7))
    both = gradients(network)
    half = ws[:2].detach()
    better = half + network(torch.cat([photos[:2], preview.synthesis(half)], 1))
    training.latent_loss(better, target[:2], network.w_std).backward()
    torch.testing.assert_close([b - a for a, b in zip(expected, both)], gradients(network), atol=1e-5, rtol=1e-3)


def test_the_second_stage_learns_from_images(training, stage, generator):
    network, preview, pairs = stage
    photos = torch.randint(0, 256, (3, 128, 128, 3), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    step = training.images_step(network, preview, pairs, photos, batch=4)
    loss, found = step(torch.Generator().manual_seed(9)), gradients(network)

    rng = torch.Generator().manual_seed(9)  # the same draws, in order
    real = training.to_range(photos[torch.randint(3, (2,), generator=rng)])
    mirrored = torch.rand(2, 1, 1, 1, generator=rng) < 0.5
    real = torch.where(mirrored, real.flip(3), real)
    images, target = pairs.batch(training.choose(pairs.training, 2, rng))
    given, wanted = torch.cat([real, training.as_a_photo(images, rng)]), torch.cat([real, images])
    ws = generator.w_avg.expand(4, generator.num_ws, -1)
    for _ in range(2):
        ws = ws.detach() + network(torch.cat([given, preview.synthesis(ws).detach()], 1))
        looks = training.image_loss(preview.synthesis(ws), wanted)
        prior = ((ws[:2] - generator.w_avg) / network.w_std).square().mean()
        known = training.latent_loss(ws[2:], target, network.w_std)
        (looks + training.LATENT_WEIGHT * known + training.PRIOR_WEIGHT * prior).backward()
    torch.testing.assert_close(found, gradients(network), atol=1e-6, rtol=1e-3)
    assert loss == pytest.approx(looks.item(), rel=1e-4)  # of the last refinement


def test_bfloat16_is_near_enough(generator):
    import train_encoder

    torch.manual_seed(0)
    network, photos = SmallNet(generator), torch.rand(2, 3, 128, 128) * 2 - 1
    found = train_encoder.seen(network, photos, -photos)
    assert found.dtype == torch.float32
    expected = network(torch.cat([photos, -photos], 1))
    torch.testing.assert_close(found, expected, atol=0.03 * expected.abs().max().item(), rtol=0)


# ------------------------------------------------------------------------------------------------------ results


def test_what_is_written_can_be_loaded_and_is_measured(training, generator, tmp_path):
    torch.manual_seed(0)
    network = EncoderNet(generator.num_ws, generator.w_dim)
    network.w_std.copy_(training.latent_spread(generator, samples=500))
    pairs = SomePairs(generator)
    encoder = Encoder(network, Preview(generator), refinements=1)
    measured = training.measure_encoder(encoder, pairs)
    assert measured["pairs"] == 2 and len(measured["after_refinements"]) == 2
    found = encoder(pairs.images)
    for entry, ws in zip(measured["after_refinements"], found.steps):
        d = ((ws - pairs.target) / network.w_std).abs()
        assert entry["latent"] == pytest.approx(torch.where(d < 1, d**2 / 2, d - 0.5).mean().item(), abs=1e-4)
        error = (encoder.preview.synthesis(ws) - pairs.images).square().mean((1, 2, 3))
        assert entry["psnr_db"] == pytest.approx((10 * torch.log10(4 / error)).mean().item(), abs=0.01)

    path = tmp_path / "weights" / "encoder.safetensors"
    training.write(path, network.state_dict(), generator, {"photos": 7})
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["photos"] == 7 and record["generator"] == {"name": "small", "sha256": generator.digest}
    count = sum(value.numel() for value in network.state_dict().values() if value.is_floating_point())
    assert record["parameters"] == count and 2 * count < path.stat().st_size < 2.1 * count  # two bytes each
    loaded = Encoder.load(generator, refinements=1, weights=path)
    moved = (found.ws - generator.w_avg).abs().mean()
    assert (loaded(pairs.images).ws - found.ws).abs().mean() < 0.02 * moved


def test_the_spread_of_latents(training, generator):
    z = np.random.RandomState(123).randn(300, generator.z_dim)
    w = generator.mapping(torch.from_numpy(z).float())[:, 0].numpy()
    np.testing.assert_allclose(training.latent_spread(generator, samples=300), w.std(0, ddof=1), rtol=1e-4)
