"""What several commands have in common."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

DEFAULT_RESULTS = Path("book/results")
FORMATS = """\
Formats, found from the content: NVIDIA's PyTorch and TensorFlow pickles, rosinality's .pt (pSp, e4e and ReStyle
files too), this package's safetensors. Nothing in the file is run.
"""
DETECTION_OPTIONS = ("detector", "threshold", "margin")  # that say how objects are found
METHOD_OPTIONS = ("n", "cutoff", "k", "color_space", "resolution", "style_seed")  # what `add_method` adds, less --rule


def add_profile_and_results(parser: argparse.ArgumentParser, profile: str = "cpu") -> None:
    """Add the options `--profile` and `--results`."""
    parser.add_argument("--profile", default=profile, help=f"size of the run: smoke, cpu, full or paper ({profile})")
    parser.add_argument(
        "--results",
        type=Path,
        default=DEFAULT_RESULTS,
        metavar="DIR",
        help=f"folder of all results ({DEFAULT_RESULTS})",
    )


def add_method(group: argparse._ArgumentGroup) -> None:
    """Add the settings of the method; the defaults are those of the settings themselves."""
    from stylemixseg.settings import BOX_CONFIG, JUDGE_STYLES, SegmenterConfig

    usual = SegmenterConfig()
    group.add_argument("-n", type=int, help=f"number of style latents ({usual.n}; with --mask joint {JUDGE_STYLES})")
    group.add_argument("-c", "--cutoff", type=int, help=f"layers from c on take the style, 0..num_ws ({usual.cutoff})")
    group.add_argument("-k", type=int, help=f"number of clusters ({usual.k}; of an object's box {BOX_CONFIG.k})")
    group.add_argument(
        "--color-space", choices=("lab", "rgb"), help=f"colours that are clustered ({usual.color_space})"
    )
    group.add_argument(
        "--rule",
        choices=("saliency", "corner"),
        help="the paper's rule for clusters (saliency; objects: corner, with all four corners)",
    )
    group.add_argument(
        "--resolution",
        type=int,
        metavar="PX",
        help="side at which pixels are clustered (native; with --mask joint 256)",
    )
    group.add_argument("--style-seed", type=int, help=f"seed of the style latents ({usual.style_seed})")


def print_notes(generator: object) -> None:
    """Tell the user what a generator says of itself, if it says anything: what was guessed of a checkpoint, for one."""
    for note in getattr(generator, "notes", ()):
        print(f"note: {note}", file=sys.stderr)


def detection_settings(args: argparse.Namespace) -> dict[str, Any]:
    """What was given of `DETECTION_OPTIONS`, by the names of `ObjectOptions`."""
    return {name: getattr(args, name) for name in DETECTION_OPTIONS if getattr(args, name) is not None}


def method_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The settings of `SegmenterConfig` that were given, by its names; --device and --batch-size are among them."""
    return {
        name: getattr(args, name)
        for name in (*METHOD_OPTIONS, "device", "batch_size")
        if getattr(args, name) is not None
    }


def add_detection(group: argparse._ArgumentGroup) -> None:
    """Add what says how the objects of `--objects` are found."""
    from stylemixseg.objects.detection.filtering import DetectionFilter
    from stylemixseg.settings import MARGIN

    group.add_argument(
        "--detector",
        metavar="NAME|PATH",
        help="what finds the boxes: truth (toy world), face-parts (face parser), coco-ssd (80 classes), "
        "grounding-dino, grounding-dino-base or owlv2 (any words; extra `detectors`), a folder with such a model, or a "
        ".json file of boxes in the pixels of image.png, of a photo crop.png (truth in the toy world, "
        "face-parts for parts of a face, else grounding-dino)",
    )
    group.add_argument(
        "--threshold", type=float, metavar="T", help=f"least score of a box, 0..1 ({DetectionFilter().threshold})"
    )
    group.add_argument(
        "--margin", type=float, metavar="SHARE", help=f"widen a box on each side by this share of it, 0..1 ({MARGIN})"
    )
