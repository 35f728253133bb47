"""The paper's claims about its settings, as tests on measured numbers.

Each claim is computed from the names of `evaluation.results` alone, so the same test runs on our numbers and on the
paper's own printed ones. Where the text is vague ("generally", "low"), the statement here says how it is read, and the
test follows it.

The paper prints one number per cell, so its own column can only be judged as printed (`Claim.test`). Of our numbers the
scores of every image are known, and two settings are scored on the same images. So our verdicts come from a paired
bootstrap (`Claim.judge`): the images are drawn anew many times, with replacement, and the claim is tested on each
resampled set. It is true if it holds in at least 97.5 % of the sets, false if it holds in at most 2.5 %, and in between
the images cannot tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

from stylemixseg.evaluation.imagescores import ImageScores
from stylemixseg.metrics import ious_of_counts, times_drawn

SPACES, CUTOFFS, KS = ("rgb", "lab"), (4, 6, 8, 12, 14), (2, 4, 10)  # the axes of Table 4
DATASETGAN = "table1.ffhq.datasetgan.miou"  # the paper's number of the supervised baseline
GOOD_CUTOFFS = (6, 8)  # best rows of Table 4
SURE = 0.975  # share of the resampled sets in which a claim must hold, or fail; the two sides of a 95 % interval


@dataclass(frozen=True)
class Verdict:
    """Does a claim hold?

    Attributes:
        holds: True, False, or None: not measured, or not to be told from so few images.
        evidence: the numbers that it rests on.
        share: of the resampled sets of images in which the claim holds; None where it was judged on point values.
    """

    holds: bool | None
    evidence: str
    share: float | None = None

    def __str__(self) -> str:
        undecided = "not measured" if self.share is None else "cannot tell"
        return {True: "true", False: "false", None: undecided}[self.holds]


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


class _MissingError(KeyError):
    """A number that a claim needs was not measured."""


class _Numbers:
    """The numbers that claims are about, by their place in the paper's tables.

    A number is a float, or an array (samples,) with one value per resampled set of images: the claims' formulas are the
    same for both.
    """

    def __init__(self, get: Callable[[str], float | np.ndarray], names: Names):
        self.get = cache(get)
        self.names = names

    def method(self):
        return self.get(f"{self.names.method}.miou")

    def cell(self, space: str, c: int, k: int):
        return self.get(f"{self.names.grid}.{space}.c{c}.k{k}.miou")

    def mean(self, spaces: Iterable[str] = SPACES, cutoffs: Iterable[int] = CUTOFFS, ks: Iterable[int] = KS):
        return np.mean([self.cell(*place) for place in product(spaces, cutoffs, ks)], axis=0)

    def columns(self, cutoffs: Iterable[int] = CUTOFFS) -> list[np.ndarray]:
        """The grid's columns, one per colour space and k: each (cutoffs,) or (cutoffs, samples)."""
        return [np.array([self.cell(space, c, k) for c in cutoffs]) for space, k in product(SPACES, KS)]


def _printed(values: Mapping[str, float], names: Names) -> _Numbers:
    def get(name: str) -> float:
        if name not in values:
            raise _MissingError(name)
        return values[name]

    return _Numbers(get, names)


