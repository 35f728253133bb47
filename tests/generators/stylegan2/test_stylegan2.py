"""StyleGAN2: equal to the official code's outputs, exact at both ends of mixing, and what it refuses."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from protocols import lacking

from stylemixseg import StyleMixSegmenter, mix_styles
from stylemixseg._util.paths import data_dir
from stylemixseg.generators.base import Generator, mean_latent, seeded_z
from stylemixseg.generators.checkpoints import Checkpoint, save_checkpoint
from stylemixseg.generators.stylegan2 import network as stylegan2
from stylemixseg.generators.stylegan2.architecture import Architecture
from stylemixseg.generators.stylegan2.network import StyleGAN2, ours, theirs
from stylemixseg.generators.zoo import load_generator
from stylemixseg.mixing import draw_style_latents, iter_style_mixes
from stylemixseg.settings import MixPlan

FIXTURES = "fixtures/stylegan2"
NETWORKS = ("tiny32", "small64")
FILES = ("nvidia_pytorch.pkl", "nvidia_tensorflow.pkl", "rosinality.pt")


@pytest.fixture(scope="module")
def reference():
    """Outputs of the official code, by network; a test that needs them is left out where they are absent."""

    def load(network: str):
        path = data_dir() / FIXTURES / f"{network}_reference.npz"
        if not path.exists():
            pytest.skip(f"{FIXTURES}/{path.name} is not in STYLEMIXSEG_DATA ({os.environ.get('STYLEMIXSEG_DATA')})")
        return np.load(path)

    return load


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("network", NETWORKS)
def test_agrees_with_the_official_code(reference, network, file):
    """Latents and images of every fixture and format within 1e-4 of the image range."""
    expected = reference(network)
    generator = StyleGAN2.from_file(data_dir() / FIXTURES / f"{network}_{file}")
    bound = 1e-4 * np.ptp(expected["image"])

    def close(got: torch.Tensor, name: str) -> None:
        np.testing.assert_allclose(got.numpy(), expected[name], rtol=0, atol=bound, err_msg=name)

    ws = generator.mapping(torch.from_numpy(expected["z"]).float())
    close(ws, "ws")
    close(generator.mapping(torch.from_numpy(expected["z"]).float(), 0.7), "ws_psi07")
    close(generator.synthesis(ws[:2]), "image")
    close(generator.synthesis(torch.from_numpy(expected["ws_psi07"])[:2]), "image_psi07")
    for name in expected.files:
        if name.startswith("mix_c"):
            cutoff = int(name.removeprefix("mix_c"))
            close(generator.synthesis(mix_styles(ws[:1], ws[1:2], cutoff)), name)
            (mixed,) = generator.iter_mixed_synthesis(ws[:1], ws[1:2], cutoff, 1)
            close(mixed, name)
    generator.noise_mode = "none"
    close(generator.synthesis(ws[:1]), "image_no_noise")


def test_is_a_generator(stylegan):
    assert not lacking(stylegan, Generator)
    assert (stylegan.resolution, stylegan.num_ws, len(stylegan.digest)) == (64, 10, 64)
    image = stylegan.synthesis(stylegan.mapping(seeded_z(0, stylegan.z_dim)))
    assert image.shape == (1, 3, 64, 64) and image.dtype == torch.float32 and torch.isfinite(image).all()


def test_modulation_is_a_kernel_of_its_own_for_every_image(stylegan):
    """Section 2.2 written out: scale each image's kernel by its style, normalise it, convolve image by image."""
    ws = stylegan.mapping(seeded_z([0, 1], stylegan.z_dim))
    x = torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    layer, w = stylegan.blocks[1].conv1, ws[:, 2]
    found = layer(x, w, "none")
    for i in range(2):
        kernel = layer.weight * layer.affine(w[i : i + 1])[0][None, :, None, None]
        kernel = kernel / (kernel.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        expected = F.leaky_relu(F.conv2d(x[i : i + 1], kernel, layer.bias, padding=1), 0.2) * 2**0.5
        torch.testing.assert_close(found[i : i + 1], expected.clamp(-8, 8), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cutoff", range(11))
def test_the_shared_prefix_changes_nothing(stylegan, cutoff):
    w0 = stylegan.mapping(seeded_z(0, stylegan.z_dim))
    styles = draw_style_latents(stylegan, 3, seed=1)
    mixed = torch.cat(list(stylegan.iter_mixed_synthesis(w0, styles, cutoff, 2)))
    torch.testing.assert_close(mixed, stylegan.synthesis(mix_styles(w0, styles, cutoff)), rtol=1e-5, atol=1e-5)


def test_both_ends_of_mixing_are_exact(stylegan):
    w0, styles = stylegan.mapping(seeded_z(0, stylegan.z_dim)), draw_style_latents(stylegan, 2, seed=1)
    ends = {c: torch.cat(list(stylegan.iter_mixed_synthesis(w0, styles, c, 1))) for c in (0, stylegan.num_ws)}
    for i in range(2):
        assert torch.equal(ends[0][i], stylegan.synthesis(styles[i : i + 1])[0])
        assert torch.equal(ends[stylegan.num_ws][i], stylegan.synthesis(w0)[0])


def test_truncation_and_its_cutoff(stylegan):
    z = seeded_z([3, 4], stylegan.z_dim)
    full, half = stylegan.mapping(z), stylegan.mapping(z, 0.5)
    torch.testing.assert_close(half, stylegan.w_avg + 0.5 * (full - stylegan.w_avg))
    some = stylegan.mapping(z, 0.5, truncation_cutoff=4)
    assert torch.equal(some[:, :4], half[:, :4]) and torch.equal(some[:, 4:], full[:, 4:])
    assert torch.equal(stylegan.mapping(z, 0.5, truncation_cutoff=0), full)
    torch.testing.assert_close(stylegan.mapping(z, 0.0)[:, 0], stylegan.w_avg.expand(2, -1))


def test_noise_modes(make_stylegan):
    images = {}
    for mode in ("const", "none", "random"):
        generator = make_stylegan(noise_mode=mode)
        ws = generator.mapping(seeded_z(0, generator.z_dim))
        images[mode] = [generator.synthesis(ws) for _ in range(2)]
    assert torch.equal(*images["const"]) and torch.equal(*images["none"]) and not torch.equal(*images["random"])
    assert not torch.equal(images["const"][0], images["none"][0])


def test_half_precision_draws_nearly_the_same(make_stylegan):
    generator = make_stylegan()
    ws = generator.mapping(seeded_z(0, generator.z_dim))
    exact = generator.synthesis(ws)
    generator.feature_dtype = torch.bfloat16
    rough = generator.synthesis(ws)
    assert rough.dtype == torch.float32 and not torch.equal(rough, exact)
    assert (rough - exact).abs().mean() < 0.02 * (exact.max() - exact.min())


def test_clamp_bounds_what_a_layer_gives(stylegan):
    ws = stylegan.mapping(seeded_z(0, stylegan.z_dim)) * 50
    for features in stylegan.feature_maps(ws, list(range(9))):
        assert features.abs().max() <= stylegan.architecture.conv_clamp


def test_feature_maps(stylegan):
    ws = stylegan.mapping(seeded_z([0, 1], stylegan.z_dim))
    maps = stylegan.feature_maps(ws, [0, 1, 2, 8])
    assert [tuple(item.shape) for item in maps] == [(2, 16, 4, 4), (2, 16, 8, 8), (2, 16, 8, 8), (2, 8, 64, 64)]
    torch.testing.assert_close(stylegan.feature_maps(ws, [2])[0], maps[2])
    # the last map and the RGB image before it give the image
    state = stylegan.run_layers(stylegan.start(), ws, 0, 9)
    assert torch.equal(state[0], maps[3])
    torch.testing.assert_close(stylegan.run_layers(state, ws, 9, 10)[1], stylegan.synthesis(ws))


def test_an_earlier_resolution_is_the_skip_sum_so_far(stylegan):
    ws = stylegan.mapping(seeded_z(0, stylegan.z_dim))
    small = stylegan.synthesis(ws, resolution=16)
    assert small.shape == (1, 3, 16, 16)
    (features,) = stylegan.feature_maps(ws, [4])
    before = stylegan.synthesis(ws, resolution=8)
    colours = stylegan.blocks[2].torgb(features, ws[:, 5])
    torch.testing.assert_close(small, stylegan2.upsample(before, stylegan.filter) + colours)
    assert torch.equal(stylegan.synthesis(ws, resolution=64), stylegan.synthesis(ws))
    later = ws.clone()
    later[:, 6:] += 1  # layers that come later do not matter
    assert torch.equal(stylegan.synthesis(later, resolution=16), small)


def test_upsampling_keeps_a_constant(stylegan):
    inner = stylegan2.upsample(torch.full((1, 3, 8, 8), 0.5), stylegan.filter)[:, :, 2:-2, 2:-2]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.5))


