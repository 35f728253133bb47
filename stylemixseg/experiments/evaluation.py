"""Table 1, the FFHQ column, row "Ours": foreground masks of synthetic images against a reference."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from stylemixseg.evaluation.results import RunRecorder
from stylemixseg.experiments.clustermaps import make_cluster_maps, map_key, seed_name
from stylemixseg.experiments.profile import Profile
from stylemixseg.experiments.scoring import RULES, reference_masks, rule_mask, score_rules
from stylemixseg.generators.base import Generator
from stylemixseg.metrics import Confusion, confusion, trimap_confusion

EXPERIMENT = "table1"
METHOD = "table1.ffhq"  # how the names of its scores begin
TRIMAP_WIDTH = 3  # pixels at the clustering's resolution, as in Table 3


def score_queries(
    generator: Generator, profile: Profile, seeds: Sequence[int], second_reference: str | None = None
) -> dict[str, list[Confusion]]:
    """Scores of the queries of some seeds under the profile's settings, one `Confusion` per seed.

    Names: `table1.ffhq.<rule>` against the profile's reference, for the paper's two rules and the oracle;
    `.k<k>` the saliency rule with other numbers of clusters; `.trimap` in a band round the reference's boundary only;
    `.<second_reference>` against that one; and `references.agreement`, the second reference against the first.
    """
    maps = make_cluster_maps(generator, profile, [(seed, profile.cutoff) for seed in seeds])
    labels = {k: [item[map_key(profile.color_space, k)] for item in maps] for k in {profile.k, *profile.ks}}
    truths = reference_masks(profile.reference, generator, profile, seeds, maps)
    scores = {f"{METHOD}.{rule}": found for rule, found in score_rules(labels[profile.k], profile.k, truths).items()}
    for k in profile.ks:  # the text names k = 3 and k = 4; the others are at hand
        scores[f"{METHOD}.saliency.k{k}"] = score_rules(labels[k], k, truths)["saliency"]
    for name, rule in RULES.items():
        scores[f"{METHOD}.{name}.trimap"] = [
            trimap_confusion(rule_mask(map_, profile.k, rule), truth, TRIMAP_WIDTH)
            for map_, truth in zip(labels[profile.k], truths)
        ]
    if second_reference:
        others = reference_masks(second_reference, generator, profile, seeds, maps)
        for rule, found in score_rules(labels[profile.k], profile.k, others).items():
            scores[f"{METHOD}.{rule}.{second_reference}"] = found
        scores["references.agreement"] = [confusion(other, truth) for other, truth in zip(others, truths)]
    return scores


def run_evaluation(generator: Generator, profile: Profile, results: Path, second_reference: str | None = None) -> Path:
    """Measure the method on the profile's evaluation seeds and write `<results>/<profile>/table1.json`.

    Args:
        results: the folder of all results.
        second_reference: "deeplab" to score against DeepLabV3 too, and to record how far the references agree.

    Returns:
        The path of the result file.
    """
    out = Path(results) / profile.name / f"{EXPERIMENT}.json"
    recorder = RunRecorder(EXPERIMENT, profile.name, out, generator, seed=profile.query_seed_first)
    images = [seed_name(seed) for seed in profile.query_seeds]
    for name, confusions in score_queries(generator, profile, profile.query_seeds, second_reference).items():
        *first, last = name.removeprefix(f"{METHOD}.").split(".")
        k = int(last[1:]) if re.fullmatch(r"k\d+", last) else profile.k
        note = f"c = {profile.cutoff}, k = {k}, {profile.color_space.upper()}, n = {profile.n}"
        if name.startswith(METHOD) and not first:  # a rule against the profile's reference: in both averages
            recorder.add_both(f"{profile.prefix}{name}", confusions, images, note)
        else:
            note = note if name.startswith(METHOD) else None
            recorder.add_ious(f"{profile.prefix}{name}", confusions, average="dataset", images=images, note=note)
    return recorder.write()
