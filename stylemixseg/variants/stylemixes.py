"""Style mixes as a source of variants, at one cutoff (section 3.1) or at several at once (ours, not the paper's).

A low cutoff changes much, and some of its images lose the query's structure; a high one keeps the structure and
changes little. The paper takes one cutoff for all n style latents. A *multi-cutoff tensor* deals the same n style
latents to several cutoffs: n = 20 at c = 4, 6, 8 means 7, 7 and 6 images. It costs as much as n images at one cutoff.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from torch import Tensor

from stylemixseg._util.checks import check_int
from stylemixseg._util.keys import full_key
from stylemixseg.generators.base import Generator
from stylemixseg.mixing import check_resolution, draw_style_latents, iter_style_mixes, query_image
from stylemixseg.settings import SegmenterConfig


class StyleMixes:
    """A `VariantSource` whose queries are structure latents w0 (1, num_ws, w_dim) of a generator.

    The styles are drawn once and shared by all queries. At the configuration's own cutoff it gives the images that
    `StyleMixSegmenter` clusters.

    Attributes:
        name: the generator's, and the cutoffs.
        digest: SHA-256 in hex over the generator, the styles, the cutoffs and the side.
        n: number of style latents. shares_styles: True.
        parts: the cutoffs and the style latents (m, num_ws, w_dim) mixed at each, in the order of the variants.

    Args:
        generator: anything with the generator protocol.
        config: n, resolution, style_seed, style_truncation and batch_size are read; None for the defaults. A
            resolution below the generator's makes query image and variants smaller.
        cutoffs: each in 0..num_ws, none twice; None for the configuration's own. The n styles are dealt to them in
            equal shares, larger shares first.
        overrides: single settings by name, for example `n=20`.

    Raises:
        TypeError: an unknown setting, a cutoff that is no whole number.
        ValueError: a setting or a cutoff out of range, a cutoff twice, more cutoffs than styles.

    Example:
        >>> from stylemixseg import load_generator
        >>> source = StyleMixes(load_generator("toy-room"), n=5, cutoffs=(4, 8))
        >>> [(cutoff, len(styles)) for cutoff, styles in source.parts]
        [(4, 3), (8, 2)]
    """

    shares_styles = True

    def __init__(
        self,
        generator: Generator,
        config: SegmenterConfig | None = None,
        *,
        cutoffs: Sequence[int] | None = None,
        **overrides: Any,
    ):
        config = replace(config or SegmenterConfig(), **overrides)
        cutoffs = (config.cutoff,) if cutoffs is None else tuple(cutoffs)
        for cutoff in cutoffs:
            check_int("cutoffs", cutoff, 0, generator.num_ws)
        if not cutoffs or len(set(cutoffs)) < len(cutoffs) or len(cutoffs) > config.n:
            raise ValueError(
                f"cutoffs must be 1..{config.n} different layers, for n = {config.n} styles are dealt to them, "
                f"got {cutoffs}"
            )
        self.generator = generator
        self.n = config.n
        self.resolution = check_resolution(config.resolution, generator.resolution)
        self._plan = replace(config.plan, include_query=False)
        styles = draw_style_latents(generator, config.n, config.style_seed, config.style_truncation)
        self.parts = tuple((c, styles[part]) for c, part in zip(cutoffs, dealt(config.n, len(cutoffs))))
        self.name = f"{generator.name}, c = {', '.join(map(str, cutoffs))}"
        depends = [generator.digest, list(cutoffs), self.resolution, styles.cpu().numpy()]
        self.digest = full_key(depends)

    def query_image(self, query: Tensor) -> np.ndarray:
        """X_0 of a structure latent (1, num_ws, w_dim), (h, w, 3) uint8 at the side `resolution`."""
        return query_image(self.generator, query, self.resolution)

    def iter_variants(self, query: Tensor) -> Iterator[np.ndarray]:
        """Yield the style-mixed images of a structure latent in batches (b, h, w, 3) uint8, cutoff by cutoff."""
        return chain.from_iterable(
            iter_style_mixes(self.generator, query, styles, replace(self._plan, cutoff=cutoff))
            for cutoff, styles in self.parts
        )


def dealt(n: int, parts: int) -> list[slice]:
    """Which of n styles go to which of several parts: neighbours in nearly equal shares, larger shares first.

    Examples:
        >>> dealt(20, 3)
        [slice(0, 7, None), slice(7, 14, None), slice(14, 20, None)]
    """
    check_int("parts", parts, 1, check_int("n", n, 1))
    ends = np.cumsum([n // parts + (place < n % parts) for place in range(parts)]).tolist()
    return [slice(start, end) for start, end in zip([0, *ends], ends)]
