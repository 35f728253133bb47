"""`stylemixseg generators`: list the generators: domain, size, source, hash, licence."""

from __future__ import annotations

import argparse
import json
import textwrap

SUMMARY = "list the generators: domain, size, source, hash, licence"
EXAMPLES = """\
stylemixseg generators --json
"""
DESCRIPTION = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the command; gives the exit status."""
    from stylemixseg.generators.official import NOT_PUBLIC, OFFICIAL, recorded_sha256
    from stylemixseg.generators.zoo import CATALOGUE

    fields = ("domain", "resolution", "num_ws", "source", "sha256", "licence")
    entries = {name: {field: getattr(entry, field) for field in fields} for name, entry in CATALOGUE.items()}
    for name in OFFICIAL:
        entries[name]["sha256"] = recorded_sha256(name)
    if args.json:
        print(json.dumps(entries, indent=1))
        return 0
    for name, entry in entries.items():
        print(f"{name}: {entry['domain']}, {entry['resolution']} px, num_ws {entry['num_ws']}")
        if name in OFFICIAL:
            entry["sha256"] = f"{entry['sha256'] or 'none is published'}: recorded at the first download, then checked"
        for field in ("source", "sha256", "licence"):
            if entry[field]:
                wrapper = textwrap.TextWrapper(100, break_on_hyphens=False, break_long_words=False)
                wrapper.initial_indent, wrapper.subsequent_indent = f"  {field:8}", " " * 10
                print(wrapper.fill(entry[field]))
    print(NOT_PUBLIC)
    return 0
