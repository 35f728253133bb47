"""`stylemixseg synthesize`: many pairs of an image and its mask, to train on."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stylemixseg.commands.parsing import add_detection, add_method, detection_settings, method_settings, print_notes

if TYPE_CHECKING:
    from stylemixseg.factory.engines.base import Engine
    from stylemixseg.factory.recipe import Recipe

SUMMARY = "make many pairs of an image and its mask, to train on"
EXAMPLES = """\
stylemixseg synthesize pairs/ --count 1000 -n 8 --size 256    a thousand faces; run it again to go on where it was cut
stylemixseg synthesize pairs/ --count 1000 -n 8 --size 256 --workers 4 --format parquet coco
stylemixseg synthesize pairs/ --count 2000 -n 8 --size 256    a thousand more of the same set
stylemixseg synthesize pairs/ --count 2000 -n 8 --size 256 --min-agreement 0.7 --format folder    nothing is made anew
stylemixseg synthesize held-out/ --count 100 --first 900000 -n 8 --size 256    seeds of their own
stylemixseg synthesize parts/ --count 1000 -n 8 --size 256 --classes    skin, hair and cloth by name
stylemixseg synthesize parts/ --count 1000 -n 8 --size 256 --classes --features    brows, eyes, nose and mouth too
stylemixseg synthesize rooms/ --count 100 --generator toy-room --objects "sofa, lamp" --format coco
stylemixseg synthesize toys/ --count 50 --generator toy-portrait --rule corner -k 3 -n 20 --format webdataset
stylemixseg synthesize pairs/ --count 100000 -n 8 --size 256 --engine ray --workers 64    on a cluster (RAY_ADDRESS)
stylemixseg synthesize s3://bucket/pairs --count 1000000 -n 8 --size 256 --engine ray --workers 512 --format webdataset
"""
DESCRIPTION = """\
Sample i is the generator's image of seed i, made, segmented and measured with the same settings as all others. Its
bytes depend on the seed and the settings alone, not on workers, order or interruptions. Each sample is kept in
OUT/samples as soon as it is made, one file per sample, so a run that was cut off is continued by the same command, and
files that were damaged are made again. Other filters and formats than before make no sample anew.

