"""Table 4: mIoU by cutoff c, number of clusters k and colour space."""

from __future__ import annotations

from pathlib import Path

from stylemixseg.experiments.clustermaps import make_cluster_maps, map_key
from stylemixseg.experiments.scoring import reference_masks, score_rules
from stylemixseg.generators.base import Generator
from stylemixseg.metrics import bootstrap_interval, mean_iou
from stylemixseg.mixing import check_resolution
from stylemixseg.profiles import Profile
from stylemixseg.results import RunRecorder

EXPERIMENT = "table4"
# Saliency is the paper's rule for faces, so its grid carries the table's name.
GRIDS = {"saliency": "table4", "corner_minority": "table4_corner", "oracle": "table4_oracle"}


def run_ablation(generator: Generator, profile: Profile, results: Path) -> Path:
    """Measure every cell of the grid on the profile's ablation seeds; write `<results>/<profile>/table4.json`.

    A cell is the mean over images of mIoU against the profile's reference.
    """
    out = Path(results) / profile.name / f"{EXPERIMENT}.json"
    recorder = RunRecorder(EXPERIMENT, profile.name, out, generator, seed=profile.query_seed_first)
    seeds, side = profile.ablation_seeds, check_resolution(profile.resolution, generator.resolution)
    for cutoff in profile.cutoffs:
        maps = make_cluster_maps(generator, profile, [(seed, cutoff) for seed in seeds], f"c = {cutoff}")
        truths = reference_masks(profile.reference, generator, profile, seeds, maps)
        for space in profile.color_spaces:
            for k in profile.ks:
                scores = score_rules([item[map_key(space, k)] for item in maps], k, truths)
                for rule, confusions in scores.items():
                    recorder.add(
                        f"{profile.prefix}{GRIDS[rule]}.{space}.c{cutoff}.k{k}.miou",
                        mean_iou(confusions, "per_image"),
                        n=len(confusions),
                        interval=bootstrap_interval(confusions, "miou", "per_image"),
                        note=f"{rule.replace('_', ' ')}, mean over images, n = {profile.n} styles, {side} px",
                    )
    return recorder.write()
