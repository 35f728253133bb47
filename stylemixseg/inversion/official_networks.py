"""The six published encoder networks of pSp, e4e and ReStyle, under their published parameter names.

All are a backbone that halves the photo four times, and one small head a latent:

- backbone IR-SE50 (ArcFace, Deng et al. 2019, https://arxiv.org/abs/1801.07698, with the squeeze and excitation of
  Hu et al. 2018, https://arxiv.org/abs/1709.01507) for faces, or ResNet34 (He et al. 2016,
  https://arxiv.org/abs/1512.03385);
- heads on a feature pyramid (pSp, Richardson et al. 2021, https://arxiv.org/abs/2008.00951, figure 2), or all of them
  on the last map (ReStyle, Alaluf et al. 2021, https://arxiv.org/abs/2104.02699, figure 4);
- a head gives its latent itself (pSp), or, from the second on, the difference to the first (e4e, Tov et al. 2021,
  https://arxiv.org/abs/2102.02766, section 4).

Written from the papers and the published code, which alone has the sizes: eladrich/pixel2style2pixel,
omertov/encoder4editing, yuval-alaluf/restyle-encoder on GitHub.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylemixseg.generators.stylegan2.network import FullyConnected

WIDTH = 64  # channels of the first layer in all published networks; latents have eight times as many numbers
SIDE = 256  # px, what the networks look at
UNITS = {"IR-SE50": (3, 4, 14, 3), "ResNet34": (3, 4, 6, 3)}  # at 128, 64, 32 and 16 px
MIDDLE, FINE = 3, 7  # of a pyramid: the first latents from 16 px, those from MIDDLE on 32 px, from FINE on 64 px
REDUCTION = 16  # of the squeeze and excitation


@dataclass(frozen=True)
class EncoderKind:
    """What tells the published encoders apart.

    Attributes:
        name: of the published class, as in a checkpoint's `opts.encoder_type`.
        method: "pSp", "e4e" or "ReStyle".
        backbone: a key of `UNITS`.
        pyramid: heads look at 64, 32 and 16 px; else all look at 16 px.
        progressive: from the second head on, the difference to the first latent (e4e).
    """

    name: str
    method: str
    backbone: str
    pyramid: bool
    progressive: bool

    @property
    def inputs(self) -> int:
        """Channels: the photo, in ReStyle also the image of the current latent."""
        return 6 if self.method == "ReStyle" else 3


ENCODERS = {
    kind.name: kind
    for kind in (
        EncoderKind("GradualStyleEncoder", "pSp", "IR-SE50", pyramid=True, progressive=False),
        EncoderKind("Encoder4Editing", "e4e", "IR-SE50", pyramid=True, progressive=True),
        EncoderKind("BackboneEncoder", "ReStyle", "IR-SE50", pyramid=False, progressive=False),
        EncoderKind("ResNetBackboneEncoder", "ReStyle", "ResNet34", pyramid=False, progressive=False),
        EncoderKind("ProgressiveBackboneEncoder", "ReStyle", "IR-SE50", pyramid=False, progressive=True),
        EncoderKind("ResNetProgressiveBackboneEncoder", "ReStyle", "ResNet34", pyramid=False, progressive=True),
    )
}


class SqueezeExcite(nn.Module):
    """Scale every channel by a number in 0..1 that depends on the means of all channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // REDUCTION, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // REDUCTION, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> the same shape."""
        means = x.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(means))))


class IRSEUnit(nn.Module):
    """Residual unit of IR-SE50: (N, I, h, w) -> (N, O, h / stride, w / stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        if inputs == outputs:
            self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)  # takes every stride-th pixel
        else:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            SqueezeExcite(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, I, h, w) -> (N, O, h / stride, w / stride)."""
        return self.res_layer(x) + self.shortcut_layer(x)


class ResNetUnit(nn.Module):
    """Residual unit of ResNet34: (N, I, h, w) -> (N, O, h / stride, w / stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(N, I, h, w) -> (N, O, h / stride, w / stride), at least 0."""
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(residual + self.downsample(x))


