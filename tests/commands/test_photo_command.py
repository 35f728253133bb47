"""`stylemixseg segment PHOTO...` as users call it, on a tiny face generator with an untrained encoder."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from handmade_png import png_bytes
from made_photos import picture
from PIL import ExifTags, Image
from safetensors.torch import save_file

from stylemixseg._util.paths import CacheWarning, sha256_file
from stylemixseg.commands import main as cli
from stylemixseg.commands import photos as photocommand
from stylemixseg.commands.method import choose_method
from stylemixseg.experiments.profile import load_profile
from stylemixseg.export import images as export
from stylemixseg.generators.mobilestylegan import MobileStyleGAN
from stylemixseg.generators.zoo import CATALOGUE, Entry
from stylemixseg.inversion import encoder, projector, ways
from stylemixseg.inversion.base import Inversion
from stylemixseg.inversion.encoder import Encoder, EncoderNet
from stylemixseg.inversion.preview import Preview
from stylemixseg.inversion.projector import EncoderThenProjector, Projector
from stylemixseg.joint import judge
from stylemixseg.photos import cost as photocost
from stylemixseg.photos import kinds as photokinds
from stylemixseg.photos.alignment import Face, Frame
from stylemixseg.photos.reading import PassedOverWarning
from stylemixseg.photos.segmenter import PhotoSegmenter
from stylemixseg.segmenter import StyleMixSegmenter
from stylemixseg.viz.compositing import overlay

SMALL = ["-n", "3", "--resolution", "64", "--engine", "torch"]
ENCODED = f"encoder, {encoder.REFINEMENTS} refinements"
FILES = {
    "crop.png",
    "reconstruction.png",
    "clusters.png",
    "mask.png",
    "soft.png",
    "overlay.png",
    "cutout.png",
    "latent.npy",
    "segmentation.json",
}


@pytest.fixture(scope="module")
def tiny_faces(make_mobilestylegan) -> MobileStyleGAN:
    """The face generator's architecture at 256 px, twice the encoder's preview, with random weights."""
    return make_mobilestylegan((16, 16, 8, 8, 8, 8), "faces")


@pytest.fixture(scope="module")
def untrained(tiny_faces) -> EncoderNet:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder, "_CHANNELS", (4, 4, 4, 4))  # else it takes most of the time
        torch.manual_seed(0)
        network = EncoderNet(tiny_faces.num_ws, tiny_faces.w_dim)
    network.w_std.fill_(0.1)
    return network


@pytest.fixture
def faces(tiny_faces, untrained, tmp_path, monkeypatch) -> MobileStyleGAN:
    """The catalogue's faces and their encoder, replaced."""
    fields = {**vars(CATALOGUE["faces"]), "load": lambda: tiny_faces}
    monkeypatch.setitem(CATALOGUE, "faces", Entry(**fields))
    weights = tmp_path / "weights" / "encoder.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"stands for the weights")
    monkeypatch.setattr(encoder, "WEIGHTS_FILE", weights)
    monkeypatch.setattr(ways.Encoder, "load", lambda generator: Encoder(untrained, Preview(generator)))
    return tiny_faces


