"""Photographs of any common kind, read into one form: (H, W, 3) uint8 RGB, upright, in all their pixels.

Every conversion on the way is stated in words (`Photo.notes`), and a file that cannot be read says why. Memory is
bounded whatever the file claims: it is decoded whole (at most MAX_PIXELS, 4 bytes each in Pillow) and then converted in
strips, so that beside the decoded image there is only the result (3 bytes a pixel). A progressive JPEG keeps its
coefficients too, up to 6 bytes a pixel, and a HEIC image its own planes. MEASURED
"""

from __future__ import annotations

import io
import os
import re
import stat
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from stylemixseg.photos.kinds import (
    FORMATS,
    SUFFIXES,
    advice,
    container_kind,
    formats,
    passed_over,
    readable_suffixes,
    unread_kind,
)
from stylemixseg.photos.png_metadata import SIGNATURE, without_bad_metadata

MAX_PIXELS = 150_000_000  # a file with more is refused before it is decoded (12,000 x 12,000 still goes)
MIN_SIDE = 32  # px, shorter side
MAX_ASPECT = 10  # longer side over shorter side

_STRIP_PIXELS = 4_000_000  # converted at a time
_MAX_BOXES = 1 << 20  # bytes at the beginning of an AVIF file in which its items are listed
_XMP = ("xmp", "XML:com.adobe.xmp")  # Pillow's names of them in `info`
_BAD_EXIF = "damaged EXIF data left out"

# How an image is turned upright: by EXIF orientation, (H, W, 3) -> (H, W, 3) or (W, H, 3).
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels),
}


class PhotoError(ValueError):
    """A file or folder that cannot serve as photographs; the message names it and says what would be right."""


class PassedOverWarning(UserWarning):
    """Files of a folder look like images and are not read; the message names them and says what reads them."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A photograph as the package uses it.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, upright, all that the file has: MIN_SIDE <= H, W and H W <= MAX_PIXELS.
        notes: what was converted while reading, in words and in order; empty when nothing was.
    """

    pixels: np.ndarray
    notes: tuple[str, ...]


def read_photo(path: str | Path) -> Photo:
    """Read a photograph: JPEG, PNG, WebP, TIFF, BMP or GIF (the first frame), told by content and not by suffix.

    AVIF too where Pillow was built with it, and HEIC with the extra `heif`. Grey, palette, CMYK and 16-bit files become
    8-bit RGB, transparency is composed on white, and the camera's EXIF orientation is applied. Colour profiles are not
    applied, and metadata that are broken or too large are left out: they change no pixel.

    Raises:
        FileNotFoundError: no such file.
        PhotoError: a folder, an empty, unreadable, truncated or broken file, another format, fewer than MIN_SIDE or
            more than MAX_PIXELS pixels, sides beyond MAX_ASPECT to one, or values without a known range (32-bit).
    """
    path = Path(path)
    _check_file(path)
    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            # Pillow warns about size at a limit of its own, and about EXIF; MAX_PIXELS and a note stand in their place.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", "Corrupt EXIF data|Truncated File Read")
            return _decode(path, file)
    except PhotoError:
        raise
    except PermissionError as error:
        raise PhotoError(f"{path} may not be read by this user: allow it (chmod u+r) or copy the file") from error
    except Image.DecompressionBombError as error:
        raise PhotoError(
            f"{path} has far more than {MAX_PIXELS:,} pixels, the most that is read: reduce it first"
        ) from error
    except UnidentifiedImageError as error:
        raise PhotoError(
            f"{path} is no image of a known format ({', '.join(FORMATS)}), it begins with "
            f"{_first_bytes(path)!r}: save it as JPEG or PNG"
        ) from error
    except Exception as error:  # Pillow's readers raise whatever broken bytes lead to, SyntaxError and struct.error too
        raise PhotoError(f"{path} is truncated or broken ({error}): get a whole copy of it") from error


