"""After KLiSH (Xu et al. 2022, https://arxiv.org/abs/2211.16710): many clusters, merged by linear separability.

What a generator's features mean can often be read off by a linear classifier. So two clusters that no linear separator
tells apart well are probably parts of one thing. K-means with many clusters comes first, over pixels of many images;
then clusters that are hard to separate become one class, step by step, until few classes are left.

Written after the idea of the paper, and not its algorithm step by step: the features are those of one layer, as for
Segmentation in Style, so that the two rows differ in the merging alone; the separator is Fisher's discriminant, fitted
on one half of the pixels and judged on the other half by the distance of the two means over the spread about them. An
error rate would not do: neighbouring clusters of K-means are always separated by a plane, namely their border. Two
classes are as far apart as the two of their clusters that are farthest apart (complete linkage, which
data_scripts/choose_linkage.py chose). Fitting a separator anew for each merged class does worse: the spread of a large
class is large in every direction, so that it seems close to everything and takes up one cluster after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from torch import Tensor
from tqdm.auto import tqdm

from stylemixseg._util.checks import check_choice, check_int, check_real
from stylemixseg.baselines.segmentation_in_style import FeatureClustering, SegmentationInStyle, drawn_pixels
from stylemixseg.clustering import fit_centroids, squared_distances
from stylemixseg.generators.base import Generator

LINKAGES = ("single", "average", "complete")
_RESTARTS = 2  # of K-means: with so many clusters its result depends little on the start


@dataclass(frozen=True)
class Merging:
    """How clusters are made and merged.

    Attributes:
        clustering: of the many clusters at first.
        classes: that are left in the end; as many as Segmentation in Style has.
        components: principal components of the features in which separators are fitted.
        ridge: added to the spread, as a share of its mean, so that directions without any spread do not decide.
        linkage: how far apart two classes are, from the distances of their clusters: the smallest ("single"), the mean
            ("average") or the largest ("complete").
    """

    clustering: FeatureClustering = field(default_factory=lambda: FeatureClustering(k=60))
    classes: int = 9
    components: int = 64
    ridge: float = 0.01
    linkage: str = "complete"

    def __post_init__(self) -> None:
        check_int("classes", self.classes, 2, self.clustering.k)
        check_int("components", self.components, 1)
        check_real("ridge", self.ridge, 1e-6, 1e6)
        check_choice("linkage", self.linkage, LINKAGES)


class Klish(SegmentationInStyle):
    """The merged clusters.

    Attributes:
        name: "klish". merged: (k,) int, the class of each of the clusters at first.

    Args:
        generator: whose images are segmented.
        how: of the clusters at first.
        centroids: (k, C) float32.
        merged: (k,) int in 0..classes - 1.
    """

    name = "klish"

    def __init__(self, generator: Generator, how: FeatureClustering, centroids: np.ndarray, merged: np.ndarray):
        super().__init__(generator, how, centroids)
        self.merged, self.classes = merged, int(merged.max()) + 1

    def clusters(self, ws: Tensor) -> np.ndarray:
        """The class (side, side) int of every pixel of the image of ws (1, num_ws, w_dim)."""
        found: np.ndarray = self.merged[super().clusters(ws)]
        return found


def fit_klish(
    generator: Generator, latents: Sequence[Tensor], how: Merging | None = None, *, progress: bool = False
) -> Klish:
    """Cluster the features of some images together, and merge the clusters.

    Args:
        generator: with feature maps.
        latents: ws (1, num_ws, w_dim) of each image.
        how: None for the defaults.
        progress: show progress bars.

    Raises:
        TypeError: a generator without feature maps.
        ValueError: a layer that the generator has not, or fewer pixels than clusters.
    """
    how = how or Merging()
    first = how.clustering
    pixels = drawn_pixels(generator, latents, first, progress=progress)
    centroids, _ = fit_centroids(pixels, first.k, seed=first.seed, restarts=_RESTARTS)
    labels = squared_distances(pixels, centroids).argmin(1)
    merged = merge(_principal(pixels, how.components), labels, first.k, how, progress=progress)
    return Klish(generator, first, centroids, merged)


def merge(points: np.ndarray, labels: np.ndarray, k: int, how: Merging, *, progress: bool = False) -> np.ndarray:
    """Merge clusters, the hardest to separate first, until at most `how.classes` are left.

    Args:
        points: (P, D) float32.
        labels: (P,) int in 0..k-1.
        k: clusters at first.
        how: see `Merging`.
        progress: show a progress bar.

    Returns:
        (k,) int, the class of each cluster, numbered from 0 in the order of their first clusters.
    """
    groups = [Group.of(points[labels == label]) for label in range(k)]
    bar = tqdm(combinations(groups, 2), "separators", k * (k - 1) // 2, unit="pair", disable=not progress)
    apart = [separation(one, other, how.ridge) for one, other in bar]  # in the order that `linkage` expects
    classes = fcluster(linkage(apart, how.linkage), how.classes, "maxclust")
    numbers = {label: number for number, label in enumerate(dict.fromkeys(classes.tolist()))}
    return np.array([numbers[label] for label in classes.tolist()])


@dataclass(frozen=True)
class Moments:
    """Number, mean (D,) and scatter about the mean (D, D), a mean over the points, of some points."""

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray) -> Moments:
        """Of points (P, D); of no point all is 0."""
        if not len(points):
            size = points.shape[1]
            return cls(0, np.zeros(size), np.zeros((size, size)))
        mean = points.mean(0)
        centred = points - mean
        return cls(len(points), mean, centred.T @ centred / len(points))


@dataclass(frozen=True)
class Group:
    """A cluster's pixels in two halves: to fit separators on, and to judge them on."""

    fitted: Moments
    judged: Moments

    @classmethod
    def of(cls, points: np.ndarray) -> Group:
        """Of points (P, D): every second one judges."""
        return cls(Moments.of(points[::2]), Moments.of(points[1::2]))


def separation(a: Group, b: Group, ridge: float) -> float:
    """How well Fisher's discriminant of two groups' first halves separates their second halves; 0: not at all.

    It is the squared distance of the two means along the discriminant, over the sum of the variances. A group without
    pixels in one of its halves separates from nothing.
    """
    if not all(half.count for half in (a.fitted, a.judged, b.fitted, b.judged)):
        return 0.0
    spread = a.fitted.scatter + b.fitted.scatter  # (D, D), a new array
    spread[np.diag_indices_from(spread)] += ridge * np.trace(spread) / len(spread) + 1e-9
    direction = np.linalg.solve(spread, a.fitted.mean - b.fitted.mean)
    signed = max(0.0, float((a.judged.mean - b.judged.mean) @ direction))  # the wrong way round is no separation
    variance = float(direction @ (a.judged.scatter + b.judged.scatter) @ direction)
    return signed**2 / max(variance, 1e-12)


def _principal(points: np.ndarray, components: int) -> np.ndarray:
    """Points (P, C) in their first principal components, (P, min(components, C)) float64."""
    moments = Moments.of(points)
    values, vectors = np.linalg.eigh(moments.scatter.astype(np.float64))
    chosen = vectors[:, np.argsort(values)[::-1][:components]]
    projected: np.ndarray = (points - moments.mean) @ chosen
    return projected
