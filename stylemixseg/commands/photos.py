"""`stylemixseg segment PHOTO...`: photographs in, one folder of masks each; a run that was cut goes on where it was."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.util import find_spec
from itertools import chain, count
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, ImageOps
from tqdm.auto import tqdm

from stylemixseg import __version__
from stylemixseg._util.paths import sha256_file
from stylemixseg.commands.method import choose_method
from stylemixseg.commands.objects import ObjectOptions, announce, box_config
from stylemixseg.commands.parsing import print_notes
from stylemixseg.export.classes import CLASS_FILES, save_classes
from stylemixseg.export.images import (
    COMPOSITION,
    MASK_FILES,
    PHOTO_FILES,
    read_record,
    save_photo_mask,
    save_photo_segmentation,
)
from stylemixseg.export.objects import PHOTO_OBJECT_FILES, save_photo_objects
from stylemixseg.generators.base import Generator
from stylemixseg.generators.mobilestylegan import MobileStyleGAN
from stylemixseg.generators.stylegan2.network import StyleGAN2
from stylemixseg.generators.zoo import check_engine, load_generator, with_engine
from stylemixseg.inversion import encoder
from stylemixseg.inversion.base import Inverter
from stylemixseg.inversion.kinds import INVERSIONS, PROJECTOR_STEPS, REFINE_STEPS
from stylemixseg.inversion.official_encoders import OfficialEncoder, load_official_encoder
from stylemixseg.inversion.projector import EncoderThenProjector, Projector
from stylemixseg.inversion.ways import inverters
from stylemixseg.models.student import PartsStudent
from stylemixseg.photos.alignment import Face, FaceError, Frame, choose_face, find_faces
from stylemixseg.photos.cost import estimate, output_cost
from stylemixseg.photos.objects import PhotoObjectSegmenter
from stylemixseg.photos.reading import Photo, PhotoError, list_photos, read_photo
from stylemixseg.photos.segmenter import PhotoSegmenter
from stylemixseg.photos.student import StudentSegmenter, parts_of_photo

STATE = "projection-state"  # folder beside a photo's results with the state of its projection, until they are written


@dataclass(frozen=True)
class PhotoOptions:
    """What is asked for every photo of a run; None leaves the choice to `PhotoJob`.

    Attributes:
        generator: a name of the catalogue or a checkpoint's path; None: the encoder file's own generator, else faces.
        engine, device: as for `load_generator`.
        align: find the face. face: which, "largest" or its number from the left.
        box: (x0, y0, x1, y1) of the head in the photo's pixels, in place of both.
        inversion: a key of `INVERSIONS`. refine: steps of the projector, 0 for none.
        encoder: an official ReStyle, e4e or pSp checkpoint.
        mask: "rule" or "joint". rule: "saliency" or "corner". edges: a key of `photos.segmenter.EDGES`.
        background: an image to put the person before.
        settings: of the method, by the names of `SegmenterConfig`.
        objects: what to look for, one mask each, in place of one foreground.
        student: let the student give the mask; it needs no generator and no inversion. parts: name the parts too.
    """

    generator: str | None = None
    engine: str = "auto"
    device: str = "cpu"
    align: bool = False
    face: int | str | None = None
    box: tuple[float, float, float, float] | None = None
    inversion: str | None = None
    refine: int | None = None
    encoder: Path | None = None
    mask: str | None = None
    rule: str | None = None
    edges: str | None = None
    background: Path | None = None
    settings: dict = field(default_factory=dict)
    objects: ObjectOptions | None = None
    student: bool = False
    parts: bool = False


def segment_photos(paths: Sequence[Path], out: Path, options: PhotoOptions) -> int:
    """Segment photos and folders of photos. One photo fills `out` itself; several get a folder each, `out/NAME`.

    Photos that were finished with the same settings are left alone. One that fails is reported at the end, and the rest
    is done.

    Returns:
        0, or 1 when a photo of several failed.

    Raises:
        ValueError, OSError, ImportError: a path, an option or a file that the whole run needs is not usable, or the
            only photo is not.
    """
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"{out} is a file: name a folder for the results")
    photos = named_photos(paths)
    alone = len(paths) == 1 and not os.path.isdir(paths[0])
    job = StudentJob(options) if options.student else PhotoJob(options)
    todo = {}
    for name, path in photos.items():
        folder, request = (out if alone else out / name), job.request(path)
        if is_finished(folder, request, job.files):
            tqdm.write(f"{folder}: finished before, with these settings")
        else:
            todo[name] = path, folder, request
    failed = {}
    announced = False
    with tqdm(total=len(photos), initial=len(photos) - len(todo), desc="photos", unit="photo", disable=alone) as bar:
        for path, folder, request in todo.values():
            try:
                written = {*PHOTO_FILES, COMPOSITION, *PHOTO_OBJECT_FILES}
                if os.path.realpath(path.parent) == os.path.realpath(folder) and path.name in written:
                    raise PhotoError(f"{path} would be overwritten by the results: choose another folder for --out")
                photo = read_photo(path)
                frames, squares, notes = job.look_for_faces(photo)
                for note in notes:
                    tqdm.write(f"note: {path.name}: {note}", file=sys.stderr)
                if not announced:
                    tqdm.write(job.announcement(len(todo), photo), file=sys.stderr)
                    announced = True
                record = {"photo": path.name, "notes": notes, **squares, "request": request}
                tqdm.write(job.segment(photo, frames, folder, record))
            except (ValueError, FileNotFoundError, FloatingPointError) as error:
                if alone:
                    raise
                failed[path.name] = error
            bar.update()
    if not alone:
        print(f"{len(todo) - len(failed)} segmented, {len(photos) - len(todo)} finished before, {len(failed)} failed")
    if failed:
        print(f"stylemixseg: {len(failed)} of {len(photos)} photos could not be segmented:", file=sys.stderr)
        for name, problem in failed.items():
            print(f"  {name}: {problem}", file=sys.stderr)
    return 1 if failed else 0


class Job(Protocol):
    """What is done with every photo of a run.

    Attributes:
        files: that every photo gets, besides the record.
    """

    files: tuple[str, ...]

    def request(self, path: Path) -> dict:
        """All that a photo's results depend on, as plain values."""
        ...

    def announcement(self, count: int, photo: Photo) -> str:
        """What will be done, in one line."""
        ...

    def look_for_faces(self, photo: Photo) -> tuple[list[Frame], dict, list[str]]:
        """The squares to look at, the same as entries of a record, and notes for the user."""
        ...

    def segment(self, photo: Photo, frames: list[Frame], folder: Path, record: dict) -> str:
        """Segment one photo into its folder; what was found, in one line."""
        ...


