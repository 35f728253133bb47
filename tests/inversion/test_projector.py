"""Projection: it finds latents, can be stopped and gone on with exactly, and leaves photos and generator alone."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from stylemixseg.generators.base import seeded_z, weights_digest
from stylemixseg.generators.openvino.engine import OpenVINOGenerator
from stylemixseg.inversion import resuming
from stylemixseg.inversion.base import Inversion, Inverter
from stylemixseg.inversion.losses import latent_spread, multi_scale_loss, noise_correlation, shrunk
from stylemixseg.inversion.projector import EncoderThenProjector, Projector, ProjectorConfig, with_noise

FREE = {"prior_weight": 0.0, "layer_weight": 0.0, "sides": (32, 16, 8), "patience": None}


@pytest.fixture(scope="module")
def stylegan(make_stylegan):
    """The random StyleGAN2 with a tenth of its colours: its images lie in [-2, 2], as a photo may."""
    generator = make_stylegan()
    for block in generator.blocks:
        block.torgb.weight *= 0.1
        block.torgb.bias *= 0.1
    generator.digest = weights_digest(generator.state_dict())
    return generator


@pytest.fixture(params=["tiny", "stylegan"])
def generator(request):
    return request.getfixturevalue(request.param)


def photos_of(generator, seeds, truncation=0.3):
    """Images that the generator made itself, near its average."""
    with torch.no_grad():
        return generator.synthesis(generator.mapping(seeded_z(seeds, generator.z_dim), truncation))


def counted(monkeypatch, generator):
    """How often the generator paints from now on."""
    calls, real = [], type(generator).synthesis

    def synthesis(self, ws):
        calls.append(1)
        return real(self, ws)

    monkeypatch.setattr(type(generator), "synthesis", synthesis)
    return calls


class StopAt:
    """As Ctrl-C after so many steps."""

    def __init__(self, steps: int):
        self.left = steps

    def __call__(self, step, ws, image):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_finds_a_latent_of_its_own_image(generator):
    photos = photos_of(generator, [4])
    projector = Projector(generator, **FREE, steps=50)
    assert isinstance(projector, Inverter)
    found = projector(photos)
    assert isinstance(found, Inversion) and found.ws.shape == (1, generator.num_ws, generator.w_dim)
    loss = multi_scale_loss(generator.synthesis(found.ws), photos, FREE["sides"]).item()
    assert loss == pytest.approx(min(found.losses[0]), rel=1e-4)
    assert loss < found.losses[0][0] / 20
    assert found.seconds > 0 and found.method == "projection in W+, 50 steps"


def test_w_keeps_all_layers_equal(generator):
    start = generator.mapping(seeded_z([0], generator.z_dim), 0.5)
    start = start + 0.1 * torch.randn(start.shape, generator=torch.Generator().manual_seed(0))
    found = Projector(generator, **FREE, space="w", steps=25)(photos_of(generator, [4]), start=start)
    for ws in found.steps:
        assert torch.equal(ws, ws[:, :1].expand_as(ws))
    torch.testing.assert_close(found.steps[0][:, 0], start.mean(1))
    assert min(found.losses[0]) < found.losses[0][0] / 2


def test_steps_go_from_the_start_to_the_result(tiny):
    start = tiny.mapping(seeded_z([0], tiny.z_dim), 0.2)
    seen = []
    projector = Projector(tiny, **FREE, steps=12, snapshots=4)
    found = projector(photos_of(tiny, [4]), start=start, on_step=lambda step, ws, image: seen.append((step, ws, image)))
    assert [step for step, _, _ in seen] == list(range(12)) and len(found.steps) == 4
    torch.testing.assert_close(found.steps[0], start)  # through whitened coordinates and back
    assert torch.equal(found.steps[-1], found.ws)
    assert torch.equal(found.steps[1], seen[4][1]) and torch.equal(found.steps[2], seen[8][1])  # after 4 and 8 updates
    _, ws, image = seen[5]
    torch.testing.assert_close(image, shrunk(tiny.synthesis(ws), 32))
    assert not image.requires_grad and not ws.requires_grad
    best = min(range(12), key=lambda i: found.losses[0][i])
    assert torch.equal(found.ws, seen[best][1])


def test_noise_maps_are_optimised_and_the_generator_is_not_touched(stylegan):
    photos, before = photos_of(stylegan, [4]), weights_digest(stylegan.state_dict())
    plain = Projector(stylegan, **FREE, steps=30)(photos)
    # with the regularisation of so small maps off, noise can only help
    found = Projector(stylegan, **FREE, steps=30, space="w+noise", noise_weight=0.0)(photos)
    assert plain.noises == () and weights_digest(stylegan.state_dict()) == before
    (noise,) = found.noises
    changed = with_noise(stylegan, noise)
    loss = multi_scale_loss(changed.synthesis(found.ws), photos, FREE["sides"]).item()
    assert loss == pytest.approx(min(found.losses[0]), rel=1e-4)
    assert loss < multi_scale_loss(stylegan.synthesis(found.ws), photos, FREE["sides"]).item()
    for name, value in noise.items():
        assert not torch.equal(value, stylegan.get_buffer(name))
        assert abs(value.mean()) < 1e-4 and value.square().mean().item() == pytest.approx(1, abs=1e-3)
    assert changed.name == "stylegan-noise" and changed.digest == weights_digest(changed.state_dict()) != before
    with pytest.raises(ValueError, match="noise must hold this generator's noise maps, got 'w_avg'"):
        with_noise(stylegan, {"w_avg": stylegan.w_avg})


def test_noise_stays_white_under_its_weight(stylegan):
    def correlation(weight):
        projector = Projector(stylegan, **FREE, steps=15, space="w+noise", noise_weight=weight)
        return noise_correlation(list(projector(photos_of(stylegan, [4])).noises[0].values()))

    assert correlation(1e5) < correlation(0.0) / 2


def test_stops_early_where_nothing_is_gained(tiny):
    start = tiny.mapping(seeded_z([4], tiny.z_dim), 0.3)
    photos = tiny.synthesis(start)
    projector = Projector(tiny, **FREE | {"patience": 5}, steps=50, snapshots=5)
    found = projector(photos, start=start)
    assert len(found.losses[0]) == 6  # the start, and five that are no better
    torch.testing.assert_close(found.ws, start)
    assert len(found.steps) == 5 and torch.equal(found.steps[-1], found.ws)


def test_settled_needs_patience_and_counts_full_images_only():
    config = ProjectorConfig(steps=50, patience=3, min_improvement=0.1)
    assert not config.settled([1.0, 1.0, 1.0])
    assert config.settled([1.0, 1.0, 0.95, 0.91])
    assert not config.settled([1.0, 1.0, 0.95, 0.89])
    assert not ProjectorConfig(steps=50, patience=3, preview_steps=1).settled([1.0] * 4)
    assert not ProjectorConfig(steps=50, patience=None).settled([1.0] * 49)


def test_learning_rate_rises_and_falls():
    config = ProjectorConfig(steps=100, learning_rate=1.0)
    rates = [config.rate(step) for step in range(100)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0]) and rates[5:76] == pytest.approx([1.0] * 71)
    assert rates[75:] == sorted(rates[75:], reverse=True) and 0 < rates[-1] < 0.01
    assert rates[88] == pytest.approx(0.5 - 0.5 * math.cos(math.pi * 12 / 25))


@pytest.mark.parametrize("settings", [{}, {"space": "w"}, {"space": "w+noise", "noise_weight": 10.0}])
def test_resumed_run_equals_an_uninterrupted_one(stylegan, tmp_path, monkeypatch, settings):
    """Three photos, Ctrl-C in the second: the first is not done again, the second goes on where it was."""
    photos = photos_of(stylegan, [1, 2, 3])
    projector = Projector(stylegan, **FREE | {"prior_weight": 1e-3}, steps=8, snapshots=4, **settings)
    whole = projector(photos)
    with pytest.raises(KeyboardInterrupt):
        projector(photos, resume=tmp_path, on_step=StopAt(13))
    assert len(list(tmp_path.iterdir())) == 2
    calls = counted(monkeypatch, stylegan)
    again = projector(photos, resume=tmp_path)
    assert len(calls) == 3 * 8 - 13
    assert again.losses == whole.losses and torch.equal(again.ws, whole.ws)
    assert all(torch.equal(a, b) for a, b in zip(again.steps, whole.steps, strict=True))
    for a, b in zip(again.noises, whole.noises, strict=True):
        assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    calls.clear()
    third = projector(photos, resume=tmp_path)
    assert not calls and torch.equal(third.ws, whole.ws) and third.seconds == again.seconds


def test_state_is_written_while_it_runs(tiny, tmp_path, monkeypatch):
    """A killed process writes nothing at its end: what is there then was written before."""
    monkeypatch.setattr(resuming, "SAVE_EVERY", 0.0)
    there = []
    projector = Projector(tiny, **FREE, steps=3)
    projector(photos_of(tiny, [1]), resume=tmp_path, on_step=lambda *_: there.append(len(list(tmp_path.iterdir()))))
    assert there == [1, 1, 1]


def test_another_photo_setting_or_start_begins_anew(tiny, tmp_path, monkeypatch):
    photos = photos_of(tiny, [1, 2])
    Projector(tiny, **FREE, steps=4)(photos[:1], resume=tmp_path)
    calls = counted(monkeypatch, tiny)
    Projector(tiny, **FREE, steps=4)(photos[1:], resume=tmp_path)
    Projector(tiny, **FREE, steps=4, learning_rate=0.01)(photos[:1], resume=tmp_path)
    Projector(tiny, **FREE, steps=4)(photos[:1], resume=tmp_path, start=tiny.w_avg.expand(1, tiny.num_ws, -1) + 0.1)
    monkeypatch.setattr(tiny, "digest", "1" * 64)
    Projector(tiny, **FREE, steps=4)(photos[:1], resume=tmp_path)
    assert len(calls) == 16 and len(list(tmp_path.iterdir())) == 5


def test_a_damaged_state_begins_anew(tiny, tmp_path, monkeypatch):
    photos, projector = photos_of(tiny, [1]), Projector(tiny, **FREE, steps=4)
    whole = projector(photos, resume=tmp_path)
    (file,) = tmp_path.iterdir()
    calls, intact = counted(monkeypatch, tiny), file.read_bytes()
    for damaged in (intact[:-10], b"", intact[:8] + b"x" + intact[9:], intact.replace(b"seconds", b"minutes")):
        file.write_bytes(damaged)
        calls.clear()
        assert torch.equal(projector(photos, resume=tmp_path).ws, whole.ws) and len(calls) == 4


def test_photos_do_not_touch_each_other(generator):
    photos = photos_of(generator, [1, 2])
    projector = Projector(generator, **FREE, steps=5)
    together = projector(photos)
    for i in range(2):
        alone = projector(photos[i : i + 1])
        assert torch.equal(alone.ws[0], together.ws[i]) and alone.losses[0] == together.losses[i]


def test_priors_pull(tiny):
    photos, spread = photos_of(tiny, [4], truncation=1.0), latent_spread(tiny)

    def found(**weights):
        return Projector(tiny, **FREE | weights, steps=30)(photos).ws

    free, near, even = found(), found(prior_weight=1.0), found(layer_weight=1.0)
    assert spread.distance(near) < spread.distance(free) / 2
    assert spread.between_layers(even) < spread.between_layers(free) / 2


def test_perceptual_distance_is_weighed_in(tiny):
    photos, seen = photos_of(tiny, [4]), []

    def perceptual(images, target):
        seen.append((images.shape, target.shape))
        return (images - target).square().mean((1, 2, 3))

    found = Projector(tiny, **FREE, steps=1, perceptual=perceptual, perceptual_weight=3.0)(photos)
    plain = Projector(tiny, **FREE, steps=1)(photos)
    error = (tiny.synthesis(plain.steps[0]) - photos).square().mean().item()
    assert found.losses[0][0] - plain.losses[0][0] == pytest.approx(3 * error, rel=1e-4)
    assert seen == [((1, 3, 32, 32), (1, 3, 32, 32))]


class HalfPreview:
    """The generator's image at half its size."""

    def __init__(self, generator):
        self.generator, self.calls = generator, 0

    def synthesis(self, ws):
        self.calls += 1
        return shrunk(self.generator.synthesis(ws), self.generator.resolution // 2)


def test_first_steps_look_at_the_preview(tiny, monkeypatch):
    photos, preview, seen = photos_of(tiny, [4]), HalfPreview(tiny), []
    projector = Projector(tiny, preview=preview, **FREE, steps=8, preview_steps=5)
    found = projector(photos, on_step=lambda step, ws, image: seen.append((ws, image.shape[-1])))
    assert preview.calls == 5 and [side for _, side in seen] == [16] * 5 + [32] * 3
    half = multi_scale_loss(preview.synthesis(seen[0][0]), photos, (16, 8)).item()
    assert found.losses[0][0] == pytest.approx(half, rel=1e-4)
    full = found.losses[0][5:]  # the result is the best of these, whatever the preview's losses were
    assert torch.equal(found.ws, seen[5 + full.index(min(full))][0])
    assert found.method.endswith("(5 on the preview)")
    only = Projector(tiny, preview=preview, **FREE, steps=4, preview_steps=4)(photos)
    assert len(only.losses[0]) == 4 and not torch.equal(only.ws, only.steps[0])


def test_encoder_then_projector(tiny):
    photos = photos_of(tiny, [1, 2])
    near = tiny.mapping(seeded_z([1, 2], tiny.z_dim), 0.25)

    def encoder(photos, progress=False):
        return Inversion(near, (near * 0, near), 10.0, "encoder, 1 refinement")

    projector = Projector(tiny, **FREE, steps=5, snapshots=3)
    chain = EncoderThenProjector(encoder, projector)
    assert isinstance(chain, Inverter)
    found, alone = chain(photos), projector(photos, start=near)
    assert torch.equal(found.ws, alone.ws)
    expected = [near * 0, near, *alone.steps[1:]]
    assert all(torch.equal(a, b) for a, b in zip(found.steps, expected, strict=True))
    assert found.seconds > 10 and found.method == "encoder, 1 refinement, then projection in W+, 5 steps"


def test_the_callers_module_keeps_its_gradients(stylegan):
    generator = copy.deepcopy(stylegan).requires_grad_(True)
    generator.const.requires_grad_(False)
    with torch.no_grad():  # of the caller's, as around the rest of the method
        found = Projector(generator, **FREE, steps=5)(photos_of(generator, [4]))
    assert min(found.losses[0]) < found.losses[0][0]
    assert not generator.const.requires_grad and generator.blocks[0].conv1.weight.requires_grad
    assert all(parameter.grad is None for parameter in generator.parameters())


def test_photos_may_have_any_size(tiny):
    large = torch.nn.functional.interpolate(photos_of(tiny, [4]), scale_factor=3)
    projector = Projector(tiny, **FREE, steps=5)
    torch.testing.assert_close(projector(large).ws, projector(photos_of(tiny, [4])).ws, rtol=1e-3, atol=1e-3)
    assert projector(shrunk(large, 8)).losses[0][-1] < projector(shrunk(large, 8)).losses[0][0]


def test_a_loss_that_is_not_finite_is_reported(tiny):
    projector = Projector(tiny, **FREE, steps=2, perceptual=lambda a, b: a.mean((1, 2, 3)) * math.nan)
    with pytest.raises(FloatingPointError, match="at step 0: lower learning_rate"):
        projector(photos_of(tiny, [4]))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"space": "z"}, ValueError, "space must be one of w, w\\+, w\\+noise, got 'z'"),
        ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate"),
        ({"sides": ()}, TypeError, "sides must be a tuple"),
        ({"prior_weight": -1.0}, ValueError, "prior_weight"),
        ({"perceptual": 3}, TypeError, "perceptual must be callable"),
        ({"patience": 0}, ValueError, "patience"),
        ({"preview_steps": 81}, ValueError, "preview_steps must be in 0..80"),
        ({"preview_steps": 1}, ValueError, "preview_steps must be 0 without a preview, got 1"),
        ({"snapshots": 1}, ValueError, "snapshots must be at least 2"),
        ({"colour": 1}, TypeError, "colour"),
        ({"space": "w+noise"}, ValueError, "needs a StyleGAN2 with noise_mode 'const'.*got tiny"),
    ],
)
def test_refuses_settings(tiny, settings, error, message):
    with pytest.raises(error, match=message):
        Projector(tiny, **settings)


