"""The paper's claims about its settings, as tests on measured numbers.

Each claim is computed from the names of `stylemixseg.results` alone, so the same test runs on our numbers and on the
paper's own printed ones. A verdict is true, false or not measured, and gives the numbers that it rests on. Nothing is
bent: where the text is vague ("generally", "low"), the statement here says how it is read, and the test follows it.
Verdicts compare point values; whether a difference is larger than its sampling error is for the intervals to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from statistics import fmean

SPACES, CUTOFFS, KS = ("rgb", "lab"), (4, 6, 8, 12, 14), (2, 4, 10)  # the axes of Table 4
GOOD_CUTOFFS = (6, 8)  # best rows of Table 4


@dataclass(frozen=True)
class Verdict:
    """Does a claim hold? True, False, or None for not measured; `evidence` gives the numbers."""

    holds: bool | None
    evidence: str

    def __str__(self) -> str:
        return {True: "true", False: "false", None: "not measured"}[self.holds]


@dataclass(frozen=True)
class Names:
    """Where a claim's numbers stand among the measurements.

    Attributes:
        method: prefix of the method's row in Table 1's FFHQ column.
        grid: prefix of Table 4's cells.
    """

    method: str = "table1.ffhq.saliency"
    grid: str = "table4"


OURS = Names()
OURS_CORNER_GRID = Names(grid="table4_corner")
PAPER = Names(method="table1.ffhq.ours")


class _Missing(KeyError):
    """A number that a claim needs was not measured."""


@dataclass(frozen=True)
class _Numbers:
    """Measured values, read by their place in the paper's tables."""

    values: Mapping[str, float]
    names: Names

    def get(self, name: str) -> float:
        if name not in self.values:
            raise _Missing(name)
        return self.values[name]

    def cell(self, space: str, c: int, k: int) -> float:
        return self.get(f"{self.names.grid}.{space}.c{c}.k{k}.miou")

    def mean(self, spaces: Iterable[str] = SPACES, cutoffs: Iterable[int] = CUTOFFS, ks: Iterable[int] = KS) -> float:
        return fmean(self.cell(*place) for place in product(spaces, cutoffs, ks))


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    Attributes:
        id: short name.
        statement: the claim, with how we read it where the text leaves that open.
        source: section or table.
        rule: from numbers to a verdict.
    """

    id: str
    statement: str
    source: str
    rule: Callable[[_Numbers], Verdict]

    def test(self, measurements: Mapping[str, float], names: Names = OURS) -> Verdict:
        """Judge the claim on `measurements`, values by name; a missing one makes it "not measured"."""
        try:
            return self.rule(_Numbers(measurements, names))
        except _Missing as missing:
            return Verdict(None, f"{missing.args[0]} has not been measured")


def _reaches_080(numbers: _Numbers) -> Verdict:
    measured = numbers.get(f"{numbers.names.method}.miou")
    return Verdict(measured >= 0.80, f"mIOU {measured:.3f}")


def _beats_datasetgan(numbers: _Numbers) -> Verdict:
    measured, peer = numbers.get(f"{numbers.names.method}.miou"), numbers.get("table1.ffhq.datasetgan.miou")
    return Verdict(measured > peer, f"mIOU {measured:.3f} against {peer:.3f}")


def _lab_beats_rgb(numbers: _Numbers) -> Verdict:
    lab, rgb = numbers.mean(spaces=["lab"]), numbers.mean(spaces=["rgb"])
    pairs = [(numbers.cell("lab", c, k), numbers.cell("rgb", c, k)) for c, k in product(CUTOFFS, KS)]
    higher, lower = sum(a > b for a, b in pairs), sum(a < b for a, b in pairs)
    return Verdict(
        lab > rgb, f"LAB {lab:.3f}, RGB {rgb:.3f}; LAB higher in {higher} of {len(pairs)} cells, lower in {lower}"
    )


def _columns(numbers: _Numbers, cutoffs: Iterable[int]) -> list[dict[int, float]]:
    """The grid's columns, one a colour space and k: mIOU by cutoff."""
    return [{c: numbers.cell(space, c, k) for c in cutoffs} for space, k in product(SPACES, KS)]


def _ends_are_worst(numbers: _Numbers) -> Verdict:
    columns = _columns(numbers, (4, 6, 8, 12))
    held = sum(max(column[4], column[12]) <= min(column[6], column[8]) for column in columns)
    return Verdict(held > len(columns) / 2, f"so in {held} of {len(columns)} columns")


