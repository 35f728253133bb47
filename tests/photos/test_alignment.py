"""The generator's frame in a photo: crops and masks there and back, FFHQ's recipe, and the choice of a face."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from stylemixseg.data.celebamask import read_celebamask
from stylemixseg.photos import alignment
from stylemixseg.photos.alignment import Face, FaceError, Frame, choose_face, find_faces

SIZE = (240, 320)  # (H, W) of the photo


def turned(degrees: float, centre=(160.0, 120.0), half_side=70.0) -> Frame:
    angle = np.radians(degrees)
    return Frame(centre, (half_side * np.cos(angle), half_side * np.sin(angle)), SIZE)


FRAMES = {
    "whole": Frame.whole(SIZE),
    "box": Frame.from_box((40, 60, 150, 170), SIZE),
    "turned 20 degrees": turned(20),
    "turned -160 degrees, fractional": turned(-160, (150.3, 118.9), 64.4),
    "partly outside": turned(20, (300.0, 30.0)),
}


@pytest.fixture(params=FRAMES)
def frame(request) -> Frame:
    return FRAMES[request.param]


def smooth(height: int, width: int) -> np.ndarray:
    """(H, W, 3) float, no detail finer than about 40 px."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    return np.stack([128 + 100 * np.sin(x / 25) * np.cos(y / 31), 0.7 * x, 255 - y], axis=-1)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


def interior(frame: Frame, margin: float) -> np.ndarray:
    """(H, W) bool: pixels at least `margin` px inside the frame and the photo, by the distance to its four edges."""
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]] + 0.5
    inside = (x > margin) & (y > margin) & (x < SIZE[1] - margin) & (y < SIZE[0] - margin)
    corners = frame.corners
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0)):  # clockwise: the inside is on the right
        inside &= ((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)) / frame.side > margin
    return inside


def test_crop_and_paste_give_a_smooth_photo_back(frame):
    photo = smooth(*SIZE)
    for side in (round(frame.side), 200, 64):  # the frame's own scale, enlarged, reduced
        crop = frame.crop(photo.round().astype(np.uint8), side)
        assert crop.shape == (side, side, 3) and crop.dtype == np.uint8
        back = np.stack([frame.paste(crop[..., i].astype(np.float64)) for i in range(3)], axis=-1)
        assert back.shape == photo.shape and back.dtype == np.float32
        error = np.abs(back - photo)[interior(frame, 3.0)]
        assert error.max() < 3 and error.mean() < 1.0  # in grey levels; a shift of one pixel gives 2 on average


def test_whole_square_photo_is_copied_exactly():
    pixels = np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8)
    np.testing.assert_array_equal(Frame.whole((50, 50)).crop(pixels, 50), pixels)


def test_whole_takes_the_centred_square():
    pixels = np.random.default_rng(0).integers(0, 256, (50, 80, 3), dtype=np.uint8)
    np.testing.assert_array_equal(Frame.whole((50, 80)).crop(pixels, 50), pixels[:, 15:65])
    np.testing.assert_array_equal(Frame.whole((80, 50)).crop(pixels.swapaxes(0, 1), 50), pixels.swapaxes(0, 1)[15:65])


