"""Find the clusters that all faces share, name them, and measure the names on development faces.

They are written to stylemixseg/models/weights/faces_clusters.safetensors, names and provenance beside them as .json.
The measurements go to book/results/development/classes.json. No evaluation face takes part.

The clusters are found without labels, inside the masks of the judge (data_scripts/fit_judge.py, which comes first). The
names are given once: each cluster is named after the class that most of its pixels have in 20 of the faces, labelled by
the face parser. How many clusters there are is chosen on the other development faces.

    python data_scripts/fit_classes.py      a few minutes on two cores: the style mixes are those of fit_judge.py
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from fit_judge import FITTED_ON, LADDER_ON, NS, Faces
from tqdm import tqdm

from stylemixseg.evaluation.results import RunRecorder
from stylemixseg.experiments.classes import CLASSES, add_classes, class_counts, class_reference
from stylemixseg.experiments.clustermaps import query_latent, seed_name
from stylemixseg.experiments.profile import load_profile
from stylemixseg.generators.zoo import load_generator
from stylemixseg.joint.classes import (
    WEIGHTS_FILE,
    ClusterNames,
    StyleClusters,
    class_map,
    fit_clusters,
    names_by_majority,
    save_clusters,
)
from stylemixseg.joint.judge import load_judge
from stylemixseg.joint.place import resized
from stylemixseg.mixing import query_image
from stylemixseg.segmenter import enlarge

KS = (12, 16, 24, 32)
LABELLED = 20  # faces that name the clusters
SEEDS = (0, 1, 2)  # of K-means, for stability
RESULTS = Path("book/results/development/classes.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    profile = load_profile("full")
    generator = load_generator(profile.generator)
    faces = Faces(generator, profile)
    judges = {n: load_judge(generator, replace(profile.method, n=n)).without_edges() for n in NS}
    most = max(NS)

    def reference(seed: int) -> np.ndarray:
        image = query_image(generator, query_latent(generator, profile, seed), profile.method.resolution)
        return class_reference(generator, profile, seed, image)

    fitted = [
        (faces.stack(seed, psi), seed)
        for first, count, psi in FITTED_ON
        for seed in tqdm(range(first, first + count), desc="faces to fit on", unit="face")
    ]
    masks = [
        resized(judges[most].score(stack), stack.shape[:2]) > 0
        for stack, _ in tqdm(fitted, desc="their masks", unit="face")
    ]
    labelled = [
        (stack, np.asarray(reference(seed))[:: 512 // stack.shape[0], :: 512 // stack.shape[0]])
        for stack, seed in tqdm(fitted[:LABELLED], desc="labelled faces", unit="face")
    ]
    first, count = LADDER_ON
    others = [faces.stack(seed, profile.queries.truncation) for seed in range(first, first + count)]
    truths = [reference(seed) for seed in tqdm(range(first, first + count), desc="references", unit="face")]
    found_masks = {
        n: [enlarge(judge.score(stack.first(n)) > 0, 512) for stack in tqdm(others, desc=f"masks, n = {n}")]
        for n, judge in judges.items()
    }

    def counts(clusters: StyleClusters, names: ClusterNames, n: int) -> Iterator[list[list[int]]]:
        for stack, mask, truth in zip(others, found_masks[n], truths, strict=True):
            labels = class_map(clusters, names, stack.first(n), mask)
            yield class_counts(labels, truth)

    recorder = RunRecorder("classes", profile.name, RESULTS, generator, seed=first)
    images = [seed_name(seed) for seed in range(first, first + count)]
    tried: dict[tuple[int, int], tuple[float, dict[int, StyleClusters], ClusterNames]] = {}
    for k in KS:
        for seed in SEEDS:
            clusters = fit_clusters([(stack, mask) for (stack, _), mask in zip(fitted, masks)], k, NS, seed=seed)
            names = names_by_majority(clusters[most], labelled, CLASSES)
            means = {
                n: add_classes(recorder, f"classes.k{k}.seed{seed}.n{n}", list(counts(clusters[n], names, n)), images)
                for n in NS
            }
            mean = means[most]
            print(f"k = {k}, seed {seed}: mean IoU {mean:.3f}, names {names.named()}")
            tried[k, seed] = mean, clusters, names
    best = max(KS, key=lambda k: round(float(np.mean([tried[k, seed][0] for seed in SEEDS])), 3))
    _, clusters, names = tried[best, SEEDS[0]]
    recorder.add("classes.k", best, note="the best mean over the seeds of K-means")
    record = {
        "fitted_on": {"seeds": [[a, a + b - 1] for a, b, _ in FITTED_ON], "truncation": [psi for *_, psi in FITTED_ON]},
        "named_by": f"the face parser, on the first {LABELLED} of them",
        "made_by": "data_scripts/fit_classes.py",
        "date": datetime.date.today().isoformat(),
    }
    save_clusters(WEIGHTS_FILE, clusters, names, generator, profile.method, record)
    print(recorder.write())
    print(WEIGHTS_FILE.name)


if __name__ == "__main__":
    main()
