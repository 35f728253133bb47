"""The training of a student: random views of the pairs, and a loss in which doubtful pixels weigh little."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylemixseg._util.checks import check_choice, check_int, check_real, check_view_side
from stylemixseg._util.tensors import check_device
from stylemixseg.metrics import confusion, mean_iou
from stylemixseg.models.student import Student
from stylemixseg.students.pairs import Pairs
from stylemixseg.training import (
    GradientLearner,
    Stopping,
    Training,
    WeightAverage,
    has_fast_bfloat16,
    loss_gradients,
    polynomial,
    ramped_decay,
    warm_cosine,
)
from stylemixseg.training.views import IGNORE, labels_at, random_views, values_at


@dataclass(frozen=True)
class StudentTraining:
    """How a student is trained.

    Attributes:
        steps: of the optimiser.
        batch: pairs in a step.
        side: pixels of the views, a multiple of 16, plus 1.
        rate: highest learning rate.
        optimiser: "adamw" with a weight decay of 0.02 and a rate that rises and falls (`schedule.warm_cosine`), or
            "sgd" as in MMSegmentation: momentum 0.9, weight decay 5e-4, a falling rate (`schedule.polynomial`).
        seed: of everything random but the network's first weights.
    """

    steps: int = 600
    batch: int = 16
    side: int = 193
    rate: float = 1e-3
    optimiser: str = "adamw"
    seed: int = 0

    def __post_init__(self) -> None:
        check_int("steps", self.steps, 1)
        check_int("batch", self.batch, 2)
        check_view_side("side", self.side)
        check_real("rate", self.rate, 1e-6, 1)
        check_choice("optimiser", self.optimiser, ("adamw", "sgd"))
        check_int("seed", self.seed, 0, 2**32 - 1)


def weighted_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy with soft masks: a pixel counts the more the surer its mask is, and nothing outside of the image.

    Args:
        scores: (B, 1, h, w) log-odds.
        targets: (B, 2, h, w) float32: the soft mask in 0..1, and 1 inside of the image, 0 outside.
    """
    mask, inside = targets[:, :1], targets[:, 1:]
    weight = inside * (2 * mask - 1).abs()
    losses = F.binary_cross_entropy_with_logits(scores, mask, reduction="none")
    return (losses * weight).sum() / weight.sum().clamp(min=1)