Of each sample: image.png; mask.png (0 background, 1 foreground or more labels, 255 to be ignored because the confidence
is too near one half); soft.png (confidence times 255); with a judge rule.png (mask of the paper's rule, 0 or 255); and
what was measured: share of the mask, agreement of the paper's two rules, mean confidence. With --objects instance.png
takes the place of soft.png.

At the end OUT/samples.jsonl (one line per sample; those that a filter dropped say why), OUT/manifest.json (settings,
generator, hash, licences, versions) and per --format a folder that is complete in itself, with a data card README.md:
folder (img_dir, ann_dir: mmsegmentation), webdataset (tar files), parquet (Hugging Face's datasets), coco (COCO JSON).

OUT may be a URL of an object store, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX (extra `scale`); address and credentials
are found as s3fs and gcsfs find them (AWS_ENDPOINT_URL, AWS_PROFILE, GOOGLE_APPLICATION_CREDENTIALS, ...). Everything
has the same name there. A store has no file lock: the object .lease keeps a second run away, and that of a run that was
killed lapses after five minutes. A format is whole when its manifest.json is there.
"""
_FILTERS = ("min_agreement", "mask_share", "min_confidence")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes; the defaults are those of the settings themselves."""
    from stylemixseg.factory.formats.base import FORMATS
    from stylemixseg.settings import QUERY_TRUNCATION, SegmenterConfig

    parser.add_argument(
        "out",
        metavar="OUT",
        help="folder of the set: new, or of an earlier run; or a URL such as s3://... (extra `scale`)",
    )
    samples = parser.add_argument_group("samples")
    samples.add_argument("--count", type=int, required=True, metavar="N", help="number of samples")
    samples.add_argument("--first", type=int, default=0, metavar="SEED", help="seed of the first one (0)")
    samples.add_argument(
        "--generator",
        default="faces",
        metavar="NAME",
        help="a name that `stylemixseg generators` lists, or the path of a StyleGAN2 checkpoint (faces)",
    )
    samples.add_argument(
        "--truncation", type=float, default=QUERY_TRUNCATION, metavar="PSI", help=f"psi, 0..1 ({QUERY_TRUNCATION})"
    )
    samples.add_argument(
        "--size", type=int, metavar="PX", help="side of the written images and masks (the generator's)"
    )
    samples.add_argument(
        "--ignore",
        type=float,
        default=0.1,
        metavar="WIDTH",
        help="label 255 where the confidence is nearer to one half than this, 0..0.5 (0.1)",
    )
    method = parser.add_argument_group("method (defaults: for faces)")
    add_method(method)
    method.add_argument(
        "--mask",
        choices=("rule", "joint"),
        help="the paper's rule for clusters, or our judge of pixels, which there is for faces with n 20, 8 or 4 "
        "(joint where it can be and no --rule is given; else rule)",
    )
    method.add_argument(
        "--classes",
        nargs="?",
        const="",
        metavar="FILE",
        help="named parts in place of foreground; FILE holds names of clusters, as `stylemixseg name-clusters` writes "
        "it (without FILE: background, skin, hair, cloth, for faces with n 20 or 8)",
    )
    method.add_argument(
        "--features", action="store_true", help="with --classes: name brows, eyes, nose and mouth inside the skin too"
    )
    objects = parser.add_argument_group("objects")
    objects.add_argument(
        "--objects", metavar="PROMPT", help='masks of the objects that are named: "sofa, coffee table, lamp"'
    )
    add_detection(objects)
    filters = parser.add_argument_group("filters (they change no sample, only what the formats take)")
    filters.add_argument(
        "--min-agreement", type=float, metavar="MIOU", help="least mIoU of the paper's two rules' masks, 0..1 (none)"
    )
    filters.add_argument(
        "--mask-share", type=_two_shares, metavar="LEAST,MOST", help="share of the image that is foreground (any)"
    )
    filters.add_argument("--min-confidence", type=float, metavar="C", help="least mean confidence, 0.5..1 (none)")
    result = parser.add_argument_group("formats and work")
    result.add_argument(
        "--format", nargs="+", default=[], choices=FORMATS, metavar="NAME", help=f"of {', '.join(FORMATS)} (none)"
    )
    result.add_argument(
        "--engine",
        choices=("process", "ray"),
        default="process",
        help="processes on this machine, or a Ray cluster (extra `scale`) (process)",
    )
    result.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="W",
        help="samples made at a time, each on one core and with its own generator: as many as there are cores is "
        "good where the memory suffices, about 0.7 GB each for faces (1)",
    )
    result.add_argument(
        "--precision",
        choices=("f32", "bf16"),
        default="f32",
        help="bf16 computes images in bfloat16 where the processor does: faster, and the bytes are then those of this "
        "kind of processor (f32)",
    )
    result.add_argument("--device", default="cpu", help="cpu, cuda, ...: where images and clusters are made (cpu)")
    result.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help=f"images synthesised at once; more suits a GPU ({SegmenterConfig().batch_size})",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; gives the exit status."""
    _check(args)
    from stylemixseg.factory.filters import Filters
    from stylemixseg.factory.run import synthesize

    filters = Filters(**{name: getattr(args, name) for name in _FILTERS})
    manifest = synthesize(
        args.out,
        _recipe(args),
        args.count,
        first=args.first,
        engine=_engine(args),
        filters=filters,
        formats=tuple(dict.fromkeys(args.format)),
        progress=True,
    )
    counts = manifest["samples"]
    out = str(args.out).rstrip("/")
    print(f"{out}: {counts['kept']} pairs" + (f", {counts['dropped']} dropped" if counts["dropped"] else ""))
    for name in dict.fromkeys(args.format):
        print(f"{out}/{name}: see its README.md")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Exit with status 2 when options do not go together."""
    if args.mask == "joint" and args.rule is not None:
        args.usage_error("--mask joint takes no --rule: leave one of them out")
    if args.classes is not None:
        for name in ("objects", "rule"):
            if getattr(args, name) is not None:
                args.usage_error(f"--classes names parts of a joint mask, it does not go with --{name}")
        if args.mask == "rule":
            args.usage_error("--classes needs --mask joint, got --mask rule")
    elif args.features:
        args.usage_error("--features divides the skin of --classes: give both")
    if args.objects is None:
        if asked := list(detection_settings(args)):
            args.usage_error(f"--{asked[0]} is for --objects: say what to look for")
    elif args.mask is not None:
        args.usage_error("--mask is for whole images, it does not go with --objects")


def _recipe(args: argparse.Namespace) -> Recipe:
    """How samples are made, from the options. The generator is loaded to find out whether a judge fits it."""
    from stylemixseg.commands.method import choose_method
    from stylemixseg.factory.recipe import Recipe
    from stylemixseg.generators.zoo import load_generator

    settings = method_settings(args)
    written: dict[str, Any] = {"truncation": args.truncation, "size": args.size, "ignore": args.ignore}
    written["engine"] = "openvino-bf16" if args.precision == "bf16" else "auto"
    if args.objects is not None:
        from stylemixseg.commands.objects import ObjectOptions, box_config

        objects = ObjectOptions(args.objects, **detection_settings(args))
        return Recipe(args.generator, box_config(args.rule, settings), objects=objects, **written)
    generator = load_generator(args.generator, device=args.device)
    print_notes(generator)
    mask = "joint" if args.classes is not None else args.mask
    segmenter, _ = choose_method(generator, mask, args.rule, settings)
    recipe = Recipe(args.generator, segmenter.config, **written)
    if args.classes is None:
        return recipe
    from stylemixseg.commands.classes import named_clusters, named_features

    _, classes = named_clusters(generator, segmenter.config, args.classes)
    if not args.features:
        return replace(recipe, classes=classes)
    _, features = named_features(generator, segmenter.config, classes, args.classes)
    return replace(recipe, classes=classes, features=features)


def _engine(args: argparse.Namespace) -> Engine:
    if args.engine == "ray":
        from stylemixseg.factory.engines.raydata import RayEngine

        return RayEngine(args.workers)
    from stylemixseg.factory.engines.process import ProcessEngine

    return ProcessEngine(args.workers)


def _two_shares(text: str) -> tuple[float, float]:
    try:
        least, most = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be two numbers LEAST,MOST, got {text!r}") from None
    return least, most
