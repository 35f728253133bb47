#!/usr/bin/env python3
"""Make the README's picture: queries of the full run, their cluster maps and their masks.

python data_scripts/make_result_picture.py           after `stylemixseg reproduce table1 --profile full`
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from stylemixseg.experiments.clustermaps import make_cluster_maps, map_key
from stylemixseg.experiments.profile import load_profile
from stylemixseg.experiments.scoring import RULES, rule_mask
from stylemixseg.generators.zoo import load_generator
from stylemixseg.viz.compositing import clusters_to_color, overlay


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("book/_static/result.jpg"), help="%(default)s")
    parser.add_argument("--count", type=int, default=6, help="the first so many evaluation seeds (6)")
    args = parser.parse_args()

    profile = load_profile("full")
    seeds = profile.queries.seeds[: args.count]
    maps = make_cluster_maps(
        load_generator(profile.generator), profile, [(seed, profile.method.cutoff) for seed in seeds]
    )
    rows: list[list[np.ndarray]] = [[], [], []]
    for item in maps:
        labels = item[map_key(profile.method.color_space, profile.method.k)]
        mask = rule_mask(labels, profile.method.k, RULES["saliency"])
        for row, picture in zip(rows, (item["image"], clusters_to_color(labels), overlay(item["image"], mask))):
            row.append(picture)
    sheet = Image.fromarray(np.concatenate([np.concatenate(row, 1) for row in rows]))
    # 200 px a face: a picture for a README, some 100 kB
    sheet.resize((200 * args.count, 600), Image.Resampling.LANCZOS).save(args.out, quality=85)
    print(args.out)


if __name__ == "__main__":
    main()
