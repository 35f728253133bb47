"""Pairs and training of the encoder: nothing is lost by a stop, nothing leaks from the validation photos."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

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
def data(monkeypatch):
    """What is trained on, with two pairs held out."""
    from encoder_training import data

    monkeypatch.setattr(data, "HELD_OUT", 2)
    return data


@pytest.fixture
def steps():
    from encoder_training import steps

    return steps


@pytest.fixture
def results():
    from encoder_training import results

    return results


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


def test_pairs_are_read_as_they_were_made(making, data, tiny, tmp_path):
    making.make_pairs(tmp_path, 6, seed=1)
    pairs = data.Pairs(tmp_path, tiny)
    assert pairs.count == 6 and pairs.training.tolist() == [0, 1, 2, 3] and pairs.held_out.tolist() == [4, 5]
    images, ws = pairs.batch([5, 0])
    stored_ws, stored_images, _ = read_pairs(tmp_path)
    assert images.shape == (2, 3, 128, 128) and -1 <= images.min() < images.max() <= 1
    assert np.array_equal(to_uint8(images), stored_images[[0, 5]])
    assert ws.dtype == torch.float32 and np.array_equal(ws.numpy(), stored_ws[[0, 5]])
    drawn = data.choose(pairs.training, 500, torch.Generator().manual_seed(0))
    assert set(drawn.tolist()) == {0, 1, 2, 3}


def test_pairs_that_do_not_serve(making, data, tiny, generator, tmp_path):
    with pytest.raises(FileNotFoundError, match="no pairs in .*: run data_scripts/make_inversion_pairs.py"):
        data.Pairs(tmp_path, tiny)
    making.make_pairs(tmp_path, 2, seed=1)
    with pytest.raises(ValueError, match="holds 2 pairs; make more than 2"):
        data.Pairs(tmp_path, tiny)
    with pytest.raises(ValueError, match="pairs of another generator"):
        data.Pairs(tmp_path, generator)


def test_validation_photos_are_never_looked_at(data, monkeypatch, tmp_path):
    validation = json.loads(datasets.SPLIT_FILE.read_text())["validation"]
    seen = []

    class Photos(dict):
        folder, names = tmp_path, (*validation, "a", "b", "c")

        def __missing__(self, name):
            seen.append(name)
            return np.full((256, 256, 3), 10 * len(seen), np.uint8), None

    monkeypatch.setattr(data, "read_celebamask", Photos)
    photos = data.training_photos()
    assert seen == ["a", "b", "c"] and not set(seen) & set(validation)
    assert photos.shape == (3, 128, 128, 3) and photos.dtype == torch.uint8
    assert photos[:, 0, 0, 0].tolist() == [10, 20, 30]
    assert len(data.training_photos(limit=2)) == 2


def test_images_are_made_a_little_less_clean(data):
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    given = data.as_a_photo(images, torch.Generator().manual_seed(1))
    assert torch.equal(given, data.as_a_photo(images, torch.Generator().manual_seed(1)))
    assert given.shape == images.shape and given.abs().max() <= 1
    change = (given - images).square().mean((1, 2, 3)).sqrt()
    assert (change > 1e-3).all() and change.std() > 1e-3  # each by another amount
    assert given.mean() == pytest.approx(images.mean().item(), abs=0.02)


def test_losses_by_hand(steps):
    rng = np.random.default_rng(0)
    ws, target, spread = rng.normal(size=(2, 4, 6)), rng.normal(size=(2, 4, 6)), rng.uniform(0.5, 2, 6)
    d = np.abs((ws - target) / spread)
    expected = np.where(d < 1, d**2 / 2, d - 0.5).mean()
    assert steps.latent_loss(*map(torch.from_numpy, (ws, target, spread))).item() == pytest.approx(expected)

    image, wanted = rng.uniform(-1, 1, (2, 2, 3, 128, 128))
    levels = []
    for side in steps.SIDES:
        a, b = (x.reshape(2, 3, side, 128 // side, side, 128 // side).mean((3, 5)) for x in (image, wanted))
        d = np.abs(a - b)
        levels.append(np.where(d < 0.2, d**2 / 0.4, d - 0.1).mean())
    found = steps.image_loss(torch.from_numpy(image), torch.from_numpy(wanted))
    assert len(levels) == 3 and found.item() == pytest.approx(np.mean(levels))


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
def stage(steps, generator, monkeypatch):
    """Network, preview and pairs for one step, computed in fp32 so that gradients compare."""
    torch.manual_seed(0)
    monkeypatch.setattr(steps, "seen", lambda network, photos, current: network(torch.cat([photos, current], 1)))
    return SmallNet(generator), Preview(generator), SomePairs(generator)


def gradients(network):
    found = [parameter.grad.clone() for parameter in network.parameters()]
    network.zero_grad()
    return found


def test_the_first_stage_learns_the_latents(data, steps, stage, generator):
    network, preview, pairs = stage
    step = steps.latents_step(network, preview, pairs, batch=4, own_from=1)
    rng = torch.Generator().manual_seed(7)
    loss, found = step(0, rng), gradients(network)

    rng = torch.Generator().manual_seed(7)
    images, target = pairs.batch(data.choose(pairs.training, 4, rng))
    photos = data.as_a_photo(images, rng)
    start = generator.w_avg.expand(4, generator.num_ws, -1)
    ws = start + network(torch.cat([photos, preview.synthesis(start)], 1))
    first = steps.latent_loss(ws, target, network.w_std)
    first.backward()
    expected = gradients(network)
    assert loss == pytest.approx(first.item())
    torch.testing.assert_close(found, expected)

    step(1, torch.Generator().manual_seed(7))  # from here on, from its own estimate too
    both = gradients(network)
    half = ws[:2].detach()
    better = half + network(torch.cat([photos[:2], preview.synthesis(half)], 1))
    steps.latent_loss(better, target[:2], network.w_std).backward()
    torch.testing.assert_close([b - a for a, b in zip(expected, both)], gradients(network), atol=1e-5, rtol=1e-3)


def test_the_second_stage_learns_from_images(data, steps, stage, generator):
    network, preview, pairs = stage
    photos = torch.randint(0, 256, (3, 128, 128, 3), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    step = steps.images_step(network, preview, pairs, photos, batch=4)
    loss, found = step(0, torch.Generator().manual_seed(9)), gradients(network)

    rng = torch.Generator().manual_seed(9)  # the same draws, in order
    real = data.to_range(photos[torch.randint(3, (2,), generator=rng)])
    mirrored = torch.rand(2, 1, 1, 1, generator=rng) < 0.5
    real = torch.where(mirrored, real.flip(3), real)
    images, target = pairs.batch(data.choose(pairs.training, 2, rng))
    given, wanted = torch.cat([real, data.as_a_photo(images, rng)]), torch.cat([real, images])
    ws = generator.w_avg.expand(4, generator.num_ws, -1)
    for _ in range(2):
        ws = ws.detach() + network(torch.cat([given, preview.synthesis(ws).detach()], 1))
        looks = steps.image_loss(preview.synthesis(ws), wanted)
        prior = ((ws[:2] - generator.w_avg) / network.w_std).square().mean()
        known = steps.latent_loss(ws[2:], target, network.w_std)
        (looks + steps.LATENT_WEIGHT * known + steps.PRIOR_WEIGHT * prior).backward()
    torch.testing.assert_close(found, gradients(network), atol=1e-6, rtol=1e-3)
    assert loss == pytest.approx(looks.item(), rel=1e-4)  # of the last refinement


def test_bfloat16_is_near_enough(steps, generator):
    torch.manual_seed(0)
    network, photos = SmallNet(generator), torch.rand(2, 3, 128, 128) * 2 - 1
    found = steps.seen(network, photos, -photos)
    assert found.dtype == torch.float32
    expected = network(torch.cat([photos, -photos], 1))
    torch.testing.assert_close(found, expected, atol=0.03 * expected.abs().max().item(), rtol=0)


# ------------------------------------------------------------------------------------------------------ results


def test_what_is_written_can_be_loaded_and_is_measured(results, generator, tmp_path):
    torch.manual_seed(0)
    network = EncoderNet(generator.num_ws, generator.w_dim)
    network.w_std.copy_(results.latent_spread(generator, samples=500))
    pairs = SomePairs(generator)
    encoder = Encoder(network, Preview(generator), refinements=1)
    measured = results.measure_encoder(encoder, pairs)
    assert measured["pairs"] == 2 and len(measured["after_refinements"]) == 2
    found = encoder(pairs.images)
    for entry, ws in zip(measured["after_refinements"], found.steps):
        d = ((ws - pairs.target) / network.w_std).abs()
        assert entry["latent"] == pytest.approx(torch.where(d < 1, d**2 / 2, d - 0.5).mean().item(), abs=1e-4)
        error = (encoder.preview.synthesis(ws) - pairs.images).square().mean((1, 2, 3))
        assert entry["psnr_db"] == pytest.approx((10 * torch.log10(4 / error)).mean().item(), abs=0.01)

    path = tmp_path / "weights" / "encoder.safetensors"
    results.write(path, network.state_dict(), generator, {"photos": 7})
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["photos"] == 7 and record["generator"] == {"name": "small", "sha256": generator.digest}
    count = sum(value.numel() for value in network.state_dict().values() if value.is_floating_point())
    assert record["parameters"] == count and 2 * count < path.stat().st_size < 2.1 * count  # two bytes each
    loaded = Encoder.load(generator, refinements=1, weights=path)
    moved = (found.ws - generator.w_avg).abs().mean()
    assert (loaded(pairs.images).ws - found.ws).abs().mean() < 0.02 * moved


def test_a_stage_of_the_script_goes_on_and_logs(generator, steps, stage, tmp_path):
    """The script's settings of the loop: stopped in between, the stage gives the same weights, log and record."""
    import train_encoder

    _, preview, pairs = stage

    class Stop:
        def __init__(self, steps):
            self.left = steps

        @property
        def asked(self):
            self.left -= 1
            return self.left < 0

    def run(work, stops):
        for stop in (*map(Stop, stops), Stop(100)):
            torch.manual_seed(0)
            network = SmallNet(generator)
            gradients = steps.latents_step(network, preview, pairs, batch=2, own_from=14)
            found = train_encoder.Stage("latents", work, network, gradients, 28)
            whole = found.run(stop)
        assert whole
        return found

    whole, part = run(tmp_path / "whole", []), run(tmp_path / "part", [10])
    for name, value in whole.learner.average.state_dict().items():
        assert torch.equal(value, part.learner.average.state_dict()[name]), name
    assert whole.losses == part.losses and [step for step, _ in whole.losses] == [0, 25]
    assert part.record["steps"] == 28 and part.record["batch"] == 16
    assert part.learner.optimiser.param_groups[0]["lr"] == pytest.approx(
        1e-3 * 0.28 * 0.5 * (1 + np.cos(np.pi * 27 / 28))
    )


