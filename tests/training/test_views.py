"""Random views: labels and soft masks stay on the pixels that they belong to."""

from __future__ import annotations

import pytest
import torch

from stylemixseg.training.views import IGNORE, labels_at, random_views, values_at


@pytest.fixture
def images() -> torch.Tensor:
    """Two images, black on the left and white on the right, with a grey square in the upper left corner."""
    found = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    found[..., 32:] = 255
    found[..., :16, :16] = 128
    return found


def test_equal_seeds_give_equal_views(images):
    first, second = (random_views(images, 33, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first.inputs, second.inputs) and torch.equal(first.grid, second.grid)
    assert first.inputs.shape == (2, 3, 33, 33) and first.inputs.abs().max() <= 1
    other = random_views(images, 33, torch.Generator().manual_seed(5))
    assert not torch.equal(first.inputs, other.inputs)


@pytest.mark.parametrize("seed", range(4))
def test_labels_and_masks_lie_where_the_pixels_lie(images, seed):
    """What is bright in a view is labelled 1, and its soft mask is high, whatever the view."""
    labels = (images[:, 0] > 200).byte()
    views = random_views(images, 65, torch.Generator().manual_seed(seed))
    found = labels_at(labels, views.grid)
    soft, inside = values_at(labels * 255, views.grid)
    assert ((found == IGNORE) == ~inside).float().mean() > 0.99
    bright = views.inputs.mean(1)
    for number in range(2):
        seen = inside[number]
        light, dark = bright[number][seen & (found[number] == 1)], bright[number][seen & (found[number] == 0)]
        assert light.median() > dark.median() + 0.3
        sure = seen & ((soft[number] < 0.1) | (soft[number] > 0.9))
        assert ((soft[number] > 0.5) == (found[number] == 1))[sure].all()


def test_half_of_the_views_are_mirrored(images):
    views = random_views(images[:1].expand(200, -1, -1, -1), 9, torch.Generator().manual_seed(0))
    assert 70 < views.flipped.sum() < 130
    to_the_right = views.grid[:, 4, -1, 0] > views.grid[:, 4, 0, 0]
    assert torch.equal(to_the_right, ~views.flipped)


def test_views_are_computed_where_the_images_are(images):
    """On the meta device, which refuses tensors of other devices: what is drawn on the CPU follows the images."""
    views = random_views(images.to("meta"), 33, torch.Generator().manual_seed(1))
    labels = images[:, 0].to("meta")
    found = [views.inputs, views.grid, views.flipped, labels_at(labels, views.grid), *values_at(labels, views.grid)]
    assert {item.device.type for item in found} == {"meta"}
    assert found[3].shape == found[4].shape == (2, 33, 33)
