"""A sheet of examples: what each of the clusters that images share shows, one row per cluster."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from stylemixseg.joint.classes import ClusterNames

_CELL = 128  # px
_MARGIN = 110  # px, for number and name
_DIM = 5  # a pixel of another cluster has a fifth of its brightness


def cluster_rows(examples: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], k: int) -> list[np.ndarray]:
    """One row of images per cluster, in which only the cluster's pixels are bright.

    Args:
        examples: image (H, W, 3) uint8, mask (H, W) bool and clusters (h, w) int of each example.
        k: number of clusters.

    Returns:
        k pictures (128, 128 examples, 3) uint8.
    """
    size = (_CELL, _CELL)
    small = [
        (
            np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)),
            np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST)),
            np.asarray(Image.fromarray(clusters.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)),
        )
        for image, mask, clusters in examples
    ]
    return [
        np.concatenate(
            [
                np.where((mask & (clusters == cluster))[..., None], image, image // _DIM)
                for image, mask, clusters in small
            ],
            axis=1,
        )
        for cluster in range(k)
    ]


def cluster_sheet(examples: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], names: ClusterNames) -> np.ndarray:
    """The rows of `cluster_rows`, each with the cluster's number and name.

    Args:
        examples: as for `cluster_rows`.
        names: of the clusters.

    Returns:
        (128 k, 110 + 128 examples, 3) uint8.
    """
    rows = cluster_rows(examples, len(names.of_cluster))
    sheet = Image.new("RGB", (_MARGIN + rows[0].shape[1], _CELL * len(rows)), "white")
    draw = ImageDraw.Draw(sheet)
    for cluster, (row, label) in enumerate(zip(rows, names.of_cluster, strict=True)):
        draw.text((8, cluster * _CELL + _CELL // 2 - 12), f"cluster {cluster}\n{names.classes[label]}", fill="black")
        sheet.paste(Image.fromarray(row), (_MARGIN, cluster * _CELL))
    return np.asarray(sheet)
