"""The package's StyleGAN2 with the random weights that training starts from."""

from __future__ import annotations

import torch

from stylemixseg.generators.stylegan2.architecture import Architecture
from stylemixseg.generators.stylegan2.network import MAPPING_RATE, StyleGAN2


def channels_of(resolution: int, channel_base: int, channel_max: int) -> tuple[int, ...]:
    """Feature channels at 4, 8, ..., resolution px: min(channel_base / r, channel_max) at r px, at least one.

    Raises:
        ValueError: the resolution is not a power of two in 8..1024.
    """
    if not 8 <= resolution <= 1024 or resolution & (resolution - 1):
        raise ValueError(f"resolution must be a power of two in 8..1024, got {resolution}")
    sides = [4 << i for i in range(resolution.bit_length() - 2)]
    return tuple(max(1, min(channel_base // side, channel_max)) for side in sides)


def new_generator(architecture: Architecture, seed: int) -> StyleGAN2:
    """A trainable StyleGAN2 that draws new noise at each call.

    Equalised learning rate: weights are unit normal and scaled where they are used, so every layer's activations have
    about unit variance, and Adam moves every layer at the same relative speed. Styles start at 1, noise at strength 0.
    """
    generator = StyleGAN2(architecture, noise_mode="random")
    random = torch.Generator().manual_seed(seed)
    for name, value in generator.state_dict().items():  # these tensors are the network's own
        if name.endswith((".weight", "const")):  # convolutions, affines, the constant input, the constant noise
            value.normal_(generator=random)
        if name.startswith("mapping_network") and name.endswith(".weight"):
            value /= MAPPING_RATE  # stored so that the layer's learning-rate factor gives unit scale back
        elif name.endswith("affine.bias"):
            value.fill_(1.0)
    return generator
