"""Readers for the CelebAMask-HQ photos with human masks (Lee et al. 2020, https://arxiv.org/abs/1907.11922).

Two layouts are read, and both give `photos[name] -> (image, labels)`:

- as published: `CelebA-HQ-img/17.jpg` (30,000 photos, 1024 px) and one 512 px mask a part,
  `CelebAMask-HQ-mask-anno/0/00017_hair.png`;
- in pairs: `images/NAME.jpg` and `masks/NAME.png` of one size (palette PNG, labels 0..18 in the order of
  `stylemixseg.models.references.CLASS_NAMES`).

The terms of the data: non-commercial research and education only, no redistribution.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from PIL import Image, UnidentifiedImageError

from stylemixseg._util.paths import data_dir
from stylemixseg.models.references import CLASS_NAMES, MIRRORED_CLASSES, NUM_CLASSES

SPLIT_FILE = Path(__file__).parent / "splits" / "celebamask_800.json"  # names the validation photos of the 800
# names of the part files, in the order in which the official script merges them: label 1, 2, ... 18
PART_NAMES = (
    "skin",
    "nose",
    "eye_g",
    "l_eye",
    "r_eye",
    "l_brow",
    "r_brow",
    "l_ear",
    "r_ear",
    "mouth",
    "u_lip",
    "l_lip",
    "hair",
    "hat",
    "ear_r",
    "neck_l",
    "neck",
    "cloth",
)
OFFICIAL_COUNTS = {"train": 24_183, "validation": 2_993, "test": 2_824}  # of the 30,000 photos


@runtime_checkable
class MaskedPhotos(Protocol):
    """A folder of photos with label maps: `names` are the ids, in order; `photos[name]` decodes one pair."""

    @property
    def folder(self) -> Path:
        """The folder that holds the photos and their label maps."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Ids of all photos, in order; `photos[name]` takes one of them."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """image (H, W, 3) uint8 RGB and labels (H, W) uint8 in 0..18.

        Raises KeyError for an unknown name; ValueError, naming the file, for one that cannot be read or does not fit.
        """
        ...


@dataclass(frozen=True)
class PairedPhotos:
    """The layout in pairs: every photo beside a label map of its size."""

    folder: Path
    names: tuple[str, ...]

    @classmethod
    def open(cls, folder: Path) -> PairedPhotos:
        """List both folders; ValueError where they are empty or a photo lacks its mask (or a mask its photo)."""
        for part in ("images", "masks"):
            if not (folder / part).is_dir():
                raise FileNotFoundError(f"no folder {part}/ in {folder}")
        images = {p.stem for p in (folder / "images").glob("*.jpg")}
        masks = {p.stem for p in (folder / "masks").glob("*.png")}
        if not images:
            raise ValueError(f"{folder / 'images'} holds no .jpg file")
        if images != masks:
            odd = sorted(images ^ masks)
            kind = "mask" if odd[0] in images else "photo"
            raise ValueError(f"{len(odd)} names in {folder} have no partner, first: {odd[0]} has no {kind}")
        return cls(folder, tuple(sorted(images)))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        _check_name(self, name)
        image_path, mask_path = self.folder / "images" / f"{name}.jpg", self.folder / "masks" / f"{name}.png"
        image = np.asarray(_open(image_path).convert("RGB"))  # (H, W, 3)
        mask_image = _open(mask_path)
        if mask_image.mode not in ("P", "L"):
            raise ValueError(
                f"{mask_path} must be a palette or grey PNG whose values are labels (got mode {mask_image.mode})"
            )
        labels = np.asarray(mask_image)  # palette indices, not colours
        if labels.shape != image.shape[:2]:
            raise ValueError(
                f"{mask_path} is {labels.shape[1]}x{labels.shape[0]} but its photo is "
                f"{image.shape[1]}x{image.shape[0]}; they must be of one size"
            )
        if labels.max() >= NUM_CLASSES:
            raise ValueError(f"{mask_path} has the label {labels.max()}; labels must lie in 0..{NUM_CLASSES - 1}")
        return image, labels


