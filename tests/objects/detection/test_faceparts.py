"""Parts of a face as boxes: on label maps drawn here behind a parser that returns them, and by the real parser."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from stylemixseg._util import paths
from stylemixseg.data.celebamask import read_celebamask, validation_names
from stylemixseg.data.horses import mask_box
from stylemixseg.models.references import CLASS_NAMES
from stylemixseg.objects.detection.base import Detector, box_iou
from stylemixseg.objects.detection.faceparts import MAX_SIDE, WORDS, FaceParts, instances, part_masks

PHOTOS = "data/celebamask_hq_800"
SURE = 5.0  # logit of the class that is drawn, the others 0
PROBABILITY = np.exp(SURE) / (np.exp(SURE) + 18)


class DrawnParser:
    """Stands for the face parser: classes in rectangles, given as shares of the image it is shown."""

    digest = "d" * 64

    def __init__(self, *rectangles: tuple[str, float, float, float, float]):
        self.rectangles = rectangles
        self.seen = None

    def labels(self, height: int, width: int) -> np.ndarray:
        labels = np.zeros((height, width), np.uint8)
        for name, x0, y0, x1, y1 in self.rectangles:
            rows, columns = slice(round(y0 * height), round(y1 * height)), slice(round(x0 * width), round(x1 * width))
            labels[rows, columns] = CLASS_NAMES.index(name)
        return labels

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        self.seen = images
        labels = torch.from_numpy(self.labels(*images.shape[2:]).astype(np.int64))
        return SURE * torch.nn.functional.one_hot(labels, len(CLASS_NAMES)).permute(2, 0, 1)[None].float()


def image(height: int = 100, width: int = 100) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def boxes(found) -> list[tuple[str, tuple[float, ...]]]:
    return sorted((item.label, tuple(round(side) for side in item.box)) for item in found)


def test_it_is_a_detector_and_sees_the_image():
    parser = DrawnParser(("nose", 0.4, 0.4, 0.6, 0.7))
    detector = FaceParts(parser)
    assert isinstance(detector, Detector) and detector.name == "face-parts" and detector.digest == parser.digest
    picture = image()
    found = detector(picture, ["nose"])
    assert boxes(found) == [("nose", (40, 40, 60, 70))]
    assert found[0].score == pytest.approx(PROBABILITY, rel=1e-5)
    np.testing.assert_allclose(parser.seen[0].permute(1, 2, 0).numpy(), picture / 127.5 - 1, atol=1e-6)
    assert detector(picture, ["hat"]) == [] and detector(picture, []) == []


def test_eyes_are_two_instances_and_a_mouth_is_one():
    detector = FaceParts(DrawnParser(
        ("skin", 0.1, 0.1, 0.9, 0.9), ("left_eye", 0.6, 0.3, 0.7, 0.35), ("right_eye", 0.3, 0.3, 0.4, 0.35),
        ("upper_lip", 0.4, 0.7, 0.6, 0.73), ("mouth", 0.42, 0.73, 0.58, 0.75), ("lower_lip", 0.4, 0.75, 0.6, 0.8),
    ))  # fmt: skip
    found = detector(image(), ["eyes", "mouth", "lower lip", "face"])
    assert boxes(found) == [
        ("eyes", (30, 30, 40, 35)), ("eyes", (60, 30, 70, 35)), ("face", (10, 10, 90, 90)),
        ("lower lip", (40, 75, 60, 80)), ("mouth", (40, 70, 60, 80)),
    ]  # fmt: skip
    assert boxes(detector(image(), ["left eye"])) == [("left eye", (60, 30, 70, 35))]  # the person's left
    assert [item.score for item in found if item.label == "eyes"] == pytest.approx([PROBABILITY] * 2, rel=1e-5)


def test_score_of_a_part_of_several_classes_sums_their_probabilities():
    """Between upper lip and lower lip the parser may waver; that there are lips it knows."""

    class Wavering(DrawnParser):
        def logits(self, images):
            scores = super().logits(images)
            upper, lower = CLASS_NAMES.index("upper_lip"), CLASS_NAMES.index("lower_lip")
            scores[:, lower] = torch.maximum(scores[:, lower], scores[:, upper] - 0.1)
            return scores

    (lips,) = FaceParts(Wavering(("upper_lip", 0.2, 0.2, 0.6, 0.6)))(image(), ["lips"])
    together = np.exp(SURE) + np.exp(SURE - 0.1)
    assert lips.score == pytest.approx(together / (together + 17), rel=1e-5)


def test_pieces_crumbs_and_specks():
    parser = DrawnParser(
        ("cloth", 0.0, 0.8, 0.3, 1.0), ("cloth", 0.8, 0.9, 1.0, 1.0),  # cut in two by the neck: one box
        ("hair", 0.3, 0.0, 0.7, 0.3), ("hair", 0.95, 0.5, 1.0, 0.6),  # 50 pixels of 1200 are a crumb
        ("earring", 0.2, 0.5, 0.22, 0.6), ("earring", 0.8, 0.5, 0.82, 0.6),  # two pieces, two earrings
        ("necklace", 0.5, 0.7, 0.52, 0.71), ("hat", 0.9, 0.0, 0.91, 0.01),  # two pixels, one pixel
    )  # fmt: skip
    found = FaceParts(parser)(image(), ["clothes", "hair", "earrings", "necklace", "hat"])
    assert boxes(found) == [
        ("clothes", (0, 80, 100, 100)),
        ("earrings", (20, 50, 22, 60)),
        ("earrings", (80, 50, 82, 60)),
        ("hair", (30, 0, 70, 30)),
        ("necklace", (50, 70, 52, 71)),
    ]  # fmt: skip; one pixel of 10,000 is less than MIN_SHARE


def test_pieces_that_touch_by_a_corner_are_one():
    parser = DrawnParser(("earring", 0.2, 0.2, 0.3, 0.3), ("earring", 0.3, 0.3, 0.4, 0.4))
    assert boxes(FaceParts(parser)(image(), ["earrings"])) == [("earrings", (20, 20, 40, 40))]


def test_large_images_are_reduced_and_boxes_are_in_their_pixels():
    parser = DrawnParser(("hat", 0.25, 0.0, 0.75, 0.5))
    found = FaceParts(parser)(image(2 * MAX_SIDE, 4 * MAX_SIDE), ["hat"])
    assert parser.seen.shape == (1, 3, MAX_SIDE // 2, MAX_SIDE)
    assert found[0].box == (MAX_SIDE, 0, 3 * MAX_SIDE, MAX_SIDE)
    assert parser.seen.std() > 0.05


def test_an_instance_goes_to_the_first_phrase_that_names_it():
    detector = FaceParts(DrawnParser(("eyeglasses", 0.2, 0.4, 0.8, 0.5), ("left_eye", 0.6, 0.6, 0.7, 0.7)))
    found = detector(image(), ["eyeglasses", "glasses", "left eye", "eyes"])
    assert sorted(item.label for item in found) == ["eyeglasses", "left eye"]


def test_words():
    assert {name for parts in WORDS.values() for part in parts for name in part} <= set(CLASS_NAMES)
    assert instances("eye") == instances("Eyes") == instances("brown eyes") == (("left_eye",), ("right_eye",))
    assert instances("eyebrows") == instances("brow") and instances("left ear") == (("left_ear",),)
    assert instances("lips") == (("upper_lip", "lower_lip"),) and "mouth" in instances("mouth")[0]
    with pytest.raises(ValueError, match="hair.*glasses.*got 'sofa'"):
        FaceParts(DrawnParser())(image(), ["hair", "sofa"])
    with pytest.raises(TypeError, match="got the text 'hair'"):
        FaceParts(DrawnParser())(image(), "hair")
    with pytest.raises(ValueError, match=r"image must be \(H, W, 3\) uint8"):
        FaceParts(DrawnParser())(image()[..., 0], ["hair"])


def test_part_masks():
    labels = DrawnParser(("left_eye", 0.6, 0.3, 0.7, 0.4), ("mouth", 0.4, 0.7, 0.6, 0.8)).labels(50, 60)
    eyes = part_masks(labels, "eyes")
    assert eyes.dtype == bool
    np.testing.assert_array_equal(eyes, labels == CLASS_NAMES.index("left_eye"))
    np.testing.assert_array_equal(part_masks(labels, "mouth"), labels == CLASS_NAMES.index("mouth"))
    assert not part_masks(labels, "right eye").any()


@pytest.mark.parametrize(
    "labels, error, message",
    [
        (np.zeros((2, 2)), TypeError, "integers, got float64"),
        (np.zeros((2, 2, 1), int), ValueError, r"\(H, W\)"),
        (np.full((2, 2), 19), ValueError, r"0\.\.18, got 19\.\.19"),
        (np.full((2, 2), -1), ValueError, r"got -1\.\.-1"),
    ],
)
def test_part_masks_refuses(labels, error, message):
    with pytest.raises(error, match=message):
        part_masks(labels, "hair")


@pytest.mark.skipif(
    not (paths.data_dir() / PHOTOS).exists(),
    reason=f"{PHOTOS} is not in STYLEMIXSEG_DATA ({os.environ.get('STYLEMIXSEG_DATA')})",
)
def test_boxes_of_a_real_photo_fit_the_masks_drawn_by_people():
    photos = read_celebamask()
    photo, labels = photos[validation_names(photos)[0]]
    found = FaceParts()(photo, ["hair", "nose", "mouth", "eyes"])
    assert [item.label for item in found].count("eyes") == 2
    for phrase in ("hair", "nose", "mouth"):
        (item,) = (item for item in found if item.label == phrase)
        assert box_iou(item.box, mask_box(part_masks(labels, phrase))) > 0.7, phrase
        assert item.score > 0.7
