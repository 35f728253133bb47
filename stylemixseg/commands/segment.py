"""`stylemixseg segment`: segment a photo of a face, or a generated image."""

from __future__ import annotations

import argparse
from pathlib import Path

from stylemixseg.commands.parsing import (
    METHOD_OPTIONS,
    add_detection,
    add_method,
    detection_settings,
    method_settings,
    print_notes,
)

SUMMARY = "segment a photo of a face, or a generated image"
EXAMPLES = """\
stylemixseg segment portrait.jpg --align -o out/              finds the face (extra `align`)
stylemixseg segment portrait.jpg --student -o out/            a small network gives the mask at once
stylemixseg segment portrait.jpg --student --classes -o out/  skin, hair and cloth by name, too
stylemixseg segment portrait.jpg --box 120,40,420,340 -o out/                        the head's box by hand
stylemixseg segment photos/ -o out/                           a folder; run it again to go on where it was cut
stylemixseg segment portrait.jpg --background beach.jpg --refine 100 -o out/
stylemixseg segment --generator faces --seed 7 -o out/
stylemixseg segment --seed 7 -n 8 --mask joint -o out/       eight styles are enough for a judge
stylemixseg segment --seed 7 --classes -o out/               skin, hair and cloth by name
stylemixseg segment --seed 7 --classes --features -o out/    brows, eyes, nose and mouth too
stylemixseg segment --seed 7 --mask rule -o out/             the paper's own method
stylemixseg segment --seed 7 --rule corner --resolution 512 -o out/    faster than 1024 px
stylemixseg segment --seed 7 -k 8 -o parts/                                      eyes and mouth in clusters.png
stylemixseg segment --latent w.npy -o out/                    a latent of yours, (num_ws, w_dim) float32
stylemixseg segment --generator stylegan2.pkl --seed 7 -c 8 -o out/              a checkpoint of yours
stylemixseg segment --generator toy-room --seed 7 --objects "sofa, coffee table, lamp" -o out/
stylemixseg segment --seed 7 --objects "hair, eyes, mouth" -o out/            boxes from the face parser
stylemixseg segment --seed 7 --objects "tie" --detector boxes.json -o out/    boxes of yours
"""
DESCRIPTION = """\
Give one of PHOTO, --seed and --latent.

A photo must show one face, in the frame of the generator's training photos. With --student a small network gives
its mask at once. Without it the photo is first inverted: a latent is searched whose image resembles it. One photo
fills DIR itself, several get a folder each, DIR/NAME. In the photo's pixels: mask.png (0 or 255), soft.png,
overlay.png, cutout.png (transparent) and composition.png (with --background). In the frame: crop.png and, of an
inverted photo, reconstruction.png and clusters.png. latent.npy of an inverted photo, and segmentation.json
(settings, notes, frame, rule, generator hash, timings). Outside the frame nothing is foreground. FFHQ's frame is
narrow: the head, not the shoulders.

A generated image: image.png, mask.png (0 or 255), clusters.png, overlay.png and segmentation.json. A seed means
numpy.random.RandomState(seed).randn(1, z_dim), as in the official tools.

With --objects, one mask for each object that a detector finds (section 3.3), with k = 2 and corner minority in
each box: image.png, objects.png (in colours), semantic.png, instance.png (16 bits), objects.coco.json (COCO's
format, masks as RLE) and segmentation.json (one record an object). Of a photo, boxes are looked for in the
photo and masks made on its inverted code; crop.png, reconstruction.png and latent.npy come with them.
"""
_PHOTO_OPTIONS = ("student", "align", "box", "face", "inversion", "refine", "encoder", "edges", "background")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes; the defaults are those of the settings themselves."""
    from stylemixseg.inversion.kinds import PROJECTOR_STEPS, REFINE_STEPS
    from stylemixseg.settings import ENGINES, QUERY_TRUNCATION, SegmenterConfig

    usual = SegmenterConfig()
    query = parser.add_argument_group("query image")
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
    query.add_argument(
        "--truncation", type=float, metavar="PSI", help=f"psi of a seed's latent, 0..1 ({QUERY_TRUNCATION})"
    )
    photo = parser.add_argument_group("photos only")
    frame = photo.add_mutually_exclusive_group()
    frame.add_argument("--align", action="store_true", help="find the face; else the photo counts as aligned already")
    frame.add_argument(
        "--box", type=_box, metavar="X0,Y0,X1,Y1", help="the head in the photo's pixels, down to just below the chin"
    )
    photo.add_argument(
        "--student",
        action="store_true",
        help="let a small network give the mask at once, without inversion and style mixes. It learnt from the "
        "method's own masks of synthetic faces. With --align it looks at every face",
    )
    photo.add_argument("--face", type=_face, metavar="largest|N", help="with --align: which of several, 0 on the left")
    photo.add_argument(
        "--inversion",
        choices=("encoder", "projector", "both"),
        help="a network that guesses the latent (faces only), optimisation, or one after the other (both for faces)",
    )
    photo.add_argument(
        "--refine",
        type=int,
        metavar="STEPS",
        help=f"steps of the optimisation ({REFINE_STEPS} after an encoder, else {PROJECTOR_STEPS}; 0: none)",
    )
    photo.add_argument(
        "--encoder", type=Path, metavar="FILE", help="an official ReStyle, e4e or pSp checkpoint, generator included"
    )
    photo.add_argument(
        "--edges",
        choices=("none", "guided", "grabcut"),
        help="use the photo's own pixels: guided moves the boundary a little, grabcut (needs OpenCV) draws it anew "
        "(with --mask joint grabcut where OpenCV is installed, else guided; with the paper's rules none)",
    )
    photo.add_argument("--background", type=Path, metavar="IMAGE", help="put the person before this image")
    objects = parser.add_argument_group("objects")
    objects.add_argument("--objects", metavar="PROMPT", help='what to look for: "sofa, coffee table, lamp"')
    add_detection(objects)
    method = parser.add_argument_group("method (defaults: for faces)")
    add_method(method)
    method.add_argument(
        "--mask",
        choices=("rule", "joint"),
        help="what makes the mask: the paper's rule for the image's own clusters, or our judge of pixels, which was "
        "fitted over many images without labels; there is one for faces with n 20, 8 or 4 and the other defaults "
        "(joint where it can be and no --rule is given: its masks are better and need fewer styles; else rule)",
    )
    method.add_argument(
        "--classes",
        nargs="?",
        const="",
        metavar="FILE",
        help="name the parts too: classes.png and a legend. FILE holds names of clusters, as `stylemixseg "
        "name-clusters` writes it (without FILE: background, skin, hair, cloth, for faces with n 20 or 8; needs "
        "--mask joint). Of a PHOTO with --student, without FILE",
    )
    method.add_argument(
        "--features",
        action="store_true",
        help="with --classes: name brows, eyes, nose and mouth inside the skin too, of a PHOTO as well (with "
        "--student)",
    )
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--engine", choices=ENGINES, default="auto", help="what runs the network")
    parser.add_argument(
        "--device",
        default="cpu",
        help="cpu, cuda, or cuda:1 for a second GPU: images and clusters are then made there (cpu)",
    )
    parser.add_argument(
        "--batch-size", type=int, metavar="N", help=f"images synthesised at once; more suits a GPU ({usual.batch_size})"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; gives the exit status."""
    _check_segment(args)
    settings = method_settings(args)
    objects = None
    if args.objects is not None:
        from stylemixseg.commands.objects import ObjectOptions
        from stylemixseg.export.objects import run_lengths

        run_lengths()  # what writes the COCO file: without it the work would be in vain

        objects = ObjectOptions(args.objects, **detection_settings(args))
    if not args.photos:
        return _segment_latent(args, settings, objects)
    from stylemixseg.commands.photos import PhotoOptions, segment_photos

    names = ("generator", "engine", "device", "mask", "rule", *_PHOTO_OPTIONS)
    options = PhotoOptions(
        **{name: getattr(args, name) for name in names},
        settings=settings,
        objects=objects,
        parts=args.classes is not None,
        features=args.features,
    )
    return segment_photos(args.photos, args.out, options)


