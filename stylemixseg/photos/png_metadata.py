"""A PNG without the metadata that its pixels do not need: large or broken texts must not cost the picture.

A PNG is a list of chunks (https://www.w3.org/TR/png-3/, section 5). Pillow refuses the whole file where a text or a
colour profile is larger than 1 MiB or broken, although none of them changes a pixel. Here the chunks are looked at
before: those that hold pixels pass as they are, texts and EXIF (which may say which way is up) where they are sound,
and nothing else does. The file is not copied: the parts that pass are read from where they stand.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from bisect import bisect_right
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_TEXT = 1 << 20  # bytes of one text, uncompressed; Pillow's limit
MAX_ALL = 8 << 20  # bytes of all texts and EXIF together

_PIXELS = (b"tRNS", b"acTL", b"fcTL", b"fdAT")  # beside the critical ones, whose names begin with a capital
_METADATA = (b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"iCCP")


def without_bad_metadata(file: BinaryIO) -> tuple[BinaryIO, tuple[str, ...]]:
    """A PNG file, opened, as one that reads the same pixels; and what was left out for a fault, in words.

    A file that ends too early, or is none at all from some byte on, passes from there on as it is.
    """
    size = file.seek(0, os.SEEK_END)
    parts, notes, spare, position = [(0, len(SIGNATURE))], [], MAX_ALL, len(SIGNATURE)
    while position < size:
        file.seek(position)
        head = file.read(8)
        length, kind = struct.unpack(">I4s", head) if len(head) == 8 else (size, b"")
        end = position + 12 + length
        if end > size:
            parts.append((position, size))
            break
        passes = not kind[0] & 32 or kind in _PIXELS
        if kind in _METADATA:
            need, fault = _judged(file, kind, length, spare)
            if fault:
                notes.append(f"{kind.decode()} metadata left out: {fault}")
            passes = not fault and kind != b"iCCP"  # colour profiles are not applied
            spare -= need if passes else 0
        if passes:
            parts.append((position, end))
        position = size if kind == b"IEND" else end
    return io.BufferedReader(_Parts(file, parts)), tuple(dict.fromkeys(notes))


def _judged(file: BinaryIO, kind: bytes, length: int, spare: int) -> tuple[int, str]:
    """Bytes that the content of a chunk takes, and what is wrong with it ("": nothing); the file stands before it."""
    limit = min(spare, MAX_ALL if kind == b"eXIf" else MAX_TEXT)
    if length > limit:
        return 0, "too large"
    content = file.read(length)
    if zlib.crc32(kind + content) != int.from_bytes(file.read(4), "big"):
        return 0, "broken"
    try:
        packed = _packed(kind, content)
        if packed is None:
            return length, ""
        inflater = zlib.decompressobj()
        need = len(inflater.decompress(packed, limit + 1))
    except (ValueError, zlib.error):
        return 0, "broken"
    return (need, "") if need <= limit else (0, "too large")


def _packed(kind: bytes, content: bytes) -> bytes | None:
    """The compressed bytes of a text or profile; None where it is not compressed."""
    if kind in (b"eXIf", b"tEXt"):
        return None
    _, rest = content.split(b"\0", 1)  # the keyword
    if kind != b"iTXt":
        return _after_method(rest)
    if rest[:1] == b"\0":
        return None
    packed = _after_method(rest[1:])
    return packed.split(b"\0", 2)[2] if packed.count(b"\0") > 1 else b""  # language and translated keyword


def _after_method(content: bytes) -> bytes:
    if content[:1] != b"\0":  # the only method that there is
        raise ValueError("unknown compression")
    return content[1:]


class _Parts(io.RawIOBase):
    """Parts (start, end) of an opened file, one after the other, as a file of its own."""

    def __init__(self, file: BinaryIO, parts: list[tuple[int, int]]):
        self._file, self._parts, self._position = file, parts, 0
        self._begins = [0]  # of each part in this file, and the end
        for start, end in parts:
            self._begins.append(self._begins[-1] + end - start)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._begins[-1]}[whence]
        return self._position

    def readinto(self, buffer) -> int:
        if self._position >= self._begins[-1]:
            return 0
        index = bisect_right(self._begins, self._position) - 1
        inside = self._position - self._begins[index]
        start, end = self._parts[index]
        self._file.seek(start + inside)
        view = memoryview(buffer)
        data = self._file.read(min(len(view), end - start - inside))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)
