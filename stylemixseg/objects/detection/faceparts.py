"""Parts of a face as boxes: the face parser's label map, read as a detector's answer.

The parser was trained on masks drawn by people, so these boxes are as supervised as any detector's. What the method
adds is the mask inside (section 3.3).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageOps
from scipy import ndimage

from stylemixseg._util.checks import check_image
from stylemixseg.data.horses import mask_box
from stylemixseg.mixing import to_generator_range
from stylemixseg.models.references import CLASS_NAMES, NUM_CLASSES, FaceParser
from stylemixseg.objects.detection.base import Detection
from stylemixseg.objects.detection.phrases import best_label

_LIPS = ("upper_lip", "lower_lip")
_PAIRS = {"eye": "eye", "brow": "brow", "eyebrow": "brow", "ear": "ear"}  # words for what a face has two of

# The words that are understood (plurals too), and the parser's classes behind them: one tuple an instance. "left" is
# the left of the person shown.
WORDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "face": (("skin", "nose", "eyeglasses", "left_eye", "right_eye", "left_brow", "right_brow", "mouth", *_LIPS),),
    "skin": (("skin",),),
    "hair": (("hair",),),
    **{word: ((f"left_{part}",), (f"right_{part}",)) for word, part in _PAIRS.items()},
    **{f"{side} {word}": ((f"{side}_{part}",),) for word, part in _PAIRS.items() for side in ("left", "right")},
    "nose": (("nose",),),
    "mouth": (("mouth", *_LIPS),),
    "lips": (_LIPS,),
    "upper lip": (("upper_lip",),),
    "lower lip": (("lower_lip",),),
    **dict.fromkeys(("glasses", "eyeglasses", "spectacles", "sunglasses"), (("eyeglasses",),)),
    "hat": (("hat",),),
    "earring": (("earring",),),
    "necklace": (("necklace",),),
    "neck": (("neck",),),
    "clothes": (("cloth",),),
    "clothing": (("cloth",),),
}
_APART = ("earring",)  # classes without sides, whose pieces are instances each

MAX_SIDE = 512  # px; the parser sees 321, so a larger image tells it nothing more and costs memory for 19 score maps
MIN_SHARE = 2e-4  # of the image: 52 pixels of 512 x 512; the smallest eye that is drawn in 100 human masks has 190
# Of the largest piece. A strand of hair or a chin cuts a part in two, mostly clothes and hair; smaller ones are crumbs.
MIN_PIECE = 0.2


class FaceParts:
    """A `Detector` of the parts of one face, for portraits framed like CelebA-HQ or FFHQ.

    Attributes:
        name: "face-parts". digest: SHA-256 of the parser's weights.

    Args:
        parser: the face parser; None loads the one that comes with the package.
    """

    name = "face-parts"

    def __init__(self, parser: FaceParser | None = None):
        self.parser = FaceParser.load() if parser is None else parser
        self.digest = self.parser.digest

    def __call__(self, image: np.ndarray, phrases: Sequence[str]) -> list[Detection]:
        """Boxes of the parts that `phrases` name in `image` (H, W, 3) uint8, in its pixels.

        Left and right are two instances of one phrase. A box is tight round the pieces of its part (connected also by
        corners); pieces under MIN_SHARE of the image or MIN_PIECE of the largest do not count. Its score is the
        parser's mean probability of the part over these pixels. An instance that two phrases name goes to the first.

        Raises:
            TypeError: phrases that are one text.
            ValueError: not an image, or a phrase that none of `WORDS` answers.
        """
        image = check_image("image", image)
        if isinstance(phrases, str):
            raise TypeError(f"phrases must be a sequence of texts, got the text {phrases!r}: use parse_phrases")
        phrase_of: dict[tuple[str, ...], str] = {}
        for phrase in phrases:
            for instance in instances(phrase):
                phrase_of.setdefault(instance, phrase)
        height, width = image.shape[:2]
        probabilities = self._probabilities(image)  # (19, h, w)
        labels = probabilities.argmax(0)
        scale = np.array([width, height] * 2) / np.array([*labels.shape[::-1]] * 2)
        found = []
        for instance, phrase in phrase_of.items():
            classes = _indices(instance)
            probability = probabilities[classes].sum(0)
            for part in _pieces(np.isin(labels, classes), apart=instance == _APART):
                score = min(float(probability[part].mean(dtype=np.float64)), 1.0)  # 19 rounded shares may pass 1
                found.append(Detection(tuple((np.array(mask_box(part)) * scale).tolist()), phrase, score))
        return found

    def _probabilities(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 -> class probabilities (19, h, w) float32, h and w at most MAX_SIDE."""
        if max(image.shape[:2]) > MAX_SIDE:
            small = ImageOps.contain(Image.fromarray(image), (MAX_SIDE, MAX_SIDE), Image.Resampling.BILINEAR)
            image = np.asarray(small)
        return torch.softmax(self.parser.logits(to_generator_range(image))[0], dim=0).numpy()


def instances(phrase: str) -> tuple[tuple[str, ...], ...]:
    """The parser's classes behind a phrase, one tuple an instance.

    Which word answers the phrase: `best_label`, so "brown eyes" are eyes.

    Raises:
        ValueError: no word answers it; the message lists the words.
    """
    if (word := best_label(phrase, WORDS)) is None:
        raise ValueError(f"phrases must name parts of a face ({', '.join(WORDS)}), got {phrase!r}")
    return WORDS[word]


def part_masks(labels: np.ndarray, phrase: str) -> np.ndarray:
    """The pixels of a part, all its instances together, in a label map: (H, W) bool.

    Args:
        labels: (H, W) integers 0..18, indices into `CLASS_NAMES`, from the parser or drawn by people.
        phrase: as for `FaceParts`.

    Raises:
        TypeError: labels that are no integers.
        ValueError: another shape or range, or an unknown phrase.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers, got {labels.dtype}")
    if labels.ndim != 2 or labels.size == 0:
        raise ValueError(f"labels must have shape (H, W) with H, W >= 1, got {labels.shape}")
    if labels.min() < 0 or labels.max() >= NUM_CLASSES:
        raise ValueError(f"labels must lie in 0..{NUM_CLASSES - 1}, got {labels.min()}..{labels.max()}")
    return np.isin(labels, [index for instance in instances(phrase) for index in _indices(instance)])


def _indices(instance: tuple[str, ...]) -> list[int]:
    return [CLASS_NAMES.index(name) for name in instance]


def _pieces(mask: np.ndarray, apart: bool) -> list[np.ndarray]:
    """The instances (H, W) bool in a part's mask: its pieces that count, each alone if `apart`, else together."""
    numbered, _ = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(numbered.ravel())
    sizes[0] = 0  # the rest of the image
    least = max(MIN_SHARE * mask.size, MIN_PIECE * sizes.max())
    counting = np.flatnonzero((sizes >= least) & (sizes > 0))
    if not len(counting):
        return []
    return [numbered == number for number in counting] if apart else [np.isin(numbered, counting)]
