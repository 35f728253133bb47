"""The ledger at a glance: the paper's numbers and claims, ours, and whether they lead to the same conclusion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stylemixseg._util.optional import extra
from stylemixseg.evaluation.imagescores import ImageScores
from stylemixseg.evaluation.results import Measurement
from stylemixseg.evaluation.tables import table, value_text
from stylemixseg.ledger.claims import CLAIMS, CUTOFFS, KS, OURS, PAPER, Names, Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The paper's headline numbers, by the name of ours and of theirs.
HEADLINES = {
    "mIoU on synthetic faces (Table 1, FFHQ)": ("table1.ffhq.saliency.miou", "table1.ffhq.ours.miou"),
    "mIoU on real photos (Table 1, CelebAMask-HQ)": ("table1.celeba.both.saliency.miou", "table1.celeba.ours.miou"),
    "mIoU on real photos of a U-Net that learnt from the method's masks (Table 3)": (
        "table3.saliency.miou",
        "table3.ours.miou",
    ),
}
ROUNDING = 0.005  # of the paper's printed numbers


@dataclass(frozen=True)
class Judged:
    """What is known of one profile: its means, and the images' scores behind them."""

    found: Mapping[str, Measurement]
    scores: Mapping[str, ImageScores]

    def verdicts(self, paper: Mapping[str, float], names: Names = OURS) -> dict[str, Verdict]:
        """Every claim, judged by a paired bootstrap over this profile's images: {claim's id: verdict}."""
        values = {name: item.value for name, item in self.found.items()}
        return {claim.id: claim.judge(values, self.scores, names, paper) for claim in CLAIMS}


def conclusion(paper: Verdict, ours: Verdict) -> str:
    """Whether two verdicts on a claim say the same: "yes", "no", "cannot tell" or "not measured".

    A verdict of ours that knows no single images is marked, because chance may have made it.
    """
    if ours.holds is None or paper.holds is None:
        return str(ours)
    same = "yes" if ours.holds == paper.holds else "no"
    return same if ours.share is not None else f"{same}, by point values only"


def compared(paper: float, ours: Measurement | None) -> str:
    """Whether a number of ours is the paper's: "higher" and "lower" only where the whole interval says so."""
    if ours is None or ours.interval is None:
        return "not measured"
    low, high = ours.interval
    if low > paper + ROUNDING:
        return f"no: higher here, by {ours.value - paper:.2f}"
    if high < paper - ROUNDING:
        return f"no: lower here, by {paper - ours.value:.2f}"
    return "yes: no difference can be told"


def glance_table(judged: Judged, paper: Mapping[str, float], title: str) -> str:
    """The first table of the ledger as Markdown: one row per headline number and per claim.

    Args:
        judged: the profile whose numbers are shown.
        paper: the printed numbers.
        title: what its column is called.
    """
    rows = []
    for words, (name, printed) in HEADLINES.items():
        item = judged.found.get(name)
        here = "not measured" if item is None else f"{value_text(item.value, item.interval)}, n = {item.n}"
        rows.append([words, f"{paper[printed]:.2f}", here, compared(paper[printed], item)])
    verdicts = judged.verdicts(paper)
    for claim in CLAIMS:
        theirs, ours = claim.test(paper, PAPER), verdicts[claim.id]
        here = str(ours) if ours.share is None else f"{ours} (holds in {ours.share:.0%} of the resampled sets)"
        rows.append([f"{claim.statement} ({claim.source})", str(theirs), here, conclusion(theirs, ours)])
    return table(["number or claim", "paper, as printed", title, "same conclusion?"], rows)


def agreement_plot(judged: Judged, paper: Mapping[str, float]) -> Figure:
    """Every mIoU that both the paper and we have: the paper's across, ours up, with our 95 % interval."""
    with extra("notebooks", "The plot of the ledger needs Matplotlib"):
        import matplotlib.pyplot as plt  # here: half a second, and only the page has a figure

    figure, axis = plt.subplots(figsize=(6.2, 5.2), layout="constrained")
    axis.plot([0, 1], [0, 1], color="0.7", linewidth=1, zorder=0)
    shown = {"lab": ("tab:blue", "o", "Table 4, LAB"), "rgb": ("tab:orange", "s", "Table 4, RGB")}
    for space, (color, marker, label) in shown.items():
        cells = [f"table4.{space}.c{c}.k{k}.miou" for c in CUTOFFS for k in KS]
        _points(axis, [(paper[name], judged.found.get(name)) for name in cells], color, marker, label)
    headlines = [(paper[printed], judged.found.get(name)) for name, printed in HEADLINES.values()]
    _points(axis, headlines, "tab:green", "D", "Table 1")
    axis.set(xlim=(0.25, 0.95), ylim=(0.25, 0.95), xlabel="mIoU in the paper", ylabel="mIoU measured here")
    axis.set_aspect("equal")
    axis.legend(loc="lower right", frameon=False)
    plt.close(figure)
    return figure


def _points(axis, pairs, color: str, marker: str, label: str) -> None:
    pairs = [(x, item) for x, item in pairs if item is not None and item.interval]
    for number, (x, item) in enumerate(pairs):
        error = [[item.value - item.interval[0]], [item.interval[1] - item.value]]
        axis.errorbar(
            x,
            item.value,
            error,
            color=color,
            marker=marker,
            markersize=5,
            linewidth=0.8,
            alpha=0.85,
            label=None if number else label,
        )


PLOT_ALT = (
    "Scatter plot of mIoU in the paper against mIoU measured here, with error bars. Points near the diagonal agree; "
    "points below it are lower here than in the paper."
)
PLOT_CAPTION = (
    "Each point is a number that both the paper and this book have. On the grey diagonal both are equal. The bars are "
    "our 95 % intervals over images; the paper prints none. Generator and reference differ, so a distance from the "
    "diagonal is no error of either side; but the order of the points can be compared."
)