class StudentJob:
    """The student: no generator, no inversion, and with `align` every face of a photo.

    Raises:
        FileNotFoundError: there is no student.
        OSError: the background is not there.
    """

    def __init__(self, options: PhotoOptions):
        self._options = options
        self._background = None if options.background is None else read_photo(options.background).pixels
        self._segmenter = StudentSegmenter()
        self._parts = PartsStudent.load() if options.parts else None
        self.files = MASK_FILES + ((COMPOSITION,) if self._background is not None else ())
        self.files += CLASS_FILES if self._parts else ()

    def request(self, path: Path) -> dict:
        """All that a photo's results depend on, as plain values."""
        return {
            "photo": digest_of(path),
            "version": __version__,
            "student": self._segmenter.student.digest,
            "view": [self._segmenter.student.side, self._segmenter.student.edges],
            "parts": self._parts and self._parts.digest,
            **asked_of_every_photo(self._options),
        }

    def announcement(self, count: int, photo: Photo) -> str:
        """What will be done, in one line."""
        return f"{count} {'photo' if count == 1 else 'photos'}: the student; less than a second a face"

    def look_for_faces(self, photo: Photo) -> tuple[list[Frame], dict, list[str]]:
        """The squares to look at: with `align` and no choice those of all faces."""
        if not self._options.align or self._options.face is not None:
            frame, square, notes = choose_frame(photo, self._options)
            return [frame], {"frame": square}, notes
        faces = find_faces(photo.pixels)
        if not faces:
            raise FaceError("no face was found. On the command line: --box X0,Y0,X1,Y1, or leave out --align")
        size = photo.pixels.shape[:2]
        frames = [_frame_of(face, size) for face in faces]
        squares = [as_record(frame, "align") for frame in frames]
        return frames, {"frames": squares}, [*photo.notes, *(note for face in faces for note in face.notes)]

    def segment(self, photo: Photo, frames: list[Frame], folder: Path, record: dict) -> str:
        """Segment one photo into its folder; what was found, in one line."""
        result = self._segmenter(photo.pixels, frames)
        background = fitted_background(self._background, photo.pixels)
        if self._parts is not None:
            labels = parts_of_photo(self._parts, photo.pixels, frames, result.mask)
            save_classes(labels, self._parts.classes, folder)
            record["classes"] = list(self._parts.classes)
        save_photo_mask(result, photo.pixels, folder, record={**record, "method": "student"}, background=background)
        looked = f" ({len(frames)} faces)" if len(frames) > 1 else ""
        return f"{folder}: foreground is {result.mask.mean():.0%} of the photo{looked}"


