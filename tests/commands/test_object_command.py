"""`stylemixseg segment ... --objects PROMPT` as users call it: toy rooms with exact boxes, boxes of a file, photos."""

from __future__ import annotations

import json
import sys
import warnings
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import made_photos
import numpy as np
import pytest
from PIL import Image

from stylemixseg import load_generator, seeded_z
from stylemixseg.commands import main as cli
from stylemixseg.commands import objects as objectcommand
from stylemixseg.commands import photos as photocommand
from stylemixseg.commands.objects import ObjectOptions, announce, best_detector, box_config, load_detector
from stylemixseg.experiments.scoring import RULES
from stylemixseg.export.images import RECORD
from stylemixseg.export.objects import OBJECT_FILES, PHOTO_OBJECT_FILES
from stylemixseg.foreground import CORNERS, CornerMinority, Saliency
from stylemixseg.generators.openvino.engine import OpenVINOGenerator
from stylemixseg.generators.toyworld.world import THINGS, ToyWorld
from stylemixseg.generators.zoo import CATALOGUE, Entry
from stylemixseg.inversion import projector
from stylemixseg.objects.detection.base import Detection
from stylemixseg.objects.detection.filtering import BoxOutsideWarning, NoDetectionWarning
from stylemixseg.objects.detection.known import KnownBoxes
from stylemixseg.objects.segmenter import BOX_CONFIG, ObjectSegmenter
from stylemixseg.photos.alignment import Frame

SMALL = ["segment", "-n", "4"]
SIDE = 64


@pytest.fixture
def room(monkeypatch) -> ToyWorld:
    """The catalogue's toy room, smaller."""
    world = ToyWorld("room", resolution=SIDE)
    monkeypatch.setitem(CATALOGUE, "toy-room", Entry(**{**vars(CATALOGUE["toy-room"]), "load": lambda: world}))
    return world


@pytest.fixture
def boxes(tmp_path):
    """Write boxes as a file."""

    def write(*entries, name: str = "boxes.json") -> Path:
        path = tmp_path / name
        content = entries[0] if len(entries) == 1 and isinstance(entries[0], str) else json.dumps(entries)
        path.write_text(content)
        return path

    return write


def segment(*arguments) -> int:
    return cli.main([*SMALL, *map(str, arguments)])


def in_the_room(*arguments) -> int:
    return segment("--generator", "toy-room", "--seed", 7, *arguments)


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def record(folder: Path) -> dict:
    return json.loads((folder / RECORD).read_text())


def test_a_toy_room_whole(room, tmp_path, capsys):
    out = tmp_path / "out"
    assert in_the_room("--objects", ", ".join(THINGS), "-n", 12, "-o", out) == 0
    assert {path.name for path in out.iterdir()} == {*OBJECT_FILES, RECORD}
    ws = room.mapping(seeded_z(7, room.z_dim), 0.7)
    truth = room.truth(ws)[0]
    ious = []
    instance = read(out / "instance.png")
    for item in record(out)["objects"]:
        (true,) = (box for box in truth.boxes if [box.x0, box.y0, box.x1, box.y1] == item["box"])
        assert true.label == item["phrase"]
        real, found = truth.instance == true.instance, instance == item["number"]
        ious.append((real & found).sum() / (real | found).sum())
    assert len(ious) == len(truth.boxes) and np.mean(ious) > 0.9

    found = record(out)
    assert found["query"] == {"seed": 7, "truncation": 0.7}
    assert found["prompt"] == ", ".join(THINGS) and found["phrases"] == list(THINGS)
    assert (found["detector"], found["detector_files"]) == ("truth", {})
    assert (found["threshold"], found["margin"]) == (0.3, 0.1)
    assert found["generator"] == {"name": "toy-room", "sha256": room.digest}
    settings = found["settings"]
    assert (settings["n"], settings["k"], settings["rule"]) == (12, 2, repr(BOX_CONFIG.rule))
    seconds = found["seconds"]
    assert set(seconds) == {"detection", "summary", "masks", "total"}
    assert seconds["total"] >= seconds["detection"] + seconds["summary"] + seconds["masks"] > 0
    counts = [sum(box.label == kind for box in truth.boxes) for kind in THINGS]
    words = ", ".join(f"{count} x {kind}" for count, kind in zip(counts, THINGS) if count)
    assert f"{out}: {words}" in capsys.readouterr().out


