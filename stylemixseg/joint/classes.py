"""Classes that keep their names: clusters over many images, each named once. Ours, not the paper's.

The paper clusters each image by itself, so its clusters have no names: cluster 3 is hair in one image and a wall in
another. With shared styles an entry of X_s means the same in every image, so pixels of all images lie in one space.
K-means over the foreground pixels of many images gives clusters that stay: hair of any colour varies alike under the
same styles. Whoever gives each cluster a name, once, names the parts of every image of the generator.

A pixel is described by its row of X_s, centred over the styles of each channel and scaled to length 1: how its colour
moves counts, not how bright it is or how far it moves.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.special import softmax

from stylemixseg._util.checks import check_real
from stylemixseg.clustering import fit_centroids
from stylemixseg.generators.base import Generator
from stylemixseg.joint.base import centred
from stylemixseg.joint.files import read_fitted, write_fitted
from stylemixseg.joint.place import resized
from stylemixseg.settings import SegmenterConfig
from stylemixseg.summary import StyleSummary, as_summary

WEIGHTS_FILE = Path(__file__).parents[1] / "models" / "weights" / "faces_clusters.safetensors"
FEATURES_FILE = WEIGHTS_FILE.with_name("faces_features.safetensors")  # clusters of the skin's pixels alone
BACKGROUND = "background"
DIVIDED = "skin"  # the class whose pixels they divide
SMALL = 64  # px, side of the stored maps of where clusters lie
_SHARPNESS = 20.0  # log-odds for each unit of cosine
_EDGES = 1 / 16  # of the side: radius within which classes are moved to the image's edges
_PRIOR = 0.5  # how much the place counts against the colours; 1 would count dependent evidence twice
_SMOOTHING = 1 / 128  # of the side
_LEAST_SHARE = 0.004  # no place is impossible for a class
_MAX_NAMES = 255  # classes in an 8-bit palette


@dataclass(frozen=True, eq=False)
class StyleClusters:
    """Clusters of pixels that all images of a generator share.

    Attributes:
        centers: (K, 3n) float32, centred over the styles of each channel, of length 1.
        share: (K, 64, 64) float32, how often each cluster lies at each place; zero everywhere where images are not
            aligned.
    """

    centers: np.ndarray
    share: np.ndarray

    @property
    def k(self) -> int:
        """Number of clusters."""
        return len(self.centers)

    @property
    def entries(self) -> int:
        """Of a row of X_s, 3n."""
        return self.centers.shape[1]

    def similarity(self, summary: np.ndarray | StyleSummary) -> np.ndarray:
        """Cosine of every pixel to every centre, (h, w, K) float32 in -1..1.

        Raises:
            ValueError: X_s of another number of styles.
        """
        summary = as_summary(summary)
        length = signature_length(summary)
        similarity: np.ndarray = summary.project(np.ascontiguousarray(self.centers.T)) / length[..., None]
        return similarity

    def assign(self, summary: np.ndarray | StyleSummary) -> np.ndarray:
        """The nearest cluster of every pixel, (h, w) int in 0..K-1."""
        nearest: np.ndarray = self.similarity(summary).argmax(2)
        return nearest


@dataclass(frozen=True)
class ClusterNames:
    """What the clusters are called.

    Attributes:
        classes: names of the classes by their label in a class map; the first is "background".
        of_cluster: (K,) label of each cluster, 1..len(classes) - 1.
    """

    classes: tuple[str, ...]
    of_cluster: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.classes) < 2 or self.classes[0] != BACKGROUND:
            raise ValueError(f"classes must be 'background' and at least one more, got {list(self.classes)}")
        if len(set(self.classes)) != len(self.classes) or len(self.classes) > _MAX_NAMES:
            raise ValueError(f"classes must be at most {_MAX_NAMES} different names, got {list(self.classes)}")
        if wrong := [label for label in self.of_cluster if not 1 <= label < len(self.classes)]:
            raise ValueError(f"labels of clusters must be 1 to {len(self.classes) - 1}, got {wrong[0]}")

    @classmethod
    def of(cls, named: Mapping[str, Sequence[int]], k: int) -> ClusterNames:
        """From the clusters of every name, such as {"skin": [0, 3], "hair": [1, 2]}; labels follow the order of names.

        Args:
            named: cluster numbers, 0..k-1, by name.
            k: number of clusters, each of which needs one name.

        Raises:
            ValueError: a cluster that does not exist, has two names, or has none.
        """
        classes = (BACKGROUND, *named)
        label = np.zeros(k, int)
        for number, clusters in enumerate(named.values(), 1):
            for cluster in clusters:
                if isinstance(cluster, bool) or not isinstance(cluster, int) or not 0 <= cluster < k:
                    raise ValueError(f"clusters must be 0 to {k - 1}, got {cluster!r} under {classes[number]!r}")
                if label[cluster]:
                    raise ValueError(
                        f"cluster {cluster} must have one name, got {classes[label[cluster]]!r} and {classes[number]!r}"
                    )
                label[cluster] = number
        if missing := np.flatnonzero(label == 0).tolist():
            raise ValueError(f"every cluster must have a name, got none for {missing}")
        return cls(classes, tuple(label.tolist()))

    def named(self) -> dict[str, list[int]]:
        """The clusters of every name but the background's, as `of` takes them."""
        return {
            name: [cluster for cluster, label in enumerate(self.of_cluster) if label == number]
            for number, name in enumerate(self.classes)
            if number
        }


