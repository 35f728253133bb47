"""What the encoder learns from: synthetic pairs of latents and images, and photos, whose latents nobody knows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from stylemixseg.data.celebamask import read_celebamask, training_names
from stylemixseg.generators.mobilestylegan import MobileStyleGAN
from stylemixseg.inversion.encoder import shrink
from stylemixseg.inversion.preview import SIDE

HELD_OUT = 200  # the last pairs, never trained on: they measure


class Pairs:
    """The synthetic pairs: `batch(indices)` gives images (B, 3, 128, 128) in [-1, 1] and latents (B, num_ws, w_dim)."""

    def __init__(self, folder: Path, generator: MobileStyleGAN):
        state_file = folder / "pairs.json"
        if not state_file.exists():
            raise FileNotFoundError(f"no pairs in {folder}: run data_scripts/make_inversion_pairs.py first")
        self.record = json.loads(state_file.read_text())
        if self.record["generator"] != generator.digest:
            raise ValueError(f"{folder} holds pairs of another generator: make them again")
        self.images = np.load(folder / "images.npy", mmap_mode="r")
        self.ws = np.load(folder / "ws.npy", mmap_mode="r")
        self.count = self.record["made"]
        if self.count <= HELD_OUT:
            raise ValueError(f"{folder} holds {self.count} pairs; make more than {HELD_OUT}")
        self.training = np.arange(self.count - HELD_OUT)
        self.held_out = np.arange(self.count - HELD_OUT, self.count)

    def batch(self, indices) -> tuple[Tensor, Tensor]:
        indices = np.sort(np.atleast_1d(indices))
        return to_range(torch.from_numpy(self.images[indices])), torch.from_numpy(self.ws[indices]).float()


def to_range(images: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) float32 in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def training_photos(limit: int | None = None) -> Tensor:
    """The training photos at 128 px: (N, 128, 128, 3) uint8."""
    photos = read_celebamask()
    small = [
        shrink(to_range(torch.from_numpy(photos[name][0].copy())[None]), SIDE)
        for name in tqdm(training_names(photos)[:limit], desc="decode", unit="photo", leave=False)
    ]
    return ((torch.cat(small) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)


def as_a_photo(images: Tensor, rng: torch.Generator) -> Tensor:
    """Make synthetic images look a little less clean: some blurred, all with noise. The latent stays the same."""
    softer = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="reflect"), 3, 1)
    amount = torch.rand(len(images), 1, 1, 1, generator=rng)
    noise = torch.randn(images.shape, generator=rng) * 0.03 * torch.rand(len(images), 1, 1, 1, generator=rng)
    return (images.lerp(softer, amount) + noise).clamp(-1, 1)


def choose(values: np.ndarray, size: int, rng: torch.Generator) -> np.ndarray:
    return values[torch.randint(len(values), (size,), generator=rng).numpy()]