def test_the_files_are_what_the_parts_give(room, tmp_path):
    given = ["-k", 3, "--rule", "saliency", "--resolution", 32, "--margin", 0.3, "--color-space", "rgb"]
    assert in_the_room("--objects", "couch, a rug", "--style-seed", 5, "-c", 7, *given, "-o", tmp_path / "out") == 0
    settings = {"n": 4, "k": 3, "resolution": 32, "color_space": "rgb", "style_seed": 5, "cutoff": 7}
    config = box_config("saliency", settings)
    assert isinstance(config.rule, Saliency) and config.color_space == "rgb"
    ws = room.mapping(seeded_z(7, room.z_dim), 0.7)
    expected = ObjectSegmenter(room, load_detector("truth", room, ws=ws), config, margin=0.3)(ws, ["couch", "rug"])
    assert expected.instance.any()
    np.testing.assert_array_equal(read(tmp_path / "out" / "instance.png"), expected.instance)
    np.testing.assert_array_equal(read(tmp_path / "out" / "semantic.png"), expected.semantic)
    assert record(tmp_path / "out")["margin"] == 0.3


def test_a_latent_file_gives_the_same_objects_as_its_seed(room, tmp_path):
    np.save(tmp_path / "w.npy", room.mapping(seeded_z(7, room.z_dim), 0.7)[0].numpy())
    given = ["--objects", "sofa, rug", "--generator", "toy-room"]
    assert segment("--seed", 7, *given, "-o", tmp_path / "a") == 0
    assert segment("--latent", tmp_path / "w.npy", *given, "-o", tmp_path / "b") == 0
    for name in OBJECT_FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert record(tmp_path / "b")["query"] == {"latent": "w.npy"}


def test_boxes_of_a_file(room, boxes, tmp_path, capsys):
    file = boxes(
        {"box": [5, 5, 40, 60], "label": "sofa", "score": 0.4},
        {"box": [10, 20, 60, 60], "label": "Lamps"},
        {"box": [1, 1, 9, 9], "label": "cat"},
        {"box": [20, 20, 24.5, 25], "label": "rug", "score": 0.2},
    )
    given = ["--detector", file, "--objects", "couch, lamp, rug", "-o", tmp_path / "out"]
    with pytest.warns(NoDetectionWarning, match="below the threshold 0.3 was 0.2, for 'rug'"):
        assert in_the_room(*given) == 0
    found = record(tmp_path / "out")
    assert [(item["phrase"], item["box"]) for item in found["objects"]] == [
        ("lamp", [10, 20, 60, 60]),
        ("couch", [5, 5, 40, 60]),  # by confidence
    ]
    assert found["detector"] == "boxes.json" and set(found["detector_files"]) == {"boxes.json"}
    assert str(tmp_path) not in (tmp_path / "out" / RECORD).read_text()  # no path of this machine
    assert in_the_room(*given, "--threshold", 0.2, "--margin", 0) == 0
    assert {item["phrase"] for item in record(tmp_path / "out")["objects"]} == {"couch", "lamp", "rug"}
    assert record(tmp_path / "out")["threshold"] == 0.2
    assert "1 x couch, 1 x lamp, 1 x rug" in capsys.readouterr().out


def test_small_boxes_are_counted(room, boxes, tmp_path, capsys):
    """A box of 4 pixels may be clustered, but not at half the size."""
    tiny = [{"box": [x, 8, x + 4, 12], "label": "cup", "score": 1 - x / 100} for x in (8, 40)]
    large = {"box": [5, 5, 40, 60], "label": "sofa"}
    given = ["--objects", "cup, sofa", "--resolution", 32, "--margin", 0, "-o", tmp_path / "out", "--detector"]
    assert in_the_room(*given, boxes(tiny[0], large)) == 0
    assert capsys.readouterr().out.endswith("out: 1 x sofa (1 box too small)\n")
    assert in_the_room(*given, boxes(*tiny, large)) == 0
    assert capsys.readouterr().out.endswith("out: 1 x sofa (2 boxes too small)\n")
    *_, skipped = record(tmp_path / "out")["objects"]
    assert skipped["skipped"] == "its crop has 2 x 2 pixels, too few for 2 clusters and four corners"


