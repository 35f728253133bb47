"""Image-mask pairs in memory, wherever the masks come from: the method's own, or drawn by people."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from stylemixseg._util.checks import check_choice, check_real
from stylemixseg.factory.filters import Filters
from stylemixseg.factory.sample import Sample
from stylemixseg.factory.store import Store
from stylemixseg.mixing import to_generator_range
from stylemixseg.models.student import Student


@dataclass(frozen=True, eq=False)
class Pairs:
    """Images and their masks of one size.

    Attributes:
        images: (N, 3, S, S) uint8.
        masks: (N, S, S) uint8. Without classes, soft masks: 255 for certain foreground, 0 for certain background. With
            classes, labels, and `recipe.IGNORE` where nothing is to be learnt.
        classes: names by label, "background" first; empty for soft masks.
    """

    images: Tensor
    masks: Tensor
    classes: tuple[str, ...] = ()

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

    @classmethod
    def joined(cls, found: Sequence[Pairs]) -> Pairs:
        """The pairs of several sets as one, in their order.

        Raises:
            ValueError: sets of other classes, or of images of other sizes.
        """
        if len({(item.classes, item.masks.shape[1:]) for item in found}) > 1:
            raise ValueError("all sets must have images of one size and the same classes")
        return cls(torch.cat([i.images for i in found]), torch.cat([i.masks for i in found]), found[0].classes)


DOUBT = 128  # a soft mask's value of a pixel that nothing is to be learnt from
MASKS = ("soft", "hard", "sure", "rule")


def pairs_of_set(
    folder: str | Path,
    side: int,
    filters: Filters | None = None,
    *,
    masks: str = "soft",
    threshold: float = 0.5,
    seeds: Collection[int] | None = None,
) -> Pairs:
    """The samples of a set that `factory.synthesize` made, those that pass the filters, in the order of their seeds.

    Args:
        folder: of the set.
        side: pixels of the pairs.
        filters: which samples; None for all.
        masks: "soft": the probabilities. "hard": 0 or 1, without doubt. "sure": 0 or 1, and nothing is learnt from
            the pixels in the set's band of low confidence. "rule": the masks of the paper's rule, of a set that a judge
            made; the threshold does not change them.
        threshold: probability, above 0 and below 1, at which a pixel is taken to be as likely foreground as background.
            A teacher whose masks are too large at 0.5 is corrected by a higher one: all log-odds are lowered by its
            log-odds.
        seeds: of the samples to take; None for all.

    Raises:
        FileNotFoundError: no such set.
        TypeError, ValueError: no such masks, a threshold out of range, a damaged sample, one without masks of this
            kind, or no sample that passes.
    """
    check_choice("masks", masks, MASKS)
    check_real("threshold", threshold, 0.01, 0.99)
    name = "rule.png" if masks == "rule" else "soft.png"
    filters, store = filters or Filters(), Store(Path(folder))
    samples = _samples(store, "--count N", seeds)
    band = store.made_with()["ignore"]

    def mask_of(sample: Sample) -> np.ndarray:
        if masks == "rule":
            by_rule: np.ndarray = (sample.pixels(name) > 127).astype(np.float32)
            return by_rule
        soft = shifted(sample.pixels(name) / np.float32(255), threshold)
        hard = (soft > 0.5).astype(np.float32)
        if masks == "sure":
            return np.where(np.abs(soft - 0.5) < band, np.float32(DOUBT / 255), hard)
        return soft if masks == "soft" else hard

    def items() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for sample in samples:
            if "soft.png" not in sample.files or name not in sample.files:
                raise ValueError(
                    f"{store.path(sample.seed)} must have {name} for masks={masks!r}: sets of objects have no "
                    "soft mask, and only sets that a judge made have the rule's"
                )
            if filters.reason(sample.record) is None:
                yield sample.pixels("image.png"), mask_of(sample)

    return Pairs.of(items(), side)


def labelled_by(student: Student, images: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images (H, W, 3) uint8, each with the probabilities (H, W) float32 that a student gives it, for `Pairs.of`."""
    for image in images:
        yield image, student.probability(to_generator_range(image))[0].numpy()


def shifted(soft: np.ndarray, threshold: float) -> np.ndarray:
    """Probabilities float32 in 0..1 whose log-odds are lowered by those of the threshold, which so becomes 0.5."""
    kept, lost = soft * np.float32(1 - threshold), (1 - soft) * np.float32(threshold)
    found: np.ndarray = kept / (kept + lost)
    return found


def labelled_pairs(folder: str | Path) -> Pairs:
    """The samples of a set with named parts, at the size of the set.

    Raises:
        FileNotFoundError: no such set.
        ValueError: a damaged sample.
    """
    images, masks, store = [], [], Store(Path(folder))
    for sample in _samples(store, "--classes"):
        images.append(torch.from_numpy(sample.pixels("image.png").copy()).permute(2, 0, 1))
        masks.append(torch.from_numpy(sample.pixels("mask.png").copy()))
    return Pairs(torch.stack(images), torch.stack(masks), tuple(store.made_with()["labels"]))


def _samples(store: Store, options: str, seeds: Collection[int] | None = None) -> Iterator[Sample]:
    """The samples of a set in the order of their seeds, with a progress bar; None of `seeds` for all.

    Raises:
        FileNotFoundError: no such set, before the first sample is asked for; names the options that make one.
    """
    stored = store.seeds()
    if not stored:
        folder = store.folder
        raise FileNotFoundError(f"no samples in {folder}; `stylemixseg synthesize {folder} {options}` makes them")
    taken = [seed for seed in stored if seeds is None or seed in seeds]
    return map(store.read, tqdm(taken, desc="pairs", unit="pair", leave=False))


def _resized(planes: Tensor, side: int) -> Tensor:
    """(C, H, W) float32 in 0..255 -> (C, side, side) uint8; where it shrinks, the pixels are averaged."""
    small = F.interpolate(planes[None], size=(side, side), mode="bilinear", align_corners=False, antialias=True)
    return small[0].round().clamp(0, 255).byte()
