"""Compare the cutoff and the number of clusters that stability chooses with what the face parser would choose.

On development faces, for each c and k: how well two halves of the styles agree, how much movement their clusters
explain (`joint/stability.py`), and the mIoU of the saliency rule and of the oracle against the parser. Writes
book/results/development/stability.json. No evaluation face takes part.

    python data_scripts/choose_by_stability.py      ten minutes on two cores
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stylemixseg.evaluation.results import RunRecorder
from stylemixseg.experiments.clustermaps import query_latent, seed_name
from stylemixseg.experiments.profile import load_profile
from stylemixseg.experiments.scoring import reference_masks, score_rules
from stylemixseg.experiments.stackcache import cached_stack
from stylemixseg.generators.zoo import load_generator
from stylemixseg.joint.stability import Halves, Stability, compare_halves
from stylemixseg.mixing import query_image
from stylemixseg.segmenter import StyleMixSegmenter
from stylemixseg.summary import StyleStack

SEEDS = range(10000, 10008)
CUTOFFS = (4, 6, 8, 12, 14)
KS = (2, 3, 4, 6)
N = 20
MADE_AT, CLUSTERED_AT = 256, 128  # px
RESULTS = Path("book/results/development/stability.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    profile = load_profile("full")
    generator = load_generator(profile.generator)
    recorder = RunRecorder("stability", profile.name, RESULTS, generator, seed=SEEDS[0])
    latents = [query_latent(generator, profile, seed) for seed in SEEDS]
    maps = [{"image": query_image(generator, w0, CLUSTERED_AT)} for w0 in latents]
    truths = reference_masks(profile.reference, generator, profile, SEEDS, maps)
    images = [seed_name(seed) for seed in SEEDS]
    halves: dict[tuple[int, int], tuple[Halves, ...]] = {}
    step = MADE_AT // CLUSTERED_AT
    for cutoff in CUTOFFS:
        segmenter = StyleMixSegmenter(generator, replace(profile.method, n=N, cutoff=cutoff, resolution=MADE_AT))
        found: list[dict[int, Halves]] = []
        labels: dict[int, list[np.ndarray]] = {k: [] for k in KS}
        for w0 in tqdm(latents, desc=f"c = {cutoff}", unit="face"):
            made = cached_stack(generator, w0, segmenter.styles, segmenter.plan)
            means = made.reshape(N, CLUSTERED_AT, step, CLUSTERED_AT, step, 3).mean((2, 4)).round().astype(np.uint8)
            stack = StyleStack(np.moveaxis(means, 3, 1), profile.method.color_space)
            found.append(compare_halves(stack, KS))
            for k in KS:
                labels[k].append(segmenter.cluster(stack, k).labels)
        for k in KS:
            halves[cutoff, k] = tuple(of_image[k] for of_image in found)
            name = f"stability.c{cutoff}.k{k}"
            recorder.add_mean(f"{name}.agreement", [[item.agreement] for item in halves[cutoff, k]], images=images)
            recorder.add_mean(f"{name}.explained", [[item.explained] for item in halves[cutoff, k]], images=images)
            for rule, confusions in score_rules(labels[k], k, truths).items():
                recorder.add_ious(f"{name}.{rule}", confusions, average="per_image", images=images)
    stability = Stability(halves)
    cutoff = stability.chosen_cutoff()
    recorder.add("stability.chosen.cutoff", cutoff)
    recorder.add("stability.chosen.k", stability.chosen_k(cutoff))
    print(recorder.write())


if __name__ == "__main__":
    main()
