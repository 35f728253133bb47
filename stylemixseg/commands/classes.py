"""The named parts of a generated image, as `stylemixseg segment --classes` asks for them."""

from __future__ import annotations

import numpy as np

from stylemixseg.generators.base import Generator
from stylemixseg.joint.classes import (
    DIVIDED,
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


def named_clusters(generator: Generator, config: SegmenterConfig, names: str) -> tuple[StyleClusters, ClusterNames]:
    """The shared clusters of a generator, with the names of a file, or "" for those that come with them.

    Raises:
        FileNotFoundError: no such file of names.
        NoJudgeError: there are no clusters for these settings.
        ValueError: names that do not fit the clusters.
    """
    clusters, shipped = load_clusters(generator, config)
    return clusters, read_names(names, clusters.k) if names else shipped


def named_features(
    generator: Generator, config: SegmenterConfig, names: ClusterNames, where: str
) -> tuple[StyleClusters, ClusterNames]:
    """The shared clusters inside the skin, and their names: brows, eyes, nose and mouth.

    Args:
        generator: whose images have parts.
        config: settings of the method.
        names: of the parts, among which the skin must be.
        where: the file of these names, or "", for the message.

    Raises:
        NoJudgeError: there are no clusters for these settings.
        ValueError: no skin among the names.
    """
    if DIVIDED not in names.classes:
        found = ", ".join(names.classes)
        raise ValueError(
            f"--features needs a class named {DIVIDED}, got {found} in {where or 'the names of the package'}"
        )
    return load_clusters(generator, config, FEATURES_FILE)


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
        self._features = named_features(generator, config, self._names, names) if features else None

    def of(self, summary: StyleSummary, found: Segmentation) -> tuple[np.ndarray, tuple[str, ...]]:
        """Class map (H, W) uint8 of a segmented image, whose X_s is `summary`, and its classes by label."""
        labels = class_map(self._clusters, self._names, summary, found.mask, found.image)
        if self._features is None:
            return labels, self._names.classes
        return finer_map(labels, self._names, DIVIDED, *self._features, summary)
