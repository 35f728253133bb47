"""Diagrams that explain: the GAN game, StyleGAN2's layers, a pixel's 3n numbers, the pipeline, inversion, the loss.

All are drawn by code in one style, on a white ground, so that they can be read in dark mode and in print. Colours mean
the same everywhere: blue is structure, orange is style, green is what is compared or learnt. A notebook shows a
`Diagram` as a vector picture.

Coordinates are inches: (0, 0) is the lower left corner, and the book's text is about 7 inches wide.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stylemixseg._util.checks import check_image, check_int
from stylemixseg._util.optional import extra

with extra("notebooks", "Plotting needs Matplotlib"):
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

WIDTH = 7.0
INK, PALE = "#222222", "#f2f2f2"
STRUCTURE, STYLE, LEARNT = "#0072b2", "#d55e00", "#00795a"
TINTS = {STRUCTURE: "#dcecf7", STYLE: "#fbe4d5", LEARNT: "#d9f0e8", INK: PALE}
TEXT, SMALL = 8.5, 7.0  # points

Point = tuple[float, float]


class Diagram(Figure):
    """A figure that notebooks show as SVG, with the letters as outlines, so that it looks the same on every machine."""

    def svg(self) -> str:
        """The picture as SVG text; equal diagrams give equal text."""
        buffer = io.StringIO()
        with matplotlib.rc_context({"svg.hashsalt": "stylemixseg", "svg.fonttype": "path"}):
            self.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        return buffer.getvalue()

    def _repr_svg_(self) -> str:
        return self.svg()


@dataclass(frozen=True)
class _Box:
    """Where a drawn box lies, and the middles of its sides."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> Point:
        return self.x, self.y + self.height / 2

    @property
    def right(self) -> Point:
        return self.x + self.width, self.y + self.height / 2

    @property
    def top(self) -> Point:
        return self.x + self.width / 2, self.y + self.height

    @property
    def bottom(self) -> Point:
        return self.x + self.width / 2, self.y


def _canvas(height: float) -> tuple[Diagram, Axes]:
    """An empty diagram of the book's width, and its axes, in inches."""
    figure = Diagram(figsize=(WIDTH, height), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, height))
    axes.set_axis_off()
    return figure, axes


def _text(axes: Axes, at: Point, text: str, *, size: float = TEXT, color: str = INK, across: str = "center") -> None:
    axes.text(*at, text, ha=across, va="center", fontsize=size, color=color, linespacing=1.25)


def _box(
    axes: Axes, x: float, y: float, width: float, height: float, text: str, *, color: str = INK, size: float = TEXT
) -> _Box:
    """A rounded box with a text in its middle; its group name is the text, for tests and for readers of the SVG."""
    look = f"round,pad=0,rounding_size={min(0.08, width / 4, height / 4)}"
    patch = FancyBboxPatch(
        (x, y), width, height, boxstyle=look, facecolor=TINTS[color], edgecolor=color, linewidth=1.1, gid=text
    )
    axes.add_patch(patch)
    _text(axes, (x + width / 2, y + height / 2), text, size=size)
    return _Box(x, y, width, height)


def _arrow(axes: Axes, start: Point, end: Point, *, color: str = INK, dashed: bool = False, layer: int = 1) -> None:
    """An arrow; dashed ones carry a training signal back. Pictures lie in `layer` 2: a higher one is before them."""
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=9,
            shrinkA=2,
            shrinkB=2,
            color=color,
            linewidth=1.1,
            linestyle=(0, (3, 2)) if dashed else "-",
            zorder=layer,
        )
    )


def _line(axes: Axes, points: Sequence[Point], *, color: str = INK, dashed: bool = False) -> None:
    x, y = zip(*points)
    axes.plot(x, y, color=color, linewidth=1.1, linestyle=(0, (3, 2)) if dashed else "-", solid_capstyle="butt")


