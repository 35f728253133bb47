"""Parquet files that Hugging Face's `datasets` opens, with images as images and the record in columns."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from stylemixseg._util.optional import extra
from stylemixseg._util.quiet import HUB_TELEMETRY
from stylemixseg.factory.formats.base import key_of
from stylemixseg.factory.sample import Sample

os.environ.setdefault(HUB_TELEMETRY, "1")
with extra("formats", "The format 'parquet' needs pyarrow and datasets"):
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Features, Image, Value

_PER_GROUP = 100  # samples that are kept in memory until they are written together
_PER_FILE = 2000  # samples: about 200 MB at 256 px
_TYPES = {int: "int64", float: "float64"}
_OBJECT = {"number": Value("int64"), "phrase": Value("string"), "score": Value("float64"), "bbox": [Value("int64")]}


class FormatWriter:
    """`data/train-00000.parquet` and so on, each with two thousand samples."""

    data_files: ClassVar[str | None] = "data/train-*.parquet"
    description: ClassVar[str] = """\
One row per sample: `image`, `mask` (the value of a pixel is its label, 255 is to be ignored), `soft` (confidence of
foreground times 255) or, of objects, `instance` and `objects`, in sets that a judge made `rule` (the mask of the
paper's rule), and what was measured.

```python
from datasets import load_dataset

pairs = load_dataset("FOLDER", split="train")  # this folder, or its name on the hub
pairs[0]["image"], pairs[0]["mask"]  # PIL images
```"""

    def __init__(self, folder: Path, labels: Sequence[str]):
        self._folder = folder / "data"
        self._folder.mkdir()
        self._path = self._folder
        self._file: pq.ParquetWriter | None = None
        self._schema: pa.Schema | None = None
        self._rows: list[dict[str, Any]] = []
        self._count = 0

    def add(self, sample: Sample) -> list[Path]:
        """Write one sample, or keep it until there are more; gives the file that this one completes."""
        pictures = {name.removesuffix(".png"): data for name, data in sample.files.items()}
        if self._schema is None:
            features = {name: Image() for name in pictures}
            features |= {name: _feature(value) for name, value in sample.record.items()}
            self._schema = Features(features).arrow_schema  # which tells `datasets` that images are images
        key = key_of(sample)
        row = {name: {"bytes": data, "path": f"{key}.{name}.png"} for name, data in pictures.items()}
        self._rows.append({**row, **sample.record})
        self._count += 1
        if len(self._rows) == _PER_GROUP:
            self._write()
        return self.close() if self._count % _PER_FILE == 0 else []

    def close(self) -> list[Path]:
        """Write the samples that are left and end the file; gives it."""
        if self._rows:
            self._write()
        if self._file is None:
            return []
        self._file.close()
        self._file = None
        return [self._path]

    def _write(self) -> None:
        if self._file is None:
            self._path = self._folder / f"train-{(self._count - 1) // _PER_FILE:05d}.parquet"
            self._file = pq.ParquetWriter(self._path, self._schema)
        self._file.write_table(pa.Table.from_pylist(self._rows, self._schema))
        self._rows = []


def _feature(value: Any) -> Any:
    """The feature of a value of the record: a number, or the list of objects."""
    return [_OBJECT] if isinstance(value, list) else Value(_TYPES[type(value)])