@pytest.fixture
def fitted(faces, monkeypatch) -> MobileStyleGAN:
    """The generator takes the name of the one that the judge was fitted for; n is 20 or 8 then."""
    digest = json.loads(judge.WEIGHTS_FILE.with_suffix(".json").read_text())["generator"]["sha256"]
    monkeypatch.setattr(faces, "digest", digest)
    return faces


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "portrait.png"
    Image.fromarray(picture(1)).save(path)
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three photos: a, b, c."""
    path = tmp_path / "photos"
    path.mkdir()
    for seed, name in enumerate("abc"):
        Image.fromarray(picture(seed)).save(path / f"{name}.png")
    return path


def segment(*arguments) -> int:
    return cli.main(["segment", *SMALL, *map(str, arguments)])


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def record(folder: Path) -> dict:
    return json.loads((folder / "segmentation.json").read_text())


def test_one_photo_writes_all_files_into_the_folder_itself(faces, photo, tmp_path, capsys):
    out = tmp_path / "out"
    assert segment(photo, "-o", out, "--refine", 12) == 0
    assert {path.name for path in out.iterdir()} == FILES
    assert {*export.PHOTO_FILES, export.RECORD} == FILES
    mask, soft = read(out / "mask.png"), read(out / "soft.png")
    assert mask.shape == soft.shape == (80, 80) and set(np.unique(mask)) <= {0, 255}
    np.testing.assert_array_equal(read(out / "crop.png"), picture(1))
    assert read(out / "reconstruction.png").shape == read(out / "clusters.png").shape == (256, 256, 3)
    np.testing.assert_array_equal(read(out / "overlay.png"), overlay(picture(1), mask == 255))
    np.testing.assert_array_equal(read(out / "cutout.png"), np.dstack([picture(1), soft]))
    said = capsys.readouterr()
    assert f"{out}: foreground is {(mask == 255).mean():.0%} of the photo" in said.out
    assert (
        "1 photo: the encoder, then a few steps of optimisation, 12 steps; 3 styles at 64 px; saliency; about"
        in said.err
    )

    text = (out / "segmentation.json").read_text()
    assert str(tmp_path) not in text  # no path of this machine
    found = json.loads(text)
    assert found["photo"] == "portrait.png" and found["request"]["photo"] == sha256_file(photo)
    assert found["request"]["objects"] is None
    assert found["notes"] == []
    assert found["frame"] == {"chosen by": "whole", "centre": [40, 40], "axis": [40, 0], "size": [80, 80], "side": 80}
    assert found["method"] == f"{ENCODED}, then projection in W+, 12 steps (12 on the preview)"
    assert (found["rule"], found["edges"]) == ("saliency", "none")
    assert found["settings"]["n"] == 3 and found["generator"]["sha256"] == faces.digest
    assert found["image_size"] == [80, 80] and found["mask_share"] == pytest.approx((mask == 255).mean())
    assert found["seconds"]["total"] >= found["seconds"]["inversion"] > 0


def test_the_mask_is_that_of_the_parts_put_together(faces, untrained, photo, tmp_path):
    assert (
        segment(photo, "-o", tmp_path / "out", "--refine", 0, "--rule", "saliency", "--edges", "guided", "-c", 4) == 0
    )
    segmenter = StyleMixSegmenter(faces, n=3, cutoff=4, resolution=64)
    expected = PhotoSegmenter(Encoder(untrained, Preview(faces)), segmenter, edges="guided")(picture(1))
    assert not expected.mask.all() and expected.soft.std() > 0.05
    np.testing.assert_array_equal(read(tmp_path / "out" / "mask.png") == 255, expected.mask)
    np.testing.assert_array_equal(read(tmp_path / "out" / "soft.png"), np.rint(expected.soft * 255))
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "latent.npy"), expected.inversion.ws[0])
    assert record(tmp_path / "out")["method"] == ENCODED
    assert (record(tmp_path / "out")["rule"], record(tmp_path / "out")["edges"]) == ("saliency", "guided")


def test_the_latent_goes_back_into_the_command(faces, photo, tmp_path):
    assert segment(photo, "-o", tmp_path / "out", "--refine", 0) == 0
    assert segment("--latent", tmp_path / "out" / "latent.npy", "-o", tmp_path / "again") == 0
    np.testing.assert_array_equal(read(tmp_path / "again" / "image.png"), read(tmp_path / "out" / "reconstruction.png"))
    np.testing.assert_array_equal(read(tmp_path / "again" / "clusters.png"), read(tmp_path / "out" / "clusters.png"))


def test_a_box_and_a_background(faces, tmp_path):
    pixels = picture(4, 60, 100)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    Image.fromarray(np.full((40, 40, 3), (10, 200, 30), np.uint8)).save(tmp_path / "green.png")
    out = tmp_path / "out"
    given = [
        tmp_path / "wide.png",
        "-o",
        out,
        "--refine",
        0,
        "--box",
        "30,5,80,50",
        "--background",
        tmp_path / "green.png",
    ]
    assert segment(*given) == 0
    mask = read(out / "mask.png") == 255
    assert mask.shape == (60, 100) and mask.any() and not mask[:, 85:].any() and not mask[:, :25].any()
    np.testing.assert_array_equal(read(out / "composition.png"), np.where(mask[..., None], pixels, (10, 200, 30)))
    np.testing.assert_array_equal(read(out / "crop.png"), Frame.from_box((30, 5, 80, 50), (60, 100)).crop(pixels, 50))
    assert record(out)["frame"]["centre"] == [55, 27.5] and record(out)["frame"]["chosen by"] == "box"
    assert segment(*given[:-2]) == 0  # without a background: the old composition would be another run's
    assert not (out / "composition.png").exists()


def test_a_photo_that_is_not_square_counts_as_aligned_in_its_middle(faces, tmp_path, capsys):
    Image.fromarray(picture(4, 60, 100)).save(tmp_path / "wide.png")
    assert segment(tmp_path / "wide.png", "-o", tmp_path / "out", "--refine", 0) == 0
    assert "note: wide.png: taken as aligned" in capsys.readouterr().err
    assert "the square in its middle" in record(tmp_path / "out")["notes"][0]
    assert not read(tmp_path / "out" / "soft.png")[:, :19].any()


WORDS = {"none": "", "guided": ", sharpened on the photo", "grabcut": ", redrawn on the photo"}


@pytest.mark.filterwarnings("ignore:full mask")
@pytest.mark.parametrize(
    "arguments, rule, edges",
    [
        ([], "joint", "grabcut" if find_spec("cv2") else "guided"),
        (["--edges", "none"], "joint", "none"),
        (["--rule", "saliency"], "saliency", "none"),
        (["--rule", "corner", "--edges", "guided", "-k", "9"], "corner", "guided"),
        (["--color-space", "rgb"], "saliency", "none"),  # it was fitted for LAB
    ],
)
def test_the_default_rule_of_faces(fitted, photo, tmp_path, capsys, arguments, rule, edges):
    assert segment(photo, "-o", tmp_path / "out", "--refine", 0, "-n", 20, *arguments) == 0
    assert (record(tmp_path / "out")["rule"], record(tmp_path / "out")["edges"]) == (rule, edges)
    settings = record(tmp_path / "out")["settings"]
    assert settings["judge"] == ("joint, n = 20" if rule == "joint" else None)
    assert settings["rule"].startswith("CornerMinority(" if rule == "corner" else "Saliency(")
    assert f"; {rule}{WORDS[edges]}; " in capsys.readouterr().err


def test_the_judge_where_it_does_not_fit(faces, photo, tmp_path, capsys):
    assert segment(photo, "-o", tmp_path / "out", "--mask", "joint") == 1
    error = capsys.readouterr().err
    assert "--mask joint needs a judge that was fitted for these settings" in error and "was fitted for faces" in error
    assert not (tmp_path / "out").exists()


def test_the_judge_of_generated_images(fitted, tmp_path, capsys):
    """It is what is taken where nothing is asked; the paper's rule comes when it is asked for."""
    assert segment("--seed", 1, "-o", tmp_path / "joint", "-n", 20) == 0
    assert "(joint)" in capsys.readouterr().out
    assert record(tmp_path / "joint")["settings"]["judge"] == "joint, n = 20"
    assert segment("--seed", 1, "-o", tmp_path / "few", "-n", 8, "--mask", "joint") == 0
    assert record(tmp_path / "few")["settings"]["judge"] == "joint, n = 8"
    assert segment("--seed", 1, "-o", tmp_path / "rule", "--mask", "rule", "-n", 20) == 0
    assert record(tmp_path / "rule")["settings"]["judge"] is None
    assert segment("--seed", 1, "-o", tmp_path / "other", "-n", 9, "--mask", "joint") == 1
    assert "n must be one of 4, 8, 20 for faces_judge.safetensors, got 9" in capsys.readouterr().err


