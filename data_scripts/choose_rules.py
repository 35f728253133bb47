#!/usr/bin/env python3
"""Choose what the paper leaves unstated for faces, on development images that no reported number uses.

First c and k: the paper's best cutoffs are 6 and 8 (Table 4), and its text names k = 3 and k = 4. Then, at the best of
these four, the Gaussian's widths and theta_saliency, and b, theta_corner, which corners and how they count. Every
combination is scored against the profile's reference; the best (mean mIoU over images, the saliency rule for c and k)
is what the profiles and the defaults in `stylemixseg/foreground.py` state. A test compares them with the result file.
The file says how the best one did on the images that chose it, which flatters it; rules are compared on other images
(`queries.comparison_first` of the profile, chapter 5).

    python data_scripts/choose_rules.py                      24 development faces at the size of profile cpu
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

from stylemixseg.evaluation.results import RunRecorder
from stylemixseg.experiments.clustermaps import make_cluster_maps, map_key
from stylemixseg.experiments.profile import load_profile
from stylemixseg.experiments.scoring import reference_masks, rule_mask
from stylemixseg.foreground import CORNERS, CornerMinority, ForegroundRule, Saliency
from stylemixseg.generators.zoo import load_generator
from stylemixseg.metrics import bootstrap_interval, confusion, mean_iou

CUTOFFS, KS = (6, 8), (3, 4)
TOP = CORNERS[:2]
CANDIDATES: dict[str, list[ForegroundRule]] = {
    "saliency": [
        Saliency(theta_saliency=theta, sigma=(vertical, horizontal))
        for vertical, horizontal, theta in product(
            (0.25, 0.35, 0.5, 0.7, 1.0), (0.15, 0.2, 0.25, 0.3, 0.4), (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
        )
    ],
    "corner_minority": [
        CornerMinority(b=b, theta_corner=theta, corners=corners, pooled=pooled)
        for b, theta, corners, pooled in product(
            (1 / 16, 1 / 8, 1 / 4), (0.1, 0.25, 0.5), (TOP, CORNERS), (False, True)
        )
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="cpu", help="n, resolution and colour space (cpu)")
    parser.add_argument("--queries", type=int, default=24, help="number of development images (24)")
    parser.add_argument(
        "--out", type=Path, default=Path("book/results/development/rules.json"), help="result file (%(default)s)"
    )
    args = parser.parse_args()

    profile = load_profile(args.profile).changed(queries={"development_count": args.queries})
    generator = load_generator(profile.generator)
    seeds = profile.queries.development_seeds
    recorder = RunRecorder("rules", profile.name, args.out, generator, seed=seeds[0])
    method = profile.method
    sizes = f"n = {method.n}, {method.resolution or generator.resolution} px, {method.color_space.upper()}"
    best = {}
    for cutoff, k in product(CUTOFFS, KS):
        maps = make_cluster_maps(
            generator, profile, [(seed, cutoff) for seed in seeds], f"development images, c = {cutoff}"
        )
        truths = reference_masks(profile.reference, generator, profile, seeds, maps)
        labels = [item[map_key(profile.method.color_space, k)] for item in maps]
        for name, candidates in CANDIDATES.items():
            scored = [
                (rule, [confusion(rule_mask(map_, k, rule), truth) for map_, truth in zip(labels, truths)])
                for rule in candidates
            ]
            # A tie in three digits goes to the candidate that is listed first.
            rule, scores = max(scored, key=lambda item: round(mean_iou(item[1], "per_image"), 3))
            value, interval = mean_iou(scores, "per_image"), bootstrap_interval(scores, "miou", "per_image")
            best[name, cutoff, k] = value, interval, repr(rule)
            recorder.add(f"rules.{name}.c{cutoff}.k{k}.miou", value, n=len(seeds), interval=interval, note=repr(rule))
            print(f"{name}, c = {cutoff}, k = {k}: {value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}] {rule}")
    _, cutoff, k = max((place for place in best if place[0] == "saliency"), key=best.get)
    recorder.add("rules.cutoff", cutoff, n=len(seeds), note=sizes)
    recorder.add("rules.k", k, n=len(seeds), note=sizes)
    for name, candidates in CANDIDATES.items():
        recorder.add(f"rules.{name}.candidates", len(candidates), note="combinations of settings that were scored")
        value, interval, rule = best[name, cutoff, k]
        recorder.add(f"rules.{name}.miou", value, n=len(seeds), interval=interval, note=rule)
    print(recorder.write())


if __name__ == "__main__":
    main()
