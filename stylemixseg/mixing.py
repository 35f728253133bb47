"""Style mixing, section 3.1: keep a query's structure, borrow other images' style.

The structure latent w0 rules the layers below the cutoff c, a style latent wi the layers from c on. The image
G_s(w_0i) shows the query's scene painted as image i is painted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from stylemixseg._util.checks import check_image, check_int
from stylemixseg._util.tensors import check_latents, fit_latents
from stylemixseg.generators.base import Generator, MixesBytes, MixesStyles
from stylemixseg.settings import MixPlan


def mix_styles(ws_structure: Tensor, ws_style: Tensor, cutoff: int) -> Tensor:
    """w_0i: layers 0..c-1 of the structure latent, then layers c.. of the style latents (section 3.1, Figure 4).

    Args:
        ws_structure: (N, num_ws, w_dim), or (1, num_ws, w_dim) to be shared by all styles.
        ws_style: (N, num_ws, w_dim), or (1, num_ws, w_dim) to be shared by all structures.
        cutoff: c in 0..num_ws; 0 gives `ws_style`, num_ws gives `ws_structure`.

    Returns:
        Mixed latents (N, num_ws, w_dim), of the type and on the device of `ws_structure`.

    Raises:
        TypeError, ValueError: latents of the wrong type or unequal shape, NaN, c out of range.

    Example:
        >>> structure, styles = torch.zeros(1, 4, 2), torch.ones(3, 4, 2)
        >>> mixed = mix_styles(structure, styles, cutoff=3)  # (3, num_ws, w_dim)
        >>> mixed[0, :, 0].tolist()
        [0.0, 0.0, 0.0, 1.0]
    """
    layered = isinstance(ws_structure, Tensor) and ws_structure.ndim == 3
    # Names in place of sizes: then the check fails, and says what shape is right.
    num_ws: int | str = ws_structure.shape[1] if layered else "num_ws"
    w_dim: int | str = ws_structure.shape[2] if layered else "w_dim"
    check_latents("ws_structure", ws_structure, num_ws, w_dim)
    check_latents("ws_style", ws_style, num_ws, w_dim)
    n, m = ws_structure.shape[0], ws_style.shape[0]
    if n != m and 1 not in (n, m):
        raise ValueError(f"ws_structure and ws_style must have equal N, or one of them N = 1, got {n} and {m}")
    check_int("cutoff", cutoff, 0, ws_structure.shape[1])
    size = (max(n, m), -1, -1)
    return torch.cat([ws_structure[:, :cutoff].expand(size), ws_style.to(ws_structure)[:, cutoff:].expand(size)], dim=1)


def draw_style_latents(generator: Generator, n: int, seed: int, truncation: float = 1.0) -> Tensor:
    """Style latents w1..wn (n, num_ws, w_dim), fixed by generator, n and seed.

    One set serves all queries: dimension j of the summary tensor then means the same style for every image, and pixels
    can be compared across images. The first m of n styles are the m styles of the same seed.

    Args:
        generator: whose latents they are.
        n: number of styles, at least 1 (the paper: 50).
        seed: of `numpy.random.RandomState`.
        truncation: psi in 0..1; 1.0, the whole variety of styles, works best.

    Example:
        >>> from stylemixseg import load_generator
        >>> generator = load_generator("toy-room")
        >>> styles = draw_style_latents(generator, n=5, seed=2023)
        >>> styles.shape
        torch.Size([5, 12, 32])
        >>> torch.allclose(draw_style_latents(generator, n=3, seed=2023), styles[:3], atol=1e-6)
        True
    """
    check_int("n", n, 1)
    z = np.random.RandomState(check_int("seed", seed, 0, 2**32 - 1)).randn(n, generator.z_dim)
    with torch.no_grad():
        return generator.mapping(torch.from_numpy(z).to(generator.w_avg), truncation)


@torch.no_grad()  # as a decorator: inside a generator function it would leak to the caller between two batches
def iter_mixed_images(generator: Generator, w0: Tensor, styles: Tensor, plan: MixPlan) -> Iterator[Tensor]:
    """Yield the style-mixed images as the generator gives them, (b, 3, h, w) in about [-1, 1], on its device.

    Arguments as `iter_style_mixes`, which gives them as an image file would hold them. Where the plan includes the
    query, it comes last, as the mix with its own style.
    """
    w0, styles, side = _check_mixes(generator, w0, styles, plan)
    mixes = torch.cat([styles, w0]) if plan.include_query else styles
    # A generator that can, computes the layers that all mixes share once.
    if isinstance(generator, MixesStyles):
        batches = generator.iter_mixed_synthesis(w0, mixes, plan.cutoff, plan.batch_size)
    else:
        batches = (
            generator.synthesis(mix_styles(w0, some, plan.cutoff)) for some in torch.split(mixes, plan.batch_size)
        )
    for images in batches:
        yield _resize(images, side)


@torch.no_grad()
def iter_style_mixes(
    generator: Generator, w0: Tensor, styles: Tensor, plan: MixPlan, *, progress: bool = False
) -> Iterator[np.ndarray]:
    """Yield the style-mixed images X_01..X_0n of one query, a batch at a time.

    Args:
        generator: anything with the generator protocol.
        w0: structure latent (1, num_ws, w_dim) of the query.
        styles: style latents (n, num_ws, w_dim).
        plan: cutoff, side, batch size, and whether the query itself comes after them.
        progress: show a progress bar.

    Yields:
        (b, h, w, 3) uint8, b <= batch_size.

    Raises:
        TypeError, ValueError: latents that do not fit the generator, or a plan that does not.
    """
    w0, styles, side = _check_mixes(generator, w0, styles, plan)
    if side == generator.resolution and isinstance(generator, MixesBytes):  # it rounds the images itself
        batches = generator.iter_mixed_bytes(w0, styles, plan.cutoff, plan.batch_size)
    else:
        batches = map(to_uint8, iter_mixed_images(generator, w0, styles, replace(plan, include_query=False)))
    if plan.include_query:
        batches = chain(batches, (query_image(generator, w0, side)[None] for _ in range(1)))
    total = len(styles) + plan.include_query
    with tqdm(total=total, desc="style mixes", unit="image", disable=not progress) as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch))


def style_mixed_images(
    generator: Generator, w0: Tensor, styles: Tensor, plan: MixPlan, *, progress: bool = False
) -> np.ndarray:
    """All style-mixed images of one query, (n, h, w, 3) uint8; arguments as `iter_style_mixes`."""
    return np.concatenate(list(iter_style_mixes(generator, w0, styles, plan, progress=progress)))


def query_image(generator: Generator, w0: Tensor, resolution: int | None = None) -> np.ndarray:
    """The query image X_0 itself, (h, w, 3) uint8, at the side `resolution` (None: the generator's)."""
    resolution = check_resolution(resolution, generator.resolution)
    with torch.no_grad():
        image: np.ndarray = to_uint8(_resize(generator.synthesis(fit_latents("w0", w0, generator)), resolution))[0]
    return image


def to_uint8(images: Tensor) -> np.ndarray:
    """(N, 3, H, W) float in [-1, 1] to (N, H, W, 3) uint8, clipped and rounded: what an image file would hold."""
    pixels: np.ndarray = byte_levels(images.detach().permute(0, 2, 3, 1)).to(torch.uint8).cpu().numpy()
    return pixels


def byte_levels(images: Tensor) -> Tensor:
    """Floats in [-1, 1] to the floats 0, 1, ..., 255, clipped and rounded."""
    return (images * 127.5 + 127.5).round_().clamp_(0, 255)


def to_generator_range(image: np.ndarray) -> Tensor:
    """(h, w, 3) uint8 -> (1, 3, h, w) float32 in [-1, 1], the inverse of `to_uint8`."""
    return torch.from_numpy(np.array(check_image("image", image))).permute(2, 0, 1)[None].float() / 127.5 - 1


def check_resolution(resolution: int | None, native: int) -> int:
    """Return the side to work at; it must divide the generator's, so that pixels average over whole squares."""
    if resolution is None:
        return native
    check_int("resolution", resolution, 1, native)
    if native % resolution:
        raise ValueError(f"resolution must divide the generator's {native}, got {resolution}")
    return resolution


def _check_mixes(generator: Generator, w0: Tensor, styles: Tensor, plan: MixPlan) -> tuple[Tensor, Tensor, int]:
    """Check what is to be mixed; both latents as the generator computes, and the side to work at."""
    w0 = fit_latents("w0", w0, generator)
    if w0.shape[0] != 1:
        raise ValueError(f"w0 must hold one query, shape (1, num_ws, w_dim), got {tuple(w0.shape)}")
    styles = fit_latents("styles", styles, generator)
    if not isinstance(plan, MixPlan):
        raise TypeError(f"plan must be a MixPlan, such as MixPlan(cutoff=6), got {plan!r}")
    check_int("cutoff", plan.cutoff, 0, generator.num_ws)
    return w0, styles, check_resolution(plan.resolution, generator.resolution)


def _resize(images: Tensor, resolution: int) -> Tensor:
    factor = images.shape[-1] // resolution
    return images if factor == 1 else F.avg_pool2d(images, factor)