def test_what_a_judge_gets_where_nothing_is_said(fitted):
    segmenter, name = choose_method(fitted, None, None, {})
    assert name == "joint"
    assert (segmenter.config.n, segmenter.config.resolution) == (20, fitted.resolution)  # 256 px of a larger one
    for edges in (True, False):
        judge = choose_method(fitted, None, None, {}, edges=edges)[0].config.judge
        assert bool(judge.edges) is edges
    by_rule, name = choose_method(fitted, "rule", None, {})
    assert name == "saliency" and (by_rule.config.n, by_rule.config.resolution) == (50, None)
    assert choose_method(fitted, None, "corner", {"n": 20})[1] == "corner"


def test_classes_of_generated_images(fitted, tmp_path, capsys):
    out = tmp_path / "out"
    assert segment("--seed", 1, "-n", 8, "--classes", "-o", out) == 0
    assert "background" in capsys.readouterr().out
    labels = np.asarray(Image.open(out / "classes.png"))
    assert labels.dtype == np.uint8 and labels.max() <= 3
    assert np.array_equal(labels > 0, read(out / "mask.png") > 0)
    assert (out / "legend.png").is_file()
    names = tmp_path / "names.json"
    names.write_text(json.dumps({"names": {"all": list(range(12))}}))
    assert segment("--seed", 1, "-n", 8, "--classes", names, "-o", out) == 0
    assert set(np.unique(np.asarray(Image.open(out / "classes.png")))) <= {0, 1}
    names.write_text(json.dumps({"names": {"all": [99]}}))
    assert segment("--seed", 1, "-n", 8, "--classes", names, "-o", tmp_path / "no") == 1
    assert "clusters must be 0 to" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_naming_clusters(fitted, tmp_path, capsys):
    out = tmp_path / "names"
    assert cli.main(["name-clusters", "--examples", "2", "-o", str(out)]) == 0
    assert Image.open(out / "clusters.png").size == (110 + 2 * 128, 128 * 12)
    named = json.loads((out / "names.json").read_text())["names"]
    assert sorted(cluster for clusters in named.values() for cluster in clusters) == list(range(12))
    rest = ",".join(map(str, range(1, 12)))
    assert cli.main(["name-clusters", "--examples", "1", "--name", "a=0", "--name", f"b={rest}", "-o", str(out)]) == 0
    assert json.loads((out / "names.json").read_text())["names"]["a"] == [0]
    capsys.readouterr()
    assert cli.main(["name-clusters", "--examples", "1", "--name", "a=0", "-o", str(tmp_path / "no")]) == 1
    assert "every cluster must have a name" in capsys.readouterr().err


def test_a_folder_gives_a_folder_a_photo_and_is_not_done_twice(faces, folder, tmp_path, capsys):
    out = tmp_path / "out"
    given = [folder, "-o", out, "--refine", 0]
    assert segment(*given) == 0
    assert {path.name for path in out.iterdir()} == {"a", "b", "c"}
    assert all({path.name for path in part.iterdir()} == FILES for part in out.iterdir())
    assert "3 photos: the encoder alone" in capsys.readouterr().err
    before = {name: (out / name / "segmentation.json").stat().st_mtime_ns for name in "abc"}

    def redone() -> set[str]:
        now = {name: (out / name / "segmentation.json").stat().st_mtime_ns for name in "abc"}
        changed = {name for name in "abc" if now[name] != before[name]}
        before.update(now)
        return changed

    assert segment(*given) == 0
    said = capsys.readouterr()
    assert redone() == set() and said.out.count("finished before, with these settings") == 3
    (out / "b" / "soft.png").unlink()
    assert segment(*given) == 0 and redone() == {"b"}
    Image.fromarray(picture(9)).save(folder / "c.png")  # another photo of the same name
    assert segment(*given) == 0 and redone() == {"c"}
    assert segment(*given, "--edges", "guided") == 0 and redone() == {"a", "b", "c"}
    (out / "a" / "segmentation.json").write_text("{damaged")
    assert segment(*given, "--edges", "guided") == 0 and redone() == {"a"}
    encoder.WEIGHTS_FILE.write_bytes(b"newly trained")
    assert segment(*given, "--edges", "guided") == 0 and redone() == {"a", "b", "c"}


