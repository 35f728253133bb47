"""Objects in scenes, section 3.3, where the truth is known: rooms of the toy world, and what makes the method fail.

Every room is segmented in its exact boxes, in boxes moved at random, by one clustering of the whole image, and by
clusters that all rooms share; then the toy world's failure modes are switched on, one at a time. One small file per
room is kept in the cache folder, so an interrupted run goes on where it was. Names begin with "toy.": these numbers
never stand beside the paper's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from random import Random

import numpy as np
from tqdm.auto import tqdm

from stylemixseg._util.keys import cache_key
from stylemixseg.evaluation.imagescores import ImageScores
from stylemixseg.evaluation.results import RunRecorder
from stylemixseg.experiments.again import drawn_seeds, of_one
from stylemixseg.experiments.clustermaps import seed_name
from stylemixseg.experiments.kept import kept, kept_folder
from stylemixseg.experiments.profile import Profile
from stylemixseg.experiments.recording import recorder_of
from stylemixseg.experiments.registry import experiment
from stylemixseg.experiments.scoring import oracle_labels
from stylemixseg.experiments.words import WHOLE_K
from stylemixseg.foreground import Saliency
from stylemixseg.generators.base import Generator, seeded_z
from stylemixseg.generators.toyworld.world import CLASS_NAMES, FAILURE_MODES, THINGS, ToyFailures, ToyTruth, ToyWorld
from stylemixseg.joint.classes import ClusterNames, StyleClusters, class_map, fit_clusters, names_by_majority
from stylemixseg.metrics import Confusion, bootstrap_interval, confusion, mean_iou
from stylemixseg.mixing import query_image
from stylemixseg.objects.detection.base import Detection
from stylemixseg.objects.detection.known import KnownBoxes, jittered
from stylemixseg.objects.segmenter import segment_boxes
from stylemixseg.segmenter import StyleMixSegmenter
from stylemixseg.settings import BOX_CONFIG, MARGIN, SegmenterConfig
from stylemixseg.summary import StyleSummary

ROOMS_AGAIN = 3  # in a spot check
RESOLUTION = 128  # of the rooms
JITTER = (0.05, 0.1, 0.2)  # each side of a box moves by up to this share of its width or height

SHARED_K = 16  # clusters that all rooms share, chosen on other rooms by data_scripts/choose_room_clusters.py
FITTED, NAMED = 60, 20  # rooms that the shared clusters are found in, and those of them that name the clusters
ROOM_CLASSES = ("background", *CLASS_NAMES)  # by label in a class map; in a room nothing is mere background

# How a room is segmented: what it is called, and in words for the reader.
VARIANTS = {
    "oracle": f"exact boxes with a margin of {MARGIN:.0%}",
    "tight": "exact boxes without a margin",
    **{f"jitter{round(100 * share):02d}": f"boxes whose sides moved by up to {share:.0%}" for share in JITTER},
    "whole": f"one clustering of the image, k = {WHOLE_K}, each cluster given the class of most of its pixels",
    "shared": f"{SHARED_K} clusters that other rooms share, each given one name for all rooms",
}
WITHOUT_BOXES = ("whole", "shared")  # these have classes alone; the boxes only part what their classes hold
MODES = {  # failure modes, in exact boxes with a margin
    "shared_paint": "sofa and wall painted alike",
    "highlights": "strong highlights",
    "corner_object": "plants in the image's corners",
    "structure_leak": "structure moves with style",
    "occlusion": "things in front of one another",
}


def room_summary(world: ToyWorld, profile: Profile, seed: int) -> tuple[StyleSummary, ToyTruth, np.ndarray]:
    """X_s of one room, its truth, and its image (H, W, 3) uint8."""
    w0 = world.mapping(seeded_z(seed, world.z_dim), profile.queries.truncation)
    config = replace(profile.method, cutoff=world.structure_layers, resolution=None)
    return StyleMixSegmenter(world, config).summary(w0), world.truth(w0)[0], query_image(world, w0)


def true_boxes(truth: ToyTruth) -> list[Detection]:
    """The exact boxes of a room, in the order of its instances."""
    return list(KnownBoxes.from_toy(truth).detections)


def whole_image_classes(summary: StyleSummary, truth: ToyTruth, k: int = WHOLE_K) -> np.ndarray:
    """Semantic map (H, W) of one clustering of the whole image; the truth says which class a cluster is."""
    labels = summary.cluster(k, **BOX_CONFIG.kmeans_options).labels
    return oracle_labels(labels, k, truth.semantic, len(CLASS_NAMES))[labels]


def score_room(masks: Mapping[int, np.ndarray], semantic: np.ndarray, truth: ToyTruth) -> dict:
    """How the objects of one room agree with the truth.

    Args:
        masks: {instance: mask (H, W) bool}; an instance without a mask scores 0.
        semantic: (H, W), indices into `CLASS_NAMES`.
        truth: of the room.

    Returns:
        {"instances": [[class name, IoU], ...], "classes": {class name: [tp, fp, fn, tn]}}, plain values for a file.
    """
    instances = []
    for box in truth.boxes:
        mask = masks.get(box.instance)
        iou = 0.0 if mask is None else confusion(mask, truth.instance == box.instance).fg_iou
        instances.append([box.label, iou])
    classes = {}
    for index, name in enumerate(CLASS_NAMES):
        found = confusion(semantic == index, truth.semantic == index)
        classes[name] = [found.tp, found.fp, found.fn, found.tn]
    return {"instances": instances, "classes": classes}


def score_boxes(
    summary: StyleSummary,
    truth: ToyTruth,
    image: np.ndarray,
    boxes: list[Detection],
    *,
    margin: float = MARGIN,
    config: SegmenterConfig = BOX_CONFIG,
) -> dict:
    """`score_room` of the method in `boxes`, one for each of the truth's, in their order."""
    # Instances are told apart by the order of the boxes, which confidence would change: so each has its own label here.
    named = [Detection(box.box, str(true.instance), box.score) for box, true in zip(boxes, truth.boxes, strict=True)]
    result = segment_boxes(summary, named, [box.label for box in named], image, config, margin)
    masks = {int(item.detection.label): result.visible(item.number) for item in result.objects}
    semantic = np.zeros_like(truth.semantic)  # class 0 is the wall, which is not scored
    for true in truth.boxes:
        if true.instance in masks:
            semantic[masks[true.instance]] = CLASS_NAMES.index(true.label)
    return score_room(masks, semantic, truth)