def test_refuses_generators_without_gradients_or_noise(tiny, make_stylegan):
    with pytest.raises(TypeError, match="engine='torch'.*got tiny as OpenVINOGenerator"):
        Projector(OpenVINOGenerator(tiny))
    with pytest.raises(ValueError, match="noise_mode 'const'"):
        Projector(make_stylegan(noise_mode="none"), space="w+noise")


def test_refuses_photos_and_starts(tiny):
    projector = Projector(tiny, **FREE, steps=1)
    with pytest.raises(ValueError, match="photos must be square"):
        projector(torch.zeros(1, 3, 32, 16))
    with pytest.raises(ValueError, match="got values up to 255"):
        projector(torch.full((1, 3, 32, 32), 255.0))
    with pytest.raises(TypeError, match="torch.uint8"):
        projector(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"start must have shape \(N, 6, 8\)"):
        projector(torch.zeros(1, 3, 32, 32), start=torch.zeros(1, 5, 8))
    with pytest.raises(ValueError, match=r"one latent a photo \(3\) or one for all, got 2"):
        projector(torch.zeros(3, 3, 32, 32), start=torch.zeros(2, 6, 8))
    with pytest.raises(ValueError, match="sides must hold one of at most 4 px"):
        projector(torch.zeros(1, 3, 4, 4))


def test_progress_bar_shows_the_loss(tiny, capsys):
    Projector(tiny, **FREE, steps=3)(photos_of(tiny, [4]), progress=True)
    shown = capsys.readouterr().err
    assert "projection: 100%" in shown and "3/3" in shown


def test_real_faces_take_a_step_down(real_faces):
    photos = shrunk(photos_of(real_faces, [4], truncation=0.7), 256).clamp(-1, 1)
    found = Projector(real_faces, steps=2)(photos)
    assert found.losses[0][1] < found.losses[0][0]
