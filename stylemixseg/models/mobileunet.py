"""MobileNetV2 with a U-shaped decoder: a small network that segments at a few megabytes and milliseconds.

MobileNetV2 (Sandler et al. 2018, https://arxiv.org/abs/1801.04381) with DeepLabV3's context head (Chen et al. 2017,
https://arxiv.org/abs/1706.05587) as encoder, shaped so that published weights load into it, and a light U-shaped
decoder (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597) of depthwise-separable convolutions. The face parser
and the student are networks of this kind.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

# MobileNetV2's table 2: expansion t, output channels c, repeats n, stride s of the first repeat. DeepLabV3 keeps 1/16
# of the size: it drops the last stride and spreads the filters of the blocks behind it instead (dilation 2).
_INVERTED_RESIDUALS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 1),
    (6, 320, 1, 1),
)
_DILATED_FROM = 15  # index of the first block behind the dropped stride
_SKIPS = (1, 3, 6)  # index of the last block at strides 2, 4, 8 (16, 24, 32 channels)


def _conv(c_in: int, c_out: int, kernel: int = 1, stride: int = 1, groups: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A convolution with the bias that its batch normalisation was folded into."""
    return nn.Conv2d(c_in, c_out, kernel, stride, dilation * (kernel // 2), dilation, groups)


class InvertedResidual(nn.Module):
    """Widen by t, filter each channel, project back; add the input where the shapes allow (MobileNetV2, figure 4)."""

    def __init__(self, c_in: int, c_out: int, stride: int, expansion: int, dilation: int):
        super().__init__()
        hidden = c_in * expansion
        layers: list[nn.Module] = [_conv(c_in, hidden), nn.ReLU6(inplace=True)] if expansion != 1 else []
        layers += [
            _conv(hidden, hidden, 3, stride, groups=hidden, dilation=dilation),
            nn.ReLU6(inplace=True),
            _conv(hidden, c_out),
        ]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, c_in, H, W) -> (N, c_out, H / stride, W / stride)."""
        return x + self.conv(x) if self.residual else self.conv(x)


def _conv_bn(c_in: int, c_out: int, kernel: int = 3, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(c_out),
        nn.ReLU6(inplace=True),
    )


class DecoderBlock(nn.Module):
    """Twice the size, joined with the encoder's features of that size, mixed by two separable convolutions."""

    def __init__(self, c_in: int, c_skip: int, c_out: int):
        super().__init__()
        c = c_in + c_skip
        self.mix = nn.Sequential(
            _conv_bn(c, c, groups=c),
            _conv_bn(c, c_out, kernel=1),
            _conv_bn(c_out, c_out, groups=c_out),
            _conv_bn(c_out, c_out, kernel=1),
        )

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Features x (N, c_in, h, w) and the encoder's, skip (N, c_skip, h', w') -> (N, c_out, h', w')."""
        x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=True)
        return self.mix(torch.cat([x, skip], dim=1))


class MobileUNet(nn.Module):
    """(N, 3, S, S) in [-1, 1] -> scores (N, C, (S + 1) / 2, (S + 1) / 2), the corners of both grids together.

    S should be a multiple of 16, plus 1.

    Args:
        classes: C, the number of scores for each pixel.
    """

    def __init__(self, classes: int):
        super().__init__()
        blocks: list[nn.Module] = [nn.Sequential(_conv(3, 32, 3, stride=2), nn.ReLU6(inplace=True))]
        c_in = 32
        for expansion, c_out, repeats, stride in _INVERTED_RESIDUALS:
            for i in range(repeats):
                dilation = 2 if len(blocks) >= _DILATED_FROM else 1
                blocks.append(InvertedResidual(c_in, c_out, stride if i == 0 else 1, expansion, dilation))
                c_in = c_out
        self.features = nn.Sequential(*blocks)
        self.near = _conv(320, 256)
        self.context = _conv(320, 256)  # what the whole picture shows, told to every pixel
        self.join = _conv(512, 256)
        self.decoder = nn.ModuleList([DecoderBlock(256, 32, 96), DecoderBlock(96, 24, 64), DecoderBlock(64, 16, 48)])
        self.head = nn.Conv2d(48, classes, 1)

    def encoder(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """DeepLabV3 without its last layer: features (N, 256, h, w) at 1/16, and the skips at 1/2, 1/4, 1/8."""
        skips = []
        for i, block in enumerate(self.features):
            x = block(x)
            if i in _SKIPS:
                skips.append(x)
        near, context = F.relu6(self.near(x)), F.relu6(self.context(x.mean(dim=(2, 3), keepdim=True)))
        return F.relu6(self.join(torch.cat([context.expand_as(near), near], dim=1))), skips

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images (N, 3, S, S) in [-1, 1] -> scores (N, C, (S + 1) / 2, (S + 1) / 2)."""
        x, skips = self.encoder(x)
        for block in self.decoder:
            x = block(x, skips.pop())
        return self.head(x)
