"""The judge of pixels against the paper's rules, on the same synthetic images, styles and reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from random import Random

import numpy as np
from tqdm.auto import tqdm

from stylemixseg._util.keys import cache_key
from stylemixseg.evaluation.imagescores import ImageScores
from stylemixseg.experiments.again import drawn_seeds, of_one
from stylemixseg.experiments.calibration import Calibration
from stylemixseg.experiments.classes import PAPER_K, add_classes, class_counts, class_reference, named_by_reference
from stylemixseg.experiments.clustermaps import query_latent, seed_name
from stylemixseg.experiments.kept import kept, kept_folder
from stylemixseg.experiments.profile import Profile
from stylemixseg.experiments.recording import recorder_of
from stylemixseg.experiments.registry import experiment
from stylemixseg.experiments.scoring import (
    RULES,
    TRIMAP_WIDTH,
    reference_key,
    reference_masks,
    rule_mask,
    second_reference,
)
from stylemixseg.generators.base import Generator
from stylemixseg.generators.zoo import load_generator
from stylemixseg.joint.base import NoJudgeError, PixelJudge
from stylemixseg.joint.classes import ClusterNames, StyleClusters, class_map, load_clusters
from stylemixseg.joint.discriminant import fitted_discriminant
from stylemixseg.joint.judge import JUDGED_AT, StyleJudge, fitted_judge, load_judge, save_judges
from stylemixseg.joint.network import Fitting
from stylemixseg.joint.place import resized
from stylemixseg.joint.selftraining import Example, SelfTraining, fit_judge
from stylemixseg.metrics import Confusion, confusion, trimap_confusion
from stylemixseg.mixing import query_image
from stylemixseg.segmenter import StyleMixSegmenter, enlarge, probability_of
from stylemixseg.settings import SegmenterConfig
from stylemixseg.summary import StyleStack

PREFIX = "joint.ffhq"  # how the names of its scores begin
REFUSED = 0.1  # share of the images that are refused where masks know when they are wrong
FIT_SIDE = 64  # px, of images that a judge is fitted on here: it looks at single pixels
QUERIES_AGAIN = 2  # in a spot check


@dataclass(frozen=True)
class Tools:
    """What queries are judged with.

    Attributes:
        judges: by n. clusters: shared clusters and their names by n, none where there are none.
        second: name of a second reference, or None.
    """

    judges: Mapping[int, StyleJudge]
    clusters: Mapping[int, tuple[StyleClusters, ClusterNames]]
    second: str | None


def judging_side(generator: Generator, profile: Profile) -> int:
    """Side in pixels of the X_s that a judge sees."""
    return min(JUDGED_AT, profile.method.resolution or generator.resolution)


def judges_for(generator: Generator, profile: Profile) -> dict[int, StyleJudge]:
    """A judge for each n of the profile: that of the package, or one fitted now on as many images as the profile says.

    The images are neither evaluation, nor development, nor comparison images of the profile.
    """
    found = {}
    for n in profile.joint.ns:
        config = replace(profile.method, n=n)
        found[n] = fitted_judge(generator, config) or _judge_of(generator, profile, config)
    return found


def _judge_of(generator: Generator, profile: Profile, config: SegmenterConfig) -> StyleJudge:
    """A judge fitted on the images that the profile names, from disk or fitted now."""
    how = SelfTraining(rounds=2, fitting=Fitting(steps=300))  # of few images there is less to learn
    about = (profile.joint, profile.queries.truncation, config, how)
    path = kept_folder("judges") / f"{generator.name}-{cache_key(about)}.safetensors"
    try:
        return load_judge(generator, config, path)
    except (OSError, ValueError):
        pass  # not there yet, or damaged
    segmenter = StyleMixSegmenter(generator, config, resolution=min(FIT_SIDE, judging_side(generator, profile)))
    seeds = range(profile.joint.fit_first, profile.joint.fit_first + profile.joint.fit_count)
    bar = tqdm(seeds, desc=f"images to fit on, n = {config.n}", unit="image")
    summaries = (segmenter.summary(query_latent(generator, profile, seed)) for seed in bar)
    rules = (RULES["saliency"], RULES["corner_minority"])
    examples = [Example.of(summary, config.k, how.segments, rules) for summary in summaries]
    judge = fit_judge(examples, how, progress=True).judge
    path.parent.mkdir(parents=True, exist_ok=True)
    save_judges(path, {config.n: judge}, generator, config, {"made_by": "stylemixseg reproduce joint"})
    return judge


def clusters_for(generator: Generator, profile: Profile) -> dict[int, tuple[StyleClusters, ClusterNames]]:
    """The shared clusters and their names for each n of the profile; none where none come with the package."""
    try:
        return {n: load_clusters(generator, replace(profile.method, n=n)) for n in profile.joint.ns}
    except NoJudgeError:
        return {}


def judge_query(generator: Generator, profile: Profile, seed: int, tools: Tools) -> dict:
    """All scores of one query as plain values, from disk or made now.

    Returns:
        {"counts": {name: [tp, fp, fn, tn]}, "bins": {n: calibration bins of that judge}, "sure": {n: how sure it is},
        "classes": {name: counts of each class}}.
    """
    about = (profile.method, profile.queries.truncation, reference_key(profile.reference), tools, generator.digest)
    path = kept_folder("joint") / f"{generator.name}-{cache_key(about)}" / f"{seed_name(seed)}.json"
    return kept(path, lambda: _judge_query(generator, profile, seed, tools))


def _judge_query(generator: Generator, profile: Profile, seed: int, tools: Tools) -> dict:
    judges, second = tools.judges, tools.second
    method = replace(profile.method, n=max(judges))
    segmenter = StyleMixSegmenter(generator, method, resolution=judging_side(generator, profile))
    w0 = query_latent(generator, profile, seed)
    stack = segmenter.summary(w0)
    assert isinstance(stack, StyleStack)  # a profile computes on the CPU
    item = {"image": query_image(generator, w0, profile.method.resolution)}
    truth = reference_masks(profile.reference, generator, profile, [seed], [item])[0]
    other = reference_masks(second, generator, profile, [seed], [item])[0] if second else None
    parts = class_reference(generator, profile, seed, item["image"]) if tools.clusters else None

    counts: dict[str, list[int]] = {}
    found: dict[str, dict] = {"counts": counts, "bins": {}, "sure": {}, "classes": {}}

    def add(name: str, mask: np.ndarray) -> None:
        scored = {name: confusion(mask, truth), f"{name}.trimap": trimap_confusion(mask, truth, TRIMAP_WIDTH)}
        if other is not None and second is not None:
            scored[f"{name}.{second}"] = confusion(mask, other)
        counts.update({key: list(astuple(item)) for key, item in scored.items()})

    labels = segmenter.cluster(stack).labels
    for name, rule in RULES.items():
        add(f"{name}.n{method.n}", enlarge(rule_mask(labels, method.k, rule), len(truth)))
    for n, judge in judges.items():
        summary = stack.first(n)
        line: PixelJudge | None = fitted_discriminant(generator, replace(method, n=n))
        if line is not None:
            add(f"discriminant.n{n}", resized(line.score(summary), (len(truth), len(truth))) > 0)
        probability = resized(probability_of(judge, judge.score(summary), item["image"]), (len(truth), len(truth)))
        add(f"judge.n{n}", probability > 0.5)
        found["bins"][str(n)] = Calibration.of(probability, truth).plain()
        found["sure"][str(n)] = float(np.abs(2 * probability - 1).mean())
        if parts is not None:
            labels = class_map(*tools.clusters[n], summary, probability > 0.5, item["image"])
            found["classes"][f"shared.n{n}"] = class_counts(labels, parts)
            found["classes"][f"k{PAPER_K}.n{n}"] = class_counts(named_by_reference(summary, parts), parts)
    return found


def score_joint(generator: Generator, profile: Profile, seeds: Sequence[int], tools: Tools) -> list[dict]:
    """`judge_query` of many queries, with a progress bar."""
    return [judge_query(generator, profile, seed, tools) for seed in tqdm(seeds, desc="judged queries", unit="query")]


def _again(profile: Profile, scores: Mapping[str, ImageScores], draw: Random, out: Path) -> None:
    for seed in drawn_seeds(scores, draw, QUERIES_AGAIN):
        run_joint(of_one(profile, seed), out)


@experiment(
    "joint",
    "masks of a judge that was fitted over many images, against the paper's rules",
    measured_by=score_joint,
    again=_again,
)
def run_joint(profile: Profile, results: Path, generator: Generator | None = None) -> Path:
    """Measure the judge on the profile's evaluation seeds and write `<results>/<profile>/joint.json`.

    Args:
        profile: sizes and settings.
        results: the folder of all results.
        generator: None: the profile's.

    Returns:
        The path of the result file.
    """
    generator = generator or load_generator(profile.generator)
    recorder = recorder_of("joint", profile, results, generator, seed=profile.queries.first)
    judges = judges_for(generator, profile)
    tools = Tools(judges, clusters_for(generator, profile), second_reference(profile))
    found = score_joint(generator, profile, profile.queries.seeds, tools)
    images = [seed_name(seed) for seed in profile.queries.seeds]
    method, side, joint = profile.method, judging_side(generator, profile), f"{profile.prefix}{PREFIX}"
    note = f"c = {method.cutoff}, {method.color_space.upper()}, X_s at {side} px"
    for name in found[0]["counts"]:
        confusions = [Confusion(*item["counts"][name]) for item in found]
        if name.count(".") == 1:  # against the profile's reference: in both averages
            recorder.add_both(f"{joint}.{name}", confusions, images, note)
        else:
            recorder.add_ious(f"{joint}.{name}", confusions, average="dataset", images=images, note=note)
    for name in found[0]["classes"]:
        add_classes(recorder, f"{joint}.classes.{name}", [item["classes"][name] for item in found], images)
    for n in judges:
        prefix = f"{joint}.judge.n{n}"
        calibration = Calibration.together([item["bins"][str(n)] for item in found])
        recorder.add(f"{prefix}.calibration_error", calibration.error, n=len(images), note="expected, over 15 bins")
        for place, (share, mean) in enumerate(calibration.curve):
            recorder.add(f"{prefix}.reliability.bin{place:02d}.share", share, n=len(images), note=f"said: {mean:.3f}")
            recorder.add(f"{prefix}.reliability.bin{place:02d}.said", mean, n=len(images))
        sure = [item["sure"][str(n)] for item in found]
        recorder.add_mean(f"{prefix}.sure", [[value] for value in sure], images=images)
        kept_images = np.argsort(sure, kind="stable")[round(REFUSED * len(images)) :]
        confusions = [Confusion(*found[place]["counts"][f"judge.n{n}"]) for place in sorted(kept_images)]
        recorder.add_ious(
            f"{prefix}.surest",
            confusions,
            average="dataset",
            images=[images[place] for place in sorted(kept_images)],
            note=f"without the {REFUSED:.0%} of the images of which the judge is least sure",
        )
    return recorder.write()