def _drawn(scores: Mapping[str, ImageScores], peers: Mapping[str, float], names: Names, samples: int) -> _Numbers:
    """Numbers of resampled sets of images; those that stand on the same images are drawn together."""

    @cache
    def draws(images: tuple[str, ...]) -> np.ndarray:
        return times_drawn(len(images), samples)

    def get(name: str) -> float | np.ndarray:
        if name in peers:
            return peers[name]
        score = name.removesuffix(".miou")
        if score not in scores:
            raise _MissingError(f"images' scores of {score}")
        item = scores[score]
        if score.startswith(names.grid):  # Table 4: mean over images
            return draws(item.images) @ item.values / len(item.images)
        return ious_of_counts(draws(item.images) @ item.counts)  # Table 1: dataset-level

    return _Numbers(get, names)


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    Attributes:
        id: short name.
        statement: the claim, with how we read it where the text leaves that open.
        source: section or table.
        holds: from numbers to True or False, one per resampled set.
        evidence: from numbers to the words that show them.
    """

    id: str
    statement: str
    source: str
    holds: Callable[[_Numbers], bool | np.ndarray]
    evidence: Callable[[_Numbers], str]

    def test(self, measurements: Mapping[str, float], names: Names = OURS) -> Verdict:
        """Judge the claim on point values by name; a missing one makes it "not measured"."""
        numbers = _printed(measurements, names)
        try:
            return Verdict(bool(self.holds(numbers)), self.evidence(numbers))
        except _MissingError as missing:
            return Verdict(None, f"{missing.args[0]} has not been measured")

    def judge(
        self,
        measurements: Mapping[str, float],
        scores: Mapping[str, ImageScores],
        names: Names = OURS,
        paper: Mapping[str, float] | None = None,
        samples: int = 2000,
    ) -> Verdict:
        """Judge the claim by a paired bootstrap over images.

        Args:
            measurements: means by name, for the evidence.
            scores: the images' scores behind them.
            names: how the settings are called.
            paper: printed numbers; that of DatasetGAN is compared with as it stands.
            samples: resampled sets of images.

        Returns:
            A verdict with its `share`; "not measured" where a mean is missing. Where the scores of single images are
            missing, as of a run that did not keep them, the verdict on point values, without a share.
        """
        peers = {name: value for name, value in (paper or {}).items() if name == DATASETGAN}
        point = self.test({**peers, **measurements}, names)
        if point.holds is None:
            return point
        try:
            share = float(np.mean(self.holds(_drawn(scores, peers, names, samples))))
        except _MissingError as missing:
            return Verdict(point.holds, f"{point.evidence} (point values: {missing.args[0]} were not kept)")
        holds = True if share >= SURE else False if share <= 1 - SURE else None
        return Verdict(holds, point.evidence, share)


def _lab_beats_rgb_evidence(numbers: _Numbers) -> str:
    lab, rgb = numbers.mean(spaces=["lab"]), numbers.mean(spaces=["rgb"])
    pairs = [(numbers.cell("lab", c, k), numbers.cell("rgb", c, k)) for c, k in product(CUTOFFS, KS)]
    higher, lower = sum(a > b for a, b in pairs), sum(a < b for a, b in pairs)
    return f"LAB {lab:.3f}, RGB {rgb:.3f}; LAB higher in {higher} of {len(pairs)} cells, lower in {lower}"


def _ends_lowest(numbers: _Numbers):
    """In how many columns neither c = 4 nor c = 12 is above c = 6 or c = 8."""
    return sum(np.maximum(c4, c12) <= np.minimum(c6, c8) for c4, c6, c8, c12 in numbers.columns((4, 6, 8, 12)))


def _worst_cutoffs(numbers: _Numbers) -> np.ndarray:
    """The worst cutoff of each column: (columns,) or (columns, samples)."""
    return np.array([np.array(CUTOFFS)[column.argmin(0)] for column in numbers.columns()])


def _worst_evidence(numbers: _Numbers) -> str:
    worst = _worst_cutoffs(numbers)
    counted = ", ".join(f"{c} in {np.count_nonzero(worst == c)}" for c in CUTOFFS)
    return f"so in {np.count_nonzero(np.isin(worst, (4, 12)))} of {len(worst)} columns; worst c: {counted}"


def _high_evidence(numbers: _Numbers) -> str:
    high, good = numbers.mean(cutoffs=(12, 14)), numbers.mean(cutoffs=GOOD_CUTOFFS)
    by_k = ", ".join(
        f"k={k}: {numbers.mean(cutoffs=(12, 14), ks=[k]):.3f} against {numbers.mean(cutoffs=GOOD_CUTOFFS, ks=[k]):.3f}"
        for k in KS
    )
    return f"{high:.3f} against {good:.3f} ({by_k})"


def _best_cutoff(numbers: _Numbers):
    means = np.array([numbers.mean(cutoffs=[c]) for c in CUTOFFS])
    return np.isin(np.array(CUTOFFS)[means.argmax(0)], GOOD_CUTOFFS)


def _best_evidence(numbers: _Numbers) -> str:
    best = max(product(SPACES, CUTOFFS, KS), key=lambda place: numbers.cell(*place))
    listed = ", ".join(f"c={c}: {numbers.mean(cutoffs=[c]):.3f}" for c in CUTOFFS)
    return f"{listed}; best cell {best[0].upper()}, c={best[1]}, k={best[2]}: {numbers.cell(*best):.3f}"


def _at_good_cutoffs(numbers: _Numbers, k: int):
    return numbers.mean(cutoffs=GOOD_CUTOFFS, ks=[k])


def _k4_beats(id: str, statement: str, other: int) -> Claim:
    return Claim(
        id,
        statement,
        "Section 4.6, Table 4",
        lambda numbers: _at_good_cutoffs(numbers, 4) > _at_good_cutoffs(numbers, other),
        lambda numbers: f"k=4: {_at_good_cutoffs(numbers, 4):.3f}, k={other}: {_at_good_cutoffs(numbers, other):.3f}",
    )


CLAIMS = (
    Claim(
        "reaches_080",
        "The method with the saliency rule reaches a mIOU of 0.80 on synthetic faces.",
        "Table 1, FFHQ",
        lambda numbers: numbers.method() >= 0.80,
        lambda numbers: f"mIOU {numbers.method():.3f}",
    ),
    Claim(
        "beats_datasetgan",
        "It outperforms the supervised baseline DatasetGAN on synthetic faces in mIOU.",
        "Section 4.2, Table 1",
        lambda numbers: numbers.method() > numbers.get(DATASETGAN),
        lambda numbers: f"mIOU {numbers.method():.3f} against {numbers.get(DATASETGAN):.3f}",
    ),
    Claim(
        "lab_beats_rgb",
        "LAB is better than RGB, on average over all c and k.",
        "Section 4.6, Table 4",
        lambda numbers: numbers.mean(spaces=["lab"]) > numbers.mean(spaces=["rgb"]),
        _lab_beats_rgb_evidence,
    ),
    Claim(
        "ends_are_worst",
        "With k held constant, c = 4 and c = 12 are generally the worst. Read as: among c of 4, 6, 8 and 12, the range "
        "that the text names, neither 4 nor 12 is above 6 or 8, in most columns.",
        "Section 4.6, Table 4",
        lambda numbers: _ends_lowest(numbers) > len(SPACES) * len(KS) / 2,
        lambda numbers: f"so in {_ends_lowest(numbers)} of {len(SPACES) * len(KS)} columns",
    ),
    Claim(
        "worst_is_4_or_12",
        "The same, read as: over all five cutoffs of the table, the single worst is 4 or 12, in most columns.",
        "Section 4.6, Table 4",
        lambda numbers: np.isin(_worst_cutoffs(numbers), (4, 12)).mean(0) > 0.5,
        _worst_evidence,
    ),
    Claim(
        "high_cutoff_hurts",
        "A very high c hurts: c of 12 and 14 are below 6 and 8, on average.",
        "Section 4.6, Table 4",
        lambda numbers: numbers.mean(cutoffs=(12, 14)) < numbers.mean(cutoffs=GOOD_CUTOFFS),
        _high_evidence,
    ),
    Claim(
        "best_cutoff",
        "The best c is 6 or 8, on average over colour space and k.",
        "Table 4",
        _best_cutoff,
        _best_evidence,
    ),
    _k4_beats("k2_too_few", "k = 2 is too few on whole faces: k = 4 is better at c of 6 and 8, on average.", 2),
    _k4_beats("k10_too_many", "k = 10 gives low performance: k = 4 is better at c of 6 and 8, on average.", 10),
    Claim(
        "k4_best",
        "Of k = 2, 4 and 10, k = 4 is best, on average over all c and colour spaces.",
        "Section 4.6, Table 4",
        lambda numbers: np.array(KS)[np.array([numbers.mean(ks=[k]) for k in KS]).argmax(0)] == 4,
        lambda numbers: ", ".join(f"k={k}: {numbers.mean(ks=[k]):.3f}" for k in KS),
    ),
)
