"""The generator protocol: layered latents in, images out. Nothing downstream needs more."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from stylemixseg._util.checks import check_int


class Generator(Protocol):
    """A style-based generator G = G_s(G_m(z)), section 3.1 of the paper.

    Attributes:
        name: short name, as in the catalogue.
        digest: SHA-256 in hex of what fixes the output (weights, or code and parameters).
        z_dim, w_dim: sizes of the input latent z and of one layer's latent w.
        num_ws: number of modulated layers l; the cutoff c runs over 0..num_ws.
        resolution: side R of the square images, in pixels.
        w_avg: mean latent, shape (w_dim,); the centre that truncation pulls towards.
    """

    name: str
    digest: str
    z_dim: int
    w_dim: int
    num_ws: int
    resolution: int
    w_avg: torch.Tensor

    def mapping(self, z: torch.Tensor, truncation: float = 1.0) -> torch.Tensor:
        """G_m: z (N, z_dim) -> ws (N, num_ws, w_dim), all layers equal; psi = `truncation` in 0..1 pulls to w_avg."""
        ...

    def synthesis(self, ws: torch.Tensor) -> torch.Tensor:
        """G_s: ws (N, num_ws, w_dim) -> images (N, 3, R, R) float32, about [-1, 1]."""
        ...


@runtime_checkable
class MixesStyles(Protocol):
    """A generator that computes the layers below the cutoff, which all style mixes of one query share, only once."""

    def iter_mixed_synthesis(
        self, w0: torch.Tensor, styles: torch.Tensor, cutoff: int, batch_size: int
    ) -> Iterator[torch.Tensor]:
        """Yield the mixes of w0 (1, num_ws, w_dim) and styles (n, num_ws, w_dim) as `synthesis` gives images."""
        ...


@runtime_checkable
class MixesBytes(Protocol):
    """A generator whose engine gives style mixes as bytes, which saves a pass over every image."""

    def iter_mixed_bytes(
        self, w0: torch.Tensor, styles: torch.Tensor, cutoff: int, batch_size: int
    ) -> Iterator[np.ndarray]:
        """Yield the mixes of w0 (1, num_ws, w_dim) and styles (n, num_ws, w_dim), (b, R, R, 3) uint8."""
        ...


@runtime_checkable
class KnowsItsMemory(Protocol):
    """A generator that can tell how many images at once fit into memory."""

    def batch_size_for(self, memory_limit: int) -> int:
        """Largest batch whose feature maps fit into so many bytes."""
        ...


@runtime_checkable
class LimitsThreads(Protocol):
    """A generator whose engine can make every image on one thread, so that no bit depends on the number of cores."""

    def one_thread_per_image(self, images_at_once: int) -> None:
        """From now on make so many images at a time, each on one thread."""
        ...


@runtime_checkable
class GivesFeatures(Protocol):
    """A generator whose layers have feature maps, as those of networks have; the toy world draws, and has none."""

    def feature_maps(self, ws: torch.Tensor, layers: list[int]) -> list[torch.Tensor]:
        """Features after the layers that read ws[:, i], for each i of `layers`: (N, C, side, side) each."""
        ...


@runtime_checkable
class PaintsBackgrounds(Protocol):
    """A generator that can leave out its first features, those of 4 px, which say what stands where in the image.

    What it paints then is mostly background (Abdal et al. 2021, https://arxiv.org/abs/2103.14968).
    """

    def synthesis(self, ws: torch.Tensor) -> torch.Tensor:
        """As `Generator.synthesis`."""
        ...

    def background(self, ws: torch.Tensor) -> torch.Tensor:
        """ws (N, num_ws, w_dim) -> images (N, 3, R, R) as `synthesis`, after a first feature map of zeros."""
        ...


@runtime_checkable
class KnowsTheTruth(Protocol):
    """A generator that knows what its images show, as the toy world does.

    Attributes:
        class_names: of the classes, which the semantic maps of the truth index.
    """

    class_names: tuple[str, ...]

    def truth(self, ws: torch.Tensor) -> list[Any]:
        """Exact masks and boxes of the images of ws (N, num_ws, w_dim), one entry per image."""
        ...


def check_feature_layers(layers: Sequence[int], num_ws: int) -> None:
    """Raise ValueError unless layers are some of 0..num_ws - 2, rising: the last layer gives the image."""
    for layer in layers:
        check_int("layers", layer, 0, num_ws - 2)
    if not layers or sorted(set(layers)) != list(layers):
        raise ValueError(f"layers must rise and hold at least one number, got {layers}")


def seeded_latent(generator: Generator, seed: int, truncation: float) -> torch.Tensor:
    """w0 (1, num_ws, w_dim) of a seed, on the generator's device; see `seeded_z`."""
    return generator.mapping(seeded_z(seed, generator.z_dim).to(generator.w_avg), truncation)


def seeded_z(seeds: int | Sequence[int], z_dim: int) -> torch.Tensor:
    """Input latents, one row for each seed (section 3.1).

    A seed means `numpy.random.RandomState(seed).randn(1, z_dim)`, as in the official StyleGAN2 tools,
    so that a seed names the same latent there and here.

    Args:
        seeds: one or several whole numbers in 0..2^32 - 1.
        z_dim: size of a latent, the generator's.

    Returns:
        z (N, z_dim) float32.

    Raises:
        TypeError: a seed that is no whole number.
        ValueError: no seed, or one out of range.

    Examples:
        >>> seeded_z([7, 8], z_dim=512).shape
        torch.Size([2, 512])
        >>> bool((seeded_z([7, 8], 512)[0] == seeded_z(7, 512)).all())
        True
    """
    seeds = [seeds] if isinstance(seeds, (int, np.integer)) else list(seeds)
    rows = [np.random.RandomState(check_int("seed", seed, 0, 2**32 - 1)).randn(1, z_dim) for seed in seeds]
    if not rows:
        raise ValueError("seeds must hold at least one seed, got none")
    return torch.from_numpy(np.concatenate(rows)).float()


def check_z(z: torch.Tensor, z_dim: int) -> torch.Tensor:
    """Return z when it is a finite floating-point tensor (N, z_dim); raise saying what was got otherwise."""
    if not isinstance(z, torch.Tensor) or not z.is_floating_point():
        raise TypeError(f"z must be a floating-point torch.Tensor, got {type(z).__name__}")
    if z.ndim != 2 or z.shape[0] < 1 or z.shape[1] != z_dim:
        raise ValueError(f"z must have shape (N, {z_dim}) with N >= 1, got {tuple(z.shape)}")
    if not torch.isfinite(z).all():
        raise ValueError("z must be finite, got NaN or infinite values")
    return z


@torch.no_grad()
def mean_latent(mapping: torch.nn.Module, z_dim: int, samples: int, seed: int) -> torch.Tensor:
    """w_avg (w_dim,) float32: mean of seeded samples under a mapping network z -> w.

    In double precision and rounded, so that every machine gets the same.
    """
    z = torch.from_numpy(np.random.RandomState(seed).randn(samples, z_dim))
    w_avg: torch.Tensor = copy.deepcopy(mapping).double()(z).mean(0)
    return (w_avg * 1e6).round().div(1e6).float()


def weights_digest(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, shapes and values: the same for the same weights, whatever the file's layout."""
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(f"{key}{tuple(state[key].shape)}".encode())
        digest.update(state[key].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