def test_quarter_turn_and_orientation():
    """The axis points to the crop's right: an axis that points down in the photo turns the crop anticlockwise."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    frame = Frame((20, 20), (0, 20), (40, 40))
    np.testing.assert_array_equal(frame.crop(pixels, 40), np.rot90(pixels))
    np.testing.assert_allclose(frame.corners, [[40, 0], [40, 40], [0, 40], [0, 0]], atol=1e-9)
    values = np.random.default_rng(1).random((40, 40))
    np.testing.assert_allclose(frame.paste(values), np.rot90(values, -1), atol=1e-4)


def test_outside_the_photo_is_mirrored():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    frame = Frame.from_box((-10, -12, 30, 28), (40, 60))
    mirrored = np.pad(pixels, ((12, 0), (10, 0), (0, 0)), mode="symmetric")[:40, :40]
    np.testing.assert_array_equal(frame.crop(pixels, 40), mirrored)


def test_reducing_does_not_alias():
    """A one-pixel chessboard becomes its mean grey, whatever the angle."""
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    board = np.repeat(((x + y) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)
    for frame in (Frame.whole(SIZE), turned(20)):
        crop = frame.crop(board, round(frame.side / 4.3)).astype(float)
        assert crop.std() < 8  # sampling without reduction gives about 100
        assert abs(crop.mean() - 127.5) < 4


def test_mask_of_a_known_shape_returns_to_its_place(frame):
    """An ellipse drawn in the photo's pixels, and the same ellipse drawn in the frame's, agree."""
    a, centre = np.array(frame.axis), np.array(frame.centre)
    across, down = a / np.hypot(*a), np.array([-a[1], a[0]]) / np.hypot(*a)
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]] + 0.5
    offset = np.stack([x, y], axis=-1) - centre - 0.2 * frame.side * across  # right of the frame's centre
    expected = (offset @ across / 0.25) ** 2 + (offset @ down / 0.4) ** 2 < frame.side**2
    for side in (128, 512):
        v, u = (np.mgrid[0:side, 0:side] + 0.5) / side - 0.5  # in sides, from the centre
        mask = ((u - 0.2) / 0.25) ** 2 + (v / 0.4) ** 2 < 1
        pasted = frame.paste(mask)
        assert pasted.dtype == bool and pasted.shape == SIZE
        assert iou(pasted, expected) > 0.98
        soft = frame.paste(mask.astype(np.float32))
        assert soft.min() >= 0 and soft.max() <= 1 and iou(soft > 0.5, expected) > 0.98


def test_covered_is_the_square_and_the_rest_is_background(frame):
    covered = frame.covered()
    assert covered.dtype == bool and covered.shape == SIZE
    np.testing.assert_array_equal(covered, interior(frame, 0.0))
    np.testing.assert_array_equal(frame.paste(np.ones((8, 8), bool)), covered)
    soft = frame.paste(np.full((8, 8), 0.25), background=-3)
    np.testing.assert_array_equal(soft, np.where(covered, np.float32(0.25), np.float32(-3)))


def ffhq(left_eye, right_eye, mouth_left, mouth_right):
    """Centre, half sides x and y as complex numbers: the recipe once more, with multiplication by i as the turn."""
    left_eye, right_eye, mouth_left, mouth_right = (complex(*p) for p in (left_eye, right_eye, mouth_left, mouth_right))
    eyes, mouth = (left_eye + right_eye) / 2, (mouth_left + mouth_right) / 2
    x = (right_eye - left_eye) - 1j * (mouth - eyes)
    x *= max(2.0 * abs(right_eye - left_eye), 1.8 * abs(mouth - eyes)) / abs(x)
    return eyes + 0.1 * (mouth - eyes), x


@pytest.mark.parametrize(
    "points",
    [
        ((130, 100), (190, 100), (138, 165), (182, 165)),  # upright
        ((133, 90), (188, 112), (116, 152), (157, 168)),  # turned
        ((150, 100), (168, 101), (148, 162), (165, 163)),  # from the side: eyes to mouth decides
    ],
)
def test_landmarks_give_ffhqs_square(points):
    frame = Frame.from_landmarks(*points, size=SIZE)
    centre, x = ffhq(*points)
    assert complex(*frame.centre) == pytest.approx(centre)
    assert complex(*frame.axis) == pytest.approx(x)
    assert frame.side == pytest.approx(2 * abs(x))


def test_a_turned_face_gives_the_same_crop():
    """Landmarks turned with the photo: the eyes fall on one row, at the same place as before."""
    points = np.array([(130, 100), (190, 100), (138, 165), (182, 165)], dtype=float)
    angle = np.radians(20)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    straight = Frame.from_landmarks(*points, size=SIZE)
    leaning = Frame.from_landmarks(*((points - (160, 120)) @ turn.T + (160, 120)), size=SIZE)
    photo = smooth(*SIZE)
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]] + 0.5
    back = (np.stack([x, y], axis=-1) - (160, 120)) @ turn + (160, 120)  # where a pixel of the turned photo came from
    turned_photo = np.stack(
        [128 + 100 * np.sin(back[..., 0] / 25) * np.cos(back[..., 1] / 31), 0.7 * back[..., 0], 255 - back[..., 1]],
        axis=-1,
    ).clip(0, 255)
    crops = [
        f.crop(p.round().astype(np.uint8), 96).astype(int) for f, p in ((straight, photo), (leaning, turned_photo))
    ]
    assert np.abs(crops[0] - crops[1])[24:72, 24:72].max() <= 3


def test_box_is_made_square():
    frame = Frame.from_box((40, 100, 120, 110), SIZE)
    assert frame.centre == (80, 105) and frame.side == 80
    np.testing.assert_array_equal(frame.corners, [[40, 65], [120, 65], [120, 145], [40, 145]])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Frame.from_box((50, 10, 50, 20), SIZE), "x0 < x1"),
        (lambda: Frame.from_box((400, 10, 420, 20), SIZE), "beside the photo of 320 x 240"),
        (lambda: Frame.from_box((float("nan"), 10, 420, 20), SIZE), "x0 < x1"),
        (lambda: Frame((float("inf"), 0), (1, 0), SIZE), "centre must be two finite numbers"),
        (lambda: Frame((50, 50), (0, 0), SIZE), "must not coincide"),
        (lambda: Frame.whole((0, 5)), "size must be at least 1"),
        (lambda: Frame.from_landmarks((9, 9), (9, 9), (9, 9), (9, 9), SIZE), "no direction"),
        (lambda: Frame.from_landmarks((9, 9, 9), (9, 9), (9, 9), (9, 9), SIZE), "left_eye"),
        (lambda: FRAMES["box"].crop(np.zeros((5, 5, 3), np.uint8), 8), r"\(240, 320\), got pixels of \(5, 5\)"),
        (lambda: FRAMES["box"].crop(np.zeros((*SIZE, 3), np.uint8), 0), "side must be in 1..2048"),
        (lambda: FRAMES["box"].crop(np.zeros((*SIZE, 3)), 8), "uint8"),
        (lambda: FRAMES["box"].paste(np.zeros((8, 9))), r"square, \(side, side\), got \(8, 9\)"),
    ],
)
def test_refused_frames(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_large_photos_are_mapped_in_bands():
    """A frame of more than 256 rows: the same as one small frame, magnified."""
    mask = np.random.default_rng(0).random((10, 10)) > 0.5
    large = Frame.from_box((0, 0, 600, 600), (620, 610)).paste(mask.astype(np.float32))
    centres = np.arange(10) * 60 + 30  # a bilinear map is exact at the centres of the mask's pixels, up to half a pixel
    np.testing.assert_allclose(large[np.ix_(centres, centres)], mask, atol=0.03)
    assert not large[600:].any() and not large[:, 600:].any()


def test_labels_are_not_interpolated():
    with pytest.raises(TypeError, match="bool or floating-point, got int64"):
        FRAMES["box"].paste(np.zeros((8, 8), np.int64))


def face(x0: float, width: float) -> Face:
    return Face(np.zeros((4, 2)), (x0, 10.0, x0 + width, 10.0 + width), 1.0)


def test_choose_face():
    small, large = face(10, 20), face(60, 50)
    assert choose_face([small]) is small
    assert choose_face([small, large], "largest") is large
    assert choose_face([small, large], 0) is small
    with pytest.raises(FaceError, match=r"(?s)no face.*from_box.*whole"):
        choose_face([])
    with pytest.raises(FaceError, match=r'2 faces.*which="largest".*0: box \(10, 10, 30, 30\); 1: box \(60, 10, 110'):
        choose_face([small, large])
    for which in (2, -1, "smallest", True, 0.0):
        with pytest.raises(FaceError, match=r"which must be .* in 0..1"):
            choose_face([small, large], which)


@pytest.mark.parametrize("missing", ["dlib", "face_recognition_models"])
def test_missing_extra_is_named(monkeypatch, missing):
    for name in ("dlib", "face_recognition_models"):
        monkeypatch.setitem(sys.modules, name, None)
    alignment._dlib_models.cache_clear()
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'stylemixseg\[align\]'"):
        find_faces(np.zeros((64, 64, 3), np.uint8))


@pytest.fixture(scope="module")
def with_dlib():
    """find_faces really runs; the library and its model are the extra `align`."""
    pytest.importorskip("dlib", reason="the extra align is not installed (dlib)")
    pytest.importorskip("face_recognition_models", reason="the extra align is not installed (landmark model)")
    alignment._dlib_models.cache_clear()


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    """scikit-image's astronaut (512, 512, 3), public domain."""
    return pytest.importorskip("skimage.data", reason="scikit-image ships the photo").astronaut()