def test_every_photo_comes_once_an_epoch():
    """The face parser's batches: an order per epoch, known from the step alone, changed at random."""
    from face_parser_training.data import batches_of

    images = torch.arange(5, dtype=torch.uint8)[:, None, None, None].expand(5, 3, 16, 16) * 50
    labels = torch.arange(5, dtype=torch.uint8)[:, None, None].expand(5, 16, 16)
    draw = batches_of(images, labels, 2, seed=3)

    def labels_of(step):
        inputs, targets = draw(step, torch.Generator().manual_seed(step))
        assert inputs.shape == (2, 3, 321, 321) and targets.shape == (2, 161, 161) and inputs.abs().max() <= 1
        found = [set(target.unique().tolist()) - {255} for target in targets]  # 255: outside of the photo
        assert all(len(classes) == 1 for classes in found)
        return [classes.pop() for classes in found]

    epochs = [labels_of(0) + labels_of(1), labels_of(2) + labels_of(3), labels_of(4) + labels_of(5)]
    assert all(len(set(epoch)) == 4 for epoch in epochs) and len({tuple(epoch) for epoch in epochs}) > 1
    assert labels_of(1) == epochs[0][2:]  # a step depends on its number alone


def test_the_spread_of_latents(results, generator):
    z = np.random.RandomState(123).randn(300, generator.z_dim)
    w = generator.mapping(torch.from_numpy(z).float())[:, 0].numpy()
    np.testing.assert_allclose(results.latent_spread(generator, samples=300), w.std(0, ddof=1), rtol=1e-4)
