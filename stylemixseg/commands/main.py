"""The command line: `stylemixseg fetch | generators | inspect | convert | segment | reproduce | ledger | spot-check`."""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
import warnings
from pathlib import Path

# Only what `--help` needs is imported here; torch and faiss take seconds.
from stylemixseg import __version__
from stylemixseg._util.streams import unfailing_streams, unprinted

DEFAULT_RESULTS = Path("book/results")
_FORMATS = """
    Formats, found from the content: NVIDIA's PyTorch and TensorFlow pickles, rosinality's .pt (pSp, e4e and ReStyle
    files too), this package's safetensors. Nothing in the file is run.
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command. Exit status: 0 done, 1 it failed (one line says why), 2 wrong usage, 130 interrupted."""
    with unfailing_streams() as (out, _):
        status = _run(sys.argv[1:] if argv is None else argv)
        if problem := unprinted(out):
            print(f"stylemixseg: {problem}", file=sys.stderr)
            status = status or 1
    return status


def _run(argv: list[str]) -> int:
    args = _parser().parse_args(_boxes_joined(argv))
    usual = warnings.formatwarning
    warnings.formatwarning = lambda message, *_: f"note: {message}\n"  # no place in the code: users look for advice
    try:
        return args.run(args) or 0
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


def _parser() -> argparse.ArgumentParser:
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

    fetch = _command(
        commands,
        "fetch",
        _fetch,
        "get a generator's weights into your cache",
        """
        stylemixseg fetch faces
        stylemixseg fetch faces --wheel random_face-2021.7.21.1-py3-none-any.whl    no network needed
        stylemixseg fetch ffhq-1024                   an official StyleGAN2; shows its licence, goes on where it was cut
        stylemixseg fetch ffhq-1024 --file stylegan2-ffhq-config-f.pkl              no network needed
        """,
        """
        Official checkpoints are read without running anything in them and converted to safetensors. No hash of them is
        published: the first one is recorded, and every later one must be the same.
        """,
    )
    fetch.add_argument("name", metavar="GENERATOR", help="a name that `stylemixseg generators` lists")
    fetch.add_argument("--wheel", type=Path, help="faces: take the package from this file, do not download it")
    fetch.add_argument("--file", type=Path, help="official checkpoint: take it from this file, do not download it")
    fetch.add_argument("--accept-licence", action="store_true", help="you have read the licence and accept it")
    fetch.add_argument("--keep", action="store_true", help="keep the downloaded checkpoint beside the converted one")

    generators = _command(
        commands,
        "generators",
        _generators,
        "list the generators: domain, size, source, hash, licence",
        "stylemixseg generators --json",
    )
    generators.add_argument("--json", action="store_true", help="as JSON")

    inspect = _command(
        commands,
        "inspect",
        _inspect,
        "say what a StyleGAN2 checkpoint holds, without running anything in it",
        """
        stylemixseg inspect stylegan2-ffhq-config-f.pkl
        stylemixseg inspect model.pt --json
        """,
        _FORMATS,
    )
    inspect.add_argument("file", type=Path, metavar="FILE", help="the checkpoint")
    inspect.add_argument("--json", action="store_true", help="as JSON")

    convert = _command(
        commands,
        "convert",
        _convert,
        "write a StyleGAN2 checkpoint as safetensors, which holds numbers only and loads fast",
        """
        stylemixseg convert stylegan2-ffhq-config-f.pkl ffhq.safetensors
        stylemixseg segment --generator ffhq.safetensors --seed 7 -o out/
        """,
        _FORMATS,
    )
    convert.add_argument("source", type=Path, metavar="IN", help="the checkpoint")
    convert.add_argument("target", type=Path, metavar="OUT.safetensors", help="file to write")

    segment = _command(
        commands,
        "segment",
        _segment,
        "segment a photo of a face, or a generated image",
        """
        stylemixseg segment portrait.jpg --align -o out/              finds the face (extra `align`)
        stylemixseg segment portrait.jpg --box 120,40,420,340 -o out/                        the head's box by hand
        stylemixseg segment photos/ -o out/                           a folder; run it again to go on where it was cut
        stylemixseg segment portrait.jpg --background beach.jpg --refine 100 -o out/
        stylemixseg segment --generator faces --seed 7 -o out/
        stylemixseg segment --seed 7 --rule corner --resolution 512 -o out/    faster than 1024 px
        stylemixseg segment --seed 7 -k 8 -o parts/                                      eyes and mouth in clusters.png
        stylemixseg segment --latent w.npy -o out/                    a latent of yours, (num_ws, w_dim) float32
        stylemixseg segment --generator stylegan2.pkl --seed 7 -c 8 -o out/              a checkpoint of yours
        stylemixseg segment --generator toy-room --seed 7 --objects "sofa, coffee table, lamp" -o out/
        stylemixseg segment --seed 7 --objects "hair, eyes, mouth" -o out/            boxes from the face parser
        stylemixseg segment --seed 7 --objects "tie" --detector boxes.json -o out/    boxes of yours
        """,
        """
        Give one of PHOTO, --seed and --latent.

        A photo is first inverted: a latent is searched whose image resembles it. The generator must know its kind, so
        the photo must show one face, in the frame of the generator's training photos. One photo fills DIR itself,
        several get a folder each, DIR/NAME. In the photo's pixels: mask.png (0 or 255), soft.png, overlay.png,
        cutout.png (transparent) and composition.png (with --background). In the frame: crop.png, reconstruction.png
        and clusters.png. And latent.npy, segmentation.json (settings, notes, frame, rule, generator hash, timings).
        Outside the frame nothing is foreground. FFHQ's frame is narrow: the head, not the shoulders.

        A generated image: image.png, mask.png (0 or 255), clusters.png, overlay.png and segmentation.json. A seed means
        numpy.random.RandomState(seed).randn(1, z_dim), as in the official tools.

        With --objects, one mask for each object that a detector finds (section 3.3), with k = 2 and corner minority in
        each box: image.png, objects.png (in colours), semantic.png, instance.png (16 bits), objects.coco.json (COCO's
        format, masks as RLE) and segmentation.json (one record an object). Of a photo, boxes are looked for in the
        photo and masks made on its inverted code; crop.png, reconstruction.png and latent.npy come with them.
        """,
    )
    segment.set_defaults(usage_error=segment.error)
    query = segment.add_argument_group("query image")
    query.add_argument("photos", nargs="*", default=[], type=Path, metavar="PHOTO", help="photos, or folders of photos")
    query.add_argument("--seed", type=int, help="seed of the query's latent z")
    query.add_argument(
        "--latent",
        type=Path,
        metavar="FILE",
        help=".npy, .npz (w of NVIDIA's projector) or .pt with ws, (num_ws, w_dim) or (1, num_ws, w_dim)",
    )
    query.add_argument(
        "--generator",
        metavar="NAME",
        help="a name that `stylemixseg generators` lists, or the path of a StyleGAN2 checkpoint (faces)",
    )
    query.add_argument("--truncation", type=float, metavar="PSI", help="psi of a seed's latent, 0..1 (0.7)")
    photo = segment.add_argument_group("photos only")
    frame = photo.add_mutually_exclusive_group()
    frame.add_argument("--align", action="store_true", help="find the face; else the photo counts as aligned already")
    frame.add_argument(
        "--box", type=_box, metavar="X0,Y0,X1,Y1", help="the head in the photo's pixels, down to just below the chin"
    )
    photo.add_argument("--face", type=_face, metavar="largest|N", help="with --align: which of several, 0 on the left")
    photo.add_argument(
        "--inversion",
        choices=("encoder", "projector", "both"),
        help="a network that guesses the latent (faces only), optimisation, or one after the other (both for faces)",
    )
    photo.add_argument(
        "--refine", type=int, metavar="STEPS", help="steps of the optimisation (30 after an encoder, else 60; 0: none)"
    )
    photo.add_argument(
        "--encoder", type=Path, metavar="FILE", help="an official ReStyle, e4e or pSp checkpoint, generator included"
    )
    photo.add_argument(
        "--edges",
        choices=("none", "guided", "grabcut"),
        help="use the photo's own pixels: guided moves the boundary a little, grabcut (needs OpenCV) draws it anew (with "
        "the discriminant grabcut where OpenCV is installed, else guided; with the paper's rules none)",
    )
    photo.add_argument("--background", type=Path, metavar="IMAGE", help="put the person before this image")
    objects = segment.add_argument_group("objects")
    objects.add_argument("--objects", metavar="PROMPT", help='what to look for: "sofa, coffee table, lamp"')
    objects.add_argument(
        "--detector",
        metavar="NAME|PATH",
        help="what finds the boxes: truth (toy world), face-parts (face parser), coco-ssd (80 classes), grounding-dino, "
        "grounding-dino-base or owlv2 (any words; extra `detectors`), a folder with such a model, or a .json file of "
        "boxes in the pixels of image.png, of a photo crop.png (truth in the toy world, face-parts for parts of a face, "
        "else grounding-dino)",
    )
    objects.add_argument("--threshold", type=float, metavar="T", help="least score of a box, 0..1 (0.3)")
    objects.add_argument(
        "--margin", type=float, metavar="SHARE", help="widen a box on each side by this share of it, 0..1 (0.1)"
    )
    method = segment.add_argument_group("method (defaults: for faces)")
    method.add_argument("-n", type=int, help="number of style latents (50)")
    method.add_argument("-c", "--cutoff", type=int, help="layers from c on take the style, 0..num_ws (6)")
    method.add_argument("-k", type=int, help="number of clusters (4; of an object's box 2)")
    method.add_argument("--color-space", choices=("lab", "rgb"), help="colours that are clustered (lab)")
    method.add_argument(
        "--rule",
        choices=("saliency", "corner", "discriminant"),
        help="what is foreground: the paper's rules for clusters, or our discriminant for pixels, which is for faces "
        "with n 50 or 20 and the other defaults (photos: the discriminant where it can be, else saliency; generated "
        "images: saliency; objects: corner, with all four corners)",
    )
    method.add_argument("--resolution", type=int, metavar="PX", help="side at which pixels are clustered (native)")
    method.add_argument("--style-seed", type=int, help="seed of the style latents (2023)")
    segment.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    segment.add_argument(
        "--engine", choices=("auto", "torch", "openvino"), default="auto", help="what runs the network"
    )
    segment.add_argument(
        "--device",
        default="cpu",
        help="cpu, cuda, or cuda:1 for a second GPU: images and clusters are then made there (cpu)",
    )
    segment.add_argument("--batch-size", type=int, metavar="N", help="images synthesised at once; more suits a GPU (1)")

    reproduce = _command(
        commands,
        "reproduce",
        _reproduce,
        "measure one table of the paper and write its result file",
        """
        stylemixseg reproduce table1 --profile cpu      minutes on two cores
        stylemixseg reproduce table4 --profile full     hours; may be interrupted, goes on where it was
        """,
        """
        Tables: table1 (FFHQ column, our row), table1_photos (CelebAMask-HQ column), table4 (cutoff by k by colour space);
        and of our own, in place of Table 2: objects (rooms of the toy world), parts (of a face), detectors (horses).
        """,
    )
    reproduce.add_argument("table", metavar="TABLE", help="table1, table1_photos, table4, objects, parts or detectors")
    _profile_and_results(reproduce)

    ledger = _command(
        commands,
        "ledger",
        _ledger,
        "show the paper's numbers beside the ones measured here, or check the measured ones",
        """
        stylemixseg ledger                              the whole ledger as Markdown
        stylemixseg ledger --check --profile cpu        compare a run with the committed expectations
        """,
    )
    action = ledger.add_mutually_exclusive_group()
    action.add_argument(
        "--check", action="store_true", help="compare with the expectations; exit status 1 if one fails"
    )
    action.add_argument(
        "--update-expectations", action="store_true", help="take the profile's measured numbers as new expectations"
    )
    ledger.add_argument(
        "--experiment",
        action="append",
        metavar="NAME",
        help="with --check: only what this experiment measured, e.g. table1",
    )
    _profile_and_results(ledger)

    spot = _command(
        commands,
        "spot-check",
        _spot_check,
        "compute a few images of a committed run again, and compare their scores",
        """
        stylemixseg spot-check --profile full           about two minutes on two cores
        stylemixseg spot-check --profile full --key another
        """,
        """
        A long run is not repeated for every change, but the scores of each of its images are kept. Some images are
        drawn from the commit, so every commit tests others, and computed again from nothing. Exit status 1 if a score
        has moved. What needs data that are not on this machine is left out, and said.
        """,
    )
    spot.add_argument("--key", help="what the images are drawn from (the commit)")
    _profile_and_results(spot, profile="full")
    return parser


