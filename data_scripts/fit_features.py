"""Find clusters inside the skin that all faces share, name them brows, eyes, nose and mouth, and measure the names.

The second level of data_scripts/fit_classes.py, which comes first: what that calls skin is clustered again, into many
more clusters, because features are small. They are written to stylemixseg/models/weights/faces_features.safetensors,
the measurements to book/results/development/features.json. No evaluation face takes part.

The clusters are found without labels. Each is named once, after the class of its pixels in 20 of the faces, labelled by
the face parser; rare classes weigh more. How many clusters there are, and how much more, is chosen on 30 development
faces, and 30 others show what it is worth.

    python data_scripts/fit_features.py      twenty minutes on two cores
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from stylemixseg.evaluation.results import RunRecorder
from stylemixseg.experiments.classes import FEATURES, OF_FEATURES, add_classes, class_counts
from stylemixseg.experiments.clustermaps import query_latent, seed_name
from stylemixseg.experiments.profile import load_profile
from stylemixseg.experiments.scoring import reference_parts
from stylemixseg.experiments.stackcache import cached_stack
from stylemixseg.generators.zoo import load_generator
from stylemixseg.joint.classes import (
    FEATURES_FILE,
    ClusterNames,
    StyleClusters,
    class_map,
    finer_map,
    fit_clusters,
    load_clusters,
    names_by_majority,
    save_clusters,
)
from stylemixseg.joint.judge import JUDGED_AT, load_judge
from stylemixseg.joint.place import resized
from stylemixseg.mixing import query_image
from stylemixseg.segmenter import StyleMixSegmenter, enlarge
from stylemixseg.summary import StyleStack

NS = (8, 20)
FITTED_ON = range(10000, 10100)
LABELLED = 20  # of them, that name the clusters
CHOSEN_ON, SHOWN_ON = range(10300, 10330), range(10330, 10360)
KS = (64, 96, 128)
BALANCES = (0.0, 0.3, 0.5, 0.7)
PART = "skin"
RESULTS = Path("book/results/development/features.json")


class Face(NamedTuple):
    """X_s of one face for the most styles, the reference's labels of `FEATURES`, and its class map for each n."""

    stack: StyleStack
    truth: np.ndarray
    maps: dict[int, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    profile, most = load_profile("full"), max(NS)
    generator = load_generator(profile.generator)
    configs = {n: replace(profile.method, n=n, resolution=JUDGED_AT) for n in NS}
    segmenter = StyleMixSegmenter(generator, configs[most])
    judges = {n: load_judge(generator, config).without_edges() for n, config in configs.items()}
    first_level = {n: load_clusters(generator, config) for n, config in configs.items()}

    def faces(seeds: Sequence[int], what: str) -> Iterator[Face]:
        for seed in tqdm(seeds, desc=what, unit="face"):
            w0 = query_latent(generator, profile, seed)
            images = cached_stack(generator, w0, segmenter.styles, segmenter.plan)
            stack = StyleStack(np.moveaxis(np.array(images), 3, 1), profile.method.color_space)
            image = query_image(generator, w0, profile.method.resolution)
            truth = OF_FEATURES[reference_parts("face_parser", generator, profile, seed, image)[0]]
            maps = {}
            for n in NS:
                mask = resized(judges[n].score(stack.first(n)), (JUDGED_AT, JUDGED_AT)) > 0
                maps[n] = class_map(*first_level[n], stack.first(n), mask)
            yield Face(stack, truth.astype(np.uint8), maps)

    label = first_level[most][1].classes.index(PART)

    def skin(face: Face) -> np.ndarray:
        return face.maps[most] == label

    def scored(found: Sequence[Face], clusters: StyleClusters, names: ClusterNames, n: int) -> list[list[list[int]]]:
        counts = []
        for face in found:
            finer, classes = finer_map(face.maps[n], first_level[n][1], PART, clusters, names, face.stack.first(n))
            order = np.array([FEATURES.index(name) if name in FEATURES else 0 for name in classes])
            counts.append(class_counts(enlarge(order[finer], len(face.truth)), face.truth, FEATURES))
        return counts

    fitted = list(faces(FITTED_ON, "faces to fit on"))
    chosen_on, shown_on = list(faces(CHOSEN_ON, "faces to choose on")), list(faces(SHOWN_ON, "faces to show"))
    step = len(fitted[0].truth) // JUDGED_AT
    labelled = [(face.stack, np.where(skin(face), face.truth[::step, ::step], 0)) for face in fitted[:LABELLED]]
    recorder = RunRecorder("features", profile.name, RESULTS, generator, seed=FITTED_ON[0])
    names_of = [seed_name(seed) for seed in CHOSEN_ON]
    tried: dict[tuple[int, float], float] = {}
    found: dict[tuple[int, float], tuple[dict[int, StyleClusters], ClusterNames]] = {}
    for k in KS:
        clusters = fit_clusters([(face.stack, skin(face)) for face in fitted], k, NS, pixels_per_image=3000)
        for balance in BALANCES:
            try:
                names = names_by_majority(clusters[most], labelled, FEATURES, balance=balance)
            except ValueError as error:  # so many clusters that the labelled faces do not show all of them
                print(f"k = {k}: {error}")
                break
            counts = scored(chosen_on, clusters[most], names, most)
            prefix = f"features.k{k}.balance{round(10 * balance):02d}.n{most}"
            tried[k, balance] = add_classes(recorder, prefix, counts, names_of, FEATURES)
            found[k, balance] = clusters, names
            print(f"k = {k}, balance {balance}: mean IoU {tried[k, balance]:.3f}, names {names.named()}")
    best = max(tried, key=lambda key: tried[key])
    clusters, names = found[best]
    recorder.add("features.k", best[0], note="the best mean on the first half of the development faces")
    recorder.add("features.balance", best[1])
    for n in NS:
        counts = scored(shown_on, clusters[n], names, n)
        mean = add_classes(recorder, f"features.shown.n{n}", counts, [seed_name(seed) for seed in SHOWN_ON], FEATURES)
        print(f"on the other development faces, n = {n}: mean IoU {mean:.3f}")
    record = {
        "inside": PART,
        "fitted_on": {"seeds": [FITTED_ON[0], FITTED_ON[-1]], "truncation": profile.queries.truncation},
        "named_by": f"the face parser, on the first {LABELLED} of them",
        "made_by": "data_scripts/fit_features.py",
        "date": datetime.date.today().isoformat(),
    }
    save_clusters(FEATURES_FILE, clusters, names, generator, profile.method, record)
    print(recorder.write())
    print(FEATURES_FILE.name)


if __name__ == "__main__":
    main()