def read_names(path: str | Path, k: int) -> ClusterNames:
    """Names from a file, {"names": {"skin": [0, 3], "hair": [1, 2]}} as `stylemixseg name-clusters` writes it.

    Args:
        path: a JSON file.
        k: number of clusters.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such JSON, or names that do not fit the clusters.
    """
    try:
        named = json.loads(Path(path).read_text(encoding="utf-8"))["names"]
        if not isinstance(named, dict) or not all(isinstance(clusters, list) for clusters in named.values()):
            raise TypeError('"names" must hold a list of cluster numbers for each name')
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is not a file of names that `stylemixseg name-clusters` wrote: {error!r}") from error
    try:
        return ClusterNames.of(named, k)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def class_map(
    clusters: StyleClusters,
    names: ClusterNames,
    summary: np.ndarray | StyleSummary,
    mask: np.ndarray,
    image: np.ndarray | None = None,
) -> np.ndarray:
    """The class of every pixel: background outside of the mask, inside it the class whose clusters fit best.

    The best cosine of a class's clusters, smoothed a little. What then says where one class ends and the next begins
    are the edges of the query image (a guided filter of the classes' probabilities), or without an image half of the
    class's log-share at the place.

    Args:
        clusters: of the generator.
        names: of the clusters.
        summary: X_s (h, w, 3n) of the image.
        mask: foreground (H, W) bool, H and W at least h and w.
        image: the query (H, W, 3) uint8, if classes are to follow its edges: right for parts as large as hair, and
            wrong for parts as small as eyes.

    Returns:
        (H, W) uint8, labels as in `names.classes`.

    Raises:
        ValueError: names of another number of clusters, X_s of another number of styles, an image of another size than
            the mask.
    """
    if len(names.of_cluster) != clusters.k:
        raise ValueError(f"names must be for {clusters.k} clusters, got {len(names.of_cluster)}")
    similarity = clusters.similarity(summary)
    size = (similarity.shape[0], similarity.shape[1])
    of_cluster = np.array(names.of_cluster)
    scores = []
    for label in range(1, len(names.classes)):
        mine = of_cluster == label
        if not mine.any():
            scores.append(np.full(mask.shape, -np.inf, np.float32))
            continue
        best = _SHARPNESS * similarity[..., mine].max(2)
        if image is None and clusters.share.any():
            place = np.log(clusters.share[mine].sum(0).clip(_LEAST_SHARE)).astype(np.float32)
            best = best + _PRIOR * resized(place, size)
        scores.append(resized(gaussian_filter(best, _SMOOTHING * min(size)), (mask.shape[0], mask.shape[1])))
    if image is not None:
        scores = _along_edges(scores, image)
    labels = np.argmax(scores, axis=0).astype(np.uint8) + 1
    return np.where(mask, labels, 0).astype(np.uint8)


