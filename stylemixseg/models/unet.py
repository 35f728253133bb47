"""The U-Net of Table 3: from random weights, in the shape of MMSegmentation's `unet-s5-d16`, at any width.

Ronneberger et al. 2015 (https://arxiv.org/abs/1505.04597). The paper trains "a U-Net from scratch" with the codebase
MMSegmentation and says no more of it. There a U-Net has five stages of two 3 x 3 convolutions each, with batch
normalisation and ReLU, 64 channels in the first stage and twice as many in each stage below; on the way up, features
are enlarged between pixels, narrowed by a 1 x 1 convolution and joined with those of the same size. Its second head,
which only helps the training, is left out.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylemixseg._util.checks import check_int

STAGES = 5
PUBLISHED_WIDTH = 64


def _convolution(c_in: int, c_out: int, kernel: int = 3) -> list[nn.Module]:
    return [
        nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(c_out),
        nn.ReLU(inplace=True),
    ]


class UNet(nn.Module):
    """(N, 3, H, W) in [-1, 1] -> scores (N, C, H, W); H and W at least 16.

    Args:
        classes: C, the number of scores for each pixel.
        width: channels of the first stage, as published 64 (29 million parameters); 16 has 1.8 million.

    Raises:
        TypeError, ValueError: numbers below 1.

    Example:
        >>> UNet(1, width=8)(torch.zeros(2, 3, 40, 40)).shape
        torch.Size([2, 1, 40, 40])
    """

    def __init__(self, classes: int, width: int = PUBLISHED_WIDTH):
        super().__init__()
        check_int("classes", classes, 1)
        check_int("width", width, 1)
        widths = [width << stage for stage in range(STAGES)]
        self.down = nn.ModuleList(
            nn.Sequential(*_convolution(c_in, c_out), *_convolution(c_out, c_out))
            for c_in, c_out in pairwise([3, *widths])
        )
        upwards = list(pairwise(reversed(widths)))
        self.narrow = nn.ModuleList(nn.Sequential(*_convolution(c_in, c_out, 1)) for c_in, c_out in upwards)
        self.up = nn.ModuleList(
            nn.Sequential(*_convolution(2 * c_out, c_out), *_convolution(c_out, c_out)) for _, c_out in upwards
        )
        self.dropout = nn.Dropout2d(0.1)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 3, H, W) in [-1, 1] -> scores (N, C, H, W)."""
        before: list[Tensor] = []
        for stage in self.down:
            x = stage(F.max_pool2d(x, 2) if before else x)
            before.append(x)
        before.pop()
        for narrow, up in zip(self.narrow, self.up, strict=True):
            skip = before.pop()
            x = narrow(F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False))
            x = up(torch.cat([skip, x], dim=1))
        scores: Tensor = self.head(self.dropout(x))
        return scores
