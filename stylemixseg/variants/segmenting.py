"""Segment with variants from any source: the method after its first step, which makes the images (sections 3.2, 3.4).

    source = StyleMixes(generator, cutoffs=(6, 8))
    found = segment_variants(source, w0, n=20, k=4)

Of the settings, those of the clustering and of the rule count: `k`, `color_space`, `include_query`, `device`, `rule`,
`judge` and the settings of K-means. The source has made the images, so `n` is set to the source's, and
`cutoff`, `resolution`, `style_seed`, `style_truncation`, `batch_size` and `memory_limit` change nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from stylemixseg._util.checks import check_image, check_int
from stylemixseg.segmenter import Query, Segmentation, Segmenter
from stylemixseg.settings import SegmenterConfig
from stylemixseg.summary import StyleStack, StyleSummary
from stylemixseg.variants.base import VariantSource


class VariantSegmenter(Segmenter[Query]):
    """Segment the queries of a source of variants, one at a time.

    Args:
        source: gives the query image and its aligned variants.
        config: settings; None for the defaults.
        overrides: single settings by name, for example `k=4`; `n` is the source's own.

    Raises:
        TypeError: an unknown setting.
        ValueError: a setting out of range, an `n` that is not the source's, or a judge for a source that does
            not share its styles over queries.

    Example:
        >>> from stylemixseg import CornerMinority, load_generator, seeded_z
        >>> from stylemixseg.variants.stylemixes import StyleMixes
        >>> generator = load_generator("toy-portrait")
        >>> segmenter = VariantSegmenter(StyleMixes(generator, cutoffs=(6, 8), n=8), k=3, rule=CornerMinority())
        >>> found = segmenter(generator.mapping(seeded_z(1, generator.z_dim), truncation=0.7))
        >>> found.mask.shape, found.config.n, found.generator_name
        ((128, 128), 8, 'toy-portrait, c = 6, 8')
    """

    def __init__(self, source: VariantSource[Query], config: SegmenterConfig | None = None, **overrides: Any):
        n = check_int("n of the source", source.n, 1)
        if overrides.get("n", n) != n:
            raise ValueError(f"n must be the source's, {n}, or be left out, got {overrides['n']}")
        self.source: VariantSource[Query] = source
        self.config = replace(config or SegmenterConfig(), **(overrides | {"n": n}))
        if self.config.judge is not None and not source.shares_styles:
            raise ValueError(
                f"judge must be None for {source.name}, got one: it was learnt from other images, and this "
                "source paints each query in styles of its own, so entry j of X_s means something else in every image"
            )

    def summary(self, ws: Query, progress: bool = False) -> StyleSummary:
        """X_s of one query, where it is clustered: of the variants, and of X_0 after them with `include_query`.

        Args:
            ws: a query, as the source takes it.
            progress: show a progress bar.

        Raises:
            ValueError: the source gives other images than its protocol promises.
        """
        image = self.query_image(ws)
        count = self.config.n + self.config.include_query
        batches: Iterator[np.ndarray] = iter(self.source.iter_variants(ws))
        if self.config.include_query:
            batches = chain(batches, [image[None]])
        images, done = np.empty((count, 3, *image.shape[:2]), np.uint8), 0
        with tqdm(total=count, desc="variants", unit="image", disable=not progress) as bar:
            for batch in batches:
                size = (len(images[done:]), *image.shape)
                if batch.dtype != np.uint8 or batch.shape[1:] != size[1:] or not 0 < len(batch) <= size[0]:
                    raise ValueError(
                        f"{self.source.name} must give n = {self.config.n} variants of the query's size, in batches "
                        f"(b, {', '.join(map(str, size[1:]))}) uint8, got {batch.shape} {batch.dtype} after {done}"
                    )
                images[done : done + len(batch)] = np.moveaxis(batch, 3, 1)
                done += len(batch)
                bar.update(len(batch))
        if done < count:
            raise ValueError(f"{self.source.name} must give n = {self.config.n} variants, got {done} images in all")
        return StyleStack(images, self.config.color_space).on(self.config.device)

    def query_image(self, ws: Query) -> np.ndarray:
        """X_0 of a query, (H, W, 3) uint8, as the source gives it."""
        return check_image(f"query image of {self.source.name}", self.source.query_image(ws))

    def check_query(self, ws: Query) -> None:
        """Raise unless the source takes the query."""
        self.source.query_image(ws)


def segment_variants(
    source: VariantSource[Query],
    query: Query,
    config: SegmenterConfig | None = None,
    *,
    progress: bool = False,
    **overrides: Any,
) -> Segmentation:
    """Segment one query of any source of variants; for several queries make a `VariantSegmenter`.

    Args:
        source: gives the query image and its aligned variants.
        query: as the source takes it.
        config: settings; None for the defaults.
        progress: show a progress bar.
        overrides: single settings by name, for example `k=4`.

    Returns:
        Cluster map, mask and confidence at the size of the query image, as `StyleMixSegmenter` gives them.

    Raises:
        TypeError: an unknown setting, or a query that the source does not take.
        ValueError: as in `VariantSegmenter`; the source gives other images than its protocol promises.

    Example:
        A source needs no generator. This one paints the two halves of an image in random colours.

        >>> class Halves:
        ...     name, digest, n, shares_styles = "halves", "0" * 64, 12, True
        ...     def query_image(self, query):
        ...         return query
        ...     def iter_variants(self, query):
        ...         for j in range(self.n):
        ...             colors = np.random.default_rng(j).integers(256, size=(2, 3), dtype=np.uint8)
        ...             yield colors[(np.arange(8) > 3).astype(int)][None, None].repeat(8, axis=1)
        >>> grey = np.full((8, 8, 3), 128, np.uint8)
        >>> found = segment_variants(Halves(), grey, k=2, rule=lambda labels, k: np.arange(k) == labels[0, 7])
        >>> found.mask[0].astype(int)
        array([0, 0, 0, 0, 1, 1, 1, 1])
    """
    return VariantSegmenter(source, config, **overrides)(query, progress)
