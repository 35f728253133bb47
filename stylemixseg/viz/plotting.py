"""Figures of one look for the whole book: rows of images with short titles, and a table of numbers as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from stylemixseg._util.optional import extra

with extra("notebooks", "Plotting needs Matplotlib"):
    import matplotlib.pyplot as plt
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
        rows: each a sequence of (H, W, 3) uint8 images, (H, W) bool masks or (H, W) floats in 0..1 (shown in grey);
            None leaves a place empty. All rows have one length.
        column_titles: short texts above the first row.
        row_titles: short texts left of the first column.

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
        axis.spines[:].set(visible=image is not None, color="0.75", linewidth=0.5)  # a white mask has an edge then
        if image is not None:
            axis.imshow(image, cmap="gray", vmin=0, vmax=255 if np.asarray(image).dtype == np.uint8 else 1)
    for axis, title in zip(axes[0], column_titles or ()):
        axis.set_title(title, fontsize=9)
    for axis, title in zip(axes[:, 0], row_titles or ()):
        axis.set_ylabel(title, fontsize=9)
    plt.close(figure)
    return figure


def heatmap(
    values: np.ndarray,
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    *,
    rows: str,
    columns: str,
    title: str,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """A table (R, C) of numbers as coloured cells with the numbers in them; NaN cells stay empty.

    `limits` are the values of the darkest and the brightest colour, for heatmaps to be compared; None: the table's own.
    """
    values = np.asarray(values, float)
    if values.shape != (len(row_labels), len(column_labels)):
        raise ValueError(f"values must be ({len(row_labels)}, {len(column_labels)}), got {values.shape}")
    figure, axis = plt.subplots(
        figsize=(0.75 * values.shape[1] + 1.4, 0.42 * values.shape[0] + 1.1), layout="constrained"
    )
    low, high = limits or (np.nanmin(values), np.nanmax(values))
    axis.imshow(values, cmap="cividis", aspect="auto", vmin=low, vmax=high)
    middle = (low + high) / 2
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            axis.text(j, i, f"{value:.2f}", ha="center", va="center", color="black" if value > middle else "white")
    axis.set_xticks(range(len(column_labels)), column_labels)
    axis.set_yticks(range(len(row_labels)), row_labels)
    axis.set(xlabel=columns, ylabel=rows)
    axis.set_title(title, fontsize=10)
    plt.close(figure)
    return figure


def strip(
    groups: Mapping[str, Sequence[float]], *, values: str, intervals: Mapping[str, tuple[float, float]]
) -> Figure:
    """Every value of some groups as a dot, a row a group; a bar shows the mean and its interval.

    Args:
        groups: name: its values. The first stands on top.
        values: what the values are, for the axis.
        intervals: of the means, by name.
    """
    figure, axis = plt.subplots(figsize=(7, 0.55 * len(groups) + 0.9), layout="constrained")
    for row, (name, group) in enumerate(groups.items()):
        # Dots in a fixed zigzag, so that equal values do not hide one another.
        heights = row + 0.12 * (np.arange(len(group)) % 3 - 1)
        axis.scatter(group, heights, s=18, color="#0072b2", alpha=0.55, linewidths=0)
        axis.plot(intervals[name], [row, row], color="#d55e00", linewidth=3, solid_capstyle="butt")
        axis.plot(np.mean(group), row, "|", color="black", markersize=16, markeredgewidth=2)
    axis.set_yticks(range(len(groups)), list(groups))
    axis.set(xlabel=values, ylim=(len(groups) - 0.5, -0.5))
    axis.grid(axis="x", color="0.9")
    axis.set_axisbelow(True)
    plt.close(figure)
    return figure


def lines(
    x: Sequence[float],
    series: Mapping[str, Sequence[float]],
    *,
    xlabel: str,
    ylabel: str,
    intervals: Mapping[str, Sequence[tuple[float, float]]] | None = None,
) -> Figure:
    """Curves over shared x, each with its own colour, mark and, where given, interval bars."""
    figure, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
    looks = zip(("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#6e6e6e"), "os^Dv", ("-", "--", "-.", ":", "-"))
    for place, ((name, y), (color, marker, dashes)) in enumerate(zip(series.items(), looks, strict=False)):
        axis.plot(x, y, color=color, marker=marker, linestyle=dashes, label=name)
        if intervals:
            low, high = np.transpose(intervals[name])
            # Set apart by a little, so that bars at one x do not cover one another.
            shifted = np.asarray(x, float) + 0.012 * np.ptp(x) * (place - (len(series) - 1) / 2)
            axis.vlines(shifted, low, high, color=color, alpha=0.5)
    axis.set_xticks(x)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.grid(color="0.9")
    # Above the axes, where it covers no curve.
    figure.legend(loc="outside upper center", ncols=2, fontsize=9)
    plt.close(figure)
    return figure