def test_bad_files_are_reported_at_the_end_and_the_rest_is_done(faces, folder, tmp_path, capsys):
    whole = (folder / "a.png").read_bytes()
    (folder / "b.png").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.jpg").write_text("not a photo")
    (folder / "readme.txt").write_text("is left out")
    (folder / "gone.png").symlink_to(tmp_path / "nowhere")
    assert segment(folder, "-o", tmp_path / "out", "--refine", 0) == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a", "c"}
    *_, header, b, gone, notes = capsys.readouterr().err.splitlines()
    assert header == "stylemixseg: 3 of 5 photos could not be segmented:"
    assert b.startswith("  b.png: ") and "truncated or broken" in b
    assert notes.startswith("  notes.jpg: ") and "no image of a known format" in notes
    assert gone.startswith("  gone.png: ") and "does not exist" in gone
    assert segment(folder, "-o", tmp_path / "out", "--refine", 0) == 1  # they are tried again, the others are not
    assert capsys.readouterr().out.splitlines()[-1] == "0 segmented, 2 finished before, 3 failed"


def test_a_photo_that_cannot_be_optimised(faces, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        projector, "multi_scale_loss", lambda image, photo, sides: (image * float("nan")).sum((1, 2, 3))
    )
    given = ["-o", tmp_path / "out", "--inversion", "projector", "--refine", 2]
    assert segment(folder, *given) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("  c.png: the loss became nan at step 0")
    assert segment(folder / "a.png", *given) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("stylemixseg: the loss became nan at step 0")


def test_ctrl_c_loses_nothing(faces, folder, tmp_path, monkeypatch, capsys):
    given = [folder, "-o", tmp_path / "interrupted", "--refine", 12]
    real, steps = projector._Run.advance, []

    def stop(run):
        if len(steps) == 17:  # in the second photo
            raise KeyboardInterrupt
        steps.append(run)
        return real(run)

    monkeypatch.setattr(projector._Run, "advance", stop)
    assert segment(*given) == 130
    assert "what was finished is kept, run the command again to go on" in capsys.readouterr().err
    assert (tmp_path / "interrupted" / "a" / "segmentation.json").is_file()
    assert [path.name for path in (tmp_path / "interrupted" / "b").iterdir()] == [photocommand.STATE]

    steps.clear()
    monkeypatch.setattr(projector._Run, "advance", lambda run: steps.append(run) or real(run))
    assert segment(*given) == 0
    assert len(steps) == 2 * 12 - 5
    assert {path.name for path in (tmp_path / "interrupted" / "b").iterdir()} == FILES
    assert segment(folder, "-o", tmp_path / "whole", "--refine", 12) == 0
    for name in "abc":
        for file in ("mask.png", "reconstruction.png", "latent.npy"):
            whole, other = (tmp_path / run / name / file for run in ("whole", "interrupted"))
            assert whole.read_bytes() == other.read_bytes(), (name, file)


def test_a_record_never_stands_beside_pictures_of_another_run(faces, photo, tmp_path, monkeypatch):
    given = [photo, "-o", tmp_path / "out", "--refine", 0]
    assert segment(*given) == 0

    def full_disk(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(export.np, "save", full_disk)
    assert segment(*given, "--edges", "guided") == 1
    assert not (tmp_path / "out" / "segmentation.json").exists()
    monkeypatch.undo()


def test_a_photo_is_never_overwritten(faces, tmp_path, capsys):
    path = tmp_path / "crop.png"
    Image.fromarray(picture(1)).save(path)
    assert segment(path, "-o", tmp_path) == 1
    assert "would be overwritten by the results" in capsys.readouterr().err
    np.testing.assert_array_equal(read(path), picture(1))


def test_a_file_in_place_of_the_output_folder(faces, folder, tmp_path, capsys):
    (tmp_path / "out").touch()
    assert segment(folder, "-o", tmp_path / "out") == 1
    assert "out is a file: name a folder for the results" in capsys.readouterr().err


def test_names_of_folders(tmp_path):
    for name in ("a.jpg", "A.png", "b.png", "...png"):
        (tmp_path / name).touch()
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "c.png").touch()
    paths = [tmp_path / name for name in ("a.jpg", "A.png", "b.png", "more", "...png")]
    named = photocommand.named_photos(paths)
    assert {name: path.name for name, path in named.items()} == {
        "a.jpg": "a.jpg",
        "A.png": "A.png",
        "b": "b.png",
        "c": "c.png",
        "...png": "...png",
    }
    twice = photocommand.named_photos([tmp_path / "b.png", tmp_path / "more" / ".." / "b.png"])
    assert twice == {"b": tmp_path / "b.png"}


