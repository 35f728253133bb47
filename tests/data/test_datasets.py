"""The CelebAMask-HQ readers on tiny folders made here: what they read, and what they say about bad folders."""

import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from stylemixseg._util import paths
from stylemixseg.data import celebamask as datasets
from stylemixseg.data.celebamask import (
    MaskedPhotos,
    official_split,
    read_celebamask,
    training_names,
    validation_names,
    with_sides_corrected,
)
from stylemixseg.models.references import CLASS_NAMES, PROVENANCE_FILE

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


@pytest.mark.parametrize(
    "break_it, message",
    [
        (lambda mask: mask.write_bytes(mask.read_bytes()[:40]), "not a readable image"),
        (lambda mask: mask.write_text("not a picture"), "not a readable image"),
        (lambda mask: save_mask(mask, np.zeros((12, 12))), "12x12 but its photo is 16x12"),
        (lambda mask: save_mask(mask, np.full((12, 16), 19)), "label 19; labels must lie in 0..18"),
        (lambda mask: Image.new("RGB", (16, 12)).save(mask), "mode RGB"),
    ],
)
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


@pytest.fixture(scope="module")
def celebamask():
    if not (paths.data_dir() / "data" / "celebamask_hq_800").is_dir():
        pytest.skip("data/celebamask_hq_800 is not in STYLEMIXSEG_DATA")
    return read_celebamask()


