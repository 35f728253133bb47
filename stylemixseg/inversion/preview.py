"""A small picture of a latent, ten times cheaper than the image: what inversion looks at most of the time.

Nine tenths of a step of optimisation on the face generator are spent in the layers above 128 px, on pixels that a
comparison at 128 px averages away. `Preview` runs the layers up to that size as they are, and the rest *collapsed*:
every operation is replaced by what it does to the average over the square of pixels that one pixel of the preview
stands for. For all linear operations that is exact where features are smooth; only the leaky ReLU of an average is not
the average of leaky ReLUs. Nothing is trained; the weights are the generator's own.

- Inverse Haar, then average: half the low band. The detail bands average to zero.
- A depthwise 3 x 3 filter at f times the size: a 3 x 3 filter again, M K M^T (`collapsed_kernel`).
- Pointwise convolutions, biases and style scales: themselves. Noise maps: their area average.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from stylemixseg._util.checks import check_int
from stylemixseg._util.tensors import fit_latents
from stylemixseg.generators.mobilestylegan import LEAK, MobileStyleGAN, StyledConv

SIDE = 128  # px


def collapsed_kernel(kernel: Tensor, factor: int) -> Tensor:
    """Depthwise filters (C, 1, 3, 3) for maps `factor` times as large -> filters of the same shape for the averages.

    In one dimension, with `factor` copies of each value, a tap to the left reads the left neighbour in one of `factor`
    places and the same pixel in the others; so does the tap to the right.
    """
    share = 1 / factor
    m = torch.tensor([[share, 0.0, 0.0], [1 - share, 1.0, 1 - share], [0.0, 0.0, share]]).to(kernel)
    return m @ kernel @ m.T


class Preview:
    """The preview of a MobileStyleGAN.

    Args:
        generator: the network; PyTorch runs it. Its weights are shared, not copied, and filters are collapsed once.
        resolution: side of the previews, a power of two from 8 px to half the generator's.

    Attributes:
        digest: what fixes the output, the generator's digest and the resolution.

    Raises:
        TypeError: another kind of generator, or one that another engine runs.
        ValueError: no such resolution.
    """

    def __init__(self, generator: MobileStyleGAN, resolution: int = SIDE):
        if not isinstance(generator, MobileStyleGAN):
            raise TypeError(
                "generator must be a MobileStyleGAN in PyTorch, such as load_generator('faces', engine='torch'), got "
                f"{getattr(generator, 'name', '')} as {type(generator).__name__}"
            )
        check_int("resolution", resolution, 8, generator.resolution // 2)
        if resolution & (resolution - 1):
            raise ValueError(f"resolution must be a power of two, got {resolution}")
        self.generator, self.resolution = generator, resolution
        self.digest = f"{generator.digest} {resolution}"
        kept = (resolution // 8).bit_length()  # blocks that run as they are; the first doubles 4 px to 8 px
        self.layers = 1 + 2 * kept
        self._blocks = [
            (block, [(conv, *collapsed_maps(conv, 2**i)) for conv in (block.conv1, block.conv2)])
            for i, block in enumerate(generator.blocks[kept:], 1)
        ]

    def synthesis(self, ws: Tensor) -> Tensor:
        """ws (N, num_ws, w_dim) -> images (N, 3, resolution, resolution), about [-1, 1]; differentiable in ws.

        Close to the area average of `generator.synthesis(ws)`: 30 dB on its own samples at 128 px.
        """
        generator = self.generator
        ws = fit_latents("ws", ws, generator)
        x = generator.run_layers(generator.const, ws, 0, self.layers)
        layer = self.layers
        for block, convs in self._blocks:
            x = _low_band(x * block.up(ws[:, layer]))
            for conv, kernel, noise in convs:
                x = _collapsed(conv, x, ws[:, layer], kernel, noise)
                layer += 1
        return _low_band(generator.to_img(x * generator.to_img_affine(ws[:, layer])))


def _low_band(x: Tensor) -> Tensor:
    """What `inverse_haar` gives, averaged over its 2 x 2 squares: (N, 4C, H, W) -> (N, C, H, W)."""
    return x[:, : x.shape[1] // 4] / 2


def collapsed_maps(conv: StyledConv, factor: int) -> tuple[Tensor, Tensor]:
    """A layer's depthwise filter and noise map for averages over squares of `factor` x `factor` pixels."""
    assert conv.depthwise is not None  # in the blocks every convolution is separable
    return collapsed_kernel(conv.depthwise.detach(), factor), F.avg_pool2d(conv.noise, factor)


def _collapsed(conv: StyledConv, x: Tensor, w: Tensor, kernel: Tensor, noise: Tensor) -> Tensor:
    x = F.conv2d(x * conv.affine(w), kernel, padding=1, groups=x.shape[1])
    return F.leaky_relu(F.conv2d(x, conv.weight) + noise + conv.bias, LEAK)
