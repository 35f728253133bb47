"""Compute a few images of the committed full run again, once per commit and state of the package."""

from __future__ import annotations

from pathlib import Path

from stylemixseg.evaluation.numbercheck import passed
from stylemixseg.evaluation.provenance import revision
from stylemixseg.evaluation.spotcheck import FILE, read_spot_check, write_spot_check
from stylemixseg.experiments.spotcheck import spot_check

from .layout import PACKAGE, BuildError

PROFILE = "full"


def check_spots(results: Path) -> None:
    """Spot-check the full run, unless that has been done for this commit and nothing of the package is newer.

    Raises:
        BuildError: a score has moved; names the worst.
    """
    file = results / FILE
    if _up_to_date(file):
        print(f"unchanged: spot check of {revision()[:12]}")
    else:
        found = spot_check(PROFILE, results, revision())
        write_spot_check(found, results)
    found = read_spot_check(results)
    for table, reason in found.left_out.items():
        print(f"left out: {table}: {reason}")
    moved = sorted((row for row in found.rows if not row.ok), key=lambda row: abs(row.measured - row.expected))
    if not passed(found.rows):
        worst = moved[-1]
        raise BuildError(
            f"{len(moved)} of {len(found.rows)} scores of the full run did not come out again; the worst: "
            f"{worst.name} of {worst.image}, committed {worst.expected:.4f}, now {worst.measured:.4f} (tolerance "
            f"{worst.tolerance:.4f}). If the change is meant, run `stylemixseg reproduce` for its table with --profile "
            "full, and commit the results"
        )
    print(f"{len(found.rows)} scores of {len({row.image for row in found.rows})} images came out again")


def _up_to_date(file: Path) -> bool:
    """Whether the last spot check was of this commit and of the package's files as they are."""
    if not file.exists() or read_spot_check(file.parent).key != revision():
        return False
    written = file.stat().st_mtime
    return all(
        path.stat().st_mtime <= written for path in PACKAGE.rglob("*") if path.suffix != ".pyc" and path.is_file()
    )
