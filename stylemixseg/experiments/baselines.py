"""Other methods of segmenting: peers of the paper, and yardsticks, on the same images and with the same reference.

Every method of `othermethods.OtherMethods` is scored twice: on the profile's synthetic images against its reference,
and on the photos of Table 1 against the masks that people drew. For photos the encoder gives the latent; methods that
look at pixels look at the photo's own. One file per method is kept in the cache folder, so an interrupted run loses at
most the method that it was at, and of Labels4Free's training at most two minutes.

Differences to the method are taken from the scores of `table1`, `joint` and `table1_photos` in the same folder of
results, as far as these are of the same images: run those first.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property, lru_cache
from pathlib import Path
from random import Random

import numpy as np
from torch import Tensor
from tqdm.auto import tqdm

from stylemixseg._util.keys import cache_key
from stylemixseg._util.paths import sha256_file
from stylemixseg.evaluation.imagescores import ImageScores, read_scores
from stylemixseg.evaluation.results import RunRecorder
from stylemixseg.evaluation.tables import difference_text
from stylemixseg.experiments.again import drawn_seeds, of_one
from stylemixseg.experiments.clustermaps import query_latent, seed_name
from stylemixseg.experiments.kept import kept, kept_arrays, kept_folder
from stylemixseg.experiments.othermethods import OtherMethod, OtherMethods
from stylemixseg.experiments.photos import EvaluationPhoto, evaluation_photos
from stylemixseg.experiments.profile import Profile
from stylemixseg.experiments.recording import add_counts, recorder_of
from stylemixseg.experiments.registry import experiment
from stylemixseg.experiments.scoring import counts_of, reference_key, reference_masks
from stylemixseg.experiments.words import COSTS, OTHER_METHODS, YARDSTICKS
from stylemixseg.generators.base import Generator, KnowsTheTruth
from stylemixseg.generators.zoo import load_generator
from stylemixseg.inversion import encoder as encoder_module
from stylemixseg.metrics import Confusion, paired_difference
from stylemixseg.mixing import query_image, to_generator_range
from stylemixseg.segmenter import StyleMixSegmenter, enlarge
from stylemixseg.settings import JUDGE_STYLES
from stylemixseg.sharpening import resized_soft

ALL_OR_NOTHING = 0.01  # share of an image: a mask that covers less, or leaves less, has collapsed
TIMED = 3  # images on which the method's own time is taken
IMAGES_AGAIN = 2  # in a spot check, which has no time to fit a method again

Scores = dict  # "all" and "trimap": counts of each image; "seconds" of each; "costs"
_Given = tuple[Tensor, np.ndarray, np.ndarray]  # latent, image, reference


class _Inputs:
    """What the methods are scored on; each part is made when it is first needed."""

    def __init__(self, profile: Profile, generator: Generator, others: OtherMethods):
        self.profile, self.generator, self._others = profile, generator, others

    @cached_property
    def queries(self) -> list[_Given]:
        return [self._query(seed) for seed in tqdm(self.profile.queries.seeds, desc="images", unit="image")]

    @cached_property
    def examples(self) -> list[_Given]:
        return [self._query(seed) for seed in self.profile.queries.examples]

    @cached_property
    def photos(self) -> list[EvaluationPhoto]:
        """The photos of Table 1; none where they, or an encoder for the generator, are not here."""
        if isinstance(self.generator, KnowsTheTruth) or self.profile.reference == "truth":
            return []
        try:
            found = evaluation_photos(self.profile, self.generator)
        except FileNotFoundError:
            return []
        return found if self._others.encoder is not None else []

    @cached_property
    def inverted(self) -> list[_Given]:
        encoder = self._others.encoder
        assert encoder is not None  # else there are no photos
        return [
            (encoder(to_generator_range(photo.pixels)).ws, photo.pixels, photo.foreground)
            for photo in tqdm(self.photos, desc="inversions", unit="photo")
        ]

    def _query(self, seed: int) -> _Given:
        profile, generator = self.profile, self.generator
        ws = query_latent(generator, profile, seed)
        image = query_image(generator, ws, profile.method.resolution)
        (truth,) = reference_masks(profile.reference, generator, profile, [seed], [{"image": image}])
        return ws, image, truth


class Baselines:
    """Scores and masks of all other methods, from disk or made now.

    Args:
        profile: sizes and settings.
        generator: whose images are segmented.
    """

    def __init__(self, profile: Profile, generator: Generator):
        self.profile, self.generator = profile, generator
        self.others = OtherMethods(profile, generator)
        self.inputs = _Inputs(profile, generator, self.others)

    def scores(self, name: str) -> Scores:
        """Scores of a method on the profile's evaluation images."""
        about = (self.profile.queries.first, self.profile.queries.count)
        return kept(
            self._path(name, about, "json"), lambda: _score(self.others.method(name), self.inputs.queries, enlarge)
        )

    def photo_scores(self, name: str) -> Scores:
        """Scores of a method on the photos, of which there is at least one."""
        about = ([photo.name for photo in self.inputs.photos], sha256_file(encoder_module.WEIGHTS_FILE))
        path = self._path(name, about, "photos.json")
        return kept(path, lambda: _score(self.others.method(name), self.inputs.inverted, _smoothly))

    def example_masks(self, name: str) -> list[np.ndarray]:
        """Masks (h, w) bool of a method on the profile's example images, in their order."""
        seeds = self.profile.queries.examples

        def make() -> dict[str, np.ndarray]:
            method, given = self.others.method(name), self.inputs.examples
            return {seed_name(seed): method.masks(*item) for seed, item in zip(seeds, given, strict=True)}

        names = [seed_name(seed) for seed in seeds]
        found = kept_arrays(self._path(name, seeds, "npz"), set(names), make)
        return [found[item] for item in names]

    def method_seconds(self) -> list[float]:
        """Seconds that the paper's method takes for each of a few images, with the profile's number of styles."""
        path = self._path("method", TIMED, "json")

        def make() -> dict:
            segmenter = StyleMixSegmenter(self.generator, self.profile.method)
            return {"seconds": [_seconds(segmenter, item[0]) for item in self.inputs.queries[:TIMED]]}

        return kept(path, make)["seconds"]

    def _path(self, name: str, about: object, ending: str) -> Path:
        profile = self.profile
        about_all = (profile.method, profile.queries.truncation, reference_key(profile.reference))
        key = cache_key((*about_all, self.generator.digest, self.others.settings(name), about))
        return kept_folder("baselines") / f"{self.generator.name}-{name}-{key}.{ending}"


