"""Which command makes which table: `stylemixseg reproduce TABLE --profile P` and the notebooks both come here."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from stylemixseg.checks import check_choice
from stylemixseg.experiments.ablation import run_ablation
from stylemixseg.experiments.evaluation import run_evaluation
from stylemixseg.generators.zoo import load_generator
from stylemixseg.paths import data_file
from stylemixseg.profiles import Profile, load_profile

TABLES = {
    "table1": "masks of synthetic images against a reference (Table 1, FFHQ column, our row)",
    "table4": "mIoU by cutoff c, number of clusters k and colour space (Table 4)",
}


def reproduce(table: str, profile: str | Profile, results: str | Path) -> Path:
    """Run one table of the paper at a profile's size and write its result file. Interrupted runs go on.

    Args:
        table: a name of `TABLES`.
        profile: a profile or its name.
        results: the folder of all results; the file is `<results>/<profile>/<table>.json`.

    Raises:
        ValueError: an unknown table or profile (the nearest names are suggested).
    """
    check_choice("table", table, TABLES)
    profile = load_profile(profile) if isinstance(profile, str) else profile
    generator = load_generator(profile.generator)
    if table == "table4":
        return run_ablation(generator, profile, Path(results))
    return run_evaluation(generator, profile, Path(results), second_reference(profile))


def second_reference(profile: Profile) -> str | None:
    """"deeplab" where a run on learnt images can score against DeepLabV3 too (file and run time at hand), else None."""
    if profile.reference == "truth" or profile.reference == "deeplab" or not find_spec("ai_edge_litert"):
        return None
    try:
        data_file("models", "deeplabv3_voc_257_float.tflite")
    except FileNotFoundError:
        return None
    return "deeplab"
