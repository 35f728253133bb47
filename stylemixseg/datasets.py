"""Reader for the CelebAMask-HQ photos with human masks (Lee et al. 2020, https://arxiv.org/abs/1907.11922).

The folder holds `images/NAME.jpg` (512 x 512) and `masks/NAME.png` (palette PNG, labels 0..18 in the order of
`stylemixseg.references.CLASS_NAMES`). Its terms: non-commercial research and education only, no redistribution.
"""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from .paths import data_dir
from .references import CLASS_NAMES, MIRRORED_CLASSES, NUM_CLASSES


@dataclass(frozen=True)
class MaskedPhotos:
    """A folder of photos with label maps; `photos[name]` decodes one pair, `names` are the sorted ids."""

    folder: Path
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """image (H, W, 3) uint8 RGB and labels (H, W) uint8 in 0..18.

        Raises KeyError for an unknown name, ValueError for a file that cannot be read, a pair of unequal size or a
        label above 18, each naming the file.
        """
        if name not in self.names:
            raise KeyError(f"no photo {name!r} in {self.folder} (it has {len(self)} photos)")
        image_path, mask_path = self.folder / "images" / f"{name}.jpg", self.folder / "masks" / f"{name}.png"
        image = np.asarray(_open(image_path).convert("RGB"))  # (H, W, 3)
        mask_image = _open(mask_path)
        if mask_image.mode not in ("P", "L"):
            raise ValueError(f"{mask_path} must be a palette or grey PNG whose values are labels (got mode "
                             f"{mask_image.mode})")
        labels = np.asarray(mask_image)  # palette indices, not colours
        if labels.shape != image.shape[:2]:
            raise ValueError(f"{mask_path} is {labels.shape[1]}x{labels.shape[0]} but its photo is "
                             f"{image.shape[1]}x{image.shape[0]}; they must be of one size")
        if labels.max() >= NUM_CLASSES:
            raise ValueError(f"{mask_path} has the label {labels.max()}; labels must lie in 0..{NUM_CLASSES - 1}")
        return image, labels


def _open(path: Path) -> Image.Image:
    try:
        image = Image.open(path)
        image.load()
    except (UnidentifiedImageError, OSError, SyntaxError) as error:  # Pillow raises SyntaxError for a broken PNG
        raise ValueError(f"{path} is not a readable image: {error}") from error
    return image


def read_celebamask(folder: str | Path | None = None) -> MaskedPhotos:
    """The photos of `folder`, by default `data/celebamask_hq_800` in the data folder (STYLEMIXSEG_DATA).

    Checks names only; photos are decoded one at a time. Raises FileNotFoundError for a missing folder,
    ValueError where it is empty or a photo lacks its mask (or a mask its photo).
    """
    root = data_dir() / "data" / "celebamask_hq_800" if folder is None else Path(folder)
    for part in ("images", "masks"):
        if not (root / part).is_dir():
            raise FileNotFoundError(f"no folder {part}/ in {root}; set STYLEMIXSEG_DATA to the folder that holds "
                                    "data/celebamask_hq_800")
    images = {p.stem for p in (root / "images").glob("*.jpg")}
    masks = {p.stem for p in (root / "masks").glob("*.png")}
    if not images:
        raise ValueError(f"{root / 'images'} holds no .jpg file")
    if images != masks:
        odd = sorted(images ^ masks)
        kind = "mask" if odd[0] in images else "photo"
        raise ValueError(f"{len(odd)} names in {root} have no partner, first: {odd[0]} has no {kind}")
    return MaskedPhotos(root, tuple(sorted(images)))


_SIDES = [(CLASS_NAMES.index(f"left_{part}"), CLASS_NAMES.index(f"right_{part}")) for part in ("eye", "brow", "ear")]


def with_sides_corrected(labels: np.ndarray) -> np.ndarray:
    """labels (H, W) uint8 -> the same, left and right parts renamed where they stand on the wrong side.

    About one photo in fifteen of the 800 is mirrored without its labels having been: "left" eye, brow and ear are
    then those on the picture's left. In a portrait the person's left is on the picture's right; each pair of parts
    that is there votes by its mean column, and the majority decides.
    """
    votes = 0
    for left, right in _SIDES:
        columns = [np.nonzero(labels == side)[1] for side in (left, right)]
        if all(c.size for c in columns):
            votes += 1 if columns[0].mean() < columns[1].mean() else -1
    return MIRRORED_CLASSES.numpy().astype(np.uint8)[labels] if votes > 0 else labels
