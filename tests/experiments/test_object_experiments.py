"""The experiments on objects: scores worked by hand, then whole runs on small toy worlds: files, names, going on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from stylemixseg._util import paths
from stylemixseg.evaluation.results import load_run, measurements
from stylemixseg.experiments import objects as rooms_experiment
from stylemixseg.experiments import parts as parts_experiment
from stylemixseg.experiments.kept import kept
from stylemixseg.experiments.objects import (
    JITTER,
    MODES,
    VARIANTS,
    WITHOUT_BOXES,
    room_summary,
    run_objects,
    score_boxes,
    score_room,
    score_whole,
    true_boxes,
    whole_image_classes,
)
from stylemixseg.experiments.parts import parts_of, run_parts, score_parts
from stylemixseg.experiments.profile import load_profile
from stylemixseg.experiments.registry import listed
from stylemixseg.experiments.reproduce import reproduce
from stylemixseg.experiments.scoring import oracle_labels
from stylemixseg.experiments.words import FACE_PARTS, WAYS
from stylemixseg.generators.toyworld.world import CLASS_NAMES, FAILURE_MODES, THINGS, ToyBox, ToyTruth, ToyWorld
from stylemixseg.metrics import bootstrap_mean
from stylemixseg.mixing import query_image
from stylemixseg.models.references import CLASS_NAMES as PARSER_CLASSES
from stylemixseg.objects.detection.base import Detection
from stylemixseg.objects.detection.known import jittered
from stylemixseg.objects.segmenter import segment_boxes
from stylemixseg.summary import StyleStack

PROFILE = load_profile("smoke").changed(
    method={"n": 6, "resolution": 32}, objects={"scenes": 2, "faces": 2}, joint={"fit_count": 12}
)
RUG, SOFA, LAMP = (CLASS_NAMES.index(name) for name in ("rug", "sofa", "lamp"))


# Kept on disk.


def test_a_result_is_made_once(tmp_path):
    path, made = tmp_path / "new" / "one.json", []

    def make() -> dict:
        made.append(1)
        return {"value": (1, 2.5), "name": None}

    first = kept(path, make)
    assert first == kept(path, make) == {"value": [1, 2.5], "name": None} and len(made) == 1  # as JSON holds it


@pytest.mark.parametrize("content", [b"", b'{"value": 1', b"[1, 2]", b"3", b"\xff\xfe"])
def test_a_damaged_file_is_made_again(tmp_path, content):
    path = tmp_path / "one.json"
    path.write_bytes(content)
    assert kept(path, lambda: {"value": 4}) == {"value": 4}
    assert json.loads(path.read_text()) == {"value": 4}


def test_a_maker_that_fails_leaves_nothing(tmp_path):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept(tmp_path / "one.json", interrupted)
    with pytest.raises(TypeError):
        kept(tmp_path / "two.json", lambda: {"array": np.zeros(3)})
    assert list(tmp_path.iterdir()) == []


# Scores by hand.


def test_the_class_of_a_cluster_is_that_of_most_of_its_pixels():
    labels = np.array([[0, 0, 0, 1], [1, 1, 2, 2]])
    truth = np.array([[4, 4, 1, 0], [3, 3, 1, 1]])
    assert oracle_labels(labels, 4, truth, 5).tolist() == [4, 3, 1, 0]  # cluster 3 has no pixel
    random = np.random.default_rng(0)
    labels, truth = random.integers(0, 6, (2, 30, 40))
    best = oracle_labels(labels, 6, truth, 6)
    for cluster, chosen in enumerate(best):
        counts = [((labels == cluster) & (truth == value)).sum() for value in range(6)]
        assert counts[chosen] == max(counts)


@pytest.fixture
def truth() -> ToyTruth:
    """A sofa, and two lamps of which the second hides a part of the sofa; 6 by 8 pixels."""
    instance = np.zeros((6, 8), np.int32)
    instance[1:5, 1:5], instance[0:2, 6:8], instance[2:4, 4:6] = 1, 2, 3
    semantic = np.array([0, SOFA, LAMP, LAMP], np.int32)[instance]
    boxes = (ToyBox(1, 1, 5, 5, "sofa", 1), ToyBox(6, 0, 8, 2, "lamp", 2), ToyBox(4, 2, 6, 4, "lamp", 3))
    return ToyTruth(semantic, instance, boxes, instance > 0)


def test_a_room_by_hand(truth):
    semantic = np.zeros((6, 8), int)
    semantic[1:5, 1:4], semantic[0:2, 5:8], semantic[5, 0] = SOFA, LAMP, RUG
    masks = {1: semantic == SOFA, 2: semantic == LAMP}  # the second lamp was missed
    scores = score_room(masks, semantic, truth)
    # 14 pixels of sofa are seen, 12 of them found; 4 of the lamp, in a mask of 6.
    assert scores["instances"] == [["sofa", 12 / 14], ["lamp", 4 / 6], ["lamp", 0.0]]
    assert set(scores["classes"]) == set(CLASS_NAMES)
    assert scores["classes"]["sofa"] == [12, 0, 2, 34]
    assert scores["classes"]["lamp"] == [4, 2, 4, 38]
    assert scores["classes"]["rug"] == [0, 1, 0, 47]
    assert scores == json.loads(json.dumps(scores))


def painted(regions: np.ndarray, n: int = 5) -> StyleStack:
    """Style mixes in which each region has a colour of its own."""
    colours = np.random.default_rng(0).integers(0, 256, (n, 3, regions.max() + 1), dtype=np.uint8)
    return StyleStack(colours[:, :, regions])


@pytest.fixture
def scene() -> tuple[np.ndarray, ToyTruth]:
    """Regions of a scene whose two lamps and sofa stand apart, and its truth; 40 by 60 pixels."""
    regions = np.zeros((40, 60), int)
    regions[8:30, 6:30], regions[10:20, 40:48], regions[24:34, 40:50] = 1, 2, 3
    regions[8:12, 6:10] = 0  # a corner of the sofa is missing
    semantic = np.array([0, SOFA, LAMP, LAMP], np.int32)[regions]
    boxes = (ToyBox(6, 8, 30, 30, "sofa", 1), ToyBox(40, 10, 48, 20, "lamp", 2), ToyBox(40, 24, 50, 34, "lamp", 3))
    return regions, ToyTruth(semantic, regions.astype(np.int32), boxes, regions > 0)


def test_boxes_are_paired_with_their_things(scene):
    """By order, whatever the detector's confidence; a box that is too small scores 0."""
    regions, truth = scene
    stack, image = painted(regions), np.zeros((40, 60, 3), np.uint8)
    perfect = score_boxes(stack, truth, image, true_boxes(truth))
    assert perfect["instances"] == [["sofa", 1.0], ["lamp", 1.0], ["lamp", 1.0]]
    size = 40 * 60
    assert perfect["classes"]["lamp"] == [180, 0, 0, size - 180]
    boxes = [replace(box, score=score) for box, score in zip(true_boxes(truth), (0.1, 0.5, 0.9))]
    assert score_boxes(stack, truth, image, boxes) == perfect
    boxes[1] = Detection((40, 10, 41, 11), "lamp")
    missed = score_boxes(stack, truth, image, boxes)
    assert missed["instances"] == [["sofa", 1.0], ["lamp", 0.0], ["lamp", 1.0]]
    assert missed["classes"]["lamp"] == [100, 0, 80, size - 180]
    # Without a margin the second lamp fills its box, and three of the sofa's corners are sofa.
    tight = score_boxes(stack, truth, image, true_boxes(truth), margin=0.0)
    assert tight["instances"] == [["sofa", 0.0], ["lamp", 0.0], ["lamp", 0.0]]
    with pytest.raises(ValueError, match="zip"):
        score_boxes(stack, truth, image, boxes[:2])


