"""`stylemixseg convert`: write a StyleGAN2 checkpoint as safetensors, which holds numbers only and loads fast."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stylemixseg.commands.parsing import FORMATS

SUMMARY = "write a StyleGAN2 checkpoint as safetensors, which holds numbers only and loads fast"
EXAMPLES = """\
stylemixseg convert stylegan2-ffhq-config-f.pkl ffhq.safetensors
stylemixseg segment --generator ffhq.safetensors --seed 7 -o out/
"""
DESCRIPTION = FORMATS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("source", type=Path, metavar="IN", help="the checkpoint")
    parser.add_argument("target", type=Path, metavar="OUT.safetensors", help="file to write")


def run(args: argparse.Namespace) -> int:
    """Run the command; gives the exit status."""
    from stylemixseg.generators.checkpoints import read_checkpoint, save_checkpoint

    if args.target.suffix != ".safetensors":
        raise ValueError(f"OUT must end in .safetensors, got {args.target.name}")
    checkpoint = read_checkpoint(args.source)
    save_checkpoint(checkpoint, args.target)
    for note in checkpoint.notes:
        print(f"note: {note}", file=sys.stderr)
    print(args.target)
    return 0