def _seconds(segmenter: StyleMixSegmenter, ws: Tensor) -> float:
    started = time.perf_counter()
    segmenter(ws)
    return time.perf_counter() - started


def _smoothly(mask: np.ndarray, side: int) -> np.ndarray:
    """A mask in a photo's own pixels, as the photo experiment enlarges masks."""
    found: np.ndarray = resized_soft(mask, side) > 0.5
    return found


def _score(method: OtherMethod, given: Iterable[_Given], enlarged) -> Scores:
    found: Scores = {"all": [], "trimap": [], "seconds": [], "costs": asdict(method.costs)}
    for ws, image, truth in tqdm(given, desc="masks", unit="image", leave=False):
        started = time.perf_counter()
        mask = method.masks(ws, image, truth)
        found["seconds"].append(time.perf_counter() - started)
        for where, counts in counts_of(enlarged(mask, len(truth)), truth).items():
            found[where].append(counts)
    return found


@lru_cache(maxsize=1)
def baselines_of(profile: Profile, generator: Generator) -> Baselines:
    """The other methods under a profile; the same object for the same call, so that nothing is fitted twice."""
    return Baselines(profile, generator)


def score_baselines(generator: Generator, profile: Profile) -> dict[str, dict[str, Scores]]:
    """Scores of every method, from disk or made now, one method after the other.

    Returns:
        {"synthetic": {name: scores}, "photos": the same, empty without photos}; scores are {"all": counts of each
        image, "trimap": the same near the outline, "seconds": of each image, "costs": see `othermethods.Costs`}.
    """
    every = baselines_of(profile, generator)  # type: ignore[arg-type]  # generators hash by identity
    found: dict[str, dict[str, Scores]] = {"synthetic": {}, "photos": {}}
    for name in tqdm(every.others.names, desc="methods", unit="method"):
        found["synthetic"][name] = every.scores(name)
        if every.inputs.photos:
            found["photos"][name] = every.photo_scores(name)
    return found


def _again(profile: Profile, scores: Mapping[str, ImageScores], draw: Random, out: Path) -> None:
    prefix, generator = f"{profile.prefix}baselines", load_generator(profile.generator)
    synthetic = {name: scores[name] for name in (f"{prefix}.{method}" for method in YARDSTICKS) if name in scores}
    for seed in drawn_seeds(synthetic, draw, IMAGES_AGAIN):
        one = of_one(profile, seed)
        every = baselines_of(one, generator)  # type: ignore[arg-type]  # as above
        found = {name: every.scores(name) for name in YARDSTICKS}
        recorder = recorder_of("baselines", one, out, generator, seed=seed)
        _record(recorder, prefix, found, [seed_name(seed)], {})
        recorder.write()