def test_one_clustering_of_the_whole_image(scene):
    regions, truth = scene
    stack = painted(np.where(regions == 3, 2, regions))  # the lamps are painted alike
    np.testing.assert_array_equal(whole_image_classes(stack, truth, k=3), truth.semantic)
    one = np.where(regions == 1, 1, 0)  # the lamps are painted like the wall
    assert set(np.unique(whole_image_classes(painted(one), truth, k=2))) == {0, SOFA}


def test_the_whole_images_instances_are_cut_out_by_boxes(scene, monkeypatch):
    regions, truth = scene
    semantic = truth.semantic.copy()
    semantic[10:15, 40:48] = 0  # half of the first lamp is missed
    semantic[36:, :] = LAMP  # and there is lamp where none is
    monkeypatch.setattr(rooms_experiment, "whole_image_classes", lambda stack, truth: semantic)
    scores = score_whole(painted(regions), truth)
    assert scores["instances"] == [["sofa", 1.0], ["lamp", 0.5], ["lamp", 1.0]]
    assert scores["classes"]["lamp"] == [140, 240, 40, 40 * 60 - 420]


def test_parts_by_hand():
    truth = np.zeros((6, 10), bool)
    truth[1:5, 1:4] = truth[1:5, 6:9] = True  # two eyes of 12 pixels
    inside = truth[0:6, 0:5].astype(int)
    eye = SimpleNamespace(
        detection=Detection((1, 1, 4, 5), "eyes"),
        rows=slice(0, 6),
        columns=slice(0, 5),
        clusters=inside,
        foreground=np.array([True, False]),
        mask=inside == 0,
    )  # the rule took the wrong cluster
    whole = np.zeros((6, 10), int)
    whole[:, :5], whole[1:5, 6:8] = 1, 2
    scores = score_parts([eye], whole, {"eyes": truth, "nose": ~truth}, [eye.detection])
    x0, y0, x1, y1 = (round(edge) for edge in eye.detection.box)
    filled = np.zeros_like(truth)
    filled[y0:y1, x0:x1] = True
    overlap = (filled & truth).sum() / (filled | truth).sum()
    expected = {"box": 0.0, "box_best": 12 / 24, "whole_best": 8 / 24, "filled_box": overlap}  # not 12 / 42
    assert scores["eyes"] == expected and overlap > 0
    assert scores["nose"]["box"] == scores["nose"]["box_best"] == scores["nose"]["filled_box"] == 0.0  # no box
    assert scores["nose"]["whole_best"] == pytest.approx(18 / 40)  # not 18 / 48


