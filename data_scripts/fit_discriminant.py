"""Fit the foreground discriminant for faces from synthetic faces alone.

It is written to stylemixseg/models/weights/faces_discriminant.json.

No label takes part: the paper's two rules segment development faces (never those that a reported number uses), and the
pixels on which the two agree are what is learnt from. The rules' own settings were chosen before, on 24 of these faces,
with the face parser as reference (data_scripts/choose_rules.py); the discriminant inherits that.

    python data_scripts/fit_discriminant.py                 40 faces, n = 50, at 128 px; six minutes on two cores

The style mixes are kept in the cache folder, so an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import datetime
import json
from dataclasses import replace

import numpy as np
from tqdm import tqdm

from stylemixseg._util.paths import atomic_write
from stylemixseg.experiments.clustermaps import query_latent
from stylemixseg.experiments.profile import load_profile
from stylemixseg.experiments.scoring import RULES, rule_mask
from stylemixseg.experiments.stackcache import cached_stack
from stylemixseg.generators.zoo import load_generator
from stylemixseg.joint.discriminant import SHRINKAGE, WEIGHTS_FILE, DiscriminantFit
from stylemixseg.metrics import confusion
from stylemixseg.segmenter import StyleMixSegmenter
from stylemixseg.summary import StyleStack

SIDE = 128  # px: a pixel is a pixel at any size, so a small one will do
FITTED = (20, 50)  # numbers of styles: the profiles cpu and full


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=40, help="number of development faces (40)")
    args = parser.parse_args()
    profile = load_profile("full")
    generator = load_generator(profile.generator)
    segmenter = StyleMixSegmenter(generator, replace(profile.method, resolution=SIDE))
    settings = segmenter.config
    fits = {n: DiscriminantFit(3 * n) for n in FITTED}
    first = profile.queries.development_first
    agreement = []
    for seed in tqdm(range(first, first + args.queries), desc="development faces", unit="face"):
        images = cached_stack(generator, query_latent(generator, profile, seed), segmenter.styles, segmenter.plan)
        summary = StyleStack(np.moveaxis(images, 3, 1), settings.color_space)
        labels = segmenter.cluster(summary).labels
        masks = [rule_mask(labels, settings.k, rule) for rule in RULES.values()]
        agreement.append(confusion(*masks).miou)
        for n, fit in fits.items():
            fit.add(summary.first(n), *masks)
    record = {
        "generator": {"name": generator.name, "sha256": generator.digest},
        "settings": {
            "cutoff": settings.cutoff,
            "color_space": settings.color_space,
            "style_seed": settings.style_seed,
            "style_truncation": settings.style_truncation,
        },
        "fitted_on": {
            "seeds": [first, first + args.queries - 1],
            "truncation": profile.queries.truncation,
            "side": SIDE,
            "k": settings.k,
            "rules": {name: repr(rule) for name, rule in RULES.items()},
            "shrinkage": SHRINKAGE,
            "agreement_of_the_rules_miou": round(float(np.mean(agreement)), 4),
        },
        "made_by": "data_scripts/fit_discriminant.py",
        "date": datetime.date.today().isoformat(),
        "fits": {
            str(n): {"bias": round(fitted.bias, 6), "weights": [round(float(value), 6) for value in fitted.weights]}
            for n, fitted in ((n, fit.solve()) for n, fit in fits.items())
        },
    }
    with atomic_write(WEIGHTS_FILE) as path:
        path.write_text(json.dumps(record) + "\n")
    print(WEIGHTS_FILE.name)


if __name__ == "__main__":
    main()