@experiment(
    "baselines",
    "other methods on the same synthetic images and photos: peers of the paper, and yardsticks",
    measured_by=score_baselines,
    again=_again,
)
def run_baselines(profile: Profile, results: Path, generator: Generator | None = None) -> Path:
    """Score every method and write `<results>/<profile>/baselines.json`.

    Args:
        profile: sizes and settings.
        results: the folder of all results.
        generator: None: the profile's.

    Returns:
        The path of the result file.

    Raises:
        KeyboardInterrupt: asked to stop; the same call goes on.
    """
    generator = generator or load_generator(profile.generator)
    recorder = recorder_of("baselines", profile, results, generator, seed=profile.queries.first)
    every = baselines_of(profile, generator)  # type: ignore[arg-type]  # as above
    prefix = f"{profile.prefix}baselines"
    images = [seed_name(seed) for seed in profile.queries.seeds]
    scored = score_baselines(generator, profile)
    _record(recorder, prefix, scored["synthetic"], images, _rivals(profile, results, images, photos=False))
    if scored["photos"]:
        names = [photo.name for photo in every.inputs.photos]
        _record(recorder, f"{prefix}.photos", scored["photos"], names, _rivals(profile, results, names, photos=True))
    for name, scores in scored["synthetic"].items():
        for what, words in COSTS.items():
            if (value := scores["costs"][what]) is not None:
                recorder.add(f"{prefix}.{name}.cost.{what}", value, note=words)
    timed = every.method_seconds()
    note = f"the paper's method with n = {profile.method.n}"
    recorder.add_mean(f"{prefix}.method.seconds", [[value] for value in timed], images=images[: len(timed)], note=note)
    return recorder.write()


def _record(
    recorder: RunRecorder,
    prefix: str,
    found: Mapping[str, Scores],
    images: Sequence[str],
    rivals: Mapping[str, tuple[str, list[Confusion]]],
) -> None:
    """Scores, collapse, time and differences of all methods on one set of images."""
    for name, scores in found.items():
        own = f"{prefix}.{name}"
        add_counts(recorder, own, scores, images)
        confusions = [Confusion(*counts) for counts in scores["all"]]
        covered = [(item.tp + item.fp) / (item.tp + item.fp + item.fn + item.tn) for item in confusions]
        recorder.add_mean(f"{own}.covered", [[value] for value in covered], images=images, note="share of the image")
        lost = [float(min(value, 1 - value) < ALL_OR_NOTHING) for value in covered]
        recorder.add_mean(f"{own}.collapsed", [[value] for value in lost], images=images, note="masks all or nothing")
        recorder.add_mean(f"{own}.seconds", [[value] for value in scores["seconds"]], images=images)
        for rival, (words, theirs) in rivals.items():
            gain, between = paired_difference(confusions, theirs, "miou", "dataset")
            said = difference_text(OTHER_METHODS[name][0], words, between, len(images))
            recorder.add(f"{own}.minus_{rival}", gain, n=len(images), interval=between, note=said)


def _rivals(
    profile: Profile, results: Path, images: Sequence[str], *, photos: bool
) -> dict[str, tuple[str, list[Confusion]]]:
    """The method's own masks on the same images: {"method": (words, scores), "judge": ...}, those that are there."""
    judge_styles = min(JUDGE_STYLES, profile.method.n) if photos else max(profile.joint.ns)
    rule = f"the paper's method with {profile.method.n} styles"
    judge = f"the judge with {judge_styles} styles"
    places = (
        {
            "method": ("table1_photos", "table1.celeba.encoder.saliency", rule),
            "judge": ("table1_photos", "table1.celeba.encoder.judge", judge),
        }
        if photos
        else {
            "method": ("table1", "table1.ffhq.saliency", rule),
            "judge": ("joint", f"joint.ffhq.judge.n{judge_styles}", judge),
        }
    )
    found = {}
    for rival, (table, name, words) in places.items():
        path = Path(results) / profile.name / "images" / f"{table}.json"
        scores = read_scores(path).get(f"{profile.prefix}{name}") if path.exists() else None
        if scores is not None and scores.counts is not None and set(images) <= set(scores.images):
            by_image = dict(zip(scores.images, scores.counts.tolist(), strict=True))
            found[rival] = words, [Confusion(*by_image[image]) for image in images]
    return found
