"""`stylemixseg segment ... --objects "sofa, lamp"`: which detector is meant, and what it is given."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from stylemixseg._util.checks import check_choice
from stylemixseg._util.paths import sha256_file
from stylemixseg.foreground import Saliency
from stylemixseg.generators.base import Generator, KnowsTheTruth
from stylemixseg.objects.detection.base import Detector
from stylemixseg.objects.detection.cocossd import CocoSSD
from stylemixseg.objects.detection.faceparts import WORDS, FaceParts
from stylemixseg.objects.detection.filtering import DetectionFilter
from stylemixseg.objects.detection.known import KnownBoxes
from stylemixseg.objects.detection.phrases import PromptLanguageWarning, best_label, parse_phrases
from stylemixseg.objects.detection.zeroshot import KNOWN, ZeroShotDetector
from stylemixseg.objects.segmenter import BOX_CONFIG, MARGIN, ObjectSegmentation, ObjectSegmenter
from stylemixseg.settings import SegmenterConfig

# Score of a zero-shot model's boxes: the filter's threshold decides, and its advice tells what it dropped.
LOWEST = 0.05
NAMES = ("truth", "face-parts", "coco-ssd", *KNOWN)


@dataclass(frozen=True)
class ObjectOptions:
    """What is asked of objects.

    Attributes:
        prompt: the caption.
        detector: one of `NAMES`, a .json file of boxes, a folder with a zero-shot model, or None for `best_detector`.
        threshold: least score of a box; None: the detector's usual one.
        margin: added to a box on each side, as a share of its sides.
        phrases: of the prompt.

    Raises:
        ValueError: a prompt that names no object (see `parse_phrases`).
    """

    prompt: str
    detector: str | None = None
    threshold: float | None = None
    margin: float = MARGIN
    phrases: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PromptLanguageWarning)  # the segmenter will say it
            object.__setattr__(self, "phrases", parse_phrases(self.prompt))  # the class is frozen

    def segmenter(
        self, generator: Generator, config: SegmenterConfig, device: str, ws: Tensor | None = None
    ) -> ObjectSegmenter:
        """The method with the detector that is meant.

        Args:
            generator: whose images are segmented.
            config: of the method in the boxes.
            device: where a detector that is a network runs.
            ws: the query's latent, from which the toy world tells its exact boxes; None for photos.

        Raises:
            ValueError: no such detector, or one that cannot know this generator.
            ModuleNotFoundError: its extra is not installed.
            FileNotFoundError: its model or file is not there.
        """
        name = self._detector_name(generator)
        keep = DetectionFilter() if self.threshold is None else DetectionFilter(threshold=self.threshold)
        return ObjectSegmenter(
            generator, load_detector(name, generator, device, ws), config, keep=keep, margin=self.margin
        )

    def describe(self, generator: Generator, config: SegmenterConfig) -> dict:
        """What was asked for and with which settings, as plain values for a JSON file."""
        name = self._detector_name(generator)
        return {
            "prompt": self.prompt,
            "detector": Path(name).resolve().name,  # a path would tell of this machine
            "detector_files": {path.name: sha256_file(path) for path in _own_files(name)},
            "threshold": DetectionFilter().threshold if self.threshold is None else self.threshold,
            "margin": self.margin,
            "settings": config.describe(),
            "generator": {"name": generator.name, "sha256": generator.digest},
        }

    def _detector_name(self, generator: Generator) -> str:
        return self.detector or best_detector(generator, self.phrases)


def box_config(rule: str | None, settings: dict) -> SegmenterConfig:
    """The method's settings inside boxes: `BOX_CONFIG` with what is asked for.

    Args:
        rule: "saliency" (a Gaussian in the middle of each box), or "corner" or None.
        settings: by the names of `SegmenterConfig`.
    """
    config = replace(BOX_CONFIG, **settings)
    return replace(config, rule=Saliency()) if rule == "saliency" else config


def announce(folder: Path, result: ObjectSegmentation) -> str:
    """What was found, in one line."""
    counts = Counter(item.detection.label for item in result.objects)
    found = ", ".join(f"{counts[phrase]} x {phrase}" for phrase in result.phrases if counts[phrase]) or "no object"
    small, unseen = len(result.skipped), len(result.objects) - np.count_nonzero(np.unique(result.instance))
    odd = [f"{small} {'box' if small == 1 else 'boxes'} too small"] if small else []
    odd += [f"{unseen} empty or hidden by others"] if unseen else []
    return f"{folder}: {found}" + (f" ({', '.join(odd)})" if odd else "")


def best_detector(generator: Generator, phrases: Sequence[str]) -> str:
    """The detector that needs least: the toy world's boxes, the parser for parts of a face, else Grounding DINO."""
    if isinstance(generator, KnowsTheTruth):
        return "truth"
    if generator.name == "faces" and all(best_label(phrase, WORDS) for phrase in phrases):
        return "face-parts"
    return "grounding-dino"


def load_detector(name: str, generator: Generator, device: str = "cpu", ws: Tensor | None = None) -> Detector:
    """A detector by name, by a file of boxes, or by a folder with a zero-shot model; see `ObjectOptions.segmenter`."""
    if name.endswith(".json"):
        return KnownBoxes.read(name)
    if name in KNOWN or _is_folder(name):
        return ZeroShotDetector.load(name, device=device, threshold=LOWEST, text_threshold=LOWEST)
    check_choice("detector", name, NAMES)
    if name == "truth":
        if ws is None or not isinstance(generator, KnowsTheTruth):
            raise ValueError(
                f"detector 'truth' is for images of the toy world, which knows its boxes, got {generator.name}"
            )
        return KnownBoxes.from_toy(generator.truth(ws)[0])
    return FaceParts() if name == "face-parts" else CocoSSD()


def _is_folder(name: str) -> bool:
    """A folder may be called as a detector is; the detector is meant then."""
    return name not in NAMES and Path(name).is_dir()


def _own_files(name: str) -> list[Path]:
    """What a detector of the user's is read from: the file of boxes, or the weights in a folder."""
    if name.endswith(".json"):
        return [Path(name)]
    return sorted(Path(name).glob("*.safetensors")) if _is_folder(name) else []
