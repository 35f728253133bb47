"""Kinds of image files: which are read as photographs, which need an optional part, and what to do about the others.

By name, so that Pillow never tries a reader that starts another program (EPS runs Ghostscript).
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif",
)  # fmt: skip

# Kinds that need an optional part: their endings, the module that reads them, and how to get it.
_OPTIONAL = {
    "HEIC": ((".heic", ".heif", ".hif"), "pillow_heif", "pip install 'stylemixseg[heif]' reads it"),
    "AVIF": ((".avif",), "PIL._avif", "a Pillow that was built with AVIF reads it (pip install --upgrade pillow)"),
}
# Kinds that are never read.
_OTHERS = {
    "camera RAW": (
        ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".k25", ".kdc", ".mef", ".mos",
        ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
    ),
    "layers or drawing": (".ai", ".cdr", ".eps", ".kra", ".psb", ".psd", ".svg", ".svgz", ".wmf", ".emf", ".xcf"),
    "other image": (
        ".dds", ".exr", ".hdr", ".ico", ".icns", ".j2k", ".jp2", ".jpf", ".jpx", ".jxl", ".jxr", ".pbm", ".pcx", ".pgm",
        ".pnm", ".ppm", ".qoi", ".tga", ".wdp", ".xbm", ".xpm",
    ),
}  # fmt: skip
_NAMED = 3  # files of a kind that are named; of others the number is said


def readable_suffixes() -> tuple[str, ...]:
    """The endings, in small letters, of what can be read with the parts that are installed."""
    optional = (suffixes for kind, (suffixes, *_) in _OPTIONAL.items() if _installed(kind))
    return SUFFIXES + tuple(suffix for suffixes in optional for suffix in suffixes)


def unread_kind(path: Path) -> str | None:
    """What kind of image the ending stands for where it is none that can be read here; None for all other files."""
    suffix = path.suffix.lower()
    missing = {kind: suffixes for kind, (suffixes, *_) in _OPTIONAL.items() if not _installed(kind)}
    return next((kind for kind, suffixes in (missing | _OTHERS).items() if suffix in suffixes), None)


def advice(kind: str) -> str:
    """How a photo of a kind that is not read can be used."""
    return f"{_OPTIONAL[kind][2]}, or save it as JPEG" if kind in _OPTIONAL else "save it as JPEG"


def passed_over(paths: Sequence[Path]) -> str:
    """Which files are left out because of their kind, and what reads them, in one line; empty where there are none."""
    kinds: dict[str, list[str]] = {}
    for path in paths:
        if kind := unread_kind(path):
            kinds.setdefault(kind, []).append(path.name)
    return "; ".join(f"{_listed(names)} ({kind}: {advice(kind)})" for kind, names in kinds.items())


def container_kind(start: bytes) -> str | None:
    """The kind of a container file by its first bytes, its brands (ISO/IEC 14496-12): "HEIC", "AVIF" or None."""
    if start[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(start[:4], "big"), len(start))
    brands = {start[i : i + 4] for i in (8, *range(16, end, 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    return "HEIC" if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"} else None


def formats(kind: str | None) -> tuple[str, ...]:
    """Pillow's names of the readers that are tried on a file of a `container_kind`; empty where its part is missing."""
    if kind is None:
        return FORMATS
    if not _installed(kind):
        return ()
    if kind == "HEIC":
        from pillow_heif import register_heif_opener

        register_heif_opener()
        return ("HEIF",)
    return ("AVIF",)


def _installed(kind: str) -> bool:
    return find_spec(_OPTIONAL[kind][1]) is not None


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