# Whole runs.


def with_one_run(stack, boxes, phrases, image, config, margin):
    """`segment_boxes` with one run of K-means a box."""
    return segment_boxes(stack, boxes, phrases, image, replace(config, restarts=1), margin)


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Small rooms, few runs of K-means, and one cache folder for this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STYLEMIXSEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(rooms_experiment, "RESOLUTION", 32)
        patch.setattr(rooms_experiment, "segment_boxes", with_one_run)
        yield paths.cache_dir()


@pytest.fixture(scope="module")
def rooms(quick, tmp_path_factory) -> Path:
    return run_objects(PROFILE, tmp_path_factory.mktemp("results"))


def test_files_and_names_of_rooms(rooms):
    assert rooms.name == "objects.json" and rooms.parent.name == "smoke"
    record = load_run(rooms)
    assert (record.experiment, record.profile, record.seed) == ("objects", "smoke", 0)
    assert record.generator == {"name": "toy-room", "sha256": ToyWorld("room", resolution=32).digest}
    found = measurements(rooms)
    names = {name.removeprefix("toy.objects.") for name in found}
    ways = {*VARIANTS, *MODES}
    assert ways == {"oracle", "tight", "jitter05", "jitter10", "jitter20", "whole", "shared", *FAILURE_MODES}
    assert {f"{way}.instances.iou" for way in ways} <= names
    assert {f"{way}.{thing}.pixels.iou" for way in ways for thing in THINGS} <= names
    assert {name.split(".")[0] for name in names if ".wall." in name} == set(WITHOUT_BOXES)
    assert all(name.startswith("toy.") for name in found)  # never beside the paper's
    for item in found.values():
        low, high = item.interval
        assert 0 <= low <= item.value <= high <= 1


