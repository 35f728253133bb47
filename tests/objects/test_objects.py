"""Masks inside boxes: against the toy world's truth, a crop worked by hand, and painted scenes with a known answer."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

from stylemixseg.clustering import kmeans
from stylemixseg.foreground import CORNERS, Saliency
from stylemixseg.generators.base import seeded_z
from stylemixseg.generators.openvino.engine import OpenVINOGenerator
from stylemixseg.generators.toyworld.world import CLASS_NAMES, THINGS, ToyWorld
from stylemixseg.joint.discriminant import StyleDiscriminant
from stylemixseg.mixing import draw_style_latents, query_image, style_mixed_images
from stylemixseg.objects.detection.base import Detection
from stylemixseg.objects.detection.filtering import BoxOutsideWarning, DetectionFilter, NoDetectionWarning
from stylemixseg.objects.detection.known import KnownBoxes
from stylemixseg.objects.detection.phrases import PromptLanguageWarning
from stylemixseg.objects.segmenter import BOX_CONFIG, MARGIN, MIN_SIDE, ObjectSegmenter, segment_boxes
from stylemixseg.settings import MixPlan, SegmenterConfig
from stylemixseg.summary import StyleStack, summary_from_images

CONFIG = replace(BOX_CONFIG, n=8)
PROMPT = ", ".join(THINGS)


@pytest.fixture(scope="module")
def world() -> ToyWorld:
    return ToyWorld("room", resolution=64)


def room(world: ToyWorld, seed: int) -> torch.Tensor:
    return world.mapping(seeded_z(seed, world.z_dim), 0.7)


def segmenter(world: ToyWorld, ws: torch.Tensor, config: SegmenterConfig = CONFIG, **settings) -> ObjectSegmenter:
    """With the exact boxes of one room."""
    return ObjectSegmenter(world, KnownBoxes.from_toy(world.truth(ws)[0]), config, **settings)


def instance_ious(found, truth) -> list[float]:
    """IoU of every thing of a room with the object of its box; 0 where it has none."""
    ious = []
    for box in truth.boxes:
        real = truth.instance == box.instance
        masks = [
            found.visible(item.number)
            for item in found.objects
            if item.detection.box == (box.x0, box.y0, box.x1, box.y1)
        ]
        ious.append((masks[0] & real).sum() / (masks[0] | real).sum() if masks else 0.0)
    return ious


def means_over_rooms(world: ToyWorld, **settings) -> float:
    ious = []
    for seed in range(3):
        ws = room(world, seed)
        ious += instance_ious(segmenter(world, ws, **settings)(ws, PROMPT), world.truth(ws)[0])
    assert len(ious) > 25
    return float(np.mean(ious))


def consistent(found) -> None:
    """What must hold of any result."""
    assert found.semantic.shape == found.instance.shape == found.image.shape[:2]
    assert found.semantic.dtype == found.instance.dtype == np.int32
    assert [item.number for item in found.objects] == list(range(1, len(found.objects) + 1))
    assert np.array_equal(found.semantic > 0, found.instance > 0)
    covered = np.zeros(found.instance.shape, int)
    for item in found.objects:
        visible = found.visible(item.number)
        covered += visible
        assert (found.semantic[visible] == found.phrases.index(item.detection.label) + 1).all()
        whole = np.zeros(found.instance.shape, bool)
        whole[item.rows, item.columns] = item.mask
        assert not (visible & ~whole).any()
        assert np.array_equal(item.mask, item.foreground[item.clusters])
    assert covered.max() <= 1 and np.array_equal(covered > 0, found.instance > 0)


def test_exact_boxes_of_the_toy_world(world):
    with_margin = means_over_rooms(world)
    assert with_margin > 0.9
    assert means_over_rooms(world, margin=0.0) < with_margin - 0.1  # the corners of a tight box round a rug are rug


def test_the_maps_of_a_room(world):
    ws = room(world, 0)
    found, truth = segmenter(world, ws)(ws, PROMPT), world.truth(ws)[0]
    consistent(found)
    assert found.phrases == THINGS and len(found.objects) == len(truth.boxes)
    np.testing.assert_array_equal(found.image, query_image(world, ws))
    names = np.array(["", *found.phrases])[found.semantic]
    things = truth.instance > 0
    assert (names == np.array(CLASS_NAMES)[truth.semantic])[things].mean() > 0.95
    assert (names == "")[~things].mean() > 0.97
    assert set(found.seconds) == {"detection", "summary", "masks"} and min(found.seconds.values()) >= 0


def by_hand(images: np.ndarray, box, margin: float, config: SegmenterConfig) -> tuple[slice, slice, np.ndarray]:
    """Rows, columns and mask of a box away from the border: the definition, without `segment_boxes`."""
    x0, y0, x1, y1 = box
    dx, dy = margin * (x1 - x0), margin * (y1 - y0)
    rows = slice(int(np.floor(y0 - dy)), int(np.ceil(y1 + dy)))
    columns = slice(int(np.floor(x0 - dx)), int(np.ceil(x1 + dx)))
    labels = kmeans(summary_from_images(images[:, rows, columns], config.color_space), config.k).labels
    b = max(1, round(0.0625 * min(labels.shape)))
    ends = (slice(b), slice(-b, None))
    corners = np.stack([labels[y, x] for y in ends for x in ends])
    held = np.array([(corners == m).sum() for m in range(config.k)])
    return rows, columns, (held < round(0.5 * 4 * b * b))[labels]


@pytest.mark.parametrize("changes", [{}, {"color_space": "rgb", "include_query": True, "k": 3}])
def test_a_mask_is_a_crop_clustered_by_hand(world, changes):
    """And colour space, query and k come from the configuration."""
    ws, config = room(world, 1), replace(CONFIG, **changes)
    images = style_mixed_images(world, ws, draw_style_latents(world, 8, config.style_seed), MixPlan(config.cutoff))
    if config.include_query:
        images = np.concatenate([images, query_image(world, ws)[None]])
    compared = 0
    for item in segmenter(world, ws, config)(ws, PROMPT).objects:
        if item.cut:
            continue
        rows, columns, mask = by_hand(images, item.detection.box, MARGIN, config)
        assert (item.rows, item.columns) == (rows, columns)
        np.testing.assert_array_equal(item.mask, mask)
        compared += 1
    assert compared >= 5


class Counted:
    """A generator that counts the images it makes."""

    def __init__(self, generator):
        self.generator, self.count = generator, 0

    def __getattr__(self, name):
        return getattr(self.generator, name)

    def synthesis(self, ws):
        self.count += len(ws)
        return self.generator.synthesis(ws)


@pytest.mark.parametrize("prompt, boxes", [("window", 2), (PROMPT, 12)])
def test_style_mixes_are_made_once_however_many_boxes(world, prompt, boxes):
    ws, counted = room(world, 0), Counted(world)
    assert len(segmenter(counted, ws)(ws, prompt).objects) == boxes
    assert counted.count == 1 + 8  # the query, and n


def test_without_a_box_nothing_is_mixed(world):
    ws, counted = room(world, 0), Counted(world)
    with pytest.warns(
        NoDetectionWarning, match="no box kept for 'horse'.*no box at all for 'horse': the image may not show it"
    ):
        found = segmenter(counted, ws)(ws, "horse")
    assert counted.count == 1 and found.objects == found.skipped == ()
    assert not found.semantic.any() and not found.instance.any() and found.semantic.shape == (64, 64)
    consistent(found)


def test_a_threshold_that_is_too_high(world):
    ws = room(world, 0)
    detector = KnownBoxes([Detection((4, 4, 40, 40), "rug", 0.25)])
    with pytest.warns(NoDetectionWarning, match="below the threshold 0.3 was 0.25, for 'rug': lower the threshold"):
        assert ObjectSegmenter(world, detector, CONFIG)(ws, "rug").objects == ()
    found = ObjectSegmenter(world, detector, CONFIG, keep=DetectionFilter(threshold=0.25))(ws, "rug")
    assert [item.detection.score for item in found.objects] == [0.25]


def test_clustering_at_a_fraction_of_the_size(world):
    ws = room(world, 1)
    config = replace(CONFIG, resolution=32)
    found = segmenter(world, ws, config)(ws, PROMPT)
    consistent(found)
    assert found.semantic.shape == (64, 64) and found.image.shape == (64, 64, 3)
    images = style_mixed_images(world, ws, draw_style_latents(world, 8, 2023), MixPlan(6, resolution=32))
    compared = 0
    for item in found.objects:
        edges = (item.rows.start, item.rows.stop, item.columns.start, item.columns.stop)
        assert all(edge % 2 == 0 for edge in edges)
        assert item.mask.shape == (edges[1] - edges[0], edges[3] - edges[2])
        np.testing.assert_array_equal(item.mask, item.mask[::2, ::2].repeat(2, 0).repeat(2, 1))
        if not item.cut:
            rows, columns, mask = by_hand(images, np.array(item.detection.box) / 2, MARGIN, config)
            assert edges == (2 * rows.start, 2 * rows.stop, 2 * columns.start, 2 * columns.stop)
            np.testing.assert_array_equal(item.mask[::2, ::2], mask)
            compared += 1
    assert compared >= 5
    assert np.mean(instance_ious(found, world.truth(ws)[0])) > 0.7


# Painted scenes: every region has one colour of its own in each of a few "style mixes", so clusters are regions.


def painted(regions: np.ndarray, n: int = 6) -> StyleStack:
    colours = np.random.default_rng(0).integers(0, 256, (n, 3, regions.max() + 1), dtype=np.uint8)
    return StyleStack(colours[:, :, regions])


def grey(regions: np.ndarray) -> np.ndarray:
    return np.full((*regions.shape, 3), 128, np.uint8)


def cut_out(regions: np.ndarray, detections, phrases, **settings):
    found = segment_boxes(painted(regions), detections, phrases, grey(regions), **settings)
    consistent(found)
    return found


@pytest.fixture
def discs() -> np.ndarray:
    """A large disc (1) with a small one (2) on it, 60 rows by 80 columns."""
    y, x = np.mgrid[:60, :80]
    regions = ((y - 30) ** 2 + (x - 40) ** 2 < 22**2).astype(int)
    regions[(y - 32) ** 2 + (x - 46) ** 2 < 6**2] = 2
    return regions


LARGE, SMALL = (18.0, 8.0, 63.0, 53.0), (39.0, 25.0, 53.0, 39.0)  # of the discs, a pixel of room around each


def test_overlaps_go_to_the_more_confident(discs):
    """The large disc alone is cut into two clusters by the small one on it; both lie inside its own mask."""
    whole = np.where(discs > 0, 1, 0)
    boxes = [Detection(LARGE, "rug", 0.6), Detection(LARGE, "table", 0.9)]
    for order in (boxes, boxes[::-1]):
        found = cut_out(whole, order, ["rug", "table"])
        assert [item.detection.label for item in found.objects] == ["table", "rug"]
        np.testing.assert_array_equal(found.visible(1), discs > 0)
        assert not found.visible(2).any() and found.objects[1].mask.any()  # hidden wholly
        np.testing.assert_array_equal(found.semantic, np.where(discs > 0, 2, 0))


def test_of_equal_confidence_the_smaller_lies_on_top(discs):
    boxes = [Detection(LARGE, "rug", 0.8), Detection(SMALL, "vase", 0.8)]
    for order in (boxes, boxes[::-1]):
        found = cut_out(discs, order, ["rug", "vase"], config=replace(BOX_CONFIG, k=3))
        assert [item.detection.label for item in found.objects] == ["vase", "rug"]
        np.testing.assert_array_equal(found.visible(1), discs == 2)
        np.testing.assert_array_equal(found.visible(2), discs == 1)
        inside = found.objects[1].mask
        assert inside.sum() == (discs > 0).sum()  # before overlaps are settled, the rug goes on under the vase
    boxes[0] = replace(boxes[0], score=0.81)
    confident = cut_out(discs, boxes, ["rug", "vase"], config=replace(BOX_CONFIG, k=3))
    assert [item.detection.label for item in confident.objects] == ["rug", "vase"]
    np.testing.assert_array_equal(confident.visible(2), discs == 2)  # its box lies in the rug's


def test_two_of_one_phrase_are_two_instances(discs):
    regions = np.concatenate([np.where(discs > 0, 1, 0)] * 2, axis=1)
    right = (LARGE[0] + 80, LARGE[1], LARGE[2] + 80, LARGE[3])
    found = cut_out(regions, [Detection(LARGE, "rug"), Detection(right, "rug", 0.5)], ["lamp", "rug"])
    np.testing.assert_array_equal(found.semantic, 2 * regions)
    np.testing.assert_array_equal(found.visible(1)[:, :80], discs > 0)
    np.testing.assert_array_equal(found.visible(2)[:, 80:], discs > 0)


def test_an_object_that_the_border_cuts():
    """It may fill one corner of its crop; where it fills two, it has as many as its surroundings, and that is said."""
    regions = np.zeros((50, 60), int)
    regions[10:40, :20] = 1
    box = Detection((0, 8, 24, 42), "sofa")
    found = cut_out(regions, [box], ["sofa"], margin=0.0)
    assert found.objects[0].cut == ("left",)
    np.testing.assert_array_equal(found.visible(1), regions == 1)
    regions[40:, :20] = 1  # it goes on below the box: a mask stays in its box
    lower = cut_out(regions, [box], ["sofa"], margin=0.0)
    np.testing.assert_array_equal(lower.visible(1)[:42], regions[:42] == 1)
    assert not lower.instance[42:].any()
    regions[:10, :20] = 1
    both = cut_out(regions, [box], ["sofa"], margin=0.0)
    assert not both.instance.any() and both.objects[0].note == "empty mask"


@pytest.mark.parametrize(
    "box, rows, columns, cut",
    [
        ((10, 20, 30, 40), (18, 42), (8, 32), ()),
        ((10.5, 20.5, 29.5, 39.2), (18, 42), (8, 32), ()),  # 1.9 and 1.87 of margin, then whole pixels
        ((1, 20, 21, 40), (18, 42), (0, 23), ("left",)),  # the margin reaches the border
        ((50, 2, 60, 12), (1, 13), (49, 60), ("right",)),
        ((0, 0, 60, 50), (0, 50), (0, 60), ("top", "bottom", "left", "right")),
    ],
)
def test_a_crop_is_the_box_with_its_margin_inside_the_image(box, rows, columns, cut):
    found = cut_out(np.arange(3000).reshape(50, 60) % 7, [Detection(box, "lamp")], ["lamp"], margin=0.1)
    (item,) = found.objects
    assert ((item.rows.start, item.rows.stop), (item.columns.start, item.columns.stop)) == (rows, columns)
    assert item.cut == cut and item.detection.box == box


@pytest.mark.parametrize("k, shape", [(2, (3, 30)), (30, (5, 5))])
def test_a_crop_that_is_too_small_is_skipped_with_the_reason(k, shape):
    assert min(shape) < MIN_SIDE or k > shape[0] * shape[1]
    regions = np.random.default_rng(1).integers(0, 40, (50, 60))
    tiny = Detection((10, 10, 10 + shape[1], 10 + shape[0]), "lamp", 0.9)
    large = Detection((20, 20, 40, 40), "lamp", 0.5)
    found = cut_out(regions, [tiny, large], ["lamp"], config=replace(BOX_CONFIG, k=k), margin=0.0)
    assert [item.detection for item in found.objects] == [large] and found.objects[0].number == 1
    ((skipped, reason),) = found.skipped
    assert skipped == tiny
    assert reason == f"its crop has {shape[1]} x {shape[0]} pixels, too few for {k} clusters and four corners"


def test_a_small_box_of_a_reduced_stack_is_skipped_too(discs):
    stack, image = painted(discs), np.zeros((240, 320, 3), np.uint8)  # a quarter of the image's size
    small, large = Detection((12, 12, 24, 24), "a"), Detection((80, 40, 250, 210), "a")
    found = segment_boxes(stack, [small, large], ["a"], image, margin=0.0)
    assert [item for item, _ in found.skipped] == [small] and [item.detection for item in found.objects] == [large]


def test_the_smallest_crop():
    regions = np.zeros((20, 20), int)
    regions[6:8, 6:8] = 1
    found = cut_out(regions, [Detection((5, 5, 9, 9), "a")], ["a"], margin=0.0)
    np.testing.assert_array_equal(found.visible(1), regions == 1)


def test_odd_masks_are_noted(discs):
    """An empty mask, where both clusters hold two corners; a full one, by a rule that takes all."""
    halves = np.zeros((40, 40), int)
    halves[:, 20:] = 1
    boxes = [Detection((10, 10, 30, 30), "a")]
    empty = cut_out(halves, boxes, ["a"], margin=0.0)
    assert empty.objects[0].note == "empty mask" and not empty.instance.any()
    full = cut_out(halves, boxes, ["a"], margin=0.0, config=replace(BOX_CONFIG, rule=Saliency(theta_saliency=0.0)))
    assert full.objects[0].note == "full mask" and full.visible(1).sum() == 400
    assert cut_out(discs, [Detection(LARGE, "a")], ["a"]).objects[0].note == ""


def test_hundreds_of_boxes_need_no_more_than_their_masks():
    n, side = 50, 16
    stack = painted(np.random.default_rng(2).integers(0, 9, (128, 128)), n)
    config = replace(BOX_CONFIG, restarts=1, iterations=3)
    places = np.random.default_rng(3).integers(0, 128 - side, (240, 2)).tolist()
    boxes = [Detection((x, y, x + side, y + side), "lamp", 1 - i / 1000) for i, (x, y) in enumerate(places)]
    image = np.zeros((128, 128, 3), np.uint8)

    def peak(count: int) -> int:
        tracemalloc.start()
        found = segment_boxes(stack, boxes[:count], ["lamp"], image, config, margin=0.0)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(found.objects) == count
        return most

    peak(5)  # what is made once
    each = (peak(240) - peak(40)) / 200
    masks = side * side * (4 + 1)  # clusters and mask
    assert masks < each < masks + 4096 < side * side * 3 * n  # less than one crop of the style mixes


def test_settings_of_the_clustering_pass_through(discs, monkeypatch):
    asked = []
    settings = {"kmeans_seed": 3, "restarts": 2, "iterations": 7, "max_points_per_cluster": 99}
    config = replace(BOX_CONFIG, k=5, **settings)

    def watched(stack, k, **settings):
        asked.append((stack.shape, k, settings))
        return kmeans(stack, k, **settings)

    monkeypatch.setattr("stylemixseg.summary.kmeans", watched)
    segment_boxes(painted(discs), [Detection(SMALL, "a")], ["a"], grey(discs), config, margin=0.5)
    expected = {"seed": 3, "restarts": 2, "iterations": 7, "max_points_per_cluster": 99}
    assert asked == [((28, 28, 18), 5, expected)]


def test_the_detector_looks_at_the_image_that_is_given(world):
    seen = []

    class Watching:
        name = "watching"

        def __call__(self, image, phrases):
            seen.append((image, phrases))
            return [Detection((10, 10, 40, 40), phrases[1])]

    ws, photo = room(world, 0), np.full((64, 64, 3), 7, np.uint8)
    with pytest.warns(NoDetectionWarning, match="'sofa'"):
        found = ObjectSegmenter(world, Watching(), CONFIG)(ws, "a sofa and the lamp", image=photo)
    ((image, phrases),) = seen
    assert np.array_equal(image, photo) and phrases == ("sofa", "lamp")
    assert np.array_equal(found.image, query_image(world, ws))
    assert set(np.unique(found.semantic)) == {0, 2}


@pytest.mark.parametrize("make", [lambda tiny: tiny, OpenVINOGenerator])
def test_learnt_generators_and_engines(tiny, make):
    generator = make(tiny)
    ws = generator.mapping(seeded_z(0, generator.z_dim), 0.7)
    detector = KnownBoxes([Detection((4, 6, 25, 26), "hair")])
    found = ObjectSegmenter(generator, detector, replace(CONFIG, cutoff=3, n=4), margin=0.0)(ws, ["hair"])
    consistent(found)
    images = style_mixed_images(generator, ws, draw_style_latents(generator, 4, 2023), MixPlan(3))
    *_, mask = by_hand(images, (4, 6, 25, 26), 0.0, CONFIG)
    np.testing.assert_array_equal(found.objects[0].mask, mask)


def test_the_papers_settings_are_the_defaults(world):
    segmenter = ObjectSegmenter(world, KnownBoxes(()))
    assert segmenter.config == BOX_CONFIG
    assert (segmenter.config.k, segmenter.config.rule.corners) == (2, CORNERS)
    assert segmenter.keep == DetectionFilter() and segmenter.margin == MARGIN


class Fixed:
    """A detector that answers with what it is given."""

    name = "fixed"

    def __init__(self, *detections: Detection):
        self.detections = detections

    def __call__(self, image, phrases):
        return list(self.detections)


def test_a_box_outside_the_image(world):
    ws = room(world, 0)
    outside, partly = Detection((70, 0, 90, 20), "rug", 0.9), Detection((40, 30, 900, 60), "rug", 0.8)
    with pytest.warns(BoxOutsideWarning, match=r"1 of 2 boxes lie outside the image of 64 x 64"):
        found = ObjectSegmenter(world, Fixed(outside, partly), CONFIG)(ws, "rug")
    assert [item.detection.box for item in found.objects] == [(40, 30, 64, 60)]  # clipped
    assert found.objects[0].cut == ("right",)


@pytest.mark.parametrize(
    "prompt, error, words",
    [
        ("", ValueError, "prompt must name an object"),
        (" , . ", ValueError, "prompt must name an object"),
        ("in a livingroom", ValueError, "prompt must name an object"),
        ("sofa, " * 500, ValueError, "prompt must have at most 1000 characters, got 3000"),
        (3, TypeError, "prompt must be text or a sequence of texts, got 3"),
    ],
)
def test_prompts_that_name_nothing(world, prompt, error, words):
    counted = Counted(world)
    with pytest.raises(error, match=words):
        ObjectSegmenter(counted, Fixed(), CONFIG)(room(world, 0), prompt)
    assert counted.count == 0


def test_a_prompt_in_another_alphabet_goes_on(world):
    box = Detection((10, 10, 40, 40), "диван")
    with pytest.warns(PromptLanguageWarning, match="'диван' is not in Latin letters"):
        assert len(ObjectSegmenter(world, Fixed(box), CONFIG)(room(world, 0), "диван").objects) == 1


def test_a_label_that_nobody_asked_for(world, discs):
    with pytest.raises(ValueError, match="detections must have labels among the phrases sofa, lamp, got 'rug'"):
        segment_boxes(painted(discs), [Detection(LARGE, "rug")], ["sofa", "lamp"], grey(discs))
    detector = Fixed(Detection((10, 10, 40, 40), "lamp"), Detection((10, 10, 40, 40), "rug"))
    with pytest.raises(ValueError, match="among the phrases lamp, got 'rug'"):
        ObjectSegmenter(world, detector, CONFIG)(room(world, 0), "lamp")


def two_rooms(world) -> torch.Tensor:
    return world.mapping(seeded_z([0, 1], world.z_dim), 0.7)


@pytest.mark.parametrize(
    "ws, words",
    [
        (two_rooms, r"ws must hold one query, shape \(1, num_ws, w_dim\), got \(2, 12, 32\)"),
        (lambda world: room(world, 0)[:, :5], r"ws must have shape \(N, 12, 32\)"),
        (lambda world: room(world, 0) * float("nan"), "ws must be finite"),
    ],
)
def test_latents_are_checked_before_the_detector_is_asked(world, ws, words):
    def never(image, phrases):
        raise AssertionError("asked")

    with pytest.raises(ValueError, match=words):
        ObjectSegmenter(world, never, CONFIG)(ws(world), "sofa")


def test_an_image_of_another_size(world):
    with pytest.raises(ValueError, match=r"image must have the generator's size \(64, 64, 3\), got \(64, 32, 3\)"):
        ObjectSegmenter(world, Fixed(), CONFIG)(room(world, 0), "sofa", image=np.zeros((64, 32, 3), np.uint8))
    with pytest.raises(ValueError, match=r"image must be \(H, W, 3\) uint8"):
        ObjectSegmenter(world, Fixed(), CONFIG)(room(world, 0), "sofa", image=np.zeros((64, 64, 3)))


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"margin": float("nan")}, r"margin must be in 0\.\.1, got nan"),
        ({"margin": -0.1}, "margin must be in"),
        ({"config": replace(CONFIG, cutoff=13)}, r"cutoff must be in 0\.\.12, got 13"),
        ({"config": replace(CONFIG, k=64 * 64 + 1)}, "k must be in 2"),
        (
            {"config": replace(CONFIG, judge=StyleDiscriminant(np.zeros(24, np.float32), 0.0))},
            "config must have no judge: it judges pixels of whole images",
        ),
    ],
)
def test_bad_settings(world, settings, words):
    with pytest.raises(ValueError, match=words):
        ObjectSegmenter(world, Fixed(), **{"config": CONFIG, **settings})


@pytest.mark.parametrize("number", [0, 2])
def test_there_is_no_such_object(discs, number):
    found = cut_out(discs, [Detection(LARGE, "a")], ["a"])
    with pytest.raises(ValueError, match="number must be in 1"):
        found.visible(number)


def test_a_box_inside_another_is_in_front_however_confident():
    """Hair's box holds the eyes' boxes: its mask must not hide them, whatever the scores say."""
    image = np.zeros((40, 40, 3), np.uint8)
    rng = np.random.default_rng(0)
    stack = StyleStack(rng.integers(0, 256, (3, 3, 40, 40), dtype=np.uint8))
    whole = replace(BOX_CONFIG, rule=lambda labels, k: np.ones(k, bool))  # every mask fills its crop
    large, inside, beside = (
        Detection((2, 2, 38, 38), "hair", 0.95),
        Detection((10, 10, 18, 18), "eye", 0.5),
        Detection((12, 30, 36, 40), "neck", 0.9),  # reaches out of the hair's box too far to lie in it
    )
    result = segment_boxes(stack, [large, inside, beside], ["hair", "eye", "neck"], image, whole, margin=0.0)
    numbers = {item.detection.label: item.number for item in result.objects}
    assert numbers == {"hair": 1, "neck": 2, "eye": 3}  # by confidence
    assert (result.instance[10:18, 10:18] == numbers["eye"]).all()
    assert (result.instance[30:38, 12:36] == numbers["hair"]).all()  # the more confident of two that only overlap
    assert (result.instance[38:40, 12:36] == numbers["neck"]).all()
    # Nearly the same box is not inside: confidence decides.
    twin = Detection((3, 3, 38, 38), "eye", 0.5)
    result = segment_boxes(stack, [large, twin], ["hair", "eye"], image, whole, margin=0.0)
    assert not result.visible(2).any()