@pytest.mark.parametrize(
    "files, names",
    [
        (["x.jpg", "x.jpg.png", "x.png"], ["x.jpg", "x.jpg.png", "x.png"]),
        (["x.jpg", "x.jpg.png", "x.jpg.png.gif"], ["x", "x.jpg.png", "x.jpg.png.gif"]),
        (["A.jpg", "a.jpg", "b.jpg"], ["A.jpg", "a.jpg (2)", "b"]),
        (["u/a.jpg", "v/a.jpg", "v/a.png", "w/a.jpg"], ["a.jpg", "a.jpg (2)", "a.png", "a.jpg (3)"]),
        (["u/a.jpg", "v/a.jpg", "a.jpg (2).png"], ["a.jpg", "a.jpg (2)", "a.jpg (2).png"]),
        (["caf\u00e9.jpg", "cafe\u0301.png"], ["caf\u00e9.jpg", "cafe\u0301.png"]),
    ],
)
def test_every_photo_gets_a_folder_of_its_own(files, names):
    named = photocommand.named_photos([Path(file) for file in files])
    assert {str(path): name for name, path in named.items()} == dict(zip(files, names))


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_names_that_are_no_text_in_any_encoding(faces, folder, tmp_path, monkeypatch, encoding):
    """A name that is not UTF-8 and a strict standard output: all photos are done, and a second run finds them done."""
    odd = os.fsdecode(b"caf\xe9")
    (folder / "a.png").rename(folder / f"a{odd}.png")
    out = tmp_path / odd

    def run(status: int) -> list[str]:
        buffer = io.BytesIO()
        with monkeypatch.context() as patch:
            stream = io.TextIOWrapper(buffer, encoding, errors="strict", write_through=True)
            patch.setattr(sys, "stdout", stream)
            assert segment(folder, "-o", out, "--refine", 2) == status
        return buffer.getvalue().decode(encoding).splitlines()

    lines = run(0)
    assert "acaf\\udce9: foreground is" in lines[0] and lines[-1] == "3 segmented, 0 finished before, 0 failed"
    assert {path.name for path in out.iterdir()} == {f"a{odd}", "b", "c"}
    assert all({path.name for path in part.iterdir()} == FILES for part in out.iterdir())
    assert run(0)[-1] == "0 segmented, 3 finished before, 0 failed"
    (folder / f"a{odd}.png").write_text("no image any more")
    assert run(1)[-1] == "0 segmented, 2 finished before, 1 failed"


def test_a_state_in_a_folder_of_any_name_is_found_again(tiny_faces, tmp_path):
    steps = []
    state = tmp_path / os.fsdecode(b"caf\xe9")
    photo = torch.zeros(1, 3, 64, 64)
    first = Projector(tiny_faces, steps=2)(photo, resume=state)
    again = Projector(tiny_faces, steps=2)(photo, resume=state, on_step=lambda *step: steps.append(step))
    assert steps == [] and torch.equal(first.ws, again.ws)


def test_a_state_that_cannot_be_written_does_not_cost_the_projection(tiny_faces, tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(CacheWarning, match="cannot be written"):
        found = Projector(tiny_faces, steps=2)(torch.zeros(1, 3, 64, 64), resume=tmp_path / "file" / "state")
    assert len(found.losses[0]) == 2


def test_one_photo_that_may_not_be_looked_at_does_not_stop_the_others(faces, folder, tmp_path, monkeypatch, capsys):
    real = os.stat

    def refuse(path, **keywords):  # a link into another user's folder; root may look everywhere
        if str(path).endswith("b.png") and Path(str(path)).parent == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **keywords)

    monkeypatch.setattr(os, "stat", refuse)
    assert segment(folder, "-o", tmp_path / "out", "--refine", 0) == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a", "c"}
    assert "b.png lies, or leads, where this user may not look" in capsys.readouterr().err.splitlines()[-1]


def test_what_is_passed_over_is_said(faces, folder, tmp_path, monkeypatch):
    real = photokinds.find_spec
    monkeypatch.setattr(photokinds, "find_spec", lambda name: None if name == "pillow_heif" else real(name))
    (folder / "IMG_1.HEIC").touch()
    with pytest.warns(
        PassedOverWarning, match=r"passed over IMG_1.HEIC \(HEIC: pip install 'stylemixseg\[heif\]' reads"
    ):
        assert segment(folder, "-o", tmp_path / "out", "--refine", 0) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a", "b", "c"}


def test_a_photo_larger_than_any_frame_keeps_its_size(faces, tmp_path, capsys):
    """5000 x 600 pixels; the box is in these, the crop is what lies there, and no file is smaller."""
    pixels = picture(2, 600, 5000)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    Image.fromarray(picture(3)).save(tmp_path / "back.png")
    out = tmp_path / "out"
    given = [tmp_path / "wide.png", "-o", out, "--refine", 0, "--box", "4400,100,4800,500"]
    assert segment(*given, "--background", tmp_path / "back.png") == 0
    for name, channels in (("mask", 0), ("soft", 0), ("overlay", 3), ("cutout", 4), ("composition", 3)):
        assert read(out / f"{name}.png").shape == (600, 5000, channels)[: 3 if channels else 2]
    np.testing.assert_array_equal(read(out / "crop.png"), pixels[100:500, 4400:4800])
    np.testing.assert_array_equal(read(out / "cutout.png")[..., :3], pixels)
    mask = read(out / "mask.png") == 255
    assert mask.any() and not mask[:, :4400].any() and not mask[:, 4800:].any()
    np.testing.assert_array_equal(read(out / "overlay.png"), overlay(pixels, mask))
    assert record(out)["notes"] == [] and record(out)["image_size"] == [600, 5000]


@pytest.mark.parametrize("option", [["--box", "-20,-10,70,80"], ["--box=-20,-10,70,80"], ["--bo", "-20,-10,70,80"]])
def test_a_box_that_begins_outside_the_photo(faces, photo, tmp_path, option):
    assert segment(photo, "-o", tmp_path / "out", "--refine", 0, *option) == 0
    assert record(tmp_path / "out")["frame"]["centre"] == [25, 35]


