"""Boxes that are known already: the toy world's exact ones, or those of a file. No network, no search."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from stylemixseg._util.checks import check_real
from stylemixseg.generators.toyworld.world import ToyTruth
from stylemixseg.objects.detection.base import Detection
from stylemixseg.objects.detection.filtering import check_size
from stylemixseg.objects.detection.phrases import assign_labels

MAX_BYTES = 32 << 20  # COCO's instances_val2017.json has 20 MB
MAX_BOXES = 10_000  # of one image
MAX_PIXELS = 1e9  # of a coordinate; whole numbers in JSON may be larger than any float
MAX_AMOUNT = 0.4  # of `jittered`: the sides of a box cannot meet


@dataclass(frozen=True)
class KnownBoxes:
    """A detector that answers with boxes that it was given, whatever the image.

    Called with an image and phrases, it returns the boxes whose label a phrase matches, with the phrase for their label
    (see `phrases.assign_labels`). Boxes that reach out of the image stay so: that is the filter's business.

    Attributes:
        detections: the boxes with their own labels.
        name: short name, for records.

    Examples:
        >>> boxes = KnownBoxes((Detection((0, 0, 20, 20), "couch"), Detection((30, 0, 40, 20), "lamp")))
        >>> boxes(np.zeros((64, 64, 3), np.uint8), ["sofa"])
        [Detection(box=(0.0, 0.0, 20.0, 20.0), label='sofa', score=1.0)]
    """

    detections: tuple[Detection, ...]
    name: str = "known"

    def __post_init__(self) -> None:
        object.__setattr__(self, "detections", tuple(self.detections))
        for item in self.detections:
            if not isinstance(item, Detection):
                raise TypeError(f"detections must hold Detection objects, got {item!r:.80}")

    @classmethod
    def from_toy(cls, truth: ToyTruth) -> KnownBoxes:
        """The exact boxes of the things of a toy world's image, score 1."""
        return cls(tuple(Detection((b.x0, b.y0, b.x1, b.y1), b.label) for b in truth.boxes), "toy truth")

    @classmethod
    def read(cls, path: str | Path, image_name: str | int | None = None) -> KnownBoxes:
        """Boxes of one image from a JSON file of at most MAX_BYTES, in one of two layouts.

        * `[{"box": [x0, y0, x1, y1], "label": "sofa", "score": 0.9}, ...]`, pixels, the score may be missing (then 1);
          or the same list as `{"boxes": [...]}`;
        * COCO's (https://cocodataset.org/#format-data): `images`, `annotations` with `bbox` [x, y, width, height] and
          `category_id`, `categories`. Annotations of crowds (`iscrowd`) are left out: their box is not one object's.

        Args:
            path: the file.
            image_name: for COCO, the image's file name or id; None if the file has one image only.

        Raises:
            FileNotFoundError: no such file.
            ValueError: it is too large, no JSON, has NaN in it, is of another layout, lacks the image or holds a bad
                box; the message names file, entry and what would be right.
        """
        path = Path(path)
        content = _load(path)
        if isinstance(content, dict) and "annotations" in content:
            return cls(_coco(path, content, image_name), path.name)
        entries = content.get("boxes") if isinstance(content, dict) else content
        if not isinstance(entries, list):
            raise ValueError(
                f'{path} must hold a list of {{"box": [x0, y0, x1, y1], "label": ...}}, the same under "boxes", or a '
                f'COCO file with "images", "annotations" and "categories", got {_described(content)}'
            )
        if image_name is not None:
            raise ValueError(f"image_name is for COCO files, but {path} has the boxes of one image, got {image_name!r}")
        _check_count(path, len(entries))
        return cls(tuple(_entry(f"{path}: boxes[{i}]", entry) for i, entry in enumerate(entries)), path.name)

    def __call__(self, image: np.ndarray, phrases: Sequence[str]) -> list[Detection]:
        """The boxes that the phrases ask for, in their given order; the image is not looked at."""
        if isinstance(phrases, str):
            raise TypeError(f"phrases must be a sequence of texts, got the text {phrases!r}: use parse_phrases")
        assigned = assign_labels((item.label for item in self.detections), phrases)
        return [replace(item, label=assigned[item.label]) for item in self.detections if item.label in assigned]


def jittered(
    detections: Sequence[Detection], amount: float, rng: np.random.Generator, size: tuple[int, int]
) -> list[Detection]:
    """Boxes that are a little wrong: how much does the masking depend on the detector?

    Each box is clipped to the image; then its four sides are moved, each by its own uniform amount within +-amount of
    the box's width (left and right) or height (top and bottom), and kept in the image. Labels and scores stay.

    Args:
        detections: boxes that show in the image at least in part.
        amount: share in 0..MAX_AMOUNT, 0.1 for 10 %.
        rng: source of the moves; equal states give equal boxes.
        size: (H, W) of the image in pixels.

    Raises:
        TypeError, ValueError: an argument that does not fit, or a box wholly outside the image.
    """
    check_real("amount", amount, 0, MAX_AMOUNT)
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator, got {type(rng).__name__}")
    height, width = check_size(size)
    border = np.array([width, height, width, height])
    boxes = np.array([item.box for item in detections]).reshape(-1, 4).clip(0, border)  # (N, 4)
    sides = boxes[:, 2:] - boxes[:, :2]  # (N, 2) width and height
    if outside := np.flatnonzero((sides <= 0).any(axis=1)).tolist():
        raise ValueError(
            f"detections must show in the image of {width} x {height} pixels, got {detections[outside[0]].box}"
        )
    moves = rng.uniform(-amount, amount, boxes.shape) * np.tile(sides, 2)
    moved = (boxes + moves).clip(0, border)
    return [replace(item, box=tuple(box)) for item, box in zip(detections, moved.tolist())]