def list_photos(folder: str | Path) -> list[Path]:
    """The photos directly in `folder`, sorted by name: files with one of `readable_suffixes`, in any case, not hidden.

    Files are not opened; folders inside are not searched.

    Raises:
        FileNotFoundError: no such folder.
        PhotoError: a file, a folder that may not be read, or one without photos.

    Warns:
        PassedOverWarning: other images are there too (HEIC without its extra, RAW, PSD, SVG and the like).
    """
    folder = Path(folder)
    if not os.path.exists(folder):
        raise FileNotFoundError(f"{folder} does not exist: name a folder of photos")
    if not os.path.isdir(folder):
        raise PhotoError(f"{folder} is a file: name the folder that holds it, or read it with read_photo")
    try:
        entries = sorted(folder.iterdir())
    except PermissionError as error:
        raise PhotoError(f"{folder} may not be read by this user: allow it (chmod u+rx)") from error
    # A link that leads nowhere, or to where this user may not look, stays in the list: reading it says so, and leaving
    # it out would hide it. os.path.isdir is False there, whereas Path.is_dir raises for the second.
    shown = [path for path in entries if not path.name.startswith(".") and not os.path.isdir(path)]
    photos = [path for path in shown if path.suffix.lower() in readable_suffixes()]
    others = passed_over(shown)
    if not photos:
        raise PhotoError(
            f"{folder} holds no photo: {len(entries)} entries, none that ends in {', '.join(SUFFIXES)}"
            + (f"; not read are {others}" if others else "")
        )
    if others:
        warnings.warn(f"{folder}: passed over {others}", PassedOverWarning, stacklevel=2)
    return photos


def _check_file(path: Path) -> None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(f"{path} does not exist: name a photo") from error
    except PermissionError as error:
        raise PhotoError(
            f"{path} lies, or leads, where this user may not look: allow it (chmod u+x of the folder) or copy the file"
        ) from error
    except OSError as error:  # links that lead in a circle, a network drive that is gone
        raise PhotoError(f"{path} cannot be found ({error.strerror}): copy the file to another place") from error
    if stat.S_ISDIR(found.st_mode):
        raise PhotoError(f"{path} is a folder: name one photo, or list the folder with list_photos")
    if not stat.S_ISREG(found.st_mode):  # a pipe or a device would block or never end
        raise PhotoError(f"{path} is not an ordinary file: name a photo")
    if found.st_size == 0:
        raise PhotoError(f"{path} is empty (0 bytes): get a whole copy of it")


