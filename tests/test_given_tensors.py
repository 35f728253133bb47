"""Latents and images as users have them: of another floating type, with gradients, or not in one piece in memory.

Each must give what the same values give as plain float32, wherever they enter.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from stylemixseg._util.tensors import fit_latents
from stylemixseg.experiments.stackcache import cached_stack
from stylemixseg.generators.base import seeded_z
from stylemixseg.generators.toyworld.world import ToyWorld
from stylemixseg.inversion.encoder import Encoder, EncoderNet
from stylemixseg.inversion.losses import latent_spread, multi_scale_loss
from stylemixseg.inversion.pivotal import pivotal_tuning
from stylemixseg.inversion.preview import Preview
from stylemixseg.inversion.projector import Projector
from stylemixseg.mixing import (
    draw_style_latents,
    mix_styles,
    query_image,
    style_mixed_images,
    to_generator_range,
    to_uint8,
)
from stylemixseg.objects.detection.base import Detection
from stylemixseg.objects.detection.known import KnownBoxes
from stylemixseg.objects.segmenter import ObjectSegmenter
from stylemixseg.segmenter import StyleMixSegmenter
from stylemixseg.settings import MixPlan
from stylemixseg.summary import summary_columns

GIVEN = {
    "double": lambda value: value.double(),
    "half": lambda value: value.half(),
    "bfloat16": lambda value: value.bfloat16(),
    "with gradients": lambda value: value.clone().requires_grad_(True),
    "not contiguous": lambda value: value.mT.contiguous().mT,
}


@pytest.fixture(params=["toy", "mobile", "stylegan", "openvino"], scope="module")
def generator(request, tiny, stylegan):
    if request.param == "openvino":
        if not find_spec("openvino"):
            pytest.skip("OpenVINO is not installed")
        from stylemixseg.generators.openvino.engine import OpenVINOGenerator

        return OpenVINOGenerator(tiny)
    return {"toy": ToyWorld("portrait", resolution=32), "mobile": tiny, "stylegan": stylegan}[request.param]


def uses(generator, styles):
    """What takes latents ws (1, num_ws, w_dim): name -> function of ws that gives an array."""
    segmenter = StyleMixSegmenter(generator, n=2, cutoff=4, k=2, restarts=1)
    boxes = KnownBoxes([Detection((2, 2, 28, 28), "thing")])
    return {
        "synthesis": lambda ws: to_uint8(generator.synthesis(ws)),
        "query_image": lambda ws: query_image(generator, ws),
        "style_mixed_images": lambda ws: style_mixed_images(generator, ws, ws, MixPlan(4)),
        "cached_stack": lambda ws: cached_stack(generator, ws, ws, MixPlan(4)),
        "summary_columns": lambda ws: summary_columns(
            generator, ws, styles, MixPlan(4, include_query=True), device="cpu"
        ).columns.numpy(),
        "segmenter": lambda ws: segmenter(ws).clusters,
        "summary": lambda ws: segmenter.summary(ws).tensor(),
        "from_summary": lambda ws: segmenter.from_summary(ws, segmenter.summary(ws)).clusters,
        "objects": lambda ws: ObjectSegmenter(generator, boxes, segmenter.config)(ws, "thing").instance,
    }


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("form", GIVEN)
def test_latents(generator, form, cache):
    styles = draw_style_latents(generator, 2, 5)
    plain = generator.mapping(seeded_z(3, generator.z_dim))
    given = GIVEN[form](plain)
    same = given.detach().float().contiguous()
    for name, use in uses(generator, styles).items():
        np.testing.assert_array_equal(use(given), use(same), err_msg=name)
    z = seeded_z(3, generator.z_dim)
    torch.testing.assert_close(
        generator.mapping(GIVEN[form](z)), generator.mapping(GIVEN[form](z).detach().float()), rtol=0, atol=0
    )
    mixed = mix_styles(same, given, 4)
    assert mixed.dtype == torch.float32 and torch.equal(mixed.detach(), same)


@pytest.mark.parametrize("form", GIVEN)
def test_inversion(small, form):
    """Photos, starts and pivots of every inverter, and the losses between them."""
    torch.manual_seed(0)
    ws = small.mapping(seeded_z(3, small.z_dim))
    photo = small.synthesis(ws).clamp(-1, 1)
    given_ws, given_photo = GIVEN[form](ws), GIVEN[form](photo)
    same_ws, same_photo = (value.detach().float().contiguous() for value in (given_ws, given_photo))
    projector = Projector(small, steps=2)
    encoder = Encoder(EncoderNet(small.num_ws, small.w_dim), Preview(small), refinements=1)
    spread = latent_spread(small, samples=64)
    for use in (
        lambda ws, photo: projector(photo, start=ws).ws,
        lambda ws, photo: encoder(photo).ws,
        lambda ws, photo: Preview(small).synthesis(ws),
        lambda ws, photo: pivotal_tuning(small, ws, photo, steps=1, locality_weight=0).to_img.weight,
        lambda ws, photo: multi_scale_loss(same_photo, photo, (64,)),
        lambda ws, photo: spread.distance(ws) + spread.between_layers(ws),
        lambda ws, photo: spread.latents(spread.coordinates(ws)),
    ):
        # A layout of its own in memory may lead to another order of summation.
        torch.testing.assert_close(
            use(given_ws, given_photo).detach(), use(same_ws, same_photo).detach(), rtol=1e-4, atol=1e-5
        )


def test_gradients_pass_through_a_cast(tiny):
    ws = tiny.w_avg.repeat(1, tiny.num_ws, 1).double().requires_grad_(True)
    tiny.synthesis(ws).square().mean().backward()
    assert ws.grad.dtype == torch.float64 and ws.grad.abs().sum() > 0


def test_values_that_float32_cannot_hold(tiny):
    ws = torch.full((1, tiny.num_ws, tiny.w_dim), 1e300, dtype=torch.float64)
    with pytest.raises(ValueError, match="ws must be finite, got NaN or infinite values"):
        fit_latents("ws", ws, tiny)


@pytest.mark.parametrize("image", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)])
def test_images_of_another_kind_are_refused(image):
    with pytest.raises(ValueError, match=r"image must be \(H, W, 3\) uint8, got"):
        to_generator_range(image)
