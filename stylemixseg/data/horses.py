"""Reader for the Weizmann horses: 327 photos, each with a mask of its one horse (Borenstein and Ullman 2002).

E. Borenstein, S. Ullman: Class-Specific, Top-Down Segmentation, ECCV 2002,
https://doi.org/10.1007/3-540-47967-8_8. The layout read is that of `data/weizmann_horse` in the data folder:
`train/` and `test/`, each with `images/NAME.jpg` and `masks/NAME.png` (grey, 0 and 1). Terms of the data were not
found; research only. Masks are kept as they are: those of horse209 and horse311 have stray pixels far from the horse,
so that their boxes are too large.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from stylemixseg._util.checks import check_mask
from stylemixseg._util.paths import data_dir
from stylemixseg.data.celebamask import PairedPhotos

SPLITS = ("train", "test")
MAX_SIDE = 4096  # px; a file that claims more is refused before it is decoded


@dataclass(frozen=True)
class HorsePhotos:
    """Photos with horse masks: `names` are the ids, in order; `photos[name]` decodes one pair.

    Attributes:
        folder: holds the splits.
        split_of: {name: "train" or "test"}, sorted by name.
    """

    folder: Path
    split_of: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """Ids of all photos, sorted; `photos[name]` takes one of them."""
        return tuple(self.split_of)

    def __len__(self) -> int:
        return len(self.split_of)

    def __getitem__(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """image (H, W, 3) uint8 RGB and mask (H, W) bool, True on the horse.

        Raises KeyError for an unknown name; ValueError, naming the file, for one that cannot be read or does not fit.
        """
        if name not in self.split_of:
            raise KeyError(f"no photo {name!r} in {self.folder} (it has {len(self)} photos)")
        split = self.folder / self.split_of[name]
        image = np.asarray(_decoded(split / "images" / f"{name}.jpg").convert("RGB"))  # (H, W, 3)
        mask_path = split / "masks" / f"{name}.png"
        values = np.asarray(_decoded(mask_path))
        if values.shape != image.shape[:2]:
            raise ValueError(
                f"{mask_path} has shape {values.shape} but its photo is {image.shape[:2]}; a mask must be "
                "one grey value per pixel of its photo"
            )
        return image, check_mask(str(mask_path), values)


def _decoded(path: Path) -> Image.Image:
    try:
        image = Image.open(path, formats=("JPEG", "PNG"))
        if max(image.size) > MAX_SIDE:
            raise ValueError(f"{path} is {image.width}x{image.height}; a side may have {MAX_SIDE} px at most")
        image.load()
    # Pillow raises SyntaxError for a broken PNG, and refuses sizes that would fill the memory
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is not a readable image: {error}") from error
    return image


def read_horses(folder: str | Path | None = None) -> HorsePhotos:
    """The photos of `folder`, by default `data/weizmann_horse` in the data folder (STYLEMIXSEG_DATA).

    Checks names only; photos are decoded one at a time.

    Raises:
        FileNotFoundError: the folder, a split, or a split's images/ or masks/ is missing.
        ValueError: a split without photos, a photo without mask or a mask without photo, a name in both splits.
    """
    root = data_dir() / "data" / "weizmann_horse" if folder is None else Path(folder)
    for split in SPLITS:
        if not (root / split).is_dir():
            raise FileNotFoundError(
                f"no folder {split}/ in {root}; name a folder with train/ and test/, or set "
                "STYLEMIXSEG_DATA to the folder that holds data/weizmann_horse"
            )
    split_of: dict[str, str] = {}
    for split in SPLITS:
        for name in PairedPhotos.open(root / split).names:
            if name in split_of:
                raise ValueError(f"{name} is in both train/ and test/ of {root}; a photo may stand in one of them only")
            split_of[name] = split
    return HorsePhotos(root, dict(sorted(split_of.items())))


def mask_box(mask: np.ndarray) -> tuple[float, float, float, float]:
    """The tight box (x0, y0, x1, y1) of a mask (H, W), in pixels as `Detection.box`: every True pixel is inside.

    Raises:
        TypeError, ValueError: not a mask, or one without any pixel.
    """
    mask = check_mask("mask", mask)
    columns, rows = (np.flatnonzero(mask.any(axis)) for axis in (0, 1))
    if not len(rows):
        raise ValueError("mask must have at least one True pixel to have a box")
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
