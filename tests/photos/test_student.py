"""The student on photos: its own files, one face or several, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from students import write_parts, write_student

from stylemixseg.commands import main as cli
from stylemixseg.commands import photos as command
from stylemixseg.export.classes import CLASS_FILES
from stylemixseg.export.images import COMPOSITION, MASK_FILES, RECORD
from stylemixseg.mixing import to_generator_range
from stylemixseg.models import student as module
from stylemixseg.models.student import PartsStudent, Student
from stylemixseg.photos.alignment import Face, Frame
from stylemixseg.photos.student import StudentSegmenter, parts_of_photo


@pytest.fixture
def weights(tmp_path, monkeypatch):
    path = write_student(tmp_path / "student.safetensors")
    monkeypatch.setattr(module, "WEIGHTS_FILE", path)
    return path


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.fixture
def photo(picture, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(picture).save(path)
    return path


def test_the_mask_is_the_networks_in_the_photos_own_pixels(weights, picture):
    student = Student.load()
    found = StudentSegmenter(student)(picture)
    frame = Frame.whole(picture.shape[:2])
    crop = frame.crop(picture, 48)
    inside = student.probability(to_generator_range(crop))[0].numpy()
    np.testing.assert_allclose(found.soft, frame.paste(inside), atol=1e-6)
    assert np.array_equal(found.mask, found.soft > 0.5) and np.array_equal(found.crop, crop)
    assert not found.soft[:, :8].any() and not found.soft[:, 56:].any()  # outside of the square


def test_flipped_images_give_flipped_masks(weights, picture):
    student = Student.load()
    images = to_generator_range(np.ascontiguousarray(picture[:48, :48]))
    straight, mirrored = student.probability(images), student.probability(images.flip(3)).flip(2)
    torch.testing.assert_close(straight, mirrored, atol=1e-4, rtol=0)
    assert torch.equal(student.foreground(images), straight > 0.5)


def test_of_several_squares_the_largest_probability_counts(weights, picture):
    segmenter = StudentSegmenter()
    frames = [Frame.from_box((5, 5, 25, 30), picture.shape[:2]), Frame.from_box((20, 10, 50, 40), picture.shape[:2])]
    both = segmenter(picture, frames).soft
    single = [segmenter(picture, [frame]).soft for frame in frames]
    np.testing.assert_array_equal(both, np.maximum(*single))


class _Blurred(torch.nn.Module):
    """Says foreground in a disc, with a soft outline that lies some pixels too far out."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        ends = torch.linspace(-1, 1, images.shape[-1])
        return 12 * (0.65 - torch.hypot(ends[:, None], ends[None]))[None, None]


def test_the_outline_goes_to_the_edges_of_the_image():
    y, x = np.mgrid[-1:1:96j, -1:1:96j]
    disc = np.hypot(x, y) < 0.6
    picture = np.where(disc[..., None], (200, 60, 40), (30, 90, 160)).astype(np.uint8)
    plain, sharp = (
        Student(_Blurred(), 33, edges=edges).foreground(to_generator_range(picture))[0].numpy() for edges in (0, 1 / 16)
    )
    assert (plain != disc).mean() > 0.03 and (sharp != disc).mean() < 0.005
    with pytest.raises(ValueError, match="edges must be"):
        Student(_Blurred(), 33, edges=0.5)


def test_the_record_says_how_the_student_looks(tmp_path):
    path = write_student(tmp_path / "chosen.safetensors", side=33, view={"side": 49, "edges": 0.125})
    chosen, trained = Student.load(path), Student.load(write_student(tmp_path / "trained.safetensors", side=33))
    assert (chosen.side, chosen.edges) == (49, 0.125) and (trained.side, trained.edges) == (33, 0.0)


def test_a_damaged_file_is_refused(weights):
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="is damaged or was changed"):
        Student.load()
    weights.unlink()
    with pytest.raises(FileNotFoundError, match="no student at"):
        Student.load()