def test_is_differentiable(stylegan):
    ws = stylegan.mapping(seeded_z(0, stylegan.z_dim)).requires_grad_()
    stylegan.synthesis(ws).square().mean().backward()
    assert (ws.grad.abs().sum(2) > 0).all()


def test_names_go_there_and_back(stylegan):
    names = set(stylegan.weights())
    assert {"mapping.fc0.weight", "mapping.w_avg", "synthesis.b4.const", "synthesis.b64.conv0.affine.bias"} <= names
    assert {ours(name) for name in names} == set(stylegan.state_dict())
    assert all(theirs(ours(name)) == name for name in names)
    assert ours("synthesis.b5.const") == "synthesis.b5.const"  # no such resolution: not taken for another


def test_a_missing_mean_latent_is_computed_and_said(stylegan):
    weights = stylegan.weights()
    del weights["mapping.w_avg"]
    generator = StyleGAN2.from_weights(stylegan.architecture, weights)
    assert "10000 samples" in generator.notes[0]
    torch.testing.assert_close(generator.w_avg, mean_latent(stylegan.mapping_network, stylegan.z_dim, 10_000, 0))
    sample = generator.mapping(torch.randn(4000, generator.z_dim, generator=torch.Generator().manual_seed(1)))[:, 0]
    assert (sample.mean(0) - generator.w_avg).abs().max() < 5 * sample.std(0).max() / 4000**0.5


