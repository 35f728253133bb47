"""Pictures and records as files, each whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stylemixseg._util.paths import atomic_write

PNG_LEVEL = 2  # of compression: files a tenth larger than at the usual 6, in a third of the time; photos may be large


def write_picture(path: Path, picture: np.ndarray | Image.Image) -> None:
    """Write a PNG, whole or not at all."""
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    with atomic_write(path) as temporary:
        picture.save(temporary, "PNG", compress_level=PNG_LEVEL)


def record_bytes(record: Mapping[str, Any]) -> bytes:
    """A record as a JSON file holds it."""
    return (json.dumps(dict(record), indent=1) + "\n").encode()


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(record_bytes(record))
