"""Image-mask pairs in memory, wherever the masks come from: the method's own, or drawn by people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from stylemixseg._util.checks import check_int
from stylemixseg.data.celebamask import MaskedPhotos
from stylemixseg.factory.filters import Filters
from stylemixseg.factory.sample import Sample


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

    def first(self, count: int) -> Pairs:
        """The first pairs alone.

        Raises:
            ValueError: there are fewer.
        """
        check_int("count", count, 1, len(self))
        return Pairs(self.images[:count], self.masks[:count])

    def hard(self) -> Pairs:
        """The same with masks of 0 and 255 only."""
        return Pairs(self.images, torch.where(self.masks > 127, 255, 0).byte())

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
    folder, filters = Path(folder), filters or Filters()
    paths = sorted((folder / "samples").glob("*/*.zip"))
    if not paths:
        raise FileNotFoundError(f"no samples in {folder}; `stylemixseg synthesize {folder} --count N` makes them")

    def items() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for path in tqdm(paths, desc="pairs", unit="pair", leave=False):
            sample = Sample.from_bytes(path.read_bytes())
            if "soft.png" not in sample.files:
                raise ValueError(f"{path} must have a soft mask; sets of objects have none")
            if filters.reason(sample.record) is None:
                yield sample.pixels("image.png"), sample.pixels("soft.png") / np.float32(255)

    return Pairs.of(items(), side)


def pairs_of_photos(photos: MaskedPhotos, names: Sequence[str], side: int) -> Pairs:
    """Photos and the masks that people drew: everything that is not background is foreground."""
    bar = tqdm(names, desc="photos", unit="photo", leave=False)
    return Pairs.of(((image, labels > 0) for image, labels in (photos[name] for name in bar)), side)


def _resized(planes: Tensor, side: int) -> Tensor:
    """(C, H, W) float32 in 0..255 -> (C, side, side) uint8; where it shrinks, the pixels are averaged."""
    small = F.interpolate(planes[None], size=(side, side), mode="bilinear", align_corners=False, antialias=True)
    return small[0].round().clamp(0, 255).byte()
