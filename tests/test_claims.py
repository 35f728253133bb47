from itertools import product

import pytest

from stylemixseg.experiments.claims import CLAIMS, CUTOFFS, KS, OURS, OURS_CORNER_GRID, PAPER, SPACES
from stylemixseg.ledger import paper_values

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
