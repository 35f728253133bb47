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
import datetime
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
from torch import Tensor
from tqdm import tqdm

from stylemixseg._util.paths import atomic_write, cache_dir, sha256_file
from stylemixseg.data.celebamask import read_celebamask, training_names
from stylemixseg.generators.mobilestylegan import MobileStyleGAN
from stylemixseg.generators.zoo import load_generator
from stylemixseg.inversion import encoder as encoder_module
from stylemixseg.inversion.encoder import Encoder, EncoderNet, shrink
from stylemixseg.inversion.preview import SIDE, Preview

HELD_OUT = 200  # the last pairs, never trained on: they measure
DECAY = 0.999  # of the averaged weights, towards its value as steps pass
SIDES = (128, 64, 32)  # the image loss compares at these sizes
LATENT_WEIGHT = 0.1  # of the latents' loss beside the image loss, in the last stage
PRIOR_WEIGHT = 0.002  # of a photo's latent's squared distance from w_avg, in units of the spread
STAGES = ("latents", "images")


class Stop:
    """Ctrl-C asks for a stop after the current step; a second one stops at once."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGINT, self._ask)

    def _ask(self, *_) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print("\nstopping after this step; the same command goes on")


# ---------------------------------------------------------------------------------------------------- data


class Pairs:
    """The synthetic pairs: `batch(indices)` gives images (B, 3, 128, 128) in [-1, 1] and latents (B, num_ws, w_dim)."""

    def __init__(self, folder: Path, generator: MobileStyleGAN):
        state_file = folder / "pairs.json"
        if not state_file.exists():
            raise FileNotFoundError(f"no pairs in {folder}: run data_scripts/make_inversion_pairs.py first")
        self.record = json.loads(state_file.read_text())
        if self.record["generator"] != generator.digest:
            raise ValueError(f"{folder} holds pairs of another generator: make them again")
        self.images = np.load(folder / "images.npy", mmap_mode="r")
        self.ws = np.load(folder / "ws.npy", mmap_mode="r")
        self.count = self.record["made"]
        if self.count <= HELD_OUT:
            raise ValueError(f"{folder} holds {self.count} pairs; make more than {HELD_OUT}")
        self.training = np.arange(self.count - HELD_OUT)
        self.held_out = np.arange(self.count - HELD_OUT, self.count)

    def batch(self, indices) -> tuple[Tensor, Tensor]:
        indices = np.sort(np.atleast_1d(indices))
        return to_range(torch.from_numpy(self.images[indices])), torch.from_numpy(self.ws[indices]).float()


def to_range(images: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) float32 in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def training_photos(limit: int | None = None) -> Tensor:
    """The training photos at 128 px: (N, 128, 128, 3) uint8."""
    photos = read_celebamask()
    small = [
        shrink(to_range(torch.from_numpy(photos[name][0].copy())[None]), SIDE)
        for name in tqdm(training_names(photos)[:limit], desc="decode", unit="photo", leave=False)
    ]
    return ((torch.cat(small) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)


def as_a_photo(images: Tensor, rng: torch.Generator) -> Tensor:
    """Make synthetic images look a little less clean: some blurred, all with noise. The latent stays the same."""
    softer = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="reflect"), 3, 1)
    amount = torch.rand(len(images), 1, 1, 1, generator=rng)
    noise = torch.randn(images.shape, generator=rng) * 0.03 * torch.rand(len(images), 1, 1, 1, generator=rng)
    return (images.lerp(softer, amount) + noise).clamp(-1, 1)


# ------------------------------------------------------------------------------------------------ training


class Run:
    """A stage's state on disk: network, averaged weights, optimiser, step and what was recorded on the way."""

    def __init__(self, file: Path, network: torch.nn.Module, optimiser: torch.optim.Optimizer):
        self.file, self.network, self.optimiser = file, network, optimiser
        self.average = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self.step, self.seconds, self.log = 0, 0.0, []
        if file.exists():
            state = torch.load(file, weights_only=True)
            network.load_state_dict(state["network"])
            optimiser.load_state_dict(state["optimiser"])
            self.average, self.step = state["average"], state["step"]
            self.seconds, self.log = state["seconds"], state["log"]

    def advance(self) -> None:
        """Count a step of the optimiser and follow it with the averaged weights."""
        self.step += 1
        decay = min(DECAY, (1 + self.step) / (10 + self.step))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)

    def save(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.file) as path:
            torch.save(
                {
                    "network": self.network.state_dict(),
                    "optimiser": self.optimiser.state_dict(),
                    "average": self.average,
                    "step": self.step,
                    "seconds": self.seconds,
                    "log": self.log,
                },
                path,
            )


