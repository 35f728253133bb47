from itertools import product

import numpy as np
import pytest

from stylemixseg.evaluation.imagescores import ImageScores
from stylemixseg.ledger.claims import CLAIMS, CUTOFFS, KS, OURS, OURS_CORNER_GRID, PAPER, SPACES
from stylemixseg.ledger.page import paper_values
from stylemixseg.metrics import Confusion, mean_iou

BY_ID = {claim.id: claim for claim in CLAIMS}


def grid(value, prefix="table4"):
    """A grid of Table 4's shape from a function of (space, c, k)."""
    return {f"{prefix}.{s}.c{c}.k{k}.miou": value(s, c, k) for s, c, k in product(SPACES, CUTOFFS, KS)}


def test_ids_are_unique_and_statements_are_sentences():
    assert len(BY_ID) == len(CLAIMS)
    assert all(claim.statement.endswith(".") and claim.source for claim in CLAIMS)


# Worked by hand from the printed table.
@pytest.mark.parametrize(
    "id, holds, evidence",
    [
        ("reaches_080", True, "mIOU 0.800"),
        ("beats_datasetgan", True, "0.800 against 0.780"),
        ("lab_beats_rgb", True, "LAB 0.666, RGB 0.655; LAB higher in 10 of 15 cells, lower in 3"),
        ("ends_are_worst", True, "5 of 6"),
        ("worst_is_4_or_12", False, "3 of 6 columns; worst c: 4 in 0, 6 in 0, 8 in 0, 12 in 3, 14 in 3"),
        ("high_cutoff_hurts", True, "0.573 against 0.734"),
        ("best_cutoff", True, "best cell LAB, c=6, k=4: 0.790"),
        ("k2_too_few", True, "k=4: 0.770, k=2: 0.750"),
        ("k10_too_many", True, "k=4: 0.770, k=10: 0.682"),
        ("k4_best", True, "k=2: 0.621, k=4: 0.689, k=10: 0.671"),
    ],
)
def test_the_papers_own_numbers(id, holds, evidence):
    verdict = BY_ID[id].test(paper_values(), PAPER)
    assert verdict.holds is holds
    assert evidence in verdict.evidence


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_what_is_not_measured_is_neither_true_nor_false(claim):
    verdict = claim.test({})
    assert verdict.holds is None and str(verdict) == "not measured" and "has not been measured" in verdict.evidence


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if claim.source.endswith("Table 4")], ids=lambda c: c.id)
def test_every_claim_about_the_grid_can_fail(claim):
    """A grid that turns everything round: RGB, c of 12 or 14 best, k=4 worst."""
    reversed_grid = grid(lambda s, c, k: 0.5 + 0.1 * (s == "rgb") + 0.02 * c - 0.1 * (k == 4))
    if claim.id == "worst_is_4_or_12":
        reversed_grid = grid(lambda s, c, k: 0.9 - 0.02 * c)
    assert claim.test(reversed_grid).holds is False


def test_one_missing_cell_is_enough_to_withhold_the_verdict():
    values = grid(lambda s, c, k: 0.7)
    del values["table4.lab.c8.k4.miou"]
    verdict = BY_ID["lab_beats_rgb"].test(values)
    assert verdict.holds is None and "table4.lab.c8.k4.miou" in verdict.evidence


def test_no_rounding_up_to_the_papers_number():
    assert BY_ID["reaches_080"].test({"table1.ffhq.saliency.miou": 0.7999}).holds is False
    assert BY_ID["reaches_080"].test({"table1.ffhq.saliency.miou": 0.8}).holds is True
    assert BY_ID["reaches_080"].test({"toy.table1.ffhq.saliency.miou": 0.99}).holds is None


def test_equal_is_not_better():
    level = grid(lambda s, c, k: 0.7)
    for id in ("lab_beats_rgb", "high_cutoff_hurts", "k2_too_few", "k10_too_many"):
        assert BY_ID[id].test(level).holds is False


def test_the_corner_grid_is_read_by_its_own_names():
    values = grid(lambda s, c, k: 0.6 + 0.1 * (s == "lab"), prefix="table4_corner")
    assert BY_ID["lab_beats_rgb"].test(values, OURS).holds is None
    assert BY_ID["lab_beats_rgb"].test(values, OURS_CORNER_GRID).holds is True


