"""The method front to back: latent -> style mixes -> summary tensor -> clusters -> foreground -> mask (Figure 3)."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from stylemixseg._util.checks import check_choice, check_device, check_int, check_latents, check_real
from stylemixseg.clustering import MAX_POINTS_PER_CLUSTER, KMeansResult, kmeans
from stylemixseg.foreground import ForegroundRule, Saliency, foreground_clusters
from stylemixseg.generators.base import Generator
from stylemixseg.joint.discriminant import StyleDiscriminant, soft_mask
from stylemixseg.mixing import check_resolution, draw_style_latents, style_mixed_images
from stylemixseg.ondevice import SummaryColumns, kmeans_columns, summary_columns, to_device
from stylemixseg.summary import COLOR_SPACES, StyleStack, style_stack, style_summary

Summary = np.ndarray | StyleStack | SummaryColumns  # X_s, or what stands for it


@dataclass(frozen=True)
class SegmenterConfig:
    """Every setting of the method, with what the paper says of it; what it leaves open is ours.

    Attributes:
        n: number of style latents. Paper: 50.
        cutoff: c in 0..num_ws. Paper: 8 in Figure 2, 6 in the best cell of Table 4; not stated for Table 1. Ours: 6,
            better on development faces.
        k: clusters. Paper: 3 for faces in section 4.1, "we selected k=4" in 4.6; 8 for eyes and mouth; 2 in boxes.
            Ours: 4, better on development faces.
        color_space: "lab" or "rgb". Paper: LAB is better (Table 4).
        include_query: append X_0 to the summary tensor (not stated; ours: no).
        resolution: side in pixels at which pixels are clustered, a divisor of the generator's; None: native, as in
            the paper.
        style_seed, style_truncation: which styles are drawn, and psi for them (not stated; ours: 1.0).
        kmeans_seed, restarts, iterations, max_points_per_cluster: see `clustering.kmeans` (not stated).
        device: where colours and clusters are computed: "cpu", or "cuda" ("cuda:1", ...; a torch.device too) to keep
            the style mixes on the GPU until they are clusters. It is kept as text, and "cpu:0" as "cpu".
        rule: the foreground rule. Paper: saliency for faces, corner minority inside boxes.
        discriminant: judges pixels in place of clusters, so that mask and confidence come from it and not from the
            rule (ours; see `discriminant`). The clusters are made all the same.
        batch_size: images synthesised at once. One is fastest on a CPU and takes the least memory; more suits a GPU.
        memory_limit: bytes for the feature maps of one batch; in place of batch_size, the largest that fits is taken
            (StyleGAN2 only).
    """

    n: int = 50
    cutoff: int = 6
    k: int = 4
    color_space: str = "lab"
    include_query: bool = False
    resolution: int | None = None
    style_seed: int = 2023
    style_truncation: float = 1.0
    kmeans_seed: int = 0
    restarts: int = 10
    iterations: int = 25
    max_points_per_cluster: int = MAX_POINTS_PER_CLUSTER
    device: str | torch.device = "cpu"
    rule: ForegroundRule = field(default_factory=Saliency)
    discriminant: StyleDiscriminant | None = None
    batch_size: int = 1
    memory_limit: int | None = None

    def __post_init__(self):
        check_int("n", self.n, 1)
        check_int("cutoff", self.cutoff, 0)
        check_int("k", self.k, 2)
        check_choice("color_space", self.color_space, COLOR_SPACES)
        check_real("style_truncation", self.style_truncation, 0, 1)
        object.__setattr__(self, "device", check_device("device", self.device))  # the class is frozen
        if self.memory_limit is not None:
            check_int("memory_limit", self.memory_limit, 1)
        if not callable(self.rule):
            raise TypeError(f"rule must be callable, rule(labels, k) -> (k,) bool, got {type(self.rule).__name__}")
        if self.discriminant is not None:
            entries = 3 * (self.n + self.include_query)
            if (got := len(self.discriminant.weights)) != entries:
                raise ValueError(
                    f"discriminant must have {entries} weights, one for each entry of X_s, got {got}: it is for n = "
                    f"{got // 3}"
                )

    @property
    def kmeans_options(self) -> dict[str, int]:
        """The settings of `clustering.kmeans`, by its names."""
        return {
            "seed": self.kmeans_seed,
            "restarts": self.restarts,
            "iterations": self.iterations,
            "max_points_per_cluster": self.max_points_per_cluster,
        }


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What the method says about one image; H, W are the image's size, h, w the size of the clustering.

    Attributes:
        image: the query X_0, (H, W, 3) uint8.
        clusters: cluster map Y' (H, W) int32 in 0..k-1, largest first.
        mask: foreground mask Y (H, W) bool.
        confidence: (H, W) float32 in 0..1, how much nearer a pixel is to a foreground centroid than to a background
            one, or the discriminant's probability; above 0.5 inside the mask, 0.5 at a tie.
        foreground: (k,) bool, which clusters the rule took.
        kmeans: the clustering at (h, w), with centroids and distances.
        config: the settings used. generator_name, generator_digest: the generator.
        seconds: wall time of each step.
    """

    image: np.ndarray
    clusters: np.ndarray
    mask: np.ndarray
    confidence: np.ndarray
    foreground: np.ndarray
    kmeans: KMeansResult
    config: SegmenterConfig
    generator_name: str
    generator_digest: str
    seconds: dict[str, float]

    def describe(self) -> dict:
        """Settings, generator, mask share and timings, as plain values for a JSON file."""
        settings = {item.name: getattr(self.config, item.name) for item in fields(self.config)}
        judge = self.config.discriminant
        settings |= {"rule": repr(self.config.rule), "discriminant": judge and f"n = {len(judge.weights) // 3}"}
        return {
            "settings": settings,
            "generator": {"name": self.generator_name, "sha256": self.generator_digest},
            "image_size": list(self.mask.shape),
            "clustering_size": list(self.kmeans.labels.shape),
            "foreground_clusters": np.flatnonzero(self.foreground).tolist(),
            "mask_share": float(self.mask.mean()),
            "seconds": self.seconds,
        }