def test_validation_photos_follow_their_rule(celebamask):
    by_hash = sorted(celebamask.names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    assert validation_names(celebamask) == sorted(by_hash[:100])
    assert training_names(celebamask) == sorted(by_hash[100:])


def test_validation_photos_stay_the_same():
    listed = json.loads(datasets.SPLIT_FILE.read_text())["validation"]
    everything = SimpleNamespace(folder="memory", names=("a", *listed))
    names = validation_names(everything)
    assert len(set(names)) == 100 and names == sorted(names)
    assert training_names(everything) == ["a"]
    # the face parser of the package was trained without exactly these
    trained_without = json.loads(PROVENANCE_FILE.read_text())["data"]["validation_ids_sha256"]
    assert hashlib.sha256("\n".join(names).encode()).hexdigest() == trained_without


def test_validation_photos_must_be_there(folder):
    with pytest.raises(ValueError, match="lacks 100 validation photos"):
        training_names(read_celebamask(folder))


# ------------------------------------------------------------------------------------- the published layout


def save_part(root, number, part, inside, mode="RGB"):
    folder = root / "CelebAMask-HQ-mask-anno" / str(number // 2000)
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(inside.astype(np.uint8) * 255).convert(mode).save(folder / f"{number:05d}_{part}.png")


def rows(first, last, shape=(4, 6)):
    inside = np.zeros(shape, bool)
    inside[first:last] = True
    return inside


@pytest.fixture
def official(tmp_path):
    """Photos 2, 10 and 2001 of 12x8 pixels, masks of 6x4: skin in rows 0..2, hair over it in rows 0 and 1."""
    (tmp_path / "CelebA-HQ-img").mkdir()
    for number in (10, 2, 2001):
        photo = np.zeros((8, 12, 3), np.uint8)
        photo[:, 6:] = 100, 150, 200
        Image.fromarray(photo).save(tmp_path / "CelebA-HQ-img" / f"{number}.jpg", quality=100, subsampling=0)
        save_part(tmp_path, number, "hair", rows(0, 2))
        save_part(tmp_path, number, "skin", rows(0, 3))
    return tmp_path


def test_both_layouts_are_masked_photos(folder, official):
    for root in (folder, official):
        photos = read_celebamask(root)
        assert isinstance(photos, MaskedPhotos)
        image, labels = photos[photos.names[0]]
        assert image.shape == (*labels.shape, 3) and image.dtype == labels.dtype == np.uint8


def test_published_layout_in_order_of_number(official):
    photos = read_celebamask(official)
    assert photos.names == ("2", "10", "2001") and len(photos) == 3
    image, labels = photos["2001"]  # its masks are in folder 1
    assert image.shape == (4, 6, 3)
    np.testing.assert_allclose(image[:, 3:], np.broadcast_to([100, 150, 200], (4, 3, 3)), atol=4)
    expected = np.repeat([CLASS_NAMES.index(name) for name in ("hair", "hair", "skin", "background")], 6)
    np.testing.assert_array_equal(labels.ravel(), expected)


def test_photo_is_averaged_to_the_size_of_its_masks(official):
    photo = np.zeros((8, 12, 3), np.uint8)
    photo[::2] = 200  # lines of one pixel: nearest neighbour would give 0 or 200
    Image.fromarray(photo).save(official / "CelebA-HQ-img" / "2.jpg", quality=100, subsampling=0)
    image, _ = read_celebamask(official)["2"]
    np.testing.assert_allclose(image, 100, atol=3)


def test_parts_are_merged_in_the_official_order(official):
    # g_mask.py, by hand: the label of each file name
    numbers = {
        "skin": 1,
        "nose": 2,
        "eye_g": 3,
        "l_eye": 4,
        "r_eye": 5,
        "l_brow": 6,
        "r_brow": 7,
        "l_ear": 8,
        "r_ear": 9,
        "mouth": 10,
        "u_lip": 11,
        "l_lip": 12,
        "hair": 13,
        "hat": 14,
        "ear_r": 15,
        "neck_l": 16,
        "neck": 17,
        "cloth": 18,
    }
    shape = (4, 18)
    for part, label in numbers.items():
        inside = np.zeros(shape, bool)
        inside[:, label - 1 :] = True  # each part covers all columns of the parts after it
        save_part(official, 2, part, inside, mode="L")
    Image.new("RGB", (18, 4)).save(official / "CelebA-HQ-img" / "2.jpg")
    _, labels = read_celebamask(official)["2"]
    np.testing.assert_array_equal(labels, np.tile(np.arange(1, 19), (4, 1)))


def test_masks_are_looked_for_only_when_decoded(official):
    (official / "CelebA-HQ-img" / "29999.jpg").write_bytes(b"")
    photos = read_celebamask(official)
    assert photos.names[-1] == "29999"
    with pytest.raises(ValueError, match="no part mask of photo 29999.*14.29999_skin.png"):
        photos["29999"]
    with pytest.raises(KeyError, match="'3'"):
        photos["3"]


@pytest.mark.parametrize(
    "break_it, message",
    [
        (lambda part, photo: part.write_bytes(part.read_bytes()[:40]), "00002_hair.png is not a readable image"),
        (lambda part, photo: photo.write_bytes(photo.read_bytes()[:200]), "2.jpg is not a readable image"),
        (lambda part, photo: photo.unlink(), "2.jpg is not a readable image"),
        (
            lambda part, photo: Image.new("L", (6, 5)).save(part),
            "00002_hair.png is 6x5 but the parts before it are 6x4",
        ),
        (lambda part, photo: Image.new("RGB", (18, 8)).save(photo), "2.jpg is 18x8 but its masks are 6x4"),
        (lambda part, photo: Image.new("RGB", (9, 6)).save(photo), "2.jpg is 9x6 but its masks are 6x4"),
        (lambda part, photo: Image.new("RGB", (3, 2)).save(photo), "2.jpg is 3x2 but its masks are 6x4"),
    ],
)
def test_broken_parts_and_photos_are_named(official, break_it, message):
    photos = read_celebamask(official)
    break_it(official / "CelebAMask-HQ-mask-anno" / "0" / "00002_hair.png", official / "CelebA-HQ-img" / "2.jpg")
    with pytest.raises(ValueError, match=message):
        photos["2"]
    photos["10"]  # the others are still read


def test_an_image_bomb_is_refused(official, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)  # Pillow refuses twice that; the photo has 96
    with pytest.raises(ValueError, match="2.jpg is not a readable image"):
        read_celebamask(official)["2"]


def test_published_layout_folder_errors(official, tmp_path_factory):
    (official / "CelebA-HQ-img" / "portrait.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="named by numbers, got portrait.jpg"):
        read_celebamask(official)
    root = tmp_path_factory.mktemp("root")
    with pytest.raises(FileNotFoundError, match="neither CelebA-HQ-img/"):
        read_celebamask(root)
    (root / "CelebA-HQ-img").mkdir()
    with pytest.raises(FileNotFoundError, match="no folder CelebAMask-HQ-mask-anno/"):
        read_celebamask(root)
    (root / "CelebAMask-HQ-mask-anno").mkdir()
    with pytest.raises(ValueError, match="no .jpg"):
        read_celebamask(root)


# ------------------------------------------------------------------------------------------ the official split


@pytest.fixture
def partition(official):
    """Mapping and partition of the three photos. By `orig_idx`, one less than the file's number, 2 would train."""
    (official / "CelebA-HQ-to-CelebA-mapping.txt").write_text(
        "idx       orig_idx    orig_file\n"
        "2         162770      162771.jpg\n"
        "10        5           000006.jpg\n"
        "11        6           000007.jpg\n"  # a photo that is not in the folder
        "2001      182638      182639.jpg\n"
    )
    path = official / "list_eval_partition.txt"
    path.write_text("000006.jpg 0\n000007.jpg 0\n162771.jpg 1\n182638.jpg 0\n182639.jpg 2\n\n")
    return path


def test_official_split_joins_by_file_name(official, partition):
    assert official_split(official, partition) == {"train": ["10"], "validation": ["2"], "test": ["2001"]}


def test_official_split_of_the_whole_set_has_the_published_counts(official, partition, monkeypatch):
    assert datasets.OFFICIAL_COUNTS == {"train": 24183, "validation": 2993, "test": 2824}
    monkeypatch.setattr(datasets, "OFFICIAL_COUNTS", {"train": 1, "validation": 2, "test": 1})
    official_split(official, partition)  # 3 photos of 4: not the whole set
    monkeypatch.setattr(datasets, "OFFICIAL_COUNTS", {"train": 1, "validation": 1, "test": 1})
    official_split(official, partition)
    monkeypatch.setattr(datasets, "OFFICIAL_COUNTS", {"train": 0, "validation": 2, "test": 1})
    with pytest.raises(ValueError, match="must split into .*'validation': 2.* got .*'validation': 1"):
        official_split(official, partition)


@pytest.mark.parametrize(
    "name, old, new, message",
    [
        ("CelebA-HQ-to-CelebA-mapping.txt", "idx ", "index ", "must begin with the line 'idx orig_idx orig_file'"),
        ("CelebA-HQ-to-CelebA-mapping.txt", "10   ", "ten  ", "line 3: must be 'idx orig_idx orig_file'"),
        ("CelebA-HQ-to-CelebA-mapping.txt", "162771.jpg", "", "line 2: must be 'idx orig_idx orig_file'"),
        ("CelebA-HQ-to-CelebA-mapping.txt", "2001 ", "2002 ", "mapping.txt has no line for photo 2001"),
        ("list_eval_partition.txt", "162771.jpg 1", "162771.jpg 3", "line 3: must be a file name and 0, 1 or 2"),
        ("list_eval_partition.txt", "000006.jpg 0", "000006.jpg,0", "line 1: must be a file name and 0, 1 or 2"),
        ("list_eval_partition.txt", "162771.jpg 1\n", "", "no line for 162771.jpg, the original of photo 2"),
    ],
)
def test_bad_split_files_are_named(official, partition, name, old, new, message):
    text = (official / name).read_text()
    assert text.count(old) >= 1
    (official / name).write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        official_split(official, partition)


def test_missing_split_files(official, partition):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        official_split(official, official / "nowhere.txt")
    (official / "CelebA-HQ-to-CelebA-mapping.txt").unlink()
    with pytest.raises(FileNotFoundError, match="mapping"):
        official_split(official, partition)
