"""Segmentation in Style (Pakhomov et al. 2021, https://arxiv.org/abs/2107.12518): clusters of one layer's features.

K-means over the pixels of many images, described by the features of one middle layer. Because the network is the same
for all images, a cluster means the same in all of them, and one of them is named background once. The paper then trains
a network on such masks; here the masks themselves are scored, as those of the other methods are.

Written from the paper. Who names the background: `by_corners` does it by a rule, without any label; `by_labels` stands
for a person who looks at some images.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from tqdm.auto import tqdm

from stylemixseg._util.checks import check_int
from stylemixseg.baselines.base import (
    MEMORY_LIMIT,
    check_features,
    features_at,
    pixels_that_fit,
    resized_features,
)
from stylemixseg.clustering import fit_centroids, squared_distances
from stylemixseg.generators.base import Generator

_CORNER = 1 / 8  # of the side


@dataclass(frozen=True)
class FeatureClustering:
    """How features are clustered.

    Attributes:
        k: clusters. layer: whose features, by the number of its latent; None for the second layer of 64 px, or the last
            one of a smaller generator. side: px at which pixels are labelled.
        pixels_per_image: drawn from each image, fewer where those of all images would not fit into memory.
        seed: of everything random.
        memory_limit: bytes that the drawn pixels' features may take.
    """

    k: int = 9
    layer: int | None = None
    side: int = 128
    pixels_per_image: int = 2000
    seed: int = 0
    memory_limit: int = MEMORY_LIMIT

    def __post_init__(self) -> None:
        check_int("k", self.k, 2)
        if self.layer is not None:
            check_int("layer", self.layer, 0)
        check_int("side", self.side, 8)
        check_int("pixels_per_image", self.pixels_per_image, 1)
        check_int("seed", self.seed, 0)
        check_int("memory_limit", self.memory_limit, 1)


class SegmentationInStyle:
    """The fitted clusters.

    Attributes:
        name: "segmentation_in_style". classes: how many clusters there are to name. background: (classes,) bool, which
            of them are background; None before it is named.

    Args:
        generator: whose images are segmented.
        how: see `FeatureClustering`.
        centroids: (k, C) float32.
    """

    name = "segmentation_in_style"

    def __init__(self, generator: Generator, how: FeatureClustering, centroids: np.ndarray):
        self._generator = check_features(generator, "Segmentation in Style")
        self.how, self.centroids, self.classes = how, centroids, len(centroids)
        self._layer = _layer_of(generator, how)
        self.background: np.ndarray | None = None

    def clusters(self, ws: Tensor) -> np.ndarray:
        """The cluster (side, side) int of every pixel of the image of ws (1, num_ws, w_dim)."""
        rows = _pixels(features_at(self._generator, ws, self._layer), self.how.side)
        nearest: np.ndarray = squared_distances(rows, self.centroids).argmin(1)
        return nearest.reshape(self.how.side, self.how.side)

    def foreground(self, ws: Tensor) -> np.ndarray:
        """Foreground (side, side) bool.

        Raises:
            ValueError: the background has no name yet.
        """
        if self.background is None:
            raise ValueError("the background must be named first: by_corners, or by_labels")
        mask: np.ndarray = ~self.background[self.clusters(ws)]
        return mask

    def by_corners(self, latents: Iterable[Tensor]) -> None:
        """Name background what is more frequent in the two upper corners than in the middle of some images."""
        side = self.how.side
        corner = max(1, round(_CORNER * side))
        y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
        middle = x**2 + y**2 < 0.25
        corners = np.zeros((side, side), bool)
        corners[:corner, :corner] = corners[:corner, -corner:] = True
        counts = np.zeros((2, self.classes))
        for ws in latents:
            found = self.clusters(ws)
            for place, where in enumerate((corners, middle)):
                counts[place] += np.bincount(found[where], minlength=self.classes) / where.sum()
        self.background = counts[0] > counts[1]

    def by_labels(self, examples: Iterable[tuple[Tensor, np.ndarray]]) -> None:
        """Name background the clusters of which most pixels are background, in images with known foreground.

        Args:
            examples: ws (1, num_ws, w_dim) of each image and its foreground (h, h) bool, h a multiple of the side.
        """
        counts = np.zeros((2, self.classes))
        for ws, foreground in examples:
            step = len(foreground) // self.how.side
            found, known = self.clusters(ws), foreground[step // 2 :: step, step // 2 :: step]
            for side in (0, 1):
                counts[side] += np.bincount(found[known == bool(side)], minlength=self.classes)
        self.background = counts[0] > counts[1]


def fit_segmentation_in_style(
    generator: Generator, latents: Sequence[Tensor], how: FeatureClustering | None = None, *, progress: bool = False
) -> SegmentationInStyle:
    """Cluster the features of some images together.

    Args:
        generator: with feature maps.
        latents: ws (1, num_ws, w_dim) of each image; the paper takes 50.
        how: None for the defaults.
        progress: show a progress bar.

    Raises:
        TypeError: a generator without feature maps.
        ValueError: a layer that the generator has not, or fewer pixels than clusters.
    """
    how = how or FeatureClustering()
    centroids, _ = fit_centroids(drawn_pixels(generator, latents, how, progress=progress), how.k, seed=how.seed)
    return SegmentationInStyle(generator, how, centroids)


def drawn_pixels(
    generator: Generator, latents: Sequence[Tensor], how: FeatureClustering, *, progress: bool = False
) -> np.ndarray:
    """Features of pixels drawn from the images, as many from each, (P, C) float32; one image is looked at at a time.

    Raises:
        TypeError: a generator without feature maps.
        ValueError: a layer that the generator has not, fewer pixels than clusters, or a memory limit that is too low.
    """
    giving, layer = check_features(generator, "Segmentation in Style"), _layer_of(generator, how)
    draw = np.random.default_rng(how.seed)
    rows: list[np.ndarray] = []
    for ws in tqdm(latents, desc="images to cluster", unit="image", disable=not progress):
        pixels = _pixels(features_at(giving, ws, layer), how.side)
        count = pixels_that_fit(how.pixels_per_image, len(latents), pixels[0].nbytes, how.memory_limit)
        rows.append(pixels[draw.choice(len(pixels), min(count, len(pixels)), replace=False)])
    together = np.concatenate(rows) if rows else np.zeros((0, 1), np.float32)
    if len(together) < how.k:
        raise ValueError(f"latents must give at least k = {how.k} pixels, got {len(together)}")
    return together


def _layer_of(generator: Generator, how: FeatureClustering) -> int:
    last = generator.num_ws - 2
    if how.layer is None:
        return min(8, last)
    return check_int("layer", how.layer, 0, last)


def _pixels(features: Tensor, side: int) -> np.ndarray:
    """Features (1, C, h, h) as rows (side * side, C) float32."""
    rows: np.ndarray = resized_features(features, side)[0].flatten(1).T.contiguous().numpy()
    return rows