class StyleMixSegmenter:
    """Segment a generator's images, one query at a time.

    >>> segmenter = StyleMixSegmenter(load_generator("faces"), k=4)    # doctest: +SKIP
    >>> segmenter(generator.mapping(z, truncation=0.7)).mask           # doctest: +SKIP

    For several processes use `multiprocessing.get_context("spawn")`. A child that is forked after a segmentation hangs
    at its own first one, because it has no copy of the threads that OpenMP (in faiss and PyTorch) started before.

    Args:
        generator: anything with the generator protocol.
        config: settings; None for the defaults.
        overrides: single settings by name, for example `k=4`.

    Raises:
        TypeError: an unknown setting. ValueError: a setting out of range (the cutoff above num_ws, for example).
    """

    def __init__(self, generator: Generator, config: SegmenterConfig | None = None, **overrides):
        self.generator = generator
        self.config = replace(config or SegmenterConfig(), **overrides)
        check_int("cutoff", self.config.cutoff, 0, generator.num_ws)
        side = check_resolution(self.config.resolution, generator.resolution)
        check_int("k", self.config.k, 2, side * side)
        self.batch_size = self.config.batch_size
        if self.config.memory_limit is not None:
            if not hasattr(generator, "batch_size_for"):
                raise ValueError(f"memory_limit needs a StyleGAN2 that runs in PyTorch, got {generator.name}")
            self.batch_size = generator.batch_size_for(self.config.memory_limit)
        # Drawn once and shared by all queries, so that summary tensors of different images can be compared.
        self.styles = draw_style_latents(generator, self.config.n, self.config.style_seed, self.config.style_truncation)

    def __call__(self, ws: Tensor, progress: bool = False) -> Segmentation:
        """Segment the image of one structure latent.

        Args:
            ws: w0 (1, num_ws, w_dim).
            progress: show a progress bar.
        """
        return self.from_summary(ws, lambda: self.mixes(ws, progress))

    def summary(self, ws: Tensor, progress: bool = False) -> np.ndarray:
        """The style summary tensor X_s (h, w, 3n) float32 of one query under this segmenter's settings."""
        return self._mixes(style_summary, ws, progress)

    def mixes(self, ws: Tensor, progress: bool = False) -> StyleStack | SummaryColumns:
        """What stands for X_s of one query under this segmenter's settings, where it is clustered.

        On the CPU these are the images as bytes: a quarter of the memory, and the same clusters. On another device it
        is X_s itself, which does not leave it.
        """
        device = self.config.device
        return self._mixes(style_stack if device == "cpu" else partial(summary_columns, device=device), ws, progress)

    def check_query(self, ws: Tensor) -> None:
        """Raise unless ws holds one query of the generator, (1, num_ws, w_dim)."""
        check_latents("ws", ws, self.generator.num_ws, self.generator.w_dim)
        if ws.shape[0] != 1:
            raise ValueError(f"ws must hold one query, shape (1, num_ws, w_dim), got {tuple(ws.shape)}: loop over them")

    def _mixes(self, build: Callable, ws: Tensor, progress: bool):
        config = self.config
        return build(
            self.generator,
            ws,
            self.styles,
            config.cutoff,
            color_space=config.color_space,
            include_query=config.include_query,
            resolution=config.resolution,
            batch_size=self.batch_size,
            progress=progress,
        )

    def from_summary(self, ws: Tensor, summary: Summary | Callable[[], Summary]) -> Segmentation:
        """As calling the segmenter, with an X_s that is at hand, or its images, or a function that makes either."""
        config, generator = self.config, self.generator
        self.check_query(ws)
        started = time.perf_counter()
        summary = placed(summary() if callable(summary) else summary, config.device)
        synthesised = time.perf_counter()
        result = cluster(summary, config)
        score = config.discriminant.score(summary) if config.discriminant else None
        del summary  # up to 0.6 GB, not needed any more; the next step may compile the generator
        if score is None:
            foreground = foreground_clusters(result.labels, config.k, config.rule)
        else:
            with warnings.catch_warnings():  # of an empty or full mask: the mask does not come from the rule
                warnings.simplefilter("ignore", UserWarning)
                foreground = foreground_clusters(result.labels, config.k, config.rule)
        # X_0 as the mix with its own style: what a generator has compiled for the mixes serves for it, too.
        image = style_mixed_images(generator, ws, ws, config.cutoff)[0]
        clusters = enlarge(result.labels, len(image))
        if score is None:
            mask, certainty = foreground[clusters], confidence(result.distances, foreground)
        else:
            mask, certainty = enlarge(score > 0, len(image)), soft_mask(score)
        finished = time.perf_counter()
        return Segmentation(
            image=image,
            clusters=clusters,
            mask=mask,
            confidence=enlarge(certainty, len(image)),
            foreground=foreground,
            kmeans=result,
            config=config,
            generator_name=generator.name,
            generator_digest=generator.digest,
            seconds={"summary": synthesised - started, "clustering": finished - synthesised},
        )