def _load(path: Path) -> object:
    with open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"{path} must have at most {MAX_BYTES >> 20} MB: take the boxes of fewer images")
    try:
        return json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be a JSON file: {error}") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")


def _entry(where: str, entry: object) -> Detection:
    if not isinstance(entry, dict) or not {"box", "label"} <= entry.keys():
        raise ValueError(f'{where} must have "box" [x0, y0, x1, y1] and "label", got {_described(entry)}')
    return _detection(where, entry["box"], entry["label"], entry.get("score", 1.0))


def _coco(path: Path, content: dict, image_name: str | int | None) -> tuple[Detection, ...]:
    images = _by_id(path, content, "images", "file_name")
    categories = _by_id(path, content, "categories", "name")
    annotations = content["annotations"]
    if not isinstance(annotations, list):
        raise ValueError(f"{path}: annotations must be a list, got {_described(annotations)}")
    image = _chosen_image(path, images, image_name)
    detections: list[Detection] = []
    for i, entry in enumerate(annotations):
        where = f"{path}: annotations[{i}]"
        if not isinstance(entry, dict) or not {"image_id", "category_id", "bbox"} <= entry.keys():
            raise ValueError(f'{where} must have "image_id", "category_id" and "bbox", got {_described(entry)}')
        if entry["image_id"] != image or entry.get("iscrowd"):
            continue
        _check_count(path, len(detections) + 1)
        category, box = entry["category_id"], entry["bbox"]
        if not _is_id(category) or category not in categories:
            raise ValueError(f"{where}: category_id must be the id of one of the categories, got {category!r:.80}")
        if not isinstance(box, list) or len(box) != 4 or not all(map(_is_pixels, box)):
            raise ValueError(f"{where}: bbox must be four numbers of pixels [x, y, width, height], got {box!r:.80}")
        x, y, width, height = box
        if width <= 0 or height <= 0:
            raise ValueError(f"{where}: bbox must be [x, y, width, height] with an area, got {box}")
        corners = (x, y, x + width, y + height)
        detections.append(_detection(where, corners, categories[category], entry.get("score", 1.0)))
    return tuple(detections)


def _by_id(path: Path, content: dict, key: str, field: str) -> dict[str | int, str]:
    """The texts in `field` of COCO's images or categories, by id."""
    entries = content.get(key)
    if not isinstance(entries, list):
        raise ValueError(f'{path} must have a list "{key}" beside "annotations", got {_described(entries)}')
    found: dict[str | int, str] = {}
    for i, entry in enumerate(entries):
        if not isinstance(entry, dict) or not _is_id(entry.get("id")) or not isinstance(entry.get(field), str):
            raise ValueError(f'{path}: {key}[{i}] must have an "id" and a text "{field}", got {_described(entry)}')
        if entry["id"] in found:
            raise ValueError(f"{path}: {key}[{i}] must have an id of its own, got {entry['id']!r} a second time")
        found[entry["id"]] = entry[field]
    return found


def _chosen_image(path: Path, images: dict[str | int, str], image_name: str | int | None) -> str | int:
    """The id of the image: by id, by file name, or the only one."""
    if image_name is None:
        chosen = list(images)
    elif image_name in images:
        return image_name
    else:
        chosen = [number for number, name in images.items() if image_name in (name, Path(name).name)]
    if len(chosen) != 1:
        some = ", ".join(f"{name!r} (id {number!r})" for number, name in list(images.items())[:5])
        raise ValueError(f"image_name must name one image of {path} ({len(images)}: {some}), got {image_name!r}")
    return chosen[0]


def _detection(where: str, box: Any, label: Any, score: Any) -> Detection:  # which `Detection` checks
    try:
        return Detection(box, label, score)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{where}: {error}") from error


def _check_count(path: Path, count: int) -> None:
    if count > MAX_BOXES:
        raise ValueError(f"{path} must have at most {MAX_BOXES} boxes for an image, got more")


def _is_id(value: object) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _is_pixels(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return value <= MAX_PIXELS and not value < -MAX_PIXELS  # False for NaN


def _described(value: object) -> str:
    """What a JSON value is, in a few words."""
    if isinstance(value, dict):
        return f"an object with {', '.join(map(repr, list(value)[:8])) or 'nothing in it'}"
    return "nothing" if value is None else f"{type(value).__name__} {value!r:.40}"