def test_numbers_of_rooms(rooms):
    """Again from the parts: the mean over all instances of both rooms, and its interval over rooms."""
    world, found = ToyWorld("room", resolution=32), measurements(rooms)
    groups = {"oracle": [], "jitter20": [], "tight": []}
    for seed in (0, 1):
        stack, truth, image = room_summary(world, PROFILE, seed)
        boxes = true_boxes(truth)
        moved = {share: jittered(boxes, share, np.random.default_rng(seed), (32, 32)) for share in JITTER}
        for name, given, margin in (("oracle", boxes, 0.1), ("jitter20", moved[0.2], 0.1), ("tight", boxes, 0.0)):
            scores = score_boxes(stack, truth, image, given, margin=margin)
            groups[name].append([iou for _, iou in scores["instances"]])
    for name, ious in groups.items():
        item = found[f"toy.objects.{name}.instances.iou"]
        values = [value for group in ious for value in group]
        assert item.value == pytest.approx(np.mean(values)) and item.n == len(values) > 10
        assert item.interval == pytest.approx(bootstrap_mean(ious))
    assert found["toy.objects.oracle.instances.iou"].value > 0.85
    assert found["toy.objects.tight.instances.iou"].value < found["toy.objects.oracle.instances.iou"].value
    sofas = [found[f"toy.objects.{name}.sofa.instances.iou"].value for name in ("shared_paint", "oracle")]
    assert sofas[0] < sofas[1]
    assert "5%" in found["toy.objects.jitter05.instances.iou"].note


def fail(*_, **__):
    raise AssertionError("made again")


def test_a_second_run_of_rooms_reads_what_is_kept(rooms, quick, tmp_path, monkeypatch):
    monkeypatch.setattr(rooms_experiment, "room_summary", fail)
    again = measurements(run_objects(PROFILE, tmp_path))
    assert again == measurements(rooms)
    with pytest.raises(AssertionError, match="made again"):  # another setting is another run
        run_objects(PROFILE.changed(method={"n": 7}), tmp_path)


def test_a_damaged_room_is_made_again(rooms, quick, tmp_path, monkeypatch):
    (damaged,) = (quick / "objects").glob("occlusion-*/seed00001.json")
    whole = damaged.read_text()
    damaged.write_text(whole[:50])
    made = []
    real = rooms_experiment.room_summary
    monkeypatch.setattr(rooms_experiment, "room_summary", lambda *given: made.append(given) or real(*given))
    assert measurements(run_objects(PROFILE, tmp_path)) == measurements(rooms)
    ((world, _, seed),) = made
    assert world.failures == FAILURE_MODES["occlusion"] and seed == 1
    assert json.loads(damaged.read_text()) == json.loads(whole)


