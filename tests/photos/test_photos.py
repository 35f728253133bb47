"""Photographs of every kind become RGB or a clear error; memory stays bounded."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import warnings
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from handmade_png import png_bytes
from PIL import Image

from stylemixseg.photos import kinds as photokinds
from stylemixseg.photos import reading as photos
from stylemixseg.photos.reading import PassedOverWarning, PhotoError, list_photos, read_photo

SIZE = (40, 60)  # (H, W)


@pytest.fixture
def colours() -> np.ndarray:
    """(40, 60, 3) uint8, smooth, and different at every corner."""
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    return np.stack([4 * x, 6 * y, 255 - 2 * x - 3 * y], axis=-1).astype(np.uint8)


def refused(path: Path, *words: str) -> None:
    """Reading `path` raises a PhotoError that names the file and says each of `words`."""
    with pytest.raises(PhotoError) as caught:
        read_photo(path)
    for word in (str(path), *words):
        assert word in str(caught.value)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp"])
def test_lossless_formats_come_back_as_they_were(tmp_path, colours, suffix):
    path = tmp_path / f"photo{suffix}"
    Image.fromarray(colours).save(path, **({"lossless": True} if suffix == ".webp" else {}))
    photo = read_photo(str(path))
    np.testing.assert_array_equal(photo.pixels, colours)
    assert photo.pixels.dtype == np.uint8 and photo.pixels.flags.writeable
    assert photo.notes == ()


def test_jpeg_is_told_by_content_not_by_suffix(tmp_path, colours):
    path = tmp_path / "photo.txt"
    Image.fromarray(colours).save(path, format="JPEG", quality=98, subsampling=0)
    photo = read_photo(path)
    assert np.abs(photo.pixels.astype(int) - colours).mean() < 2
    assert photo.notes == ()


def test_grey_and_black_and_white(tmp_path, colours):
    grey = colours[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey > 99).save(tmp_path / "bits.png")
    photo = read_photo(tmp_path / "grey.png")
    np.testing.assert_array_equal(photo.pixels, np.repeat(grey[..., None], 3, axis=2))
    assert photo.notes == ("grey converted to RGB",)
    np.testing.assert_array_equal(read_photo(tmp_path / "bits.png").pixels[..., 1], np.where(grey > 99, 255, 0))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_scaled_to_eight(tmp_path, colours, channels, suffix):
    values = (colours if channels == 3 else colours[..., 0]).astype(np.uint16) * 256 + 100
    path = tmp_path / f"deep{suffix}"
    if suffix == ".png":
        path.write_bytes(png_bytes(values))
    else:
        pytest.importorskip("tifffile", reason="tifffile writes 16-bit TIFF").imwrite(path, values)
    photo = read_photo(path)
    expected = np.broadcast_to((values / 257.0).reshape(*SIZE, channels), (*SIZE, 3))
    assert np.abs(photo.pixels - expected).max() <= 1
    assert photo.notes[0] == "16-bit values scaled to 8 bits"


def test_transparency_is_composed_on_white(tmp_path, colours):
    alpha = np.linspace(0, 255, SIZE[0] * SIZE[1]).reshape(*SIZE).astype(np.uint8)
    Image.fromarray(np.dstack([colours, alpha])).save(tmp_path / "rgba.png")
    photo = read_photo(tmp_path / "rgba.png")
    a = alpha[..., None] / 255
    assert np.abs(photo.pixels - (colours * a + 255 * (1 - a))).max() <= 1
    assert photo.notes == ("transparency composed on white",)
    Image.fromarray(np.dstack([colours[..., 0], alpha])).save(tmp_path / "la.png")
    assert read_photo(tmp_path / "la.png").notes == ("grey converted to RGB", "transparency composed on white")


def test_palette_with_and_without_transparency(tmp_path):
    indices = np.zeros(SIZE, np.uint8)
    indices[:, 30:] = 1
    image = Image.fromarray(indices)
    image.putpalette([200, 10, 20, 30, 140, 50])
    image.save(tmp_path / "palette.png")
    image.save(tmp_path / "palette.gif", transparency=1)
    photo = read_photo(tmp_path / "palette.png")
    assert photo.pixels[0, 0].tolist() == [200, 10, 20] and photo.pixels[0, 59].tolist() == [30, 140, 50]
    assert photo.notes == ("palette converted to RGB",)
    photo = read_photo(tmp_path / "palette.gif")
    assert photo.pixels[0, 0].tolist() == [200, 10, 20] and photo.pixels[0, 59].tolist() == [255, 255, 255]


def test_cmyk(tmp_path):
    Image.new("CMYK", SIZE[::-1], (0, 255, 255, 0)).save(tmp_path / "ink.jpg", quality=95)
    photo = read_photo(tmp_path / "ink.jpg")
    assert np.abs(photo.pixels.astype(int) - (255, 0, 0)).max() < 10  # no cyan, all magenta and yellow: red
    assert "CMYK converted to RGB" in photo.notes[0]


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", SIZE[::-1], colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    photo = read_photo(tmp_path / "moving.gif")
    assert photo.pixels[5, 5].tolist() == [255, 0, 0]
    assert "first of several frames" in photo.notes


UPRIGHT = {  # what EXIF 2.3 (tag 274) asks of a viewer
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_exif_orientation_is_applied_once(tmp_path, colours, orientation, suffix):
    image = Image.fromarray(colours)
    exif = image.getexif()
    exif[274] = orientation
    image.save(tmp_path / f"turned{suffix}", exif=exif)
    photo = read_photo(tmp_path / f"turned{suffix}")
    np.testing.assert_array_equal(photo.pixels, UPRIGHT[orientation](colours))
    assert photo.notes == (() if orientation == 1 else (f"turned upright (EXIF orientation {orientation})",))


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_every_pixel_is_kept_over_several_strips(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(photos, "_STRIP_PIXELS", 7000)
    y, x = np.mgrid[0:300, 0:5000]
    smooth = np.stack([128 + 100 * np.sin(x / 60), 128 + 100 * np.cos(y / 50), 0.04 * x], axis=-1).astype(np.uint8)
    smooth = smooth[:, :2900]
    Image.fromarray(smooth).save(tmp_path / f"big{suffix}", quality=98, subsampling=0)
    photo = read_photo(tmp_path / f"big{suffix}")
    assert photo.pixels.shape == smooth.shape and photo.notes == ()
    assert np.abs(photo.pixels.astype(int) - smooth).max() <= (4 if suffix == ".jpg" else 0)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc (Linux)")
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_memory_for_12000_x_9000_pixels(tmp_path, suffix):
    """4 bytes a pixel in Pillow (1 of a palette) and 3 of the result, 309 MB more; strips take the rest."""
    path = tmp_path / f"huge{suffix}"
    huge = Image.new("RGB", (12000, 9000), (200, 100, 50)) if suffix == ".jpg" else Image.new("P", (12000, 9000))
    if huge.mode == "P":
        huge.putpalette([200, 100, 50])
    huge.save(path, compress_level=1)
    code = """
