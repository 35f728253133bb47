"""Image-mask pairs in memory, wherever the masks come from: the method's own, or drawn by people."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from stylemixseg.factory.filters import Filters
from stylemixseg.factory.store import Store


@dataclass(frozen=True, eq=False)
class Pairs:
    """Images and soft masks of one size.

    Attributes:
        images: (N, 3, S, S) uint8.
        masks: (N, S, S) uint8, 255 for certain foreground, 0 for certain background.
    """

    images: Tensor
    masks: Tensor

    def __post_init__(self) -> None:
        count, _, height, width = self.images.shape
        if self.masks.shape != (count, height, width):
            raise ValueError(
                f"masks must be {(count, height, width)}, as the images are, got {tuple(self.masks.shape)}"
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def digest(self) -> str:
        """SHA-256 in hex of all pixels."""
        found = hashlib.sha256(self.images.contiguous().numpy().data)
        found.update(self.masks.contiguous().numpy().data)
        return found.hexdigest()

    @classmethod
    def of(cls, items: Iterable[tuple[np.ndarray, np.ndarray]], side: int) -> Pairs:
        """From images (H, W, 3) uint8 and soft masks (H', W') float in 0..1, all brought to `side` pixels.

        Raises:
            ValueError: there is none.
        """
        images, masks = [], []
        for image, mask in items:
            images.append(_resized(torch.from_numpy(np.array(image)).permute(2, 0, 1).float(), side))
            masks.append(_resized(torch.from_numpy(np.asarray(mask, np.float32))[None] * 255, side)[0])
        if not images:
            raise ValueError("items must hold at least one pair, got none")
        return cls(torch.stack(images), torch.stack(masks))


def pairs_of_set(folder: str | Path, side: int, filters: Filters | None = None) -> Pairs:
    """The samples of a set that `factory.synthesize` made, those that pass the filters, in the order of their seeds.

    Args:
        folder: of the set.
        side: pixels of the pairs.
        filters: which samples; None for all.

    Raises:
        FileNotFoundError: no such set.
        ValueError: a damaged sample, one without a soft mask, or no sample that passes.
    """
    store, filters = Store(Path(folder)), filters or Filters()
    seeds = store.seeds()
    if not seeds:
        raise FileNotFoundError(f"no samples in {folder}; `stylemixseg synthesize {folder} --count N` makes them")

    def items() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for seed in tqdm(seeds, desc="pairs", unit="pair", leave=False):
            sample = store.read(seed)
            if "soft.png" not in sample.files:
                raise ValueError(f"{store.path(seed)} must have a soft mask; sets of objects have none")
            if filters.reason(sample.record) is None:
                yield sample.pixels("image.png"), sample.pixels("soft.png") / np.float32(255)

    return Pairs.of(items(), side)


def _resized(planes: Tensor, side: int) -> Tensor:
    """(C, H, W) float32 in 0..255 -> (C, side, side) uint8; where it shrinks, the pixels are averaged."""
    small = F.interpolate(planes[None], size=(side, side), mode="bilinear", align_corners=False, antialias=True)
    return small[0].round().clamp(0, 255).byte()
