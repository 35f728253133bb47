"""Objects of a photo: with an inverter that knows the latent, they must stand where the picture stands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_photos import Knowing

from stylemixseg.generators.base import seeded_z
from stylemixseg.generators.toyworld.world import THINGS, ToyWorld
from stylemixseg.mixing import query_image, to_generator_range
from stylemixseg.objects.detection.base import Detection
from stylemixseg.objects.detection.filtering import NoDetectionWarning
from stylemixseg.objects.detection.known import KnownBoxes
from stylemixseg.objects.segmenter import BOX_CONFIG, ObjectSegmenter
from stylemixseg.photos.alignment import Frame
from stylemixseg.photos.objects import PhotoObjectSegmenter, in_photo

SIDE = 64
PROMPT = ", ".join(THINGS)


class Watched:
    """A detector that keeps the images that it was shown."""

    name = "watched"

    def __init__(self, detector):
        self.detector, self.images = detector, []

    def __call__(self, image, phrases):
        self.images.append(image)
        return self.detector(image, phrases)


@pytest.fixture(scope="module")
def world() -> ToyWorld:
    return ToyWorld("room", resolution=SIDE)


@pytest.fixture(scope="module")
def ws(world) -> torch.Tensor:
    return world.mapping(seeded_z(0, world.z_dim), 0.7)


@pytest.fixture(scope="module")
def room(world, ws) -> np.ndarray:
    return query_image(world, ws)


@pytest.fixture
def detector(world, ws) -> Watched:
    return Watched(KnownBoxes.from_toy(world.truth(ws)[0]))


@pytest.fixture(scope="module")
def inside(world, ws):
    """The method on the latent itself."""
    detector = KnownBoxes.from_toy(world.truth(ws)[0])
    return ObjectSegmenter(world, detector, replace(BOX_CONFIG, n=6))(ws, PROMPT)


@pytest.fixture
def segmenter(world, ws, detector) -> PhotoObjectSegmenter:
    return PhotoObjectSegmenter(Knowing(ws), ObjectSegmenter(world, detector, replace(BOX_CONFIG, n=6)))


def backdrop(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_an_aligned_photo(segmenter, detector, room, inside):
    found = segmenter(room, PROMPT)
    np.testing.assert_array_equal(found.crop, room)
    np.testing.assert_array_equal(detector.images, [room])
    assert torch.equal(segmenter.inverter.photos, to_generator_range(room))
    for each in (found.inside, found.result):
        np.testing.assert_array_equal(each.instance, inside.instance)
        np.testing.assert_array_equal(each.semantic, inside.semantic)
    assert len(inside.objects) == 12 and found.inversion.method == "known"
    assert set(found.result.seconds) == {"inversion", "detection", "summary", "masks", "total"}
    assert found.result.seconds["inversion"] == 0.5


def test_objects_return_to_their_place_in_a_larger_photo(segmenter, detector, room, inside):
    """The detector sees the photo, not the reconstruction, which here differ by a stain."""
    photo = backdrop(90, 150)
    photo[20:84, 80:144] = room
    photo[21:24, 81:90] = 255
    found = segmenter(photo, PROMPT, Frame.from_box((80, 20, 144, 84), (90, 150)))
    np.testing.assert_array_equal(detector.images, [photo[20:84, 80:144]])
    np.testing.assert_array_equal(found.inside.image, room)
    np.testing.assert_array_equal(found.result.image, photo)
    for name in ("semantic", "instance"):
        expected = np.zeros((90, 150), np.int32)
        expected[20:84, 80:144] = getattr(inside, name)
        got = getattr(found.result, name)
        assert got.dtype == np.int32
        np.testing.assert_array_equal(got, expected)


def test_a_photo_that_is_not_square_is_looked_at_in_its_middle(segmenter, room, inside):
    photo = backdrop(64, 100)
    photo[:, 18:82] = room
    found = segmenter(photo, PROMPT)
    np.testing.assert_array_equal(found.result.instance[:, 18:82], inside.instance)
    assert not found.result.instance[:, :18].any() and not found.result.instance[:, 82:].any()


def nearest(values: np.ndarray, frame: Frame) -> np.ndarray:
    """Values (side, side) in a frame -> the photo's pixels, each with its nearest value; 0 outside the frame."""
    height, width = frame.size
    y, x = np.mgrid[:height, :width] + 0.5 - np.array(frame.centre)[::-1, None, None]
    right = np.array(frame.axis)
    down = np.array([-right[1], right[0]])
    u, v = ((x * way[0] + y * way[1]) / (right @ right) for way in (right, down))  # -1..1 in the frame
    side = len(values)
    column, row = (np.floor((w + 1) / 2 * side).astype(int) for w in (u, v))
    covered = (abs(u) < 1) & (abs(v) < 1)
    return np.where(covered, values[row.clip(0, side - 1), column.clip(0, side - 1)], 0)


