"""Choose which synthetic pairs a network learns from, and where between background and foreground their masks part.

A network that learns from pairs learns what all masks have wrong alike (chapter 14). The judge for faces was fitted to
images of small truncation for the most part; at the larger truncation of training pairs, whose faces vary as photos do,
its masks are too large. A higher threshold on its probability corrects that. Filters drop samples that are likely to
be wrong. Both are chosen here, on synthetic faces of seeds that no other part of the project uses, with the face parser
as reference; no photo takes part.

It writes what it measured to book/results/development/pairs.json; what it prints last stands in
stylemixseg/experiments/table3.py.

    python data_scripts/choose_pairs.py      200 pairs; seven minutes on two cores
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from stylemixseg._util.paths import cache_dir
from stylemixseg.evaluation.results import RunRecorder
from stylemixseg.experiments.clustermaps import seed_name
from stylemixseg.experiments.profile import load_profile
from stylemixseg.experiments.scoring import reference_masks
from stylemixseg.experiments.table3 import recipe_of
from stylemixseg.factory.filters import Filters
from stylemixseg.factory.run import synthesize
from stylemixseg.factory.store import Store
from stylemixseg.generators.zoo import load_generator
from stylemixseg.metrics import confusion, mean_iou

FIRST, COUNT = 29_000, 200
THRESHOLDS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.9)
FILTERS = {
    "none": Filters(),
    "agreement": Filters(min_agreement=0.6),
    "mask_share": Filters(mask_share=(0.2, 0.9)),
    "confidence": Filters(min_confidence=0.95),
    "both": Filters(min_agreement=0.6, min_confidence=0.95),
}
RESULTS = Path("book/results/development/pairs.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    profile = load_profile("full")
    generator = load_generator(profile.generator)
    folder = cache_dir() / "chosen_pairs"
    synthesize(folder, recipe_of(profile, generator), COUNT, first=FIRST, progress=True)
    samples = [Store(folder).read(seed) for seed in range(FIRST, FIRST + COUNT)]
    images = [{"image": sample.pixels("image.png")} for sample in samples]
    truths = reference_masks("face_parser", generator, profile, range(FIRST, FIRST + COUNT), images)
    recorder = RunRecorder("pairs", profile.name, RESULTS, generator, seed=FIRST)
    recorder.add("pairs.reference.share", float(np.mean(truths)), n=len(samples))
    found = {}
    for name, filters in FILTERS.items():
        kept = [i for i, sample in enumerate(samples) if filters.reason(sample.record) is None]
        recorder.add(f"pairs.{name}.kept", len(kept) / len(samples), n=len(samples))
        for threshold in THRESHOLDS:
            masks = [samples[i].pixels("soft.png") > 255 * threshold for i in kept]
            scored = [confusion(mask, truths[i]) for mask, i in zip(masks, kept, strict=True)]
            prefix = f"pairs.{name}.threshold{threshold:g}"
            names = [seed_name(samples[i].seed) for i in kept]
            recorder.add_ious(prefix, scored, average="dataset", images=names)
            recorder.add(f"{prefix}.share", float(np.mean(masks)), n=len(masks))
            found[name, threshold] = mean_iou(scored, "dataset")
            print(f"{prefix}: {len(kept)} kept, share {np.mean(masks):.3f}, mIoU {found[name, threshold]:.4f}")
    # One threshold serves sets with and without filters, so it is the best in the mean over them.
    best = max(THRESHOLDS, key=lambda threshold: sum(found[name, threshold] for name in FILTERS))
    recorder.add("pairs.threshold", best, note="of the judge's probability, the best in the mean over the filters")
    print(recorder.write())
    print("best threshold:", best, " best filter:", max(FILTERS, key=lambda name: found[name, best]))


if __name__ == "__main__":
    main()
