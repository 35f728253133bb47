"""Train the face parser, the reference that the book measures masks against, on photos with human masks.

What it does, in order:
  1. reads 800 CelebAMask-HQ photos from $STYLEMIXSEG_DATA/data/celebamask_hq_800 and keeps the 100 named in
     stylemixseg/data/splits/celebamask_800.json for validation (they are never trained on);
  2. takes DeepLabV3's weights from $STYLEMIXSEG_DATA/models (TensorFlow Lite, checked by its hash) as the encoder's
     start: it has seen people, hats and clothes on the photos of COCO and PASCAL VOC;
  3. trains the encoder and a light U-shaped decoder on the other 700 (bfloat16 on the CPU, two threads);
  4. writes stylemixseg/models/weights/face_parser.safetensors (fp16) and face_parser.json (provenance, validation
     table).

Ctrl-C stops after the current step and saves; the same command goes on from there, step for step. With another
--epochs it goes on under the longer or shorter schedule, and the provenance says from which step.
The last epoch's averaged weights are what is kept; no epoch is picked by its validation score.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import math
import platform
import signal
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tqdm import tqdm

from stylemixseg._util.paths import atomic_write, cache_dir, data_file, sha256_file
from stylemixseg.data.celebamask import (
    SPLIT_FILE,
    MaskedPhotos,
    read_celebamask,
    training_names,
    validation_names,
    with_sides_corrected,
)
from stylemixseg.models import references
from stylemixseg.models.references import CLASS_NAMES, INPUT_SIZE, NUM_CLASSES, FaceParser, FaceParserNet

START_FILE = ("models", "deeplabv3_mnv2_pascal_quant.tflite")
START_SHA256 = "350af47fd346ea6d74b58833a351f583ba860e9806ec5bd292ff8d8f1f249398"
PART_GROUPS = {  # the bar's mean: one IoU a part, two-sided parts averaged over their sides
    "skin": ("skin",),
    "eyes": ("left_eye", "right_eye"),
    "brows": ("left_brow", "right_brow"),
    "nose": ("nose",),
    "lips": ("upper_lip", "lower_lip"),
    "hair": ("hair",),
    "cloth": ("cloth",),
}
IGNORE = 255  # label of pixels outside the photo after a shift or turn
CACHED = 384  # px of the photos kept in memory, a little above the training size so that zooming in stays sharp
FROZEN_BLOCKS = 4  # the encoder's first blocks keep their weights: edges and colours transfer, a third less time


# ---------------------------------------------------------------------------------------------------- data


def write_split(photos: MaskedPhotos, count: int = 100) -> None:
    """Name the validation photos: the `count` smallest by SHA-256 of the name, so that no one's taste is in it."""
    ordered = sorted(photos.names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    split = {
        "rule": f"the {count} of {len(photos)} photos whose names have the smallest SHA-256",
        "validation": sorted(ordered[:count]),
    }
    with atomic_write(SPLIT_FILE) as path:
        path.write_text(json.dumps(split, indent=1) + "\n")


def load_into_memory(photos: MaskedPhotos, names: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """images (N, 3, CACHED, CACHED) uint8 and labels (N, H, W) uint8 at the photos' own size, sides corrected."""
    images, labels = [], []
    for name in tqdm(names, desc="decode", unit="photo", leave=False):
        image, label = photos[name]
        image = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
        images.append(references.resized(image, (CACHED, CACHED)).round().clamp(0, 255).byte())
        labels.append(torch.from_numpy(with_sides_corrected(label).copy())[None])
    return torch.cat(images), torch.cat(labels)


def augmented(images: torch.Tensor, labels: torch.Tensor, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch (B, 3, C, C) uint8 with labels (B, H, W) -> inputs (B, 3, S, S) in [-1, 1], targets (B, T, T).

    T = (S + 1) / 2.

    Flip (left and right parts change names), zoom 0.7 to 1.35, turn up to 15 degrees, shift up to a tenth, then
    brightness, contrast, saturation and a colour cast. Targets lie at the centres of the network's output pixels.
    """
    b = len(images)

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return torch.rand(b, *shape, generator=rng) * (high - low) + low

    flip = torch.rand(b, generator=rng) < 0.5
    reach = torch.exp(-uniform(math.log(0.7), math.log(1.35)))  # half the width of the window, in photo halves
    angle = uniform(-15, 15) * math.pi / 180
    cos, sin = reach * angle.cos(), reach * angle.sin()
    mirror = torch.where(flip, -1.0, 1.0)
    shift = uniform(-0.2, 0.2, 2)  # in photo halves: a tenth of the width
    theta = torch.stack(
        [torch.stack([cos * mirror, -sin, shift[:, 0]], 1), torch.stack([sin * mirror, cos, shift[:, 1]], 1)], 1
    )  # (B, 2, 3)

    grid = F.affine_grid(theta, [b, 3, INPUT_SIZE, INPUT_SIZE], align_corners=False)
    x = F.grid_sample(images.float() / 255, grid, padding_mode="reflection", align_corners=False)

    grid = grid[:, ::2, ::2]  # where the network's scores lie; coordinates are in [-1, 1] inside the photo
    side = torch.tensor([labels.shape[2], labels.shape[1]])
    index = torch.floor((grid + 1) / 2 * side).long()
    inside = ((index >= 0) & (index < side)).all(-1)
    index = torch.minimum(index.clamp(min=0), side - 1)
    target = labels[torch.arange(b).view(-1, 1, 1), index[..., 1], index[..., 0]].long()
    target = torch.where(flip.view(-1, 1, 1), references.MIRRORED_CLASSES[target], target)
    target[~inside] = IGNORE

    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * uniform(0.5, 1.4, 1, 1, 1)  # saturation
    mean = x.mean((1, 2, 3), keepdim=True)
    x = mean + (x - mean) * uniform(0.7, 1.3, 1, 1, 1)  # contrast
    x = x * uniform(0.9, 1.1, 3, 1, 1) * uniform(0.7, 1.3, 1, 1, 1)  # colour cast, brightness
    return x.clamp(0, 1) * 2 - 1, target


# ------------------------------------------------------------------------------------------------ training


def stored_convolutions() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Weights (O, I/groups, h, w) and biases (O) of DeepLabV3's convolutions, in the order of the network.

    They stand in the TensorFlow Lite file as 8-bit steps of a scale. The network is not run.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    path = data_file(*START_FILE)
    if (digest := sha256_file(path)) != START_SHA256:
        raise ValueError(f"{path} has SHA-256 {digest}, expected {START_SHA256}: it is damaged or another model")
    reader = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    reader.allocate_tensors()
    details = {item["index"]: item for item in reader.get_tensor_details()}

    def real(index: int) -> torch.Tensor:
        scale, zero = details[index]["quantization"]
        return torch.from_numpy((reader.get_tensor(index).astype(np.float64) - zero) * scale).float()

    stored = []
    for op in reader._get_ops_details():
        if op["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            _, weight, bias = op["inputs"]
            axes = (0, 3, 1, 2) if op["op_name"] == "CONV_2D" else (3, 0, 1, 2)
            stored.append((real(weight).permute(axes).contiguous(), real(bias)))
    return stored


def new_network(seed: int) -> FaceParserNet:
    """The network with DeepLabV3's encoder and a random decoder."""
    torch.manual_seed(seed)
    network = FaceParserNet()
    names = {module: name for name, module in network.named_modules()}
    wanted = [m for m in network.features.modules() if isinstance(m, torch.nn.Conv2d)]
    wanted += [network.near, network.context, network.join]
    state = {}
    # the file's last convolution scores PASCAL VOC's classes
    for module, (weight, bias) in zip(wanted, stored_convolutions()[:-1], strict=True):
        state |= {f"{names[module]}.weight": weight, f"{names[module]}.bias": bias}
    network.load_state_dict(network.state_dict() | state)
    return network


def set_training(network: FaceParserNet) -> None:
    """Training mode; the first blocks stay as they are."""
    network.train()
    network.features[:FROZEN_BLOCKS].requires_grad_(False)


def loss_of(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy + half the Dice loss over the batch's classes, which keeps small parts from being drowned.

    logits (B, 19, h, w), target (B, h, w) with IGNORE where there is no photo.
    """
    log_p = F.log_softmax(logits, dim=1)
    cross_entropy = F.nll_loss(log_p, target, ignore_index=IGNORE)
    valid = target != IGNORE
    p = log_p.exp() * valid.unsqueeze(1)  # (B, 19, h, w)
    flat = torch.where(valid, target, 0).unsqueeze(1)
    hit = p.gather(1, flat) * valid.unsqueeze(1)  # probability given to the true class
    classes = target[valid]
    truth = torch.bincount(classes, minlength=NUM_CLASSES).float()
    overlap = torch.zeros(NUM_CLASSES).index_add(0, classes, hit.squeeze(1)[valid])
    present = truth > 0
    dice = (2 * overlap[present] + 1) / (p.sum((0, 2, 3))[present] + truth[present] + 1)
    return cross_entropy + 0.5 * (1 - dice.mean())


def rate_at(step: int, total: int, warm_up: float = 0.1) -> float:
    """Share of the highest learning rate at `step`: a straight rise over the first tenth, then half a cosine to 0."""
    start = warm_up * total
    if step < start:
        return (step + 1) / (start + 1)
    return (1 + math.cos(math.pi * (step - start) / (total - start))) / 2


def train(args: argparse.Namespace) -> None:
    photos = read_celebamask()
    training, validation = training_names(photos), validation_names(photos)
    config = {
        "epochs": args.epochs,
        "batch": args.batch,
        "seed": args.seed,
        "lr": args.lr,
        "input": INPUT_SIZE,
        "frozen_blocks": FROZEN_BLOCKS,
    }
    args.work.mkdir(parents=True, exist_ok=True)
    checkpoint = args.work / "checkpoint.pt"

    network = new_network(args.seed).to(memory_format=torch.channels_last)
    set_training(network)
    decoder = [*network.decoder.parameters(), *network.head.parameters()]
    known = {id(p) for p in decoder}
    encoder = [p for p in network.parameters() if p.requires_grad and id(p) not in known]
    optimizer = torch.optim.AdamW(
        [{"params": encoder, "lr": args.lr / 10}, {"params": decoder, "lr": args.lr}], weight_decay=0.02
    )
    per_epoch = len(training) // args.batch
    total = per_epoch * args.epochs
    highest = [group["lr"] for group in optimizer.param_groups]
    average = {k: v.clone() for k, v in network.state_dict().items()}  # exponential moving average of the weights
    step, seconds, history, lengths = 0, 0.0, [], [{"from_step": 0, "epochs": args.epochs}]

    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        if saved["config"] | {"epochs": args.epochs} != config:
            raise ValueError(
                f"{checkpoint} belongs to a run with {saved['config']}, this one has {config}; "
                "choose another --work or delete it"
            )
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        average, step, seconds, history = saved["average"], saved["step"], saved["seconds"], saved["history"]
        lengths = saved["lengths"]
        if lengths[-1]["epochs"] != args.epochs:  # a run may be made longer or shorter; that is written down
            lengths.append({"from_step": step, "epochs": args.epochs})
        print(f"going on from step {step} of {total} ({checkpoint})")

    def save() -> None:
        with atomic_write(checkpoint) as path:
            torch.save(
                {
                    "config": config,
                    "step": step,
                    "seconds": seconds,
                    "history": history,
                    "average": average,
                    "network": network.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "lengths": lengths,
                },
                path,
            )

    stopping: list[bool] = []
    handlers = {
        number: signal.signal(number, lambda *_: stopping.append(True)) for number in (signal.SIGINT, signal.SIGTERM)
    }

    images, labels = load_into_memory(photos, training)
    started = time.monotonic() - seconds
    bar = tqdm(total=total, initial=step, desc="train", unit="step", mininterval=5)
    while step < total and not stopping:
        epoch, position = divmod(step, per_epoch)
        order = torch.randperm(len(training), generator=torch.Generator().manual_seed(args.seed + epoch))
        chosen = order[position * args.batch : (position + 1) * args.batch]
        # every step has its own random numbers, so a resumed run takes the same steps
        rng = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        x, target = augmented(images[chosen], labels[chosen], rng)
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not args.float32):
            logits = network(x)
        loss = loss_of(logits.float(), target)
        if not torch.isfinite(loss):
            raise RuntimeError(f"the loss became {loss.item()} at step {step}; lower --lr")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        for group, lr in zip(optimizer.param_groups, highest):
            group["lr"] = lr * rate_at(step, total)
        optimizer.step()
        step += 1
        decay = min(0.995, (1 + step) / (10 + step))
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                average[key].lerp_(value, 1 - decay)
            else:
                average[key].copy_(value)
        seconds = time.monotonic() - started
        bar.update()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        if step % per_epoch == 0:
            epoch += 1
            entry = {"epoch": epoch, "loss": round(loss.item(), 4), "seconds": round(seconds)}
            if epoch % args.validate_every == 0 and step < total:
                averaged = FaceParserNet()
                averaged.load_state_dict(average)
                entry |= headline(confusions(FaceParser(averaged), photos, validation))
            history.append(entry)
            tqdm.write(json.dumps(entry))
            save()
    bar.close()
    for number, handler in handlers.items():
        signal.signal(number, handler)
    if stopping and step < total:
        save()
        print(f"stopped at step {step} of {total}; the same command goes on from there")
        return
    run = config | {"lengths": lengths, "seconds": round(seconds), "history": history}
    export(args.out, average, run, training, validation, photos)


# ---------------------------------------------------------------------------------------------- evaluation

VIEWS = {  # how the committed weights are measured: with the mirrored image's scores averaged in? masks as they are?
    "plain": {"flip": False, "correct_sides": False},
    "flip_averaged": {"flip": True, "correct_sides": False},
    "flip_averaged_sides_corrected": {"flip": True, "correct_sides": True},
}


def confusions(
    parser: FaceParser, photos: MaskedPhotos, names: list[str], *, flip: bool = False, correct_sides: bool = False
) -> np.ndarray:
    """(photos, 19, 19) counts: rows the human label, columns the parser's, at the photos' own size (512 px).

    With `correct_sides`, the human masks whose left and right are swapped are put right first.
    """
    counts = np.zeros((len(names), NUM_CLASSES, NUM_CLASSES), dtype=np.int64)
    for i, name in enumerate(tqdm(names, desc="validate", unit="photo", leave=False)):
        image, truth = photos[name]
        truth = with_sides_corrected(truth) if correct_sides else truth
        x = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        predicted = parser(x, flip=flip)[0].numpy()
        joint = truth.astype(np.int64) * NUM_CLASSES + predicted
        counts[i] = np.bincount(joint.ravel(), minlength=NUM_CLASSES**2).reshape(NUM_CLASSES, NUM_CLASSES)
    return counts


def class_iou(counts: np.ndarray) -> np.ndarray:
    """(19, 19) summed counts -> IoU of each class, NaN where it is in neither the masks nor the predictions."""
    union = counts.sum(0) + counts.sum(1) - counts.diagonal()
    return np.divide(counts.diagonal(), union, out=np.full(NUM_CLASSES, np.nan), where=union > 0)


def headline(counts: np.ndarray) -> dict[str, float]:
    """The three numbers of the bar, dataset-level (counts summed over photos), foreground = label above 0."""
    total = counts.sum(0)
    tn, fn, fp, tp = total[0, 0], total[1:, 0].sum(), total[0, 1:].sum(), total[1:, 1:].sum()
    iou = class_iou(total)
    parts = [np.mean([iou[CLASS_NAMES.index(name)] for name in names]) for names in PART_GROUPS.values()]
    values = {
        "fg_bg_miou": (tp / (tp + fp + fn) + tn / (tn + fp + fn)) / 2,
        "hair_iou": iou[CLASS_NAMES.index("hair")],
        "part_mean_iou": np.mean(parts),
    }
    return {name: round(float(value), 4) for name, value in values.items()}


def table(parser: FaceParser, photos: MaskedPhotos, names: list[str], samples: int = 2000) -> dict:
    """The validation table, for each view: IoU per class, the bar's three numbers with 95 % bootstrap intervals."""
    out: dict = {
        "n_photos": len(names),
        "size": 512,
        "average": "dataset (counts summed over photos)",
        "interval": f"95 % percentile bootstrap over photos, {samples} samples, seed 0",
    }
    for key, how in VIEWS.items():
        counts = confusions(parser, photos, names, **how)
        iou = class_iou(counts.sum(0))
        in_photos = (counts.sum(2) > 0).sum(0)
        rng = np.random.RandomState(0)
        resampled = [headline(counts[rng.randint(len(names), size=len(names))]) for _ in range(samples)]
        out[key] = {
            name: {
                "value": value,
                "interval": [round(float(np.percentile([r[name] for r in resampled], q)), 4) for q in (2.5, 97.5)],
            }
            for name, value in headline(counts).items()
        }
        out[key]["class_iou"] = {
            name: {"iou": None if np.isnan(v) else round(float(v), 4), "photos_with_it": int(n)}
            for name, v, n in zip(CLASS_NAMES, iou, in_photos)
        }
    return out


def export(
    out: Path, average: dict, run: dict, training: list[str], validation: list[str], photos: MaskedPhotos
) -> None:
    """Write weights (fp16) and provenance, then evaluate the written file."""
    weights = {
        k: v.half().contiguous() if v.is_floating_point() else v
        for k, v in average.items()
        if not k.endswith("num_batches_tracked")
    }
    with atomic_write(out) as path:
        save_file(weights, path)
    provenance = {
        "sha256": sha256_file(out),
        "network": "DeepLabV3 with MobileNetV2 as encoder, U-shaped decoder, 19 classes; "
        + f"{sum(p.numel() for p in FaceParserNet().parameters())} parameters, stored in fp16",
        "classes": list(CLASS_NAMES),
        "data": {
            "name": "CelebAMask-HQ (Lee et al. 2020), 800 of its photos",
            "training_photos": len(training),
            "validation_photos": len(validation),
            "training_ids_sha256": hashlib.sha256("\n".join(training).encode()).hexdigest(),
            "validation_ids_sha256": hashlib.sha256("\n".join(validation).encode()).hexdigest(),
        },
        "encoder_start": {
            "file": "/".join(START_FILE),
            "sha256": START_SHA256,
            "what": "DeepLabV3 with MobileNetV2, trained on ImageNet, COCO and PASCAL VOC, in 8-bit steps; "
            "github google-coral/test_data, Apache-2.0",
        },
        "licence": "trained on CelebAMask-HQ: non-commercial research and education only (face_parser.LICENSE.md)",
        "training": run
        | {
            "command": "python data_scripts/train_face_parser.py "
            + " ".join(f"--{key} {run[key]}" for key in ("epochs", "batch", "lr", "seed")),
            "date": datetime.date.today().isoformat(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    with atomic_write(out.with_suffix(".json")) as path:
        path.write_text(json.dumps(provenance, indent=1) + "\n")
    evaluate(out, photos, validation)


def evaluate(out: Path, photos: MaskedPhotos, validation: list[str]) -> None:
    """Measure the written weights on the validation photos and write the table beside their provenance."""
    measured = table(FaceParser.load(out), photos, validation)
    provenance = json.loads(out.with_suffix(".json").read_text()) | {"validation": measured}
    with atomic_write(out.with_suffix(".json")) as path:
        path.write_text(json.dumps(provenance, indent=1) + "\n")
    for key in VIEWS:
        print(f"\n{key}, {measured['n_photos']} photos")
        for name in ("fg_bg_miou", "hair_iou", "part_mean_iou"):
            low, high = measured[key][name]["interval"]
            print(f"  {name:14s} {measured[key][name]['value']:.4f}  [{low:.4f}, {high:.4f}]")
        for name, row in measured[key]["class_iou"].items():
            iou = "absent" if row["iou"] is None else f"{row['iou']:.3f}"
            print(f"    {name:12s} {iou}  (in {row['photos_with_it']} photos)")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  STYLEMIXSEG_DATA=/path/to/data python data_scripts/train_face_parser.py  # train, or go on\n"
        "  python data_scripts/train_face_parser.py --evaluate  # measure again\n"
        "  python data_scripts/train_face_parser.py --epochs 2 --work try --out try/p.safetensors  # a look",
    )
    todo = parser.add_argument_group("what to do (default: train, or go on with a stopped run)")
    todo.add_argument("--evaluate", action="store_true", help="measure the weights in --out, rewrite their table")
    todo.add_argument("--write-split", action="store_true", help="write the split file anew, then stop")
    hyper = parser.add_argument_group("training")
    hyper.add_argument("--epochs", type=int, default=24, help="passes over the 700 photos (default %(default)s)")
    hyper.add_argument("--batch", type=int, default=16, help="photos a step, 2 or more (default %(default)s)")
    hyper.add_argument(
        "--lr",
        type=float,
        default=3e-3,
        help="highest learning rate of the decoder; the encoder gets a tenth (default %(default)s)",
    )
    hyper.add_argument("--seed", type=int, default=0, help="weights, order and augmentation (default %(default)s)")
    hyper.add_argument("--float32", action="store_true", help="no bfloat16: two to three times slower on recent CPUs")
    other = parser.add_argument_group("machine")
    other.add_argument(
        "--threads",
        type=int,
        default=2,
        help="CPU threads (default %(default)s; 1 is faster where other work shares the cores)",
    )
    other.add_argument(
        "--work", type=Path, default=cache_dir() / "face_parser", help="folder of the checkpoint (default: the cache)"
    )
    other.add_argument(
        "--out",
        type=Path,
        default=references.WEIGHTS_FILE,
        help="weights to write or measure, their .json beside them (default: the package's own)",
    )
    other.add_argument("--validate-every", type=int, default=8, help="epochs between looks (default %(default)s)")
    args = parser.parse_args()
    for name, low in (("epochs", 1), ("batch", 2), ("threads", 1), ("validate_every", 1)):
        if getattr(args, name) < low:
            parser.error(f"--{name.replace('_', '-')} must be at least {low} (got {getattr(args, name)})")
    torch.set_num_threads(args.threads)
    if args.write_split:
        write_split(read_celebamask())
    elif args.evaluate:
        photos = read_celebamask()
        evaluate(args.out, photos, validation_names(photos))
    else:
        train(args)


if __name__ == "__main__":
    main()
