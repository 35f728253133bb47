"""The usual step of a training: a loss, its gradients, one step of the optimiser, the averaged weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stylemixseg._util.checks import check_int
from stylemixseg.training.average import WeightAverage

Gradients = Callable[[int, torch.Generator], float]
Batches = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]


def seed_step(seed: int, step: int) -> torch.Generator:
    """Seed torch's generators, those of GPUs too, for one step, and return the one of the CPU.

    What is drawn in a step (batch, augmentation, dropout, noise) then depends on its number alone. A training that was
    stopped draws the same numbers afterwards as one that was not, without any random state being kept.
    """
    return torch.manual_seed(seed * 1_000_003 + step)


class GradientLearner:
    """One network that descends one loss: what `loop.Training` runs.

    Args:
        network: in training mode, on its device.
        optimiser: of its parameters; the learning rates that its groups have now are the highest ones.
        gradients: (step, rng) -> the loss. It leaves the gradients in the parameters: see `loss_gradients`, or call
            `backward` as often as the loss needs. Everything random comes from `rng` or from torch's own generators.
        average: follows the network.
        rate: step -> share of the highest learning rates, in 0..1, such as `schedule.warm_cosine`; None: all of them.
        max_norm: the gradient is shortened to this length where it is longer; None: never.
        seed: of all random numbers, see `seed_step`.

    Attributes:
        step: steps taken so far. loss: of the last one, NaN before the first.
    """

    def __init__(
        self,
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
        gradients: Gradients,
        average: WeightAverage,
        *,
        rate: Callable[[int], float] | None = None,
        max_norm: float | None = None,
        seed: int = 0,
    ):
        self.network, self.optimiser, self.average = network, optimiser, average
        self._gradients, self._rate, self._max_norm = gradients, rate, max_norm
        self.seed = check_int("seed", seed, 0, 2**32 - 1)
        self._highest = [group["lr"] for group in optimiser.param_groups]
        self.step, self.loss = 0, math.nan

    def take_step(self) -> None:
        """Take the next step.

        Raises:
            RuntimeError: the loss is NaN or infinite; the weights are then still those before the step.
        """
        rng = seed_step(self.seed, self.step)
        self.optimiser.zero_grad(set_to_none=True)
        loss = self._gradients(self.step, rng)
        if not math.isfinite(loss):
            raise RuntimeError(
                f"the loss became {loss} at step {self.step}: lower the learning rate. The last saved state is kept"
            )
        if self._max_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self._max_norm)
        share = 1.0 if self._rate is None else self._rate(self.step)
        for group, highest in zip(self.optimiser.param_groups, self._highest):
            group["lr"] = highest * share
        self.optimiser.step()
        self.step += 1
        self.average.follow(self.step)
        self.loss = loss

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state of `state_dict`."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.load_state_dict(state["average"])
        self.step = state["step"]


def loss_gradients(
    network: nn.Module,
    batches: Batches,
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Gradients:
    """The gradients of a loss of batches of inputs and targets: supervised learning, segmentation for one.

    Args:
        network: on `device`.
        batches: (step, rng) -> inputs and targets of that step, on any device. They must depend on the two arguments
            alone, so that a training which was stopped sees the same batches.
        loss: (outputs in float32, targets) -> scalar.
        device: where the network is.
        dtype: of the network's layers. torch.bfloat16 computes matrix products and convolutions in it, where
            `precision.has_fast_bfloat16` says that this is faster; weights and loss stay in float32.

    Returns:
        The argument `gradients` of `GradientLearner`.

    Example:
        Learning to find dark pixels, from images (B, 1, 8, 8) and labels (B, 8, 8):

        >>> from torch.nn import functional as F
        >>> def dark_pixels(step, rng):
        ...     images = torch.rand(4, 1, 8, 8, generator=rng)
        ...     return images, (images[:, 0] < 0.5).long()
        >>> _ = torch.manual_seed(0)
        >>> network = nn.Conv2d(1, 2, 1)
        >>> learner = GradientLearner(
        ...     network,
        ...     torch.optim.Adam(network.parameters(), lr=0.1),
        ...     loss_gradients(network, dark_pixels, F.cross_entropy),
        ...     WeightAverage(network, decay=lambda step: 0.9),
        ... )
        >>> for _ in range(100):
        ...     learner.take_step()
        >>> images, labels = dark_pixels(0, torch.Generator().manual_seed(1))
        >>> bool((learner.average.network(images).argmax(1) == labels).float().mean() > 0.9)
        True
    """
    device = torch.device(device)

    def gradients(step: int, rng: torch.Generator) -> float:
        inputs, targets = (part.to(device) for part in batches(step, rng))
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            outputs = network(inputs)
        value = loss(outputs.float(), targets)
        value.backward()
        return value.item()

    return gradients