class PhotoJob:
    """Generator, inverter and method of a run, chosen by its options.

    Raises:
        ValueError: options that the generator or the method cannot follow.
        OSError: a file that is not there.
    """

    def __init__(self, options: PhotoOptions):
        self._background = None if options.background is None else read_photo(options.background).pixels
        generator, official = load_for_photos(options)
        self._inverter, self._in_words, inversion = choose_inverter(generator, official, options)
        fast = with_engine(generator, options.engine, options.device)
        self._objects, self._prompt, about_objects = None, "", None
        if options.objects is None:
            self._segmenter, self.rule = choose_method(fast, options.mask, options.rule, options.settings, edges=False)
            self.edges = options.edges or default_edges(self.rule)
        else:
            config = box_config(options.rule, options.settings)
            self._objects = options.objects.segmenter(fast, config, options.device)
            self._prompt, about_objects = options.objects.prompt, options.objects.describe(fast, config)
            self._segmenter, self.rule, self.edges = self._objects.segmenter, options.rule or "corner", "none"
        self._options = options
        files: tuple[str, ...] = PHOTO_OBJECT_FILES if options.objects else PHOTO_FILES
        self.files = files + ((COMPOSITION,) if self._background is not None else ())
        self._settings = {
            "version": __version__,
            "generator": generator.digest,
            "inversion": inversion,
            "method": self._segmenter.config.cache_key(),
            "rule": self.rule,
            "edges": self.edges,
            "objects": about_objects,
            **asked_of_every_photo(options),
        }

    def request(self, path: Path) -> dict:
        """All that a photo's results depend on, as plain values."""
        return {"photo": digest_of(path), **self._settings}

    def look_for_faces(self, photo: Photo) -> tuple[list[Frame], dict, list[str]]:
        """The one square to look at, the same as an entry of a record, and notes for the user."""
        frame, square, notes = choose_frame(photo, self._options)
        return [frame], {"frame": square}, notes

    def announcement(self, count: int, photo: Photo) -> str:
        """What will be done, and its cost for the first photo, in one line."""
        seconds, peak = estimate(self._inverter, self._segmenter)
        written, held = output_cost(photo.pixels, with_background=self._background is not None)
        seconds, peak = seconds + written, peak and peak + held
        config = self._segmenter.config
        side = config.resolution or self._segmenter.generator.resolution
        redrawn = {"none": "", "guided": ", sharpened on the photo", "grabcut": ", redrawn on the photo"}[self.edges]
        cost = f"about {seconds:.0f} s a photo" + (f", {peak / 1e9:.1f} GB of memory" if peak else "")
        found = f" in boxes of {self._prompt!r} by {self._objects.detector.name}" if self._objects else ""
        return (
            f"{count} {'photo' if count == 1 else 'photos'}: {self._in_words}; {config.n} styles at "
            f"{side} px; {self.rule}{redrawn}{found}; {cost}"
        )

    def segment(self, photo: Photo, frames: list[Frame], folder: Path, record: dict) -> str:
        """Segment one photo into its folder; what was found, in one line."""
        (frame,) = frames
        folder.mkdir(parents=True, exist_ok=True)  # now: at the end it would cost the work to hear that it may not be
        state = folder / STATE
        inverter = self._inverter
        if isinstance(inverter, Projector | EncoderThenProjector):
            inverter = partial(inverter, resume=state)
        if self._objects:
            found = PhotoObjectSegmenter(inverter, self._objects)(photo.pixels, self._prompt, frame, progress=True)
            record = record | {"method": found.inversion.method}
            save_photo_objects(found, folder, record=record)
            shutil.rmtree(state, ignore_errors=True)
            return announce(folder, found.result)
        result = PhotoSegmenter(inverter, self._segmenter, edges=self.edges)(photo.pixels, frame, progress=True)
        method = {"method": result.inversion.method, "rule": self.rule, "edges": self.edges}
        background = fitted_background(self._background, photo.pixels)
        save_photo_segmentation(result, photo.pixels, folder, record=record | method, background=background)
        shutil.rmtree(state, ignore_errors=True)
        return f"{folder}: foreground is {result.mask.mean():.0%} of the photo"


