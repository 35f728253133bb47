"""The CelebAMask-HQ reader on a tiny folder made here: what it reads, and what it says about bad folders."""
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylemixseg import paths
from stylemixseg.datasets import read_celebamask, with_sides_corrected
from stylemixseg.references import CLASS_NAMES

SPLIT_FILE = Path(__file__).parents[1] / "data_scripts" / "celebamask_split.json"
LEFT_EYE, RIGHT_EYE, LEFT_EAR, RIGHT_EAR = map(CLASS_NAMES.index, ("left_eye", "right_eye", "left_ear", "right_ear"))


def save_mask(path, labels):
    image = Image.fromarray(labels.astype(np.uint8), mode="L").convert("P")
    image.putpalette([(7 * i) % 256 for i in range(768)])  # colours that are not the labels
    image.putdata(labels.ravel().tolist())
    image.save(path)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    rng = np.random.RandomState(0)
    for name in ("b", "a"):
        Image.fromarray(rng.randint(0, 255, (12, 16, 3), dtype=np.uint8)).save(tmp_path / "images" / f"{name}.jpg")
        save_mask(tmp_path / "masks" / f"{name}.png", np.arange(12 * 16).reshape(12, 16) % 19)
    return tmp_path


def test_reads_pairs_in_order_of_name(folder):
    photos = read_celebamask(folder)
    assert photos.names == ("a", "b") and len(photos) == 2
    image, labels = photos["a"]
    assert image.shape == (12, 16, 3) and image.dtype == np.uint8
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, np.arange(12 * 16).reshape(12, 16) % 19)  # indices, not palette colours


def test_default_folder_is_the_data_folder(folder, monkeypatch, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    monkeypatch.setenv("STYLEMIXSEG_DATA", str(root))
    with pytest.raises(FileNotFoundError, match="STYLEMIXSEG_DATA"):
        read_celebamask()
    (root / "data").mkdir()
    (root / "data" / "celebamask_hq_800").symlink_to(folder)
    assert len(read_celebamask()) == 2


def test_folder_errors(folder, tmp_path_factory):
    with pytest.raises(KeyError, match="'c'"):
        read_celebamask(folder)["c"]
    (folder / "masks" / "a.png").unlink()
    with pytest.raises(ValueError, match="a has no mask"):
        read_celebamask(folder)
    (folder / "images" / "a.jpg").unlink()
    save_mask(folder / "masks" / "z.png", np.zeros((12, 16)))
    with pytest.raises(ValueError, match="z has no photo"):
        read_celebamask(folder)
    empty = tmp_path_factory.mktemp("empty")
    (empty / "images").mkdir()
    (empty / "masks").mkdir()
    with pytest.raises(ValueError, match="no .jpg"):
        read_celebamask(empty)


@pytest.mark.parametrize("break_it, message", [
    (lambda mask: mask.write_bytes(mask.read_bytes()[:40]), "not a readable image"),
    (lambda mask: mask.write_text("not a picture"), "not a readable image"),
    (lambda mask: save_mask(mask, np.zeros((12, 12))), "12x12 but its photo is 16x12"),
    (lambda mask: save_mask(mask, np.full((12, 16), 19)), "label 19; labels must lie in 0..18"),
    (lambda mask: Image.new("RGB", (16, 12)).save(mask), "mode RGB"),
])
def test_broken_masks_are_named(folder, break_it, message):
    break_it(folder / "masks" / "a.png")
    with pytest.raises(ValueError, match=message) as caught:
        read_celebamask(folder)["a"]
    assert "a.png" in str(caught.value)


def test_sides_are_corrected_by_majority():
    labels = np.zeros((4, 8), dtype=np.uint8)
    labels[0, 6], labels[0, 1] = LEFT_EYE, RIGHT_EYE  # the person's left is on the picture's right
    np.testing.assert_array_equal(with_sides_corrected(labels), labels)
    mirrored = labels[:, ::-1]
    fixed = with_sides_corrected(mirrored)
    assert fixed[0, 1] == RIGHT_EYE and fixed[0, 6] == LEFT_EYE
    one_ear = np.zeros((4, 8), dtype=np.uint8)
    one_ear[0, 0] = LEFT_EAR  # one of a pair is no evidence: a turned head shows either
    np.testing.assert_array_equal(with_sides_corrected(one_ear), one_ear)
    assert (fixed == RIGHT_EAR).sum() == 0


def test_split_follows_its_rule():
    split = json.loads(SPLIT_FILE.read_text())
    validation = split["validation"]
    assert len(set(validation)) == 100 and validation == sorted(validation)
    folder = paths.data_dir() / "data" / "celebamask_hq_800"
    if not folder.is_dir():
        pytest.skip("data/celebamask_hq_800 is not in STYLEMIXSEG_DATA: the rule cannot be checked against the photos")
    by_hash = sorted(read_celebamask().names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    assert set(by_hash[:100]) == set(validation)
