#!/usr/bin/env python3
"""Choose what the paper leaves unstated about its two foreground rules, on development images.

The Gaussian's widths and theta_saliency, and b, theta_corner, which corners and how they count: every combination is
scored against the face parser on development seeds, which no reported number uses, at the profile's cutoff, k and
colour space. The best of each rule (mean mIoU over images) is what the defaults in `stylemixseg/foreground.py` state;
a test compares them with the result file that this script writes.

    python data_scripts/choose_rules.py                      24 development faces at the size of profile cpu
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import product
from pathlib import Path

from stylemixseg.experiments.clustermaps import make_cluster_maps, map_key
from stylemixseg.experiments.scoring import reference_masks, rule_mask
from stylemixseg.foreground import CORNERS, CornerMinority, ForegroundRule, Saliency
from stylemixseg.generators.zoo import load_generator
from stylemixseg.metrics import bootstrap_interval, confusion, mean_iou
from stylemixseg.profiles import load_profile
from stylemixseg.results import RunRecorder

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
        for b, theta, corners, pooled in product((1 / 16, 1 / 8, 1 / 4), (0.1, 0.25, 0.5), (TOP, CORNERS), (False, True))
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="cpu", help="n, resolution, cutoff, k and colour space (cpu)")
    parser.add_argument("--queries", type=int, default=24, help="number of development images (24)")
    parser.add_argument("--out", type=Path, default=Path("book/results/full/rules.json"), help="result file (%(default)s)")
    args = parser.parse_args()

    profile = replace(load_profile(args.profile), development_queries=args.queries)
    generator = load_generator(profile.generator)
    seeds = profile.development_seeds
    recorder = RunRecorder("rules", args.out.parent.name, args.out, generator, seed=seeds[0])
    maps = make_cluster_maps(generator, profile, [(seed, profile.cutoff) for seed in seeds], "development images")
    truths = reference_masks(profile.reference, generator, profile, seeds, maps)
    labels = [item[map_key(profile.color_space, profile.k)] for item in maps]
    for name, candidates in CANDIDATES.items():
        scored = []
        for rule in candidates:
            scores = [confusion(rule_mask(map_, profile.k, rule), truth) for map_, truth in zip(labels, truths)]
            scored.append((mean_iou(scores, "per_image"), repr(rule), scores))
        scored.sort(key=lambda item: -round(item[0], 3))  # a tie goes to the candidate that is listed first
        best, rule, scores = scored[0]
        interval = bootstrap_interval(scores, "miou", "per_image")
        recorder.add(f"rules.{name}.miou", best, n=len(seeds), interval=interval, note=rule)
        print(f"{name}: {best:.3f} [{interval[0]:.3f}, {interval[1]:.3f}] {rule}")
        for value, text, _ in scored[1:6]:
            print(f"    then {value:.3f} {text}")
    print(recorder.write())


if __name__ == "__main__":
    main()