def _first_bytes(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(12)


def _decode(path: Path, file: BinaryIO) -> Photo:
    start = file.read(64)
    file.seek(0)
    kind = container_kind(start)
    allowed = formats(kind)
    if kind is not None and not allowed:
        raise PhotoError(
            f"{path} is {'an' if kind[0] == 'A' else 'a'} {kind} image, which cannot be read here: {advice(kind)}"
        )
    left_out: tuple[str, ...] = ()
    if start.startswith(SIGNATURE):
        file, left_out = without_bad_metadata(file)
    elif kind == "AVIF":
        file = _without_exif(file)
    with Image.open(file, formats=allowed) as image:
        if image.format == "TIFF" and (raw := unread_kind(path)):  # of a RAW file Pillow would read the small preview
            raise PhotoError(f"{path} is of the kind {raw}, which is not read: {advice(raw)}")
        _check_size(path, image)
        # Pillow drops the low byte of 16-bit colour while it decodes; only the raw mode tells, until then.
        sixteen_bit = ";16" in f"{image.mode} {image.tile}"
        orientation, sound = _orientation(image)
        image.load()
        notes = _mode_notes(path, image, sixteen_bit)
        if getattr(image, "is_animated", False):
            notes.append("first of several frames")
        still_turned, _ = _orientation(image)  # Pillow turns a TIFF itself, and nothing else
        pixels = _rgb(image)
        image.close()  # frees the decoded pixels, which leaving the block would not
    if orientation != 1:
        notes.append(f"turned upright (EXIF orientation {orientation})")
    notes += [*left_out] if sound else [*left_out, _BAD_EXIF]
    return Photo(np.ascontiguousarray(_UPRIGHT[still_turned](pixels)), tuple(notes))


def _without_exif(file: BinaryIO) -> BinaryIO:
    """An AVIF file whose EXIF item has a name that nobody reads: its orientation is a property of the image (`irot`).

    Damaged EXIF data make Pillow refuse the whole file. An item is named in a box "infe", near the beginning.
    """
    data = file.read()
    head, rest = data[:_MAX_BOXES], data[_MAX_BOXES:]
    return io.BytesIO(re.sub(rb"(infe[\x02\x03].{3}.{4}(?:.{2})?)Exif", rb"\1none", head, flags=re.DOTALL) + rest)


def _check_size(path: Path, image: Image.Image) -> None:
    width, height = image.size
    got = f"{path} is {width} x {height} pixels"
    if width * height > MAX_PIXELS:
        raise PhotoError(f"{got}, more than the {MAX_PIXELS:,} that are read: reduce it first")
    if min(width, height) < MIN_SIDE:
        raise PhotoError(f"{got}: each side must have at least {MIN_SIDE}")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise PhotoError(f"{got}: the longer side may be at most {MAX_ASPECT} times the shorter, crop it first")


def _orientation(image: Image.Image) -> tuple[int, bool]:
    """EXIF orientation 1..8 (1 upright; an unknown value counts as upright), and whether the EXIF data are sound.

    What stands before the damage still counts, and so does the orientation in XMP metadata.
    """
    sound = True
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            if exif := image.info.get("exif"):
                Image.Exif().load(exif)  # image.getexif fails once only, and may have failed before
            value = image.getexif().get(ExifTags.Base.Orientation, 1)
        except Exception:  # as in read_photo: whatever broken bytes lead to
            sound = False
            without = Image.new("L", (1, 1))
            without.info = {key: text for key, text in image.info.items() if key in _XMP}
            value = without.getexif().get(ExifTags.Base.Orientation, 1)
    return value if value in range(1, 9) else 1, sound and not warned


def _mode_notes(path: Path, image: Image.Image, sixteen_bit: bool) -> list[str]:
    """What turning this image's mode into RGB does, in words; raises where it cannot be done."""
    notes = ["16-bit values scaled to 8 bits"] if sixteen_bit else []
    mode = image.mode
    if mode in ("1", "L", "LA") or mode.startswith("I;16"):
        notes.append("grey converted to RGB")
    elif mode == "P":
        notes.append("palette converted to RGB")
    elif mode in ("CMYK", "YCbCr", "LAB"):
        notes.append(f"{mode} converted to RGB (without its colour profile)")
    elif mode not in ("RGB", "RGBA"):
        raise PhotoError(
            f"{path} has pixels of the kind {mode!r}, whose range is not known: save it with 8 or 16 bits "
            "a channel, grey or RGB"
        )
    if _is_composed(image):
        notes.append("transparency composed on white")
    return notes


def _is_composed(image: Image.Image) -> bool:
    """Whether transparency has to be composed; a 16-bit grey PNG's one transparent value is left as it is."""
    return image.has_transparency_data and not image.mode.startswith("I;16")


def _rgb(image: Image.Image) -> np.ndarray:
    """A decoded image as (H, W, 3) uint8 RGB, converted strip by strip."""
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        pixels[top:bottom] = np.asarray(_to_rgb(image.crop((0, top, width, bottom))))
    return pixels


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if not _is_composed(image):
        return image.convert("RGB")
    white = Image.new("RGB", image.size, "white")
    image = image.convert("RGBA")
    white.paste(image, mask=image)  # the mask is the alpha channel
    return white
