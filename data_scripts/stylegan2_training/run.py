"""A training in its folder: its state, its log, sheets of samples, a distance to real images, and what it exports."""

from __future__ import annotations

import datetime
import json
import math
import platform
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from stylegan2_training.data import Images
from stylegan2_training.frechet import Metric
from stylegan2_training.trainer import Trainer
from stylemixseg._util.paths import atomic_write, sha256_file
from stylemixseg.generators.base import mean_latent, seeded_z, weights_digest
from stylemixseg.generators.checkpoints import Checkpoint, save_checkpoint
from stylemixseg.generators.stylegan2.network import W_AVG_SAMPLES, W_AVG_SEED
from stylemixseg.mixing import to_uint8
from stylemixseg.training import Stopping, Training

SHEET = (4, 8)  # rows and columns of a sheet of samples
SAVE_SECONDS = 180
METRIC_SEED = 1  # of the latents and of which real images are compared; the sheets' seeds count from 0


class Run:
    """A training in its folder: `checkpoint.pt`, `log.jsonl`, `images.json`, `samples/`.

    Args:
        work: the folder; a checkpoint in it is taken up.
        images: what is learnt. metric_images: how many are compared with as many generated ones.

    Raises:
        ValueError: the folder's training had other settings or other images.
    """

    def __init__(self, work: Path, trainer: Trainer, images: Images, metric_images: int):
        self.work, self.trainer, self.images = work, trainer, images
        self.metric_images = min(metric_images, len(images) // 2)
        if self.metric_images < 2:
            raise ValueError(
                f"two sets of at least 2 real images are compared, got {len(images)} images and "
                f"--metric-images {metric_images}"
            )
        self._metric: Metric | None = None
        work.mkdir(parents=True, exist_ok=True)
        described = work / "images.json"
        if described.exists() and (kept := json.loads(described.read_text())) != images.record:
            raise ValueError(f"{work} was trained on other images ({kept}, now {images.record}): give another --work")
        with atomic_write(described) as path:
            path.write_text(json.dumps(images.record, indent=1) + "\n")
        self.training = Training(
            trainer, work / "checkpoint.pt", settings=asdict(trainer.settings), save_seconds=SAVE_SECONDS
        )
        self._write_log()  # without what a run wrote after its last checkpoint: those steps will be taken again

    def record(self, entry: dict) -> None:
        """Add an entry to the log, which is kept with the state and stands in `log.jsonl` for reading."""
        trainer = self.trainer
        where = {"step": trainer.step, "kimg": round(trainer.images_seen / 1000, 3)}
        self.training.log.append({**where, **entry, "seconds": round(self.training.seconds, 1)})
        self._write_log()

    def _write_log(self) -> None:
        with atomic_write(self.work / "log.jsonl") as path:
            path.write_text("".join(json.dumps(entry) + "\n" for entry in self.training.log))

    def train(self, kimg: float, stop: Stopping, *, report_kimg: float, sheet_kimg: float, metric_kimg: float) -> bool:
        """Take steps until D has seen `kimg` thousand images; True when that is done.

        Args:
            report_kimg, sheet_kimg, metric_kimg: how often losses are written, samples drawn, the distance measured
                (0: never).
        """
        trainer, training, batch = self.trainer, self.training, self.trainer.settings.batch
        reported = (training.seconds, trainer.images_seen)

        def after_step() -> None:
            nonlocal reported
            seen = trainer.images_seen
            before = seen - batch
            if crossed(before, seen, report_kimg):
                losses = {
                    name: round(value, 5) for name, value in trainer.take_losses().items()
                }  # waits for the device
                pace = 1000 * (training.seconds - reported[0]) / (seen - reported[1])
                reported = (training.seconds, seen)
                ada = {"p": round(trainer.adaptation.p, 5), "r": round(trainer.adaptation.r, 4)}
                self.record({**losses, **ada, "sec_per_kimg": round(pace, 3)})
                training.shown = {"p": f"{ada['p']:.3f}", **{name: f"{value:.2f}" for name, value in losses.items()}}
            with training.paused():
                if crossed(before, seen, sheet_kimg):
                    self.write_sheet()
                if crossed(before, seen, metric_kimg):
                    self.record(self.measure())

        steps = math.ceil(1000 * kimg / batch)
        return training.run(steps, stop, after_step=after_step, unit="img", unit_scale=batch) == "finished"

    def write_sheet(self) -> Path:
        """A PNG of samples of the averaged generator, the same latents every time, psi = 1."""
        rows, columns = SHEET
        z = seeded_z(range(rows * columns), self.trainer.average.z_dim)
        pixels = to_uint8(torch.cat([self.trainer.sample(part) for part in z.split(columns)]))  # (N, R, R, 3)
        side = pixels.shape[1]
        grid = pixels.reshape(rows, columns, side, side, 3).swapaxes(1, 2).reshape(rows * side, columns * side, 3)
        file = self.work / "samples" / f"{self.trainer.images_seen:09d}.png"
        with atomic_write(file) as path:
            Image.fromarray(grid).save(path)
        return file

    def measure(self) -> dict:
        """The distance between generated and real images, see `Metric`."""
        device, count, batch = self.trainer.device, self.metric_images, 16
        if self._metric is None:
            order = np.random.default_rng(METRIC_SEED).permutation(len(self.images))
            real, other = (np.sort(order[start : start + count]) for start in (0, count))
            self._metric = Metric(
                *(Batches(lambda at: self.images.at(at, device), chosen, batch) for chosen in (real, other)),
                count,
                device,
            )
        z = torch.from_numpy(np.random.default_rng(METRIC_SEED).standard_normal((count, self.trainer.average.z_dim)))
        return {"metric": self._metric(Batches(self.trainer.sample, z.float(), batch))}

    def export(self, path: Path) -> Path:
        """Write the averaged generator as .safetensors, and a .json beside it that says where it comes from."""
        trainer, average = self.trainer, self.trainer.average
        weights = {name: value.cpu() for name, value in average.weights().items()}
        mapping = average.mapping_network.to("cpu")
        weights["mapping.w_avg"] = mean_latent(mapping, average.z_dim, W_AVG_SAMPLES, W_AVG_SEED)
        mapping.to(trainer.device)
        source, kimg = self.images.record["source"], round(trainer.images_seen / 1000, 3)
        note = f"trained by data_scripts/train_stylegan2.py on {source}, {kimg} thousand images"
        licence = "Apache-2.0, as this package" if source.startswith("rendered") else None
        checkpoint = Checkpoint("stylemixseg", average.architecture, weights, weights_digest(weights), (note,), licence)
        save_checkpoint(checkpoint, path)
        provenance = {
            "sha256": sha256_file(path),
            "made_by": "data_scripts/train_stylegan2.py",
            "date": datetime.date.today().isoformat(),
            "images": self.images.record,
            "kimg": kimg,
            "seconds": round(self.training.seconds),
            "hardware": hardware(trainer.device),
            "precision": str(trainer.dtype).removeprefix("torch."),
            "settings": asdict(trainer.settings),
            "p": round(trainer.adaptation.p, 5),
            **self.measure(),
            "versions": {"python": platform.python_version(), "torch": torch.__version__.split("+")[0]},
        }
        with atomic_write(path.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps(provenance, indent=1) + "\n")
        return path


class Batches:
    """`load` of the rows of an array or tensor, a batch at a time; its length is known to a progress bar."""

    def __init__(self, load, rows, batch: int):
        self.load, self.rows, self.batch = load, rows, batch

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch)

    def __iter__(self):
        for start in range(0, len(self.rows), self.batch):
            yield self.load(self.rows[start : start + self.batch])


def crossed(before: int, seen: int, every_kimg: float) -> bool:
    """Whether a multiple of `every_kimg` thousand images lies in before < m <= seen; 0: never."""
    return every_kimg > 0 and int(seen / (1000 * every_kimg)) > int(before / (1000 * every_kimg))


def hardware(device: torch.device) -> str:
    """What the training ran on, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
