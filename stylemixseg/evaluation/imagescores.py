"""Scores of single images, the values behind every mean: kept beside it, compared image by image, drawn anew in pairs.

One JSON file per experiment and profile, `<results>/<profile>/images/<experiment>.json`:

    {"table1.ffhq.saliency": {"seed00000": [tp, fp, fn, tn], ...},      counts of pixels against a reference
     "table1.celeba.both.psnr": {"002b92f1": 21.4, ...}}                or one number per image
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from pathlib import Path

import numpy as np

from stylemixseg._util.paths import atomic_write
from stylemixseg.evaluation.resultfiles import ResultError, read_json
from stylemixseg.metrics import Confusion, ious_of_counts


@dataclass(frozen=True, eq=False)
class ImageScores:
    """What each image of a set scored.

    Attributes:
        images: names of the images, such as "seed00007" or a photo's; unique.
        counts: (images, 4) int64, pixels tp, fp, fn, tn of each image; None where the score is no comparison of masks.
        numbers: (images,) float64, one number per image, finite; None where `counts` is given.
    """

    images: tuple[str, ...]
    counts: np.ndarray | None = None
    numbers: np.ndarray | None = None

    def __post_init__(self) -> None:
        given = self._given
        if not self.images or len(set(self.images)) != len(self.images) or len(given) != len(self.images):
            raise ValueError(
                f"images must be at least one name, each once, one per score, got {len(self.images)} names and "
                f"{len(given)} scores"
            )

    @property
    def _given(self) -> np.ndarray:
        """Counts or numbers, whichever is there."""
        given = self.counts if self.numbers is None else self.numbers
        if given is None or (self.counts is not None and self.numbers is not None):
            raise ValueError("give counts or numbers, one of the two")
        return given

    @classmethod
    def of_confusions(cls, confusions: Sequence[Confusion], images: Sequence[str] | None = None) -> ImageScores:
        """Scores from one `Confusion` per image; `images` None numbers them."""
        counts = np.array([[item.tp, item.fp, item.fn, item.tn] for item in confusions], np.int64)
        return cls(_named(images, len(counts)), counts=counts)

    @classmethod
    def of_values(cls, values: Sequence[float], images: Sequence[str] | None = None) -> ImageScores:
        """Scores from one number per image; `images` None numbers them."""
        return cls(_named(images, len(values)), numbers=np.array(values, np.float64))

    @cached_property
    def values(self) -> np.ndarray:
        """One number per image (images,): its mIoU where counts are known, else the number itself."""
        return ious_of_counts(self._given, "miou") if self.numbers is None else self._given

    def entries(self) -> dict[str, list[int] | float]:
        """{image: its four counts, or its number}, as they stand in the file."""
        return dict(zip(self.images, self._given.tolist()))

    def by_image(self) -> dict[str, float]:
        """{image: value}, as in `values`."""
        return dict(zip(self.images, self.values.tolist()))


def _named(images: Sequence[str] | None, count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count))) if images is None else tuple(images)


def write_scores(path: Path, scores: Mapping[str, ImageScores]) -> None:
    """Write the scores of an experiment, one line per name; nothing where there are none."""
    if not scores:
        path.unlink(missing_ok=True)  # of an earlier run, whose means are replaced
        return
    lines = []
    for name, item in scores.items():
        entries = json.dumps(item.entries(), allow_nan=False, separators=(",", ":"))
        lines.append(f"{json.dumps(name)}: {entries}")
    with atomic_write(path) as temporary:
        temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def read_scores(path: str | Path) -> dict[str, ImageScores]:
    """Read one file of `write_scores`.

    Raises:
        ResultError: missing, damaged, or not such a file; names the file and the score.
    """
    found = {}
    for name, entries in read_json(path).items():
        try:
            found[name] = _scores(entries)
        except (TypeError, ValueError, OverflowError) as error:
            raise ResultError(f"{path}, images' scores of {name}: {error}") from error
    return found


def _scores(entries: object) -> ImageScores:
    if not isinstance(entries, dict):
        raise TypeError(f"must map images to scores, got {type(entries).__name__}")
    if all(isinstance(entry, list) for entry in entries.values()):
        return ImageScores.of_confusions([Confusion(*entry) for entry in entries.values()], list(entries))
    for image, entry in entries.items():
        if isinstance(entry, bool) or not isinstance(entry, Real) or not math.isfinite(entry):
            raise TypeError(f"the score of image {image!r} must be a number, or four counts, got {entry!r:.80}")
    return ImageScores.of_values(list(entries.values()), list(entries))


def folder_scores(folder: str | Path) -> dict[str, ImageScores]:
    """All images' scores of one profile, from `<folder>/images/*.json`; none where there is no such folder.

    Raises:
        ResultError: a damaged file, or a name that two files hold.
    """
    found: dict[str, ImageScores] = {}
    for path in sorted((Path(folder) / "images").glob("*.json")):
        scores = read_scores(path)
        if twice := sorted(set(scores) & set(found)):
            raise ResultError(f"{path}: the images' scores of {twice[0]} stand in another file too")
        found |= scores
    return found