class StyleHead(nn.Module):
    """Map to style: (N, C, side, side) -> (N, C), by convolutions that halve the map until one pixel is left.

    A map of 3/4 of the height, as for cars, ends as one pixel as well.
    """

    def __init__(self, channels: int, side: int):
        super().__init__()
        layers: list[nn.Module] = []
        while side > 1:
            layers += [nn.Conv2d(channels, channels, 3, 2, padding=1), nn.LeakyReLU()]
            side //= 2
        self.convs = nn.Sequential(*layers)
        self.linear = FullyConnected(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, side, side) -> (N, C)."""
        return self.linear(self.convs(x).flatten(1))


class StyleEncoder(nn.Module):
    """An encoder of one of the published kinds: images (N, inputs, 256, 256) in [-1, 1] -> codes (N, num_ws, w_dim).

    Codes are offsets: from the mean latent, in ReStyle from the latent whose image is in channels 3 to 5. Images of
    192 x 256 (cars) are fine.

    Args:
        kind: which of the six.
        num_ws: latents.
        width: channels of the first layer, at least 16; w_dim is 8 * width.
    """

    def __init__(self, kind: EncoderKind, num_ws: int, width: int = WIDTH):
        super().__init__()
        self.kind, self.num_ws, self.w_dim = kind, num_ws, 8 * width
        if kind.backbone == "IR-SE50":
            unit: type[IRSEUnit | ResNetUnit] = IRSEUnit
            first_stride = 2
            stem = nn.Conv2d(kind.inputs, width, 3, padding=1, bias=False)
            self.input_layer = nn.Sequential(stem, nn.BatchNorm2d(width), nn.PReLU(width))
        else:
            unit, first_stride = ResNetUnit, 1  # the stem has halved the image already
            self.conv1 = nn.Conv2d(kind.inputs, width, 7, 2, padding=3, bias=False)
            self.bn1, self.relu = nn.BatchNorm2d(width), nn.PReLU(width)
        units: list[nn.Module] = []
        inputs = width
        for stage, count in enumerate(UNITS[kind.backbone]):
            outputs = width << stage
            for i in range(count):
                stride = 1 if i else (2 if stage else first_stride)
                units.append(unit(inputs, outputs, stride))
                inputs = outputs
        self.body = nn.Sequential(*units)
        if kind.pyramid:
            self.latlayer1 = nn.Conv2d(4 * width, self.w_dim, 1)
            self.latlayer2 = nn.Conv2d(2 * width, self.w_dim, 1)
        sides = [16 if i < MIDDLE or not kind.pyramid else 32 if i < FINE else 64 for i in range(num_ws)]
        self.styles = nn.ModuleList(StyleHead(self.w_dim, side) for side in sides)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, inputs, 256, 256) in [-1, 1] -> codes (N, num_ws, w_dim), to be added to a latent."""
        maps = self.feature_maps(images)
        features = [maps[-1]] * self.num_ws
        if self.kind.pyramid:
            middle = _upsample(maps[3], maps[2]) + self.latlayer1(maps[2])
            fine = _upsample(middle, maps[1]) + self.latlayer2(maps[1])
            features = [maps[3] if i < MIDDLE else middle if i < FINE else fine for i in range(self.num_ws)]
        codes = torch.stack([head(x) for head, x in zip(self.styles, features)], dim=1)
        if self.kind.progressive:
            codes = torch.cat([codes[:, :1], codes[:, :1] + codes[:, 1:]], dim=1)  # w0, then w0 + delta_i
        return codes

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """The maps after the four stages: width, 2, 4 and 8 times width channels at 128, 64, 32 and 16 px."""
        ir_se50 = self.kind.backbone == "IR-SE50"
        x = self.input_layer(images) if ir_se50 else self.relu(self.bn1(self.conv1(images)))
        maps, done = [], 0
        for count in UNITS[self.kind.backbone]:
            x = self.body[done : done + count](x)
            done += count
            maps.append(x)
        return maps


def _upsample(x: Tensor, target: Tensor) -> Tensor:
    """x (N, C, h, w) at the size of `target`."""
    return F.interpolate(x, target.shape[2:], mode="bilinear", align_corners=True)
