"""COCO's format for instances, masks as compressed run lengths, for detectors and Mask R-CNN's kin."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, TextIO

import numpy as np

from stylemixseg._util.optional import extra
from stylemixseg.factory.formats.base import key_of
from stylemixseg.factory.recipe import IGNORE
from stylemixseg.factory.sample import Sample

with extra("formats", "The format 'coco' needs pycocotools"):
    from pycocotools import mask as run_lengths


class FormatWriter:
    """`images/*.png` and `annotations.json`, whose parts are written as they come, since a large set fits no memory."""

    data_files: ClassVar[str | None] = None
    description: ClassVar[str] = """\
One PNG file per image in `images`, and `annotations.json` (https://cocodataset.org/#format-data). Of whole images every
label but the background is one annotation per image; sets of objects have one annotation per object. Foreground is what
has a confidence of one half or more; of named parts, pixels to be ignored are in no annotation.

```python
from pycocotools.coco import COCO

coco = COCO("annotations.json")
mask = coco.annToMask(coco.anns[1])
```"""

    def __init__(self, folder: Path, labels: Sequence[str]):
        self._folder, self._labels = folder, labels
        (folder / "images").mkdir()
        self._images = (folder / ".images").open("w+", encoding="utf-8")
        self._annotations = (folder / ".annotations").open("w+", encoding="utf-8")
        self._image_id = self._annotation_id = 0

    def add(self, sample: Sample) -> list[Path]:
        """Write one sample; gives its image."""
        self._image_id += 1
        name = f"{key_of(sample)}.png"
        path = self._folder / "images" / name
        path.write_bytes(sample.files["image.png"])
        height, width = sample.pixels("mask.png").shape
        image = {"id": self._image_id, "file_name": name, "height": height, "width": width, "seed": sample.seed}
        self._images.write(json.dumps(image) + "\n")
        for label, mask, more in self._masks(sample):
            self._annotation_id += 1
            encoded = run_lengths.encode(np.asfortranarray(mask.astype(np.uint8)))
            annotation = {
                "id": self._annotation_id,
                "image_id": self._image_id,
                "category_id": label,
                "bbox": run_lengths.toBbox(encoded).tolist(),
                "area": int(mask.sum()),
                "segmentation": {"size": encoded["size"], "counts": encoded["counts"].decode("ascii")},
                "iscrowd": 0,
                **more,
            }
            self._annotations.write(json.dumps(annotation) + "\n")
        return [path]

    def _masks(self, sample: Sample) -> Iterator[tuple[int, np.ndarray, dict[str, Any]]]:
        """Label, mask (H, W) bool and further entries of every annotation of a sample."""
        if "objects" in sample.record:
            instance = sample.pixels("instance.png")
            for item in sample.record["objects"]:
                label = self._labels.index(item["phrase"])
                yield label, instance == item["number"], {"score": item["score"]}
            return
        found = sample.pixels("mask.png")
        if len(self._labels) == 2:  # nothing but foreground: the soft mask knows the pixels to be ignored, too
            found = sample.pixels("soft.png") > 127
        for label in range(1, len(self._labels)):
            if label != IGNORE and (found == label).any():
                yield label, found == label, {}

    def close(self) -> list[Path]:
        """Put the parts together; gives the annotations."""
        categories = [{"id": label, "name": name} for label, name in enumerate(self._labels) if label]
        path = self._folder / "annotations.json"
        with path.open("w", encoding="utf-8") as file:
            file.write(f'{{"categories": {json.dumps(categories)},\n"images": [\n')
            _append(self._images, file)
            file.write('],\n"annotations": [\n')
            _append(self._annotations, file)
            file.write("]}\n")
        for name in (".images", ".annotations"):
            (self._folder / name).unlink()
        return [path]


def _append(part: TextIO, file: TextIO) -> None:
    """The lines of a part, joined by commas; the part is closed."""
    part.seek(0)
    for number, line in enumerate(part):
        file.write(f"{',' if number else ''}{line}")
    part.close()
