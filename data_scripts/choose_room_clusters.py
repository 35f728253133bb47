"""Choose how many clusters the toy world's rooms share, on rooms that are neither fitted nor evaluated.

Writes book/results/development/room_clusters.json: for each k and three seeds of K-means the IoU of every class and
their mean. `experiments/objects.py` names the k that was chosen.

    python data_scripts/choose_room_clusters.py      three minutes on two cores
"""

from __future__ import annotations

import argparse
from dataclasses import astuple
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stylemixseg.evaluation.results import RunRecorder
from stylemixseg.experiments.objects import RESOLUTION, other_rooms, room_clusters, room_summary, shared_classes
from stylemixseg.experiments.profile import load_profile
from stylemixseg.generators.toyworld.world import CLASS_NAMES, ToyWorld
from stylemixseg.metrics import confusion

KS = (12, 16, 24, 32)
SEEDS = (0, 1, 2)  # of K-means
ROOMS = range(20100, 20140)
RESULTS = Path("book/results/development/room_clusters.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    profile = load_profile("cpu")
    world = ToyWorld("room", resolution=RESOLUTION)
    rooms = [room_summary(world, profile, seed) for seed in tqdm(ROOMS, desc="rooms to score", unit="room")]
    fitted = other_rooms(profile)
    recorder = RunRecorder("room_clusters", profile.name, RESULTS, world, seed=ROOMS[0])
    for k in KS:
        means = []
        for seed in SEEDS:
            try:
                found = room_clusters(fitted, k, seed)
            except ValueError as error:
                print(f"k = {k}, seed {seed}: {error}")
                continue
            counts = np.zeros((len(CLASS_NAMES), 4), int)
            for summary, truth, _ in rooms:
                labels = shared_classes(found, summary)
                counts += [
                    astuple(confusion(labels == index, truth.semantic == index)) for index in range(len(CLASS_NAMES))
                ]
            ious = counts[:, 0] / counts[:, :3].sum(1)
            for name, iou in zip(CLASS_NAMES, ious, strict=True):
                recorder.add(f"toy.room_clusters.k{k}.seed{seed}.{name}.iou", float(iou), n=len(ROOMS))
            recorder.add(f"toy.room_clusters.k{k}.seed{seed}.mean", float(ious.mean()), n=len(ROOMS))
            means.append(ious.mean())
        print(f"k = {k}: mean IoU {np.mean(means):.3f}, over seeds of K-means {min(means):.3f} to {max(means):.3f}")
    print(recorder.write())


if __name__ == "__main__":
    main()