def sixteen_bit(path: Path) -> None:
    path.write_bytes(png_bytes(picture(2).astype(np.uint16) * 257))


def grey(path: Path) -> None:
    Image.fromarray(picture(2)[..., 0]).save(path)


def transparent(path: Path) -> None:
    Image.fromarray(np.dstack([picture(2), picture(3)[..., 0]])).save(path)


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(picture(2, 60, 80)).save(path, "JPEG", exif=exif)


def damaged_exif(path: Path) -> None:
    Image.fromarray(picture(2)).save(path, exif=b"Exif\0\0no TIFF at all")


@pytest.mark.parametrize(
    "make, note, size",
    [
        (sixteen_bit, "16-bit values scaled to 8 bits", (80, 80)),
        (grey, "grey converted to RGB", (80, 80)),
        (transparent, "transparency composed on white", (80, 80)),
        (turned, "turned upright (EXIF orientation 6)", (80, 60)),
        (damaged_exif, "damaged EXIF data left out", (80, 80)),
    ],
)
def test_unusual_photos_are_converted_and_said(faces, tmp_path, capsys, make, note, size):
    make(tmp_path / "photo.png")
    assert segment(tmp_path / "photo.png", "-o", tmp_path / "out", "--refine", 0) == 0
    assert f"note: photo.png: {note}" in capsys.readouterr().err
    assert note in record(tmp_path / "out")["notes"]
    assert read(tmp_path / "out" / "mask.png").shape == size


def text(path: Path) -> None:
    path.write_text("not an image")


def truncated(path: Path) -> None:
    Image.fromarray(picture(2)).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:600])


def bomb(path: Path) -> None:
    path.write_bytes(png_bytes(picture(2), size=(30_000, 30_000)))


@pytest.mark.parametrize(
    "make, words",
    [
        (text, "is no image of a known format"),
        (truncated, "is truncated or broken"),
        (bomb, "more than 150,000,000 pixels, the most that is read"),
        (Path.touch, "is empty"),
        (Path.mkdir, "holds no photo"),
        (lambda path: None, "does not exist"),
    ],
)
def test_a_bad_photo_is_one_clear_line_and_leaves_nothing(faces, tmp_path, capsys, make, words):
    make(tmp_path / "photo.png")
    assert segment(tmp_path / "photo.png", "-o", tmp_path / "out") == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("stylemixseg: ") and words in line
    assert not (tmp_path / "out").exists()


def test_an_unreadable_folder(faces, folder, tmp_path, capsys, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)  # root may read everything
    assert segment(folder, "-o", tmp_path / "out") == 1
    assert "may not be read by this user" in capsys.readouterr().err


def test_a_bad_background_is_said_before_anything_is_done(faces, photo, tmp_path, capsys):
    (tmp_path / "bad.jpg").write_text("no image")
    assert segment(photo, "-o", tmp_path / "out", "--background", tmp_path / "bad.jpg") == 1
    assert "bad.jpg is no image" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "box, words", [("200,200,300,300", "lies beside the photo of 80 x 80"), ("5,5,2,9", "x0 < x1")]
)
def test_a_box_outside_the_photo(faces, photo, tmp_path, capsys, box, words):
    assert segment(photo, "-o", tmp_path / "out", "--box", box) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def face_at(x: float, size: float) -> Face:
    """Eyes and mouth of an upright face."""
    points = np.array([(-1, 0), (1, 0), (-0.7, 2), (0.7, 2)]) * size + (x, 30)
    return Face(points, (x - 2 * size, 20, x + 2 * size, 60), 1.5, (f"a face at {x}",))


@pytest.fixture
def two_faces(monkeypatch) -> list[Face]:
    found = [face_at(20, 4), face_at(55, 8)]
    monkeypatch.setattr(photocommand, "find_faces", lambda pixels: found)
    return found


@pytest.mark.parametrize("which, chosen", [("0", 0), ("1", 1), ("largest", 1)])
def test_align_takes_the_face_that_is_chosen(faces, photo, tmp_path, capsys, two_faces, which, chosen):
    assert segment(photo, "-o", tmp_path / "out", "--refine", 0, "--align", "--face", which) == 0
    frame = Frame.from_landmarks(*two_faces[chosen].landmarks, (80, 80))
    found = record(tmp_path / "out")
    assert found["frame"]["chosen by"] == "align" and found["frame"]["axis"] == list(frame.axis)
    assert found["notes"] == list(two_faces[chosen].notes)
    assert f"note: portrait.png: a face at {(20, 55)[chosen]}" in capsys.readouterr().err
    assert not (read(tmp_path / "out" / "mask.png") == 255)[~frame.covered()].any()


def test_several_faces_are_listed(faces, photo, tmp_path, capsys, two_faces):
    assert segment(photo, "-o", tmp_path / "out", "--align") == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "2 faces were found" in line and "0: box (12, 20, 28, 60); 1: box (39, 20, 71, 60)" in line
    assert "--face largest, or --face NUMBER" in line
    assert segment(photo, "-o", tmp_path / "out", "--align", "--face", 2) == 1
    assert "a number in 0..1, got 2" in capsys.readouterr().err


def test_no_face(faces, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        photocommand, "find_faces", lambda pixels: [face_at(40, 8)] * bool((pixels == picture(0)).all())
    )
    assert segment(folder, "-o", tmp_path / "out", "--align", "--refine", 0) == 1
    *_, header, b, c = capsys.readouterr().err.splitlines()
    assert "2 of 3 photos" in header and b.startswith("  b.png: no face was found") and c.startswith("  c.png: ")
    assert "--box X0,Y0,X1,Y1, or leave out --align" in b
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


