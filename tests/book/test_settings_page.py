"""What the settings page says about the paper's Table 4 follows from the table, and agrees with the ledger's claims."""

from pathlib import Path

from stylemixseg.ledger.claims import CLAIMS, KS, PAPER, SPACES
from stylemixseg.ledger.page import paper_values

PAGE = " ".join((Path(__file__).resolve().parents[2] / "book" / "settings.md").read_text().split())
VALUES = paper_values()
COLUMNS = {
    (space, k): {c: VALUES[f"table4.{space}.c{c}.k{k}.miou"] for c in (4, 6, 8, 12, 14)} for space in SPACES for k in KS
}
WORDS = ("none", "one", "two", "three", "four", "five", "six")


def test_how_often_4_and_12_are_the_lowest():
    not_above = [place for place, column in COLUMNS.items() if max(column[4], column[12]) <= min(column[6], column[8])]
    strictly = [place for place, column in COLUMNS.items() if max(column[4], column[12]) < min(column[6], column[8])]
    assert f"neither 4 nor 12 is above 6 or 8 in {WORDS[len(not_above)]} of {WORDS[len(COLUMNS)]} columns" in PAGE
    assert set(not_above) - set(strictly) == {("lab", 10)} and set(COLUMNS) - set(not_above) == {("rgb", 10)}
    assert f"strictly the two lowest in the {WORDS[len(strictly)]} columns with $k = 2$ and $k = 4$" in PAGE
    assert {k for _, k in strictly} == {2, 4}
    (claim,) = (item for item in CLAIMS if item.id == "ends_are_worst")
    assert f"{len(not_above)} of {len(COLUMNS)} columns" in claim.test(VALUES, PAPER).evidence


def test_the_worst_cutoff_of_each_column():
    worst = {space: [min(COLUMNS[space, k], key=COLUMNS[space, k].get) for k in KS] for space in SPACES}
    assert f"is {', '.join(map(str, worst['rgb']))} (RGB, $k$ = 2, 4, 10)" in PAGE
    assert f"and {', '.join(map(str, worst['lab']))} (LAB)" in PAGE


def test_what_lab_brings():
    cents = {(c, k): round(100 * (COLUMNS["lab", k][c] - COLUMNS["rgb", k][c])) for c in (4, 6, 8, 12, 14) for k in KS}
    mean = sum(cents.values()) / len(cents) / 100
    higher, lower = (sum(sign * value > 0 for value in cents.values()) for sign in (1, -1))
    assert f"Over the {len(cents)} pairs of cells, LAB minus RGB is {mean:+.3f} on average" in PAGE
    assert f"higher in {higher}, equal in {len(cents) - higher - lower}, and lower in {lower}" in PAGE
