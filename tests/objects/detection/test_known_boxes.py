"""Boxes of the toy world and of files, and boxes made a little wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import stylemixseg.objects.detection.known as known
from stylemixseg.generators.base import seeded_z
from stylemixseg.generators.toyworld.world import CLASS_NAMES, ToyWorld
from stylemixseg.objects.detection.base import Detection, Detector, box_iou
from stylemixseg.objects.detection.known import KnownBoxes, jittered

IMAGE = np.zeros((100, 200, 3), np.uint8)


@pytest.fixture
def write(tmp_path):
    """Write a value, or text as it is, as a JSON file."""

    def to_file(content: object) -> Path:
        path = tmp_path / "boxes.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return to_file


def coco(**changes) -> dict:
    """A small file in COCO's layout: two images, three annotations and a crowd."""
    content = {
        "images": [{"id": 7, "file_name": "val/room.jpg", "width": 200}, {"id": 8, "file_name": "hall.jpg"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 63, "bbox": [10, 20, 30.5, 40]},
            {"id": 2, "image_id": 8, "category_id": 63, "bbox": [1, 2, 3, 4], "score": 0.25},
            {"id": 3, "image_id": 7, "category_id": 67, "bbox": [0, 0, 5, 6], "iscrowd": 0},
            {"id": 4, "image_id": 7, "category_id": 67, "bbox": [0, 0, 50, 60], "iscrowd": 1},
        ],
        "categories": [{"id": 63, "name": "couch"}, {"id": 67, "name": "dining table"}],
    }
    return content | changes


ROOM = (Detection((10, 20, 40.5, 60), "couch"), Detection((0, 0, 5, 6), "dining table"))
HALL = (Detection((1, 2, 4, 6), "couch", 0.25),)


def test_phrases_choose_and_name_the_boxes():
    boxes = KnownBoxes([Detection((0, 0, 9, 9), "table", 0.5), *ROOM, Detection((-5, 0, 999, 9), "lamp")])
    assert isinstance(boxes, Detector) and boxes.name == "known"
    assert boxes(IMAGE, ("sofas", "lamp")) == [
        Detection((10, 20, 40.5, 60), "sofas"),
        Detection((-5, 0, 999, 9), "lamp"),  # clipping is the filter's business
    ]
    assert boxes(IMAGE, ["coffee table"]) == [Detection((0, 0, 9, 9), "coffee table", 0.5)]
    assert boxes(IMAGE, ["horse"]) == [] == KnownBoxes(())(IMAGE, ["horse"])


def test_bad_arguments():
    with pytest.raises(TypeError, match="detections must hold Detection objects, got 'sofa'"):
        KnownBoxes(["sofa"])
    with pytest.raises(TypeError, match="phrases must be a sequence of texts, got the text 'sofa, lamp'"):
        KnownBoxes(ROOM)(IMAGE, "sofa, lamp")


