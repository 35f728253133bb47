"""`stylemixseg ledger`: show the paper's numbers beside the ones measured here, or check the measured ones."""

from __future__ import annotations

import argparse

from stylemixseg.commands.parsing import add_profile_and_results
from stylemixseg.commands.report import report

SUMMARY = "show the paper's numbers beside the ones measured here, or check the measured ones"
EXAMPLES = """\
stylemixseg ledger                              the whole ledger as Markdown
stylemixseg ledger --check --profile cpu        compare a run with the committed expectations
"""
DESCRIPTION = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--check", action="store_true", help="compare with the expectations; exit status 1 if one fails"
    )
    action.add_argument(
        "--update-expectations", action="store_true", help="take the profile's measured numbers as new expectations"
    )
    parser.add_argument(
        "--experiment",
        action="append",
        metavar="NAME",
        help="with --check: only what this experiment measured, e.g. table1",
    )
    add_profile_and_results(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; gives the exit status."""
    from stylemixseg.evaluation import numbercheck
    from stylemixseg.ledger import page as ledger

    if args.update_expectations:
        print(numbercheck.update_expectations(args.profile, args.results))
        return 0
    if not args.check:
        print(ledger.markdown(args.results))
        return 0
    experiments = None if args.experiment is None else tuple(args.experiment)
    rows = numbercheck.check(args.profile, args.results, experiments=experiments)
    return report(rows, f"profile {args.profile}")
