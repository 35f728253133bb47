"""The learning rate over the steps of a training."""

from __future__ import annotations

import math


def warm_cosine(step: int, total: int, warm_up: float = 0.1) -> float:
    """Share of the highest learning rate at `step`: a straight rise at first, then half a cosine down to 0.

    The rise keeps the first steps small, when the optimiser knows little of the gradients' size. The fall lets the
    weights settle (Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983, without restarts).

    Args:
        step: in 0..total - 1.
        total: steps of the whole training, at least 1.
        warm_up: share of them in which the rate rises, in 0..1.

    Returns:
        A number in 0..1.
    """
    start = warm_up * total
    if step < start:
        return (step + 1) / (start + 1)
    return (1 + math.cos(math.pi * (step - start) / (total - start))) / 2