def test_align_without_its_extra_stops_the_whole_run(faces, folder, tmp_path, capsys, monkeypatch):
    def missing(pixels):
        raise ModuleNotFoundError("dlib finds faces and is not installed: pip install 'stylemixseg[align]'")

    monkeypatch.setattr(photocommand, "find_faces", missing)
    assert segment(folder, "-o", tmp_path / "out", "--align") == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith("pip install 'stylemixseg[align]'")


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "give one of PHOTO, --seed and --latent, got none"),
        (["a.jpg", "--seed", "1"], "got PHOTO and --seed"),
        (["--seed", "0", "--latent", "w.npy"], "got --seed and --latent"),
        (["--seed", "0", "--align"], "--align is for a PHOTO, it does not go with --seed"),
        (["--latent", "w.npy", "--refine", "0"], "--refine is for a PHOTO, it does not go with --latent"),
        (["--seed", "0", "--background", "b.jpg"], "--background is for a PHOTO"),
        (["a.jpg", "--truncation", "0.5"], "--truncation is for a --seed, it does not go with PHOTO"),
        (["--latent", "w.npy", "--truncation", "0.5"], "--truncation is for a --seed, it does not go with --latent"),
        (["a.jpg", "--align", "--box", "0,0,9,9"], "not allowed with argument --align"),
        (["a.jpg", "--face", "0"], "--face chooses among the faces that --align finds"),
        (["a.jpg", "--align", "--face", "left"], "must be 'largest' or a number from 0, got 'left'"),
        (["a.jpg", "--box", "1,2,3"], "must be four numbers X0,Y0,X1,Y1, got '1,2,3'"),
        (["a.jpg", "--refine", "-1"], "--refine must be at least 0, got -1"),
        (["a.jpg", "--inversion", "encoder", "--refine", "5"], "--inversion encoder has no steps"),
        (["a.jpg", "--inversion", "both", "--refine", "0"], "--inversion both needs steps"),
        (["a.jpg", "--inversion", "projector", "--encoder", "e.pt"], "--inversion projector uses no encoder"),
    ],
)
def test_options_that_do_not_go_together(tmp_path, capsys, arguments, words):
    with pytest.raises(SystemExit) as stopped:
        segment(*arguments, "-o", tmp_path / "out")
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, method",
    [
        (["--inversion", "projector", "--refine", "3"], "projection in W+, 3 steps (3 on the preview)"),
        (["--inversion", "encoder"], ENCODED),
        (["--refine", "0"], ENCODED),
        (["--inversion", "both", "--refine", "2"], f"{ENCODED}, then projection in W+, 2 steps (2 on the preview)"),
    ],
)
def test_the_inversion_is_as_asked(faces, photo, tmp_path, arguments, method):
    assert segment(photo, "-o", tmp_path / "out", *arguments) == 0
    assert record(tmp_path / "out")["method"] == method


def test_the_default_numbers_of_steps(faces, capsys):
    profile = load_profile("cpu")
    both, words, _ = photocommand.choose_inverter(faces, None, photocommand.PhotoOptions())
    assert isinstance(both, EncoderThenProjector) and both.projector.config.steps == profile.photos.refine_steps
    assert words == f"the encoder, then a few steps of optimisation, {profile.photos.refine_steps} steps"
    options = photocommand.PhotoOptions(inversion="projector")
    alone, words, _ = photocommand.choose_inverter(faces, None, options)
    assert isinstance(alone, Projector) and alone.config.steps == profile.photos.projector_steps
    assert words == f"optimisation from the average latent, {profile.photos.projector_steps} steps"
    with pytest.raises(SystemExit):
        cli.main(["segment", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert f"({profile.photos.refine_steps} after an encoder, else {profile.photos.projector_steps}; 0: none)" in text


def test_a_generator_without_an_encoder_is_inverted_by_the_projector(photo, tmp_path, capsys):
    given = [photo, "-o", tmp_path / "out", "--generator", "toy-stylegan"]
    assert segment(*given, "--refine", 2) == 0
    assert record(tmp_path / "out")["method"] == "projection in W+, 2 steps"
    assert "optimisation from the average latent, 2 steps" in capsys.readouterr().err
    for wrong in (["--inversion", "encoder"], ["--inversion", "both"], ["--refine", 0]):
        assert segment(*given, *wrong) == 1
        assert (
            "toy-stylegan has no encoder, it can only be inverted by --inversion projector" in capsys.readouterr().err
        )


def test_a_drawn_generator_cannot_show_photos(photo, tmp_path, capsys):
    assert segment(photo, "-o", tmp_path / "out", "--generator", "toy-portrait") == 1
    assert "toy-portrait is drawn" in capsys.readouterr().err


def test_an_official_encoder_brings_its_generator(make_stylegan, photo, tmp_path, monkeypatch, capsys):
    class Official:
        generator = make_stylegan()

        def __call__(self, photos, progress=False):
            ws = self.generator.w_avg.repeat(len(photos), self.generator.num_ws, 1) + 0.1
            return Inversion(ws, (ws,), 0.0, "e4e")

    asked = []
    monkeypatch.setattr(photocommand, "load_official_encoder", lambda *given: asked.append(given) or Official())
    (tmp_path / "e4e.pt").write_bytes(b"stands for the checkpoint")
    given = [photo, "-o", tmp_path / "out", "--encoder", tmp_path / "e4e.pt"]
    assert segment(*given, "--refine", 0) == 0
    assert record(tmp_path / "out")["method"] == "e4e"
    assert record(tmp_path / "out")["generator"]["sha256"] == Official.generator.digest
    expected = Official()(torch.zeros(1))
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "latent.npy"), expected.ws[0])
    assert segment(*given, "--refine", 2, "--generator", "toy-stylegan") == 0
    assert record(tmp_path / "out")["method"] == "e4e, then projection in W+, 2 steps"
    assert [path for path, _ in asked] == [tmp_path / "e4e.pt"] * 2
    assert [generator and generator.name for _, generator in asked] == [None, "toy-stylegan"]
    assert record(tmp_path / "out")["request"]["inversion"]["encoder"] == sha256_file(tmp_path / "e4e.pt")


