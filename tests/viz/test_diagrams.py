"""Diagrams: they draw what they are told, and no text leaves its place or covers another."""

from __future__ import annotations

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.patches import FancyBboxPatch
from PIL import Image

from stylemixseg.viz import diagrams
from stylemixseg.viz.diagrams import STRUCTURE, STYLE, Share

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 48, 64, 3), dtype=np.uint8)
FACES = [4, 8, 8, 16, 16, 32, 32, 64, 64, 128, 128, 256, 256, 512, 512, 1024]
BARS = {
    "Synthetic faces, no inversion: mean over 100 images": [
        Share("right (mIoU)", 0.8, (0.75, 0.85)),
        Share("lost by the clusters", 0.15, (0.1, 0.2)),
        Share("lost by the rule", 0.05, (0.0, 0.1)),
    ],
    "Photos, inverted by encoder and optimisation: mean over 60 photos": [
        Share("right (mIoU)", 0.7, (0.65, 0.75)),
        Share("lost by inversion and clusters", 0.31, (0.2, 0.4)),
        Share("lost by the rule", -0.01, (-0.02, 0.01)),
    ],
}
ALL = {
    "game": diagrams.gan_game,
    "layers": lambda: diagrams.style_layers(FACES),
    "cut": lambda: diagrams.style_layers(FACES, 6),
    "cut of nothing": lambda: diagrams.style_layers(FACES, 16),
    "cut of all": lambda: diagrams.style_layers(FACES, 0),
    "cut late": lambda: diagrams.style_layers([*FACES, 1024, 1024], 17),
    "few layers": lambda: diagrams.style_layers([4, 8, 8], 1),
    "pixel": lambda: diagrams.pixel_to_row(IMAGES, (10, 60), 50),
    "two pixels": lambda: diagrams.pixel_to_row(IMAGES[:2], (0, 0), 2),
    "pipeline": lambda: diagrams.pipeline(IMAGES[0], IMAGES, IMAGES[1], IMAGES[2, ..., 0] > 99, 50),
    "inversion": diagrams.inversion_loop,
    "loss": lambda: diagrams.loss_bars(BARS),
}


def texts(figure):
    return [text for text in figure.axes[0].texts if text.get_text()]


def boxes(figure):
    """Boxes by the text that they hold."""
    return {patch.get_gid(): patch for patch in figure.axes[0].patches if isinstance(patch, FancyBboxPatch)}


def extent(artist, renderer):
    return artist.get_window_extent(renderer).frozen()


@pytest.mark.parametrize("name", ALL)
def test_texts_stay_inside_and_apart(name):
    figure = ALL[name]()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    places = {text: extent(text, renderer) for text in texts(figure)}
    outer = figure.bbox
    for text, place in places.items():
        assert outer.x0 <= place.x0 and place.x1 <= outer.x1, text
        assert outer.y0 <= place.y0 and place.y1 <= outer.y1, text
    for (one, first), (two, second) in combinations(places.items(), 2):
        assert not first.overlaps(second), (one, two)
    for words, box in boxes(figure).items():
        around = extent(box, renderer)
        assert any(
            text.get_text() == words
            and around.x0 <= place.x0 and place.x1 <= around.x1 and around.y0 <= place.y0 and place.y1 <= around.y1
            for text, place in places.items()
        ), words  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_a_notebook_gets_a_vector_picture_on_white(name):
    figure = ALL[name]()
    assert to_hex(figure.get_facecolor()) == "#ffffff"
    assert figure.get_figwidth() == diagrams.WIDTH
    svg = figure._repr_svg_()
    assert "<svg" in svg and "<text" not in svg  # letters are outlines: no font of the reader's is needed
    assert plt.get_fignums() == []


def test_equal_diagrams_give_equal_files():
    assert diagrams.gan_game().svg() == diagrams.gan_game().svg()


@pytest.mark.parametrize("cutoff", [None, 0, 1, 6, 15, 16])
def test_layers_and_cut(cutoff):
    figure = diagrams.style_layers(FACES, cutoff)
    found = boxes(figure)
    layers = [found[str(layer)] for layer in range(len(FACES))]
    assert str(len(FACES)) not in found
    kept = len(FACES) if cutoff is None else cutoff
    colours = [to_hex(box.get_edgecolor()) for box in layers]
    assert colours == [STRUCTURE] * kept + [STYLE] * (len(FACES) - kept)
    heights = [box.get_height() for box in layers]
    assert heights == sorted(heights)  # the finer the grid, the taller
    words = [text.get_text() for text in texts(figure)]
    assert all(words.count(str(side)) >= 1 for side in FACES)
    mapped = sum("mapping" in word for word in words)
    assert mapped == (2 if cutoff in (1, 6, 15) else 1)
    if cutoff is None:
        assert not any("cutoff" in word for word in words)
        return
    assert f"cutoff $c$ = {cutoff}" in words
    (line,) = (line for line in figure.axes[0].lines if len(set(line.get_xdata())) == 1 and line.is_dashed())
    x = line.get_xdata()[0]
    assert [box.get_x() + box.get_width() / 2 < x for box in layers] == [True] * kept + [False] * (len(FACES) - kept)