def _along_edges(scores: list[np.ndarray], image: np.ndarray) -> list[np.ndarray]:
    """Log-odds (H, W) of each class as probabilities that change at the edges of an image (H, W, 3) uint8."""
    from stylemixseg.sharpening import sharpen  # it brings kornia, which takes a while

    return [sharpen(of_class, image, _EDGES) for of_class in softmax(np.stack(scores), axis=0)]


def fit_clusters(
    images: Iterable[tuple[StyleSummary, np.ndarray]],
    k: int,
    ns: Sequence[int],
    *,
    aligned: bool = True,
    pixels_per_image: int = 1000,
    restarts: int = 5,
    seed: int = 0,
) -> dict[int, StyleClusters]:
    """Cluster the foreground pixels of many images together.

    Args:
        images: X_s (h, w, 3 max(ns)) of each image and its mask (h, w) bool, all with the same styles.
        k: number of clusters.
        ns: numbers of styles; clusters are found with the largest, and each other n gets the centres of the same
            clusters, so that a cluster has one number, and one name, whatever n.
        aligned: whether to keep where each cluster lies.
        pixels_per_image: drawn from each image.
        restarts: of K-means.
        seed: of everything random.

    Returns:
        Clusters for each n.

    Raises:
        ValueError: fewer foreground pixels than clusters.
    """
    rng = np.random.default_rng(seed)
    most = max(ns)
    rows, places = [], []
    for summary, mask in images:
        inside = np.flatnonzero(mask)
        drawn = rng.choice(inside, min(pixels_per_image, len(inside)), replace=False)
        rows.append(np.asarray(summary.rows(drawn)))
        height, width = mask.shape
        places.append((drawn // width) * SMALL // height * SMALL + (drawn % width) * SMALL // width)
    together, place = np.concatenate(rows), np.concatenate(places)
    if len(together) < k:
        raise ValueError(f"images must have at least k = {k} foreground pixels, got {len(together)}")
    signatures = unit_signatures(together)
    centers, _ = fit_centroids(signatures, k, seed=seed, restarts=restarts)
    nearest = (signatures @ unit_signatures(centers).T).argmax(1)
    share = np.zeros((k, SMALL, SMALL), np.float32)
    if aligned:
        counts = np.bincount(nearest * SMALL**2 + place, minlength=k * SMALL**2).reshape(k, SMALL, SMALL)
        smooth = gaussian_filter(counts.astype(np.float32), (0, 2, 2))
        smooth = smooth + smooth[:, :, ::-1]  # a mirrored portrait is a portrait
        share = smooth / np.maximum(smooth.sum(0), 1e-6)
    found = {}
    for n in ns:
        of_n = unit_signatures(together[:, : 3 * n])
        means = np.stack([of_n[nearest == cluster].mean(0) for cluster in range(k)])
        found[n] = StyleClusters(unit_signatures(means), share)
    assert found[most].entries == 3 * most
    return found


def finer_map(
    labels: np.ndarray,
    names: ClusterNames,
    part: str,
    clusters: StyleClusters,
    parts: ClusterNames,
    summary: np.ndarray | StyleSummary,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """A class map in which one class is divided further, by clusters of its own pixels.

    Args:
        labels: class map (H, W) uint8.
        names: what its labels mean.
        part: name of the class to divide.
        clusters: found among that class's pixels.
        parts: names of these clusters; pixels that are called as the class itself keep its label.
        summary: X_s (h, w, 3n) of the image.

    Returns:
        The finer map (H, W) uint8, and its classes; the new ones come after the old ones, and a part whose name is
        among these joins that class.

    Raises:
        ValueError: no class of that name, or too many classes.
    """
    classes = finer_classes(names, part, parts)
    label = names.classes.index(part)
    of_part = np.array([0, *map(classes.index, parts.classes[1:])], np.uint8)
    inside = class_map(clusters, parts, summary, labels == label)
    return np.where(labels == label, of_part[inside], labels).astype(np.uint8), classes


def finer_classes(names: ClusterNames, part: str, parts: ClusterNames) -> tuple[str, ...]:
    """The classes of a `finer_map`; raises as it does."""
    if part not in names.classes[1:]:
        raise ValueError(f"part must be one of {', '.join(names.classes[1:])}, got {part!r}")
    classes = names.classes + tuple(name for name in parts.classes[1:] if name not in names.classes)
    if len(classes) > _MAX_NAMES:
        raise ValueError(f"names and parts must be at most {_MAX_NAMES} classes together, got {len(classes)}")
    return classes


def names_by_majority(
    clusters: StyleClusters,
    images: Iterable[tuple[StyleSummary, np.ndarray]],
    classes: Sequence[str],
    *,
    balance: float = 0.0,
) -> ClusterNames:
    """Name every cluster after the class that most of its pixels have in a handful of labelled images.

    Args:
        clusters: to name.
        images: X_s (h, w, 3n) of each image and its labels (h, w) int, 0 for background, which names nothing.
        classes: names by label, "background" first.
        balance: 0 counts pixels. Eyes have few pixels, so hardly any cluster consists mostly of them; with 1 the pixels
            of every class weigh the same together, and values between 0 and 1 lie between the two.

    Raises:
        ValueError: a cluster that no labelled image shows, balance out of range.
    """
    check_real("balance", balance, 0, 1)
    counts = np.zeros((clusters.k, len(classes)), int)
    for summary, labels in images:
        pairs = clusters.assign(summary) * len(classes) + labels
        counts += np.bincount(pairs.ravel(), minlength=counts.size).reshape(counts.shape)
    counts[:, 0] = 0
    if missing := np.flatnonzero(counts.sum(1) == 0).tolist():
        raise ValueError(f"images must show every cluster, got none with {missing}: label more images")
    weights = 1 / counts.sum(0).clip(1) ** balance
    return ClusterNames(tuple(classes), tuple((counts * weights).argmax(1).tolist()))


def unit_signatures(rows: np.ndarray) -> np.ndarray:
    """Rows (P, 3n) of X_s, centred over the styles of each channel and scaled to length 1."""
    signatures = centred(rows)
    unit: np.ndarray = signatures / np.maximum(np.linalg.norm(signatures, axis=1, keepdims=True), 1e-6)
    return unit


def signature_length(summary: StyleSummary) -> np.ndarray:
    """Length of every pixel's centred row of X_s, (h, w) float32: how much its colour varies over the styles."""
    height, width, entries = summary.shape
    n = entries // 3
    square = summary.squared_distances(np.zeros((1, entries), np.float32)).reshape(height, width)
    mean = summary.project(np.tile(np.eye(3, dtype=np.float32) / n, (n, 1)))  # (h, w, 3)
    length: np.ndarray = np.sqrt(np.maximum(square - n * (mean**2).sum(2), 1e-6))
    return length


def save_clusters(
    path: Path,
    clusters: Mapping[int, StyleClusters],
    names: ClusterNames,
    generator: Generator,
    config: SegmenterConfig,
    record: Mapping[str, Any],
) -> None:
    """Write the clusters of one generator for several n, and names and provenance beside them as .json.

    Args:
        path: ends in .safetensors.
        clusters: by n; the same clusters each time.
        names: of the clusters.
        generator: that they are for.
        config: the settings that they are for.
        record: how they were made, plain values.
    """
    tensors = {f"n{n}.centers": item.centers for n, item in clusters.items()}
    tensors["share"] = next(iter(clusters.values())).share.astype(np.float16)
    write_fitted(path, tensors, generator, config, list(clusters), {**record, "names": names.named()})


def load_clusters(
    generator: Generator, config: SegmenterConfig, path: str | Path = WEIGHTS_FILE
) -> tuple[StyleClusters, ClusterNames]:
    """Clusters that were fitted before for exactly this generator, n and settings, and the names that come with them.

    Args:
        generator: whose pixels they are of.
        config: settings of the method.
        path: the .safetensors file, its .json beside it.

    Raises:
        FileNotFoundError: no such file.
        NoJudgeError: fitted for something else; the message says for what.
        ValueError: the file is damaged or was changed.
    """
    about, found = read_fitted(path, generator, config)
    try:
        clusters = StyleClusters(found["centers"], found["share"].astype(np.float32))
        return clusters, ClusterNames.of(about["names"], clusters.k)
    except (KeyError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} has no whole clusters for n = {config.n}: {error!r}") from error