def test_the_command_writes_its_files_and_is_not_done_twice(weights, photo, picture, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["segment", str(photo), "--student", "-o", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == {*MASK_FILES, RECORD}
    mask = np.asarray(Image.open(out / "mask.png"))
    assert np.array_equal(mask > 0, StudentSegmenter()(picture).mask)
    record = json.loads((out / RECORD).read_text())
    assert record["method"] == "student" and record["request"]["student"] == Student.load().digest
    assert record["mask_share"] == pytest.approx((mask > 0).mean())
    capsys.readouterr()
    assert cli.main(["segment", str(photo), "--student", "-o", str(out)]) == 0
    assert "finished before" in capsys.readouterr().out
    (out / "latent.npy").write_bytes(b"of an inversion before")
    assert cli.main(["segment", str(photo), "--student", "--background", str(photo), "-o", str(out)]) == 0
    assert (out / COMPOSITION).is_file() and not (out / "latent.npy").exists()


def test_a_folder_of_photos_has_a_folder_of_results_for_each(weights, photo, tmp_path, capsys):
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(photo.read_bytes())
    (folder / "broken.png").write_bytes(b"no image")
    assert cli.main(["segment", str(folder), "--student", "-o", str(out)]) == 1
    assert "broken.png" in capsys.readouterr().err
    masks = [(out / name / "mask.png").read_bytes() for name in ("a", "b")]
    assert masks[0] == masks[1] and not (out / "broken" / "mask.png").exists()


def test_every_face_is_looked_at(weights, photo, picture, tmp_path, monkeypatch, capsys):
    def faces(pixels):
        landmarks = np.array([(12, 14), (18, 14), (12, 18), (18, 18)], float)
        return [Face(landmarks, (10, 10, 20, 20), 1.0), Face(landmarks + np.array([30, 10]), (40, 20, 50, 30), 1.0)]

    monkeypatch.setattr(command, "find_faces", faces)
    out = tmp_path / "out"
    assert cli.main(["segment", str(photo), "--student", "--align", "-o", str(out)]) == 0
    assert "(2 faces)" in capsys.readouterr().out
    assert len(json.loads((out / RECORD).read_text())["frames"]) == 2
    frames = [command._frame_of(face, picture.shape[:2]) for face in faces(picture)]
    found, first = (StudentSegmenter()(picture, looked_at).soft for looked_at in (frames, frames[:1]))
    assert np.array_equal(np.asarray(Image.open(out / "soft.png")), np.rint(found * 255).astype(np.uint8))
    assert not np.array_equal(found, first)
    monkeypatch.setattr(command, "find_faces", lambda pixels: [])
    assert cli.main(["segment", str(photo), "--student", "--align", "-o", str(tmp_path / "no")]) == 1
    assert "no face was found" in capsys.readouterr().err


CLASSES = ("background", "skin", "hair")


def test_parts_lie_inside_the_mask(weights, picture, tmp_path):
    parts = PartsStudent.load(write_parts(tmp_path / "parts.safetensors", CLASSES))
    frames = [Frame.from_box((5, 5, 25, 30), picture.shape[:2]), Frame.from_box((20, 10, 50, 40), picture.shape[:2])]
    mask = np.zeros(picture.shape[:2], bool)
    mask[10:40, 8:50] = True
    labels = parts_of_photo(parts, picture, frames, mask)
    assert labels.dtype == np.uint8 and labels.max() <= 2 and not labels[~mask].any()
    whole = Frame.whole(picture.shape[:2])
    inside = whole.crop(picture, 48)
    likeliest = parts.probabilities(to_generator_range(inside))[0, 1:].argmax(0).numpy() + 1
    found = parts_of_photo(parts, picture, [], np.ones(picture.shape[:2], bool))
    np.testing.assert_array_equal(found[:, 8:56], likeliest)  # of a wide photo the middle
    assert not found[:, :8].any()


def test_the_command_names_parts(weights, photo, picture, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PARTS_FILE", write_parts(tmp_path / "parts.safetensors", CLASSES))
    out = tmp_path / "out"
    assert cli.main(["segment", str(photo), "--student", "--classes", "-o", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == {*MASK_FILES, *CLASS_FILES, RECORD}
    found = Image.open(out / "classes.png")
    assert found.mode == "P" and found.size == (64, 48)
    mask = StudentSegmenter()(picture).mask
    expected = parts_of_photo(PartsStudent.load(), picture, [], mask)
    np.testing.assert_array_equal(np.asarray(found), expected)
    assert json.loads((out / RECORD).read_text())["classes"] == list(CLASSES)


def test_a_student_that_knows_features_counts_them_as_skin_unless_they_are_asked_for(
    weights, photo, picture, tmp_path, monkeypatch, capsys
):
    known = ("background", "skin", "hair", "brows", "eyes", "nose", "mouth")
    monkeypatch.setattr(module, "PARTS_FILE", write_parts(tmp_path / "parts.safetensors", known))
    finer, given = PartsStudent.load(), to_generator_range(picture)
    coarse = finer.without_features()
    assert finer.classes == known and finer.has_features
    assert coarse.classes == CLASSES and not coarse.has_features
    each, summed = finer.probabilities(given)[0], coarse.probabilities(given)[0]
    np.testing.assert_allclose(summed[1], each[1] + each[3:].sum(0), atol=1e-6)
    np.testing.assert_allclose(summed[[0, 2]], each[[0, 2]], atol=1e-6)
    out, command = tmp_path / "out", ["segment", str(photo), "--student", "--classes", "-o", str(tmp_path / "out")]
    mask = StudentSegmenter()(picture).mask
    for more, student in (([], coarse), (["--features"], finer)):
        assert cli.main([*command, *more]) == 0
        assert "finished before" not in capsys.readouterr().out
        assert json.loads((out / RECORD).read_text())["classes"] == list(student.classes)
        expected = parts_of_photo(student, picture, [], mask)
        np.testing.assert_array_equal(np.asarray(Image.open(out / "classes.png")), expected)


def test_features_that_the_student_does_not_know(weights, photo, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "PARTS_FILE", write_parts(tmp_path / "parts.safetensors", CLASSES))
    command = ["segment", str(photo), "--student", "--classes", "--features", "-o", str(tmp_path / "out")]
    assert cli.main(command) == 1
    assert "--features needs a student that learnt them, and this one knows background, skin, hair" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    "more, message",
    [
        (["--classes", "names.json"], "names of its own"),
        (["--features"], "give both"),
        (["--inversion", "encoder"], "does not go with --inversion"),
        (["--mask", "rule"], "does not go with --mask"),
        (["--device", "cuda"], "runs on the CPU"),
        (["-n", "8"], "does not go with -n"),
        (["--objects", "sofa"], "does not go with --objects"),
        (["--generator", "faces"], "does not go with --generator"),
    ],
)
def test_what_the_student_has_no_use_for(weights, photo, more, message, tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(["segment", str(photo), "--student", *more, "-o", str(tmp_path / "out")])
    assert message in capsys.readouterr().err


def test_the_student_is_for_photos(tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(["segment", "--seed", "1", "--student", "-o", str(tmp_path / "out")])
    assert "--student is for a PHOTO" in capsys.readouterr().err
