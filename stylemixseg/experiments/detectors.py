"""What a detector finds of the horses in the Weizmann photos: its share of the error of boxes from words (section 3.3).

The paper's LSUN-Horse experiment takes boxes for the word "horses" and masks what is in them. Here the truth is the
tight box of each photo's mask, one horse a photo. A horse that has no box here can have no mask there, however good the
masking is. Some photos show other horses, which have no mask: a box on one of them counts as wrong. One small file per
photo is kept in the cache folder, so an interrupted run goes on where it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Protocol

import numpy as np
from scipy.stats import binomtest
from tqdm.auto import tqdm

from stylemixseg._util.checks import check_int, check_real
from stylemixseg._util.keys import cache_key
from stylemixseg.data.horses import HorsePhotos, mask_box, read_horses
from stylemixseg.evaluation.imagescores import ImageScores
from stylemixseg.evaluation.results import RunRecorder
from stylemixseg.experiments.kept import kept, kept_folder
from stylemixseg.experiments.profile import Profile
from stylemixseg.experiments.recording import recorder_of
from stylemixseg.experiments.registry import experiment
from stylemixseg.experiments.words import THRESHOLDS
from stylemixseg.generators.base import Generator
from stylemixseg.objects.detection.base import Detection, Detector, box_iou
from stylemixseg.objects.detection.cocossd import CocoSSD
from stylemixseg.objects.detection.filtering import DetectionFilter

PHOTOS_AGAIN = 5  # in a spot check
PHRASE = "horses"  # the paper's caption
IOUS = (0.5, 0.7)  # from which on a box is the horse's


class DigestedDetector(Detector, Protocol):
    """A detector whose answers can be kept on disk.

    Attributes:
        digest: SHA-256 of its weights.
    """

    digest: str


def run_horses(
    detector: DigestedDetector, photos: HorsePhotos, recorder: RunRecorder, thresholds: Sequence[float] = THRESHOLDS
) -> None:
    """Ask a detector for "horses" in every photo, and record how its boxes agree with those of the masks.

    A box is kept if its score reaches the threshold and `DetectionFilter`'s defaults let it pass. Names begin with
    `detector.<name>.horses.` and end in the threshold in percent (`t30`):

    - `recall50`, `recall70`: share of the photos where some kept box reaches that IoU (in percent) with the true one;
    - `precision50`, `precision70`: share of the kept boxes that do; not recorded where no box is kept;
    - `answered`: share of the photos with a kept box, wherever it is;
    - `best_iou`: mean over all photos of the highest IoU of a kept box, 0 without one.

    Intervals are Wilson's for shares and a bootstrap over photos for the mean, both of 95 %. Those of precision take
    boxes for independent, though some photos have two.
    """
    thresholds = [check_real("thresholds", threshold, 0, 1) for threshold in thresholds]
    ious: dict[float, list[list[float]]] = {threshold: [] for threshold in thresholds}  # photo by photo, of kept boxes
    for name in tqdm(photos.names, desc="horses", unit="photo"):
        image, mask = photos[name]
        found, truth = _kept_detections(detector, name, image), mask_box(mask)
        for threshold in thresholds:
            boxes = DetectionFilter(threshold=threshold)(found, image.shape[:2])
            ious[threshold].append([box_iou(item.box, truth) for item in boxes])
    for threshold in thresholds:
        _record(recorder, detector, threshold, ious[threshold], photos.names)


def _kept_detections(detector: DigestedDetector, name: str, image: np.ndarray) -> list[Detection]:
    """The detector's answer for one photo, from disk or made now."""
    content = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()[:16]
    key = cache_key([detector.name, detector.digest, PHRASE])
    path = kept_folder("detections") / f"{detector.name}-{key}" / f"{name}-{content}.json"
    answer = kept(path, lambda: {"boxes": [[*item.box, item.score] for item in detector(image, [PHRASE])]})
    return [Detection(tuple(box), PHRASE, score) for *box, score in answer["boxes"]]


def _record(
    recorder: RunRecorder,
    detector: DigestedDetector,
    threshold: float,
    ious: Sequence[Sequence[float]],
    names: Sequence[str],
) -> None:
    """Record one threshold's numbers; `ious` holds those of the kept boxes, photo by photo."""
    prefix = f"detector.{detector.name.replace('-', '_')}.horses"
    suffix = f"t{round(100 * threshold):02d}"
    setting = f'"{PHRASE}", score at least {threshold:g}; {detector.name}, SHA-256 {detector.digest[:12]}'
    best = [max(values, default=0.0) for values in ious]
    boxes = [value for values in ious for value in values]

    def share(name: str, hits: Sequence[bool], words: str) -> None:
        n, count = len(hits), sum(hits)
        recorder.add(
            f"{prefix}.{name}.{suffix}", count / n, n=n, interval=wilson_interval(count, n), note=f"{words}; {setting}"
        )

    for least in IOUS:
        percent = round(100 * least)
        share(
            f"recall{percent}",
            [value >= least for value in best],
            f"photos where a box has an IoU of at least {least:g} with the mask's box",
        )
        if boxes:
            share(
                f"precision{percent}",
                [value >= least for value in boxes],
                f"boxes whose IoU with the mask's box is at least {least:g}",
            )
    share("answered", [len(values) > 0 for values in ious], "photos with a box, wherever it is")
    recorder.add_mean(
        f"{prefix}.best_iou.{suffix}",
        [[value] for value in best],
        images=names,
        note=f"IoU of the best box with the mask's box, 0 where there is no box; {setting}",
    )


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """Wilson's score interval of 95 % of a proportion; unlike the usual one it has a width at 0 and 1.

    Args:
        successes: in 0..n.
        n: trials, at least 1.

    Returns:
        (low, high), both in 0..1.
    """
    check_int("successes", successes, 0, check_int("n", n, 1))
    interval = binomtest(successes, n).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def score_photos(results: Path, profile: Profile, names: Sequence[str] | None = None) -> Path:
    """Measure COCO-SSD on the Weizmann horses and write `<results>/<profile>/detectors.json`.

    The photos are real ones in every profile, so no name has a prefix.

    Args:
        results: the folder of all results.
        profile: says how many photos.
        names: of the photos; None: as many as the profile says, the first by name.

    Returns:
        The path of the result file.

    Raises:
        FileNotFoundError: no photos or no COCO-SSD on this machine.
        ModuleNotFoundError: no ai-edge-litert.
        ValueError: more photos than there are.
        KeyError: an unknown name.
    """
    horses = read_horses()
    if names is None:
        names = horses.names[: check_int("detectors.photos", profile.detectors.photos, 1, len(horses))]
    recorder = recorder_of("detectors", profile, results)
    run_horses(CocoSSD(), replace(horses, split_of={name: horses.split_of[name] for name in names}), recorder)
    return recorder.write()


def _again(profile: Profile, scores: Mapping[str, ImageScores], draw: Random, out: Path) -> None:
    names = next(iter(scores.values())).images
    score_photos(out, profile, draw.sample(names, min(PHOTOS_AGAIN, len(names))))


@experiment(
    "detectors",
    'COCO-SSD\'s boxes for "horses" on the Weizmann photos (section 3.3)',
    measured_by=run_horses,
    again=_again,
)
def run_detectors(profile: Profile, results: Path, generator: Generator | None = None) -> Path:
    """Measure COCO-SSD on the profile's photos of horses, as `score_photos`; no generator takes part."""
    return score_photos(Path(results), profile)
