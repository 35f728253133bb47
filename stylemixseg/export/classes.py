"""Class maps as files: a palette PNG whose values are the labels, and a legend that people can read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from stylemixseg._util.outputs import write_picture
from stylemixseg.viz.compositing import PALETTE

CLASS_FILES = ("classes.png", "legend.png")
_ROW, _WIDTH, _SWATCH = 28, 240, 20  # px, of the legend


def class_colors(count: int) -> np.ndarray:
    """A colour for each label, (count, 3) uint8: background dark grey, the others from the book's palette."""
    colors: np.ndarray = np.vstack([[[40, 40, 40]], np.resize(PALETTE, (count - 1, 3))]).astype(np.uint8)
    return colors


def save_classes(labels: np.ndarray, classes: Sequence[str], folder: str | Path) -> None:
    """Write classes.png (values are labels, with a palette) and legend.png (colour, label and name of each class).

    Args:
        labels: (H, W) uint8, 0..len(classes) - 1.
        classes: names by label.
        folder: where to write; it is made where it is absent.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    colors = class_colors(len(classes))
    picture = Image.fromarray(labels)
    picture.putpalette(colors.ravel().tolist())
    write_picture(folder / "classes.png", picture)
    legend = Image.new("RGB", (_WIDTH, _ROW * len(classes)), "white")
    draw = ImageDraw.Draw(legend)
    for label, (name, color) in enumerate(zip(classes, colors.tolist(), strict=True)):
        top = label * _ROW + (_ROW - _SWATCH) // 2
        draw.rectangle((4, top, 4 + _SWATCH, top + _SWATCH), fill=tuple(color))
        draw.text((12 + _SWATCH, top + 4), f"{label}  {name}", fill="black")
    write_picture(folder / "legend.png", legend)
