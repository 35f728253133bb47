"""How a check of numbers is printed."""

from __future__ import annotations

from collections.abc import Iterable

from stylemixseg.evaluation.numbercheck import Row, passed


def report(rows: Iterable[Row], what: str) -> int:
    """Print the means, the single images that moved too far, and how many are as expected.

    Returns:
        The exit status: 0 if the check is passed (`numbercheck.passed`), else 1.
    """
    rows = list(rows)
    good = passed(rows)
    for row in rows:
        if row.image is None or not row.ok:
            mark = "ok  " if row.ok else "FAIL" if row.image is None or not good else "STRAY"
            name = row.name + (f", {row.image}" if row.image else "")
            numbers = f"measured {row.measured:.4f}  expected {row.expected:.4f} +- {row.tolerance:.4f}"
            print(f"{mark} {name:60} {numbers}")
    means, images = ([row for row in rows if (row.image is None) == kind] for kind in (True, False))
    counts = [
        f"{sum(row.ok for row in group)} of {len(group)} {words}"
        for group, words in ((means, "means"), (images, "scores of single images"))
        if group
    ]
    print(f"{what}: {' and '.join(counts)} as expected")
    return 0 if good else 1
