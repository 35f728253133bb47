"""What a photo will cost, in seconds and memory, told by one step of each kind before the work begins."""

from __future__ import annotations

import io
import sys
import time

import numpy as np
import torch
from PIL import Image

from stylemixseg._util.outputs import PNG_LEVEL
from stylemixseg.generators.base import Generator
from stylemixseg.inversion.base import Inverter
from stylemixseg.inversion.projector import EncoderThenProjector, Projector
from stylemixseg.mixing import iter_style_mixes
from stylemixseg.segmenter import StyleMixSegmenter

if sys.platform != "win32":
    import resource

MIXES = 4  # timed; an engine may make two at once
TIMED_PIXELS = 500_000
# Two pictures in colours and two masks are written, and the mask is brought back: the time of so many pictures.
PICTURES = 3
# Meanwhile in memory: the photo (3), its soft mask (4) and mask (1), a picture (4), and what the one before left (4).
BYTES_PER_PIXEL = 16


def estimate(inverter: Inverter, segmenter: StyleMixSegmenter) -> tuple[float, int | None]:
    """Seconds a photo, and bytes of memory at the peak (None on Windows; on a GPU, the GPU's).

    A few style mixes are made and timed, and a step of the projector on what it will look at, the preview or full
    images. That compiles the generator too, which is used later. Encoders, K-means and files come on top: some seconds.
    """
    config = segmenter.config
    projector = inverter.projector if isinstance(inverter, EncoderThenProjector) else inverter
    seconds = config.n * _mix_seconds(segmenter)
    if isinstance(projector, Projector):
        early = projector.config.preview_steps
        for shown, steps in ((projector.preview, early), (projector.generator, projector.config.steps - early)):
            if steps:
                seconds += steps * _step_seconds(shown, projector.generator)
    side = config.resolution or segmenter.generator.resolution
    peak = _peak_bytes(config.device)
    # The images of all styles, and the distances to the centroids, which K-means gives as float32.
    return seconds, peak and peak + side * side * (3 * config.n + 4 * config.k)


def output_cost(pixels: np.ndarray, *, with_background: bool) -> tuple[float, int]:
    """Seconds and bytes that a photo's own size costs: masks brought back to it, and pictures of it written.

    A strip from the middle of the photo is written as a PNG and timed.

    Args:
        pixels: the photo (H, W, 3) uint8.
        with_background: one picture more.
    """
    height, width = pixels.shape[:2]
    rows = min(height, max(1, TIMED_PIXELS // width))
    strip = Image.fromarray(pixels[(height - rows) // 2 :][:rows])
    started = time.perf_counter()
    strip.save(io.BytesIO(), "PNG", compress_level=PNG_LEVEL)
    picture = (time.perf_counter() - started) * height / rows
    return picture * (PICTURES + with_background), height * width * (BYTES_PER_PIXEL + 3 * with_background)


def _step_seconds(shown, generator: Generator) -> float:
    """Forward and backward through `shown.synthesis`; the second of two, for the first prepares."""
    ws = generator.w_avg.repeat(1, generator.num_ws, 1).requires_grad_(True)
    for _ in range(2):
        started = time.perf_counter()
        torch.autograd.grad(shown.synthesis(ws).square().mean(), ws)[0].cpu()  # cpu: waits for a GPU
    return time.perf_counter() - started


def _mix_seconds(segmenter: StyleMixSegmenter) -> float:
    generator = segmenter.generator
    w0 = generator.w_avg.repeat(1, generator.num_ws, 1)
    plan = segmenter.plan
    batch = plan.batch_size
    count = max(MIXES, batch)
    for styles in (segmenter.styles[:1].repeat(batch, 1, 1), segmenter.styles[:1].repeat(count, 1, 1)):
        started = time.perf_counter()  # of the second; the first compiles
        for _ in iter_style_mixes(generator, w0, styles, plan):
            pass
    return (time.perf_counter() - started) / count


def _peak_bytes(device: str | torch.device) -> int | None:
    """Most memory that this process has held so far."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    if sys.platform == "win32":
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