def test_ctrl_c_keeps_the_rooms_that_are_done(rooms, tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEMIXSEG_CACHE", str(tmp_path / "cache"))
    rooms_experiment._shared_clusters.cache_clear()
    made, real = [], rooms_experiment.room_summary

    def stop_in_the_first_failure_mode(*given):
        if len(made) == 2 + PROFILE.joint.fit_count:  # both rooms, and the others in which shared clusters are found
            raise KeyboardInterrupt
        made.append(given)
        return real(*given)

    monkeypatch.setattr(rooms_experiment, "room_summary", stop_in_the_first_failure_mode)
    with pytest.raises(KeyboardInterrupt):
        run_objects(PROFILE, tmp_path)
    assert len(list((tmp_path / "cache").rglob("seed*.json"))) == 2
    assert not list(tmp_path.rglob("objects.json"))
    made.clear()
    monkeypatch.setattr(rooms_experiment, "room_summary", lambda *given: made.append(given) or real(*given))
    assert measurements(run_objects(PROFILE, tmp_path)) == measurements(rooms)
    assert len(made) == 2 * 5  # five failure modes; the two rooms without one were kept


@pytest.fixture(scope="module")
def portrait() -> ToyWorld:
    return ToyWorld("portrait", resolution=32)


@pytest.fixture(scope="module")
def parts(quick, portrait, tmp_path_factory) -> Path:
    return run_parts(PROFILE, tmp_path_factory.mktemp("results"), portrait)


def test_files_and_names_of_parts(parts, portrait):
    assert parts.name == "parts.json" and parts.parent.name == "smoke"
    record = load_run(parts)
    assert (record.experiment, record.profile) == ("parts", "smoke")
    assert record.generator == {"name": "toy-portrait", "sha256": portrait.digest}
    shown = {}
    for seed in (0, 1):
        w0 = parts_experiment.query_latent(portrait, PROFILE, seed)
        truth = portrait.truth(w0)[0]
        boxes, masks = parts_of(portrait, PROFILE, seed, query_image(portrait, w0))
        assert {box.label for box in boxes} == set(masks) == {box.label for box in truth.boxes}
        for name, mask in masks.items():
            np.testing.assert_array_equal(mask, truth.semantic == CLASS_NAMES.index(name))
            shown[name] = shown.get(name, 0) + 1
    found = measurements(parts)
    assert set(found) == {f"toy.parts.{part}.{way}.iou" for part in shown for way in WAYS}
    for part, count in shown.items():
        values = {way: found[f"toy.parts.{part}.{way}.iou"] for way in WAYS}
        assert all(item.n == count and 0 <= item.value <= 1 for item in values.values())
        assert values["box_best"].value > 0


def test_a_second_run_of_parts_reads_what_is_kept(parts, portrait, tmp_path, monkeypatch):
    monkeypatch.setattr(parts_experiment, "segment_boxes", fail)
    assert measurements(run_parts(PROFILE, tmp_path, portrait)) == measurements(parts)
    for change in (
        {"method": {"cutoff": 5}},
        {"queries": {"truncation": 0.5}},
        {"method": {"style_seed": 1}},
        {"method": {"color_space": "rgb"}},
        {"method": {"n": 5}},
    ):
        with pytest.raises(AssertionError, match="made again"):
            run_parts(PROFILE.changed(**change), tmp_path, portrait)
    with pytest.raises(AssertionError, match="made again"):
        run_parts(PROFILE, tmp_path, ToyWorld("portrait", resolution=32, subject="plant"))


def test_parts_by_the_face_parser(portrait, monkeypatch):
    """Parts that the detector has no box for are left out of the truth, too."""
    labels = np.zeros((32, 32), np.uint8)
    labels[4:10, 4:28], labels[20:24, 10:20] = PARSER_CLASSES.index("hair"), PARSER_CLASSES.index("nose")
    boxes = [Detection((4, 4, 28, 10), "hair", 0.8)]
    asked = []
    monkeypatch.setattr(parts_experiment, "FaceParts", lambda: lambda image, phrases: asked.append(phrases) or boxes)
    monkeypatch.setattr(parts_experiment, "reference_parts", lambda *_: (labels, ()))
    image = np.zeros((32, 32, 3), np.uint8)
    found, masks = parts_of(portrait, PROFILE.changed(reference="face_parser"), 0, image)
    assert asked == [FACE_PARTS] and found == boxes and list(masks) == ["hair"]
    np.testing.assert_array_equal(masks["hair"], labels == PARSER_CLASSES.index("hair"))


def test_reproduce_knows_the_tables(rooms, quick, tmp_path):
    assert {"objects", "parts", "detectors"} <= set(listed())
    assert measurements(reproduce("objects", PROFILE, tmp_path)) == measurements(rooms)
    path = reproduce("parts", PROFILE.changed(method={"resolution": None}), tmp_path)
    assert path == tmp_path / "smoke" / "parts.json"
    assert load_run(path).generator["name"] == "toy-portrait"