def test_no_detection_is_advice_and_empty_maps(room, tmp_path, capsys):
    with pytest.warns(NoDetectionWarning, match="no box kept for 'horses'. The detector gave no box at all"):
        assert in_the_room("--objects", "the horses", "-o", tmp_path / "out") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*OBJECT_FILES, RECORD}
    for name in ("semantic.png", "instance.png"):
        assert read(tmp_path / "out" / name).shape == (SIDE, SIDE) and not read(tmp_path / "out" / name).any()
    assert record(tmp_path / "out")["objects"] == []
    assert json.loads((tmp_path / "out" / "objects.coco.json").read_text())["annotations"] == []
    assert capsys.readouterr().out.endswith("out: no object\n")


def test_notes_on_the_terminal(room, tmp_path, capsys, monkeypatch):
    """Warnings as users see them: no place in the code, each once."""
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # the command line sets its own
    monkeypatch.setattr(warnings, "showwarning", printed)  # pytest keeps them to itself
    assert in_the_room("--objects", "диван", "-o", tmp_path / "out") == 0
    language, advice = capsys.readouterr().err.splitlines()
    assert language.startswith("note: prompt: 'диван' is not in Latin letters")
    assert advice.startswith(
        "note: no box kept for 'диван'. The detector gave no box at all for 'диван': the image may not"
    )


def printed(message, category, filename, lineno, file=None, line=None):
    print(warnings.formatwarning(message, category, filename, lineno, line), end="", file=sys.stderr)


def test_a_box_outside_the_image(room, boxes, tmp_path):
    file = boxes({"box": [500, 500, 900, 900], "label": "sofa"}, {"box": [30, 30, 900, 900], "label": "sofa"})
    with pytest.warns(BoxOutsideWarning, match="1 of 2 boxes lie outside the image of 64 x 64 pixels"):
        assert in_the_room("--detector", file, "--objects", "sofa", "-o", tmp_path / "out") == 0
    (item,) = record(tmp_path / "out")["objects"]
    assert item["box"] == [30, 30, 64, 64] and item["cut by the border"] == ["bottom", "right"]


@pytest.mark.parametrize(
    "content, words",
    [
        ('[{"box": [NaN, 0, 1, 1], "label": "sofa"}]', "boxes.json must be a JSON file: NaN is not a number"),
        ([{"box": [5, 5, 5, 9], "label": "sofa"}], "boxes.json: boxes[0]: box must have an area"),
        ([{"box": [9, 5, 5, 9], "label": "sofa"}], "corners are swapped"),
        ([{"box": [1, 5, 5, 9], "label": "sofa", "score": 3}], "score must be in 0..1, got 3"),
        ("sofa", "boxes.json must be a JSON file"),
    ],
)
def test_a_bad_file_of_boxes_is_one_clear_line_and_leaves_nothing(room, boxes, tmp_path, capsys, content, words):
    file = boxes(content) if isinstance(content, str) else boxes(*content)
    assert in_the_room("--detector", file, "--objects", "sofa", "-o", tmp_path / "out") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("stylemixseg: ") and words in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--objects", ""], "prompt must name an object, such as 'sofa, coffee table, lamp', got ''"),
        (["--objects", "in a livingroom"], "prompt must name an object"),
        (["--objects", "sofa " * 500], "prompt must have at most 1000 characters, got 2500"),
        (["--objects", "sofa", "--detector", "coco-sd"], "did you mean 'coco-ssd'?"),
        (["--objects", "sofa", "--detector", "nowhere/boxes.json"], "boxes.json"),
        (["--objects", "sofa", "--detector", "face-parts"], "phrases must name parts of a face (face, skin, hair, "),
        (["--objects", "sofa", "--threshold", "2"], "threshold must be in 0..1, got 2"),
        (["--objects", "sofa", "--margin", "nan"], "margin must be in 0..1, got nan"),
        (["--objects", "sofa", "-k", "1"], "k must be at least 2, got 1"),
        (["--objects", "sofa", "-k", "5000"], "k must be in 2..4096, got 5000"),
        (["--objects", "sofa", "--resolution", "50"], "resolution must divide the generator's 64, got 50"),
        (["--objects", "sofa", "-c", "13"], "cutoff must be in 0..12, got 13"),
    ],
)
def test_bad_input_is_one_clear_line_and_leaves_nothing(room, tmp_path, capsys, arguments, words):
    assert in_the_room(*arguments, "-o", tmp_path / "out") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("stylemixseg: ") and words in line
    assert not (tmp_path / "out").exists()


