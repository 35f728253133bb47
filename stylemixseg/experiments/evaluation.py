"""Table 1, the FFHQ column, row "Ours": foreground masks of synthetic images against a reference."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from stylemixseg.evaluation.imagescores import ImageScores
from stylemixseg.experiments.again import drawn_seeds, of_one
from stylemixseg.experiments.clustermaps import make_cluster_maps, map_key, seed_name
from stylemixseg.experiments.profile import Profile
from stylemixseg.experiments.recording import recorder_of
from stylemixseg.experiments.registry import experiment
from stylemixseg.experiments.scoring import (
    RULES,
    TRIMAP_WIDTH,
    reference_masks,
    rule_mask,
    score_rules,
    second_reference,
)
from stylemixseg.generators.base import Generator
from stylemixseg.generators.zoo import load_generator
from stylemixseg.metrics import Confusion, confusion, trimap_confusion

METHOD = "table1.ffhq"  # how the names of its scores begin
QUERIES_AGAIN = 2  # in a spot check


def score_queries(
    generator: Generator, profile: Profile, seeds: Sequence[int], second_reference: str | None = None
) -> dict[str, list[Confusion]]:
    """Scores of the queries of some seeds under the profile's settings, one `Confusion` per seed.

    Names: `table1.ffhq.<rule>` against the profile's reference, for the paper's two rules and the oracle;
    `.k<k>` the saliency rule with other numbers of clusters; `.trimap` in a band round the reference's boundary only;
    `.<second_reference>` against that one; and `references.agreement`, the second reference against the first.
    """
    method = profile.method
    maps = make_cluster_maps(generator, profile, [(seed, method.cutoff) for seed in seeds])
    ks = {method.k, *profile.table4.ks}
    labels = {k: [item[map_key(method.color_space, k)] for item in maps] for k in ks}
    truths = reference_masks(profile.reference, generator, profile, seeds, maps)
    scores = {f"{METHOD}.{rule}": found for rule, found in score_rules(labels[method.k], method.k, truths).items()}
    for k in profile.table4.ks:  # the text names k = 3 and k = 4; the others are at hand
        scores[f"{METHOD}.saliency.k{k}"] = score_rules(labels[k], k, truths)["saliency"]
    for name, of_clusters in RULES.items():
        scores[f"{METHOD}.{name}.trimap"] = [
            trimap_confusion(rule_mask(map_, method.k, of_clusters), truth, TRIMAP_WIDTH)
            for map_, truth in zip(labels[method.k], truths)
        ]
    if second_reference:
        others = reference_masks(second_reference, generator, profile, seeds, maps)
        for rule, found in score_rules(labels[method.k], method.k, others).items():
            scores[f"{METHOD}.{rule}.{second_reference}"] = found
        scores["references.agreement"] = [confusion(other, truth) for other, truth in zip(others, truths)]
    return scores


def _again(profile: Profile, scores: Mapping[str, ImageScores], draw: Random, out: Path) -> None:
    for seed in drawn_seeds(scores, draw, QUERIES_AGAIN):
        run_evaluation(of_one(profile, seed), out)


@experiment(
    "table1",
    "masks of synthetic images against a reference (Table 1, FFHQ column, our row)",
    measured_by=score_queries,
    again=_again,
)
def run_evaluation(profile: Profile, results: Path, generator: Generator | None = None) -> Path:
    """Measure the method on the profile's evaluation seeds and write `<results>/<profile>/table1.json`.

    Where DeepLabV3 is at hand it serves as a second reference, and how far the references agree is recorded too.

    Args:
        profile: sizes and settings.
        results: the folder of all results.
        generator: None: the profile's.

    Returns:
        The path of the result file.
    """
    generator = generator or load_generator(profile.generator)
    recorder = recorder_of("table1", profile, results, generator, seed=profile.queries.first)
    method, second = profile.method, second_reference(profile)
    images = [seed_name(seed) for seed in profile.queries.seeds]
    for name, confusions in score_queries(generator, profile, profile.queries.seeds, second).items():
        *first, last = name.removeprefix(f"{METHOD}.").split(".")
        k = int(last[1:]) if re.fullmatch(r"k\d+", last) else method.k
        note = f"c = {method.cutoff}, k = {k}, {method.color_space.upper()}, n = {method.n}"
        if name.startswith(METHOD) and not first:  # a rule against the profile's reference: in both averages
            recorder.add_both(f"{profile.prefix}{name}", confusions, images, note)
        else:
            about = note if name.startswith(METHOD) else None
            recorder.add_ious(f"{profile.prefix}{name}", confusions, average="dataset", images=images, note=about)
    return recorder.write()
