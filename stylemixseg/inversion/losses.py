"""What an inversion makes small: distances between image and photo, and a measure of how unlikely a latent is.

Every distance here takes `images` and `target` (N, 3, S, S) in about [-1, 1] and gives one number a photo, (N,), so
that photos of one batch do not touch each other. All are differentiable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stylemixseg._util.checks import check_choice, check_int
from stylemixseg._util.paths import sha256_file
from stylemixseg._util.tensors import check_device
from stylemixseg.generators.base import Generator
from stylemixseg.models.references import INPUT_SIZE, FaceParser, resized

SIDES = (256, 128, 64, 32)  # px
Perceptual = Callable[[Tensor, Tensor], Tensor]  # images, target -> (N,)


def name_of(distance: Perceptual) -> str:
    """What tells a perceptual distance from others in a state's key: a function's name, or an object's class."""
    return getattr(distance, "__qualname__", type(distance).__qualname__)


def shrunk(images: Tensor, side: int) -> Tensor:
    """images (N, 3, S, S) -> (N, 3, side, side) by averaging areas; as they are where S <= side."""
    return images if images.shape[-1] <= side else F.adaptive_avg_pool2d(images, side)


def multi_scale_loss(images: Tensor, target: Tensor, sides: Sequence[int] = SIDES) -> Tensor:
    """Smooth L1 (half the square below 1) at every side of an area pyramid, averaged: (N,).

    Small sides pull coarse layout into place from far away, where single pixels give no direction.

    Args:
        images: (N, 3, S, S).
        target: (N, 3, T, T); the two are compared at the smaller of S and T and below.
        sides: in pixels; those larger than either image are left out.

    Raises:
        ValueError: all sides are larger.
    """
    target = target.to(images)
    common = min(images.shape[-1], target.shape[-1])
    usable = sorted((side for side in sides if side <= common), reverse=True)
    if not usable:
        raise ValueError(f"sides must hold one of at most {common} px, the smaller image's side, got {tuple(sides)}")
    levels = []
    for side in usable:  # from the level above: an average of averages is the same and reads fewer pixels
        images, target = shrunk(images, side), shrunk(target, side)
        levels.append(F.smooth_l1_loss(images, target, reduction="none").mean((1, 2, 3)))
    return torch.stack(levels).mean(0)


class FeatureDistance:
    """Feature distance (face parser's encoder): the form of LPIPS on a backbone that comes with this package.

    As in LPIPS (Zhang et al. 2018, https://arxiv.org/abs/1801.03924, equation 1): features of several layers of a
    frozen network, unit length across channels at every pixel, squared difference, averaged over pixels, summed over
    layers. Unlike LPIPS it has no learnt channel weights and another network (MobileNetV2), so its values compare with
    nothing but each other: do not call it LPIPS.

    As a measure it does no harm. As a loss it brings a network that was trained with human masks into a method that
    needs none, so no inverter uses it unless told to.

    Args:
        parser: the face parser whose encoder is used; None loads the package's own.
    """

    name = "feature distance (face parser's encoder)"
    LAYERS = (1, 3, 6, 10, 13)  # blocks of MobileNetV2: 16, 24, 32, 64, 96 channels at 1/2, 1/4, 1/8, 1/16, 1/16

    def __init__(self, parser: FaceParser | None = None):
        self.network = (parser or FaceParser.load()).network

    def features(self, images: Tensor) -> list[Tensor]:
        """images (N, 3, S, S) -> unit feature vectors (N, C, h, w) of each layer in LAYERS."""
        device = next(self.network.parameters()).device
        x = resized(images.to(device, torch.float32), (INPUT_SIZE, INPUT_SIZE)).contiguous(
            memory_format=torch.channels_last
        )
        found = []
        for i, block in enumerate(list(self.network.features)[: self.LAYERS[-1] + 1]):
            x = block(x)
            if i in self.LAYERS:
                found.append(x * (x.square().sum(1, keepdim=True) + 1e-10).rsqrt())
        return found

    def __call__(self, images: Tensor, target: Tensor) -> Tensor:
        """images, target (N, 3, S, S), any S -> (N,), 0 where they agree; differentiable in `images` only."""
        with torch.no_grad():
            wanted = self.features(target)
        layers = [(a - b).square().sum(1).mean((1, 2)) for a, b in zip(self.features(images), wanted)]
        return torch.stack(layers).sum(0).to(images.device)


_BACKBONES = {"alex": "alexnet-owt-7be5be79.pth", "vgg": "vgg16-397923af.pth"}  # the name ends in the SHA-256's start