def test_a_bad_prompt_is_said_before_anything_is_loaded(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("stylemixseg.generators.zoo.load_generator", lambda *_, **__: pytest.fail("loaded"))
    monkeypatch.setattr(photocommand, "load_generator", lambda *_, **__: pytest.fail("loaded"))
    for query in (["--seed", 1], [tmp_path / "photo.png"]):
        assert segment(*query, "--objects", ". ,", "-o", tmp_path / "out") == 1
        assert "prompt must name an object" in capsys.readouterr().err


def test_a_detector_that_is_not_installed(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)  # importing it fails
    given = ["--generator", "toy-stylegan", "--seed", 7, "--objects", "horses", "-o", tmp_path / "out"]
    assert segment(*given) == 1  # grounding-dino, where nothing needs less
    assert "is not installed: pip install 'stylemixseg[detectors]'" in capsys.readouterr().err
    assert segment(*given, "--detector", "owlv2") == 1
    assert "pip install 'stylemixseg[detectors]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_exact_boxes_are_the_toy_worlds_only(photo, tmp_path, capsys):
    words = "detector 'truth' is for images of the toy world, which knows its boxes, got toy-stylegan"
    given = ["--generator", "toy-stylegan", "--objects", "sofa", "--detector", "truth", "-o", tmp_path / "out"]
    assert segment(*given, "--seed", 7) == 1
    assert words in capsys.readouterr().err
    assert segment(*given, photo) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--seed", "1", "--detector", "truth"], "--detector is for --objects: say what to look for"),
        (["--seed", "1", "--threshold", "0"], "--threshold is for --objects"),
        (["a.jpg", "--margin", "0"], "--margin is for --objects"),
        (["--seed", "1", "--objects", "sofa", "--mask", "joint"], "--mask is for whole images"),
        (["--seed", "1", "--rule", "corner", "--mask", "joint"], "--mask joint takes no --rule"),
        (["--seed", "1", "--mask", "rule", "--classes"], "--classes needs --mask joint"),
        (["--seed", "1", "--objects", "sofa", "--classes"], "it does not go with objects"),
        (["a.jpg", "--objects", "sofa", "--edges", "none"], "--edges is for one foreground, it does not go with"),
        (["a.jpg", "--objects", "sofa", "--background", "b.jpg"], "--background is for one foreground"),
        (["--seed", "1", "--objects", "sofa", "--edges", "guided"], "--edges is for a PHOTO"),
        (["--objects", "sofa"], "give one of PHOTO, --seed and --latent, got none"),
    ],
)
def test_options_that_do_not_go_together(tmp_path, capsys, arguments, words):
    with pytest.raises(SystemExit) as stopped:
        segment(*arguments, "-o", tmp_path / "out")
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err


