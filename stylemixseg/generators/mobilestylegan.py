"""MobileStyleGAN (Belousov 2021, arXiv 2104.04767) in plain PyTorch: a StyleGAN2 student that paints wavelets.

It is distilled from StyleGAN2 config-f on FFHQ: the same mapping network, then blocks that double the size by an
inverse Haar transform instead of an up-sampling convolution, with depthwise-separable modulated convolutions.
The released network has its noise baked in as constants and its demodulation folded into the weights, so each
layer is: scale the input channels by the layer's style, convolve, add noise and bias, leaky ReLU.

The layers read `ws` in StyleGAN2's order (4 x 4 first), so a cutoff c means the same structure/style split:

    conv1 reads ws[0]; block i (0..6, output side 8..512): up and conv1 read ws[2i+1], conv2 reads ws[2i+2]
    to_img reads ws[15] and gives 12 wavelet channels at 512 x 512; inverse Haar makes 3 x 1024 x 1024.

The module is differentiable (inversion needs that), runs on any device, and holds weights only: no noise is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylemixseg._util.checks import check_real
from stylemixseg._util.tensors import fit_latents
from stylemixseg.generators.base import check_feature_layers, check_z

LEAK = 0.2


def inverse_haar(x: Tensor) -> Tensor:
    """Inverse 2-D Haar transform: (N, 4C, H, W) -> (N, C, 2H, 2W).

    The first C channels are the low band ll; then each colour's lh, hl, hh. For i, j in {0, 1} and signs
    a = 1 - 2i, b = 1 - 2j: y[2r+i, 2s+j] = (ll + a lh + b hl + ab hh) / 2.
    """
    n, c4, h, w = x.shape
    c = c4 // 4
    ll = x[:, :c]  # (N, C, H, W)
    lh, hl, hh = x[:, c:].reshape(n, c, 3, h, w).unbind(2)
    top, bottom = ll + lh, ll - lh
    right, cross = hl + hh, hl - hh
    # Order of the new axis is (i, j) = 00, 01, 10, 11: what pixel_shuffle lays out as a 2 x 2 square.
    y = torch.stack([top + right, top - right, bottom + cross, bottom - cross], dim=2)  # (N, C, 4, H, W)
    return F.pixel_shuffle(y.reshape(n, c4, h, w) * 0.5, 2)


class Affine(nn.Linear):
    """A layer's style: w (N, w_dim) -> one scale an input channel, shaped (N, C, 1, 1) to multiply a feature map."""

    def forward(self, w: Tensor) -> Tensor:
        """Latents w (N, w_dim) of one layer -> scales (N, C, 1, 1)."""
        return super().forward(w)[:, :, None, None]


