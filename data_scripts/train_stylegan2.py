"""Train a StyleGAN2 with adaptive augmentation (ADA) on rendered rooms of the toy world, or on a folder of images.

What it does, in order:
  1. renders --count rooms with worker processes into one file in the cache folder, or reads those of --images;
  2. trains until D has seen --kimg thousand real images. The state is saved every few minutes in --work, with
     log.jsonl (losses, p, seconds), sheets of samples and a distance to the real images now and then;
  3. with --export, writes the averaged generator as this package's .safetensors, and a .json that says where it
     comes from. `stylemixseg inspect` and `load_generator` read it.

Ctrl-C stops after the current step and saves; the same command goes on from there. --kimg may change between calls:
with a smaller number than was reached, nothing is trained and the state is exported as it is.

One GPU, rooms at 128 px:
  python data_scripts/train_stylegan2.py --work runs/rooms --batch 32 --kimg 5000 --export rooms.safetensors

A smoke run on a CPU, which shows that everything works and learns nothing:
  python data_scripts/train_stylegan2.py --work runs/smoke --device cpu --count 64 --resolution 32 --channel-base 512 \\
      --channel-max 16 --latent-dim 32 --batch 4 --kimg 0.1 --metric-images 16 --export smoke.safetensors
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from stylegan2_training.data import Images, import_photos, make_rooms
from stylegan2_training.run import Run
from stylegan2_training.trainer import Settings, Trainer

from stylemixseg._util.paths import cache_dir
from stylemixseg._util.tensors import check_device
from stylemixseg.training import Stopping, has_fast_bfloat16


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_argument_group("files")
    where.add_argument("--work", type=Path, required=True, help="folder of this training: state, log, samples")
    where.add_argument("--export", type=Path, metavar="OUT.safetensors", help="write the averaged generator at the end")
    data = parser.add_argument_group("images")
    data.add_argument(
        "--images",
        type=Path,
        metavar="FOLDER",
        help="photographs to learn (middle square, resized), or a folder with images.npy and images.json "
        "that this script made; without it: rendered rooms",
    )
    data.add_argument(
        "--count",
        type=int,
        default=50_000,
        help="rooms to render (50000: 2.5 GB at 128 px). With a few "
        "thousand, p rises further, which is what ADA is for",
    )
    data.add_argument("--resolution", type=int, default=128, help="side of the images, a power of two in 8..1024 (128)")
    data.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        help="processes that make the images (all processors); 0: this one alone",
    )
    network = parser.add_argument_group("networks")
    network.add_argument(
        "--channel-base",
        type=int,
        default=16_384,
        help="channels at r px are min(base / r, max): 16384 up to 256 px, 32768 above (16384)",
    )
    network.add_argument("--channel-max", type=int, default=512, help="most channels of a layer (512)")
    network.add_argument("--latent-dim", type=int, default=512, help="size of z and w (512)")
    network.add_argument(
        "--mapping-layers",
        type=int,
        default=2,
        help="depth of the mapping network: 2 in ADA's setting for small data, 8 in StyleGAN2 (2)",
    )
    training = parser.add_argument_group("training")
    training.add_argument(
        "--kimg",
        type=float,
        default=5000,
        help="thousands of real images that D sees in all; samples and distance tell when it is enough (5000)",
    )
    training.add_argument("--batch", type=int, default=32, help="images a step, best a multiple of 4 (32)")
    training.add_argument(
        "--learning-rate", type=float, default=0.0025, help="of G and D; lower if they diverge (0.0025)"
    )
    training.add_argument(
        "--gamma",
        type=float,
        help="weight of R1: more is stabler and blurrier; (0.0002 resolution^2 / batch, ADA's rule); 0 leaves it out",
    )
    training.add_argument(
        "--path-weight",
        type=float,
        default=2.0,
        help="weight of the path length regularisation: smooth latents invert better (2); 0 off",
    )
    training.add_argument(
        "--mixing",
        type=float,
        default=0.9,
        help="share of images with two styles; the segmentation method lives on it (0.9)",
    )
    training.add_argument(
        "--average-kimg", type=float, help="half-life of the averaged weights in thousand images (10 batch / 32)"
    )
    training.add_argument(
        "--ada-target",
        type=float,
        default=0.6,
        help="share of surely real training images, less that of surely fake ones, that p is moved "
        "to keep (0.6); 0 trains without augmentation",
    )
    training.add_argument("--ada-kimg", type=float, default=500, help="thousand images that p takes from 0 to 1 (500)")
    training.add_argument("--seed", type=int, default=0, help="of rooms, weights and steps (0)")
    running = parser.add_argument_group("running")
    running.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="cuda, cuda:1, cpu (a GPU where there is one)",
    )
    running.add_argument(
        "--precision",
        choices=("auto", "bfloat16", "float32"),
        default="auto",
        help="of the convolutions in the main losses: bfloat16 on GPUs that have it, else float32",
    )
    running.add_argument("--minutes", type=float, help="stop and save after so long, as by Ctrl-C")
    running.add_argument("--report-kimg", type=float, default=4, help="thousand images between two log entries (4)")
    running.add_argument("--sheet-kimg", type=float, default=100, help="between two sheets of samples (100; 0: none)")
    running.add_argument(
        "--metric-kimg",
        type=float,
        default=500,
        help="between two measurements of the distance (500; 0: only at --export)",
    )
    running.add_argument(
        "--metric-images",
        type=int,
        default=5000,
        help="real and generated images compared, at most half the real ones; distances compare only "
        "at one number (5000)",
    )
    args = parser.parse_args(arguments)
    if args.export is not None and args.export.suffix != ".safetensors":
        parser.error(f"--export must end in .safetensors, got {args.export.name}")
    return args


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings that the arguments ask for; gamma and the averaging follow from the batch where not given."""
    gamma = 0.0002 * args.resolution**2 / args.batch if args.gamma is None else args.gamma
    average = args.batch * 10 / 32 if args.average_kimg is None else args.average_kimg
    names = (
        "resolution",
        "channel_base",
        "channel_max",
        "latent_dim",
        "mapping_layers",
        "batch",
        "learning_rate",
        "path_weight",
        "mixing",
        "ada_target",
        "ada_kimg",
        "seed",
    )
    return Settings(**{name: getattr(args, name) for name in names}, gamma=gamma, average_kimg=average)


