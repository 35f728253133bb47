"""`stylemixseg reproduce TABLE --profile P`: one experiment at a profile's size."""

from __future__ import annotations

from pathlib import Path

from stylemixseg._util.checks import check_choice
from stylemixseg.experiments.profile import Profile, load_profile
from stylemixseg.experiments.registry import experiments, listed


def reproduce(table: str, profile: str | Profile, results: str | Path) -> Path:
    """Run one experiment at a profile's size and write its result file. Interrupted runs go on.

    Args:
        table: a name of `registry.listed`.
        profile: a profile or its name.
        results: the folder of all results; the file is `<results>/<profile>/<table>.json`.

    Raises:
        ValueError: an unknown table or profile (the nearest names are suggested).
        FileNotFoundError: table1_photos without CelebAMask-HQ on this machine, detectors without the Weizmann horses or
            COCO-SSD.
    """
    check_choice("table", table, listed())
    profile = load_profile(profile) if isinstance(profile, str) else profile
    return experiments()[table].run(profile, Path(results))