# Our own numbers: a paired bootstrap over images.


def scored(value, images=40, prefix="table4"):
    """Means and images' scores of a grid, from a function of (space, c, k, image)."""
    scores = {
        f"{prefix}.{s}.c{c}.k{k}": ImageScores.of_values([value(s, c, k, i) for i in range(images)])
        for s, c, k in product(SPACES, CUTOFFS, KS)
    }
    return {f"{name}.miou": float(item.values.mean()) for name, item in scores.items()}, scores


def test_a_difference_that_every_image_shows_is_told_though_images_differ_much_more():
    """Images scatter by .25, LAB is better by .002 on each: only a comparison in pairs sees that."""
    rng = np.random.default_rng(0)
    base = rng.normal(0.6, 0.25, 40)
    means, scores = scored(lambda s, c, k, i: base[i] + 0.002 * (s == "lab"))
    verdict = BY_ID["lab_beats_rgb"].judge(means, scores)
    assert verdict.holds is True and verdict.share == 1.0
    means, scores = scored(lambda s, c, k, i: base[i] - 0.002 * (s == "lab"))
    assert BY_ID["lab_beats_rgb"].judge(means, scores).holds is False


def test_a_difference_that_few_images_carry_is_not_told():
    """One image of six makes the mean: another six images might not have it."""
    means, scores = scored(lambda s, c, k, i: 0.5 + (0.3 if s == "lab" else 0) * (i == 0), images=6)
    assert BY_ID["lab_beats_rgb"].test(means).holds is True
    verdict = BY_ID["lab_beats_rgb"].judge(means, scores)
    assert (
        verdict.holds is None
        and str(verdict) == "cannot tell"
        and verdict.evidence == BY_ID["lab_beats_rgb"].test(means).evidence
    )
    assert verdict.share == pytest.approx(1 - (5 / 6) ** 6, abs=0.03)  # the share of the sets that hold the image


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if claim.source.endswith("Table 4")], ids=lambda c: c.id)
def test_resampled_sets_are_judged_as_single_ones_are(claim):
    """Where all images are equal, every resampled set is the grid itself, and the two ways must agree."""
    for value in (lambda s, c, k: 0.5 + 0.1 * (s == "rgb") + 0.02 * c - 0.1 * (k == 4),
                  lambda s, c, k: 0.9 - 0.01 * abs(c - 7) - 0.02 * abs(k - 4) + 0.05 * (s == "lab"),
                  lambda s, c, k: 0.9 - 0.02 * c):  # fmt: skip
        means, scores = scored(lambda s, c, k, i, value=value: value(s, c, k), images=3)
        verdict = claim.judge(means, scores, samples=7)
        assert verdict.holds is claim.test(means).holds and verdict.share in (0.0, 1.0)


def test_table_1_is_drawn_with_its_counts():
    good, bad, paper = Confusion(95, 2, 3, 100), Confusion(70, 25, 25, 80), paper_values()

    def judged(id, images):
        scores = {"table1.ffhq.saliency": ImageScores.of_confusions(images)}
        return BY_ID[id].judge({"table1.ffhq.saliency.miou": mean_iou(images, "dataset")}, scores, paper=paper)

    verdict = judged("beats_datasetgan", [good] * 9 + [bad])
    assert verdict.holds is True and verdict.share > 0.99 and verdict.evidence.endswith("against 0.780")
    assert judged("beats_datasetgan", [bad] * 9 + [good]).holds is False
    assert judged("reaches_080", [bad] * 5 + [good] * 5).holds is None


def test_the_papers_grid_never_stands_in_for_ours():
    """Names of Table 4 are the same for both: what we did not measure stays not measured."""
    verdict = BY_ID["lab_beats_rgb"].judge({}, {}, paper=paper_values())
    assert str(verdict) == "not measured"
    means, scores = scored(lambda s, c, k, i: 0.5)
    del scores["table4.lab.c8.k4"]
    verdict = BY_ID["lab_beats_rgb"].judge(means, scores, paper=paper_values())
    assert (
        verdict.share is None and "(point values: images' scores of table4.lab.c8.k4 were not kept)" in verdict.evidence
    )
