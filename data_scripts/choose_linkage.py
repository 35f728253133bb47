"""Choose how merged classes of features are compared, on faces that are not evaluated (`baselines/klish.py`).

For each linkage and two seeds of K-means: the clusters of the full run's faces are merged, their background is named by
the corners and with labels, and the masks of 24 development faces are scored against the face parser. Writes
book/results/development/linkage.json. `Merging.linkage` holds what was chosen: the greatest mean mIoU over both ways of
naming and both seeds.

    python data_scripts/choose_linkage.py      five minutes on one core
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stylemixseg.baselines.klish import LINKAGES
from stylemixseg.evaluation.results import RunRecorder
from stylemixseg.experiments.clustermaps import query_latent, seed_name
from stylemixseg.experiments.othermethods import OtherMethods
from stylemixseg.experiments.profile import load_profile
from stylemixseg.experiments.scoring import reference_masks
from stylemixseg.generators.zoo import load_generator
from stylemixseg.metrics import confusion, mean_iou
from stylemixseg.mixing import query_image
from stylemixseg.segmenter import enlarge

FACES = range(10300, 10324)
SEEDS = (0, 1)  # of K-means
RESULTS = Path("book/results/development/linkage.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    profile = load_profile("full")
    generator = load_generator(profile.generator)
    latents = [query_latent(generator, profile, seed) for seed in tqdm(FACES, desc="faces to score", unit="face")]
    images = [query_image(generator, ws, profile.method.resolution) for ws in latents]
    truths = reference_masks(profile.reference, generator, profile, FACES, [{"image": image} for image in images])
    recorder = RunRecorder("linkage", profile.name, RESULTS, generator, seed=FACES[0])
    means = {}
    for linkage in LINKAGES:
        scores = []
        for seed in SEEDS:
            others = OtherMethods(profile, generator)
            clustering = replace(others.merging.clustering, seed=seed)
            others.merging = replace(others.merging, linkage=linkage, clustering=clustering)
            for naming in ("corners", "labels"):
                masks = others.method(f"klish_{naming}").masks
                found = [
                    confusion(enlarge(masks(*given), len(given[2])), given[2]) for given in zip(latents, images, truths)
                ]
                prefix = f"linkage.{linkage}.seed{seed}.{naming}"
                recorder.add_ious(prefix, found, average="dataset", images=[seed_name(face) for face in FACES])
                scores.append(mean_iou(found, "dataset"))
                tqdm.write(f"{prefix}: mIoU {scores[-1]:.3f}")
        means[linkage] = float(np.mean(scores))
        recorder.add(f"linkage.{linkage}.mean", means[linkage], n=len(FACES), note="over ways of naming and seeds")
    print(recorder.write())
    print(f"best: {max(means, key=lambda name: means[name])}")


if __name__ == "__main__":
    main()
