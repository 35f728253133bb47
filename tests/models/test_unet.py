"""The U-Net of Table 3: its shape is the published one, and it can learn."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from stylemixseg.models.unet import PUBLISHED_WIDTH, UNet


def test_parameters_are_those_of_the_published_network():
    """MMSegmentation's UNet of 5 stages: 28.99 million, which is what its convolutions and normalisations add up to."""
    widths = [64, 128, 256, 512, 1024]
    count, before = 0, 3
    for width in widths:  # two convolutions of 3 x 3, each with two numbers per channel of its normalisation
        count += 9 * before * width + 9 * width * width + 4 * width
        before = width
    for below, width in zip(widths[:0:-1], widths[-2::-1]):
        count += below * width + 2 * width  # the 1 x 1 convolution on the way up
        count += 9 * 2 * width * width + 9 * width * width + 4 * width
    assert sum(value.numel() for value in UNet(2, PUBLISHED_WIDTH).parameters()) == count + 2 * 64 + 2


@pytest.mark.parametrize("size", [(16, 16), (33, 47), (129, 129)])
def test_scores_have_the_images_size(size):
    assert UNet(3, width=2).eval()(torch.zeros(2, 3, *size)).shape == (2, 3, *size)


def test_it_learns_what_needs_a_wide_view():
    """Which half of the image is brighter decides the label of every pixel."""
    torch.manual_seed(0)
    network = UNet(1, width=4)
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(60):
        images = torch.rand(8, 3, 32, 32) * 0.1
        left = torch.rand(8) < 0.5
        images[left, :, :, :16] += 1
        images[~left, :, :, 16:] += 1
        wanted = left.float()[:, None, None, None].expand(-1, 1, 32, 32)
        optimiser.zero_grad()
        loss = F.binary_cross_entropy_with_logits(network(images), wanted)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.2


@pytest.mark.parametrize(("argument", "value"), [("classes", 0), ("width", 0)])
def test_numbers_below_one(argument, value):
    with pytest.raises(ValueError, match=argument):
        UNet(**{"classes": 1, argument: value})
