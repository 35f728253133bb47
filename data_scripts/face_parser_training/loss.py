"""The loss: cross-entropy and Dice."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from stylemixseg.models.references import NUM_CLASSES
from stylemixseg.training.views import IGNORE


def loss_of(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy + half the Dice loss over the batch's classes, which keeps small parts from being drowned.

    logits (B, 19, h, w), target (B, h, w) with IGNORE where there is no photo.
    """
    log_p = F.log_softmax(logits, dim=1)
    cross_entropy = F.nll_loss(log_p, target, ignore_index=IGNORE)
    valid = target != IGNORE
    p = log_p.exp() * valid.unsqueeze(1)  # (B, 19, h, w)
    flat = torch.where(valid, target, 0).unsqueeze(1)
    hit = p.gather(1, flat) * valid.unsqueeze(1)  # probability given to the true class
    classes = target[valid]
    truth = torch.bincount(classes, minlength=NUM_CLASSES).float()
    overlap = torch.zeros(NUM_CLASSES).index_add(0, classes, hit.squeeze(1)[valid])
    present = truth > 0
    dice = (2 * overlap[present] + 1) / (p.sum((0, 2, 3))[present] + truth[present] + 1)
    return cross_entropy + 0.5 * (1 - dice.mean())
