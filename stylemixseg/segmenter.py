"""The method front to back: latent -> style mixes -> summary tensor -> clusters -> foreground -> mask (Figure 3)."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from torch import Tensor

from stylemixseg._util.checks import check_int
from stylemixseg._util.tensors import check_latents
from stylemixseg.clustering import KMeansResult
from stylemixseg.foreground import apply_rule, foreground_clusters
from stylemixseg.generators.base import Generator, KnowsItsMemory
from stylemixseg.joint.base import PixelJudge, soft_mask
from stylemixseg.joint.place import resized
from stylemixseg.mixing import (
    check_resolution,
    draw_style_latents,
    iter_mixed_images,
    style_mixed_images,
    to_uint8,
)
from stylemixseg.settings import MixPlan, SegmenterConfig
from stylemixseg.summary import StyleSummary, as_summary, style_summary

Query = TypeVar("Query")  # what names one image: a structure latent, or what a source of variants takes


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What the method says about one image; H, W are the image's size, h, w the size of the clustering.

    Attributes:
        image: the query X_0, (H, W, 3) uint8.
        clusters: cluster map Y' (H, W) int32 in 0..k-1, largest first.
        mask: foreground mask Y (H, W) bool.
        confidence: (H, W) float32 in 0..1, how much nearer a pixel is to a foreground centroid than to a background
            one, or a judge's probability; above 0.5 inside the mask, 0.5 at a tie.
        foreground: (k,) bool, which clusters the rule took.
        kmeans: the clustering at (h, w), with centroids and distances.
        config: the settings used. generator_name, generator_digest: the generator, or the source of variants.
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

    def describe(self) -> dict[str, Any]:
        """Settings, generator, mask share and timings, as plain values for a JSON file."""
        return {
            "settings": self.config.describe(),
            "generator": {"name": self.generator_name, "sha256": self.generator_digest},
            "image_size": list(self.mask.shape),
            "clustering_size": list(self.kmeans.labels.shape),
            "foreground_clusters": np.flatnonzero(self.foreground).tolist(),
            "mask_share": float(self.mask.mean()),
            "seconds": self.seconds,
        }


class Named(Protocol):
    """What made the images, as records name it: a generator, or a source of variants."""

    @property
    def name(self) -> str:
        """Short name."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 in hex of what fixes the images."""
        ...


class Segmenter(ABC, Generic[Query]):
    """The steps that need no generator: from the summary tensor of a query to its mask (section 3.2, Figure 3).

    A subclass says how the summary tensor is made: `StyleMixSegmenter` by style mixing, as in the paper,
    `variants.segmenting.VariantSegmenter` from variants of any origin.

    Attributes:
        source: what makes the images.
        config: the settings.
    """

    source: Named
    config: SegmenterConfig

    @abstractmethod
    def summary(self, ws: Query, progress: bool = False) -> StyleSummary:
        """X_s of one query, where it is clustered."""

    @abstractmethod
    def query_image(self, ws: Query) -> np.ndarray:
        """The query image X_0, (H, W, 3) uint8, at the size of the mask."""

    @abstractmethod
    def check_query(self, ws: Query) -> None:
        """Raise unless the query is one that can be segmented."""

    def __call__(self, ws: Query, progress: bool = False) -> Segmentation:
        """Segment the image of one structure latent.

        Args:
            ws: w0 (1, num_ws, w_dim); for a source of variants, what it takes for a query.
            progress: show a progress bar.

        Raises:
            TypeError, ValueError: latents that do not fit the generator.
        """
        started = time.perf_counter()
        summary = self.summary(ws, progress)
        synthesised = time.perf_counter()
        judged = self._judge(summary)
        del summary  # up to 0.6 GB, not needed any more; the next step may compile the generator
        return self._segmentation(ws, judged, synthesised - started, synthesised)

    def from_summary(self, ws: Query, summary: StyleSummary | np.ndarray) -> Segmentation:
        """As calling the segmenter, with an X_s (H, W, 3n) float32 that is at hand, or what stands for it."""
        self.check_query(ws)
        started = time.perf_counter()
        return self._segmentation(ws, self._judge(as_summary(summary).on(self.config.device)), 0.0, started)

    def cluster(self, summary: StyleSummary, k: int | None = None) -> KMeansResult:
        """K-means with this segmenter's settings, equation 2; k None for its own."""
        return summary.cluster(self.config.k if k is None else k, **self.config.kmeans_options)

    def _judge(self, summary: StyleSummary) -> tuple[KMeansResult, np.ndarray, np.ndarray | None]:
        """Clusters, which of them are foreground (k,) bool, and the judge's log-odds (h', w'), if there is one."""
        config = self.config
        if config.judge is not None:  # it looks at X_s several times
            summary = summary.at_hand()
        result = self.cluster(summary)
        if config.judge is None:
            return result, foreground_clusters(result.labels, config.k, config.rule), None
        foreground = apply_rule(result.labels, config.k, config.rule)  # without advice: the mask is not the rule's
        return result, foreground, config.judge.score(summary)

    def _segmentation(
        self,
        ws: Query,
        judged: tuple[KMeansResult, np.ndarray, np.ndarray | None],
        summary_seconds: float,
        synthesised: float,
    ) -> Segmentation:
        result, foreground, score = judged
        image = self.query_image(ws)
        clusters = enlarge(result.labels, len(image))
        if score is None:
            mask, certainty = foreground[clusters], confidence(result.distances, foreground)
        else:
            assert self.config.judge is not None
            certainty = probability_of(self.config.judge, score, image)
            mask = enlarge(certainty > 0.5, len(image))
        return Segmentation(
            image=image,
            clusters=clusters,
            mask=mask,
            confidence=enlarge(certainty, len(image)),
            foreground=foreground,
            kmeans=result,
            config=self.config,
            generator_name=self.source.name,
            generator_digest=self.source.digest,
            seconds={"summary": summary_seconds, "clustering": time.perf_counter() - synthesised},
        )