def score_whole(summary: StyleSummary, truth: ToyTruth) -> dict:
    """`score_room` of one clustering of the whole image, as `score_classes`."""
    return score_classes(whole_image_classes(summary, truth), truth)


def score_classes(semantic: np.ndarray, truth: ToyTruth) -> dict:
    """`score_room` of a semantic map (H, W); an instance is what its class has inside its box."""
    masks = {}
    for box in truth.boxes:
        mask = np.zeros(semantic.shape, bool)
        inside = np.s_[box.y0 : box.y1, box.x0 : box.x1]
        mask[inside] = semantic[inside] == CLASS_NAMES.index(box.label)
        masks[box.instance] = mask
    return score_room(masks, semantic, truth)


def other_rooms(profile: Profile) -> list[tuple[StyleSummary, ToyTruth]]:
    """X_s and truth of the rooms that clusters are found in; none of them is scored."""
    world = ToyWorld("room", resolution=RESOLUTION)
    first = profile.joint.fit_first
    seeds = tqdm(range(first, first + min(FITTED, profile.joint.fit_count)), desc="other rooms", unit="room")
    return [room_summary(world, profile, seed)[:2] for seed in seeds]


def room_clusters(
    rooms: Sequence[tuple[StyleSummary, ToyTruth]], k: int = SHARED_K, seed: int = 0
) -> tuple[StyleClusters, ClusterNames]:
    """k clusters that rooms share, and the name of each: the class of most of its pixels in the first of the rooms.

    Args:
        rooms: what `other_rooms` gave.
        k: number of clusters.
        seed: of K-means.
    """
    everywhere = [(summary, np.ones(truth.semantic.shape, bool)) for summary, truth in rooms]
    n = rooms[0][0].shape[2] // 3
    clusters = fit_clusters(everywhere, k, [n], aligned=False, seed=seed)[n]
    labelled = [(summary, truth.semantic + 1) for summary, truth in rooms[:NAMED]]
    return clusters, names_by_majority(clusters, labelled, ROOM_CLASSES)


@lru_cache(maxsize=1)
def _shared_clusters(profile: Profile) -> tuple[StyleClusters, ClusterNames]:
    """`room_clusters`, kept for the next call, because a spot check looks at one room after the other."""
    return room_clusters(other_rooms(profile))


def shared_classes(found: tuple[StyleClusters, ClusterNames], summary: StyleSummary) -> np.ndarray:
    """Semantic map (H, W) of a room by what `room_clusters` found, indices into `CLASS_NAMES`."""
    return class_map(*found, summary, np.ones(summary.shape[:2], bool)).astype(int) - 1


def _variants(profile: Profile, clusters: Callable[[], tuple[StyleClusters, ClusterNames]], seed: int) -> dict:
    """All of `VARIANTS` of one room."""
    summary, truth, image = room_summary(ToyWorld("room", resolution=RESOLUTION), profile, seed)
    boxes, size = true_boxes(truth), image.shape[:2]
    scores = {
        "oracle": score_boxes(summary, truth, image, boxes),
        "tight": score_boxes(summary, truth, image, boxes, margin=0.0),
        "whole": score_whole(summary, truth),
        "shared": score_classes(shared_classes(clusters(), summary), truth),
    }
    for share in JITTER:
        moved = jittered(boxes, share, np.random.default_rng(seed), size)
        scores[f"jitter{round(100 * share):02d}"] = score_boxes(summary, truth, image, moved)
    return scores


