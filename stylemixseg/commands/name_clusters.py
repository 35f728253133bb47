"""`stylemixseg name-clusters`: see what each of the shared clusters shows, and give it a name."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

SUMMARY = "show the clusters that all images of a generator share, and name them"
EXAMPLES = """\
stylemixseg name-clusters -o names/                        clusters.png: examples of each; names.json: names to edit
stylemixseg name-clusters -o names/ --name face=0,2,5 --name "hair or hat=1,3" --name rest=4,6,7,8,9,10,11
stylemixseg segment --seed 7 --classes names/names.json -o out/
"""
DESCRIPTION = """\
The clusters were found among the pixels of many images, so a name that is given once holds for every image.
clusters.png has one row for each cluster: its number, its name, and images in which only its pixels are bright.
names.json has the names; edit it, or give them with --name, and pass it to `stylemixseg segment --classes`.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("--generator", default="faces", metavar="NAME", help="whose clusters (faces)")
    parser.add_argument("-n", type=int, default=8, help="number of styles: 8 is quicker than 20 (8)")
    parser.add_argument("--seed", type=int, default=0, help="of the first example image (0)")
    parser.add_argument("--examples", type=int, default=6, metavar="N", help="example images (6)")
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        type=_named,
        metavar="NAME=NUMBERS",
        help="a name and its clusters, such as hair=1,4; once for each name; labels follow the order of the names "
        "(without any: the names that come with the clusters)",
    )
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="folder for the two files")


def run(args: argparse.Namespace) -> int:
    """Run the command; gives the exit status."""
    from tqdm import tqdm

    from stylemixseg._util.checks import check_int
    from stylemixseg._util.outputs import write_picture, write_record
    from stylemixseg.commands.method import choose_method
    from stylemixseg.generators.base import seeded_latent
    from stylemixseg.generators.zoo import load_generator
    from stylemixseg.joint.classes import ClusterNames, load_clusters
    from stylemixseg.settings import QUERY_TRUNCATION
    from stylemixseg.viz.clustersheet import cluster_sheet

    check_int("--examples", args.examples, 1, 24)
    generator = load_generator(args.generator)
    segmenter, _ = choose_method(generator, "joint", None, {"n": args.n})
    clusters, names = load_clusters(generator, segmenter.config)
    if args.name:
        if len(args.name) != len(given := dict(args.name)):
            raise ValueError("--name must give each name once: list all its clusters in one --name")
        names = ClusterNames.of(given, clusters.k)
    shown = []
    for seed in tqdm(range(args.seed, args.seed + args.examples), desc="examples", unit="image", file=sys.stderr):
        ws = seeded_latent(generator, seed, QUERY_TRUNCATION)
        summary = segmenter.summary(ws)
        found = segmenter.from_summary(ws, summary)
        shown.append((found.image, found.mask, clusters.assign(summary)))
    write_picture(args.out / "clusters.png", cluster_sheet(shown, names))
    write_record(args.out / "names.json", {"generator": generator.digest, "names": names.named()})
    print(
        f"{args.out / 'clusters.png'}: look at it; {args.out / 'names.json'}: edit it, then segment --classes with it"
    )
    return 0


def _named(text: str) -> tuple[str, list[int]]:
    name, equals, numbers = text.partition("=")
    try:
        if not name.strip() or not equals:
            raise ValueError
        return name.strip(), [int(number) for number in numbers.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be NAME=NUMBER,NUMBER,..., got {text!r}") from None