def test_the_numbers_of_the_pixel():
    figure = diagrams.pixel_to_row(IMAGES[:3], (7, 9), 20)
    words = [text.get_text() for text in texts(figure)]
    numbers = [int(word) for word in words if word.isdigit()]
    assert numbers == IMAGES[:3, 7, 9].ravel().tolist()
    assert any("n = 20 images, 60 in all" in word for word in words)
    assert "$\\mathbf{X}_{0n}$" in words and "..." in words


def test_the_pixel_is_marked_where_it_is():
    figure = diagrams.pixel_to_row(IMAGES[:2], (0, IMAGES.shape[2] - 1), 2)
    picture = figure.axes[0].images[0].get_extent()
    x, y = figure.axes[0].lines[0].get_xydata()[0]
    assert picture[0] < x < picture[1] and picture[2] < y < picture[3]
    assert x > picture[0] + 0.95 * (picture[1] - picture[0])  # last column: right
    assert y > picture[2] + 0.95 * (picture[3] - picture[2])  # first row: top


def test_the_pipeline_shows_its_pictures():
    mask = IMAGES[2, ..., 0] > 99
    figure = diagrams.pipeline(IMAGES[0], IMAGES, IMAGES[1], mask, 50)
    shown = [image.get_array() for image in figure.axes[0].images]
    assert len(shown) == 6  # query, three mixes, clusters, mask
    assert np.array_equal(shown[0], IMAGES[0]) and np.array_equal(shown[-2], IMAGES[1])
    assert np.array_equal(shown[-1], mask)
    assert any("n = 50" in text.get_text() for text in texts(figure))


def test_bars_are_as_long_as_their_shares():
    figure = diagrams.loss_bars({"a": BARS["Synthetic faces, no inversion: mean over 100 images"]})
    parts = figure.axes[0].patches
    total = sum(part.get_width() for part in parts)
    assert [part.get_width() / total for part in parts] == pytest.approx([0.8, 0.15, 0.05])
    assert [part.get_gid() for part in parts] == ["right (mIoU)", "lost by the clusters", "lost by the rule"]
    words = "\n".join(text.get_text() for text in texts(figure))
    assert "0.150 [0.100, 0.200]" in words


def test_pictures_are_made_small():
    large = np.zeros((3, 1024, 1024, 3), np.uint8)
    assert max(diagrams.pixel_to_row(large, (0, 0), 3).axes[0].images[0].get_array().shape) <= 128


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: diagrams.style_layers([]), "1 to 20 layers, got 0"),
        (lambda: diagrams.style_layers([4] * 21), "got 21"),
        (lambda: diagrams.style_layers([4, 8], 3), "cutoff"),
        (lambda: diagrams.pixel_to_row(IMAGES[:1], (0, 0), 5), "images must be"),
        (lambda: diagrams.pixel_to_row(IMAGES, (48, 0), 5), "pixel row"),
        (lambda: diagrams.pixel_to_row(IMAGES, (0, 0), 4), "n must be"),
        (lambda: diagrams.pipeline(IMAGES[0], IMAGES[:2], IMAGES[0], IMAGES[0, ..., 0] > 3, 5), "at least 3"),
        (lambda: diagrams.pipeline(IMAGES[0], IMAGES, IMAGES[0], IMAGES[0, ..., 0], 5), "mask must be"),
        (lambda: diagrams.loss_bars({}), "at least one bar"),
        (lambda: diagrams.loss_bars({"a": [Share("x", 0.5, (0, 1))]}), "add up to 1"),
    ],
)
def test_bad_input_is_named(make, problem):
    with pytest.raises(ValueError, match=problem):
        make()


def test_a_figure_that_is_shown_twice_stays_the_same(tmp_path):
    figure = diagrams.inversion_loop()
    for name in ("a.png", "b.png"):
        figure.savefig(tmp_path / name)
    assert Image.open(tmp_path / "a.png").tobytes() == Image.open(tmp_path / "b.png").tobytes()
