"""Figures of one look for the whole book: rows of images with short titles, and a table of numbers as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

COLUMN = 1.75  # inches an image takes; the book's text is about 7 wide


def image_row(images: Sequence[np.ndarray], titles: Sequence[str] | None = None) -> Figure:
    """One row of images; see `image_grid`."""
    return image_grid([images], column_titles=titles)


def image_grid(
    rows: Sequence[Sequence[np.ndarray | None]],
    *,
    column_titles: Sequence[str] | None = None,
    row_titles: Sequence[str] | None = None,
) -> Figure:
    """Images in rows and columns, without axes.

    Args:
        rows: each a sequence of (H, W, 3) uint8 images, (H, W) bool masks or (H, W) floats in 0..1 (shown in grey); None
            leaves a place empty. All rows have one length.
        column_titles, row_titles: short texts above the first row and left of the first column.

    Returns:
        The figure, closed for pyplot, so that a notebook shows it once: as the value of the cell.
    """
    widths = {len(row) for row in rows}
    if len(widths) != 1 or 0 in widths:
        raise ValueError(f"rows must hold at least one image each, all the same number, got {sorted(widths)}")
    columns = widths.pop()
    figure, axes = plt.subplots(
        len(rows), columns, figsize=(COLUMN * columns, COLUMN * len(rows)), squeeze=False, layout="constrained"
    )
    for axis, image in zip(axes.flat, (image for row in rows for image in row)):
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        if image is not None:
            axis.imshow(image, cmap="gray", vmin=0, vmax=255 if np.asarray(image).dtype == np.uint8 else 1)
    for axis, title in zip(axes[0], column_titles or ()):
        axis.set_title(title, fontsize=9)
    for axis, title in zip(axes[:, 0], row_titles or ()):
        axis.set_ylabel(title, fontsize=9)
    plt.close(figure)
    return figure


def heatmap(
    values: np.ndarray, row_labels: Sequence[str], column_labels: Sequence[str], *, rows: str, columns: str, title: str
) -> Figure:
    """A table (R, C) of numbers as coloured cells with the numbers in them; NaN cells stay empty."""
    values = np.asarray(values, float)
    if values.shape != (len(row_labels), len(column_labels)):
        raise ValueError(f"values must be ({len(row_labels)}, {len(column_labels)}), got {values.shape}")
    figure, axis = plt.subplots(figsize=(0.75 * values.shape[1] + 1.4, 0.42 * values.shape[0] + 1.1), layout="constrained")
    axis.imshow(values, cmap="cividis", aspect="auto")
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            axis.text(j, i, f"{value:.2f}", ha="center", va="center", color="black" if value > middle else "white")
    axis.set_xticks(range(len(column_labels)), column_labels)
    axis.set_yticks(range(len(row_labels)), row_labels)
    axis.set(xlabel=columns, ylabel=rows)
    axis.set_title(title, fontsize=10)
    plt.close(figure)
    return figure
