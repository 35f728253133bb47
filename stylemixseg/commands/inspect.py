"""`stylemixseg inspect`: say what a StyleGAN2 checkpoint holds, without running anything in it."""

from __future__ import annotations

import argparse
import json
import textwrap
from pathlib import Path

from stylemixseg.commands.parsing import FORMATS

SUMMARY = "say what a StyleGAN2 checkpoint holds, without running anything in it"
EXAMPLES = """\
stylemixseg inspect stylegan2-ffhq-config-f.pkl
stylemixseg inspect model.pt --json
"""
DESCRIPTION = FORMATS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the checkpoint")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the command; gives the exit status."""
    from dataclasses import asdict

    from stylemixseg.generators.checkpoints import read_checkpoint

    checkpoint = read_checkpoint(args.file)
    architecture = checkpoint.architecture
    facts = {
        "format": checkpoint.format,
        "resolution": architecture.resolution,
        "num_ws": architecture.num_ws,
        **asdict(architecture),
        "parameters": sum(value.numel() for value in checkpoint.weights.values()),
        "licence": checkpoint.licence,
        "sha256": checkpoint.sha256,
        "notes": list(checkpoint.notes),
    }
    if args.json:
        print(json.dumps(facts, indent=1))
        return 0
    facts["channels"] = ", ".join(f"{count} at {4 << i} px" for i, count in enumerate(architecture.channels))
    facts["licence"] = facts["licence"] or "unknown; ask whoever published the file"
    for name, value in facts.items():
        for line in value if isinstance(value, list) else [value]:
            print(textwrap.fill(str(line), 100, initial_indent=f"{name:15}", subsequent_indent=" " * 15))
    return 0