def test_weights_that_do_not_fit(stylegan):
    weights = stylegan.weights()
    for broken in (
        {**weights, "synthesis.b8.conv0.bias": torch.zeros(3)},
        {name: value for name, value in weights.items() if name != "synthesis.b8.conv0.bias"},
        {**weights, "synthesis.b8.conv7.bias": torch.zeros(3)},
    ):
        with pytest.raises(ValueError, match="conv[07].bias"):
            StyleGAN2.from_weights(stylegan.architecture, broken)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda g, ws: g.mapping(torch.zeros(1, 3)), r"z must have shape \(N, 8\)"),
        (lambda g, ws: g.mapping(torch.zeros(1, 8), truncation_cutoff=11), "truncation_cutoff must be in 0..10"),
        (lambda g, ws: g.mapping(torch.zeros(1, 8), 1.5), "truncation must be in"),
        (lambda g, ws: g.synthesis(ws[:, :4]), "ws must have shape"),
        (lambda g, ws: g.synthesis(ws * float("nan")), "finite"),
        (lambda g, ws: g.synthesis(ws, resolution=48), "one of 4, 8, 16, 32, 64, got 48"),
        (lambda g, ws: g.feature_maps(ws, [9]), "layers must be in 0..8"),
        (lambda g, ws: g.feature_maps(ws, [3, 2]), "layers must rise"),
        (lambda g, ws: StyleGAN2(g.architecture, noise_mode="constant"), "noise_mode must be one of"),
    ],
)
def test_bad_input(stylegan, call, message):
    with pytest.raises(ValueError, match=message):
        call(stylegan, stylegan.mapping(seeded_z(0, 8)))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"channels": (8,)}, "channels"),
        ({"channels": (8, 0)}, "at least 1"),
        ({"w_dim": 0}, "w_dim"),
        ({"conv_clamp": float("nan")}, "conv_clamp"),
    ],
)
def test_bad_architecture(changes, message):
    with pytest.raises(ValueError, match=message):
        Architecture(**({"z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channels": (8, 8)} | changes))


def test_segments(stylegan):
    result = StyleMixSegmenter(stylegan, n=4, cutoff=5, k=3)(stylegan.mapping(seeded_z(0, 8), 0.7))
    assert result.mask.shape == (64, 64) and result.generator_digest == stylegan.digest


def test_batches_do_not_change_the_mixes(stylegan):
    w0, styles = stylegan.mapping(seeded_z(0, 8)), draw_style_latents(stylegan, 5, seed=1)
    one, three = (
        np.concatenate(list(iter_style_mixes(stylegan, w0, styles, MixPlan(4, batch_size=size)))).astype(int)
        for size in (1, 3)
    )
    assert abs(one - three).max() <= 1  # rounding to 8 bits at a tie


def test_a_file_without_mean_latent_says_so_once(stylegan, tmp_path):
    weights = stylegan.weights()
    del weights["mapping.w_avg"]
    path = tmp_path / "without.safetensors"
    save_checkpoint(Checkpoint("stylemixseg", stylegan.architecture, weights, "0" * 64), path)
    generator = StyleGAN2.from_file(path)
    assert generator.name == "without" and sum("w_avg" in note or "latent_avg" in note for note in generator.notes) == 1


def test_a_converted_file_is_the_same_generator(stylegan, tmp_path):
    path = tmp_path / "copy.safetensors"
    save_checkpoint(Checkpoint("stylemixseg", stylegan.architecture, stylegan.weights(), "0" * 64), path)
    copy = load_generator(path, engine="torch")
    assert copy.digest == stylegan.digest
    ws = stylegan.mapping(seeded_z(0, 8))
    assert torch.equal(copy.synthesis(ws), stylegan.synthesis(ws))
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        load_generator(tmp_path / "absent.pkl")