def train(run: Run, steps: int, learning_rate: float, one_step, stop: Stop, name: str) -> bool:
    """Take the remaining steps, `one_step(rng) -> loss` each; True when all are done."""
    saved = time.monotonic()
    bar = tqdm(range(run.step, steps), initial=run.step, total=steps, desc=name, mininterval=10)
    for step in bar:
        ramp = min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in run.optimiser.param_groups:
            group["lr"] = learning_rate * ramp
        rng = torch.Generator().manual_seed(step)  # a step depends on its number alone, so a run can go on
        loss = one_step(rng)
        torch.nn.utils.clip_grad_norm_(run.network.parameters(), 1.0)
        run.optimiser.step()
        run.optimiser.zero_grad(set_to_none=True)
        run.advance()
        if step % 25 == 0:
            run.log.append([step, round(loss, 5)])
            bar.set_postfix(loss=f"{np.mean([value for _, value in run.log[-8:]]):.4f}")
        if stop.asked or time.monotonic() - saved > 120:
            now = time.monotonic()
            run.seconds += now - saved
            saved = now
            run.save()
        if stop.asked:
            return False
    run.seconds += time.monotonic() - saved
    run.save()
    return True


def choose(values: np.ndarray, size: int, rng: torch.Generator) -> np.ndarray:
    return values[torch.randint(len(values), (size,), generator=rng).numpy()]


def latent_loss(ws: Tensor, target: Tensor, spread: Tensor) -> Tensor:
    """Smooth L1 of latents in units of their spread, averaged."""
    return F.smooth_l1_loss(ws / spread, target / spread)


def image_loss(images: Tensor, target: Tensor) -> Tensor:
    """Smooth L1 over an area pyramid."""
    return sum(F.smooth_l1_loss(shrink(images, side), shrink(target, side), beta=0.2) for side in SIDES) / len(SIDES)


@torch.no_grad()
def previews(preview: Preview, ws: Tensor) -> Tensor:
    return torch.cat([preview.synthesis(w[None]) for w in ws])


def seen(network: EncoderNet, photos: Tensor, current: Tensor) -> Tensor:
    """The step in the latent, in bfloat16, which these processors multiply twice as fast."""
    x = torch.cat([photos, current], 1).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        return network(x).float()