def test_the_toy_worlds_boxes_hold_their_things_tightly():
    world = ToyWorld("room", resolution=64)
    ws = world.mapping(seeded_z([3], world.z_dim))
    truth = world.truth(ws)[0]
    image = ((world.synthesis(ws)[0].permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy()
    boxes = KnownBoxes.from_toy(truth)
    expected = []
    for number in range(1, truth.instance.max() + 1):
        rows, columns = np.nonzero(truth.instance == number)
        if rows.size:
            label = CLASS_NAMES[truth.semantic[rows[0], columns[0]]]
            expected.append(Detection((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1), label, 1.0))
    assert boxes.detections == tuple(expected) and len(expected) > 3
    kinds = {item.label for item in expected}
    found = boxes(image, [f"big {kind}" for kind in sorted(kinds)])
    assert [item.box for item in found] == [item.box for item in expected]
    assert {item.label for item in found} == {f"big {kind}" for kind in kinds}


@pytest.mark.parametrize("wrap", [list, lambda entries: {"boxes": entries, "made by": "hand"}])
def test_our_own_layout(write, wrap):
    entries = [{"box": [1, 2, 30.5, 40], "label": "sofa", "score": 0.9}, {"box": [-5, 0, 9, 9], "label": "Lamp"}]
    boxes = KnownBoxes.read(write(wrap(entries)))
    assert boxes.detections == (Detection((1, 2, 30.5, 40), "sofa", 0.9), Detection((-5, 0, 9, 9), "Lamp", 1.0))
    assert boxes.name == "boxes.json"
    assert KnownBoxes.read(write(wrap([]))).detections == ()


def test_a_byte_order_mark_does_no_harm(tmp_path):
    path = tmp_path / "boxes.json"
    path.write_text('[{"box": [0, 0, 1, 1], "label": "canapé"}]', encoding="utf-8-sig")
    assert KnownBoxes.read(path).detections == (Detection((0, 0, 1, 1), "canapé"),)


@pytest.mark.parametrize("image_name, boxes", [("val/room.jpg", ROOM), ("room.jpg", ROOM), (7, ROOM), (8, HALL)])
def test_coco(write, image_name, boxes):
    assert KnownBoxes.read(write(coco()), image_name).detections == boxes


def test_the_only_image_of_a_coco_file_needs_no_name(write):
    content = coco(images=[{"id": 7, "file_name": "room.jpg"}])
    assert KnownBoxes.read(write(content)).detections == ROOM  # annotations of other images do not count


@pytest.mark.parametrize("image_name", [None, "attic.jpg", 9, "room"])
def test_a_coco_file_of_several_images_needs_a_name(write, image_name):
    words = r"image_name must name one image of .*boxes.json \(2: 'val/room.jpg' \(id 7\), 'hall.jpg' \(id 8\)\), got"
    with pytest.raises(ValueError, match=f"{words} {image_name!r}$"):
        KnownBoxes.read(write(coco()), image_name)


def test_a_file_name_that_two_images_share(write):
    images = [{"id": 7, "file_name": "a/room.jpg"}, {"id": 8, "file_name": "b/room.jpg"}]
    with pytest.raises(ValueError, match="image_name must name one image"):
        KnownBoxes.read(write(coco(images=images)), "room.jpg")
    assert KnownBoxes.read(write(coco(images=images)), "b/room.jpg").detections == HALL


def annotation(**changes) -> dict:
    entry = {"image_id": 7, "category_id": 63, "bbox": [0, 0, 1, 1]} | changes
    return coco(annotations=[{"image_id": 8, "category_id": 63, "bbox": [0, 0, 1, 1]}, entry])


@pytest.mark.parametrize(
    "content, words",
    [
        ("", "must be a JSON file: Expecting value"),
        ("sofa", "must be a JSON file"),
        ('[{"box": [NaN, 0, 1, 1], "label": "sofa"}]', "must be a JSON file: NaN is not a number"),
        ('[{"box": [0, 0, Infinity, 1], "label": "sofa"}]', "must be a JSON file: Infinity is not a number"),
        ('[{"box": [0, 0, 1e999, 1], "label": "sofa"}]', r"boxes\[0\]: box must be finite"),
        (f'[{{"box": [0, 0, 1{"0" * 400}, 1], "label": "sofa"}}]', r"boxes\[0\]: "),
        ("[" * 100_000, "must be a JSON file"),
        ("3", "must hold a list of .*or a COCO file .* got int 3"),
        ({}, "got an object with nothing in it"),
        ({"box": [0, 0, 1, 1]}, "got an object with 'box'"),
        ({"boxes": {}}, "got an object with 'boxes'"),
        ([[0, 0, 1, 1]], r'boxes\[0\] must have "box" \[x0, y0, x1, y1\] and "label", got list \[0, 0, 1, 1\]'),
        ([{"box": [0, 0, 1, 1]}], r"boxes\[0\] must have .* got an object with 'box'"),
        ([{"bbox": [0, 0, 1, 1], "category_id": 3}], "got an object with 'bbox', 'category_id'"),
        ([{"box": [0, 0, 1, 1], "label": "a"}, {"box": [0, 0, 1], "label": "b"}], r"boxes\[1\]: box must be four"),
        ([{"box": [0, 0, 1, "1"], "label": "sofa"}], "box must be four numbers"),
        ([{"box": None, "label": "sofa"}], "box must be four numbers"),
        ([{"box": [5, 0, 1, 1], "label": "sofa"}], "corners are swapped"),
        ([{"box": [1, 0, 1, 1], "label": "sofa"}], "box must have an area"),
        ([{"box": [0, 0, 1, 1], "label": ""}], "label must not be empty"),
        ([{"box": [0, 0, 1, 1], "label": 3}], "label must be text, got 3"),
        ([{"box": [0, 0, 1, 1], "label": "sofa", "score": 1.5}], r"score must be in 0\.\.1, got 1.5"),
        ([{"box": [0, 0, 1, 1], "label": "sofa", "score": None}], "score must be a number, got None"),
        (coco(images=None), 'must have a list "images" beside "annotations", got nothing'),
        (coco(categories={}), 'must have a list "categories"'),
        (coco(annotations={}), "annotations must be a list"),
        (coco(images=[{"id": 7}]), r'images\[0\] must have an "id" and a text "file_name", got an object with \'id\''),
        (coco(categories=[{"id": [3], "name": "couch"}]), r'categories\[0\] must have an "id" and a text "name"'),
        (coco(categories=[{"id": 3, "name": "a"}] * 2), r"categories\[1\] must have an id of its own, got 3 a second"),
        (coco(annotations=[3]), r'annotations\[0\] must have "image_id", "category_id" and "bbox", got int 3'),
        (annotation(category_id=64), r"annotations\[1\]: category_id must be the id of one of the categories, got 64"),
        (annotation(category_id=[63]), r"annotations\[1\]: category_id must be"),
        (annotation(bbox=[0, 0, 0, 1]), r"annotations\[1\]: bbox must be \[x, y, width, height\] with an area"),
        (annotation(bbox=[5, 0, -2, 1]), "with an area"),
        (annotation(bbox=[0, 0, 1]), r"annotations\[1\]: bbox must be four numbers of pixels"),
        (annotation(bbox=["0", "0", "1", "1"]), "bbox must be four numbers"),
        (annotation(bbox=[True, 0, 1, 1]), "bbox must be four numbers"),
        (annotation(bbox=[10**400, 0.5, 1.5, 1]), "bbox must be four numbers"),
        (annotation(score=2), r"annotations\[1\]: score must be in 0\.\.1, got 2"),
    ],
)
def test_a_bad_file_is_named_with_the_entry_and_what_would_be_right(write, content, words):
    path = write(content)
    image_name = 7 if isinstance(content, dict) and "annotations" in content else None
    with pytest.raises(ValueError, match=words) as caught:
        KnownBoxes.read(path, image_name)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 400 + len(str(path))  # no file's worth of text


def test_files_and_numbers_of_boxes_are_bounded(write, monkeypatch):
    entry = {"box": [0, 0, 1, 1], "label": "sofa"}
    monkeypatch.setattr(known, "MAX_BOXES", 2)
    assert len(KnownBoxes.read(write([entry] * 2)).detections) == 2
    with pytest.raises(ValueError, match="boxes.json must have at most 2 boxes for an image"):
        KnownBoxes.read(write([entry] * 3))
    assert KnownBoxes.read(write(coco()), 7).detections == ROOM
    crowded = [{"image_id": 7, "category_id": 63, "bbox": [0, 0, 1, 1]}] * 3
    with pytest.raises(ValueError, match="at most 2 boxes"):
        KnownBoxes.read(write(coco(annotations=crowded)), 7)
    assert KnownBoxes.read(write(coco(annotations=crowded)), 8).detections == ()
    monkeypatch.setattr(known, "MAX_BYTES", 40)
    with pytest.raises(ValueError, match="boxes.json must have at most 0 MB"):
        KnownBoxes.read(write([entry] * 2))


def test_a_missing_file_and_a_name_for_one_image(write, tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.json"):
        KnownBoxes.read(tmp_path / "nothing.json")
    with pytest.raises(ValueError, match="image_name is for COCO files, but .*boxes.json .* got 'room.jpg'"):
        KnownBoxes.read(write([]), "room.jpg")


def test_jitter_moves_each_side_by_its_own_uniform_share():
    boxes = [Detection((400, 300, 500, 340), "sofa", 0.7)] * 4000  # 100 x 40
    moved = jittered(boxes, 0.1, np.random.default_rng(1), (1000, 1000))
    assert {(item.label, item.score) for item in moved} == {("sofa", 0.7)}
    shares = (np.array([item.box for item in moved]) - boxes[0].box) / [100, 40, 100, 40]
    assert 0.0999 < np.abs(shares).max() <= 0.1 + 1e-12
    # a uniform value in +-0.1 has mean 0 and deviation 0.2 / sqrt(12)
    np.testing.assert_allclose(shares.mean(0), 0, atol=0.004)
    np.testing.assert_allclose(shares.std(0), 0.2 / np.sqrt(12), rtol=0.05)
    correlations = np.corrcoef(shares.T) - np.eye(4)
    assert np.abs(correlations).max() < 0.06


def test_jitter_by_nothing_clips_only_and_equal_states_agree():
    boxes = [Detection((-4, 5, 30, 40), "sofa"), Detection((10, 90, 300, 101), "rug", 0.5)]
    assert jittered(boxes, 0, np.random.default_rng(0), (100, 200)) == [
        Detection((0, 5, 30, 40), "sofa"),
        Detection((10, 90, 200, 100), "rug", 0.5),
    ]
    first, again, other = (jittered(boxes, 0.2, np.random.default_rng(seed), (100, 200)) for seed in (3, 3, 4))
    assert first == again != other
    assert jittered([], 0.2, np.random.default_rng(0), (100, 200)) == []


def test_jittered_boxes_stay_in_the_image_and_keep_an_area():
    rng = np.random.default_rng(2)
    corners = rng.uniform(-20, 90, (2000, 2))
    boxes = [Detection((x, y, x + w, y + h), "lamp") for (x, y), (w, h) in zip(corners, rng.uniform(21, 60, (2000, 2)))]
    moved = jittered(boxes, known.MAX_AMOUNT, rng, (100, 120))
    assert len(moved) == 2000
    for before, after in zip(boxes, moved):
        x0, y0, x1, y1 = after.box
        assert 0 <= x0 < x1 <= 120 and 0 <= y0 < y1 <= 100
        assert box_iou(before.box, after.box) > 0


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ({"amount": 0.5}, ValueError, r"amount must be in 0\.\.0.4, got 0.5"),
        ({"amount": -0.1}, ValueError, "amount must be in"),
        ({"rng": 3}, TypeError, "rng must be a numpy.random.Generator, got int"),
        ({"size": (100,)}, TypeError, r"size must be \(height, width\)"),
        ({"size": (100, 5)}, ValueError, r"must show in the image of 5 x 100 pixels, got \(10.0, 20.0, 40.5, 60.0\)"),
    ],
)
def test_bad_jitter(arguments, error, words):
    given = {"amount": 0.1, "rng": np.random.default_rng(0), "size": (100, 200)} | arguments
    with pytest.raises(error, match=words):
        jittered(ROOM[:1], **given)
