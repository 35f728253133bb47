"""`stylemixseg spot-check`: compute a few images of a committed run again, and compare their scores."""

from __future__ import annotations

import argparse

from stylemixseg.commands.parsing import add_profile_and_results
from stylemixseg.commands.report import report

SUMMARY = "compute a few images of a committed run again, and compare their scores"
EXAMPLES = """\
stylemixseg spot-check --profile full           about two minutes on two cores
stylemixseg spot-check --profile full --key another
"""
DESCRIPTION = """\
A long run is not repeated for every change, but the scores of each of its images are kept. Some images are
drawn from the commit, so every commit tests others, and computed again from nothing. Exit status 1 if a score
has moved. What needs data that are not on this machine is left out, and said.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("--key", help="what the images are drawn from (the commit)")
    add_profile_and_results(parser, profile="full")


def run(args: argparse.Namespace) -> int:
    """Run the command; gives the exit status."""
    from stylemixseg.evaluation.provenance import revision
    from stylemixseg.evaluation.spotcheck import write_spot_check
    from stylemixseg.experiments.spotcheck import spot_check

    found = spot_check(args.profile, args.results, args.key or revision())
    for table, reason in found.left_out.items():
        print(f"left out: {table}: {reason}")
    status = report(found.rows, f"spot check of profile {args.profile}, drawn from {found.key[:12]}")
    print(write_spot_check(found, args.results))
    return status
