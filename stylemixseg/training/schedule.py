"""The learning rate over the steps of a training."""

from __future__ import annotations

import math


def polynomial(step: int, total: int, power: float = 0.9) -> float:
    """Share of the highest learning rate at `step`: (1 - step / total) ** power, at least 1 %.

    The "poly" schedule of DeepLab (Chen et al. 2017, https://arxiv.org/abs/1606.00915), as MMSegmentation's schedules
    have it: rate 0.01, never below 0.0001.

    Args:
        step: in 0..total - 1.
        total: steps of the whole training, at least 1.
        power: of the fall, above 0.

    Returns:
        A number in 0.01..1.
    """
    return max(0.01, (1 - step / total) ** power)


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