import sys
from stylemixseg.photos.reading import read_photo
def status(key):
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith(key))
before = status("VmRSS")
photo = read_photo(sys.argv[1])
assert photo.pixels.shape == (9000, 12000, 3) and abs(photo.pixels[99, 99].astype(int) - (200, 100, 50)).max() < 4
print(status("VmHWM") - before)
"""
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    whole = 12000 * 9000 * (7 if suffix == ".jpg" else 4) / 2**20
    assert 0.9 * whole < float(done.stdout) < whole + 120


def test_more_pixels_than_the_limit_are_refused_before_decoding(tmp_path):
    path = tmp_path / "bomb.png"
    for height, width in ((13_000, 12_000), (100_000, 100_000)):  # under and over Pillow's own limit
        path.write_bytes(png_bytes(np.zeros((1, 1), np.uint8), size=(height, width)))
        with warnings.catch_warnings(record=True) as warned:
            refused(path, "more than", "150,000,000", "reduce it first")
        assert warned == []


def test_refused_shapes(tmp_path):
    Image.new("RGB", (31, 400)).save(tmp_path / "narrow.png")
    Image.new("RGB", (400, 39)).save(tmp_path / "wide.png")
    refused(tmp_path / "narrow.png", "31 x 400", "at least 32")
    refused(tmp_path / "wide.png", "400 x 39", "at most 10 times")
    Image.new("RGB", (390, 39)).save(tmp_path / "wide.png")
    assert read_photo(tmp_path / "wide.png").pixels.shape == (39, 390, 3)


def test_refused_contents(tmp_path, colours):
    with pytest.raises(FileNotFoundError, match="missing.jpg does not exist"):
        read_photo(tmp_path / "missing.jpg")
    refused(tmp_path, "is a folder", "list_photos")
    (tmp_path / "empty.jpg").touch()
    refused(tmp_path / "empty.jpg", "is empty")
    (tmp_path / "letter.jpg").write_text("Dear reader, this is no photo.")
    refused(tmp_path / "letter.jpg", "no image of a known format", "Dear reader", "save it as JPEG or PNG")
    for name in ("drawing.eps", "icon.ico"):  # Pillow could open these: the first by starting another program
        Image.fromarray(colours).save(tmp_path / name)
        refused(tmp_path / name, "no image of a known format", "JPEG, PNG")
    Image.fromarray(np.full(SIZE, 0.5, np.float32)).save(tmp_path / "float.tif")
    refused(tmp_path / "float.tif", "'F'", "8 or 16 bits")


def test_unreadable_files(tmp_path, colours, monkeypatch):
    path = tmp_path / "secret.png"
    Image.fromarray(colours).save(path)

    def deny(*_):  # root may read anything, so permissions alone test nothing there
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", deny)
    refused(path, "may not be read by this user")
    monkeypatch.setattr(Path, "iterdir", deny)
    with pytest.raises(PhotoError, match="may not be read by this user"):
        list_photos(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    refused(tmp_path / "pipe.jpg", "not an ordinary file")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".bmp", ".gif"])
def test_truncated_files_are_refused(tmp_path, colours, suffix):
    noisy = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    Image.fromarray(noisy).save(tmp_path / f"whole{suffix}")
    data = (tmp_path / f"whole{suffix}").read_bytes()
    path = tmp_path / f"part{suffix}"
    for part in (0.9, 0.5, 0.2):
        path.write_bytes(data[: int(part * len(data))])
        refused(path)
    path.write_bytes(data[: len(data) // 2])
    refused(path, "truncated or broken", "whole copy")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".gif"])
def test_damaged_files_give_a_photo_or_a_photo_error(tmp_path, colours, suffix):
    Image.fromarray(colours).save(tmp_path / f"whole{suffix}")
    data = np.frombuffer((tmp_path / f"whole{suffix}").read_bytes(), np.uint8)
    path = tmp_path / f"damaged{suffix}"
    random = np.random.default_rng(1)
    errors, compared = [], 0
    for _ in range(60):
        damaged = data.copy()
        damaged[random.integers(0, len(data), 4)] = random.integers(0, 256, 4)
        path.write_bytes(damaged.tobytes())
        try:
            photo = read_photo(path)
        except PhotoError as error:
            errors.append(str(error))
            continue
        with Image.open(path) as image:  # what was not damaged too much to be read is what Pillow makes of it
            try:
                upright = image.getexif().get(0x0112, 1) == 1
                pillow = np.asarray(image.convert("RGB"))
            except OSError:  # it stops at metadata that we leave out
                continue
            if image.mode in ("RGB", "L", "P") and "transparency" not in image.info and upright:
                np.testing.assert_array_equal(photo.pixels, pillow)
                compared += 1
    assert errors and all(str(path) in words for words in errors)
    assert compared > 0 or suffix == ".png"  # every byte of a PNG is under a check sum


def test_list_photos(tmp_path):
    for name in ("b.JPG", "a.png", "c.tiff", ".hidden.jpg", "notes.txt", "mask.npy"):
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "d.webp").symlink_to(tmp_path / "nowhere")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is passed over
        listed = list_photos(tmp_path)
    assert [p.name for p in listed] == ["a.png", "b.JPG", "c.tiff", "d.webp"]
    assert [p.name for p in list_photos(str(tmp_path))] == ["a.png", "b.JPG", "c.tiff", "d.webp"]
    with pytest.raises(PhotoError, match="folder.jpg holds no photo: 0 entries"):
        list_photos(tmp_path / "folder.jpg")
    with pytest.raises(FileNotFoundError, match="none does not exist"):
        list_photos(tmp_path / "none")
    with pytest.raises(PhotoError, match="notes.txt is a file"):
        list_photos(tmp_path / "notes.txt")


def test_links_to_where_this_user_may_not_look(tmp_path, colours, monkeypatch):
    """One such link must not end the listing: reading it says what is wrong."""
    Image.fromarray(colours).save(tmp_path / "a.png")
    (tmp_path / "locked.png").symlink_to(tmp_path / "elsewhere.png")
    real = os.stat

    def refuse(path, **keywords):  # root may look everywhere
        if str(path).endswith("locked.png") and keywords.get("follow_symlinks", True):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **keywords)

    monkeypatch.setattr(os, "stat", refuse)
    assert [path.name for path in list_photos(tmp_path)] == ["a.png", "locked.png"]
    refused(tmp_path / "locked.png", "where this user may not look", "copy the file")


def test_links_in_a_circle(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "b.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    assert len(list_photos(tmp_path)) == 2
    refused(tmp_path / "a.png", "cannot be found")


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    crc = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def with_chunks(png: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    """A PNG with more chunks before its pixels, and after them."""
    return png[:33] + before + png[33:-12] + after + png[-12:]


def exif(orientation: int) -> bytes:
    found = Image.Exif()
    found[274] = orientation
    return found.tobytes()[6:]  # a PNG leaves out "Exif" and two zeros


LONG = b"x" * (1 << 20) + b"y"
TURNED = "turned upright (EXIF orientation 6)"
BAD_EXIF = b"XX" + exif(6)[2:]


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize(
    "extra, notes",
    [
        (chunk(b"zTXt", b"a\0\0" + zlib.compress(LONG)), ("zTXt metadata left out: too large",)),
        (chunk(b"tEXt", b"a\0" + LONG), ("tEXt metadata left out: too large",)),
        (chunk(b"iTXt", b"a\0\0\0\0\0" + LONG), ("iTXt metadata left out: too large",)),
        (chunk(b"iTXt", b"a\0\1\0en\0\0" + zlib.compress(LONG)), ("iTXt metadata left out: too large",)),
        (chunk(b"iCCP", b"a\0\0" + zlib.compress(LONG)), ("iCCP metadata left out: too large",)),
        (chunk(b"iCCP", b"a\0\0" + zlib.compress(b"short")), ()),  # profiles are never applied
        (chunk(b"iCCP", b"a\0\1"), ("iCCP metadata left out: broken",)),
        (chunk(b"zTXt", b"a\0\0no zlib data"), ("zTXt metadata left out: broken",)),
        (chunk(b"tEXt", b"a\0b", crc=7), ("tEXt metadata left out: broken",)),
        (chunk(b"tEXt", b"a\0" + LONG[:-9]) * 9, ("tEXt metadata left out: too large",)),  # each is small enough
        (chunk(b"gAMA", b""), ()),
        (chunk(b"prVt", b"of some other program", crc=7), ()),
        (chunk(b"eXIf", exif(6)), (TURNED,)),
        (chunk(b"eXIf", exif(6), crc=7), ("eXIf metadata left out: broken",)),
        (chunk(b"eXIf", BAD_EXIF), ("damaged EXIF data left out",)),
        (chunk(b"eXIf", b""), ()),
        (
            chunk(b"zTXt", b"a\0\0" + zlib.compress(LONG)) + chunk(b"eXIf", exif(6)),
            (TURNED, "zTXt metadata left out: too large"),
        ),
    ],
)
def test_metadata_of_a_png_never_cost_its_pixels(tmp_path, colours, extra, notes, place):
    (tmp_path / "photo.png").write_bytes(with_chunks(png_bytes(colours), **{place: extra}))
    photo = read_photo(tmp_path / "photo.png")
    assert photo.notes == notes
    np.testing.assert_array_equal(photo.pixels, UPRIGHT[6 if TURNED in notes else 1](colours))


def test_xmp_turns_where_exif_is_damaged(tmp_path, colours):
    xmp = b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'
    data = with_chunks(png_bytes(colours), chunk(b"eXIf", BAD_EXIF) + chunk(b"iTXt", xmp))
    (tmp_path / "photo.png").write_bytes(data)
    photo = read_photo(tmp_path / "photo.png")
    np.testing.assert_array_equal(photo.pixels, UPRIGHT[6](colours))
    assert photo.notes == (TURNED, "damaged EXIF data left out")


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".png", ".avif"])
@pytest.mark.parametrize("damage", ["head", "end"])
def test_damaged_exif_costs_no_picture(tmp_path, colours, suffix, damage):
    """Its head: nothing in it can be read. Its end: the orientation stands before the damage, and counts."""
    if suffix == ".avif" and not find_spec("PIL._avif"):
        pytest.skip("this Pillow was built without AVIF")
    found = Image.Exif()
    found[274], found[305] = 6, "some software with a long name"
    path = tmp_path / f"photo{suffix}"
    Image.fromarray(colours).save(path, exif=found, **({"lossless": True} if suffix == ".webp" else {"quality": 95}))
    expected, whole = read_photo(path), path.read_bytes()
    at = max(whole.rfind(b"MM\0*"), whole.rfind(b"II*\0"))
    if damage == "head":
        broken = whole[:at] + b"????" + whole[at + 4 :]
    else:  # the tag that comes second points far behind the end
        entry = at + 8 + 2 + 12 + 8
        broken = whole[:entry] + b"\x7f\xff\xff\xff" + whole[entry + 4 :]
    if suffix == ".png":
        start = at - 8
        (length,) = struct.unpack(">I", broken[start : start + 4])
        fixed = struct.pack(">I", zlib.crc32(broken[at - 4 : at + length]))
        broken = broken[: at + length] + fixed + broken[at + length + 4 :]
    path.write_bytes(broken)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what Pillow says of EXIF is a note
        photo = read_photo(path)
    if damage == "end" or suffix == ".avif":  # AVIF keeps its orientation outside of EXIF
        np.testing.assert_array_equal(photo.pixels, expected.pixels)
    else:
        np.testing.assert_array_equal(photo.pixels, UPRIGHT[8](expected.pixels))
        assert photo.notes == ("damaged EXIF data left out",)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc (Linux)")
def test_memory_for_metadata_that_unpack_to_gigabytes(tmp_path, colours):
    """64 texts of 16 MB each from 1 MB, and one of 256 MB that is not packed."""
    packer = zlib.compressobj()
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(16)) + packer.flush()
    texts = chunk(b"zTXt", b"a\0\0" + packed) * 64
    with open(tmp_path / "bomb.png", "wb") as file:
        file.write(with_chunks(png_bytes(colours), texts)[:-12])
        file.write(struct.pack(">I", 1 << 28) + b"tEXt")
        file.seek(1 << 28, os.SEEK_CUR)
        file.write(bytes(4) + chunk(b"IEND", b""))
    code = """
