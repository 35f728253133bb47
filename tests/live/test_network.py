"""The network for a page: as an ONNX model it gives the pictures that the PyTorch module gives."""

from __future__ import annotations

import copy
import gzip

import numpy as np
import pytest
import torch
from runs_onnx import runs_onnx

from stylemixseg.generators.base import seeded_latent, seeded_z
from stylemixseg.generators.mobilestylegan import Affine
from stylemixseg.inversion.preview import Preview
from stylemixseg.live.network import network_model
from stylemixseg.mixing import draw_style_latents, mix_styles, to_uint8


def _psnr(got, expected) -> float:
    return 10 * np.log10(255**2 / np.square(got.astype(float) - expected).mean())


def _vivid(generator, side: int):
    """A copy whose pictures of that side use the whole range: with random weights they are nearly of one grey."""
    generator = copy.deepcopy(generator)
    for module in generator.modules():
        if isinstance(module, Affine):
            module.bias += 2
    generator.to_img.bias.zero_()
    generator.to_img.weight *= 0.4 / Preview(generator, side).synthesis(_latents(generator)).std()
    return generator


def _latents(generator) -> torch.Tensor:
    """Two times latents that are others in each layer, (2, num_ws, w_dim)."""
    drawn = generator.mapping(seeded_z(range(2 * generator.num_ws), generator.z_dim))[:, 0]
    return drawn.reshape(2, generator.num_ws, -1)


def _levels(generator, side: int, ws) -> np.ndarray:
    """What PyTorch gives for ws, (N, side, side, 3) uint8."""
    with torch.no_grad():
        return to_uint8(Preview(generator, side).synthesis(ws))


@pytest.mark.parametrize("side", [8, 16, 32, 64, 128])
def test_the_onnx_model_equals_pytorch(small, side):
    """Every split between layers that are kept and layers that are collapsed; each layer with a latent of its own."""
    vivid = _vivid(small, side)
    ws = _latents(vivid)
    run = runs_onnx(network_model(vivid, side, "float32"))
    for one, expected in zip(ws, _levels(vivid, side, ws)):
        assert expected.std() > 20  # there is something to compare
        got = run(one.numpy())
        assert got.shape == (side, side, 4) and got.dtype == np.uint8
        assert (got[..., 3] == 255).all()
        # rounded to bytes: a sum in another order may round to the neighbour
        assert np.abs(got[..., :3].astype(int) - expected).max() <= 1
        assert (got[..., :3] == expected).mean() > 0.99


def test_every_layer_counts(small):
    vivid = _vivid(small, 128)
    run = runs_onnx(network_model(vivid, 128, "float32"))
    ws, others = _latents(vivid)
    for layer in range(vivid.num_ws):
        changed = ws.clone()
        changed[layer] = others[layer]
        assert (run(changed.numpy()) != run(ws.numpy())).any(), f"layer {layer} is not read"


def test_bytes_for_weights_change_a_picture_little(small):
    vivid = _vivid(small, 64)
    ws = _latents(vivid)
    got = runs_onnx(network_model(vivid, 64))(ws[0].numpy())[..., :3]
    assert 25 < _psnr(got, _levels(vivid, 64, ws)[0]) < 60  # it is not the exact network either


@pytest.mark.parametrize("side, words", [(48, "power of two"), (256, "resolution must be")])
def test_sides_that_there_are_not(small, side, words):
    with pytest.raises(ValueError, match=words):
        network_model(small, side)


def test_the_real_network_is_small_and_faithful(real_faces):
    """7 MB to download, 40 dB and more; in float32 the pictures are PyTorch's."""
    ws = mix_styles(seeded_latent(real_faces, 1, 0.7), draw_style_latents(real_faces, 2, 2023), 6)
    expected = _levels(real_faces, 256, ws)
    exact, small = (network_model(real_faces, 256, storage, "terms") for storage in ("float32", "int8"))
    assert len(gzip.compress(small.SerializeToString(), 9)) < 7.5e6
    assert {note.key: note.value for note in small.metadata_props} == {
        "weights_sha256": real_faces.digest,
        "licence": "terms",
    }
    for one, picture in zip(ws.numpy(), expected):
        assert np.abs(runs_onnx(exact)(one)[..., :3].astype(int) - picture).max() <= 1
        assert _psnr(runs_onnx(small)(one)[..., :3], picture) > 40
