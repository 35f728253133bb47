"""StyleGAN2's discriminator: residual blocks, each of which halves the image (Karras et al. 2020, figure 7c)."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylemixseg.generators.stylegan2.network import GAIN, LEAK, FullyConnected, binomial_filter

GROUP = 4  # images whose differences the minibatch standard deviation sees together


class Convolution(nn.Module):
    """(N, I, h, w) -> (N, O, h, w), or (N, O, h/2, w/2) with `down`; equalised learning rate.

    Before every second pixel is dropped, the filter [1, 3, 3, 1] takes away what the coarser grid cannot hold.
    Without it, the discriminator's view would depend on where exactly the grid lies.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, down: bool = False, bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.gain, self.padding, self.down = (inputs * kernel**2) ** -0.5, kernel // 2, down
        if down:
            self.register_buffer("filter", binomial_filter() / 4, persistent=False)  # its sum is 1

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.gain
        if not self.down:
            return F.conv2d(x, weight, self.bias, padding=self.padding)
        channels = x.shape[1]
        # one pixel more a side than the kernel needs: the even filter ends half a pixel between the grid's
        x = F.conv2d(x, self.filter.to(x).expand(channels, 1, 4, 4), padding=self.padding + 1, groups=channels)
        return F.conv2d(x, weight, self.bias, stride=2)


class ResidualBlock(nn.Module):
    """(N, I, h, w) -> (N, O, h/2, w/2): two convolutions beside a 1 x 1 shortcut."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv0 = Convolution(inputs, inputs, 3)
        self.conv1 = Convolution(inputs, outputs, 3, down=True)
        self.shortcut = Convolution(inputs, outputs, 1, down=True, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = activated(self.conv1(activated(self.conv0(x))))
        return (y + self.shortcut(x)) * 0.5**0.5  # two signals of unit variance: back to unit variance


def activated(x: Tensor) -> Tensor:
    """Leaky ReLU that keeps the variance."""
    return F.leaky_relu(x, LEAK) * GAIN


def with_minibatch_deviation(x: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, C + 1, h, w): one more map, how much the images of a group differ, a constant each.

    It lets the discriminator see that a generator draws the same picture again and again (Karras et al. 2018,
    https://arxiv.org/abs/1710.10196, section 3). A group has GROUP images, or the largest number that divides both
    GROUP and N; images i, i + N / group, ... stand together.
    """
    group = math.gcd(len(x), GROUP)
    y = x.unflatten(0, (group, -1))  # (G, N/G, C, h, w)
    deviation = (y.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))  # (N/G,)
    return torch.cat([x, deviation.repeat(group)[:, None, None, None].expand(-1, 1, *x.shape[2:])], 1)


class Discriminator(nn.Module):
    """D: images (N, 3, R, R) in about [-1, 1] -> logits (N,), positive for "real". Random weights from torch's seed.

    Args:
        channels: feature channels at 4, 8, ..., R px, as the generator's.
    """

    def __init__(self, channels: tuple[int, ...]):
        super().__init__()
        self.from_rgb = Convolution(3, channels[-1], 1)
        downwards = channels[::-1]
        self.blocks = nn.Sequential(*(ResidualBlock(i, o) for i, o in pairwise(downwards)))
        last = channels[0]
        self.conv = Convolution(last + 1, last, 3)
        self.fc, self.out = FullyConnected(16 * last, last), FullyConnected(last, 1)
        for layer in (self.fc, self.out):
            nn.init.normal_(layer.weight)

    def forward(self, images: Tensor) -> Tensor:
        x = self.blocks(activated(self.from_rgb(images)))  # (N, C, 4, 4)
        with torch.autocast(x.device.type, enabled=False):  # few numbers, and the logits decide: single precision
            x = activated(self.conv(with_minibatch_deviation(x.float())))
            return self.out(activated(self.fc(x.flatten(1))))[:, 0]