import sys
from stylemixseg.photos.reading import read_photo
def status(key):
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith(key))
before = status("VmRSS")
print(read_photo(sys.argv[1]).notes, file=sys.stderr)
print(status("VmHWM") - before)
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "bomb.png"], capture_output=True, text=True)
    assert done.returncode == 0 and "too large" in done.stderr, done.stderr
    assert float(done.stdout) < 60


HEIC_START = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def without(monkeypatch, module: str) -> None:
    """As where an optional part is not installed."""
    real = photokinds.find_spec
    monkeypatch.setattr(photokinds, "find_spec", lambda name: None if name == module else real(name))


def test_images_that_are_passed_over_are_said(tmp_path, monkeypatch):
    without(monkeypatch, "pillow_heif")
    without(monkeypatch, "PIL._avif")
    names = ("1.HEIC", "2.heic", "3.heif", "4.heic", "5.hif", "a.avif", "b.NEF", "c.psd", "d.svg", "e.jxl", "f.jpg")
    for name in (*names, "notes.txt", "film.mov", ".hidden.heic"):
        (tmp_path / name).touch()
    with pytest.warns(PassedOverWarning) as said:
        assert [path.name for path in list_photos(tmp_path)] == ["f.jpg"]
    (text,) = (str(item.message) for item in said)
    assert text.startswith(f"{tmp_path}: passed over ")
    for words in (
        "1.HEIC, 2.heic, 3.heif and 2 more (HEIC: pip install 'stylemixseg[heif]' reads it, or save it as JPEG)",
        "a.avif (AVIF: a Pillow that was built with AVIF reads it",
        "b.NEF (camera RAW: save it as JPEG)",
        "c.psd, d.svg (layers or drawing: save it as JPEG)",
        "e.jxl (other image: save it as JPEG)",
    ):
        assert words in text
    assert "notes.txt" not in text and "film.mov" not in text and "hidden" not in text
    (tmp_path / "f.jpg").unlink()
    with pytest.raises(PhotoError, match=r"holds no photo: .*1.HEIC.*stylemixseg\[heif\]"):
        list_photos(tmp_path)


