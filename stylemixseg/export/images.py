"""Latents in, segmentations out: the files that the command line reads and writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylemixseg._util.outputs import write_picture, write_record
from stylemixseg._util.paths import atomic_write
from stylemixseg._util.tensors import check_latents
from stylemixseg.generators.base import Generator
from stylemixseg.generators.latents import read_latent_array
from stylemixseg.photos.segmenter import PhotoMask, PhotoSegmentation
from stylemixseg.segmenter import Segmentation
from stylemixseg.viz.compositing import clusters_to_color, composite, in_bands, outline_width, overlay

RECORD = "segmentation.json"  # written last: where it is, the rest is whole
COMPOSITION = "composition.png"  # of a photo with a background
MASK_FILES = ("crop.png", "mask.png", "soft.png", "overlay.png", "cutout.png")  # of every photo, besides the record
PHOTO_FILES = (*MASK_FILES, "reconstruction.png", "clusters.png", "latent.npy")  # of one that was inverted


def read_latent(path: str | Path, generator: Generator) -> Tensor:
    """Read the ws of one image, (1, num_ws, w_dim), from a file of numpy.save, numpy.savez or torch.save.

    The file holds (num_ws, w_dim) or (1, num_ws, w_dim), or one w (w_dim) for all layers; see `latents` for the kinds.

    Raises:
        ValueError: not such a file, too large, a shape that is not the generator's, several latents, NaN.
        FileNotFoundError: no such file.
    """
    ws = torch.from_numpy(read_latent_array(path))
    if ws.ndim == 1:
        ws = ws.expand(generator.num_ws, -1)
    ws = ws[None] if ws.ndim == 2 else ws
    if ws.ndim == 3 and len(ws) != 1:
        raise ValueError(f"{path} holds {len(ws)} latents, one is needed: save ws[:1] alone, for example")
    return check_latents(str(path), ws.contiguous(), generator.num_ws, generator.w_dim)


def save_segmentation(result: Segmentation, folder: str | Path, *, query: dict, seconds: float) -> Path:
    """Write image.png, mask.png (0/255), clusters.png, overlay.png and segmentation.json, each whole or not at all.

    Args:
        result: what a `StyleMixSegmenter` found.
        folder: where to write; it is made where it is absent.
        query: what made the query image (seed and truncation, or the latent's file), for the JSON file.
        seconds: wall time of the whole, loading included.
    """
    folder = Path(folder)
    pictures = {
        "image.png": result.image,
        "mask.png": result.mask.astype(np.uint8) * 255,
        "clusters.png": clusters_to_color(result.clusters),
        "overlay.png": overlay(result.image, result.mask),
    }
    for name, picture in pictures.items():
        write_picture(folder / name, picture)
    record = {"query": query, **result.describe()}
    record["seconds"] = {**record["seconds"], "total": seconds}
    write_record(folder / RECORD, record)
    return folder


def save_photo_mask(
    result: PhotoMask,
    pixels: np.ndarray,
    folder: str | Path,
    *,
    record: dict,
    background: np.ndarray | None = None,
) -> Path:
    """Write the foreground of a photo: `MASK_FILES`, and the record last; as `save_photo_segmentation`.

    Args:
        result: what was found.
        pixels: the photo (H, W, 3) uint8.
        folder: where to write; it is made where it is absent.
        record: what segmentation.json is to say, plain values.
        background: (H, W, 3) uint8, or None.
    """
    folder = Path(folder)
    for name in (RECORD, *PHOTO_FILES):  # also of an inversion before: a record never stands beside another's pictures
        (folder / name).unlink(missing_ok=True)
    _write_mask(result, pixels, folder, background)
    about = {"image_size": list(result.mask.shape), "mask_share": float(result.mask.mean()), "seconds": result.seconds}
    write_record(folder / RECORD, {**record, **about})
    return folder


def _write_mask(result: PhotoMask, pixels: np.ndarray, folder: Path, background: np.ndarray | None) -> None:
    """`MASK_FILES`, and composition.png where there is a background."""
    line = outline_width(result.mask.shape)
    # Made one after the other, in bands: a photo may be large.
    pictures: dict[str, Callable[[], np.ndarray | Image.Image]] = {
        "crop.png": lambda: result.crop,
        "mask.png": lambda: in_bands(_levels, result.mask),
        "soft.png": lambda: in_bands(_levels, result.soft),
        "overlay.png": lambda: in_bands(partial(overlay, line=line), pixels, result.mask, halo=line),
        "cutout.png": lambda: in_bands(lambda rows, soft: np.dstack([rows, _levels(soft)]), pixels, result.soft),
    }
    if background is None:
        (folder / COMPOSITION).unlink(missing_ok=True)
    else:
        pictures[COMPOSITION] = lambda: in_bands(composite, pixels, background, result.mask)
    for name, picture in pictures.items():
        write_picture(folder / name, picture())


def save_photo_segmentation(
    result: PhotoSegmentation,
    pixels: np.ndarray,
    folder: str | Path,
    *,
    record: dict,
    background: np.ndarray | None = None,
) -> Path:
    """Write what the method says about a photo, each file whole or not at all, segmentation.json last.

    In the photo's pixels: mask.png (0/255), soft.png (grey), overlay.png, cutout.png (the soft mask as alpha), and
    composition.png where there is a background (the hard mask as alpha, section 4.5). In the frame: crop.png,
    reconstruction.png, clusters.png. And latent.npy, which `read_latent` reads. An older record is removed first, so
    that a record never stands beside pictures of another run.

    Args:
        result: what a `PhotoSegmenter` found.
        pixels: the photo (H, W, 3) uint8.
        folder: where to write; it is made where it is absent.
        record: what else segmentation.json is to say, plain values; its entries go before those of `describe`.
        background: (H, W, 3) uint8, or None.
    """
    folder = Path(folder)
    (folder / RECORD).unlink(missing_ok=True)
    _write_mask(result, pixels, folder, background)
    write_picture(folder / "reconstruction.png", result.segmentation.image)
    write_picture(folder / "clusters.png", clusters_to_color(result.segmentation.clusters))
    write_latent(folder / "latent.npy", result.inversion.ws)
    described = result.segmentation.describe()
    described |= {"image_size": list(result.mask.shape), "mask_share": float(result.mask.mean())}  # those of the photo
    write_record(folder / RECORD, {**record, **described, "seconds": result.seconds})
    return folder


def _levels(soft: np.ndarray) -> np.ndarray:
    """A mask, bool or 0..1, as grey levels 0..255."""
    return np.rint(soft * np.float32(255)).astype(np.uint8)


def read_record(folder: str | Path) -> dict:
    """The segmentation.json of a folder; empty where there is none, or none of ours."""
    try:
        record = json.loads((Path(folder) / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def write_latent(path: Path, ws: Tensor) -> None:
    """Write ws (1, num_ws, w_dim) as `read_latent` reads it, whole or not at all."""
    with atomic_write(path) as temporary:
        np.save(temporary, ws[0].cpu().numpy())
