"""Which command makes which table: `stylemixseg reproduce TABLE --profile P` and the notebooks both come here."""

from __future__ import annotations

from pathlib import Path

from stylemixseg._util.checks import check_choice
from stylemixseg.experiments.ablation import run_ablation
from stylemixseg.experiments.detectors import run_detectors
from stylemixseg.experiments.evaluation import run_evaluation
from stylemixseg.experiments.objects import run_objects
from stylemixseg.experiments.parts import run_parts
from stylemixseg.experiments.photos import PhotoRun, run_photos
from stylemixseg.experiments.profile import Profile, load_profile
from stylemixseg.experiments.scoring import second_reference
from stylemixseg.generators.zoo import load_generator

TABLES = {
    "table1": "masks of synthetic images against a reference (Table 1, FFHQ column, our row)",
    "table1_photos": "masks of real photos against masks drawn by people (Table 1, CelebAMask-HQ column, our row)",
    "objects": "objects in rooms of the toy world, with its exact boxes and its failure modes (section 3.3)",
    "parts": "parts of a face in boxes of the face parser, and with k = 8 on the whole image (section 4.1)",
    "detectors": 'COCO-SSD\'s boxes for "horses" on the Weizmann photos (section 3.3)',
    "table4": "mIoU by cutoff c, number of clusters k and colour space (Table 4)",
}


def reproduce(table: str, profile: str | Profile, results: str | Path) -> Path:
    """Run one table of the paper at a profile's size and write its result file. Interrupted runs go on.

    Args:
        table: a name of `TABLES`.
        profile: a profile or its name.
        results: the folder of all results; the file is `<results>/<profile>/<table>.json`.

    Raises:
        ValueError: an unknown table or profile (the nearest names are suggested). FileNotFoundError: table1_photos
            without CelebAMask-HQ on this machine, detectors without the Weizmann horses or COCO-SSD.
    """
    check_choice("table", table, TABLES)
    profile = load_profile(profile) if isinstance(profile, str) else profile
    if table == "table1_photos":
        return run_photos(PhotoRun(profile), Path(results))
    if table == "objects":
        return run_objects(profile, Path(results))
    if table == "detectors":
        return run_detectors(Path(results), profile)
    generator = load_generator(profile.generator)
    if table == "parts":
        return run_parts(generator, profile, Path(results))
    if table == "table4":
        return run_ablation(generator, profile, Path(results))
    return run_evaluation(generator, profile, Path(results), second_reference(profile))