@dataclass(frozen=True)
class OfficialPhotos:
    """The published layout: photos of 1024 px, up to 18 part masks of 512 px each.

    Labels are merged in the order of the official `g_mask.py`, later parts over earlier ones
    (https://github.com/switchablenorms/CelebAMask-HQ). A pair has the size of the masks: the photo is averaged down to
    it, by a whole factor.

    A part that a face does not show has no file, so a lost file cannot be told from it; only a photo without any part
    file is an error. Opening lists one folder of 30,000 names, in under a second; the masks of a photo are looked for
    when it is decoded.
    """

    folder: Path
    names: tuple[str, ...]

    @classmethod
    def open(cls, folder: Path) -> OfficialPhotos:
        """List the photos; ValueError where there is none, or a name is no number."""
        if not (folder / "CelebAMask-HQ-mask-anno").is_dir():
            raise FileNotFoundError(f"no folder CelebAMask-HQ-mask-anno/ in {folder}")
        names = [p.stem for p in (folder / "CelebA-HQ-img").glob("*.jpg")]
        if not names:
            raise ValueError(f"{folder / 'CelebA-HQ-img'} holds no .jpg file")
        if odd := sorted(name for name in names if not name.isdecimal()):
            raise ValueError(f"photos in {folder / 'CelebA-HQ-img'} must be named by numbers, got {odd[0]}.jpg")
        return cls(folder, tuple(sorted(names, key=int)))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        _check_name(self, name)
        labels = self._labels(int(name))
        photo_path = self.folder / "CelebA-HQ-img" / f"{name}.jpg"
        photo = _open(photo_path).convert("RGB")
        height, width = labels.shape
        factor = photo.width // width
        if factor < 1 or photo.size != (factor * width, factor * height):
            raise ValueError(
                f"{photo_path} is {photo.width}x{photo.height} but its masks are {width}x{height}; the "
                "photo must be a whole number of times as large"
            )
        return np.asarray(photo.reduce(factor)), labels  # the mean of factor x factor pixels

    def _labels(self, number: int) -> np.ndarray:
        """Merged label map (H, W) uint8 of one photo."""
        stem = self.folder / "CelebAMask-HQ-mask-anno" / str(number // 2000) / f"{number:05d}"
        labels: np.ndarray | None = None
        for label, part in enumerate(PART_NAMES, start=1):
            path = Path(f"{stem}_{part}.png")
            if not path.is_file():
                continue
            inside = np.asarray(_open(path).convert("L")) > 0  # (H, W); the files are black and white
            if labels is None:
                labels = np.zeros(inside.shape, np.uint8)
            if inside.shape != labels.shape:
                raise ValueError(
                    f"{path} is {inside.shape[1]}x{inside.shape[0]} but the parts before it are "
                    f"{labels.shape[1]}x{labels.shape[0]}; all parts must be of one size"
                )
            labels[inside] = label
        if labels is None:
            raise ValueError(f"no part mask of photo {number}: {stem}_skin.png and its 17 companions are all missing")
        return labels


def _check_name(photos: MaskedPhotos, name: str) -> None:
    if name not in photos.names:
        raise KeyError(f"no photo {name!r} in {photos.folder} (it has {len(photos)} photos)")


def _open(path: Path) -> Image.Image:
    try:
        image = Image.open(path)
        image.load()
    # Pillow raises SyntaxError for a broken PNG, and refuses to decode what would fill the memory
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is not a readable image: {error}") from error
    return image


def read_celebamask(folder: str | Path | None = None) -> MaskedPhotos:
    """The photos of `folder`, by default `data/celebamask_hq_800` in the data folder (STYLEMIXSEG_DATA).

    Both layouts of the module's description are recognised. Checks names only; photos are decoded one at a time.
    Raises FileNotFoundError for a missing folder, ValueError where it is empty or its names do not fit together.
    """
    root = data_dir() / "data" / "celebamask_hq_800" if folder is None else Path(folder)
    if (root / "CelebA-HQ-img").is_dir():
        return OfficialPhotos.open(root)
    if (root / "images").is_dir():
        return PairedPhotos.open(root)
    raise FileNotFoundError(
        f"neither CelebA-HQ-img/ (as published) nor images/ (in pairs) is in {root}; name such a "
        "folder, or set STYLEMIXSEG_DATA to the folder that holds data/celebamask_hq_800"
    )


def validation_names(photos: MaskedPhotos) -> list[str]:
    """The 100 of the 800 photos in `data/celebamask_hq_800` that nothing here is trained or tuned on, sorted.

    They are the 100 whose names have the smallest SHA-256. Raises ValueError where `photos` lacks one of them.
    """
    names = json.loads(SPLIT_FILE.read_text())["validation"]
    if missing := sorted(set(names) - set(photos.names)):
        raise ValueError(
            f"{photos.folder} lacks {len(missing)} validation photos of {SPLIT_FILE.name}, first: {missing[0]}"
        )
    return names


def training_names(photos: MaskedPhotos) -> list[str]:
    """All other photos, sorted; raises as `validation_names`."""
    return sorted(set(photos.names) - set(validation_names(photos)))


def official_split(folder: str | Path, partition_file: str | Path) -> dict[str, list[str]]:
    """Names of the photos in `folder` (published layout) by CelebA's own split: "train", "validation", "test".

    `CelebA-HQ-to-CelebA-mapping.txt` in `folder` gives each photo's file name in CelebA, and CelebA's
    `list_eval_partition.txt` the part (0, 1, 2) of that file. They are joined by the file name. The official script
    compares `orig_idx`, which counts from 0, with file numbers, which count from 1: it is off by one at the borders.

    Raises:
        FileNotFoundError: a file or folder is missing.
        ValueError: a line of another form, a photo without a line in either file, or the 30,000 photos in other numbers
            than 24,183, 2,993 and 2,824.
    """
    photos = OfficialPhotos.open(Path(folder))
    mapping_file, partition_file = photos.folder / "CelebA-HQ-to-CelebA-mapping.txt", Path(partition_file)
    originals = _read_mapping(mapping_file)
    parts = _read_partition(partition_file, set(originals.values()))
    split: dict[str, list[str]] = {part: [] for part in OFFICIAL_COUNTS}
    for name in photos.names:
        if (original := originals.get(int(name))) is None:
            raise ValueError(f"{mapping_file} has no line for photo {name}")
        if original not in parts:
            raise ValueError(f"{partition_file} has no line for {original}, the original of photo {name}")
        split[parts[original]].append(name)
    counts = {part: len(names) for part, names in split.items()}
    if len(photos) == sum(OFFICIAL_COUNTS.values()) and counts != OFFICIAL_COUNTS:
        raise ValueError(
            f"the whole set must split into {OFFICIAL_COUNTS}, got {counts}: {mapping_file.name} or "
            f"{partition_file.name} is not the published one"
        )
    return split


def _read_mapping(path: Path) -> dict[int, str]:
    """{number of a photo: its file in CelebA}, from lines `idx orig_idx orig_file` under a header."""
    originals = {}
    with open(path, encoding="utf-8") as file:
        if (header := next(file, "").split()) != ["idx", "orig_idx", "orig_file"]:
            raise ValueError(f"{path} must begin with the line 'idx orig_idx orig_file', got {' '.join(header)!r}")
        for number, line in enumerate(file, start=2):
            match line.split():
                case [idx, _, original] if idx.isdecimal():
                    originals[int(idx)] = original
                case fields if fields:
                    raise ValueError(f"{path}, line {number}: must be 'idx orig_idx orig_file', got {line.strip()!r}")
    return originals


def _read_partition(path: Path, wanted: set[str]) -> dict[str, str]:
    """{file in CelebA: "train", "validation" or "test"} for the files in `wanted`, from lines `FILE 0|1|2`."""
    codes = dict(zip("012", OFFICIAL_COUNTS))
    parts = {}
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            match line.split():
                case [original, code] if code in codes:
                    if original in wanted:
                        parts[original] = codes[code]
                case fields if fields:
                    raise ValueError(f"{path}, line {number}: must be a file name and 0, 1 or 2, got {line.strip()!r}")
    return parts


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