@pytest.mark.parametrize("name", ["photo.heic", "renamed.jpg"])
def test_heic_without_its_extra(tmp_path, monkeypatch, name):
    without(monkeypatch, "pillow_heif")
    (tmp_path / name).write_bytes(HEIC_START)
    refused(tmp_path / name, "is a HEIC image", "pip install 'stylemixseg[heif]' reads it", "save it as JPEG")


def test_avif_without_its_part(tmp_path, monkeypatch):
    without(monkeypatch, "PIL._avif")
    (tmp_path / "photo.avif").write_bytes(HEIC_START.replace(b"heic", b"avif"))
    refused(tmp_path / "photo.avif", "is an AVIF image", "built with AVIF")


def test_a_raw_file_is_not_taken_for_the_preview_in_it(tmp_path, colours):
    Image.fromarray(colours).save(tmp_path / "photo.nef", "TIFF")
    refused(tmp_path / "photo.nef", "camera RAW", "save it as JPEG")


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_heic_and_avif_are_read_upright(tmp_path, colours, kind, orientation):
    if kind == "HEIF":
        pytest.importorskip("pillow_heif", reason="pillow-heif is not installed (extra heif)").register_heif_opener()
    elif not find_spec("PIL._avif"):
        pytest.skip("this Pillow was built without AVIF")
    image = Image.fromarray(colours)
    image.info["exif"] = Image.Exif().tobytes() if orientation == 1 else b"Exif\0\0" + exif(orientation)
    path = tmp_path / ("photo.HEIC" if kind == "HEIF" else "photo.avif")
    image.save(path, kind, quality=95, exif=image.info["exif"])
    assert list_photos(tmp_path) == [path]
    photo = read_photo(path)
    expected = UPRIGHT[orientation](colours).astype(int)
    assert photo.pixels.shape == expected.shape and np.abs(photo.pixels - expected).mean() < 4
