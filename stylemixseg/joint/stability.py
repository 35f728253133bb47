"""Choose the cutoff c and the number of clusters k without a reference, by how well two halves of the styles agree.

The style latents are split at random into two halves, and each half clusters the image by itself.

* The number of clusters: where the two cluster maps agree, the clusters follow the image's structure; where they
  differ, they follow the styles that happened to be drawn, or the start of K-means. The measure is the adjusted Rand
  index (Hubert and Arabie 1985). Choosing k by stability is an old idea (Ben-Hur et al. 2002; Lange et al. 2004).
* The cutoff: agreement alone cannot choose it. If only the last layers change, all styles look alike, and any half of
  them gives the same clusters, those of a single image's colours. The method needs movement: pixels must change their
  colours from style to style, each kind of thing in its own way. So we measure how much of the movement under one
  half of the styles is explained by the clusters of the other half. A high cutoff leaves little movement. A low cutoff
  also moves the structure, and the clusters of other styles cannot explain that.

Both say that clusters can be found again, and not that they are those one wants. Ours, not the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from torch import Tensor
from tqdm.auto import tqdm

from stylemixseg._util.checks import check_int
from stylemixseg.generators.base import Generator
from stylemixseg.mixing import check_resolution, draw_style_latents
from stylemixseg.settings import SegmenterConfig
from stylemixseg.summary import StyleStack, style_summary

SPLITS = 2  # of the styles into halves, for each image


class Halves(NamedTuple):
    """What two halves of the styles say about each other.

    Attributes:
        agreement: adjusted Rand index of their cluster maps, at most 1.
        explained: mean squared movement of an entry of one half that the clusters of the other half explain, in squared
            units of the colour space.
    """

    agreement: float
    explained: float


@dataclass(frozen=True)
class Stability:
    """How well clusters are found again, by cutoff c and number of clusters k.

    Attributes:
        halves: {(c, k): what was found on each image}.
    """

    halves: Mapping[tuple[int, int], tuple[Halves, ...]]

    def agreement(self, cutoff: int, k: int) -> float:
        """Mean over the images."""
        return float(np.mean([item.agreement for item in self.halves[cutoff, k]]))

    def explained(self, cutoff: int, k: int) -> float:
        """Mean over the images."""
        return float(np.mean([item.explained for item in self.halves[cutoff, k]]))

    def chosen_k(self, cutoff: int) -> int:
        """The number of clusters with the best agreement at a cutoff."""
        return max((k for c, k in self.halves if c == cutoff), key=lambda k: self.agreement(cutoff, k))

    def chosen_cutoff(self) -> int:
        """The cutoff at which clusters explain most movement, each with its own best number of clusters.

        More clusters explain more, so a cutoff with a larger stable k has a little advantage.
        """
        return max(dict.fromkeys(c for c, _ in self.halves), key=lambda c: self.explained(c, self.chosen_k(c)))


def adjusted_rand_index(first: np.ndarray, second: np.ndarray) -> float:
    """How well two cluster maps of the same pixels agree, whatever their numbering; at most 1, 0 on average by chance.

    Args:
        first: labels (H, W) int from 0 up.
        second: labels (H, W) int from 0 up.

    Raises:
        ValueError: maps of different sizes.

    Example:
        >>> stripes = np.array([[0, 0, 1], [0, 0, 1]])
        >>> adjusted_rand_index(stripes, 1 - stripes)
        1.0
        >>> adjusted_rand_index(stripes, np.array([[0, 0, 0], [1, 1, 1]])) < 0.1
        True
    """
    if first.shape != second.shape:
        raise ValueError(f"second must have the size of first, {first.shape}, got {second.shape}")
    columns = int(second.max()) + 1
    pairs = first.astype(np.int64).ravel() * columns + second.ravel()
    table = np.bincount(pairs, minlength=(int(first.max()) + 1) * columns).reshape(-1, columns)
    together = _pairs(table).sum()
    rows, others = _pairs(table.sum(1)).sum(), _pairs(table.sum(0)).sum()
    expected = rows * others / max(1.0, float(_pairs(np.array(first.size))))
    most = (rows + others) / 2
    # Maps of one cluster, or of one pixel, cannot differ.
    return 1.0 if most == expected else float((together - expected) / (most - expected))


def _pairs(counts: np.ndarray) -> np.ndarray:
    """How many pairs there are among so many pixels."""
    pairs: np.ndarray = counts.astype(np.float64) * (counts - 1) / 2
    return pairs


def explained_movement(labels: np.ndarray, summary: StyleStack) -> float:
    """How much of the pixels' movement over the styles a cluster map explains.

    Movement is what is left of an entry of X_s without the pixel's mean over the styles, which is its own colour, and
    without the style's mean over the pixels, which tints the whole image. What a cluster map explains of it is the mean
    square of the clusters' means, weighted by their sizes.

    Args:
        labels: (H, W) int from 0 up.
        summary: X_s (H, W, 3n).

    Returns:
        Mean over the entries, in squared units of the colour space.
    """
    rows = np.asarray(summary.rows(slice(None)))
    movement = rows.reshape(len(rows), -1, 3)
    movement = movement - movement.mean(1, keepdims=True)
    movement -= movement.mean(0, keepdims=True)
    flat = labels.ravel()
    squares = [
        (flat == cluster).sum() * (movement[flat == cluster].mean(0) ** 2).sum()
        for cluster in range(int(flat.max()) + 1)
        if (flat == cluster).any()
    ]
    return float(sum(squares) / movement.size)


def compare_halves(
    summary: StyleStack, ks: Sequence[int], *, splits: int = SPLITS, seed: int = 0, restarts: int = 10
) -> dict[int, Halves]:
    """How well two halves of the styles agree on one image, for each number of clusters.

    Args:
        summary: X_s (H, W, 3n) of one image, n at least 4.
        ks: numbers of clusters.
        splits: how often the styles are split; the mean over the splits is given.
        seed: of the splits and of K-means, which starts elsewhere in each half.
        restarts: of K-means.

    Raises:
        ValueError: too few styles, splits out of range.
    """
    n = summary.shape[2] // 3
    check_int("n", n, 4)
    check_int("splits", splits, 1)
    found: dict[int, list[tuple[float, float]]] = {k: [] for k in ks}
    for split in range(splits):
        order = np.random.default_rng([seed, split]).permutation(n)
        one, other = summary.chosen(order[: n // 2]), summary.chosen(order[n // 2 :])
        for k in ks:
            first = one.cluster(k, seed=seed, restarts=restarts).labels
            second = other.cluster(k, seed=seed + 1, restarts=restarts).labels
            explained = explained_movement(first, other) + explained_movement(second, one)
            found[k].append((adjusted_rand_index(first, second), explained / 2))
    return {k: Halves(*np.mean(values, axis=0).tolist()) for k, values in found.items()}


def measure_stability(
    generator: Generator,
    latents: Sequence[Tensor],
    config: SegmenterConfig,
    cutoffs: Sequence[int],
    ks: Sequence[int],
    *,
    progress: bool = False,
) -> Stability:
    """`compare_halves` of some images at several cutoffs.

    Args:
        generator: to find settings for.
        latents: structure latents w0 (1, num_ws, w_dim), a handful.
        config: the other settings, such as the number of styles and the colour space.
        cutoffs: to try, each in 1..num_ws - 1.
        ks: numbers of clusters to try, each at least 2.
        progress: show a progress bar.

    Raises:
        ValueError: no latents, nothing to try, a value out of range, or a device other than the CPU.
    """
    for name, values, low, high in (("cutoffs", cutoffs, 1, generator.num_ws - 1), ("ks", ks, 2, None)):
        if not values:
            raise ValueError(f"{name} must hold at least one value, got none")
        for value in values:
            check_int(name, value, low, high)
    if not latents:
        raise ValueError("latents must hold at least one image, got none")
    styles = draw_style_latents(generator, config.n, config.style_seed, config.style_truncation)
    side = check_resolution(config.resolution, generator.resolution)
    found: dict[tuple[int, int], list[Halves]] = {(c, k): [] for c in cutoffs for k in ks}
    jobs = [(w0, cutoff) for w0 in latents for cutoff in cutoffs]
    for w0, cutoff in tqdm(jobs, desc="images at each cutoff", unit="image", disable=not progress):
        summary = style_summary(generator, w0, styles, replace(config.plan, cutoff=cutoff, resolution=side))
        if not isinstance(summary, StyleStack):
            raise ValueError(f"device must be cpu, got {config.device}: two halves are compared on the CPU")
        for k, halves in compare_halves(summary, ks).items():
            found[cutoff, k].append(halves)
    return Stability({key: tuple(values) for key, values in found.items()})