def _picture(axes: Axes, image: np.ndarray, x: float, y: float, side: float, pixels: int = 128) -> _Box:
    """An image as a square picture of at most so many pixels per side; (H, W, 3) uint8, or a mask (H, W)."""
    step = -(-max(image.shape[:2]) // pixels)  # rounded up, at least 1
    limits = axes.get_xlim(), axes.get_ylim()  # imshow moves them
    axes.imshow(
        image[::step, ::step],
        extent=(x, x + side, y, y + side),
        cmap="gray",
        vmin=0,
        vmax=1 if image.dtype == bool else 255,
        interpolation="nearest",
        aspect="auto",
        zorder=2,
    )
    axes.add_patch(Rectangle((x, y), side, side, fill=False, edgecolor="0.35", linewidth=0.6, zorder=3))
    axes.set(xlim=limits[0], ylim=limits[1])
    return _Box(x, y, side, side)


def gan_game() -> Diagram:
    """The adversarial game of Goodfellow et al. 2014: a generator, a discriminator, and what each learns from."""
    figure, axes = _canvas(2.9)
    noise = _box(axes, 0.1, 1.75, 0.95, 0.6, "random\nnumbers $\\mathbf{z}$")
    generator = _box(axes, 1.45, 1.7, 1.2, 0.7, "generator\n$G$", color=STRUCTURE)
    fake = _box(axes, 3.05, 1.75, 0.95, 0.6, "generated\n$G(\\mathbf{z})$", color=STRUCTURE)
    real = _box(axes, 3.05, 0.55, 0.95, 0.6, "training\nimage $\\mathbf{x}$")
    judge = _box(axes, 4.5, 1.1, 1.2, 0.7, "discriminator\n$D$", color=STYLE)
    guess = _box(axes, 6.05, 1.15, 0.85, 0.6, "real or\ngenerated?")
    for start, end in ((noise, generator), (generator, fake), (judge, guess)):
        _arrow(axes, start.right, end.left)
    _arrow(axes, fake.right, (judge.x, judge.y + 0.52))
    _arrow(axes, real.right, (judge.x, judge.y + 0.18))
    # What each player learns from the guess goes back, dashed.
    _line(axes, [guess.top, (guess.top[0], 2.62), (generator.top[0], 2.62)], color=STRUCTURE, dashed=True)
    _arrow(axes, (generator.top[0], 2.64), generator.top, color=STRUCTURE, dashed=True)
    _text(axes, (4.2, 2.76), "$G$ learns to make $D$ guess wrong", color=STRUCTURE)
    _line(axes, [guess.bottom, (guess.bottom[0], 0.3), (judge.bottom[0], 0.3)], color=STYLE, dashed=True)
    _arrow(axes, (judge.bottom[0], 0.28), judge.bottom, color=STYLE, dashed=True)
    _text(axes, (5.75, 0.15), "$D$ learns to guess right", color=STYLE)
    return figure


def style_layers(sides: Sequence[int], cutoff: int | None = None) -> Diagram:
    """A style-based generator layer by layer, as the paper's Figure 4, and what one layer does with its style.

    Args:
        sides: side of the grid that each layer works on, in cells; as many as there are layers, at most 20.
        cutoff: c; layers below it get a first latent, the others a second one. None: one latent for all layers.

    Raises:
        TypeError, ValueError: no layers or too many, or a cutoff outside 0..number of layers.
    """
    if not 1 <= len(sides) <= 20:
        raise ValueError(f"sides must name 1 to 20 layers, got {len(sides)}")
    layers = len(sides)
    if cutoff is not None:
        check_int("cutoff", cutoff, 0, layers)
    figure, axes = _canvas(3.9)
    first, last, floor, bus = 0.85, 6.2, 1.6, 3.0
    each = (last - first) / layers
    boxes = []
    for layer, side in enumerate(sides):
        color = STRUCTURE if cutoff is None or layer < cutoff else STYLE
        height = 0.3 + 0.08 * np.log2(side)
        box = _box(axes, first + each * (layer + 0.1), floor, 0.8 * each, height, str(layer), color=color, size=SMALL)
        _arrow(axes, (box.top[0], bus), box.top, color=color)
        boxes.append(box)
    start = _box(axes, 0.1, floor, 0.6, 0.46, "learnt\n4 x 4", size=SMALL)
    image = _box(axes, 6.35, floor, 0.55, 0.46, "image", size=SMALL)
    _arrow(axes, start.right, (boxes[0].x, start.right[1]))
    _arrow(axes, (boxes[-1].right[0], image.left[1]), image.left)
    for before, after in pairwise(boxes):
        _line(axes, [(before.right[0], floor + 0.2), (after.x, floor + 0.2)])
    # Each grid once, below the layers that work on it.
    _text(axes, (0.4, floor - 0.16), "grid", size=SMALL)
    for side in dict.fromkeys(sides):
        own = [box for box, of_box in zip(boxes, sides) if of_box == side]
        ends = own[0].x, own[-1].right[0]
        _line(axes, [(ends[0], floor - 0.06), (ends[1], floor - 0.06)])
        _text(axes, (sum(ends) / 2, floor - 0.16), str(side), size=SMALL)
    parts = (
        ((0, layers, STRUCTURE, ""),)
        if cutoff is None
        else ((0, cutoff, STRUCTURE, "_0"), (cutoff, layers, STYLE, "_1"))
    )
    for begin, end, color, index in parts:
        if begin == end:
            continue
        ends = boxes[begin].top[0], boxes[end - 1].top[0]
        middle = min(max(sum(ends) / 2, 1.45), 5.55)
        _line(axes, [(min(ends[0], middle), bus), (max(ends[1], middle), bus)], color=color)
        mapping = _box(axes, middle - 0.45, 3.4, 0.9, 0.36, "mapping $G_m$", color=color, size=SMALL)
        _text(axes, (middle - 0.72, 3.58), f"$\\mathbf{{z}}{index}$")
        _arrow(axes, (middle - 0.65, 3.58), mapping.left, color=color)
        _line(axes, [mapping.bottom, (middle, bus)], color=color)
        _text(axes, (middle + 0.17, 3.2), f"$\\mathbf{{w}}{index}$", color=color)
    if cutoff is not None:
        cut = first + each * cutoff
        _line(axes, [(cut, floor - 0.04), (cut, 3.85)], dashed=True)
        _line(axes, [(cut, floor - 0.28), (cut, floor - 0.23)])  # the grid's name stands between the two
        _text(axes, (min(max(cut, 0.75), 6.25), floor - 0.37), f"cutoff $c$ = {cutoff}")
    _inside_a_layer(axes)
    return figure


def _inside_a_layer(axes: Axes) -> None:
    """The lower part of `style_layers`: modulation, convolution, demodulation."""
    _text(axes, (0.1, 0.98), "inside each layer", across="left", size=SMALL)
    style = _box(axes, 1.5, 0.72, 1.05, 0.3, "$\\mathbf{w}$ to style $\\mathbf{s}$", color=STYLE, size=SMALL)
    texts = (
        "features",
        "times $\\mathbf{s}$: one\nnumber per channel",
        "3 x 3\nconvolution",
        "demodulate:\nunit variance",
        "noise, bias,\nleaky ReLU",
        "features",
    )
    widths, x, before = (0.7, 1.2, 0.9, 0.9, 0.9, 0.7), 0.1, None
    gap = (WIDTH - 0.2 - sum(widths)) / (len(widths) - 1)
    for text, width in zip(texts, widths):
        box = _box(axes, x, 0.08, width, 0.42, text, color=STYLE if "times" in text else INK, size=SMALL)
        if before is not None:
            _arrow(axes, before.right, box.left)
        if "times" in text:
            _arrow(axes, (box.top[0], style.y), box.top, color=STYLE)
        x, before = x + width + gap, box


def pixel_to_row(images: np.ndarray, pixel: tuple[int, int], n: int) -> Diagram:
    """From a pixel to its row of the style summary tensor (section 3.2 of the paper).

    Args:
        images: some style-mixed images (2..5, H, W, 3) uint8; the last one stands for the last of the n.
        pixel: its row and column.
        n: how many style-mixed images there are.

    Raises:
        TypeError, ValueError: other images, a pixel outside of them, or n below their number.
    """
    images = np.asarray(images)
    if images.ndim != 4 or not 2 <= len(images) <= 5:
        raise ValueError(f"images must be (2..5, H, W, 3), got shape {images.shape}")
    for image in images:
        check_image("images", image)
    check_int("n", n, len(images))
    row = check_int("pixel row", pixel[0], 0, images.shape[1] - 1)
    column = check_int("pixel column", pixel[1], 0, images.shape[2] - 1)
    figure, axes = _canvas(2.75)
    shown = len(images)
    side, gap = 1.05, (WIDTH - 0.3 - 1.05 * shown) / (shown - 1)
    cell = 0.24
    for index, image in enumerate(images):
        x = 0.15 + index * (side + gap)
        _picture(axes, image, x, 1.45, side)
        name = "n" if index == shown - 1 else str(index + 1)
        _text(axes, (x + side / 2, 2.62), f"$\\mathbf{{X}}_{{0{name}}}$")
        at = x + side * (column + 0.5) / image.shape[1], 1.45 + side * (1 - (row + 0.5) / image.shape[0])
        axes.plot(
            *at,
            marker="s",
            markersize=6,
            markerfacecolor="none",
            markeredgecolor="white",
            markeredgewidth=2.6,
            zorder=4,
        )
        axes.plot(
            *at, marker="s", markersize=6, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1.2, zorder=5
        )
        colour = image[row, column]
        left = x + side / 2 - 1.5 * cell
        _arrow(axes, at, (x + side / 2, 1.02), layer=6)
        for channel, value in enumerate(colour):
            shade = np.zeros(3)
            shade[channel] = value / 255
            patch = Rectangle(
                (left + channel * cell, 0.74), cell, 0.26, facecolor=shade, edgecolor="white", linewidth=0.6
            )
            axes.add_patch(patch)
            light = shade @ (0.3, 0.59, 0.11) > 0.4
            _text(axes, (left + (channel + 0.5) * cell, 0.87), str(value), size=6, color=INK if light else "white")
        if index == shown - 2 and n > shown:
            _text(axes, (x + side + gap / 2, 0.87), "...")
    _line(axes, [(0.15, 0.62), (0.15, 0.54), (WIDTH - 0.15, 0.54), (WIDTH - 0.15, 0.62)])
    words = f"one row of $\\mathbf{{X}}_s$: 3 numbers from each of the n = {n} images, {3 * n} in all"
    _text(axes, (WIDTH / 2, 0.36), words)
    _text(axes, (WIDTH / 2, 0.14), "(shown: red, green and blue; LAB also has three numbers per colour)", size=SMALL)
    return figure


def pipeline(query: np.ndarray, mixes: np.ndarray, clusters: np.ndarray, mask: np.ndarray, n: int) -> Diagram:
    """The method in one row, as the paper's Figure 3: query, style-mixed images, tensor, cluster map, mask.

    Args:
        query: (H, W, 3) uint8.
        mixes: some of its style-mixed images (3.., h, w, 3) uint8; the first three are shown.
        clusters: the cluster map in colours (h, w, 3) uint8.
        mask: (h, w) bool.
        n: how many style-mixed images were made.

    Raises:
        TypeError, ValueError: an image that is none, or too few of them.
    """
    for name, image in (("query", query), ("clusters", clusters), *(("mixes", image) for image in mixes[:3])):
        check_image(name, image)
    check_int("n", n, 1)
    if len(mixes) < 3:
        raise ValueError(f"mixes must hold at least 3 images, got {len(mixes)}")
    if mask.dtype != bool or mask.ndim != 2:
        raise ValueError(f"mask must be (H, W) bool, got {mask.dtype} of shape {mask.shape}")
    figure, axes = _canvas(2.1)
    side, y = 0.92, 0.62
    first = _picture(axes, query, 0.1, y, side)
    for place, image in reversed(list(enumerate(mixes[:3]))):
        stack = _picture(axes, image, 1.48 + 0.08 * place, y - 0.1 + 0.1 * place, side)
    # The tensor: pages one behind the other, a pixel runs through all of them.
    for place in reversed(range(6)):
        at = 3.08 + 0.06 * place, y - 0.1 + 0.07 * place
        axes.add_patch(Rectangle(at, 0.8, 0.8, facecolor=TINTS[LEARNT], edgecolor=LEARNT, linewidth=0.8, zorder=2))
    axes.plot([3.48, 3.78], [y + 0.3, y + 0.65], color=STYLE, linewidth=2.2, zorder=4)
    found = _picture(axes, clusters, 4.6, y, side)
    last = _picture(axes, mask, 5.98, y, side)
    middle = y + side / 2
    for begin, end in ((first.right[0], stack.x), (2.58, 3.06), (4.2, found.x), (found.right[0], last.x)):
        _arrow(axes, (begin, middle), (end, middle))
    for x, above, below in (
        (first.top[0], "query $\\mathbf{X}_0$", "latent $\\mathbf{w}_0$"),
        (stack.x + 0.54, f"n = {n} style mixes", "layers from $c$ on"),
        (3.63, "$\\mathbf{X}_s$ (H, W, 3n)", "a row for each pixel"),
        (found.top[0], "cluster map $\\mathbf{Y}'$", "K-means"),
        (last.top[0], "mask $\\mathbf{Y}$", "rule"),
    ):
        _text(axes, (x, 1.96), above)
        _text(axes, (x, 0.28), below, size=SMALL)
    return figure


def inversion_loop() -> Diagram:
    """Inversion (section 4.3 of the paper) by optimisation: change the latent until its image resembles the photo."""
    figure, axes = _canvas(2.35)
    start = _box(axes, 0.1, 1.4, 1.25, 0.6, "start: $\\bar{\\mathbf{w}}$, or what\nan encoder says", size=SMALL)
    latent = _box(axes, 1.8, 1.4, 0.75, 0.6, "latent\n$\\mathbf{w}$", color=STRUCTURE)
    synthesis = _box(axes, 3.0, 1.35, 1.15, 0.7, "generator $G_s$\n(fixed)")
    image = _box(axes, 4.6, 1.4, 0.85, 0.6, "image\n$G_s(\\mathbf{w})$", color=STRUCTURE)
    distance = _box(
        axes, 5.9, 1.35, 1.0, 0.7, "difference\n$D(G_s(\\mathbf{w}), \\mathbf{X})$", color=LEARNT, size=SMALL
    )
    photo = _box(axes, 4.6, 0.5, 0.85, 0.45, "photo $\\mathbf{X}$")
    for before, after in ((start, latent), (latent, synthesis), (synthesis, image), (image, distance)):
        _arrow(axes, before.right, after.left)
    corner = distance.bottom[0] - 0.2
    _line(axes, [photo.right, (corner, photo.right[1])])
    _arrow(axes, (corner, photo.right[1] - 0.02), (corner, distance.y))
    _line(axes, [(6.6, distance.y), (6.6, 0.25), (latent.bottom[0], 0.25)], color=LEARNT, dashed=True)
    _arrow(axes, (latent.bottom[0], 0.23), latent.bottom, color=LEARNT, dashed=True)
    _text(axes, (3.35, 0.4), "gradient: change $\\mathbf{w}$ a little, and again", color=LEARNT)
    _text(axes, (4.3, 2.22), "the photo and the generator stay; only the latent changes", size=SMALL)
    return figure


@dataclass(frozen=True)
class Share:
    """A part of a bar of `loss_bars`.

    Attributes:
        name: what it is, such as "lost by the rule".
        value: its length, mIoU; the values of a bar add up to 1.
        interval: 95 % interval of the value, (low, high).
    """

    name: str
    value: float
    interval: tuple[float, float]


def loss_bars(bars: Mapping[str, Sequence[Share]]) -> Diagram:
    """Where the loss goes: one bar of length 1 for each set of images, what is right first and then what lost the rest.

    Args:
        bars: {title: its shares, three at most}; a title says what was measured and on how many images.

    Raises:
        ValueError: no bar, a bar without shares or with too many, or shares that do not add up to 1.
    """
    if not bars:
        raise ValueError("bars must hold at least one bar, got none")
    for title, shares in bars.items():
        total = sum(share.value for share in shares)
        if not 1 <= len(shares) <= 3 or abs(total - 1) > 1e-6:
            raise ValueError(
                f"the shares of {title!r} must be 1 to 3 and add up to 1, got {len(shares)} with {total:.3f}"
            )
    each = 1.15
    figure, axes = _canvas(each * len(bars) + 0.1)
    left, length = 0.15, WIDTH - 0.3
    for place, (title, shares) in enumerate(bars.items()):
        y = each * (len(bars) - place) - 0.72
        _text(axes, (left, y + 0.52), title, across="left")
        x = left
        # A part may be too short for its text, so the texts stand below the bar, in its colours and order.
        places = ((left, "left"), (left + 0.76 * length, "right"), (left + length, "right"))
        for share, color, (at, across) in zip(shares, (INK, STRUCTURE, STYLE), places):
            width = max(share.value, 0) * length
            axes.add_patch(Rectangle((x, y), width, 0.32, facecolor=TINTS[color], edgecolor=color, gid=share.name))
            x += width
            low, high = share.interval
            words = f"{share.name}\n{share.value:.3f} [{low:.3f}, {high:.3f}]"
            _text(axes, (at, y - 0.2), words, size=SMALL, color=color, across=across)
    return figure
