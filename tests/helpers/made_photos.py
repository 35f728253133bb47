"""Photos and an inverter for the tests of what is done with photos."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from stylemixseg.inversion.base import Inversion


def picture(seed: int, height: int = 80, width: int = 80) -> np.ndarray:
    """A smooth random photo (H, W, 3) uint8."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


class Knowing:
    """An inverter that knows the latent; it keeps what it was shown."""

    def __init__(self, ws: torch.Tensor):
        self.ws, self.photos = ws, None

    def __call__(self, photos: torch.Tensor, progress: bool = False) -> Inversion:
        self.photos = photos
        return Inversion(self.ws, (self.ws,), 0.5, "known")
