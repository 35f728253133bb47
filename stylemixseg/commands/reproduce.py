"""`stylemixseg reproduce`: measure one table of the paper and write its result file."""

from __future__ import annotations

import argparse

from stylemixseg.commands.parsing import add_profile_and_results

SUMMARY = "measure one table of the paper and write its result file"
EXAMPLES = """\
stylemixseg reproduce table1 --profile cpu      minutes on two cores
stylemixseg reproduce table4 --profile full     hours; may be interrupted, goes on where it was
stylemixseg reproduce table1 --profile cpu --reference deeplab/:person     against a network in the folder deeplab
"""
DESCRIPTION = "A long run may be interrupted: what is finished is kept, and the same command goes on."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    from stylemixseg.experiments.registry import listed
    from stylemixseg.models.classnames import NAMES

    words = "\n".join(f"  {name:15}{item.words}" for name, item in listed().items())
    parser.description = f"{parser.description}\n\ntables:\n{words}"
    parser.add_argument("table", metavar="TABLE", help=f"one of {', '.join(listed())}")
    add_profile_and_results(parser)
    parser.add_argument(
        "--reference",
        metavar="NAME|PATH:CLASS",
        help="what masks are compared with, in place of the profile's: truth (toy world), face_parser, deeplab, or a "
        f"network of transformers (extra `detectors`) and its class ({', '.join(NAMES)} or one of its own), as "
        "FOLDER:CLASS or OWNER/NAME:CLASS on the hub; results are then in a folder called after both, and tables "
        "without such a comparison refuse it",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; gives the exit status."""
    from stylemixseg.evaluation.results import measurements
    from stylemixseg.evaluation.tables import measured_text
    from stylemixseg.experiments.reproduce import reproduce

    path = reproduce(args.table, args.profile, args.results, args.reference)
    for item in measurements(path).values():
        print(f"{item.name:50} {measured_text(item)}")
    print(path)
    return 0