def _worst_is_4_or_12(numbers: _Numbers) -> Verdict:
    worst = [min(column, key=column.get) for column in _columns(numbers, CUTOFFS)]
    held = sum(c in (4, 12) for c in worst)
    return Verdict(
        held > len(worst) / 2,
        f"so in {held} of {len(worst)} columns; worst c: " + ", ".join(f"{c} in {worst.count(c)}" for c in CUTOFFS),
    )


def _high_cutoff_hurts(numbers: _Numbers) -> Verdict:
    high, good = numbers.mean(cutoffs=(12, 14)), numbers.mean(cutoffs=GOOD_CUTOFFS)
    by_k = ", ".join(
        f"k={k}: {numbers.mean(cutoffs=(12, 14), ks=[k]):.3f} against {numbers.mean(cutoffs=GOOD_CUTOFFS, ks=[k]):.3f}"
        for k in KS
    )
    return Verdict(high < good, f"{high:.3f} against {good:.3f} ({by_k})")


def _best_cutoff(numbers: _Numbers) -> Verdict:
    means = {c: numbers.mean(cutoffs=[c]) for c in CUTOFFS}
    best = max(product(SPACES, CUTOFFS, KS), key=lambda place: numbers.cell(*place))
    listed = ", ".join(f"c={c}: {mean:.3f}" for c, mean in means.items())
    return Verdict(
        max(means, key=means.get) in GOOD_CUTOFFS,
        f"{listed}; best cell {best[0].upper()}, c={best[1]}, k={best[2]}: {numbers.cell(*best):.3f}",
    )


def _k4_beats(other: int) -> Callable[[_Numbers], Verdict]:
    def rule(numbers: _Numbers) -> Verdict:
        four, rival = (numbers.mean(cutoffs=GOOD_CUTOFFS, ks=[k]) for k in (4, other))
        return Verdict(four > rival, f"k=4: {four:.3f}, k={other}: {rival:.3f}")

    return rule


def _k4_best(numbers: _Numbers) -> Verdict:
    means = {k: numbers.mean(ks=[k]) for k in KS}
    return Verdict(max(means, key=means.get) == 4, ", ".join(f"k={k}: {mean:.3f}" for k, mean in means.items()))


CLAIMS = (
    Claim(
        "reaches_080",
        "The method with the saliency rule reaches a mIOU of 0.80 on synthetic faces.",
        "Table 1, FFHQ",
        _reaches_080,
    ),
    Claim(
        "beats_datasetgan",
        "It outperforms the supervised baseline DatasetGAN on synthetic faces in mIOU.",
        "Section 4.2, Table 1",
        _beats_datasetgan,
    ),
    Claim(
        "lab_beats_rgb",
        "LAB is better than RGB, on average over all c and k.",
        "Section 4.6, Table 4",
        _lab_beats_rgb,
    ),
    Claim(
        "ends_are_worst",
        "With k held constant, c = 4 and c = 12 are generally the worst. Read as: among c of 4, 6, 8 and 12, the range "
        "that the text names, neither 4 nor 12 is above 6 or 8, in most columns.",
        "Section 4.6, Table 4",
        _ends_are_worst,
    ),
    Claim(
        "worst_is_4_or_12",
        "The same, read as: over all five cutoffs of the table, the single worst is 4 or 12, in most columns.",
        "Section 4.6, Table 4",
        _worst_is_4_or_12,
    ),
    Claim(
        "high_cutoff_hurts",
        "A very high c hurts: c of 12 and 14 are below 6 and 8, on average.",
        "Section 4.6, Table 4",
        _high_cutoff_hurts,
    ),
    Claim(
        "best_cutoff",
        "The best c is 6 or 8, on average over colour space and k.",
        "Table 4",
        _best_cutoff,
    ),
    Claim(
        "k2_too_few",
        "k = 2 is too few on whole faces: k = 4 is better at c of 6 and 8, on average.",
        "Section 4.6, Table 4",
        _k4_beats(2),
    ),
    Claim(
        "k10_too_many",
        "k = 10 gives low performance: k = 4 is better at c of 6 and 8, on average.",
        "Section 4.6, Table 4",
        _k4_beats(10),
    ),
    Claim(
        "k4_best",
        "Of k = 2, 4 and 10, k = 4 is best, on average over all c and colour spaces.",
        "Section 4.6, Table 4",
        _k4_best,
    ),
)
