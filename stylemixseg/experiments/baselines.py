"""Other ways to segment the same synthetic images: peers of the paper, and yardsticks, all with one reference.

- "datasetgan": DatasetGAN from a few images that the reference labelled; "datasetgan_people" from photos that people
  labelled, inverted by the encoder;
- "sis_corners", "sis_labels": Segmentation in Style, its background named by a rule, or with labelled images;
- "colours", "colours_oracle": K-means over the colours of the image alone (n = 0), with the paper's saliency rule, and
  with the best assignment of its clusters;
- "mean_mask": what most masks of other images cover, the same for every image;
- "box_cut": GrabCut from a box in the middle.

A generator without feature maps, such as the toy world, has the yardsticks only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from torch import Tensor
from tqdm.auto import tqdm

from stylemixseg._util.keys import cache_key
from stylemixseg.baselines.base import Baseline
from stylemixseg.baselines.datasetgan import Voting, fit_datasetgan
from stylemixseg.baselines.segmentation_in_style import (
    FeatureClustering,
    fit_segmentation_in_style,
)
from stylemixseg.baselines.yardsticks import colour_clusters, grabcut_box, mean_mask
from stylemixseg.data.celebamask import read_celebamask, training_names
from stylemixseg.experiments.classes import CLASSES, OF_PARSER, class_reference
from stylemixseg.experiments.clustermaps import query_latent, seed_name
from stylemixseg.experiments.kept import kept, kept_folder
from stylemixseg.experiments.profile import Profile
from stylemixseg.experiments.recording import add_counts, recorder_of
from stylemixseg.experiments.registry import experiment
from stylemixseg.experiments.scoring import RULES, counts_of, oracle_mask, reference_key, reference_masks, rule_mask
from stylemixseg.generators.base import Generator, GivesFeatures
from stylemixseg.generators.zoo import load_generator
from stylemixseg.inversion.ways import inverters
from stylemixseg.mixing import query_image, to_generator_range
from stylemixseg.segmenter import enlarge

_LABELLED_FIRST, _CLUSTERED_FIRST = 70_000, 71_000  # seeds, of no evaluation, development or comparison image

Masks = Callable[[Tensor, np.ndarray, np.ndarray], np.ndarray]  # latent, image, reference -> foreground (h, w) bool


def labelled_examples(profile: Profile, generator: Generator) -> Iterator[tuple[Tensor, np.ndarray]]:
    """Latents of synthetic images, and their labels of `CLASSES` by the reference, (h, h) uint8."""
    for seed in range(_LABELLED_FIRST, _LABELLED_FIRST + profile.baselines.labelled):
        ws = query_latent(generator, profile, seed)
        yield ws, class_reference(generator, profile, seed, query_image(generator, ws, profile.method.resolution))


def photo_examples(profile: Profile) -> Iterator[tuple[Tensor, np.ndarray]]:
    """Latents of photos, by the encoder, and their labels of `CLASSES` as people drew them, (512, 512) uint8.

    None for a generator that has no encoder.

    Raises:
        FileNotFoundError: the photos are not on this machine.
    """
    photos = read_celebamask()
    encoder = inverters(load_generator(profile.generator, engine="torch")).get("encoder")
    if encoder is None:
        return
    for name in training_names(photos)[: profile.baselines.labelled]:
        image, labels = photos[name]
        yield encoder(to_generator_range(image)).ws, OF_PARSER[labels].astype(np.uint8)


@lru_cache(maxsize=1)
def fitted(profile: Profile, generator: Generator) -> Mapping[str, Masks]:
    """What segments, by name; whatever needs fitting is fitted now, and kept for the next call.

    Those that need what is not here are left out: people's labels without the photos, GrabCut without OpenCV, and all
    that read feature maps for a generator without any.
    """
    k = profile.method.k
    found: dict[str, Masks] = {
        "colours": lambda ws, image, truth: rule_mask(colour_clusters(image, k).labels, k, RULES["saliency"]),
        "colours_oracle": lambda ws, image, truth: oracle_mask(colour_clusters(image, k).labels, k, truth),
    }
    seeds = range(_LABELLED_FIRST, _LABELLED_FIRST + profile.baselines.labelled)
    latents = [query_latent(generator, profile, seed) for seed in seeds]
    maps = [{"image": query_image(generator, ws, profile.method.resolution)} for ws in latents]
    mean = mean_mask(reference_masks(profile.reference, generator, profile, seeds, maps))
    found["mean_mask"] = lambda ws, image, truth: mean
    if find_spec("cv2"):
        found["box_cut"] = lambda ws, image, truth: grabcut_box(image)
    if isinstance(generator, GivesFeatures) and profile.reference == "face_parser":
        found |= _peers(profile, generator)
    return found


def _peers(profile: Profile, generator: Generator) -> dict[str, Masks]:
    section = profile.baselines
    side = min(Voting().side, generator.resolution)
    how, clustering = Voting(members=section.members, side=side), FeatureClustering(side=side)
    found: dict[str, Masks] = {}
    labelled = list(labelled_examples(profile, generator))
    found["datasetgan"] = _of(fit_datasetgan(generator, labelled, CLASSES, how, progress=True))
    try:
        from_people = list(photo_examples(profile))
    except FileNotFoundError:
        from_people = []  # the photos' terms forbid that we pass them on
    if from_people:
        found["datasetgan_people"] = _of(fit_datasetgan(generator, from_people, CLASSES, how, progress=True))
    latents = [
        query_latent(generator, profile, seed) for seed in range(_CLUSTERED_FIRST, _CLUSTERED_FIRST + section.clustered)
    ]
    by_rule = fit_segmentation_in_style(generator, latents, clustering, progress=True)
    by_people = copy(by_rule)  # the same clusters, whose background gets its name in another way
    by_rule.by_corners(latents)
    by_people.by_labels((ws, labels != 0) for ws, labels in labelled)
    return found | {"sis_corners": _of(by_rule), "sis_labels": _of(by_people)}


def _of(baseline: Baseline) -> Masks:
    return lambda ws, image, truth: baseline.foreground(ws)


def score_baselines(generator: Generator, profile: Profile) -> dict[str, dict[str, list]]:
    """Scores of every way on the profile's evaluation images, from disk or made now.

    Returns:
        {name: {"all": counts of each image, "trimap": the same near the outline, "seconds": of each image}}.
    """
    about = (
        profile.method,
        profile.queries,
        reference_key(profile.reference),
        profile.baselines,
        Voting(),
        FeatureClustering(),
    )
    path = kept_folder("baselines") / f"{generator.name}-{cache_key((*about, generator.digest))}.json"
    return kept(path, lambda: _score(generator, profile))


def _score(generator: Generator, profile: Profile) -> dict[str, dict[str, list]]:
    ways = fitted(profile, generator)  # type: ignore[arg-type]  # generators hash by identity
    found: dict[str, dict[str, list]] = {name: {"all": [], "trimap": [], "seconds": []} for name in ways}
    for seed in tqdm(profile.queries.seeds, desc="baselines", unit="image"):
        ws = query_latent(generator, profile, seed)
        image = query_image(generator, ws, profile.method.resolution)
        truth = reference_masks(profile.reference, generator, profile, [seed], [{"image": image}])[0]
        for name, segment in ways.items():
            started = time.perf_counter()
            mask = segment(ws, image, truth)
            found[name]["seconds"].append(time.perf_counter() - started)
            for where, counts in counts_of(enlarge(mask, len(truth)), truth).items():
                found[name][where].append(counts)
    return found


@experiment(
    "baselines",
    "other ways to segment the same synthetic images: peers of the paper, and yardsticks",
    measured_by=score_baselines,
)
def run_baselines(profile: Profile, results: Path, generator: Generator | None = None) -> Path:
    """Score every way and write `<results>/<profile>/baselines.json`.

    Args:
        profile: sizes and settings.
        results: the folder of all results.
        generator: None: the profile's.

    Returns:
        The path of the result file.
    """
    generator = generator or load_generator(profile.generator)
    recorder = recorder_of("baselines", profile, results, generator, seed=profile.queries.first)
    images = [seed_name(seed) for seed in profile.queries.seeds]
    for name, scores in score_baselines(generator, profile).items():
        prefix = f"{profile.prefix}baselines.{name}"
        add_counts(recorder, prefix, scores, images)
        recorder.add_mean(f"{prefix}.seconds", [[value] for value in scores["seconds"]], images=images)
    return recorder.write()
