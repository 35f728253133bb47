"""PNG files written by hand, with what no library would write."""

from __future__ import annotations

import struct
import zlib

import numpy as np


def png_bytes(array: np.ndarray, size: tuple[int, int] | None = None) -> bytes:
    """A PNG by hand: (H, W) or (H, W, 3), uint8 or uint16; `size` writes another (H, W) into the header."""
    height, width = size or array.shape[:2]
    rows = array.astype(">u2" if array.dtype == np.uint16 else "u1").reshape(len(array), -1)
    header = struct.pack(">IIBBBBB", width, height, 8 * array.dtype.itemsize, 2 if array.ndim == 3 else 0, 0, 0, 0)
    lines = b"".join(b"\0" + row.tobytes() for row in rows)  # 0: this row is not filtered
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
