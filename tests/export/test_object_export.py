"""Files of objects, read by those who will read them: pycocotools, its evaluation, and Pillow."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from stylemixseg.export import objects as objectexport
from stylemixseg.export.images import RECORD, read_latent
from stylemixseg.export.objects import OBJECT_FILES, PHOTO_OBJECT_FILES, coco, records, save_objects, save_photo_objects
from stylemixseg.generators.toyworld.world import ToyWorld
from stylemixseg.inversion.base import Inversion
from stylemixseg.objects.detection.base import Detection
from stylemixseg.objects.segmenter import ObjectMask, ObjectSegmentation
from stylemixseg.photos.alignment import Frame
from stylemixseg.photos.objects import PhotoObjects, in_photo
from stylemixseg.viz.compositing import PALETTE, overlay_objects

PHRASES = ("sofa", "coffee table", "lamp")


def segmentation(masks: np.ndarray, labels, phrases=PHRASES, skipped=()) -> ObjectSegmentation:
    """A result with these masks (N, H, W) bool, the first on top."""
    size = masks.shape[1:]
    semantic, instance = np.zeros((2, *size), np.int32)
    objects = []
    for number, (mask, label) in enumerate(zip(masks, labels), 1):
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        rows, columns = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
        free = mask & (instance == 0)
        semantic[free], instance[free] = phrases.index(label) + 1, number
        box = Detection((columns.start, rows.start, columns.stop, rows.stop), label, 1 - number / 1000)
        inside = mask[rows, columns]
        cut = ("left",) if columns.start == 0 else ()
        objects.append(
            ObjectMask(number, box, rows, columns, inside.astype(np.int32), np.array([False, True]), inside, cut, "")
        )
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    return ObjectSegmentation(image, phrases, semantic, instance, tuple(objects), tuple(skipped), {"masks": 0.25})


@pytest.fixture
def found() -> ObjectSegmentation:
    """A ragged lamp on a table that the border cuts, a sofa in two pieces, and a lamp that is hidden wholly."""
    y, x = np.mgrid[:40, :60]
    masks = np.zeros((4, 40, 60), bool)
    masks[0] = ((y - 18) ** 2 + (x - 12) ** 2 < 50) & ((x + y) % 3 > 0)
    masks[1, 10:30, :25] = True
    masks[2, 5:9, 40:50] = masks[2, 20:36, 44:58] = True
    masks[3, 12:16, 2:5] = True
    skipped = [(Detection((1, 2, 4, 4), "lamp", 0.5), "its crop is too small")]
    return segmentation(masks, ("lamp", "coffee table", "sofa", "lamp"), skipped=skipped)


@pytest.fixture
def read(tmp_path):
    def through_a_file(content: dict) -> COCO:
        path = tmp_path / "coco.json"
        path.write_text(json.dumps(content))
        return COCO(path)

    return through_a_file


def test_pycocotools_reads_the_masks(found, read):
    file = read(coco(found, "room.png", image_id=7))
    assert file.loadImgs(7) == [{"id": 7, "file_name": "room.png", "height": 40, "width": 60}]
    assert {item["id"]: item["name"] for item in file.loadCats(file.getCatIds())} == dict(enumerate(PHRASES, 1))
    annotations = file.loadAnns(file.getAnnIds(imgIds=[7]))
    assert [item["id"] for item in annotations] == [1, 2, 3]  # the hidden lamp has none
    for item in annotations:
        visible = found.visible(item["id"])
        np.testing.assert_array_equal(file.annToMask(item), visible)
        rows, columns = np.nonzero(visible)
        x0, y0, x1, y1 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        assert item["bbox"] == [x0, y0, x1 - x0, y1 - y0]
        assert item["area"] == visible.sum() and item["iscrowd"] == 0
        assert item["score"] == found.objects[item["id"] - 1].detection.score
        (category,) = file.loadCats(item["category_id"])
        assert category["name"] == found.objects[item["id"] - 1].detection.label
    assert [item["id"] for item in file.loadAnns(file.getAnnIds(catIds=file.getCatIds(catNms=["lamp"])))] == [1]


@pytest.mark.parametrize("kind", ["segm", "bbox"])
def test_cocos_own_evaluation_takes_them(found, read, kind):
    """As truth and as results: against itself every precision is 1, without one object the recall is 2 of 3."""
    truth = read(coco(found, "room.png"))
    results = [
        {name: item[name] for name in ("image_id", "category_id", "segmentation", "bbox", "score")}
        for item in truth.dataset["annotations"]
    ]

    def recall(given: list[dict]) -> float:
        evaluation = COCOeval(truth, truth.loadRes(given), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        precision, found = evaluation.stats[0], evaluation.stats[8]
        assert precision == pytest.approx(found)  # nothing is a false alarm
        return found

    assert recall(results) == pytest.approx(1)
    assert recall(results[1:]) == pytest.approx(2 / 3)


def test_no_object_is_a_valid_file(found, read):
    empty = segmentation(np.zeros((0, 40, 60), bool), ())
    file = read(coco(empty, "room.png"))
    assert file.getAnnIds() == [] and len(file.getImgIds()) == 1 and len(file.getCatIds()) == 3


@pytest.mark.parametrize("masks", [0, 1])
def test_a_bad_number_of_the_image(masks):
    empty = segmentation(np.ones((masks, 4, 6), bool), ["lamp"] * masks)
    with pytest.raises(ValueError, match="image_id must be at least 0, got -1"):
        coco(empty, "room.png", image_id=-1)


def test_records(found):
    lamp, table, _sofa, hidden, skipped = records(found)
    assert lamp == {
        "number": 1,
        "phrase": "lamp",
        "score": 0.999,
        "box": list(found.objects[0].detection.box),
        "crop": list(found.objects[0].detection.box),
        "cut by the border": [],
        "pixels in the crop": int(found.objects[0].mask.sum()),
        "visible pixels": int((found.instance == 1).sum()),
        "note": "",
    }
    assert table["cut by the border"] == ["left"] and table["pixels in the crop"] == 500 > table["visible pixels"] > 300
    assert (hidden["pixels in the crop"], hidden["visible pixels"]) == (12, 0)
    assert skipped == {"phrase": "lamp", "score": 0.5, "box": [1, 2, 4, 4], "skipped": "its crop is too small"}
    assert json.loads(json.dumps(records(found))) == records(found)


def read_png(path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_files(found, tmp_path):
    folder = tmp_path / "new" / "out"
    assert save_objects(found, folder, record={"query": {"seed": 7}}, seconds=2.5) == folder
    assert {path.name for path in folder.iterdir()} == {*OBJECT_FILES, RECORD}
    np.testing.assert_array_equal(read_png(folder / "image.png"), found.image)
    np.testing.assert_array_equal(read_png(folder / "objects.png"), overlay_objects(found.image, found.instance))
    assert json.loads((folder / "objects.coco.json").read_text()) == coco(found, "image.png")
    record = json.loads((folder / RECORD).read_text())
    assert record == {
        "query": {"seed": 7},
        "phrases": list(PHRASES),
        "objects": records(found),
        "seconds": {"masks": 0.25, "total": 2.5},
    }


def test_maps_come_back(found, tmp_path):
    save_objects(found, tmp_path, record={}, seconds=0)
    with Image.open(tmp_path / "semantic.png") as semantic:
        assert semantic.mode == "P"  # the values are indices, and seen as colours
        np.testing.assert_array_equal(np.asarray(semantic), found.semantic)
        colours = np.asarray(semantic.convert("RGB"))
    for value, colour in enumerate([(0, 0, 0), *PALETTE[:3].tolist()]):
        assert (colours[found.semantic == value] == colour).all() and (found.semantic == value).any()
    with Image.open(tmp_path / "instance.png") as instance:
        assert instance.mode == "I;16"
        np.testing.assert_array_equal(np.asarray(instance), found.instance)


def test_more_objects_than_a_byte_can_count(tmp_path, read):
    masks = np.zeros((300, 20, 60), bool)
    masks[np.arange(300), 2 * (np.arange(300) // 30), 2 * (np.arange(300) % 30)] = True
    many = segmentation(masks, ["lamp"] * 300)
    save_objects(many, tmp_path, record={}, seconds=0)
    instance = read_png(tmp_path / "instance.png")
    assert instance.max() == 300
    np.testing.assert_array_equal(instance, many.instance)
    file = read(json.loads((tmp_path / "objects.coco.json").read_text()))
    assert len(file.getAnnIds()) == 300
    np.testing.assert_array_equal(file.annToMask(file.loadAnns(299)[0]), masks[298])


def test_as_many_phrases_as_a_prompt_may_have(tmp_path):
    phrases = tuple(f"thing {i}" for i in range(80))
    masks = np.eye(80, dtype=bool).reshape(80, 8, 10)
    save_objects(segmentation(masks, phrases, phrases), tmp_path, record={}, seconds=0)
    np.testing.assert_array_equal(read_png(tmp_path / "semantic.png"), np.arange(1, 81).reshape(8, 10))


def test_a_record_never_stands_beside_pictures_of_another_run(found, tmp_path, monkeypatch):
    save_objects(found, tmp_path, record={}, seconds=0)

    def full_disk(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(objectexport, "overlay_objects", full_disk)
    with pytest.raises(OSError, match="no space left"):
        save_objects(replace(found, phrases=PHRASES[::-1]), tmp_path, record={}, seconds=0)
    assert not (tmp_path / RECORD).exists()


def test_files_of_a_photo(tmp_path):
    masks = np.zeros((1, 16, 16), bool)
    masks[0, 4:12, 4:12] = True
    inside = segmentation(masks, ["lamp"])
    world = ToyWorld(resolution=16)
    photo = np.random.default_rng(1).integers(0, 256, (20, 40, 3), dtype=np.uint8)
    frame, ws = Frame.from_box((22, 2, 38, 18), (20, 40)), world.w_avg.repeat(1, world.num_ws, 1)
    crop = frame.crop(photo, 16)
    result = replace(in_photo(inside, frame, photo), seconds={"inversion": 1.0, "total": 3.0})
    found = PhotoObjects(frame, crop, Inversion(ws, (ws,), 0.0, "known"), inside, result)
    save_photo_objects(found, tmp_path, record={"photo": "a.jpg"})
    assert {path.name for path in tmp_path.iterdir()} == {*PHOTO_OBJECT_FILES, RECORD}
    np.testing.assert_array_equal(read_png(tmp_path / "image.png"), photo)
    np.testing.assert_array_equal(read_png(tmp_path / "crop.png"), crop)
    np.testing.assert_array_equal(read_png(tmp_path / "reconstruction.png"), inside.image)
    assert (read_latent(tmp_path / "latent.npy", world) == ws).all()
    expected = np.zeros((20, 40), int)
    expected[6:14, 26:34] = 1
    np.testing.assert_array_equal(read_png(tmp_path / "instance.png"), expected)
    np.testing.assert_array_equal(read_png(tmp_path / "semantic.png"), 3 * expected)
    record = json.loads((tmp_path / RECORD).read_text())
    assert record["photo"] == "a.jpg" and record["seconds"] == {"inversion": 1.0, "total": 3.0}
    (item,) = json.loads((tmp_path / "objects.coco.json").read_text())["annotations"]
    assert item["bbox"] == [26, 6, 8, 8] and item["area"] == 64