def class_loss(pairs: Pairs) -> Callable[[Tensor, Tensor], Tensor]:
    """Cross-entropy with labels; a class weighs the more the rarer it is, or clothes would never be predicted.

    Weights are the inverse square roots of the classes' shares of the pixels, which lies between no balance and equal
    sums for all classes.

    Args:
        pairs: whose labels are counted.

    Returns:
        (scores (B, C, h, w), labels (B, h, w) int64 with `IGNORE`) -> scalar.

    Raises:
        ValueError: a class without a single pixel.
    """
    counts = torch.bincount(pairs.masks.flatten(), minlength=IGNORE + 1)[: len(pairs.classes)].float()
    if absent := [name for name, count in zip(pairs.classes, counts.tolist(), strict=True) if not count]:
        raise ValueError(f"pairs must show every class, got none with {', '.join(absent)}")
    weights = counts.rsqrt()
    weights = weights / weights.mean()

    def loss(scores: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(scores, labels, weights, ignore_index=IGNORE)

    return loss


def fit_student(
    network: nn.Module,
    pairs: Pairs,
    how: StudentTraining,
    state: Path,
    stop: Stopping,
    *,
    start: str = "",
    after_step: Callable[[Training], None] | None = None,
    device: str = "cpu",
) -> nn.Module | None:
    """Train a network on pairs; a run that was stopped goes on from its state file.

    Args:
        network: (B, 3, S, S) in [-1, 1] -> log-odds (B, 1, S', S'), S' either S or (S + 1) / 2; for pairs with
            classes scores (B, C, S', S').
        pairs: to learn from, at least `how.batch`.
        how: the training.
        state: file of the training's state.
        stop: asks for an end after the current step.
        start: what the network's first weights are, in words; a state that began from others is refused.
        after_step: called after every step, to measure or to show.
        device: where the pairs are kept, the views computed and the network trained, such as "cuda".

    Returns:
        The averaged network in evaluation mode, on the CPU, or None where `stop` ended the training before the last
        step.

    Raises:
        ValueError: fewer pairs than a batch, a class without a single pixel, or a device that PyTorch cannot use here.
        TrainingStateError: the state file is of another training: other pairs, settings or first weights.
    """
    if len(pairs) < how.batch:
        raise ValueError(f"pairs must be at least a batch of {how.batch}, got {len(pairs)}")
    digest, device = pairs.digest, check_device("device", device)
    network = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    pairs = Pairs(pairs.images.to(device), pairs.masks.to(device), pairs.classes)
    per_epoch = len(pairs) // how.batch
    with torch.no_grad():  # in evaluation mode: running statistics must not take up this picture of zeros
        stride = 2 if network(torch.zeros(1, 3, how.side, how.side, device=device)).shape[-1] < how.side else 1
    network.train()

    def draw(step: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        epoch, position = divmod(step, per_epoch)
        order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(how.seed + epoch))
        chosen = order[position * how.batch : (position + 1) * how.batch]
        views = random_views(pairs.images[chosen], how.side, rng)
        inputs, grid = views.inputs.contiguous(memory_format=torch.channels_last), views.grid[:, ::stride, ::stride]
        if pairs.classes:
            return inputs, labels_at(pairs.masks[chosen], grid)
        mask, inside = values_at(pairs.masks[chosen], grid)
        return inputs, torch.stack([mask, inside.float()], 1)

    optimiser: torch.optim.Optimizer
    if how.optimiser == "sgd":
        optimiser = torch.optim.SGD(network.parameters(), lr=how.rate, momentum=0.9, weight_decay=5e-4)
        rate = partial(polynomial, total=how.steps)
    else:
        optimiser = torch.optim.AdamW(network.parameters(), lr=how.rate, weight_decay=0.02)
        rate = partial(warm_cosine, total=how.steps)
    dtype = torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
    loss = class_loss(pairs) if pairs.classes else weighted_loss
    learner = GradientLearner(
        network,
        optimiser,
        loss_gradients(network, draw, loss, device=device, dtype=dtype),
        WeightAverage(network, ramped_decay(0.99)),
        rate=rate,
        max_norm=5.0,
        seed=how.seed,
    )
    run = Training(learner, state, settings={**asdict(how), "start": start, "pairs": digest})

    def shown() -> None:
        run.shown = {"loss": f"{learner.loss:.3f}"}
        if after_step is not None:
            after_step(run)

    ending = run.run(how.steps, stop, after_step=shown)
    return learner.average.network.to("cpu") if ending == "finished" else None


def held_out_miou(pairs: Pairs, side: int) -> Callable[[nn.Module], float]:
    """A function that measures a foreground network on held-out pairs while the network learns.

    Args:
        pairs: a few dozen, since all go through the network at once; soft masks, of which at least one half is
            foreground.
        side: pixels at which the network looks at an image.

    Returns:
        (network) -> mIoU in 0..1 over all pixels of all pairs.

    Raises:
        ValueError: pairs with classes.
    """
    if pairs.classes:
        raise ValueError(f"pairs must have soft masks, got the classes {', '.join(pairs.classes)}")
    images, truths = pairs.images.float() / 127.5 - 1, pairs.masks.numpy() > 127

    def measured(network: nn.Module) -> float:
        device = next(network.parameters()).device
        found = Student(network, side).foreground(images.to(device)).cpu().numpy()
        return mean_iou([confusion(mask, truth) for mask, truth in zip(found, truths, strict=True)], "dataset")

    return measured
