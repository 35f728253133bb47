"""Train the face parser, the reference that the book measures masks against, on photos with human masks.

What it does, in order:
  1. reads 800 CelebAMask-HQ photos from $STYLEMIXSEG_DATA/data/celebamask_hq_800 and keeps the 100 named in
     stylemixseg/data/splits/celebamask_800.json for validation (they are never trained on);
  2. takes DeepLabV3's weights from $STYLEMIXSEG_DATA/models (TensorFlow Lite, checked by its hash) as the encoder's
     start: it has seen people, hats and clothes on the photos of COCO and PASCAL VOC;
  3. trains the encoder and a light U-shaped decoder on the other 700 (bfloat16 on the CPU, two threads);
  4. writes stylemixseg/models/weights/face_parser.safetensors (fp16) and face_parser.json (provenance, and a table of
     scores on the validation photos).

Ctrl-C stops after the current step and saves; the same command goes on from there, step for step. With another
--epochs it goes on under the longer or shorter schedule, and the provenance says from which step.
The last epoch's averaged weights are what is kept; no epoch is picked by its validation score.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from face_parser_training.data import batches_of, load_into_memory, write_split
from face_parser_training.evaluation import confusions, headline
from face_parser_training.export import evaluate, export
from face_parser_training.loss import loss_of
from face_parser_training.start import FROZEN_BLOCKS, new_network, set_training
from tqdm import tqdm

from stylemixseg._util.paths import cache_dir
from stylemixseg.data.celebamask import read_celebamask, training_names, validation_names
from stylemixseg.models import references
from stylemixseg.models.mobileunet import MobileUNet
from stylemixseg.models.references import INPUT_SIZE, FaceParser
from stylemixseg.training import (
    GradientLearner,
    Stopping,
    Training,
    WeightAverage,
    loss_gradients,
    ramped_decay,
    warm_cosine,
)


def optimiser_of(network: MobileUNet, rate: float) -> torch.optim.Optimizer:
    """AdamW with `rate` for the decoder, and a tenth of it for the encoder, which has been trained before."""
    decoder = [*network.decoder.parameters(), *network.head.parameters()]
    known = {id(p) for p in decoder}
    encoder = [p for p in network.parameters() if p.requires_grad and id(p) not in known]
    return torch.optim.AdamW([{"params": encoder, "lr": rate / 10}, {"params": decoder, "lr": rate}], weight_decay=0.02)


def train(args: argparse.Namespace) -> None:
    photos = read_celebamask()
    training, validation = training_names(photos), validation_names(photos)
    config = {
        "batch": args.batch,
        "seed": args.seed,
        "lr": args.lr,
        "input": INPUT_SIZE,
        "frozen_blocks": FROZEN_BLOCKS,
    }
    per_epoch = len(training) // args.batch
    total = per_epoch * args.epochs

    network = new_network(args.seed).to(memory_format=torch.channels_last)
    set_training(network)
    images, labels = load_into_memory(photos, training)
    learner = GradientLearner(
        network,
        optimiser_of(network, args.lr),
        loss_gradients(
            network,
            batches_of(images, labels, args.batch, args.seed),
            loss_of,
            dtype=torch.float32 if args.float32 else torch.bfloat16,
        ),
        WeightAverage(network, ramped_decay(0.995)),
        rate=lambda step: warm_cosine(step, total),
        max_norm=5.0,
        seed=args.seed,
    )
    run = Training(learner, args.work / "checkpoint.pt", settings=config)
    if learner.step:
        print(f"going on from step {learner.step} of {total} ({run.file})")
    lengths = run.notes.setdefault("lengths", [])
    if not lengths or lengths[-1]["epochs"] != args.epochs:  # a run may be made longer or shorter; that is written down
        lengths.append({"from_step": learner.step, "epochs": args.epochs})

    def after_step() -> None:
        run.shown = {"loss": f"{learner.loss:.3f}"}
        epoch, position = divmod(learner.step, per_epoch)
        if position:
            return
        entry = {"epoch": epoch, "loss": round(learner.loss, 4), "seconds": round(run.seconds)}
        if epoch % args.validate_every == 0 and learner.step < total:
            with run.paused():
                entry |= headline(confusions(FaceParser(learner.average.network), photos, validation))
        run.log.append(entry)
        tqdm.write(json.dumps(entry))

    with Stopping() as stop:
        ending = run.run(total, stop, after_step=after_step)
    if ending != "finished":
        print(f"stopped at step {learner.step} of {total}; the same command goes on from there")
        return
    record = {"epochs": args.epochs, **config, "lengths": lengths, "seconds": round(run.seconds), "history": run.log}
    export(args.out, learner.average.state_dict(), record, training, validation, photos)


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
