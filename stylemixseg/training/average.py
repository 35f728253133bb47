"""The exponential moving average of a network's weights, which is what a training gives in the end.

The weights of single steps jump about, because every step sees another batch. Their average is steadier and usually
scores better, so it is what all the trainings of this package keep.

PyTorch's `torch.optim.swa_utils.AveragedModel` is not used: it begins with a copy of the weights after the first step,
where StyleGAN2's average and ours begin with those before it, and it hands the decay no step number, on which all the
decays here depend.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn


class WeightAverage:
    """The moving average of a network's state: a <- d a + (1 - d) w after every step, with d = decay(step).

    Weights and floating-point buffers (running statistics) are averaged; whole numbers, such as the counters of batch
    normalisation, are copied.

    Args:
        network: in training; it is looked at again at every `follow`.
        decay: the number of the step, as `follow` is given it -> share of the average that is kept, in 0..1.

    Attributes:
        network: a copy with the averaged weights, in evaluation mode and without gradients, ready to be used.

    Example:
        >>> layer = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.constant_(layer.weight, 1.0)
        >>> average = WeightAverage(layer, decay=lambda step: 0.75)
        >>> _ = nn.init.constant_(layer.weight, 3.0)
        >>> average.follow(1)
        >>> average.network.weight.item()  # 0.75 * 1 + 0.25 * 3
        1.5
    """

    def __init__(self, network: nn.Module, decay: Callable[[int], float]):
        self._followed = network
        self._decay = decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Take the weights as they are now, at this step, into the average."""
        share = 1 - self._decay(step)
        followed = self._followed.state_dict()
        for name, mean in self.network.state_dict().items():  # these tensors are the network's own
            if mean.is_floating_point():
                mean.lerp_(followed[name], share)
            else:
                mean.copy_(followed[name])

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged state, as `network.state_dict()`."""
        return self.network.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over a state of `state_dict`."""
        self.network.load_state_dict(state)


def ramped_decay(highest: float) -> Callable[[int], float]:
    """The decay min(highest, (1 + t) / (10 + t)) of step t.

    A constant decay would keep the random weights of the start in the average for 1 / (1 - highest) steps. The ramp
    makes the average forget them: after t steps it reaches back over about the last tenth of them.
    """
    return lambda step: min(highest, (1 + step) / (10 + step))