EYES = [(204, 102), (247, 105)]  # the astronaut's, read off the picture


def test_astronaut(with_dlib, astronaut):
    found = choose_face(find_faces(astronaut))  # the round badge, which the detector takes for a face, is not listed
    np.testing.assert_allclose(found.landmarks[:2], EYES, atol=3)
    assert found.notes == () and found.score > 1
    frame = Frame.from_landmarks(*found.landmarks, size=(512, 512))
    assert 150 < frame.side < 200


def test_a_large_photo_is_searched_reduced(with_dlib, astronaut, monkeypatch):
    monkeypatch.setattr(alignment, "_SEARCH_SIDE", 400)
    found = choose_face(find_faces(astronaut[:420]))
    np.testing.assert_allclose(found.landmarks[:2], EYES, atol=3)


def test_astronaut_turned_and_framed(with_dlib, astronaut):
    """A photo that leans by 20 degrees is put upright again."""
    leaning = Frame((256, 256), (256 * np.cos(np.radians(20)), 256 * np.sin(np.radians(20))), (512, 512))
    found = choose_face(find_faces(leaning.crop(astronaut, 512)), "largest")
    frame = Frame.from_landmarks(*found.landmarks, size=(512, 512))
    upright = Frame.from_landmarks(*choose_face(find_faces(astronaut)).landmarks, size=(512, 512))
    angle = [np.degrees(np.arctan2(f.axis[1], f.axis[0])) for f in (frame, upright)]
    assert angle[0] - angle[1] == pytest.approx(-20, abs=4)


