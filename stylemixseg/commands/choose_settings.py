"""`stylemixseg choose-settings`: find the cutoff and the number of clusters for a generator, without a reference."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from shlex import quote

from stylemixseg.commands.parsing import print_notes

SUMMARY = "find the cutoff c and the number of clusters k for a generator, without labels"
EXAMPLES = """\
stylemixseg choose-settings --generator stylegan2.pkl
stylemixseg choose-settings --generator faces --cutoffs 4 6 8 12 -k 2 3 4 6 --images 10 -o stability.json
"""
DESCRIPTION = """\
The styles are split into two halves, and each half clusters the same images by itself. For each c and k the table
shows how well the two cluster maps agree (adjusted Rand index, 1: equal, 0: by chance). For each c the k that agrees
best is taken, and then the c at which the clusters of one half explain most of the colours' movement under the other
half (last column, in squared colour units): a high cutoff leaves little movement, and a low one moves the image's
structure too. Stable clusters need not be the ones you want, so look at a few images with the settings that the
command prints.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "--generator",
        default="faces",
        metavar="NAME",
        help="a name that `stylemixseg generators` lists, or the path of a StyleGAN2 checkpoint (faces)",
    )
    parser.add_argument("--cutoffs", type=int, nargs="+", metavar="C", help="cutoffs to try (every second one)")
    parser.add_argument(
        "-k", type=int, nargs="+", default=[2, 3, 4, 6], metavar="K", help="numbers of clusters (2 3 4 6)"
    )
    parser.add_argument("--images", type=int, default=6, metavar="N", help="how many images to look at (6)")
    parser.add_argument("--seed", type=int, default=0, help="of the first image (0)")
    parser.add_argument("-n", type=int, default=20, help="number of style latents, at least 4 (20)")
    parser.add_argument(
        "--resolution",
        type=int,
        metavar="PX",
        help="side of the clustered images (128, or less)",
    )
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="write the numbers of all images as JSON too")


def run(args: argparse.Namespace) -> int:
    """Run the command; gives the exit status."""
    from stylemixseg._util.checks import check_int
    from stylemixseg._util.outputs import write_record
    from stylemixseg.generators.base import seeded_latent
    from stylemixseg.generators.zoo import load_generator
    from stylemixseg.joint.stability import measure_stability
    from stylemixseg.settings import QUERY_TRUNCATION, SegmenterConfig

    check_int("--images", args.images, 1)
    if args.out and args.out.is_dir():
        raise IsADirectoryError(f"--out must name a file, got the folder {args.out}")
    generator = load_generator(args.generator)
    print_notes(generator)
    cutoffs = list(dict.fromkeys(args.cutoffs or range(2, generator.num_ws, 2)))
    ks = list(dict.fromkeys(args.k))
    config = SegmenterConfig(n=args.n, resolution=args.resolution or min(128, generator.resolution))
    seeds = range(args.seed, args.seed + args.images)
    latents = [seeded_latent(generator, seed, QUERY_TRUNCATION) for seed in seeds]
    found = measure_stability(generator, latents, config, cutoffs, ks, progress=sys.stderr.isatty())
    print("c \\ k " + "".join(f"{k:>6}" for k in ks) + "   best k   explained")
    for cutoff in cutoffs:
        k = found.chosen_k(cutoff)
        agreements = "".join(f"{found.agreement(cutoff, k):>6.2f}" for k in ks)
        print(f"{cutoff:>5} {agreements} {k:>8} {found.explained(cutoff, k):>11.1f}")
    cutoff = found.chosen_cutoff()
    k = found.chosen_k(cutoff)
    print(f"chosen: -c {cutoff} -k {k}")
    if cutoff in (min(cutoffs), max(cutoffs)):
        print("note: this is the lowest or the highest cutoff that was tried; --cutoffs tries others", file=sys.stderr)
    query = f"--generator {quote(args.generator)} --seed {args.seed}"
    print(f"try them: stylemixseg segment {query} -c {cutoff} -k {k} -o out/")
    if args.out:
        record = {
            "generator": {"name": generator.name, "sha256": generator.digest},
            "settings": config.describe(),
            "seeds": [seeds[0], seeds[-1]],
            "halves": {f"c{c}.k{k}": [item._asdict() for item in items] for (c, k), items in found.halves.items()},
            "chosen": {"cutoff": cutoff, "k": k},
        }
        write_record(args.out, record)
        print(args.out)
    return 0
