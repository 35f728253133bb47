"""Table 4: mIoU by cutoff c, number of clusters k and colour space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stylemixseg.evaluation.imagescores import ImageScores
from stylemixseg.evaluation.results import RunRecorder
from stylemixseg.experiments.clustermaps import make_cluster_maps, map_key, seed_name
from stylemixseg.experiments.profile import Profile
from stylemixseg.experiments.scoring import reference_masks, score_rules
from stylemixseg.generators.base import Generator
from stylemixseg.metrics import Confusion, bootstrap_interval, mean_iou
from stylemixseg.mixing import check_resolution

EXPERIMENT = "table4"
# Saliency is the paper's rule for faces, so its grid carries the table's name.
GRIDS = {"saliency": "table4", "corner_minority": "table4_corner", "oracle": "table4_oracle"}


def score_cells(
    generator: Generator, profile: Profile, cutoff: int, seeds: Sequence[int]
) -> dict[str, list[Confusion]]:
    """Scores of every cell of the grid at one cutoff, one `Confusion` per seed: {"table4.lab.c6.k4": [...], ...}."""
    maps = make_cluster_maps(generator, profile, [(seed, cutoff) for seed in seeds], f"c = {cutoff}")
    truths = reference_masks(profile.reference, generator, profile, seeds, maps)
    return {
        f"{GRIDS[rule]}.{space}.c{cutoff}.k{k}": confusions
        for space in profile.color_spaces
        for k in profile.ks
        for rule, confusions in score_rules([item[map_key(space, k)] for item in maps], k, truths).items()
    }


def run_ablation(generator: Generator, profile: Profile, results: Path) -> Path:
    """Measure every cell of the grid on the profile's ablation seeds; write `<results>/<profile>/table4.json`.

    A cell is the mean over images of mIoU against the profile's reference.
    """
    out = Path(results) / profile.name / f"{EXPERIMENT}.json"
    recorder = RunRecorder(EXPERIMENT, profile.name, out, generator, seed=profile.query_seed_first)
    seeds, side = profile.ablation_seeds, check_resolution(profile.resolution, generator.resolution)
    rules = {grid: rule.replace("_", " ") for rule, grid in GRIDS.items()}
    for cutoff in profile.cutoffs:
        for name, confusions in score_cells(generator, profile, cutoff, seeds).items():
            recorder.add(
                f"{profile.prefix}{name}.miou",
                mean_iou(confusions, "per_image"),
                n=len(confusions),
                interval=bootstrap_interval(confusions, "miou", "per_image"),
                note=f"{rules[name.split('.')[0]]}, mean over images, n = {profile.n} styles, {side} px",
            )
            scores = ImageScores.of_confusions(confusions, [seed_name(seed) for seed in seeds])
            recorder.add_scores(f"{profile.prefix}{name}", scores)
    return recorder.write()
