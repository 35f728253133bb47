"""Latents for training, with style mixing regularisation."""

from __future__ import annotations

import torch
from torch import Tensor

from stylemixseg.generators.stylegan2.network import StyleGAN2


def training_latents(generator: StyleGAN2, count: int, mixing: float, device: torch.device) -> Tensor:
    """ws (count, num_ws, w_dim), differentiable; a share `mixing` of them takes its layers from a second z on.

    The crossing is drawn for each from 1..num_ws - 1. A network trained so cannot count on neighbouring layers to agree
    (Karras et al. 2019, https://arxiv.org/abs/1812.04948, section 3.1). The method of this package needs just that:
    structure from one latent and style from another.
    """
    z = torch.randn(2 * count, generator.z_dim).to(device)
    first, second = generator.mapping_network(z).chunk(2)  # (N, w_dim) each
    layers = generator.num_ws
    crossing = torch.where(torch.rand(count) < mixing, torch.randint(1, layers, (count,)), layers)
    from_second = (torch.arange(layers) >= crossing[:, None]).to(device)  # (N, num_ws)
    return torch.where(from_second[:, :, None], second[:, None], first[:, None])