def test_an_encoder_for_another_generator(faces, untrained, photo, tmp_path, monkeypatch, capsys):
    monkeypatch.undo()  # the real Encoder.load
    fields = {**vars(CATALOGUE["faces"]), "load": lambda: faces}
    monkeypatch.setitem(CATALOGUE, "faces", Entry(**fields))
    weights = tmp_path / "other.safetensors"
    save_file({"w_std": untrained.w_std.half()}, weights)
    provenance = {"sha256": sha256_file(weights), "generator": {"name": "dogs", "sha256": "1" * 64}}
    weights.with_suffix(".json").write_text(json.dumps(provenance))
    load = Encoder.load
    monkeypatch.setattr(ways.Encoder, "load", lambda generator: load(generator, weights=weights))
    assert segment(photo, "-o", tmp_path / "out") == 1
    assert "other.safetensors was trained for the generator dogs" in capsys.readouterr().err


def test_a_setting_out_of_range_is_said_before_anything_is_done(faces, folder, tmp_path, capsys):
    assert segment(folder, "-o", tmp_path / "out", "-c", 13) == 1
    assert "cutoff must be in 0..12, got 13" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_estimate_counts_every_step(faces, untrained, monkeypatch):
    segmenter = StyleMixSegmenter(faces, n=3, resolution=64)
    first, preview = Encoder(untrained, Preview(faces)), Preview(faces)
    both = EncoderThenProjector(first, Projector(faces, preview=preview, steps=30, preview_steps=20))
    seconds, peak = photocost.estimate(both, segmenter)
    assert seconds > 0 and (peak is None or peak > 50e6)  # PyTorch alone takes more
    monkeypatch.setattr(photocost, "_mix_seconds", lambda segmenter: 1.0)
    monkeypatch.setattr(photocost, "_step_seconds", lambda shown, generator: 100.0 if shown is faces else 10.0)
    assert photocost.estimate(both, segmenter)[0] == 3 * 1 + 20 * 10 + 10 * 100
    assert photocost.estimate(Projector(faces, steps=4), segmenter)[0] == 3 * 1 + 4 * 100
    assert photocost.estimate(first, segmenter)[0] == 3 * 1


def test_the_cost_of_a_photos_own_size():
    photos = (np.zeros((side, side, 3), np.uint8) for side in (99, 990))
    small, large = (photocost.output_cost(pixels, with_background=False) for pixels in photos)
    assert large[1] == 100 * small[1] == 16 * 990 * 990 and 0 < small[0] < large[0]
    behind = photocost.output_cost(np.zeros((99, 99, 3), np.uint8), with_background=True)
    assert behind[1] == 19 * 99 * 99


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc (Linux)")
def test_memory_for_a_large_photo_is_what_was_announced(tmp_path):
    """2800 x 2100 pixels from the decoded photo to all files, with an inverter that knows the latent."""
    code = """
import sys
from pathlib import Path
import numpy as np
from made_photos import Knowing
from stylemixseg.viz import compositing
from stylemixseg.export.images import save_photo_segmentation
from stylemixseg.generators.base import seeded_z
from stylemixseg.generators.toyworld.world import ToyWorld
from stylemixseg.photos.cost import output_cost
from stylemixseg.photos.segmenter import PhotoSegmenter
from stylemixseg.segmenter import StyleMixSegmenter
def status(key):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(key))
world = ToyWorld("portrait", resolution=32)
ws = world.mapping(seeded_z(3, world.z_dim))
segment = PhotoSegmenter(Knowing(ws), StyleMixSegmenter(world, n=2, k=2))
compositing._BAND_PIXELS = 1 << 16
def run(side, folder):
    pixels = np.zeros((3 * side, 4 * side, 3), np.uint8)
    pixels[::2, ::3] = 99
    background = pixels[::-1].copy()
    found = segment(pixels)
    save_photo_segmentation(found, pixels, folder, record={}, background=background)
    return output_cost(pixels, with_background=True)[1]
run(350, Path(sys.argv[1]))  # what PyTorch takes for a crop of MAX_GUIDE pixels, once
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
announced = run(700, Path(sys.argv[1]))
print((status("VmHWM") - before) / announced)
"""
    paths = os.pathsep.join([str(Path(__file__).parents[1] / "helpers"), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-W", "ignore", "-c", code, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths})
    assert done.returncode == 0, done.stderr
    assert 0.5 < float(done.stdout) < 1.1