def asked_of_every_photo(options: PhotoOptions) -> dict:
    """What is asked for whatever makes the mask: the square to look at and the background, as plain values."""
    return {
        "align": options.align,
        "face": options.face,
        "box": options.box and list(options.box),
        "background": options.background and sha256_file(options.background),
    }


def digest_of(path: Path) -> str | None:
    """SHA-256 of a photo's file; None where it cannot be read, which reading it will explain."""
    try:
        return sha256_file(path) if os.path.isfile(path) else None
    except OSError:
        return None


def fitted_background(background: np.ndarray | None, pixels: np.ndarray) -> np.ndarray | None:
    """A background, cropped and scaled to the size of a photo."""
    if background is None:
        return None
    height, width = pixels.shape[:2]
    return np.array(ImageOps.fit(Image.fromarray(background), (width, height), Image.Resampling.LANCZOS))


def default_edges(rule: str) -> str:
    """What is done with the photo's own pixels where nothing is asked: with a judge's mask the most that there is."""
    if rule != "joint":
        return "none"
    return "grabcut" if find_spec("cv2") else "guided"


def load_for_photos(options: PhotoOptions) -> tuple[MobileStyleGAN | StyleGAN2, Inverter | None]:
    """The generator in PyTorch on its device, and the official encoder where there is one."""
    check_engine(options.engine, options.device)  # the one of the mixes; inversion runs in PyTorch
    load = partial(load_generator, engine="torch", device=options.device)
    official: OfficialEncoder | None = None
    if options.encoder is None:
        generator = load(options.generator or "faces")
    else:
        given = None if options.generator is None else load(options.generator)
        official = load_official_encoder(options.encoder, given)
        generator = official.generator
    if not isinstance(generator, MobileStyleGAN | StyleGAN2):
        raise ValueError(
            f"a photo is inverted with gradients, and {generator.name} is drawn, it has none: take faces, "
            "or toy-stylegan to try things out"
        )
    print_notes(generator)
    return generator.to(options.device), official


def choose_inverter(
    generator: Generator, official: Inverter | None, options: PhotoOptions
) -> tuple[Inverter, str, dict]:
    """How photos are inverted, the same in words, and all that it depends on as plain values."""
    name, steps = options.inversion, options.refine
    if official is None and generator.name != "faces":
        if name in ("encoder", "both") or steps == 0:
            raise ValueError(
                f"{generator.name} has no encoder, it can only be inverted by --inversion projector; an "
                "official one for it goes to --encoder"
            )
        name = "projector"
    elif name is None:
        name = "encoder" if steps == 0 else "both"
    if name == "encoder":
        steps = 0
    elif steps is None:
        steps = PROJECTOR_STEPS if name == "projector" else REFINE_STEPS
    chosen: Inverter
    if official is not None and name == "encoder":
        chosen = official
    else:
        found = inverters(generator, steps, steps) if steps else inverters(generator)
        projector = found["projector"]
        assert isinstance(projector, Projector)
        chosen = found[name] if official is None else EncoderThenProjector(official, projector)
    words = INVERSIONS[name] + (f", {steps} steps" if steps else "")
    return (
        chosen,
        words,
        {
            "steps": steps,
            "projector": projector_settings(chosen),
            "encoder": None if name == "projector" else sha256_file(options.encoder or encoder.WEIGHTS_FILE),
        },
    )


