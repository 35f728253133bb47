"""The two references: shapes, ranges, what they see on a real photo, and what they refuse."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from stylemixseg._util import paths
from stylemixseg.data.celebamask import read_celebamask
from stylemixseg.models import references
from stylemixseg.models.mobileunet import MobileUNet
from stylemixseg.models.references import (
    CLASS_NAMES,
    MIRRORED_CLASSES,
    NUM_CLASSES,
    DeepLabPerson,
    FaceParser,
)

PHOTO = "data/celebamask_hq_800"
DEEPLAB = "models/deeplabv3_voc_257_float.tflite"
START = "models/deeplabv3_mnv2_pascal_quant.tflite"


def needs(relative):
    """Skip, saying which file is absent, where the data folder does not have it."""
    return pytest.mark.skipif(
        not (paths.data_dir() / relative).exists(),
        reason=f"{relative} is not in STYLEMIXSEG_DATA ({os.environ.get('STYLEMIXSEG_DATA')})",
    )


@pytest.fixture(scope="module")
def parser():
    return FaceParser.load()


@pytest.fixture(scope="module")
def photo():
    """A validation photo with its human mask: image (1, 3, 512, 512) in [-1, 1], labels (512, 512)."""
    photos = read_celebamask()
    name = min(photos.names, key=lambda n: hashlib.sha256(n.encode()).hexdigest())
    image, labels = photos[name]
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 127.5 - 1, labels


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_class_names_and_mirroring():
    assert len(CLASS_NAMES) == len(set(CLASS_NAMES)) == 19 and CLASS_NAMES[0] == "background"
    mirrored = [CLASS_NAMES[i] for i in MIRRORED_CLASSES]
    swap = {"left": "right", "right": "left"}
    assert mirrored == ["_".join(swap.get(word, word) for word in name.split("_")) for name in CLASS_NAMES]


def test_network_keeps_half_the_size_and_its_corners():
    network = MobileUNet(NUM_CLASSES).eval()
    with torch.inference_mode():
        features, skips = network.encoder(torch.zeros(1, 3, 65, 97))
        assert network(torch.zeros(1, 3, 65, 97)).shape == (1, 19, 33, 49)
    assert features.shape == (1, 256, 5, 7)
    assert [tuple(skip.shape[1:]) for skip in skips] == [(16, 33, 49), (24, 17, 25), (32, 9, 13)]


@needs(PHOTO)
@needs(START)
def test_encoder_starts_as_deeplab(photo, monkeypatch):
    """The encoder with the start weights, and DeepLab's own last layer behind it, sees what the TFLite file sees."""
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="ai-edge-litert is not installed")
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "data_scripts")
    from face_parser_training import start

    network = start.new_network(seed=0).eval()
    weight, bias = start.stored_convolutions()[-1]
    image = references.resized(photo[0], (513, 513))
    whole = (image * 127.5 + 127.5).round()
    with torch.inference_mode():
        scores = torch.nn.functional.conv2d(network.encoder(whole / 128 - 1)[0], weight, bias)
        found = torch.nn.functional.interpolate(scores, size=(513, 513), mode="bilinear", align_corners=True).argmax(1)
    original = litert.Interpreter(str(paths.data_file(*start.START_FILE)))
    original.allocate_tensors()
    original.set_tensor(original.get_input_details()[0]["index"], whole.byte().permute(0, 2, 3, 1).contiguous().numpy())
    original.invoke()
    expected = original.get_tensor(original.get_output_details()[0]["index"])
    assert (found.numpy() == expected).mean() > 0.97  # the rest: the file computes in 8 bits


def test_parser_output(parser):
    images = torch.rand(2, 3, 70, 50, generator=torch.Generator().manual_seed(0)) * 2 - 1
    labels = parser(images)
    assert labels.shape == (2, 70, 50) and labels.dtype == torch.uint8 and labels.max() <= 18
    foreground = parser.foreground(images)
    assert foreground.dtype == torch.bool and torch.equal(foreground, labels != 0)
    assert parser.logits(images).shape == (2, 19, 70, 50)
    torch.testing.assert_close(parser(images[1:]), labels[1:])  # an image's labels do not depend on its batch


def test_flip_averaging_is_mirror_symmetric(parser):
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    there = parser.logits(images, flip=True)
    back = parser.logits(images.flip(3), flip=True).flip(3)[:, MIRRORED_CLASSES]
    torch.testing.assert_close(there, back, atol=1e-3, rtol=1e-3)


