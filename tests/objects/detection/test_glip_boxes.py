"""The script that runs GLIP elsewhere: what it writes is read here.

`glip_boxes/*.json` was written by the script in an environment with MMDetection 3.3.0, by GLIP with random weights and a
small Swin, for images of the toy world (`toy-room`, seeds 7 and 9). So the boxes mean nothing, but they are GLIP's.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from stylemixseg.commands import main as cli
from stylemixseg.objects.detection.known import KnownBoxes
from stylemixseg.objects.detection.phrases import parse_phrases

SCRIPTS = Path(__file__).parents[3] / "data_scripts"
WRITTEN = sorted((Path(__file__).parent / "glip_boxes").glob("*.json"))
PHRASES = ("sofa", "coffee table", "lamp", "side table", "rug")


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    import glip_boxes

    return glip_boxes


@pytest.fixture
def images(tmp_path) -> Path:
    """A folder with an image (2, 3): one red pixel, top left; and a file that is none."""
    folder = tmp_path / "images"
    folder.mkdir()
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[0, 0] = 250, 20, 10
    Image.fromarray(pixels).save(folder / "a.png")
    (folder / "notes.txt").write_text("no image")
    return folder


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)


@pytest.fixture
def mmdetection(monkeypatch) -> SimpleNamespace:
    """Stand-ins for MMDetection and MMEngine; `asked` is what the inferencer got, `answer` what it gives."""
    seen = SimpleNamespace(asked=[], answer=None, settings={"model": {"type": "GLIP"}}, network=Network())

    class Settings(dict):
        __getattr__ = dict.__getitem__
        __setattr__ = dict.__setitem__

    class DetInferencer:
        def __init__(self, model, weights, device, show_progress):
            assert weights is None  # MMEngine would unpickle them
            seen.built, self.model = model, seen.network

        def __call__(self, image, **options):
            seen.asked.append((image, options))
            return {"predictions": [SimpleNamespace(pred_instances=seen.answer)]}

    def deep(settings):
        return Settings({key: deep(value) if isinstance(value, dict) else value for key, value in settings.items()})

    for name in ("mmdet", "mmdet.apis", "mmengine", "mmengine.config"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["mmdet.apis"].DetInferencer = DetInferencer
    sys.modules["mmengine.config"].Config = SimpleNamespace(fromfile=lambda path: deep(seen.settings))
    seen.answer = SimpleNamespace(
        bboxes=torch.tensor([[0.0, 0, 1, 1], [1, 0, 3, 2]]), scores=torch.tensor([0.25, 0.75]),
        labels=torch.tensor([1, 0]),
    )  # fmt: skip
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return seen


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.stem)
def test_boxes_of_glip_are_read(path):
    boxes = KnownBoxes.read(path)
    assert len(boxes.detections) == 8  # as many as its configuration allowed
    assert {item.label for item in boxes.detections} <= set(PHRASES)
    scores = [item.score for item in boxes.detections]
    assert scores == sorted(scores, reverse=True) and min(scores) > 0
    corners = np.array([item.box for item in boxes.detections])
    # in pixels of the image, which has 128; GLIP counts the last pixel of a box too, so it may reach out by one
    assert corners.min() >= 0 and 100 < corners.max() <= 129
    assert len(boxes(np.zeros((128, 128, 3), np.uint8), PHRASES)) == 8


def test_boxes_of_glip_are_a_detector_on_the_command_line(tmp_path):
    assert [path.name for path in WRITTEN] == ["seed7.json", "seed9.json"]
    asked = sorted({item.label for item in KnownBoxes.read(WRITTEN[0]).detections})
    arguments = ["segment", "--generator", "toy-room", "--seed", "7", "-n", "8", "-o", str(tmp_path / "out")]
    arguments += ["--objects", ", ".join(asked), "--detector", str(WRITTEN[0]), "--threshold", "0"]
    assert cli.main(arguments) == 0
    record = json.loads(next((tmp_path / "out").glob("*.json")).read_text())
    assert record["objects"] and {item["phrase"] for item in record["objects"]} <= set(asked)


def test_the_papers_captions(script):
    assert parse_phrases(script.CAPTIONS["horses"]) == ("horses",)
    assert parse_phrases(script.CAPTIONS["rooms"]) == PHRASES


def test_the_script_needs_nothing_before_it_runs():
    """It starts in another environment, which has neither our package nor what it depends on."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import glip_boxes; print(*sorted(sys.modules), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code, str(SCRIPTS)], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & {"torch", "numpy", "PIL", "faiss", "safetensors", "mmdet", "transformers"}
    assert "stylemixseg" in loaded


def test_an_image_goes_in_and_boxes_come_out(script, mmdetection, images, tmp_path, capsys):
    config = tmp_path / "glip.py"
    config.write_text("")
    out = tmp_path / "boxes"
    arguments = [str(images), str(out), "--paper", "rooms", "--config", str(config)]
    assert script.main([*arguments, "--random-weights"]) == 0
    ((image, options),) = mmdetection.asked
    assert image.shape == (2, 3, 3) and image[0, 0].tolist() == [10, 20, 250]  # blue first
    assert options["texts"] == "sofa. coffee table. lamp. side table. rug" and options["custom_entities"]
    assert [path.name for path in out.iterdir()] == ["a.json"]
    found = KnownBoxes.read(out / "a.json").detections
    assert [(item.box, item.label, item.score) for item in found] == [
        ((1, 0, 3, 2), "sofa", 0.75),
        ((0, 0, 1, 1), "coffee table", 0.25),
    ]
    said = capsys.readouterr().out
    assert "a.png: 2 boxes" in said and "these boxes mean nothing" in said