def projector_settings(inverter: Inverter) -> str | None:
    """The settings of the projector in an inverter, as text."""
    projector = inverter.projector if isinstance(inverter, EncoderThenProjector) else inverter
    return projector.config.describe() if isinstance(projector, Projector) else None


def choose_frame(photo: Photo, options: PhotoOptions) -> tuple[Frame, dict, list[str]]:
    """The square to look at, the same as plain values, and notes on reading the photo and on the square."""
    size = photo.pixels.shape[:2]
    notes = list(photo.notes)
    if options.align:
        face = _chosen_face(photo.pixels, options.face)
        frame, chosen_by = _frame_of(face, size), "align"
        notes += face.notes
    elif options.box:
        frame, chosen_by = Frame.from_box(options.box, size), "box"
    else:
        frame, chosen_by = Frame.whole(size), "whole"
        if size[0] != size[1]:
            notes.append("taken as aligned: the square in its middle is looked at; --align finds the face")
    return frame, as_record(frame, chosen_by), notes


def as_record(frame: Frame, chosen_by: str) -> dict:
    """A square as plain values for a record, and how it was chosen."""
    return {"chosen by": chosen_by, **asdict(frame), "side": frame.side}


def _frame_of(face: Face, size: tuple[int, int]) -> Frame:
    left_eye, right_eye, mouth_left, mouth_right = face.landmarks
    return Frame.from_landmarks(left_eye, right_eye, mouth_left, mouth_right, size)


def _chosen_face(pixels: np.ndarray, which: int | str | None) -> Face:
    """As `choose_face`, with advice for the command line."""
    faces = find_faces(pixels)
    try:
        return choose_face(faces, which)
    except FaceError as error:
        advice = "--face largest, or --face NUMBER" if faces else "--box X0,Y0,X1,Y1, or leave out --align"
        raise FaceError(f"{error}. On the command line: {advice}") from error


def named_photos(paths: Sequence[Path]) -> dict[str, Path]:
    """The photos in files and folders, each under a name of its own, which its folder of results gets.

    The name is the file's, without its ending where no other photo lays claim to that, and with a number where two
    files have one name. Capital and small letters count as equal, as some file systems take them so. A photo that is
    named twice is taken once.

    Raises:
        FileNotFoundError, PhotoError: see `list_photos`.

    Warns:
        PassedOverWarning: see `list_photos`.
    """
    found = [photo for path in paths for photo in (list_photos(path) if os.path.isdir(path) else [path])]
    unique: dict[str, Path] = {}
    for path in found:
        unique.setdefault(os.path.abspath(path), path)
    photos = unique.values()
    claims = Counter(key for path in photos for key in {_folded(path.stem), _folded(path.name)})
    named: dict[str, Path] = {}
    taken: set[str] = set()
    for path in photos:
        alone = claims[_folded(path.stem)] == 1 and not path.stem.startswith(".")
        wanted = [path.stem, path.name] if alone else [path.name]
        numbered = (f"{path.name} ({number})" for number in count(2))
        name = next(name for name in chain(wanted, numbered) if _folded(name) not in taken)
        named[name] = path
        taken.add(_folded(name))
    return named


def _folded(name: str) -> str:
    """Equal for names that a file system may take for one: letters in any case, accents composed or not."""
    return unicodedata.normalize("NFC", name).casefold()


def is_finished(folder: Path, request: dict, files: Sequence[str]) -> bool:
    """Whether a folder has the results that are asked for, all of these files."""
    return read_record(folder).get("request") == request and all(os.path.isfile(folder / name) for name in files)
