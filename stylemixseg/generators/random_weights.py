"""StyleGAN2 of the official sizes with random weights: what it draws is noise, what it costs is real."""

from __future__ import annotations

import torch

from stylemixseg.generators.stylegan2.architecture import Architecture
from stylemixseg.generators.stylegan2.network import StyleGAN2


def random_stylegan2(
    resolution: int, channel_base: int, *, channel_max: int = 512, seed: int = 0, name: str | None = None
) -> StyleGAN2:
    """StyleGAN2 with min(channel_base / r, channel_max) channels at r px; config-f has 32768 and 512.

    Weights are unit normal, as at the start of training, so activations have about unit variance in every layer.
    """
    sides = [4 << i for i in range(resolution.bit_length() - 2)]
    channels = tuple(min(channel_base // side, channel_max) for side in sides)
    architecture = Architecture(z_dim=channel_max, w_dim=channel_max, mapping_layers=8, channels=channels)
    random = torch.Generator().manual_seed(seed)
    weights = {}
    for key, value in StyleGAN2(architecture).weights().items():
        weights[key] = torch.zeros(value.shape)
        if key.endswith((".weight", ".const", "noise_const")):
            weights[key] = torch.randn(value.shape, generator=random) * (100 if key.startswith("mapping") else 1)
        elif key.endswith("affine.bias"):
            weights[key] += 1
        elif key.endswith("noise_strength"):
            weights[key] += 0.1
    return StyleGAN2.from_weights(architecture, weights, name=name or f"random-{resolution}")