def lpips_distance(net: str = "alex", device: str | torch.device = "cpu") -> Perceptual:
    """The real LPIPS (Zhang et al. 2018) of the package `lpips`, at 256 px; nothing is downloaded.

    Args:
        net: "alex" or "vgg", the backbone. It must stand in PyTorch's hub folder already.
        device: where it runs.

    Raises:
        ModuleNotFoundError: `lpips` is not installed.
        FileNotFoundError: the backbone's weights are missing.
        ValueError: they are not the published file.
    """
    check_choice("net", net, _BACKBONES)
    device = check_device("device", device)
    try:
        lpips = import_module("lpips")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"LPIPS needs {error.name}: pip install lpips; FeatureDistance needs nothing more", name=error.name
        ) from error
    weights = Path(torch.hub.get_dir()) / "checkpoints" / _BACKBONES[net]
    if not weights.is_file():
        raise FileNotFoundError(
            f"LPIPS needs torchvision's weights of its backbone at {weights}; FeatureDistance needs nothing more"
        )
    digest = sha256_file(weights)  # checked here because `lpips` reads it with pickle
    if not digest.startswith(weights.stem.rpartition("-")[2]):
        raise ValueError(f"{weights} has SHA-256 {digest}, not the one in its name: damaged, or not torchvision's file")
    model = lpips.LPIPS(net=net, verbose=False).eval().requires_grad_(False).to(device)

    def lpips_at_256(images: Tensor, target: Tensor) -> Tensor:
        return model(shrunk(images, 256), shrunk(target, 256)).flatten()

    return lpips_at_256


@dataclass(frozen=True, eq=False)
class LatentSpread:
    """How the latents w of a generator spread: what makes a latent plausible.

    Attributes:
        mean: w_avg (w_dim,).
        whitening: (w_dim, w_dim); (w - mean) @ whitening has unit covariance over the generator's own w.
        coloring: its inverse.
    """

    mean: Tensor
    whitening: Tensor
    coloring: Tensor

    def coordinates(self, ws: Tensor) -> Tensor:
        """Latents (N, L, w_dim) in whitened coordinates: each about N(0, 1) over the generator's own latents."""
        return (ws.to(self.mean) - self.mean) @ self.whitening

    def latents(self, coordinates: Tensor) -> Tensor:
        """The inverse of `coordinates`."""
        return self.mean + coordinates.to(self.mean) @ self.coloring

    def distance(self, ws: Tensor) -> Tensor:
        """Squared Mahalanobis distance to w_avg a dimension, averaged over layers: ws (N, num_ws, w_dim) -> (N,).

        About 1 for the generator's own latents, psi^2 for truncated ones, below 1 for a blend of two. Whitening is
        needed: of the face generator's latents, those with each dimension taken from another sample lie at 1 too when
        only a standard deviation a dimension is used, but at 5.5 here.
        """
        return self._units(ws.to(self.mean) - self.mean)

    def between_layers(self, ws: Tensor) -> Tensor:
        """How far the layers of one photo lie apart, in the same units: (N,), 0 where all are equal (space W).

        In the manner of the delta regularisation of e4e (Tov et al. 2021, https://arxiv.org/abs/2102.02766, section
        4.2), with the layers' mean as the centre.
        """
        ws = ws.to(self.mean)
        return self._units(ws - ws.mean(1, keepdim=True))

    def _units(self, offsets: Tensor) -> Tensor:
        return (offsets @ self.whitening).square().mean((1, 2))


@torch.no_grad()
def latent_spread(generator: Generator, samples: int = 8192, seed: int = 0) -> LatentSpread:
    """Measure the spread of w over seeded samples, in double precision.

    Args:
        generator: whose mapping network is measured.
        samples: at least 2 w_dim, or the covariance would say more about chance than about the generator.
        seed: of `numpy.random.RandomState`.
    """
    check_int("samples", samples, 2 * generator.w_dim)
    check_int("seed", seed, 0, 2**32 - 1)
    z = torch.from_numpy(np.random.RandomState(seed).randn(samples, generator.z_dim)).to(generator.w_avg)
    offsets = (torch.cat([generator.mapping(part)[:, 0] for part in z.split(1024)]) - generator.w_avg).double()
    variances, axes = torch.linalg.eigh(offsets.T @ offsets / samples)
    # A direction without any variance would cost infinitely much to touch.
    scales = variances.clamp(min=1e-6 * variances[-1].item()).rsqrt()
    whitening, coloring = axes * scales, (axes / scales).T
    return LatentSpread(generator.w_avg.clone(), whitening.to(generator.w_avg), coloring.to(generator.w_avg))


def noise_correlation(noises: Sequence[Tensor]) -> Tensor:
    """How far noise maps are from white: squared correlation with themselves one pixel aside, at every scale, summed.

    StyleGAN2 (Karras et al. 2020, https://arxiv.org/abs/1912.04958, appendix D): keeps an image's content out of the
    noise.

    Args:
        noises: maps (s, s), s a power of two, each of mean 0 and mean square 1.

    Returns:
        A number of shape (), near 0 for white noise.
    """
    total = noises[0].new_zeros(())
    for noise in noises:
        level = noise[None, None]
        while True:
            for axis in (2, 3):
                total = total + (level * level.roll(1, axis)).mean().square()
            if level.shape[-1] <= 8:
                break
            level = F.avg_pool2d(level, 2) * 2  # the mean of four has half the deviation
    return total
