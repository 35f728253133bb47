"""Choose at how many pixels the networks of Table 3's long trainings look at photos.

The views that they learnt from were zoomed at random, so more pixels than these views had can be better. The network of
the judge's row looks at training photos, and the masks of the package's student stand for those of people: the number
with the highest mIoU is chosen. So neither the test photos take part, nor a mask that a person drew.

It writes what it measured to book/results/development/long_view.json. The choice stands in the profile "full" as
`long_view`. The training is taken from the cache, or made, which takes an hour.

    python data_scripts/choose_long_view.py      100 photos; two minutes on one core where the training is there
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from stylemixseg.data.celebamask import read_celebamask, training_names
from stylemixseg.evaluation.results import RunRecorder
from stylemixseg.experiments.profile import load_profile
from stylemixseg.experiments.recording import add_counts
from stylemixseg.experiments.table3 import Photos, human_photos, jobs_of, score, trained_network
from stylemixseg.generators.zoo import load_generator
from stylemixseg.metrics import Confusion, mean_iou
from stylemixseg.models.student import Student
from stylemixseg.students.pairs import labelled_by

COUNT = 100
ZOOMS = (1.0, 1.15, 1.3, 1.45)  # of the views' pixels; the views were zoomed by up to 1.35
RESULTS = Path("book/results/development/long_view.json")


def sides_of(side: int) -> list[int]:
    """The numbers of pixels to look at, multiples of 16, plus 1, for views of `side` pixels."""
    return [round(side * zoom / 16) * 16 + 1 for zoom in ZOOMS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS, help="result file (default %(default)s)")
    args = parser.parse_args()
    profile = load_profile("full")
    generator = load_generator(profile.generator)
    job = jobs_of(profile, generator)["long.judge"]
    tested = human_photos(profile, generator, tested=True)  # they name the training, and are not looked at
    network, _ = trained_network(job.row, job.profile, generator, tested, job.seed, job.count)
    photos = read_celebamask()
    names = training_names(photos)[:COUNT]
    images = [photos[name][0] for name in names]
    masks = [soft > 0.5 for _, soft in labelled_by(Student.load(), tqdm(images, desc="the student", unit="photo"))]
    shown = Photos(names, images, masks)
    recorder = RunRecorder("long_view", profile.name, args.out, generator, seed=job.seed)
    found = {}
    for side in tqdm(sides_of(profile.table3.side), desc="views", unit="view"):
        counts = score(Student(network, side), shown)
        add_counts(recorder, f"long_view.side{side}", counts, names)
        found[side] = mean_iou([Confusion(*item) for item in counts["all"]], "dataset")
        tqdm.write(f"{side} px: mIoU {found[side]:.4f}")
    print(recorder.write())
    print(f"chosen: {max(found, key=lambda side: round(found[side], 3))} px")


if __name__ == "__main__":
    main()
