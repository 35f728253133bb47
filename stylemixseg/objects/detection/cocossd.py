"""COCO-SSD: a small detector of the 80 everyday classes of COCO (Lin et al. 2014, https://arxiv.org/abs/1405.0312).

The Single Shot Detector (Liu et al. 2016, https://arxiv.org/abs/1512.02325) on MobileNetV1 (Howard et al. 2017,
https://arxiv.org/abs/1704.04861), in 8 bits, run by TensorFlow Lite at 300 px. It is not the paper's detector, which
reads any phrase: a phrase must name a class here. It stands beside it because it runs anywhere in a few hundredths of
a second.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from PIL import Image

from stylemixseg._util.checks import check_image, suggest
from stylemixseg.models.tflite import known_file, open_model
from stylemixseg.objects.detection.base import Detection
from stylemixseg.objects.detection.filtering import clean
from stylemixseg.objects.detection.phrases import assign_labels, best_label

_NO_CLASS = "n/a"  # stands in the list of labels where COCO dropped a class


class CocoSSD:
    """A `Detector` for phrases that name COCO classes, such as person, horse, couch, dining table.

    Needs `models/coco_ssd_mobilenet_v1.tflite` and `models/coco_labels.txt` in the data folder and the extra
    `references`. It finds at most ten objects an image, of all classes together.

    Attributes:
        name: "coco-ssd". digest: SHA-256 of the model.
        classes: {class index: name}, the 80 of COCO.

    Args:
        threads: of the processor, at least 1.

    Raises:
        FileNotFoundError: a file is missing.
        ModuleNotFoundError: ai-edge-litert is not installed.
        ValueError: a file is not the one that this class knows.
    """

    name = "coco-ssd"
    FILE = ("models", "coco_ssd_mobilenet_v1.tflite")
    SHA256 = "61d598093ed03ed41aa47c3a39a28ac01e960d6a810a5419b9a5016a1e9c469b"
    LABELS_FILE = ("models", "coco_labels.txt")
    LABELS_SHA256 = "dc183f003fc753c4c43fae6fdf7f387559449573f13fa32e517fb7453fd380f1"

    def __init__(self, threads: int = 1):
        self._interpreter = open_model(self.FILE, self.SHA256, threads)
        self.digest = self.SHA256
        labels = known_file(self.LABELS_FILE, self.LABELS_SHA256).read_text(encoding="utf-8").splitlines()
        self.classes = {index: label for index, label in enumerate(labels) if label != _NO_CLASS}
        (given,) = self._interpreter.get_input_details()
        height, width = given["shape"][1:3]
        self._input, self._size = given["index"], (int(height), int(width))  # (300, 300)
        # boxes (1, 10, 4), classes (1, 10), scores (1, 10), count (1,), all float32
        self._outputs = [made["index"] for made in self._interpreter.get_output_details()]

    def __call__(self, image: np.ndarray, phrases: Sequence[str]) -> list[Detection]:
        """Boxes of `phrases` in `image` (H, W, 3) uint8, in its pixels, at most ten.

        Which class answers which phrase, and which phrase a box gets where several name one class: `assign_labels`.

        Raises:
            TypeError: phrases that are one text.
            ValueError: not an image, or no phrase names a class of COCO.

        Warns:
            UserWarning: some phrase names no class, or the network gave boxes that are none (NaN, no area).
        """
        image = check_image("image", image)
        phrase_of = self._phrase_of(phrases)
        boxes, classes, scores = self._raw(image)
        asked = np.array([number in phrase_of for number in classes], bool)
        labels = [phrase_of[number] for number in classes[asked]]
        height, width = image.shape[:2]
        found, dropped = clean(_to_pixels(boxes[asked], height, width), scores[asked], labels)
        if dropped:
            warnings.warn(f"{self.name} gave {dropped} boxes with NaN or no area, which are left out", stacklevel=2)
        return found

    def _phrase_of(self, phrases: Sequence[str]) -> dict[int, str]:
        """{class index: the phrase that asks for it}."""
        if isinstance(phrases, str):
            raise TypeError(f"phrases must be a sequence of texts, got the text {phrases!r}: use parse_phrases")
        names = list(self.classes.values())
        unknown = [phrase for phrase in phrases if best_label(phrase, names) is None]
        if unknown and len(unknown) == len(phrases):
            raise ValueError(
                f"phrases must name a class of COCO, got {list(phrases)!r:.200}: {suggest(unknown[0], names)}"
            )
        for phrase in unknown:
            warnings.warn(
                f"{self.name} has no class for {phrase!r}, which is not looked for: {suggest(phrase, names)}",
                stacklevel=3,
            )
        assigned = assign_labels(names, phrases)
        return {index: assigned[name] for index, name in self.classes.items() if name in assigned}

    def _raw(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the network says: boxes (n, 4) as shares of height and width, class indices (n,), scores (n,)."""
        height, width = self._size
        small = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        # The input's scale is 1/128 and its zero point 128: it takes the pixels as they are.
        self._interpreter.set_tensor(self._input, np.asarray(small)[None])
        self._interpreter.invoke()
        boxes, classes, scores, count = (self._interpreter.get_tensor(index)[0] for index in self._outputs)
        n = int(count)
        return boxes[:n], classes[:n], scores[:n]


def _to_pixels(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """(n, 4) of (y0, x0, y1, x1) in 0..1 -> (n, 4) of (x0, y0, x1, y1) in pixels."""
    return boxes[:, [1, 0, 3, 2]].astype(np.float64) * [width, height, width, height]