class StyleMixSegmenter(Segmenter[Tensor]):
    """Segment a generator's images, one query at a time.

    For several processes use `multiprocessing.get_context("spawn")`. A child that is forked after a segmentation hangs
    at its own first one, because it has no copy of the threads that OpenMP (in faiss and PyTorch) started before.

    Args:
        generator: anything with the generator protocol.
        config: settings; None for the defaults.
        overrides: single settings by name, for example `k=4`.

    Raises:
        TypeError: an unknown setting.
        ValueError: a setting out of range (the cutoff above num_ws, for example).

    Example:
        >>> from stylemixseg import CornerMinority, load_generator, seeded_z
        >>> generator = load_generator("toy-portrait")
        >>> segmenter = StyleMixSegmenter(generator, n=20, k=3, rule=CornerMinority())
        >>> found = segmenter(generator.mapping(seeded_z(1, generator.z_dim), truncation=0.7))
        >>> found.image.shape, found.mask.shape, found.mask.dtype
        ((128, 128, 3), (128, 128), dtype('bool'))
        >>> known = generator.truth(generator.mapping(seeded_z(1, generator.z_dim), truncation=0.7))[0].foreground
        >>> bool((found.mask == known).mean() > 0.95)
        True
    """

    def __init__(self, generator: Generator, config: SegmenterConfig | None = None, **overrides: Any):
        self.generator = self.source = generator
        self.config = replace(config or SegmenterConfig(), **overrides)
        check_int("cutoff", self.config.cutoff, 0, generator.num_ws)
        side = check_resolution(self.config.resolution, generator.resolution)
        check_int("k", self.config.k, 2, side * side)
        self.plan = self.config.plan
        if self.config.memory_limit is not None:
            if not isinstance(generator, KnowsItsMemory):
                raise ValueError(f"memory_limit needs a StyleGAN2 that runs in PyTorch, got {generator.name}")
            self.plan = replace(self.plan, batch_size=generator.batch_size_for(self.config.memory_limit))
        # Drawn once and shared by all queries, so that summary tensors of different images can be compared.
        self.styles = draw_style_latents(generator, self.config.n, self.config.style_seed, self.config.style_truncation)

    def summary(self, ws: Tensor, progress: bool = False) -> StyleSummary:
        """X_s of one query under this segmenter's settings, where it is clustered.

        Args:
            ws: w0 (1, num_ws, w_dim).
            progress: show a progress bar.
        """
        self.check_query(ws)
        return style_summary(self.generator, ws, self.styles, self.plan, device=self.config.device, progress=progress)

    def query_image(self, ws: Tensor) -> np.ndarray:
        """X_0 of a structure latent (1, num_ws, w_dim), (H, W, 3) uint8 at the generator's size."""
        # As the mix with its own style, and as a float image where the mixes come as such: then what a generator has
        # compiled for the mixes serves for it, too.
        plan = MixPlan(self.config.cutoff)
        if self.plan.resolution in (None, self.generator.resolution):
            image: np.ndarray = style_mixed_images(self.generator, ws, ws, plan)[0]
        else:
            image = to_uint8(next(iter_mixed_images(self.generator, ws, ws, plan)))[0]
        return image

    def check_query(self, ws: Tensor) -> None:
        """Raise unless ws holds one query of the generator, (1, num_ws, w_dim)."""
        check_latents("ws", ws, self.generator.num_ws, self.generator.w_dim)
        if ws.shape[0] != 1:
            raise ValueError(f"ws must hold one query, shape (1, num_ws, w_dim), got {tuple(ws.shape)}: loop over them")


def probability_of(judge: PixelJudge, score: np.ndarray, image: np.ndarray) -> np.ndarray:
    """A judge's probability of foreground for the pixels of a query image, its outline drawn along the image's edges.

    Args:
        judge: says within which radius the outline moves.
        score: its log-odds (h, w) float32.
        image: the query (H, W, 3) uint8, that is X_0, perhaps smaller.

    Returns:
        (H, W) float32 in 0..1; without a move of the outline (h, w), where h divides H.
    """
    size = (image.shape[0], image.shape[1])
    if not judge.edges:
        # A small image, for example: the judge looks closer than its pixels.
        return soft_mask(resized(score, size) if size[0] % len(score) else score)
    from stylemixseg.sharpening import sharpen  # it brings kornia, which takes a while

    return sharpen(soft_mask(resized(score, size)), image, judge.edges)


def confidence(distances: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """Soft mask (H, W) float32 in 0..1 from K-means distances (H, W, k) and the foreground clusters (k,) bool.

    d_bg / (d_fg + d_bg), with each d the distance to the nearest centroid of that side: 1 on a foreground centroid,
    0.5 midway. All clusters on one side give the constant 1 or 0.
    """
    if foreground.all() or not foreground.any():
        return np.full(distances.shape[:2], float(foreground.all()), np.float32)
    near_fg = np.sqrt(distances[..., foreground].min(-1))
    near_bg = np.sqrt(distances[..., ~foreground].min(-1))
    soft: np.ndarray = near_bg / np.maximum(near_fg + near_bg, np.finfo(np.float32).tiny)
    return soft


def enlarge(array: np.ndarray, side: int) -> np.ndarray:
    """Repeat the pixels of a square map (h, h) up to (side, side): no value is invented."""
    factor = side // len(array)
    return array if factor == 1 else array.repeat(factor, 0).repeat(factor, 1)
