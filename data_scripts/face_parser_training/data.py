"""The photos with human masks: which ones are trained on, and how their batches are drawn."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from stylemixseg._util.checks import check_int
from stylemixseg._util.paths import atomic_write
from stylemixseg.data.celebamask import SPLIT_FILE, MaskedPhotos, with_sides_corrected
from stylemixseg.models import references
from stylemixseg.models.references import INPUT_SIZE

IGNORE = 255  # label of pixels outside the photo after a shift or turn
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

    Flip (left and right parts change names), zoom 0.7 to 1.35, turn up to 15 degrees, shift up to a tenth, then
    brightness, contrast, saturation and a colour cast. Targets lie at the centres of the network's output pixels.
    """
    b = len(images)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
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
