"""Starter code of the project "a rule of your own": score a rule beside the paper's.

python own_rule.py                 the toy world, in seconds
python own_rule.py --profile cpu   faces
"""

import argparse

import numpy as np
from scipy.ndimage import label as connected_pieces

from stylemixseg.experiments.clustermaps import make_cluster_maps, map_key
from stylemixseg.experiments.profile import load_profile
from stylemixseg.experiments.scoring import RULES, reference_masks, score_rules
from stylemixseg.generators.zoo import load_generator
from stylemixseg.metrics import bootstrap_interval, mean_iou, paired_difference


def few_pieces(labels, k, most=3):
    """Your rule goes here. This one: foreground clusters have few pieces.

    Args:
        labels: cluster map (H, W), integers from 0 to k - 1.
        k: number of clusters.
        most: largest number of connected pieces of a foreground cluster that
            have at least a thousandth of the image's pixels.

    Returns:
        (k,) bool, True for the clusters that are foreground.
    """
    foreground = np.zeros(k, bool)
    for m in range(k):
        pieces, _ = connected_pieces(labels == m)
        sizes = np.bincount(pieces.ravel())[1:]  # piece 0 is what is not m
        foreground[m] = (sizes > labels.size / 1000).sum() <= most
    return foreground


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="smoke", help="smoke is the toy world, cpu are faces")
    parser.add_argument(
        "--evaluation",
        action="store_true",
        help="score on the evaluation images: once, when every setting is chosen",
    )
    options = parser.parse_args()

    profile = load_profile(options.profile)
    generator = load_generator(profile.generator)
    seeds = profile.queries.seeds if options.evaluation else profile.queries.development_seeds
    maps = make_cluster_maps(generator, profile, [(seed, profile.method.cutoff) for seed in seeds])
    labels = [item[map_key(profile.method.color_space, profile.method.k)] for item in maps]
    references = reference_masks(profile.reference, generator, profile, seeds, maps)

    rules = {**RULES, "yours": few_pieces}
    scores = score_rules(labels, profile.method.k, references, rules)
    print(f"{len(labels)} images of {profile.generator}, reference: {profile.reference}")
    for name, confusions in scores.items():
        low, high = bootstrap_interval(confusions, "miou", "per_image")
        line = f"{name:16} mIoU {mean_iou(confusions, 'per_image'):.3f} ({low:.3f} to {high:.3f})"
        if name == "yours":
            gain, (low, high) = paired_difference(confusions, scores["saliency"], "miou", "per_image")
            line += f", minus saliency {gain:+.3f} ({low:+.3f} to {high:+.3f})"
        print(line)


if __name__ == "__main__":
    main()
