"""Where the loss of a mask goes: to the rule, or to what came before it, image by image."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stylemixseg.evaluation.imagescores import ImageScores
from stylemixseg.metrics import bootstrap_mean
from stylemixseg.viz.diagrams import Share


def loss_shares(scores: Mapping[str, ImageScores], measured: str, rule: str, before: str) -> tuple[Share, Share, Share]:
    """What a rule's masks get right, what is lost before the rule, and what the rule loses; they add up to 1.

    The oracle gives each cluster to the side on which most of it lies in the reference. What it lacks to 1 was lost
    before the rule; what the rule has less than the oracle, it lost itself. On single images the second can be below 0.

    Args:
        scores: of all images, as `folder_scores` reads them.
        measured: where the masks were measured, such as "table1.ffhq".
        rule: name of the rule, such as "saliency".
        before: what comes before the rule there, in words: "the clusters".

    Returns:
        Three shares of 1: means of mIoU over the images, with 95 % bootstrap intervals over the same images.

    Raises:
        KeyError: the rule or the oracle was not measured there.
        ValueError: they were measured on different images.
    """
    of_rule, of_oracle = (scores[f"{measured}.{name}"] for name in (rule, "oracle"))
    if of_rule.images != of_oracle.images:
        raise ValueError(f"{measured}: {rule} and oracle must be measured on the same images, in one order")
    parts = {
        "right (mIoU)": of_rule.values,
        f"lost by {before}": 1 - of_oracle.values,
        "lost by the rule": of_oracle.values - of_rule.values,
    }
    first, second, third = (
        Share(name, float(np.mean(values)), bootstrap_mean(values[:, None])) for name, values in parts.items()
    )
    return first, second, third
