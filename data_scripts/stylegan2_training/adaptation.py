"""ADA's controller: how much augmentation, from how sure the discriminator is of the training images.

Karras et al. 2020, https://arxiv.org/abs/2006.06676, section 3.2. With little data D learns the images by heart, and
its answers say less and less to G. The sign is that D finds nearly all training images real: r_t = E[sign(D(x))] goes
to 1. More augmentation makes D's task harder, and r_t falls.
"""

from __future__ import annotations

import torch
from torch import Tensor

INTERVAL = 4  # batches between two changes of p


class Adaptation:
    """The probability p of every augmentation, moved so that r_t stays near a target.

    Args:
        target: of r_t, 0.6 in the paper; 0 leaves p at 0, training without augmentation.
        kimg: thousands of images that p takes from 0 to 1 at full speed, 500 in the paper.

    Attributes:
        p: in 0..1. r: r_t as last measured, in -1..1.
    """

    def __init__(self, target: float, kimg: float):
        self.target, self.images = target, 1000 * kimg
        self.p, self.r = 0.0, 0.0
        self._signs: list[Tensor] = []

    def observe(self, logits: Tensor) -> None:
        """Take D's logits (N,) of a batch of augmented training images into account."""
        self._signs.append(logits.detach().sign())
        if len(self._signs) < INTERVAL:
            return
        signs = torch.cat(self._signs).cpu()
        self._signs.clear()
        self.r = signs.double().mean().item()
        if self.target > 0:
            step = len(signs) / self.images
            self.p = min(1.0, max(0.0, self.p + step * ((self.r > self.target) - (self.r < self.target))))

    def state_dict(self) -> dict:
        return {"p": self.p, "r": self.r, "signs": [signs.cpu() for signs in self._signs]}

    def load_state_dict(self, state: dict, device: torch.device) -> None:
        self.p, self.r = state["p"], state["r"]
        self._signs = [signs.to(device) for signs in state["signs"]]
