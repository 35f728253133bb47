"""The PyTorch module: against the original networks in OpenVINO, and its parts against hand-worked cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from protocols import lacking

from stylemixseg.generators.base import Generator, seeded_z
from stylemixseg.generators.mobilestylegan import MobileStyleGAN, inverse_haar
from stylemixseg.mixing import mix_styles


def test_inverse_haar_of_one_pixel_by_hand():
    ll, lh, hl, hh = 8.0, 4.0, 2.0, 1.0
    y = inverse_haar(torch.tensor([ll, lh, hl, hh]).reshape(1, 4, 1, 1))
    # rows i, columns j: (ll + a lh + b hl + ab hh) / 2 with a = 1 - 2i, b = 1 - 2j
    assert y.tolist() == [[[[7.5, 4.5], [2.5, 1.5]]]]


def test_inverse_haar_inverts_the_haar_transform():
    y = torch.randn(2, 3, 8, 6, dtype=torch.float64)
    p, q, r, s = (y[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1))
    ll, lh, hl, hh = p + q + r + s, p + q - r - s, p - q + r - s, p - q - r + s
    bands = torch.stack([lh, hl, hh], dim=2).flatten(1, 2)  # each colour's lh, hl, hh side by side
    torch.testing.assert_close(inverse_haar(torch.cat([ll, bands], 1) / 2), y)


def test_protocol(tiny):
    assert not lacking(tiny, Generator)
    assert (tiny.num_ws, tiny.resolution, tiny.w_dim) == (6, 32, 8)
    ws = tiny.mapping(seeded_z([0, 1, 2], 8))
    assert ws.shape == (3, 6, 8) and torch.equal(ws[:, 0], ws[:, 5])
    images = tiny.synthesis(ws)
    assert images.shape == (3, 3, 32, 32) and images.dtype == torch.float32
    assert not torch.allclose(images[0], images[1])
    torch.testing.assert_close(torch.cat([tiny.synthesis(row[None]) for row in ws]), images)


def test_released_architecture():
    with torch.device("meta"):
        generator = MobileStyleGAN()
    assert (generator.num_ws, generator.resolution, generator.z_dim, generator.w_dim) == (16, 1024, 512, 512)
    assert sum(value.numel() for value in generator.state_dict().values()) == pytest.approx(10.1e6, rel=0.01)


def test_truncation_goes_from_the_average_to_the_latent(tiny):
    z = seeded_z(range(5), 8)
    none, half, full = (tiny.mapping(z, psi)[:, 0] for psi in (0, 0.5, 1))
    torch.testing.assert_close(none, tiny.w_avg.expand(5, 8))
    torch.testing.assert_close(half, (none + full) / 2)
    torch.testing.assert_close(full, tiny.mapping_network(z))


def test_mapping_ignores_the_length_of_z(tiny):
    z = seeded_z(range(5), 8)
    torch.testing.assert_close(tiny.mapping(3 * z), tiny.mapping(z), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "z, error, words",
    [
        (torch.zeros(8), ValueError, r"z must have shape \(N, 8\) with N >= 1, got \(8,\)"),
        (torch.zeros(1, 9), ValueError, r"got \(1, 9\)"),
        (torch.zeros(0, 8), ValueError, r"got \(0, 8\)"),
        (torch.full((1, 8), float("nan")), ValueError, "z must be finite"),
        (np.zeros((1, 8)), TypeError, "z must be a floating-point torch.Tensor, got ndarray"),
        (torch.zeros(1, 8, dtype=torch.int64), TypeError, "floating-point"),
    ],
)
def test_bad_z(tiny, z, error, words):
    with pytest.raises(error, match=words):
        tiny.mapping(z)


def test_bad_truncation_and_latents(tiny):
    for psi in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"truncation must be in 0\.0\.\.1\.0, got"):
            tiny.mapping(torch.ones(1, 8), psi)
    with pytest.raises(ValueError, match=r"ws must have shape \(N, 6, 8\) with N >= 1, got \(1, 5, 8\)"):
        tiny.synthesis(torch.zeros(1, 5, 8))
    with pytest.raises(ValueError, match="ws must be finite"):
        tiny.synthesis(torch.full((1, 6, 8), float("inf")))


def test_each_layer_reads_its_own_row(tiny):
    ws = tiny.mapping(seeded_z(0, 8))
    image = tiny.synthesis(ws)
    for layer in range(tiny.num_ws):
        changed = ws.clone()
        changed[:, layer] += 1
        assert (tiny.synthesis(changed) - image).abs().max() > 1e-3
        # The layers before it do not see the change.
        torch.testing.assert_close(
            tiny.run_layers(tiny.const, changed, 0, layer), tiny.run_layers(tiny.const, ws, 0, layer), rtol=0, atol=0
        )


@pytest.mark.parametrize("cutoff", range(7))
def test_shared_prefix_gives_what_full_synthesis_gives(tiny, cutoff):
    w0, styles = tiny.mapping(seeded_z(0, 8)), tiny.mapping(seeded_z(range(1, 6), 8))
    batches = list(tiny.iter_mixed_synthesis(w0, styles, cutoff, batch_size=2))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    torch.testing.assert_close(torch.cat(batches), tiny.synthesis(mix_styles(w0, styles, cutoff)), rtol=1e-5, atol=1e-5)


def test_gradients_are_those_of_finite_differences(tiny):
    generator = MobileStyleGAN((16, 16, 8), w_dim=8)
    generator.load_state_dict(tiny.state_dict())
    generator = generator.double().eval().requires_grad_(False)
    ws = generator.mapping(seeded_z(0, 8).double()).requires_grad_()
    assert torch.autograd.gradcheck(lambda ws: generator.synthesis(ws)[:, :, ::7, ::5], (ws,))


# The real network, beside the untouched original.


def test_real_mapping_is_the_original(real_faces, original_networks):
    mapping, _ = original_networks
    for seed in range(8):
        z = seeded_z(seed, 512)
        original = mapping([z.numpy()])[0]
        assert np.abs(real_faces.mapping(z)[0, 0].numpy() - original).max() < 1e-4


@pytest.mark.parametrize("seeds", [[0] * 16, [7] * 16, list(range(16)), list(range(100, 116))])
def test_real_image_is_the_original(real_faces, original_networks, seeds):
    """One style for all layers, as the original takes it, and 16 different ones."""
    _, synthesis = original_networks
    ws = real_faces.mapping(seeded_z(seeds, 512))[:, 0]  # row i: the style of layer i
    original = synthesis([ws.numpy()])[0]
    image = real_faces.synthesis(ws[None])
    assert image.shape == (1, 3, 1024, 1024)
    assert np.abs(image.numpy() - original).max() < 1e-3
    assert original.std() > 0.1  # a picture, not a constant


def test_real_image_is_differentiable(real_faces):
    ws = real_faces.mapping(seeded_z(0, 512)).requires_grad_()
    real_faces.synthesis(ws).square().mean().backward()
    assert torch.isfinite(ws.grad).all()
    assert (ws.grad.abs().amax(2) > 0).all()  # every layer


def test_real_average_is_where_the_latents_are_centred(real_faces):
    w = real_faces.mapping(seeded_z(range(300), 512))[:, 0]
    off = (w.mean(0) - real_faces.w_avg).norm()
    assert off < 0.15 * (w - real_faces.w_avg).norm(dim=1).mean()