class StyledConv(nn.Module):
    """Modulate, convolve (3 x 3, or depthwise 3 x 3 then pointwise 1 x 1), add constant noise and bias, leaky ReLU."""

    noise: Tensor

    def __init__(self, in_channels: int, out_channels: int, side: int, w_dim: int, separable: bool = True):
        super().__init__()
        self.affine = Affine(w_dim, in_channels)
        self.depthwise = nn.Parameter(torch.zeros(in_channels, 1, 3, 3)) if separable else None
        self.weight = nn.Parameter(torch.zeros(out_channels, in_channels, *([1, 1] if separable else [3, 3])))
        self.register_buffer("noise", torch.zeros(1, 1, side, side))
        self.bias = nn.Parameter(torch.zeros(1, out_channels, 1, 1))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Features (N, C_in, H, W) and latents w (N, w_dim) -> features (N, C_out, H, W); H = W = `side`."""
        x = x * self.affine(w)
        if self.depthwise is not None:
            x = F.conv2d(x, self.depthwise, padding=1, groups=x.shape[1])
        x = F.conv2d(x, self.weight, padding=self.weight.shape[-1] // 2)
        return F.leaky_relu(x + self.noise + self.bias, LEAK)


class Block(nn.Module):
    """Double the size: modulated inverse Haar (4C -> C channels), then two styled convolutions."""

    def __init__(self, in_channels: int, out_channels: int, side: int, w_dim: int):
        super().__init__()
        self.up = Affine(w_dim, in_channels)
        self.conv1 = StyledConv(in_channels // 4, out_channels, side, w_dim)
        self.conv2 = StyledConv(out_channels, out_channels, side, w_dim)


class MappingNetwork(nn.Module):
    """G_m: pixel norm, then fully connected layers with leaky ReLU and gain sqrt 2. z (N, w_dim) -> w (N, w_dim)."""

    def __init__(self, w_dim: int, depth: int = 8):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(w_dim, w_dim) for _ in range(depth))

    def forward(self, z: Tensor) -> Tensor:
        """Input latents z (N, w_dim) -> latents w (N, w_dim), not truncated."""
        x = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.layers:
            x = F.leaky_relu(layer(x), LEAK) * 2**0.5
        return x


class MobileStyleGAN(nn.Module):
    """The generator behind the protocol of `generators.base`.

    Args:
        channels: channels after conv1 and after each block; the released face network has
            (512, 512, 512, 512, 512, 256, 128, 64), that is 1024 px.
        w_dim: latent size, 512.
        name, digest: what the catalogue calls it and the SHA-256 of its weights.
    """

    w_avg: Tensor
    blocks: Sequence[Block]  # an nn.ModuleList, whose own annotation forgets what is in it

    def __init__(
        self,
        channels: tuple[int, ...] = (512, 512, 512, 512, 512, 256, 128, 64),
        w_dim: int = 512,
        *,
        name: str = "mobilestylegan",
        digest: str = "",
    ):
        super().__init__()
        self.name, self.digest = name, digest
        self.z_dim = self.w_dim = w_dim
        self.num_ws = 2 * len(channels)
        self.resolution = 8 << (len(channels) - 1)
        self.mapping_network = MappingNetwork(w_dim)
        self.register_buffer("w_avg", torch.zeros(w_dim))
        self.const = nn.Parameter(torch.zeros(1, channels[0], 4, 4))
        self.conv1 = StyledConv(channels[0], channels[0], 4, w_dim, separable=False)
        blocks = [Block(before, after, 8 << i, w_dim) for i, (before, after) in enumerate(pairwise(channels))]
        self.blocks = cast("Sequence[Block]", nn.ModuleList(blocks))
        self.to_img_affine = Affine(w_dim, channels[-1])
        self.to_img = nn.Conv2d(channels[-1], 12, 1)

    def mapping(self, z: Tensor, truncation: float = 1.0) -> Tensor:
        """z (N, 512) -> ws (N, num_ws, 512): w_avg + truncation (w - w_avg), repeated for every layer.

        Raises:
            TypeError, ValueError: z of the wrong type, shape or with NaN; truncation outside 0..1.
        """
        check_real("truncation", truncation, 0.0, 1.0)
        w = self.w_avg.lerp(self.mapping_network(check_z(z, self.z_dim).to(self.w_avg)), truncation)
        return w[:, None].repeat(1, self.num_ws, 1)

    def synthesis(self, ws: Tensor) -> Tensor:
        """ws (N, num_ws, 512) -> images (N, 3, R, R) float32, RGB, about [-1, 1]."""
        return self.run_layers(self.const, fit_latents("ws", ws, self), 0, self.num_ws)

    def background(self, ws: Tensor) -> Tensor:
        """As `synthesis`, with zeros in place of the features of 4 px, which hold what stands where."""
        ws = fit_latents("ws", ws, self)
        return self.run_layers(torch.zeros_like(self.const).expand(len(ws), -1, -1, -1), ws, 1, self.num_ws)

    def iter_mixed_synthesis(self, w0: Tensor, styles: Tensor, cutoff: int, batch_size: int) -> Iterator[Tensor]:
        """Yield the style-mixed images G_s(w_0i) of one query in batches; the layers below `cutoff` run once.

        Args:
            w0: structure latent (1, num_ws, w_dim).
            styles: style latents (n, num_ws, w_dim).
            cutoff: c in 0..num_ws.
            batch_size: images at once.
        """
        x = self.run_layers(self.const, w0, 0, cutoff)
        for batch in styles.split(batch_size):
            # From here on the batch is b: the first style's scales broadcast the one feature map.
            yield self.run_layers(x, batch, cutoff, self.num_ws).expand(len(batch), -1, -1, -1)

    def feature_maps(self, ws: Tensor, layers: list[int]) -> list[Tensor]:
        """Features after the layers that read ws[:, i], for each i of `layers`: (N, C, side, side) each.

        Args:
            ws: latents (N, num_ws, w_dim); their type and device are brought to the network's.
            layers: 0..num_ws - 2, rising; layer i has 4 * 2^((i + 1) // 2) px. The last one gives the image.
        """
        ws = fit_latents("ws", ws, self)
        check_feature_layers(layers, self.num_ws)
        x: Tensor = self.const
        found, done = [], 0
        for layer in layers:
            x = self.run_layers(x, ws, done, layer + 1)
            done = layer + 1
            found.append(x)
        return found

    def run_layers(self, x: Tensor, ws: Tensor, start: int, stop: int) -> Tensor:
        """Run the layers that read ws[:, start] .. ws[:, stop - 1] on a feature map.

        No argument is checked. `x` is `const` for start = 0, else what
        `run_layers(..., stop=start)` gave; stop = num_ws gives the image.
        """
        for layer in range(start, stop):
            w = ws[:, layer]
            block = self.blocks[(layer - 1) // 2] if 0 < layer < self.num_ws - 1 else None
            if layer == 0:
                x = self.conv1(x, w)
            elif block is None:  # the last layer: wavelets at half the size, then the image
                x = inverse_haar(self.to_img(x * self.to_img_affine(w)))
            elif layer % 2:
                x = block.conv1(inverse_haar(x * block.up(w)), w)
            else:
                x = block.conv2(x, w)
        return x