def test_shipped_weights_and_provenance_agree():
    assert references.WEIGHTS_FILE.stat().st_size <= 10_000_000
    provenance = json.loads(references.PROVENANCE_FILE.read_text())
    assert provenance["classes"] == list(CLASS_NAMES)
    assert provenance["training"]["input"] == references.INPUT_SIZE
    validation = provenance["validation"]
    assert validation["n_photos"] == 100
    for name in ("fg_bg_miou", "hair_iou", "part_mean_iou"):
        low, high = validation["plain"][name]["interval"]
        assert low <= validation["plain"][name]["value"] <= high


@needs(PHOTO)
@pytest.mark.parametrize("size", [512, 1024])
def test_parser_on_a_real_photo(parser, photo, size):
    image, truth = photo
    image = torch.nn.functional.interpolate(image, size=(size, size), mode="bilinear", align_corners=False)
    labels = parser(image)[0].numpy()[:: size // 512, :: size // 512]
    assert iou(labels != 0, truth != 0) > 0.9
    hair = CLASS_NAMES.index("hair")
    assert iou(labels == hair, truth == hair) > 0.7


@needs(PHOTO)
def test_left_is_the_persons_left(parser):
    """On the first ten photos, in the order of their names' hashes, in whose human masks both eyes are wide open."""
    photos, seen = read_celebamask(), 0
    eyes = [CLASS_NAMES.index(f"{side}_eye") for side in ("left", "right")]
    for name in sorted(photos.names, key=lambda n: hashlib.sha256(n.encode()).hexdigest()):
        image, truth = photos[name]
        if min((truth == eye).sum() for eye in eyes) < 500:
            continue
        labels = parser(torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 127.5 - 1)[0].numpy()
        left, right = (np.nonzero(labels == eye)[1].mean() for eye in eyes)
        assert left > right, name  # the person's left eye is on the picture's right
        seen += 1
        if seen == 10:
            break
    assert seen == 10


def test_tampered_weights_are_refused(tmp_path):
    for file in (references.WEIGHTS_FILE, references.PROVENANCE_FILE):
        shutil.copy(file, tmp_path)
    weights = tmp_path / references.WEIGHTS_FILE.name
    FaceParser.load(weights)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ValueError, match="SHA-256"):
        FaceParser.load(weights)
    weights.write_bytes(content[:1000])
    with pytest.raises(ValueError, match="SHA-256"):
        FaceParser.load(weights)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match="train_face_parser.py"):
        FaceParser.load(weights)


@pytest.mark.parametrize(
    "images, error, message",
    [
        (np.zeros((1, 3, 8, 8), np.float32), TypeError, "torch.Tensor.*got ndarray"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), TypeError, "torch.uint8"),
        (torch.zeros(3, 8, 8), ValueError, r"\(N, 3, H, W\), got \(3, 8, 8\)"),
        (torch.zeros(1, 8, 8, 3), ValueError, r"got \(1, 8, 8, 3\)"),
        (torch.full((1, 3, 8, 8), float("nan")), ValueError, "NaN"),
        (torch.full((1, 3, 8, 8), 255.0), ValueError, r"\[-1, 1\], got values up to 255"),
    ],
)
def test_bad_images(parser, images, error, message):
    for function in (parser, parser.foreground, parser.logits):
        with pytest.raises(error, match=message):
            function(images)


@needs(PHOTO)
@needs(DEEPLAB)
def test_deeplab_sees_the_person(photo):
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert (extra `references`) is not installed")
    image, truth = photo
    mask = DeepLabPerson().foreground(image.repeat(2, 1, 1, 1))
    assert mask.shape == (2, 512, 512) and mask.dtype == torch.bool and torch.equal(mask[0], mask[1])
    assert iou(mask[0].numpy(), truth != 0) > 0.8


def test_deeplab_names_the_absent_file(monkeypatch, tmp_path):
    monkeypatch.setenv("STYLEMIXSEG_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="deeplabv3_voc_257_float.tflite"):
        DeepLabPerson()
    (tmp_path / "models").mkdir()
    (tmp_path / DEEPLAB).write_bytes(b"cut short")
    with pytest.raises(ValueError, match="SHA-256"):
        DeepLabPerson()


@needs(DEEPLAB)
def test_deeplab_names_the_missing_extra(no_litert):
    with pytest.raises(ModuleNotFoundError, match=r"stylemixseg\[references\]"):
        DeepLabPerson()
