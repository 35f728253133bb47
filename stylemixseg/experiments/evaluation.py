"""Table 1, the FFHQ column, row "Ours": foreground masks of synthetic images against a reference."""

from __future__ import annotations

from pathlib import Path

from stylemixseg.experiments.clustermaps import make_cluster_maps, map_key
from stylemixseg.experiments.scoring import RULES, reference_masks, rule_mask, score_rules
from stylemixseg.generators.base import Generator
from stylemixseg.metrics import confusion, trimap_confusion
from stylemixseg.profiles import Profile
from stylemixseg.results import RunRecorder

EXPERIMENT = "table1"
TRIMAP_WIDTH = 3  # pixels at the clustering's resolution, as in Table 3


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
    prefix = f"{profile.prefix}table1.ffhq"
    maps = make_cluster_maps(generator, profile, [(seed, profile.cutoff) for seed in profile.query_seeds])
    labels = {k: [item[map_key(profile.color_space, k)] for item in maps] for k in {profile.k, *profile.ks}}
    truths = reference_masks(profile.reference, generator, profile, profile.query_seeds, maps)
    settings = {
        k: f"c = {profile.cutoff}, k = {k}, {profile.color_space.upper()}, n = {profile.n}" for k in labels
    }
    setting = settings[profile.k]

    for rule, scores in score_rules(labels[profile.k], profile.k, truths).items():
        recorder.add_ious(f"{prefix}.{rule}", scores, average="dataset", note=setting)
        recorder.add_ious(f"{prefix}.{rule}.per_image", scores, average="per_image", note=setting)
    for k in profile.ks:  # the text names k = 3 and k = 4; the others are at hand
        scores = score_rules(labels[k], k, truths)["saliency"]
        recorder.add_ious(f"{prefix}.saliency.k{k}", scores, average="dataset", note=settings[k])
    for rule_name, rule in RULES.items():
        bands = [
            trimap_confusion(rule_mask(map_, profile.k, rule), truth, TRIMAP_WIDTH)
            for map_, truth in zip(labels[profile.k], truths)
        ]
        recorder.add_ious(f"{prefix}.{rule_name}.trimap", bands, average="dataset", note=setting)
    if second_reference:
        others = reference_masks(second_reference, generator, profile, profile.query_seeds, maps)
        for rule, scores in score_rules(labels[profile.k], profile.k, others).items():
            recorder.add_ious(f"{prefix}.{rule}.{second_reference}", scores, average="dataset", note=setting)
        agreement = [confusion(other, truth) for other, truth in zip(others, truths)]
        recorder.add_ious(f"{profile.prefix}references.agreement", agreement, average="dataset")
    return recorder.write()
