"""Latents in, segmentations out: the files that the command line reads and writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylemixseg.checks import check_latents
from stylemixseg.compositing import clusters_to_color, overlay
from stylemixseg.generators.base import Generator
from stylemixseg.paths import atomic_write
from stylemixseg.segmenter import Segmentation

MAX_LATENT_BYTES = 4 << 20  # 18 layers of 512 floats take 37 kB


def read_latent(path: str | Path, generator: Generator) -> Tensor:
    """Read ws from a .npy file: (num_ws, w_dim) or (1, num_ws, w_dim), floating point.

    Raises:
        ValueError: not such a file, too large, a shape that is not the generator's, NaN. FileNotFoundError.
    """
    path = Path(path)
    if path.stat().st_size > MAX_LATENT_BYTES:
        raise ValueError(f"{path} is too large for a latent: {path.stat().st_size} bytes, at most {MAX_LATENT_BYTES}")
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is not a .npy file with numbers: {error}") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        raise ValueError(f"{path} must hold one floating-point array, as numpy.save writes it")
    ws = torch.from_numpy(array.astype(np.float32))
    return check_latents(str(path), ws[None] if ws.ndim == 2 else ws, generator.num_ws, generator.w_dim)


def save_segmentation(result: Segmentation, folder: str | Path, *, query: dict, seconds: float) -> Path:
    """Write image.png, mask.png (0/255), clusters.png, overlay.png and segmentation.json, each whole or not at all.

    Args:
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
        with atomic_write(folder / name) as temporary:
            Image.fromarray(picture).save(temporary, "PNG")
    record = {"query": query, **result.describe()}
    record["seconds"] = {**record["seconds"], "total": seconds}
    with atomic_write(folder / "segmentation.json") as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return folder