def test_tiny_cut_off_and_absent_faces_are_said(with_dlib, astronaut):
    found = choose_face(find_faces(astronaut[:, 210:]))
    assert any("cut off" in note for note in found.notes)
    small = Frame.whole((512, 512)).crop(astronaut, 300)
    found = choose_face(find_faces(small))
    assert any("tiny: 2" in note for note in found.notes)  # 43 px x 300 / 512
    assert find_faces(np.full((300, 300, 3), 127, np.uint8)) == []


def test_another_landmark_model_is_refused(with_dlib, monkeypatch):
    monkeypatch.setattr(alignment, "_LANDMARKS_SHA256", "0" * 64)
    alignment._dlib_models.cache_clear()
    with pytest.raises(FaceError, match="SHA-256 0000.*got fbdc2cb8"):
        find_faces(np.zeros((64, 64, 3), np.uint8))


def test_landmarks_agree_with_human_masks(with_dlib):
    """On seven aligned portraits the eyes fall within 3 % of the side of where a person drew them."""
    try:
        photos = read_celebamask()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    errors = []
    for name in photos.names[::115]:
        image, labels = photos[name]
        faces = find_faces(image)
        drawn = [np.argwhere(labels == label)[:, ::-1] + 0.5 for label in (4, 5)]
        if faces and min(map(len, drawn)) > 20:
            drawn = sorted((points.mean(0) for points in drawn), key=lambda p: p[0])
            found = choose_face(faces, "largest").landmarks[:2]
            errors.append(np.linalg.norm(found - drawn, axis=1).max() / len(image))
    assert len(errors) >= 5
    assert np.median(errors) < 0.015 and max(errors) < 0.05


@pytest.mark.parametrize(
    "centre, axis", [((30, 60), (20, 0)), ((290, 20), (40, 25)), ((160, 120), (-9, 300)), ((0, 0), (7, 7))]
)
@pytest.mark.parametrize("side", [16, 64])
def test_a_crop_does_not_depend_on_how_much_of_the_photo_is_looked_at(monkeypatch, centre, axis, side):
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    frame = Frame(centre, axis, SIZE)
    part = frame.crop(pixels, side)
    monkeypatch.setattr(alignment, "_shown", lambda positions, length: (0, length))
    whole = frame.crop(pixels, side)
    assert np.abs(part.astype(int) - whole).max() <= 1  # rounding


def test_a_small_face_in_a_large_photo_takes_little_memory():
    """The photo as floating-point would take 12 bytes a pixel: 288 MB."""
    pixels = np.zeros((4000, 6000, 3), np.uint8)
    frame = Frame.from_box((3000, 2000, 3200, 2200), (4000, 6000))
    tracked = []
    real = torch.Tensor.float
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "float", lambda value: tracked.append(value.numel()) or real(value))
        frame.crop(pixels, 200)
    assert max(tracked) < 3 * 220 * 220
