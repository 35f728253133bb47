"""The two pictures of the first page, made from results: faces with their masks, and the method in four steps."""

from __future__ import annotations

from itertools import pairwise, product
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import ConnectionPatch
from PIL import Image

from stylemixseg._util.paths import atomic_write
from stylemixseg.experiments.clustermaps import make_cluster_maps, map_key
from stylemixseg.experiments.profile import Profile
from stylemixseg.experiments.scoring import RULES, rule_mask
from stylemixseg.generators.base import Generator, seeded_latent
from stylemixseg.mixing import draw_style_latents, style_mixed_images
from stylemixseg.settings import MixPlan
from stylemixseg.viz.compositing import PALETTE, clusters_to_color, composite, overlay

FACES = 6
SIDE = 256  # px of each picture
MIXES = 4  # that the row of steps shows
ARROW = PALETTE[5] / 255


def write_hero(generator: Generator, profile: Profile, folder: Path) -> None:
    """Write `hero.jpg` and `pipeline.png`. The cluster maps are those of the chapters, so they are at hand already."""
    folder.mkdir(parents=True, exist_ok=True)
    method = profile.method
    key = map_key(method.color_space, method.k)
    seeds = profile.queries.seeds[:FACES]
    maps = make_cluster_maps(generator, profile, [(seed, method.cutoff) for seed in seeds])
    columns, first = [], None
    for item in maps:
        image, labels = item["image"], item[key]
        mask = rule_mask(labels, method.k, RULES["saliency"])
        columns.append(np.concatenate([_small(image), _small(_on_plain_ground(image, mask))]))
        first = first or (image, labels, mask)
    with atomic_write(folder / "hero.jpg") as temporary:
        Image.fromarray(np.concatenate(columns, 1)).save(temporary, "JPEG", quality=88)
    w0 = seeded_latent(generator, seeds[0], profile.queries.truncation)
    styles = draw_style_latents(generator, MIXES, method.style_seed, method.style_truncation)
    mixes = style_mixed_images(generator, w0, styles, MixPlan(method.cutoff, min(SIDE, generator.resolution)))
    assert first is not None
    _write_pipeline(*first, mixes, profile, folder / "pipeline.png")


def _small(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def _on_plain_ground(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The foreground before one colour, so that nothing but the mask decides what is seen."""
    return composite(image, np.broadcast_to(PALETTE[0], image.shape), mask)


def _write_pipeline(
    image: np.ndarray, labels: np.ndarray, mask: np.ndarray, mixes: np.ndarray, profile: Profile, path: Path
) -> None:
    """One face through all steps, from left to right, each with its name and what it takes."""
    method = profile.method
    steps = [
        (image, "one face", f"its latent is kept\nbelow layer c = {method.cutoff}"),
        (_tiled(mixes), f"1. mix n = {method.n} styles", f"stacked: {3 * method.n} numbers\nper pixel"),
        (clusters_to_color(labels), "2. cluster", f"K-means: k = {method.k} groups\nof pixels"),
        (overlay(image, mask), "3. choose", "a rule takes the clusters\nof the object"),
    ]
    figure, axes = plt.subplots(1, len(steps), figsize=(9, 2.9), layout="constrained", gridspec_kw={"wspace": 0.12})
    for axis, (picture, title, below) in zip(axes, steps):
        axis.imshow(picture)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        axis.set_title(title, fontsize=10, weight="bold")
        axis.set_xlabel(below, fontsize=9)
    for left, right in pairwise(axes):
        ends = {"xyA": (1.02, 0.5), "xyB": (-0.02, 0.5), "coordsA": left.transAxes, "coordsB": right.transAxes}
        figure.add_artist(ConnectionPatch(**ends, arrowstyle="-|>", mutation_scale=18, color=ARROW, linewidth=2))
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    plt.close(figure)


def _tiled(images: np.ndarray) -> np.ndarray:
    """Four images in a square, with white between them."""
    side = images.shape[1]
    gap = side // 20
    sheet = np.full((2 * side + gap, 2 * side + gap, 3), 255, np.uint8)
    for image, (row, column) in zip(images, product((0, side + gap), repeat=2)):
        sheet[row : row + side, column : column + side] = image
    return sheet
