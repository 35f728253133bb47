"""The named parts of a generated image, as `stylemixseg segment --classes` asks for them."""

from __future__ import annotations

import numpy as np

from stylemixseg.generators.base import Generator
from stylemixseg.joint.classes import (
    FEATURES_FILE,
    ClusterNames,
    StyleClusters,
    class_map,
    finer_map,
    load_clusters,
    read_names,
)
from stylemixseg.segmenter import Segmentation
from stylemixseg.settings import SegmenterConfig
from stylemixseg.summary import StyleSummary

DIVIDED = "skin"  # the class that `--features` divides


def named_clusters(generator: Generator, config: SegmenterConfig, names: str) -> tuple[StyleClusters, ClusterNames]:
    """The shared clusters of a generator, with the names of a file, or "" for those that come with them.

    Raises:
        FileNotFoundError: no such file of names.
        NoJudgeError: there are no clusters for these settings.
        ValueError: names that do not fit the clusters.
    """
    clusters, shipped = load_clusters(generator, config)
    return clusters, read_names(names, clusters.k) if names else shipped


class NamedParts:
    """What names the parts; files are read when it is made, before the work that a broken one would spoil.

    Args:
        generator: whose images have parts.
        config: settings of the method.
        names: path of a file of names, or "" for the names that come with the clusters.
        features: name brows, eyes, nose and mouth too.

    Raises:
        FileNotFoundError: no such file of names.
        NoJudgeError: there are no clusters for these settings.
        ValueError: names that do not fit the clusters, or without the skin that features lie in.
    """

    def __init__(self, generator: Generator, config: SegmenterConfig, names: str, features: bool):
        self._clusters, self._names = named_clusters(generator, config, names)
        self._features = load_clusters(generator, config, FEATURES_FILE) if features else None
        if features and DIVIDED not in self._names.classes:
            found, where = ", ".join(self._names.classes), names or "the names of the package"
            raise ValueError(f"--features needs a class named {DIVIDED}, got {found} in {where}")

    def of(self, summary: StyleSummary, found: Segmentation) -> tuple[np.ndarray, tuple[str, ...]]:
        """Class map (H, W) uint8 of a segmented image, whose X_s is `summary`, and its classes by label."""
        labels = class_map(self._clusters, self._names, summary, found.mask, found.image)
        if self._features is None:
            return labels, self._names.classes
        return finer_map(labels, self._names, DIVIDED, *self._features, summary)
