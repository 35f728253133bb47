"""Parts of a face as objects (section 4.1, Figure 1).

The method works inside the boxes of hair, eyes, brows, nose and mouth, or, the paper's other way, with k = 8 on the
whole face.

Boxes and truth come from the reference that knows the parts: the face parser, or the toy world itself. So the numbers
say what the masking does when the boxes are good; they say nothing about a detector. One small file per face is kept in
the cache folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
from tqdm.auto import tqdm

from stylemixseg._util.keys import cache_key
from stylemixseg.evaluation.imagescores import ImageScores
from stylemixseg.experiments.again import drawn_seeds, of_one
from stylemixseg.experiments.clustermaps import query_latent, seed_name
from stylemixseg.experiments.kept import kept, kept_folder
from stylemixseg.experiments.profile import Profile
from stylemixseg.experiments.recording import recorder_of
from stylemixseg.experiments.registry import experiment
from stylemixseg.experiments.scoring import known, reference_parts
from stylemixseg.experiments.words import FACE_PARTS, WAYS, WHOLE_K
from stylemixseg.foreground import Saliency
from stylemixseg.generators.base import Generator
from stylemixseg.generators.zoo import load_generator
from stylemixseg.metrics import confusion
from stylemixseg.mixing import query_image
from stylemixseg.objects.detection.base import Detection
from stylemixseg.objects.detection.faceparts import FaceParts, part_masks
from stylemixseg.objects.detection.known import KnownBoxes
from stylemixseg.objects.segmenter import ObjectMask, segment_boxes
from stylemixseg.segmenter import StyleMixSegmenter
from stylemixseg.settings import BOX_CONFIG, MARGIN


def parts_of(
    generator: Generator, profile: Profile, seed: int, image: np.ndarray
) -> tuple[list[Detection], dict[str, np.ndarray]]:
    """Boxes of the parts of one query, and the mask (h, w) bool of each part that it shows, from the reference.

    Args:
        generator: drew the query.
        profile: its reference, and the truncation of the query.
        seed: of the query.
        image: the query (h, w, 3) uint8.
    """
    if profile.reference == "truth":
        world = known(generator)
        truth = world.truth(query_latent(generator, profile, seed))[0]
        names = dict.fromkeys(box.label for box in truth.boxes)
        masks = {name: truth.semantic == world.class_names.index(name) for name in names}
        return KnownBoxes.from_toy(truth)(image, list(masks)), masks
    detections = FaceParts()(image, FACE_PARTS)
    labels, _ = reference_parts("face_parser", generator, profile, seed, image)
    masks = {name: part_masks(labels, name) for name in FACE_PARTS}
    return detections, {name: mask for name, mask in masks.items() if any(d.label == name for d in detections)}


def score_parts(
    objects: Sequence[ObjectMask], whole: np.ndarray, truths: dict[str, np.ndarray], boxes: Sequence[Detection]
) -> dict[str, dict[str, float]]:
    """IoU of every part under each of `WAYS`: {part: {way: IoU}}.

    A part is the union of its objects' masks, before overlaps are settled: each part is judged by itself.

    Args:
        objects: of `segment_boxes`.
        whole: cluster map (h, w) of the whole image.
        truths: the parts' masks (h, w).
        boxes: what the objects were found in.
    """
    scores = {}
    for part, truth in truths.items():
        box, best = np.zeros((2, *truth.shape), bool)
        for item in objects:
            if item.detection.label != part:
                continue
            inside = np.s_[item.rows, item.columns]
            box[inside] |= item.mask
            best[inside] |= _best_cluster(item.clusters, len(item.foreground), truth[inside])
        masks = {
            "box": box,
            "box_best": best,
            "whole_best": _best_cluster(whole, WHOLE_K, truth),
            "filled_box": _filled([item for item in boxes if item.label == part], truth.shape),
        }
        scores[part] = {way: confusion(mask, truth).fg_iou for way, mask in masks.items()}
    return scores


def _filled(boxes: Sequence[Detection], shape: tuple[int, int]) -> np.ndarray:
    """The union of some boxes as a mask."""
    mask = np.zeros(shape, bool)
    for item in boxes:
        x0, y0, x1, y1 = np.round(item.box).astype(int)
        mask[y0:y1, x0:x1] = True
    return mask


def _best_cluster(labels: np.ndarray, k: int, truth: np.ndarray) -> np.ndarray:
    """The one cluster, as a mask, whose IoU with the truth is highest."""
    return max((labels == m for m in range(k)), key=lambda mask: confusion(mask, truth).fg_iou)


def _one(generator: Generator, profile: Profile, seed: int) -> dict:
    w0 = query_latent(generator, profile, seed)
    image = query_image(generator, w0, profile.method.resolution)
    detections, truths = parts_of(generator, profile, seed, image)
    segmenter = StyleMixSegmenter(generator, profile.method)
    summary = segmenter.summary(w0)
    found = segment_boxes(summary, detections, list(truths), image, BOX_CONFIG, MARGIN)
    return score_parts(found.objects, segmenter.cluster(summary, WHOLE_K).labels, truths, detections)


def score_faces(generator: Generator, profile: Profile, seeds: Sequence[int]) -> list[dict]:
    """`score_parts` of the queries of some seeds, one per seed, from disk or made now."""
    depends = {
        "generator": generator.digest,
        "truncation": profile.queries.truncation,
        "method": replace(profile.method, rule=Saliency()).cache_key(),
        "config": BOX_CONFIG.cache_key(),
        "margin": MARGIN,
        "parts": FACE_PARTS,
        "whole_k": WHOLE_K,
        "ways": list(WAYS),
        "reference": profile.reference if profile.reference == "truth" else FaceParts().digest,
    }
    folder = kept_folder("parts") / f"{generator.name}-{cache_key(depends)}"
    return [
        kept(folder / f"{seed_name(seed)}.json", partial(_one, generator, profile, seed))
        for seed in tqdm(seeds, desc="parts", unit="image")
    ]


def _again(profile: Profile, scores: Mapping[str, ImageScores], draw: Random, out: Path) -> None:
    (seed,) = drawn_seeds(scores, draw, 1)
    run_parts(of_one(profile, seed), out)


@experiment(
    "parts",
    "parts of a face in boxes of the face parser, and with k = 8 on the whole image (section 4.1)",
    measured_by=score_faces,
    again=_again,
)
def run_parts(profile: Profile, results: Path, generator: Generator | None = None) -> Path:
    """Measure parts on the first of the profile's queries and write `<results>/<profile>/parts.json`.

    Args:
        profile: sizes and settings.
        results: the folder of all results.
        generator: None: the profile's.

    Returns:
        The path of the result file.
    """
    generator = generator or load_generator(profile.generator)
    recorder = recorder_of("parts", profile, results, generator, seed=profile.queries.first)
    seeds = profile.queries.seeds[: profile.objects.faces]
    faces = score_faces(generator, profile, seeds)
    method = profile.method
    setting = f"c = {method.cutoff}, {method.color_space.upper()}, n = {method.n}"
    for part in dict.fromkeys(part for face in faces for part in face):
        shown = {seed_name(seed): face[part] for seed, face in zip(seeds, faces) if part in face}
        for way, words in WAYS.items():
            recorder.add_mean(
                f"{profile.prefix}parts.{part}.{way}.iou",
                [[scores[way]] for scores in shown.values()],
                images=list(shown),
                note=f"{words}; {setting}",
            )
    return recorder.write()
