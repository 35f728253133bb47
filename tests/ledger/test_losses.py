"""Where the loss goes: three parts that add up to 1, on the same images."""

from __future__ import annotations

import numpy as np
import pytest

from stylemixseg.evaluation.imagescores import ImageScores, folder_scores
from stylemixseg.evaluation.provenance import ROOT
from stylemixseg.ledger.losses import loss_shares


def of(values, images=None):
    return ImageScores.of_values(values, images)


def test_the_parts_of_the_loss():
    scores = {"table1.ffhq.saliency": of([0.5, 0.9]), "table1.ffhq.oracle": of([0.8, 0.8])}
    right, before, rule = loss_shares(scores, "table1.ffhq", "saliency", "the clusters")
    assert (right.value, before.value, rule.value) == pytest.approx((0.7, 0.2, 0.1))
    assert before.name == "lost by the clusters"
    assert rule.interval == pytest.approx((-0.1, 0.3))  # paired: one image loses 0.3, the other gains 0.1
    assert before.interval == pytest.approx((0.2, 0.2))  # the same on both images


def test_other_images_are_refused():
    scores = {"a.saliency": of([0.5], ["x"]), "a.oracle": of([0.8], ["y"])}
    with pytest.raises(ValueError, match="same images"):
        loss_shares(scores, "a", "saliency", "the clusters")
    with pytest.raises(KeyError, match=r"b\.saliency"):
        loss_shares(scores, "b", "saliency", "the clusters")


@pytest.mark.parametrize("measured", ["table1.ffhq", "table1.celeba.both"])
def test_the_full_run_has_what_the_book_draws(measured):
    shares = loss_shares(folder_scores(ROOT / "book" / "results" / "full"), measured, "saliency", "what came before")
    assert sum(share.value for share in shares) == pytest.approx(1)
    assert all(
        np.isfinite(share.interval).all() and share.interval[0] <= share.value <= share.interval[1] for share in shares
    )