def prepare_images(args: argparse.Namespace, stop: Stopping) -> Images | None:
    """The training images, made now where they are not there yet; None when stopped before they were."""
    if args.images is not None and (args.images / "images.npy").exists():
        folder, whole = args.images, True
    else:
        name = f"rooms-{args.count}-{args.seed}" if args.images is None else f"photos-{args.images.resolve().name}"
        folder = cache_dir() / "stylegan2" / f"{name}-{args.resolution}px"
        if args.images is None:
            whole = make_rooms(folder, args.count, args.resolution, args.seed, args.workers, lambda: stop.asked)
        else:
            whole = import_photos(folder, args.images, args.resolution, args.workers, lambda: stop.asked)
    if not whole:
        return None
    images = Images(folder)
    if images.record["resolution"] != args.resolution:
        raise ValueError(
            f"--resolution must be that of the images in {folder}, {images.record['resolution']}, got {args.resolution}"
        )
    return images


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    settings, device = settings_of(args), check_device("--device", args.device)
    fast = torch.device(device).type == "cuda" and has_fast_bfloat16(device)
    precision = ("bfloat16" if fast else "float32") if args.precision == "auto" else args.precision
    torch.backends.cudnn.benchmark = True  # all batches have one shape: let it try which algorithm is fastest
    with Stopping(args.minutes) as stop:
        images = prepare_images(args, stop)
        if images is None:
            print("stopped before all images were made")
            return 1
        trainer = Trainer(settings, images.draw, device, getattr(torch, precision))
        run = Run(args.work, trainer, images, args.metric_images)
        whole = run.train(
            args.kimg, stop, report_kimg=args.report_kimg, sheet_kimg=args.sheet_kimg, metric_kimg=args.metric_kimg
        )
    print(run.write_sheet())
    if not whole:
        print(f"stopped at {run.trainer.images_seen / 1000:.1f} of {args.kimg:g} thousand images")
        return 1
    if args.export is not None:
        print(run.export(args.export))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