def test_a_turned_photo_is_looked_at_upright(script, mmdetection, images, tmp_path):
    pixels = Image.open(images / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it clockwise
    pixels.save(images / "a.png", exif=exif)
    script.Glip(tmp_path, None, None, "cpu")(images / "a.png", ["sofa"])
    ((image, _),) = mmdetection.asked
    assert image.shape == (3, 2, 3) and image[0, 1].tolist() == [10, 20, 250]  # top right now


def test_weights_must_be_given_or_renounced(script, images, tmp_path, capsys):
    arguments = [str(images), str(tmp_path), "--paper", "horses", "--config", "c.py"]
    for more in ([], ["--checkpoint", "w.pth", "--random-weights"]):
        with pytest.raises(SystemExit, match="2"):
            script.main([*arguments, *more])
        assert "--random-weights" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match="--config: no such file"):
        script.main([*arguments, "--random-weights"])


def test_a_checkpoint_is_filled_in_whole(script, mmdetection, tmp_path):
    weights = {"layer.weight": torch.full((1, 2), 3.0), "layer.bias": torch.ones(1), "bert.position_ids": torch.ones(1)}
    torch.save({"state_dict": weights, "meta": {"epoch": 12}}, tmp_path / "w.pth")
    script.Glip(tmp_path, tmp_path / "w.pth", None, "cpu")
    assert mmdetection.network.layer.weight.tolist() == [[3, 3]]
    weights["other"] = weights.pop("layer.bias")
    torch.save(weights, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"lacks 1 tensors \(layer.bias\) and has 1 of another network \(other\)"):
        script.Glip(tmp_path, tmp_path / "w.pth", None, "cpu")


class Bomb:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_no_code_in_a_checkpoint_is_run(script, mmdetection, tmp_path):
    proof = tmp_path / "it-ran"
    torch.save({"state_dict": {}, "meta": Bomb(proof)}, tmp_path / "w.pth")
    torch.load(tmp_path / "w.pth", weights_only=False)
    assert proof.exists()  # the bomb works
    proof.unlink()
    with pytest.raises(ValueError, match="--checkpoint must hold nothing but tensors"):
        script.Glip(tmp_path, tmp_path / "w.pth", None, "cpu")
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Bomb(proof)))
    with pytest.raises(ValueError, match="--checkpoint must hold nothing but tensors"):
        script.Glip(tmp_path, tmp_path / "old.pth", None, "cpu")
    assert not proof.exists()


def test_a_text_encoder_in_a_folder(script, mmdetection, tmp_path, monkeypatch):
    mmdetection.settings["model"] |= {"language_model": {"name": "hub"}, "bbox_head": {"lang_model_name": "hub"}}
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    script.Glip(tmp_path, None, tmp_path / "bert", "cpu")
    assert mmdetection.built["model"]["language_model"]["name"] == str(tmp_path / "bert")
    assert mmdetection.built["model"]["bbox_head"]["lang_model_name"] == str(tmp_path / "bert")
    assert script.os.environ["HF_HUB_OFFLINE"] == "1"


def test_another_detectors_configuration(script, mmdetection, tmp_path):
    mmdetection.settings["model"]["type"] = "GroundingDINO"
    with pytest.raises(ValueError, match="got a model of type GroundingDINO"):
        script.Glip(tmp_path, None, None, "cpu")


def test_without_mmdetection_the_error_names_the_page(script, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "mmdet", None)
    with pytest.raises(ImportError, match="GLIP needs MMDetection, see the page Detectors"):
        script.Glip(tmp_path, None, None, "cpu")


def test_what_is_no_box_is_left_out(script):
    nan = float("nan")
    corners = [
        [0, 0, 9, 9],
        [nan, 0, 9, 9],
        [5, 0, 5, 9],
        [9, 0, 0, 9],
        [0, 0, 9, float("inf")],
        [0, 0, 1, 1],
        [0, 0, 1, 1],
    ]
    found, dropped = script.boxes_of(corners, [0.5, 0.5, 0.5, 0.5, 0.5, nan, 0.5], [1, 0, 0, 0, 0, 0, 2], ["a", "b"])
    assert found == [{"box": [0, 0, 9, 9], "label": "b", "score": 0.5}] and dropped == 6


def test_an_image_without_boxes_gives_a_file_without_boxes(script, tmp_path):
    script.write_boxes(tmp_path / "new" / "a.json", [])
    assert KnownBoxes.read(tmp_path / "new" / "a.json").detections == ()


def test_folders_that_do_not_fit(script, images, tmp_path):
    assert [path.name for path in script.image_files(images)] == ["a.png"]
    Image.open(images / "a.png").save(images / "a.bmp")
    with pytest.raises(ValueError, match="must differ in more than their endings, got several called a"):
        script.image_files(images)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="IMAGES must hold images"):
        script.image_files(tmp_path / "empty")
    with pytest.raises(NotADirectoryError, match="IMAGES must be a folder"):
        script.image_files(images / "a.png")
