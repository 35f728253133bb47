"""Table 4: mIoU by cutoff c, number of clusters k and colour space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from stylemixseg.evaluation.imagescores import ImageScores
from stylemixseg.experiments.again import drawn_seeds, of_one
from stylemixseg.experiments.clustermaps import make_cluster_maps, map_key, seed_name
from stylemixseg.experiments.profile import Profile
from stylemixseg.experiments.recording import recorder_of
from stylemixseg.experiments.registry import experiment
from stylemixseg.experiments.scoring import reference_masks, score_rules
from stylemixseg.generators.base import Generator
from stylemixseg.generators.zoo import load_generator
from stylemixseg.metrics import Confusion, bootstrap_interval, mean_iou
from stylemixseg.mixing import check_resolution

CUTOFFS_AGAIN = 2  # in a spot check, of one query
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
        for space in profile.table4.color_spaces
        for k in profile.table4.ks
        for rule, confusions in score_rules([item[map_key(space, k)] for item in maps], k, truths).items()
    }


def _again(profile: Profile, scores: Mapping[str, ImageScores], draw: Random, out: Path) -> None:
    (seed,) = drawn_seeds(scores, draw, 1)
    cutoffs = tuple(draw.sample(profile.table4.cutoffs, min(CUTOFFS_AGAIN, len(profile.table4.cutoffs))))
    run_ablation(of_one(profile, seed, cutoffs=cutoffs, color_spaces=profile.table4.color_spaces), out)


@experiment(
    "table4",
    "mIoU by cutoff c, number of clusters k and colour space (Table 4)",
    measured_by=score_cells,
    again=_again,
)
def run_ablation(profile: Profile, results: Path, generator: Generator | None = None) -> Path:
    """Measure every cell of the grid on the profile's ablation seeds; write `<results>/<profile>/table4.json`.

    A cell is the mean over images of mIoU against the profile's reference.

    Args:
        profile: sizes and settings.
        results: the folder of all results.
        generator: None: the profile's.

    Returns:
        The path of the result file.
    """
    generator = generator or load_generator(profile.generator)
    recorder = recorder_of("table4", profile, results, generator, seed=profile.queries.first)
    seeds, side = profile.ablation_seeds, check_resolution(profile.method.resolution, generator.resolution)
    rules = {grid: rule.replace("_", " ") for rule, grid in GRIDS.items()}
    for cutoff in profile.table4.cutoffs:
        for name, confusions in score_cells(generator, profile, cutoff, seeds).items():
            recorder.add(
                f"{profile.prefix}{name}.miou",
                mean_iou(confusions, "per_image"),
                n=len(confusions),
                interval=bootstrap_interval(confusions, "miou", "per_image"),
                note=f"{rules[name.split('.')[0]]}, mean over images, n = {profile.method.n} styles, {side} px",
            )
            scores = ImageScores.of_confusions(confusions, [seed_name(seed) for seed in seeds])
            recorder.add_scores(f"{profile.prefix}{name}", scores)
    return recorder.write()
