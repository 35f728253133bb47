"""Style-mixed stacks on disk: synthesis is what takes the time, and several chapters look at the same images."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from torch import Tensor

from stylemixseg._util.paths import cache_dir, write_cached
from stylemixseg._util.tensors import fit_latents
from stylemixseg.generators.base import Generator
from stylemixseg.mixing import check_resolution, style_mixed_images
from stylemixseg.settings import MixPlan


def cached_stack(
    generator: Generator, w0: Tensor, styles: Tensor, plan: MixPlan, *, progress: bool = False
) -> np.ndarray:
    """`mixing.style_mixed_images`, computed at most once: (n, h, w, 3) uint8, read-only.

    The key covers all that the images depend on: the generator's digest, both latents, and the plan but for its colour
    space and batch size, of which images do not depend.
    A file that cannot be read, or has another shape, is made again. Where the cache cannot be written, the images are
    given all the same, with a note.
    """
    side = check_resolution(plan.resolution, generator.resolution)
    w0, styles = fit_latents("w0", w0, generator), fit_latents("styles", styles, generator)
    path = _path(generator, w0, styles, plan, side)
    try:
        stack = np.load(path, mmap_mode="r", allow_pickle=False)
        if stack.shape == (len(styles) + plan.include_query, side, side, 3) and stack.dtype == np.uint8:
            return stack
    except (OSError, ValueError, EOFError):
        pass  # not there, or cut off
    stack = style_mixed_images(generator, w0, styles, plan, progress=progress)
    write_cached(path, lambda temporary: np.save(temporary, stack))
    stack.flags.writeable = False
    return stack


def _path(generator: Generator, w0: Tensor, styles: Tensor, plan: MixPlan, side: int) -> Path:
    key = hashlib.sha256(f"{generator.digest} {plan.cutoff} {side} {tuple(styles.shape)} {plan.include_query}".encode())
    # Layers that the mix does not read are left out, so that equal images share one file.
    for latent in (w0 if plan.include_query else w0[:, : plan.cutoff], styles[:, plan.cutoff :]):
        key.update(latent.detach().cpu().contiguous().numpy().tobytes())
    return cache_dir() / "stacks" / f"{key.hexdigest()[:32]}.npy"
