"""How a check of numbers is printed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stylemixseg.evaluation.numbercheck import Row


def report(rows: Iterable[Row], what: str) -> int:
    """Print the means, the single images that moved too far, and how many are as expected.

    Returns:
        The exit status: 1 if a number is not as expected, else 0.
    """
    for row in rows:
        if row.image is None or not row.ok:
            mark, name = ("ok  " if row.ok else "FAIL"), row.name + (f", {row.image}" if row.image else "")
            numbers = f"measured {row.measured:.4f}  expected {row.expected:.4f} +- {row.tolerance:.4f}"
            print(f"{mark} {name:60} {numbers}")
    means, images = ([row for row in rows if (row.image is None) == kind] for kind in (True, False))
    counts = [
        f"{sum(row.ok for row in group)} of {len(group)} {words}"
        for group, words in ((means, "means"), (images, "scores of single images"))
        if group
    ]
    print(f"{what}: {' and '.join(counts)} as expected")
    return 0 if all(row.ok for row in rows) else 1
