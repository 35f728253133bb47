"""Recorded style mixes: what a page shows where the network cannot run, or where its weights may not be published.

Only the pictures are recorded. Colours, clusters, rule and mask are computed by the page from them, as from live ones.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from stylemixseg.generators.base import Generator
from stylemixseg.mixing import query_image, style_mixed_images
from stylemixseg.settings import MixPlan

QUALITY = 90  # of WebP: 10 to 20 kB per picture of 256 px; tests/live say what it costs the mask


def recorded_mixes(
    generator: Generator, w0: Tensor, styles: Tensor, cutoffs: Sequence[int], side: int
) -> dict[str, list[str]]:
    """The query and its style mixes at several cutoffs, as pictures in text.

    Args:
        generator: anything with the generator protocol.
        w0: structure latent (1, num_ws, w_dim).
        styles: style latents (n, num_ws, w_dim).
        cutoffs: each in 0..num_ws.
        side: of the pictures in px, a divisor of the generator's.

    Returns:
        {"query": one picture, "c4": n pictures, ...}; a picture is a WebP file in base64.
    """
    found = {"query": [as_text(query_image(generator, w0, side))]}
    for cutoff in cutoffs:
        found[f"c{cutoff}"] = [
            as_text(image) for image in style_mixed_images(generator, w0, styles, MixPlan(cutoff, side))
        ]
    return found


def as_text(image: np.ndarray, kind: str = "WEBP") -> str:
    """An image (h, w, 3) or (h, w) uint8 as a file in base64: WebP, or "PNG", which loses nothing."""
    with io.BytesIO() as file:
        Image.fromarray(image).save(file, kind, quality=QUALITY, method=4)
        return base64.b64encode(file.getvalue()).decode("ascii")
