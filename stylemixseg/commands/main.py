"""The command line, `stylemixseg COMMAND`: one module per command, with its help, its arguments and what it does."""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
import warnings
from importlib import import_module

# Only what `--help` needs is imported here, and of the commands only the one that is called says its arguments: torch
# and faiss take seconds.
from stylemixseg import __version__
from stylemixseg._util.streams import unfailing_streams, unprinted

COMMANDS = (
    "fetch",
    "generators",
    "inspect",
    "convert",
    "segment",
    "synthesize",
    "name-clusters",
    "choose-settings",
    "reproduce",
    "ledger",
    "spot-check",
)


def main(argv: list[str] | None = None) -> int:
    """Run one command. Exit status: 0 done, 1 it failed (one line says why), 2 wrong usage, 130 interrupted."""
    with unfailing_streams() as (out, _):
        status = _run(sys.argv[1:] if argv is None else argv)
        if problem := unprinted(out):
            print(f"stylemixseg: {problem}", file=sys.stderr)
            status = status or 1
    return status


def _run(argv: list[str]) -> int:
    args = _parser(argv).parse_args(_boxes_joined(argv))
    usual = warnings.formatwarning
    warnings.formatwarning = lambda message, *_: f"note: {message}\n"  # no place in the code: users look for advice
    try:
        return args.run(args)
    except KeyboardInterrupt:
        print("stylemixseg: interrupted; what was finished is kept, run the command again to go on", file=sys.stderr)
        return 130
    except (ValueError, TypeError, RuntimeError, OSError, ImportError, FloatingPointError) as error:
        if args.traceback:
            raise
        print(f"stylemixseg: {error}", file=sys.stderr)
        return 1
    finally:
        warnings.formatwarning = usual


def _parser(argv: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stylemixseg",
        description="Segment a generator's images without labels and without another network (Feng et al., CVPR 2023).",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_example(
            """
            stylemixseg fetch faces                          get the 1024 px face generator (38 MB, once)
            stylemixseg segment --generator faces --seed 7 -o out/
            stylemixseg reproduce table4 --profile cpu       one table of the paper, in a size for two cores
            stylemixseg ledger                               the paper's numbers beside the ones measured here
            """
        ),
    )
    parser.add_argument("--version", action="version", version=f"stylemixseg {__version__}")
    parser.add_argument("--traceback", action="store_true", help="on an error, show where in the code it arose")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = import_module(f"stylemixseg.commands.{name.replace('-', '_')}")
        command = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=f"{module.SUMMARY[0].upper()}{module.SUMMARY[1:]}.\n\n{module.DESCRIPTION}".strip(),
            epilog=_example(module.EXAMPLES),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=module.run, usage_error=command.error)
        if name in argv:
            module.add_arguments(command)
    return parser


def _example(text: str) -> str:
    return "examples:\n" + textwrap.indent(textwrap.dedent(text).strip(), "  ")


def _boxes_joined(argv: list[str]) -> list[str]:
    """`--box -20,...` as `--box=-20,...`: a value that begins with a minus is taken for an option otherwise."""
    joined: list[str] = []
    for argument in argv:
        if joined and joined[-1] in ("--box", "--bo") and re.match(r"-[\d.]", argument):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


if __name__ == "__main__":
    sys.exit(main())
