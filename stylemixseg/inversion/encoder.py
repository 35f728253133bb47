"""From a photo to a latent in well under a second: an encoder in the manner of ReStyle.

Alaluf et al. 2021, https://arxiv.org/abs/2104.02699: start from the average image; look at the photo *and* at the
current reconstruction, six channels in all; add what the network says to the latent; repeat. The network here is small
(128 px, a ResNet of 11 M parameters), made for the face generator of this package by `data_scripts/train_encoder.py`.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from stylemixseg._util.checks import check_int
from stylemixseg.generators.mobilestylegan import MobileStyleGAN
from stylemixseg.inversion.base import Inversion
from stylemixseg.inversion.losses import shrunk
from stylemixseg.inversion.preview import SIDE, Preview
from stylemixseg.inversion.projector import check_photos
from stylemixseg.inversion.weights import read_weights

WEIGHTS_FILE = Path(__file__).parents[1] / "models" / "weights" / "faces_encoder.safetensors"
REFINEMENTS = 2  # as in training; a third makes held-out images a little more alike and takes the latents further away
_CHANNELS = (48, 96, 192, 288)  # at 64, 32, 16, 8 px
_SUMMARY = 48  # channels at 8 px that are flattened: where things are is kept
_HIDDEN = 512


class Residual(nn.Module):
    """Two 3 x 3 convolutions around a shortcut (He et al. 2016, https://arxiv.org/abs/1512.03385)."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> the same shape, at least 0."""
        return F.relu(x + self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))))


class EncoderNet(nn.Module):
    """Photo and reconstruction, (N, 6, 128, 128) in [-1, 1] -> step in the latent (N, num_ws, w_dim).

    The step comes in units of the latents' spread, `w_std` (w_dim,), which is stored with the weights.
    """

    w_std: Tensor

    def __init__(self, num_ws: int = 16, w_dim: int = 512):
        super().__init__()
        layers: list[nn.Module] = []
        before = 6
        for channels in _CHANNELS:
            layers += [nn.Conv2d(before, channels, 3, 2, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
            if channels != _CHANNELS[0]:  # at 64 px they would cost more than all others
                layers += [Residual(channels), Residual(channels)]
            before = channels
        self.body = nn.Sequential(*layers)
        self.summary = nn.Conv2d(before, _SUMMARY, 1)
        self.hidden = nn.Linear(_SUMMARY * (SIDE // 16) ** 2, _HIDDEN)
        self.heads = nn.ModuleList(nn.Linear(_HIDDEN, w_dim) for _ in range(num_ws))
        self.register_buffer("w_std", torch.ones(w_dim))

    def forward(self, x: Tensor) -> Tensor:
        """Photo and reconstruction x (N, 6, 128, 128) in [-1, 1] -> step in the latent (N, num_ws, w_dim)."""
        x = self.summary(self.body(x)).flatten(1)
        x = F.leaky_relu(self.hidden(F.leaky_relu(x, 0.2)), 0.2)
        return torch.stack([head(x) for head in self.heads], 1) * self.w_std


class Encoder:
    """Invert portraits with the face generator: an `Inverter`.

    Args:
        network: gives the step in the latent.
        preview: shows the current reconstruction at 128 px.
        refinements: how often the network looks again, at least 1.

    Examples:
        The only example that is not run, because it needs the face generator::

            encoder = Encoder.load(load_generator("faces", engine="torch"))
            ws = encoder(photos).ws  # photos (N, 3, 1024, 1024) in [-1, 1]
    """

    def __init__(self, network: EncoderNet, preview: Preview, refinements: int = REFINEMENTS):
        self.network = network.eval().requires_grad_(False)
        self.preview = preview
        self.refinements = check_int("refinements", refinements, 1)

    @classmethod
    def load(
        cls, generator: MobileStyleGAN, refinements: int = REFINEMENTS, weights: str | Path = WEIGHTS_FILE
    ) -> Encoder:
        """The encoder that comes with the package; `generator` is the face generator in PyTorch.

        Raises:
            TypeError: another kind of generator, or one that another engine runs.
            ValueError: other weights than those that the encoder was trained for, or a damaged file.
            FileNotFoundError: no such file.
        """
        preview = Preview(generator, SIDE)
        network = EncoderNet(generator.num_ws, generator.w_dim)
        state = read_weights(weights, generator)
        # the only entries not stored are batch counters, which inference does not use
        network.load_state_dict(network.state_dict() | state)
        return cls(network.to(generator.w_avg.device), preview, refinements)

    @torch.no_grad()
    def __call__(self, photos: Tensor, progress: bool = False) -> Inversion:
        """photos (N, 3, S, S) in [-1, 1], framed as FFHQ's, S of any size -> their inversion.

        Raises:
            TypeError, ValueError: photos that are not square, of another shape, or on another scale.
        """
        started = time.perf_counter()
        generator = self.preview.generator
        photos = shrink(check_photos(photos).float(), SIDE).to(generator.w_avg.device)
        ws = generator.w_avg.expand(len(photos), generator.num_ws, -1)
        steps = [ws]
        for _ in tqdm(range(self.refinements), desc="encode", unit="step", disable=not progress):
            # One by one: each preview takes 50 MB of feature maps, and a CPU is no faster with several at once.
            pairs = zip(photos.split(1), ws.split(1))
            ws = torch.cat([refine(self.network, self.preview, photo, w) for photo, w in pairs])
            steps.append(ws)
        times = "refinement" if self.refinements == 1 else "refinements"
        method = f"encoder, {self.refinements} {times}"
        return Inversion(ws, tuple(steps), time.perf_counter() - started, method)


def refine(network: EncoderNet, preview: Preview, photos: Tensor, ws: Tensor) -> Tensor:
    """One refinement: photos (N, 3, 128, 128) and latents (N, num_ws, w_dim) -> better latents."""
    return ws + network(torch.cat([photos, preview.synthesis(ws)], 1))


def shrink(images: Tensor, side: int) -> Tensor:
    """(N, C, S, S) -> (N, C, side, side): averages over areas, so that no pixel is skipped; bilinear where S < side."""
    images = shrunk(images, side)
    if images.shape[-1] == side:
        return images
    return F.interpolate(images, (side, side), mode="bilinear", align_corners=False)
