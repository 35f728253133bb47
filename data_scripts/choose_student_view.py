"""Choose how the student looks at an image: at how many pixels, and within which radius its outline follows edges.

Both are chosen on synthetic faces of seeds that no other part of the project uses, at the truncation of training pairs,
with the face parser as reference: the best sum of mIoU over all pixels and near the outline alone, since what serves
the one can harm the other. No photo takes part.

It writes both numbers into the record of the student's weights (stylemixseg/models/weights/student.json), whose arrays
stay as they are, and what it measured to book/results/development/student_view.json. It comes after
data_scripts/train_student.py.

    python data_scripts/choose_student_view.py      60 faces; three minutes on two cores
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path

from tqdm import tqdm

from stylemixseg._util.paths import atomic_write
from stylemixseg.evaluation.results import RunRecorder
from stylemixseg.experiments.clustermaps import query_latent, seed_name
from stylemixseg.experiments.profile import load_profile
from stylemixseg.experiments.scoring import counts_of, reference_masks
from stylemixseg.experiments.table3 import recipe_of
from stylemixseg.generators.zoo import load_generator
from stylemixseg.metrics import Confusion, bootstrap_interval, mean_iou
from stylemixseg.mixing import query_image, to_generator_range
from stylemixseg.models.student import WEIGHTS_FILE, Student

FIRST, COUNT = 62_000, 60
SIDES = (193, 225, 257)  # px: not more than 1.35 times 193, by which the views that it learnt from were zoomed
RADII = (0, 16, 32)  # px of 512: smaller windows are not subsampled, and then take longer than the network
RESULTS = Path("book/results/development/student_view.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=WEIGHTS_FILE, help="the student's (default: the package's)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="result file (default %(default)s)")
    args = parser.parse_args()
    profile = load_profile("full")
    generator = load_generator(profile.generator)
    profile = profile.changed(queries={"truncation": recipe_of(profile, generator).truncation})
    seeds = range(FIRST, FIRST + COUNT)
    images = [
        query_image(generator, query_latent(generator, profile, seed), profile.method.resolution)
        for seed in tqdm(seeds, desc="faces", unit="face")
    ]
    truths = reference_masks("face_parser", generator, profile, seeds, [{"image": image} for image in images])
    names = [seed_name(seed) for seed in seeds]
    network = Student.load(args.weights).network
    recorder = RunRecorder("student_view", profile.name, args.out, generator, seed=FIRST)
    found = {}
    for side, radius in tqdm(list(product(SIDES, RADII)), desc="views", unit="view"):
        student = Student(network, side, edges=radius / 512)
        masks = [student.foreground(to_generator_range(image))[0].numpy() for image in images]
        counts = [counts_of(mask, truth) for mask, truth in zip(masks, truths, strict=True)]
        scored, near = ([Confusion(*item[where]) for item in counts] for where in ("all", "trimap"))
        prefix = f"student_view.side{side}.radius{radius}"
        recorder.add_ious(prefix, scored, average="dataset", images=names)
        miou, near_miou = mean_iou(scored, "dataset"), mean_iou(near, "dataset")
        interval = bootstrap_interval(near, "miou", "dataset")
        recorder.add(f"{prefix}.trimap.miou", near_miou, n=len(near), interval=interval)
        tqdm.write(f"{side} px, radius {radius} px of 512: mIoU {miou:.4f}, trimap {near_miou:.4f}")
        found[side, radius] = miou + near_miou
    side, radius = max(found, key=lambda choice: round(found[choice], 3))
    path = args.weights.with_suffix(".json")
    about = json.loads(path.read_text(encoding="utf-8"))
    about["view"] = {"side": side, "edges": radius / 512, "chosen_by": "data_scripts/choose_student_view.py"}
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    print(recorder.write())
    print(f"chosen: {side} px, radius {radius} px of 512")


if __name__ == "__main__":
    main()
