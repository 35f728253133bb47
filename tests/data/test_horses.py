"""The reader of the Weizmann horses on small folders made here, and on the photos themselves where they are."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from stylemixseg._util import paths
from stylemixseg.data import horses
from stylemixseg.data.horses import mask_box, read_horses

DATA = "data/weizmann_horse"


def save_pair(split, name: str, mask: np.ndarray, values=(0, 1)) -> None:
    """A photo of a bright object on dark ground, and its mask with the grey `values` (outside, inside)."""
    for part in ("images", "masks"):
        (split / part).mkdir(parents=True, exist_ok=True)
    photo = np.where(mask[..., None], 230, 20).astype(np.uint8).repeat(3, axis=2)
    Image.fromarray(photo).save(split / "images" / f"{name}.jpg", quality=100)
    Image.fromarray(np.where(mask, values[1], values[0]).astype(np.uint8)).save(split / "masks" / f"{name}.png")


def block(height: int, width: int, y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[y0:y1, x0:x1] = True
    return mask


@pytest.fixture
def folder(tmp_path):
    save_pair(tmp_path / "train", "horse2", block(40, 64, 8, 16, 32, 48))
    save_pair(tmp_path / "train", "horse1", block(48, 32, 0, 0, 16, 8))
    save_pair(tmp_path / "test", "horse3", block(16, 16, 0, 0, 8, 8))
    return tmp_path


def test_both_splits_are_read_in_order_of_name(folder):
    photos = read_horses(folder)
    assert photos.names == ("horse1", "horse2", "horse3") and len(photos) == 3
    assert photos.split_of == {"horse1": "train", "horse2": "train", "horse3": "test"}
    image, mask = photos["horse2"]
    assert image.shape == (40, 64, 3) and image.dtype == np.uint8
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, block(40, 64, 8, 16, 32, 48))
    np.testing.assert_array_equal(image[..., 0] > 128, mask)  # the pair belongs together
    assert mask_box(mask) == (16, 8, 48, 32)


def test_default_folder_is_the_data_folder(folder, monkeypatch, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    monkeypatch.setenv("STYLEMIXSEG_DATA", str(root))
    with pytest.raises(FileNotFoundError, match=r"no folder train/ in .*STYLEMIXSEG_DATA"):
        read_horses()
    (root / "data").mkdir()
    (root / DATA).symlink_to(folder)
    assert len(read_horses()) == 3


def test_folders_that_do_not_fit(folder):
    with pytest.raises(KeyError, match="'horse9'.*3 photos"):
        read_horses(folder)["horse9"]
    (folder / "test" / "masks" / "horse3.png").unlink()
    with pytest.raises(ValueError, match="horse3 has no mask"):
        read_horses(folder)
    (folder / "test" / "images" / "horse3.jpg").unlink()
    with pytest.raises(ValueError, match="no .jpg"):
        read_horses(folder)
    save_pair(folder / "test", "horse1", block(16, 16, 0, 0, 8, 8))
    with pytest.raises(ValueError, match="horse1 is in both train/ and test/"):
        read_horses(folder)


@pytest.mark.parametrize(
    "mask, values, error, message",
    [
        (block(16, 15, 0, 0, 8, 8), (0, 1), ValueError, r"horse3.png has shape \(16, 15\) but its photo is \(16, 16\)"),
        (block(16, 16, 0, 0, 8, 8), (0, 255), ValueError, r"horse3.png must hold only 0 and 1, got values up to 255"),
    ],
)
def test_masks_that_do_not_fit(folder, mask, values, error, message):
    grey = np.where(mask, values[1], values[0]).astype(np.uint8)
    Image.fromarray(grey).save(folder / "test" / "masks" / "horse3.png")
    with pytest.raises(error, match=message):
        read_horses(folder)["horse3"]


def test_colour_masks_are_refused(folder):
    Image.new("RGB", (16, 16)).save(folder / "test" / "masks" / "horse3.png")
    with pytest.raises(ValueError, match=r"horse3.png has shape \(16, 16, 3\).*one grey value per pixel"):
        read_horses(folder)["horse3"]


@pytest.mark.parametrize("file", ["images/horse3.jpg", "masks/horse3.png"])
def test_files_that_cannot_be_read(folder, file):
    path = folder / "test" / file
    content = path.read_bytes()
    for broken in (content[: len(content) // 2], b"not a picture", b""):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=f"{path.name} is not a readable image"):
            read_horses(folder)["horse3"]


def test_a_large_file_is_refused_before_it_is_decoded(folder, monkeypatch):
    monkeypatch.setattr(horses, "MAX_SIDE", 15)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ValueError, match="horse3.jpg is 16x16; a side may have 15 px at most"):
        read_horses(folder)["horse3"]


def test_box_of_a_mask_is_tight():
    rng = np.random.default_rng(0)
    for _ in range(20):
        mask = rng.random((rng.integers(1, 9), rng.integers(1, 9))) < 0.2
        mask[rng.integers(mask.shape[0]), rng.integers(mask.shape[1])] = True
        y, x = np.nonzero(mask)
        assert mask_box(mask) == (x.min(), y.min(), x.max() + 1, y.max() + 1)
    with pytest.raises(ValueError, match="at least one True pixel"):
        mask_box(np.zeros((3, 4), bool))
    with pytest.raises(ValueError, match=r"\(H, W\)"):
        mask_box(np.zeros((3, 4, 1), bool))


@pytest.mark.skipif(
    not (paths.data_dir() / DATA).exists(),
    reason=f"{DATA} is not in STYLEMIXSEG_DATA ({os.environ.get('STYLEMIXSEG_DATA')})",
)
def test_the_horses_themselves():
    photos = read_horses()
    assert len(photos) == 327
    assert [list(photos.split_of.values()).count(split) for split in ("train", "test")] == [278, 49]
    for name in photos.names[::60]:
        image, mask = photos[name]
        assert image.shape[:2] == mask.shape and max(mask.shape) <= 448
        assert 0.02 < mask.mean() < 0.6  # a horse, neither nothing nor everything