def _check_segment(args) -> None:
    """Exit with status 2 when options do not go together."""
    if args.mask == "joint" and args.rule is not None:
        args.usage_error("--mask joint takes no --rule: leave one of them out")
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
    if args.classes is not None and args.student:
        if args.classes:
            args.usage_error("--student has names of its own: it takes no file of --classes")
    elif args.classes is not None:
        photos = "PHOTO (with --student it does)", args.photos or None
        for name, given_too in (("objects", args.objects), ("rule", args.rule), photos):
            if given_too is not None:
                args.usage_error(f"--classes names parts of a generated image's joint mask, it does not go with {name}")
        if args.mask == "rule":
            args.usage_error("--classes needs --mask joint, got --mask rule")
    elif args.features:
        args.usage_error("--features divides the skin of --classes: give both")
    if args.objects is None:
        if asked := list(detection_settings(args)):
            args.usage_error(f"--{asked[0]} is for --objects: say what to look for")
    elif args.mask is not None:
        args.usage_error("--mask is for whole images, it does not go with --objects")
    elif asked := [name for name in ("edges", "background") if getattr(args, name) is not None]:
        args.usage_error(f"--{asked[0]} is for one foreground, it does not go with --objects")
    if args.truncation is not None and args.seed is None:
        args.usage_error(f"--truncation is for a --seed, it does not go with {given[0]}")
    if args.student:
        if args.engine != "auto" or args.device != "cpu" or args.batch_size is not None:
            args.usage_error("--student runs on the CPU, it takes no --engine, --device or --batch-size")
        unused = ("generator", "inversion", "refine", "encoder", "edges", "mask", "rule", "objects", *METHOD_OPTIONS)
        if asked := [name for name in unused if getattr(args, name) is not None]:
            option = "-n" if asked[0] == "n" else "-k" if asked[0] == "k" else f"--{asked[0].replace('_', '-')}"
            args.usage_error(f"--student makes the mask by itself, it does not go with {option}")
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

    from stylemixseg.commands.method import choose_method
    from stylemixseg.export.images import read_latent, save_segmentation
    from stylemixseg.generators.base import seeded_latent
    from stylemixseg.generators.zoo import load_generator
    from stylemixseg.settings import QUERY_TRUNCATION

    started = time.perf_counter()
    generator = load_generator(args.generator or "faces", engine=args.engine, device=args.device)
    print_notes(generator)
    if args.latent is not None:
        ws, query = read_latent(args.latent, generator), {"latent": args.latent.name}
    else:
        truncation = QUERY_TRUNCATION if args.truncation is None else args.truncation
        ws = seeded_latent(generator, args.seed, truncation)
        query = {"seed": args.seed, "truncation": truncation}
    if objects is not None:
        from stylemixseg.commands.objects import announce, box_config
        from stylemixseg.export.objects import save_objects

        config = box_config(args.rule, settings)
        found = objects.segmenter(generator, config, args.device, ws)(ws, objects.prompt, progress=True)
        record = {"query": query, **objects.describe(generator, config)}
        print(announce(save_objects(found, args.out, record=record, seconds=time.perf_counter() - started), found))
        return 0
    segmenter, name = choose_method(generator, "joint" if args.classes is not None else args.mask, args.rule, settings)
    if args.classes is None:
        result = segmenter(ws, progress=True)
    else:
        from stylemixseg.commands.classes import NamedParts
        from stylemixseg.export.classes import save_classes

        parts = NamedParts(generator, segmenter.config, args.classes, args.features)
        summary = segmenter.summary(ws, progress=True)
        result = segmenter.from_summary(ws, summary)
        labels, classes = parts.of(summary, result)
        save_classes(labels, classes, args.out)
    folder = save_segmentation(result, args.out, query=query, seconds=time.perf_counter() - started)
    print(f"{folder}: foreground is {result.mask.mean():.0%} of the image ({name})")
    if args.classes is not None:
        print(", ".join(f"{part} {(labels == label).mean():.0%}" for label, part in enumerate(classes)))
    return 0


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
