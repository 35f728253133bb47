"""Tables of results as Markdown, for the ledger and the notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stylemixseg.evaluation.results import Measurement

IOUS = {"fg_iou": "foreground IoU", "bg_iou": "background IoU", "miou": "mIoU"}  # statistic: how a table names it


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; line breaks and bars inside a cell are made harmless.

    Raises:
        ValueError: a row that has not as many cells as the header.

    Examples:
        >>> print(table(["rule", "mIoU"], [["saliency", "0.81"]]))
        | rule | mIoU |
        | --- | --- |
        | saliency | 0.81 |
    """
    lines = [list(header), ["---"] * len(header), *(list(row) for row in rows)]
    if odd := [line for line in lines if len(line) != len(header)]:
        raise ValueError(f"rows must have the header's {len(header)} cells, got {len(odd[0])} in {odd[0]!r:.80}")
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def value_text(value: float, interval: tuple[float, float] | None) -> str:
    """Such as "0.812 [0.770, 0.851]", without brackets where there is no interval."""
    return f"{value:.3f}" + ("" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]")


def difference_text(one: str, other: str, interval: tuple[float, float], n: int) -> str:
    """The sentence that a paired difference, `one` minus `other`, allows.

    Args:
        one: a method, in words.
        other: another one.
        interval: of the difference, by a bootstrap over n images that both have seen.
        n: images.

    Examples:
        >>> difference_text("A", "B", (-0.02, 0.01), 60)
        'which of A and B is better cannot be told from 60 images'
        >>> difference_text("A", "B", (0.01, 0.03), 60)
        'on other images of this kind, with the same reference, A would be better than B, too'
    """
    low, high = interval
    if low <= 0 <= high:
        return f"which of {one} and {other} is better cannot be told from {n} images"
    comparative = "better" if low > 0 else "worse"
    return f"on other images of this kind, with the same reference, {one} would be {comparative} than {other}, too"


def measured_text(item: Measurement | None) -> str:
    """A measurement with its interval and n in one cell; None reads "not measured"."""
    if item is None:
        return "not measured"
    size = [] if item.n is None else [f"n = {item.n}"]
    return ", ".join([value_text(item.value, item.interval), *size])


def measured_cells(item: Measurement | None) -> list[str]:
    """A measurement in three cells: value, 95 % interval, n; a missing one reads "not measured"."""
    if item is None:
        return ["not measured", "", ""]
    interval = "" if item.interval is None else f"{item.interval[0]:.3f} to {item.interval[1]:.3f}"
    return [f"{item.value:.3f}", interval, "" if item.n is None else str(item.n)]


def reported_text(paper: Mapping[str, float], name: str | None) -> str:
    """A number of the paper in one cell, with the two decimals that it prints; "not reported" where it has none."""
    return "not reported" if name is None or name not in paper else f"{paper[name]:.2f}"