def placed(summary: Summary, device: str) -> Summary:
    """X_s, or what stands for it, where it is clustered: on the CPU as it comes, on another device as columns."""
    if device == "cpu" and not isinstance(summary, SummaryColumns):
        return summary
    return to_device(summary, device)


def cluster(summary: Summary, config: SegmenterConfig) -> KMeansResult:
    """K-means with the settings of the method, where X_s is."""
    method = kmeans_columns if isinstance(summary, SummaryColumns) else kmeans
    return method(summary, config.k, **config.kmeans_options)


def confidence(distances: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """Soft mask (H, W) float32 in 0..1 from K-means distances (H, W, k) and the foreground clusters (k,) bool.

    d_bg / (d_fg + d_bg), with each d the distance to the nearest centroid of that side: 1 on a foreground centroid,
    0.5 midway. All clusters on one side give the constant 1 or 0.
    """
    if foreground.all() or not foreground.any():
        return np.full(distances.shape[:2], float(foreground.all()), np.float32)
    near_fg = np.sqrt(distances[..., foreground].min(-1))
    near_bg = np.sqrt(distances[..., ~foreground].min(-1))
    return near_bg / np.maximum(near_fg + near_bg, np.finfo(np.float32).tiny)


def enlarge(array: np.ndarray, side: int) -> np.ndarray:
    """Repeat the pixels of a square map (h, h) up to (side, side): no value is invented."""
    factor = side // len(array)
    return array if factor == 1 else array.repeat(factor, 0).repeat(factor, 1)
