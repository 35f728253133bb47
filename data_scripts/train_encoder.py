"""Train the encoder that inverts photos with the face generator.

What it does, in order:
  1. reads the synthetic pairs that data_scripts/make_inversion_pairs.py made, and the 700 training photos of
     $STYLEMIXSEG_DATA/data/celebamask_hq_800 (the 100 validation photos are never looked at);
  2. latents: teaches the encoder the latents of the pairs, first from the average image, then from its own estimate;
  3. images: goes on with photos too, for which no latent is known, by comparing the preview with the photo;
  4. writes stylemixseg/models/weights/faces_encoder.safetensors (fp16) and .json (provenance).

Each stage is skipped when it is done. Ctrl-C stops after the current step and saves; the same command goes on from
there. Nothing is chosen by its score on validation photos: the last averaged weights are what is kept.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from encoder_training.data import Pairs, training_photos
from encoder_training.results import latent_spread, measure_encoder, write
from encoder_training.steps import images_step, latents_step

from stylemixseg._util.paths import cache_dir
from stylemixseg.generators.zoo import load_generator
from stylemixseg.inversion import encoder as encoder_module
from stylemixseg.inversion.encoder import Encoder, EncoderNet
from stylemixseg.inversion.preview import SIDE, Preview
from stylemixseg.training import GradientLearner, Stopping, Training, WeightAverage, ramped_decay
from stylemixseg.training.gradients import Gradients

BATCH = {"latents": 16, "images": 8}
RATE = {"latents": 1e-3, "images": 3e-4}  # the highest learning rate


class Stage:
    """One of the two stages, with its state in `<work>/<name>.pt`; what it gives is `average.network`."""

    def __init__(self, name: str, work: Path, network: EncoderNet, gradients: Gradients, steps: int):
        self.name, self.steps = name, steps
        self.learner = GradientLearner(
            network,
            torch.optim.AdamW(network.parameters(), lr=RATE[name], weight_decay=0.01),
            gradients,
            WeightAverage(network, ramped_decay(0.999)),
            rate=lambda step: min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / steps)),
            max_norm=1.0,
        )
        self.training = Training(self.learner, work / f"{name}.pt")

    def run(self, stop: Stopping) -> bool:
        """Take the remaining steps; True when all are done."""
        log, learner = self.training.log, self.learner

        def after_step() -> None:
            if learner.step % 25 == 1:
                log.append([learner.step - 1, round(learner.loss, 5)])
                self.training.shown = {"loss": f"{np.mean([value for _, value in log[-8:]]):.4f}"}

        return self.training.run(self.steps, stop, after_step=after_step, name=self.name) == "finished"

    @property
    def record(self) -> dict:
        """What the provenance says of it."""
        minutes = round(self.training.seconds / 60, 1)
        return {"steps": self.learner.step, "batch": BATCH[self.name], "minutes": minutes}

    @property
    def losses(self) -> list:
        """About 20 of the losses on the way, as [step, loss]."""
        log = self.training.log
        return log[:: max(1, len(log) // 20)]


def train(args: argparse.Namespace, work: Path, stop: Stopping) -> None:
    """Both stages, then the result."""
    torch.manual_seed(0)
    generator = load_generator("faces", engine="torch").requires_grad_(False)
    pairs, preview = Pairs(args.pairs or work / "pairs", generator), Preview(generator, SIDE)
    network = EncoderNet(generator.num_ws, generator.w_dim).to(memory_format=torch.channels_last)
    network.w_std.copy_(latent_spread(generator))
    network.train()

    steps = args.latents_steps
    gradients = latents_step(network, preview, pairs, BATCH["latents"], steps // 2)
    latents = Stage("latents", work, network, gradients, steps)
    if not latents.run(stop) or args.only == "latents":
        return
    network.load_state_dict(latents.learner.average.state_dict())
    photos = training_photos()
    gradients = images_step(network, preview, pairs, photos, BATCH["images"])
    images = Stage("images", work, network, gradients, args.images_steps)
    if not images.run(stop):
        return
    averaged = images.learner.average.network
    record = {
        "stages": {stage.name: stage.record for stage in (latents, images)},
        "pairs": pairs.count,
        "photos": len(photos),
        "held_out": measure_encoder(Encoder(averaged, preview, 3), pairs),
        "loss": {stage.name: stage.losses for stage in (latents, images)},
    }
    write(encoder_module.WEIGHTS_FILE, averaged.state_dict(), generator, record)
    print(json.dumps(record["held_out"]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  STYLEMIXSEG_DATA=/path/to/data python data_scripts/train_encoder.py      # train, or go on\n"
        "  python data_scripts/train_encoder.py --work try --pairs pairs --latents-steps 50 --only latents  # a look",
    )
    files = parser.add_argument_group("files")
    files.add_argument("--work", type=Path, default=None, help="where the runs are kept (encoder in the cache folder)")
    files.add_argument("--pairs", type=Path, default=None, help="folder of the pairs (encoder/pairs in the cache)")
    stages = parser.add_argument_group("stages")
    stages.add_argument("--only", choices=("latents", "images"), help="stop after this stage")
    stages.add_argument("--latents-steps", type=int, default=1500, help="steps of stage latents, 16 images each (1500)")
    stages.add_argument("--images-steps", type=int, default=800, help="steps of the stage images, 8 images each (800)")
    args = parser.parse_args()
    with Stopping() as stop:
        train(args, args.work or cache_dir() / "encoder", stop)


if __name__ == "__main__":
    main()
