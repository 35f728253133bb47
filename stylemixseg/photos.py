"""Photographs of any common kind, read into one form: (H, W, 3) uint8 RGB, upright, of bounded size.

Every conversion on the way is stated in words (`Photo.notes`), and a file that cannot be read says why. Memory is
bounded whatever the file claims: a JPEG is decoded at a half, a quarter or an eighth of its size where that is enough
(Pillow's draft mode), any other format is decoded whole (at most MAX_PIXELS, 4 bytes each in Pillow) and then converted
and reduced in strips, so that no second copy of the whole is made. A progressive JPEG keeps its coefficients beside it,
up to 6 bytes a pixel. Measured on 12,000 x 9,000 pixels: 254 MB for a JPEG (415 MB progressive), 563 MB for a PNG.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

MAX_SIDE = 4096  # px, longer side of what read_photo returns
MAX_PIXELS = 150_000_000  # a file with more is refused before it is decoded (12,000 x 12,000 still goes)
MIN_SIDE = 32  # px, shorter side
MAX_ASPECT = 10  # longer side over shorter side
# By name, so that Pillow never tries a plugin that starts another program (EPS runs Ghostscript).
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")

_STRIP_PIXELS = 4_000_000  # converted at a time


class PhotoError(ValueError):
    """A file or folder that cannot serve as photographs; the message names it and says what would be right."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A photograph as the package uses it.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, upright, MIN_SIDE <= H, W <= MAX_SIDE.
        notes: what was converted while reading, in words and in order; empty when nothing was.
    """

    pixels: np.ndarray
    notes: tuple[str, ...]


def read_photo(path: str | Path) -> Photo:
    """Read a photograph: JPEG, PNG, WebP, TIFF, BMP or GIF (the first frame), told by content and not by suffix.

    Grey, palette, CMYK and 16-bit files become 8-bit RGB, transparency is composed on white, the camera's EXIF
    orientation is applied, and a longer side above MAX_SIDE is reduced to it. Colour profiles are not applied.

    Raises:
        FileNotFoundError: no such file.
        PhotoError: a folder, an empty, unreadable, truncated or broken file, another format, fewer than MIN_SIDE or
            more than MAX_PIXELS pixels, sides beyond MAX_ASPECT to one, or values without a known range (32-bit).
    """
    path = Path(path)
    _check_file(path)
    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            # Pillow warns about size at a limit of its own; MAX_PIXELS stands in its place.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return _decode(path, file)
    except PhotoError:
        raise
    except PermissionError as error:
        raise PhotoError(f"{path} may not be read by this user: allow it (chmod u+r) or copy the file") from error
    except Image.DecompressionBombError as error:
        raise PhotoError(f"{path} has far more than {MAX_PIXELS:,} pixels, the most that is read: "
                         "reduce it first") from error
    except UnidentifiedImageError as error:
        raise PhotoError(f"{path} is no image of a known format ({', '.join(FORMATS)}), it begins with "
                         f"{_first_bytes(path)!r}: save it as JPEG or PNG") from error
    except Exception as error:  # Pillow's readers raise whatever broken bytes lead to, SyntaxError and struct.error too
        raise PhotoError(f"{path} is truncated or broken ({error}): get a whole copy of it") from error


def list_photos(folder: str | Path) -> list[Path]:
    """The image files directly in `folder`, sorted by name: those with one of SUFFIXES, in any case, not hidden.

    Files are not opened; folders inside are not searched.

    Raises:
        FileNotFoundError: no such folder. PhotoError: a file, a folder that may not be read, or one without photos.
    """
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"{folder} does not exist: name a folder of photos")
    if not folder.is_dir():
        raise PhotoError(f"{folder} is a file: name the folder that holds it, or read it with read_photo")
    try:
        entries = sorted(folder.iterdir())
    except PermissionError as error:
        raise PhotoError(f"{folder} may not be read by this user: allow it (chmod u+rx)") from error
    # A link that leads nowhere stays in the list: reading it says so, where leaving it out would hide it.
    photos = [p for p in entries if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and not p.is_dir()]
    if not photos:
        raise PhotoError(f"{folder} holds no photo: {len(entries)} entries, none that ends in {', '.join(SUFFIXES)}")
    return photos


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise PhotoError(f"{path} is a folder: name one photo, or list the folder with list_photos")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: name a photo")
    if not path.is_file():  # a pipe or a device would block or never end
        raise PhotoError(f"{path} is not an ordinary file: name a photo")
    if path.stat().st_size == 0:
        raise PhotoError(f"{path} is empty (0 bytes): get a whole copy of it")


def _first_bytes(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(12)


def _decode(path: Path, file) -> Photo:
    with Image.open(file, formats=FORMATS) as image:
        _check_size(path, image)
        width, height = image.size
        notes = []
        # Pillow drops the low byte of 16-bit colour while it decodes; only the raw mode tells, until then.
        sixteen_bit = ";16" in f"{image.mode} {image.tile}"
        orientation = _orientation(image)
        image.draft(None, (min(width, MAX_SIDE), min(height, MAX_SIDE)))  # only a JPEG obeys
        image.load()
        notes += _mode_notes(path, image, sixteen_bit)
        if getattr(image, "is_animated", False):
            notes.append("first of several frames")
        still_turned = _orientation(image)  # Pillow turns a TIFF itself, and nothing else
        small = _reduced_rgb(image)
        image.close()  # frees the decoded pixels, which leaving the block would not
    small.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    if max(width, height) > MAX_SIDE:
        notes.append(f"reduced from {width} x {height} to {small.width} x {small.height} pixels")
    if orientation != 1:
        notes.append(f"turned upright (EXIF orientation {orientation})")
        small.getexif()[ExifTags.Base.Orientation] = still_turned
        small = ImageOps.exif_transpose(small)
    return Photo(np.array(small), tuple(notes))


def _check_size(path: Path, image: Image.Image) -> None:
    width, height = image.size
    got = f"{path} is {width} x {height} pixels"
    if width * height > MAX_PIXELS:
        raise PhotoError(f"{got}, more than the {MAX_PIXELS:,} that are read: reduce it first")
    if min(width, height) < MIN_SIDE:
        raise PhotoError(f"{got}: each side must have at least {MIN_SIDE}")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise PhotoError(f"{got}: the longer side may be at most {MAX_ASPECT} times the shorter, crop it first")


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8 (1 upright); an unknown value counts as upright."""
    value = image.getexif().get(ExifTags.Base.Orientation, 1)
    return value if value in range(1, 9) else 1


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
        raise PhotoError(f"{path} has pixels of the kind {mode!r}, whose range is not known: save it with 8 or 16 bits "
                         "a channel, grey or RGB")
    if _is_composed(image):
        notes.append("transparency composed on white")
    return notes


def _is_composed(image: Image.Image) -> bool:
    """Whether transparency has to be composed; a 16-bit grey PNG's one transparent value is left as it is."""
    return image.has_transparency_data and not image.mode.startswith("I;16")


def _reduced_rgb(image: Image.Image) -> Image.Image:
    """A decoded image as RGB, averaged over whole pixels towards MAX_SIDE, strip by strip."""
    width, height = image.size
    factor = max(1, max(width, height) // MAX_SIDE)
    rgb = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    rows = max(1, _STRIP_PIXELS // (width * factor)) * factor  # a multiple of factor: strips meet without a seam
    for top in range(0, height, rows):
        strip = _to_rgb(image.crop((0, top, width, min(height, top + rows))))
        rgb.paste(strip.reduce(factor), (0, top // factor))
    return rgb


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if not _is_composed(image):
        return image.convert("RGB")
    white = Image.new("RGB", image.size, "white")
    image = image.convert("RGBA")
    white.paste(image, mask=image)  # the mask is the alpha channel
    return white
