"""Latents for a page: vectors w in half precision, in place of the mapping network.

The mapping network has 2 M weights, and they suffer where they are stored in a byte each. A vector takes 1 kB, and the
layers of the synthesis network hardly notice that it is rounded to half precision.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from stylemixseg.generators.base import Generator, seeded_latent
from stylemixseg.mixing import draw_style_latents


def stored_latents(generator: Generator, seeds: Sequence[int], n: int, style_seed: int) -> bytes:
    """The mean latent, then one w for each seed, then n styles, none of them truncated.

    Args:
        generator: whose mapping network is asked.
        seeds: of the faces.
        n: number of styles.
        style_seed: which styles, as `mixing.draw_style_latents` draws them.

    Returns:
        (1 + len(seeds) + n, w_dim) float16, little-endian, row after row.
    """
    faces = [seeded_latent(generator, seed, truncation=1.0)[:, 0] for seed in seeds]
    styles = draw_style_latents(generator, n, style_seed)[:, 0]
    rows = torch.cat([generator.w_avg[None], *faces, styles]).detach().cpu().numpy()
    return rows.astype("<f2").tobytes()


def read_latents(data: bytes, w_dim: int) -> np.ndarray:
    """The rows of `stored_latents` as (rows, w_dim) float32."""
    return np.frombuffer(data, "<f2").reshape(-1, w_dim).astype(np.float32)