def _command(commands, name: str, run, summary: str, examples: str, description: str = "") -> argparse.ArgumentParser:
    text = f"{summary[0].upper()}{summary[1:]}.\n\n{textwrap.dedent(description).strip()}".strip()
    parser = commands.add_parser(
        name,
        help=summary,
        description=text,
        epilog=_example(examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _example(text: str) -> str:
    return "examples:\n" + textwrap.indent(textwrap.dedent(text).strip(), "  ")


def _profile_and_results(parser: argparse.ArgumentParser, profile: str = "cpu") -> None:
    parser.add_argument("--profile", default=profile, help=f"size of the run: smoke, cpu, full or paper ({profile})")
    parser.add_argument(
        "--results",
        type=Path,
        default=DEFAULT_RESULTS,
        metavar="DIR",
        help=f"folder of all results ({DEFAULT_RESULTS})",
    )


def _fetch(args) -> None:
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


def _generators(args) -> None:
    from stylemixseg.generators.official import NOT_PUBLIC, OFFICIAL, recorded_sha256
    from stylemixseg.generators.zoo import CATALOGUE

    fields = ("domain", "resolution", "num_ws", "source", "sha256", "licence")
    entries = {name: {field: getattr(entry, field) for field in fields} for name, entry in CATALOGUE.items()}
    for name in OFFICIAL:
        entries[name]["sha256"] = recorded_sha256(name)
    if args.json:
        print(json.dumps(entries, indent=1))
        return
    for name, entry in entries.items():
        print(f"{name}: {entry['domain']}, {entry['resolution']} px, num_ws {entry['num_ws']}")
        if name in OFFICIAL:
            entry["sha256"] = f"{entry['sha256'] or 'none is published'}: recorded at the first download, then checked"
        for field in ("source", "sha256", "licence"):
            if entry[field]:
                indents = {"initial_indent": f"  {field:8}", "subsequent_indent": " " * 10}
                print(textwrap.fill(entry[field], 100, break_on_hyphens=False, break_long_words=False, **indents))
    print(NOT_PUBLIC)


def _inspect(args) -> None:
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
        return
    facts["channels"] = ", ".join(f"{count} at {4 << i} px" for i, count in enumerate(architecture.channels))
    facts["licence"] = facts["licence"] or "unknown; ask whoever published the file"
    for name, value in facts.items():
        for line in value if isinstance(value, list) else [value]:
            print(textwrap.fill(str(line), 100, initial_indent=f"{name:15}", subsequent_indent=" " * 15))


def _convert(args) -> None:
    from stylemixseg.generators.checkpoints import read_checkpoint, save_checkpoint

    if args.target.suffix != ".safetensors":
        raise ValueError(f"OUT must end in .safetensors, got {args.target.name}")
    checkpoint = read_checkpoint(args.source)
    save_checkpoint(checkpoint, args.target)
    for note in checkpoint.notes:
        print(f"note: {note}", file=sys.stderr)
    print(args.target)


def _segment(args) -> int:
    _check_segment(args)
    names = ("n", "cutoff", "k", "color_space", "resolution", "style_seed", "device", "batch_size")
    settings = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    objects = None
    if args.objects is not None:
        from stylemixseg.commands.objects import ObjectOptions

        given = {name: getattr(args, name) for name in _OBJECT_OPTIONS if getattr(args, name) is not None}
        objects = ObjectOptions(args.objects, **given)
    if not args.photos:
        return _segment_latent(args, settings, objects)
    from stylemixseg.commands.photos import PhotoOptions, segment_photos

    names = ("generator", "engine", "device", "rule", *_PHOTO_OPTIONS)
    options = PhotoOptions(**{name: getattr(args, name) for name in names}, settings=settings, objects=objects)
    return segment_photos(args.photos, args.out, options)


_OBJECT_OPTIONS = ("detector", "threshold", "margin")
_PHOTO_OPTIONS = ("align", "box", "face", "inversion", "refine", "encoder", "edges", "background")


def _check_segment(args) -> None:
    """Exit with status 2 when options do not go together."""
    given = [
        name
        for name, value in (("PHOTO", args.photos or None), ("--seed", args.seed), ("--latent", args.latent))
        if value is not None
    ]
    if len(given) != 1:
        args.usage_error(f"give one of PHOTO, --seed and --latent, got {' and '.join(given) or 'none'}")
    # by identity: --refine 0 is given, and equals False
    asked = [name for name in _PHOTO_OPTIONS if getattr(args, name) is not None and getattr(args, name) is not False]
    if asked and not args.photos:
        args.usage_error(f"--{asked[0]} is for a PHOTO, it does not go with {given[0]}")
    if args.objects is None:
        if asked := [name for name in _OBJECT_OPTIONS if getattr(args, name) is not None]:
            args.usage_error(f"--{asked[0]} is for --objects: say what to look for")
    elif args.rule == "discriminant":
        args.usage_error("--rule discriminant judges whole images, it does not go with --objects")
    elif asked := [name for name in ("edges", "background") if getattr(args, name) is not None]:
        args.usage_error(f"--{asked[0]} is for one foreground, it does not go with --objects")
    if args.truncation is not None and args.seed is None:
        args.usage_error(f"--truncation is for a --seed, it does not go with {given[0]}")
    if args.face is not None and not args.align:
        args.usage_error("--face chooses among the faces that --align finds: give both")
    if args.refine is not None and args.refine < 0:
        args.usage_error(f"--refine must be at least 0, got {args.refine}")
    if args.inversion == "encoder" and args.refine:
        args.usage_error("--inversion encoder has no steps: leave out --refine, or take --inversion both")
    if args.inversion in ("projector", "both") and args.refine == 0:
        args.usage_error(f"--inversion {args.inversion} needs steps, got --refine 0; --inversion encoder has none")
    if args.encoder and args.inversion == "projector":
        args.usage_error("--inversion projector uses no encoder: leave out --encoder, or take --inversion both")


def _segment_latent(args, settings: dict, objects) -> int:
    import time

    from stylemixseg.commands.photos import choose_method
    from stylemixseg.export.images import read_latent, save_segmentation
    from stylemixseg.generators.base import seeded_z
    from stylemixseg.generators.zoo import load_generator

    started = time.perf_counter()
    generator = load_generator(args.generator or "faces", engine=args.engine, device=args.device)
    for note in getattr(generator, "notes", ()):
        print(f"note: {note}", file=sys.stderr)
    if args.latent is not None:
        ws, query = read_latent(args.latent, generator), {"latent": args.latent.name}
    else:
        truncation = 0.7 if args.truncation is None else args.truncation
        ws = generator.mapping(seeded_z(args.seed, generator.z_dim).to(generator.w_avg), truncation)
        query = {"seed": args.seed, "truncation": truncation}
    if objects is not None:
        from stylemixseg.commands.objects import announce, box_config
        from stylemixseg.export.objects import save_objects

        config = box_config(args.rule, settings)
        found = objects.segmenter(generator, config, args.device, ws)(ws, objects.prompt, progress=True)
        record = {"query": query, **objects.describe(generator, config)}
        print(announce(save_objects(found, args.out, record=record, seconds=time.perf_counter() - started), found))
        return 0
    segmenter, _ = choose_method(generator, args.rule or "saliency", settings)
    result = segmenter(ws, progress=True)
    folder = save_segmentation(result, args.out, query=query, seconds=time.perf_counter() - started)
    print(f"{folder}: foreground is {result.mask.mean():.0%} of the image")
    return 0


def _boxes_joined(argv: list[str]) -> list[str]:
    """`--box -20,...` as `--box=-20,...`: a value that begins with a minus is taken for an option otherwise."""
    joined = []
    for argument in argv:
        if joined and joined[-1] in ("--box", "--bo") and re.match(r"-[\d.]", argument):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _box(text: str) -> tuple[float, float, float, float]:
    try:
        x0, y0, x1, y1 = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be four numbers X0,Y0,X1,Y1, got {text!r}") from None
    return x0, y0, x1, y1


def _face(text: str) -> int | str:
    if text == "largest":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be 'largest' or a number from 0, got {text!r}") from None


def _reproduce(args) -> None:
    from stylemixseg.evaluation.results import measurements
    from stylemixseg.evaluation.tables import measured_text
    from stylemixseg.experiments.reproduce import reproduce

    path = reproduce(args.table, args.profile, args.results)
    for item in measurements(path).values():
        print(f"{item.name:50} {measured_text(item)}")
    print(path)


def _ledger(args) -> int:
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
    return _report(rows, f"profile {args.profile}")


def _spot_check(args) -> int:
    from stylemixseg.evaluation.provenance import revision
    from stylemixseg.experiments.spotcheck import spot_check, write_spot_check

    found = spot_check(args.profile, args.results, args.key or revision())
    for table, reason in found.left_out.items():
        print(f"left out: {table}: {reason}")
    status = _report(found.rows, f"spot check of profile {args.profile}, drawn from {found.key[:12]}")
    print(write_spot_check(found, args.results))
    return status


def _report(rows, what: str) -> int:
    """Print the means, the single images that moved too far, and how many are as expected; exit status 1 if one is not."""
    for row in rows:
        if row.image is None or not row.ok:
            mark, name = ("ok  " if row.ok else "FAIL"), row.name + (f", {row.image}" if row.image else "")
            numbers = f"measured {row.measured:.4f}  expected {row.expected:.4f} +- {row.tolerance:.4f}"
            print(f"{mark} {name:60} {numbers}")
    means, images = ([row for row in rows if (row.image is None) == kind] for kind in (True, False))
    counts = [
        f"{sum(row.ok for row in group)} of {len(group)} {words}"
        for group, words in ((means, "means"), (images, "scores of single images"))
        if group
    ]
    print(f"{what}: {' and '.join(counts)} as expected")
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