@pytest.mark.parametrize(
    "centre, axis, least",
    [
        ((75, 60), (0, 32), 1.0),  # a quarter turn
        ((75, 60), (-32, 0), 1.0),  # upside down
        ((75, 60), (40, 25), 0.97),  # turned by 32 degrees, enlarged: edges are rounded off
        ((20, 30), (35, -20), 0.97),  # partly outside
        ((32, 32), (32, 0), 1.0),
        ((0, 32), (32, 0), 1.0),  # the left half is outside
    ],
)
def test_any_frame(inside, centre, axis, least):
    frame = Frame(centre, axis, (120, 150))
    photo = backdrop(120, 150)
    found = in_photo(inside, frame, photo)
    for name in ("semantic", "instance"):
        got, expected = getattr(found, name), nearest(getattr(inside, name), frame)
        assert (expected > 0).sum() > 400
        assert (got == expected).mean() >= least
        assert abs((got > 0).sum() / (expected > 0).sum() - 1) < 0.02  # neither grown nor shrunk
        assert not got[~frame.covered()].any()
    np.testing.assert_array_equal(found.semantic > 0, found.instance > 0)
    labels = {item.number: found.phrases.index(item.detection.label) + 1 for item in found.objects}
    for number, value in labels.items():
        assert (found.semantic[found.visible(number)] == value).all()
    assert found.objects is inside.objects  # boxes and crops stay those of the frame


def test_an_object_outside_the_photo_is_not_seen(inside):
    frame = Frame((-20, 32), (32, 0), (64, 64))  # its right 12 pixels are in the photo
    found = in_photo(inside, frame, backdrop(64, 64))
    np.testing.assert_array_equal(found.instance[:, :12], inside.instance[:, 52:])
    gone = [item.number for item in inside.objects if not inside.visible(item.number)[:, 52:].any()]
    assert gone and not any(found.visible(number).any() for number in gone)


def test_no_detection_in_a_photo(world, ws, room):
    empty = KnownBoxes([Detection((3, 3, 30, 30), "horse")])
    segmenter = PhotoObjectSegmenter(Knowing(ws), ObjectSegmenter(world, empty, replace(BOX_CONFIG, n=2)))
    with pytest.warns(NoDetectionWarning, match="no box at all for 'sofa'"):
        found = segmenter(backdrop(70, 90), "sofa")
    assert not found.result.instance.any() and found.result.instance.shape == (70, 90)


@pytest.mark.parametrize(
    "pixels, prompt, frame, words",
    [
        (np.zeros((64, 64), np.uint8), "sofa", None, r"pixels must be \(H, W, 3\) uint8"),
        (np.zeros((64, 64, 3)), "sofa", None, r"pixels must be \(H, W, 3\) uint8, got .* float64"),
        (backdrop(64, 64), "sofa", Frame.whole((64, 80)), r"the frame was made for a photo of .*\(64, 80\)"),
        (backdrop(64, 64), " ", None, "prompt must name an object"),
    ],
)
def test_bad_input_is_said_before_the_inversion(segmenter, pixels, prompt, frame, words):
    with pytest.raises(ValueError, match=words):
        segmenter(pixels, prompt, frame)
    assert segmenter.inverter.photos is None