def _mode(profile: Profile, failures: ToyFailures, seed: int) -> dict:
    """One room under a failure mode."""
    world = ToyWorld("room", resolution=RESOLUTION, failures=failures)
    summary, truth, image = room_summary(world, profile, seed)
    return score_boxes(summary, truth, image, true_boxes(truth))


def score_rooms(profile: Profile, seeds: Sequence[int]) -> dict[str, list[dict]]:
    """`score_room` of the rooms of some seeds, from disk or made now: {variant or failure mode: [one per seed]}."""
    digest = ToyWorld("room", resolution=RESOLUTION).digest
    # Found when the first room needs them, if one does. Nothing about the profile's own rooms counts.
    clusters = partial(_shared_clusters, of_one(profile, 0).changed(name="other rooms"))
    rooms = _kept_rooms(profile, "rooms", digest, seeds, partial(_variants, profile, clusters))
    found = {name: [room[name] for room in rooms] for name in VARIANTS}
    for name in MODES:
        failures = FAILURE_MODES[name]
        digest = ToyWorld("room", resolution=RESOLUTION, failures=failures).digest
        found[name] = _kept_rooms(profile, name, digest, seeds, partial(_mode, profile, failures))
    return found


def _again(profile: Profile, scores: Mapping[str, ImageScores], draw: Random, out: Path) -> None:
    for seed in drawn_seeds(scores, draw, ROOMS_AGAIN):
        run_objects(of_one(profile, seed), out)


@experiment(
    "objects",
    "objects in rooms of the toy world, with its exact boxes and its failure modes (section 3.3)",
    measured_by=score_rooms,
    again=_again,
)
def run_objects(profile: Profile, results: Path, generator: Generator | None = None) -> Path:
    """Measure objects in the profile's rooms and write `<results>/<profile>/objects.json`.

    Args:
        profile: sizes and settings.
        results: the folder of all results.
        generator: None or the rooms' own: these numbers are about the toy world in every profile.

    Returns:
        The path of the result file.
    """
    world = generator or ToyWorld("room", resolution=RESOLUTION)
    recorder = recorder_of("objects", profile, results, world, seed=profile.queries.first)
    seeds = range(profile.queries.first, profile.queries.first + profile.objects.scenes)
    setting = (
        f"k = {BOX_CONFIG.k} in boxes, {profile.method.color_space.upper()}, n = {profile.method.n}, {RESOLUTION} px"
    )
    words = VARIANTS | {name: f"{words}; {VARIANTS['oracle']}" for name, words in MODES.items()}
    for name, rooms in score_rooms(profile, seeds).items():
        images = [seed_name(seed) for seed in seeds]
        classes = CLASS_NAMES if name in WITHOUT_BOXES else THINGS  # in boxes there are things alone
        _record(recorder, f"toy.objects.{name}", rooms, images, classes, f"{words[name]}; {setting}")
    return recorder.write()


def _kept_rooms(
    profile: Profile, name: str, digest: str, seeds: Sequence[int], make: Callable[[int], dict]
) -> list[dict]:
    method = replace(profile.method, cutoff=0, k=2, resolution=None, rule=Saliency())  # what rooms do not depend on
    depends = {
        "world": digest,
        "truncation": profile.queries.truncation,
        "method": method.cache_key(),
        "config": BOX_CONFIG.cache_key(),
        "margins": [MARGIN, *JITTER],
        "whole_k": WHOLE_K,
    }
    if name == "rooms":
        depends["shared"] = [SHARED_K, FITTED, NAMED, profile.joint.fit_first, profile.joint.fit_count]
    folder = kept_folder("objects") / f"{name}-{cache_key(depends)}"
    bar = tqdm(seeds, desc=name.replace("_", " "), unit="room")
    return [kept(folder / f"{seed_name(seed)}.json", partial(make, seed)) for seed in bar]


def instance_ious(rooms: list[dict], name: str | None = None) -> list[list[float]]:
    """IoUs of the instances of each room, of one class or of all."""
    return [[iou for label, iou in room["instances"] if name in (None, label)] for room in rooms]


def _record(
    recorder: RunRecorder, prefix: str, rooms: list[dict], images: list[str], classes: Sequence[str], note: str
) -> None:
    """Mean IoU over instances and, by class, over its instances and over its pixels; intervals are over rooms."""
    recorder.add_mean(f"{prefix}.instances.iou", instance_ious(rooms), images=images, note=note)
    for name in classes:
        groups = instance_ious(rooms, name)
        if any(groups):
            recorder.add_mean(f"{prefix}.{name}.instances.iou", groups, images=images, note=note)
        pixels = [Confusion(*room["classes"][name]) for room in rooms]
        recorder.add(
            f"{prefix}.{name}.pixels.iou",
            mean_iou(pixels, "dataset", "fg_iou"),
            n=len(rooms),
            interval=bootstrap_interval(pixels, "fg_iou", "dataset"),
            note=note,
        )
        recorder.add_scores(f"{prefix}.{name}.pixels", ImageScores.of_confusions(pixels, images))
