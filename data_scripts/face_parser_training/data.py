"""The photos with human masks: which ones are trained on, and how their batches are drawn."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import torch
from torch import Tensor
from tqdm import tqdm

from stylemixseg._util.checks import check_int
from stylemixseg._util.paths import atomic_write
from stylemixseg.data.celebamask import SPLIT_FILE, MaskedPhotos, with_sides_corrected
from stylemixseg.models import references
from stylemixseg.models.references import INPUT_SIZE
from stylemixseg.training.views import IGNORE, labels_at, random_views

CACHED = 384  # px of the photos kept in memory, a little above the training size so that zooming in stays sharp


def write_split(photos: MaskedPhotos, count: int = 100) -> None:
    """Name the validation photos: the `count` smallest by SHA-256 of the name, so that no one's taste is in it."""
    ordered = sorted(photos.names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    split = {
        "rule": f"the {count} of {len(photos)} photos whose names have the smallest SHA-256",
        "validation": sorted(ordered[:count]),
    }
    with atomic_write(SPLIT_FILE) as path:
        path.write_text(json.dumps(split, indent=1) + "\n")


def load_into_memory(photos: MaskedPhotos, names: list[str]) -> tuple[Tensor, Tensor]:
    """images (N, 3, CACHED, CACHED) uint8 and labels (N, H, W) uint8 at the photos' own size, sides corrected."""
    images, labels = [], []
    for name in tqdm(names, desc="decode", unit="photo", leave=False):
        image, label = photos[name]
        image = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
        images.append(references.resized(image, (CACHED, CACHED)).round().clamp(0, 255).byte())
        labels.append(torch.from_numpy(with_sides_corrected(label).copy())[None])
    return torch.cat(images), torch.cat(labels)


def augmented(images: Tensor, labels: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """A batch of photos and labels, each changed at random.

    (B, 3, C, C) uint8 with labels (B, H, W) -> inputs (B, 3, S, S) in [-1, 1], targets (B, (S + 1) / 2, (S + 1) / 2).
    Targets lie at the centres of the network's output pixels. In a flipped photo left and right parts change names.
    """
    views = random_views(images, INPUT_SIZE, rng)
    target = labels_at(labels, views.grid[:, ::2, ::2])
    known = target != IGNORE
    named = references.MIRRORED_CLASSES[torch.where(known, target, 0)]
    return views.inputs, torch.where(views.flipped.view(-1, 1, 1) & known, named, target)


def batches_of(
    images: Tensor, labels: Tensor, batch: int, seed: int
) -> Callable[[int, torch.Generator], tuple[Tensor, Tensor]]:
    """The batches of `training.loss_gradients`: every photo once an epoch, in an order that the epoch's number fixes.

    Args:
        images: (N, 3, C, C) uint8. labels: (N, H, W) uint8.
        batch: photos a step, in 1..N; the rest of an epoch that fills no batch is left out.
        seed: of the orders.
    """
    per_epoch = len(images) // check_int("batch", batch, 1, len(images))

    def draw(step: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        epoch, position = divmod(step, per_epoch)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed + epoch))
        chosen = order[position * batch : (position + 1) * batch]
        inputs, targets = augmented(images[chosen], labels[chosen], rng)
        return inputs.contiguous(memory_format=torch.channels_last), targets

    return draw