def test_help_names_every_detector_and_default(capsys):
    with pytest.raises(SystemExit):
        cli.main(["segment", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for name in objectcommand.NAMES:
        assert name in text
    assert '--objects "sofa, coffee table, lamp"' in text and "least score of a box, 0..1 (0.3)" in text
    assert "widen a box on each side by this share of it, 0..1 (0.1)" in text
    for name in PHOTO_OBJECT_FILES:
        assert name in text


# Photos: the toy StyleGAN2 draws noise, so that boxes come from a file and what is found is not looked at.

ANYWHERE = {"box": [8, 8, 56, 56], "label": "blob"}
PHOTOS = ["--generator", "toy-stylegan", "--refine", "2", "--engine", "torch"]


picture = partial(made_photos.picture, height=72)


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(picture(1)).save(path)
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two photos: a, b."""
    path = tmp_path / "photos"
    path.mkdir()
    for seed, name in enumerate("ab"):
        Image.fromarray(picture(seed)).save(path / f"{name}.png")
    return path


def test_a_photo(photo, boxes, tmp_path, capsys):
    out = tmp_path / "out"
    given = [*PHOTOS, photo, "--detector", boxes(ANYWHERE), "-o", out, "--box", "10,10,42,42", "--objects", "a blob"]
    assert segment(*given) == 0
    assert {path.name for path in out.iterdir()} == {*PHOTO_OBJECT_FILES, RECORD}
    said = capsys.readouterr()
    assert said.out.endswith(f"{out}: 1 x blob\n")
    assert "1 photo: optimisation from the average latent, 2 steps; 4 styles at 64 px; corner" in said.err
    assert "in boxes of 'a blob' by boxes.json; about" in said.err
    np.testing.assert_array_equal(read(out / "image.png"), picture(1))
    assert read(out / "instance.png").shape == (72, 80) and read(out / "crop.png").shape == (64, 64, 3)
    outside = np.ones((72, 80), bool)
    outside[10:42, 10:42] = False
    instance = read(out / "instance.png")
    assert instance.any() and not instance[outside].any()

    found = record(out)
    assert found["photo"] == "photo.png" and found["method"] == "projection in W+, 2 steps"
    assert found["frame"]["chosen by"] == "box" and found["phrases"] == ["blob"]
    assert found["request"]["objects"]["prompt"] == "a blob" and found["request"]["rule"] == "corner"
    assert str(tmp_path) not in (out / RECORD).read_text()

    # the latent and the boxes give the objects in the frame again
    again = ["--generator", "toy-stylegan", "--engine", "torch", "--latent", out / "latent.npy", "--objects", "blob"]
    assert segment(*again, "--detector", boxes(ANYWHERE), "-o", tmp_path / "again") == 0
    np.testing.assert_array_equal(read(tmp_path / "again" / "image.png"), read(out / "reconstruction.png"))
    inside = read(tmp_path / "again" / "instance.png")
    pasted = Frame.from_box((10, 10, 42, 42), (72, 80)).paste(inside.astype(np.float32)) > 0.5
    np.testing.assert_array_equal(instance == 1, pasted)


def test_a_folder_is_not_done_twice(folder, boxes, tmp_path, capsys):
    out, file = tmp_path / "out", boxes(ANYWHERE, {"box": [4, 4, 30, 30], "label": "spot"})
    given = [*PHOTOS, folder, "-o", out]

    def redone(*arguments) -> set[str]:
        """Which photos a run segments; the others must stay as they are."""
        before = {path: path.stat().st_mtime_ns for path in out.rglob(RECORD)}
        assert segment(*given, *arguments) == 0
        assert capsys.readouterr().out.count("finished before, with these settings") == sum(
            path.stat().st_mtime_ns == before.get(path) for path in out.rglob(RECORD)
        )
        return {path.parent.name for path in out.rglob(RECORD) if path.stat().st_mtime_ns != before.get(path)}

    blob, both = (["--detector", file, "--objects", prompt] for prompt in ("blob", "blob, spot"))
    assert redone(*blob) == {"a", "b"}
    assert all({path.name for path in part.iterdir()} == {*PHOTO_OBJECT_FILES, RECORD} for part in out.iterdir())
    assert redone(*blob) == set()
    assert redone(*both) == {"a", "b"}  # another prompt
    (out / "b" / "instance.png").unlink()
    assert redone(*both) == {"b"}
    assert redone(*both, "--margin", "0.2") == {"a", "b"}
    boxes({"box": [4, 4, 40, 40], "label": "blob"})  # other boxes in a file of the same name
    with pytest.warns(NoDetectionWarning, match="'spot'"):
        assert redone(*both, "--margin", "0.2") == {"a", "b"}
    assert redone() == {"a", "b"}  # one foreground, in place of objects
    assert redone() == set()


@pytest.mark.parametrize("name", ["image.png", "objects.png", "instance.png", "mask.png"])
def test_a_photo_is_never_overwritten(boxes, tmp_path, capsys, name):
    Image.fromarray(picture(1)).save(tmp_path / name)
    given = [*PHOTOS, tmp_path / name, "--detector", boxes(ANYWHERE), "--objects", "blob", "-o", tmp_path]
    assert segment(*given) == 1
    assert "would be overwritten by the results" in capsys.readouterr().err
    np.testing.assert_array_equal(read(tmp_path / name), picture(1))


def test_a_photo_that_fails_is_reported_at_the_end(folder, boxes, tmp_path, capsys):
    (folder / "c.png").write_text("no image")
    given = [*PHOTOS, folder, "--detector", boxes(ANYWHERE), "--objects", "blob", "-o", tmp_path / "out"]
    assert segment(*given) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("  c.png: ")
    assert sorted(path.parent.name for path in (tmp_path / "out").rglob(RECORD)) == ["a", "b"]


def test_ctrl_c_loses_no_steps(photo, boxes, tmp_path, capsys, monkeypatch):
    """Of the inversion, which is most of the work."""
    given = [*PHOTOS, photo, "--detector", boxes(ANYWHERE), "--objects", "blob", "-o", tmp_path / "out"]
    real, steps = projector._Run.advance, []
    monkeypatch.setattr(projector._Run, "advance", lambda run: steps.append(run) or real(run))

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(KnownBoxes, "__call__", interrupt)
        assert segment(*given) == 130
    assert "what was finished is kept" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == [photocommand.STATE] and len(steps) == 2
    assert segment(*given) == 0
    assert len(steps) == 2  # none was done again
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*PHOTO_OBJECT_FILES, RECORD}


def test_a_drawn_generator_cannot_show_photos(photo, tmp_path, capsys):
    assert segment(photo, "--generator", "toy-room", "--objects", "sofa", "-o", tmp_path / "out") == 1
    assert "toy-room is drawn" in capsys.readouterr().err


# Which detector is meant.


@pytest.fixture(scope="module")
def faces(make_mobilestylegan):
    return make_mobilestylegan((16, 16, 8), "faces")


def test_the_detector_that_needs_least(faces):
    assert best_detector(ToyWorld(resolution=16), ("horse",)) == "truth"
    for generator in (faces, OpenVINOGenerator(faces)):
        assert best_detector(generator, ("hair", "brown eyes")) == "face-parts"
        assert best_detector(generator, ("hair", "tie")) == "grounding-dino"
    assert best_detector(load_generator("toy-stylegan", engine="torch"), ("hair",)) == "grounding-dino"


def test_a_folder_with_a_model(faces, tmp_path, monkeypatch):
    """It is given the device and low thresholds; a folder that is called as a detector does not hide the detector."""
    asked = []

    def load(*given, **settings):
        asked.append((given, settings))

    monkeypatch.setattr(objectcommand.ZeroShotDetector, "load", load)
    monkeypatch.setattr(objectcommand, "FaceParts", lambda: "the face parser")
    monkeypatch.chdir(tmp_path)
    for name in ("my-model", "face-parts"):
        Path(name).mkdir()
    load_detector("my-model", faces, "cuda")
    load_detector("owlv2", faces)
    low = {"threshold": objectcommand.LOWEST, "text_threshold": objectcommand.LOWEST}
    assert asked == [(("my-model",), {"device": "cuda", **low}), (("owlv2",), {"device": "cpu", **low})]
    assert load_detector("face-parts", faces) == "the face parser" and len(asked) == 2


def test_what_a_record_says_of_a_model_in_a_folder(faces, tmp_path):
    (tmp_path / "my-model").mkdir()
    options = ObjectOptions("hair", str(tmp_path / "my-model"))
    (tmp_path / "my-model" / "model.safetensors").write_bytes(b"one")
    first = options.describe(faces, BOX_CONFIG)
    assert first["detector"] == "my-model" and set(first["detector_files"]) == {"model.safetensors"}
    (tmp_path / "my-model" / "model.safetensors").write_bytes(b"another")
    assert options.describe(faces, BOX_CONFIG) != first
    assert ObjectOptions("hair").describe(faces, BOX_CONFIG)["detector"] == "face-parts"


def test_the_method_in_boxes():
    assert box_config(None, {}) == box_config("corner", {}) == BOX_CONFIG
    config = box_config("corner", {"k": 5, "device": "cpu:0", "batch_size": 3})
    assert (config.k, config.device, config.batch_size) == (5, "cpu", 3)
    assert config.rule == CornerMinority(corners=CORNERS) != RULES["corner_minority"]  # which looks at two
    assert isinstance(box_config("saliency", {}).rule, Saliency) and box_config("saliency", {}).k == 2


def test_the_line_that_says_what_was_found():
    def line(instance: list[int], small: int = 0) -> str:
        found = [SimpleNamespace(detection=Detection((0, 0, 1, 1), label)) for label in ("lamp", "sofa", "lamp")]
        return announce(Path("out"), SimpleNamespace(
            phrases=("sofa", "rug", "lamp"), objects=found, skipped=[None] * small, instance=np.array([instance])
        ))  # fmt: skip

    assert line([0, 3, 2, 1, 1]) == line([3, 2, 1]) == "out: 1 x sofa, 2 x lamp"
    assert line([0, 3, 3]) == "out: 1 x sofa, 2 x lamp (2 empty or hidden by others)"
    assert line([1, 2], small=1) == "out: 1 x sofa, 2 x lamp (1 box too small, 1 empty or hidden by others)"


def test_options_check_the_prompt():
    options = ObjectOptions("A sofa and the lamp, in a room")
    assert options.phrases == ("sofa", "lamp")
    with pytest.raises(ValueError, match="prompt must name an object"):
        ObjectOptions("")
