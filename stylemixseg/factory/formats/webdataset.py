"""Shards for `webdataset`: tar files that are read from front to back, over a network too."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from stylemixseg._util.optional import extra
from stylemixseg.factory.formats.base import key_of
from stylemixseg.factory.sample import Sample

with extra("formats", "The format 'webdataset' needs webdataset"):
    from webdataset import TarWriter

_PER_SHARD = 1000  # samples: about 100 MB at 256 px


class FormatWriter:
    """`shard-000000.tar` and so on, each with a thousand samples."""

    data_files: ClassVar[str | None] = "shard-*.tar"
    description: ClassVar[str] = """\
Tar files with a thousand samples each: per sample `KEY.image.png`, `KEY.mask.png` (the value of a pixel is its label,
255 is to be ignored), `KEY.soft.png` or, of objects, `KEY.instance.png`, of sets that a judge made `KEY.rule.png` (the
mask of the paper's rule), and `KEY.json`.

```python
import webdataset as wds

pairs = wds.WebDataset("shard-000000.tar", shardshuffle=False).decode("pil").to_tuple("image.png", "mask.png")
```"""

    def __init__(self, folder: Path, labels: Sequence[str]):
        self._folder = folder
        self._path = folder
        self._tar: TarWriter | None = None
        self._count = 0

    def add(self, sample: Sample) -> list[Path]:
        """Write one sample; gives the shard before, where a new one begins."""
        whole = []
        if self._count % _PER_SHARD == 0:
            whole = self.close()
            # Without the time and the user, so that equal samples give equal shards.
            self._path = self._folder / f"shard-{self._count // _PER_SHARD:06d}.tar"
            self._tar = TarWriter(str(self._path), encoder=False, mtime=0, user="", group="")
        assert self._tar is not None
        record = json.dumps(sample.record).encode()
        self._tar.write({"__key__": key_of(sample), **sample.files, "json": record})
        self._count += 1
        return whole

    def close(self) -> list[Path]:
        """End the last shard; gives it."""
        if self._tar is None:
            return []
        self._tar.close()
        self._tar = None
        return [self._path]
