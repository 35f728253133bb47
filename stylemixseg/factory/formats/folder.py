"""Folders of images and of label maps, as mmsegmentation's `BaseSegDataset` and simple loaders read them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from stylemixseg.factory.formats.base import key_of
from stylemixseg.factory.sample import Sample

_FOLDERS = {
    "image.png": "img_dir",
    "mask.png": "ann_dir",
    "soft.png": "soft_dir",
    "rule.png": "rule_dir",
    "instance.png": "instance_dir",
}


class FormatWriter:
    """`img_dir/train/*.png` and, under the same names, `ann_dir/train/*.png`; soft masks or instances beside them."""

    data_files: ClassVar[str | None] = None
    description: ClassVar[str] = """\
One PNG file per image in `img_dir/train`, and under the same name its label map in `ann_dir/train` (8 bits; the value
of a pixel is its label, 255 is to be ignored). mmsegmentation reads it with

```python
data_prefix = dict(img_path="img_dir/train", seg_map_path="ann_dir/train")
img_suffix, seg_map_suffix, reduce_zero_label, ignore_index = ".png", ".png", False, 255
```

`soft_dir/train` holds the confidence of foreground times 255, `rule_dir/train` of sets that a judge made the masks of
the paper's rule (0 or 255); sets of objects have `instance_dir/train` (16 bits) instead."""

    def __init__(self, folder: Path, labels: Sequence[str]):
        self._folder = folder
        (folder / "classes.txt").write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")

    def add(self, sample: Sample) -> list[Path]:
        """Write one sample; gives its files."""
        written = []
        for name, data in sample.files.items():
            path = self._folder / _FOLDERS[name] / "train" / f"{key_of(sample)}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            written.append(path)
        return written

    def close(self) -> list[Path]:
        """Nothing is left but the names of the labels."""
        return [self._folder / "classes.txt"]