def latents_step(network: EncoderNet, preview: Preview, pairs: Pairs, batch: int, own_from: int, run: Run):
    """The latents of pairs from the average image; from step `own_from` on, from the own estimate too."""
    w_avg = preview.generator.w_avg
    start = w_avg.expand(1, preview.generator.num_ws, -1)
    average = previews(preview, start)

    def step(rng: torch.Generator) -> float:
        images, target = pairs.batch(choose(pairs.training, batch, rng))
        photos = as_a_photo(images, rng)
        ws = start + seen(network, photos, average.expand(batch, -1, -1, -1))
        loss = latent_loss(ws, target, network.w_std)
        loss.backward()
        if run.step >= own_from:
            half = ws[: batch // 2].detach()
            better = half + seen(network, photos[: len(half)], previews(preview, half))
            latent_loss(better, target[: len(half)], network.w_std).backward()
        return loss.item()

    return step


def images_step(network: EncoderNet, preview: Preview, pairs: Pairs, photos: Tensor, batch: int):
    """Refinements of a batch, half photos and half pairs, by what they look like (and the latents of the pairs)."""
    generator = preview.generator
    start = generator.w_avg.expand(1, generator.num_ws, -1)
    average = previews(preview, start)

    def step(rng: torch.Generator) -> float:
        real = to_range(photos[torch.randint(len(photos), (batch // 2,), generator=rng)])
        mirrored = torch.rand(len(real), 1, 1, 1, generator=rng) < 0.5
        real = torch.where(mirrored, real.flip(3), real)
        images, target = pairs.batch(choose(pairs.training, batch - len(real), rng))
        given = torch.cat([real, as_a_photo(images, rng)])
        wanted = torch.cat([real, images])
        ws, current, total = start.expand(batch, -1, -1), average.expand(batch, -1, -1, -1), 0.0
        for _ in range(2):  # refinements
            better = ws + seen(network, given, current)
            leaf = better.detach().requires_grad_()
            shown, total = [], 0.0
            for i in range(batch):
                image = preview.synthesis(leaf[i : i + 1])
                loss = image_loss(image, wanted[i : i + 1]) / batch
                loss.backward()
                shown.append(image.detach())
                total += loss.item()
            known = better[len(real) :]
            deviation = ((better[: len(real)] - generator.w_avg) / network.w_std).square().mean()
            extra = LATENT_WEIGHT * latent_loss(known, target, network.w_std) + PRIOR_WEIGHT * deviation
            torch.autograd.backward([better, extra], [leaf.grad, torch.ones(())])
            ws, current = leaf.detach(), torch.cat(shown)
        return total  # the image loss after the last refinement

    return step


# ------------------------------------------------------------------------------------------------ results


@torch.no_grad()
def measure_encoder(encoder: Encoder, pairs: Pairs) -> dict:
    """Latent and image errors after 0, 1, ... refinements on held-out pairs."""
    images, target = pairs.batch(pairs.held_out)
    result = encoder(images)
    table = []
    for ws in result.steps:
        shown = previews(encoder.preview, ws)
        table.append(
            {
                "latent": round(latent_loss(ws, target, encoder.network.w_std).item(), 4),
                "psnr_db": round(float((10 * torch.log10(4 / (shown - images).square().mean((1, 2, 3)))).mean()), 2),
            }
        )
    return {"pairs": len(images), "after_refinements": table}


def write(path: Path, state: dict[str, Tensor], generator: MobileStyleGAN, record: dict) -> None:
    """fp16 safetensors and its .json."""
    tensors = {name: value.half().contiguous() for name, value in state.items() if value.is_floating_point()}
    with atomic_write(path) as temporary:
        save_file(tensors, temporary)
    record = {
        "sha256": sha256_file(path),
        "generator": {"name": generator.name, "sha256": generator.digest},
        "parameters": sum(value.numel() for value in tensors.values()),
        "made_by": "data_scripts/train_encoder.py",
        "date": datetime.date.today().isoformat(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__.split("+")[0]},
        **record,
    }
    with atomic_write(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n")
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")


def latent_spread(generator: MobileStyleGAN, samples: int = 10_000, seed: int = 123) -> Tensor:
    """Standard deviation of w over seeded samples, (w_dim,)."""
    z = torch.from_numpy(np.random.RandomState(seed).randn(samples, generator.z_dim)).float()
    with torch.no_grad():
        return generator.mapping(z)[:, 0].std(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=None, help="where the runs are kept (encoder in the cache folder)")
    parser.add_argument("--pairs", type=Path, default=None, help="folder of the pairs (encoder/pairs in the cache)")
    parser.add_argument("--only", choices=STAGES, help="stop after this stage")
    parser.add_argument("--latents-steps", type=int, default=1500, help="steps of stage latents, 16 images each (1500)")
    parser.add_argument("--images-steps", type=int, default=800, help="steps of the stage images, 8 images each (800)")
    args = parser.parse_args()
    work = args.work or cache_dir() / "encoder"
    torch.manual_seed(0)
    stop = Stop()
    generator = load_generator("faces", engine="torch").requires_grad_(False)
    pairs = Pairs(args.pairs or work / "pairs", generator)

    preview = Preview(generator, SIDE)
    network = EncoderNet(generator.num_ws, generator.w_dim).to(memory_format=torch.channels_last)
    network.w_std.copy_(latent_spread(generator))
    latents = Run(work / "latents.pt", network, torch.optim.AdamW(network.parameters(), weight_decay=0.01))
    network.train()
    if latents.step < args.latents_steps:
        step = latents_step(network, preview, pairs, 16, args.latents_steps // 2, latents)
        if not train(latents, args.latents_steps, 1e-3, step, stop, "latents"):
            return
    if args.only == "latents":
        return
    network.load_state_dict(latents.average)
    images = Run(work / "images.pt", network, torch.optim.AdamW(network.parameters(), weight_decay=0.01))
    photos = training_photos()
    if images.step < args.images_steps:
        step = images_step(network, preview, pairs, photos, 8)
        if not train(images, args.images_steps, 3e-4, step, stop, "images"):
            return
    network.load_state_dict(images.average)
    record = {
        "stages": {
            "latents": {"steps": latents.step, "batch": 16, "minutes": round(latents.seconds / 60, 1)},
            "images": {"steps": images.step, "batch": 8, "minutes": round(images.seconds / 60, 1)},
        },
        "pairs": pairs.count,
        "photos": len(photos),
        "held_out": measure_encoder(Encoder(network, preview, 3), pairs),
        "loss": {
            "latents": latents.log[:: max(1, len(latents.log) // 20)],
            "images": images.log[:: max(1, len(images.log) // 20)],
        },
    }
    write(encoder_module.WEIGHTS_FILE, network.state_dict(), generator, record)
    print(json.dumps(record["held_out"]))


if __name__ == "__main__":
    main()
