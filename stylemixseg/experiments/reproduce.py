"""`stylemixseg reproduce TABLE --profile P`: one experiment at a profile's size."""

from __future__ import annotations

from pathlib import Path

from stylemixseg._util.checks import check_choice
from stylemixseg.experiments.profile import Profile, load_profile
from stylemixseg.experiments.registry import experiments, listed

# The tables that compare masks with the profile's reference. The others have masks by people, exact ones or boxes.
BY_REFERENCE = ("table1", "table4", "cutoffs", "joint", "baselines")


def reproduce(table: str, profile: str | Profile, results: str | Path, reference: str | None = None) -> Path:
    """Run one experiment at a profile's size and write its result file. Interrupted runs go on.

    Args:
        table: a name of `registry.listed`.
        profile: a profile or its name.
        results: the folder of all results; the file is `<results>/<profile>/<table>.json`.
        reference: in place of the profile's, as in `Profile.reference`; the file's folder is then called after it too,
            `<results>/<profile>-<reference>/`.

    Raises:
        ValueError: an unknown table or profile (the nearest names are suggested), or a reference that is none or that
            the table has no use for.
        FileNotFoundError: table1_photos without CelebAMask-HQ on this machine, detectors without the Weizmann horses or
            COCO-SSD.
    """
    check_choice("table", table, listed())
    profile = load_profile(profile) if isinstance(profile, str) else profile
    if reference is not None:
        if table not in BY_REFERENCE:
            raise ValueError(f"reference must be for one of {', '.join(BY_REFERENCE)}, got {reference!r} for {table}")
        profile = profile.with_reference(reference)
    return experiments()[table].run(profile, Path(results))
