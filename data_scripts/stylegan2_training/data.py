"""Training images in one file: (N, R, R, 3) uint8, mapped into memory, made by worker processes, part by part.

Two sources: rooms of the toy world, drawn here, and a folder of photographs. The folder that is made holds
`images.npy` and `images.json`, which says what is in it and which parts are done.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from stylemixseg._util.checks import check_int
from stylemixseg._util.paths import atomic_write, sha256_file
from stylemixseg.generators.toyworld.world import ToyWorld
from stylemixseg.mixing import mix_styles, to_uint8
from stylemixseg.photos.reading import list_photos, read_photo

PART = 64  # images that a worker makes at a time
SCENE = "room"


class Images:
    """A finished folder of training images.

    Raises:
        FileNotFoundError: it is none. ValueError: it is not finished, or its two files do not agree.

    Attributes:
        pixels: (N, R, R, 3) uint8, mapped into memory. record: what is in it, as `images.json` says.
    """

    def __init__(self, folder: Path):
        self.record = json.loads((folder / "images.json").read_text())
        missing = set(range(parts_of(self.record["count"]))) - set(self.record.pop("done"))
        if missing:
            raise ValueError(
                f"{folder} is not finished: {len(missing)} parts are missing; the command that made it goes on"
            )
        self.pixels = np.load(folder / "images.npy", mmap_mode="r")
        side = self.record["resolution"]
        if self.pixels.shape != (self.record["count"], side, side, 3) or self.pixels.dtype != np.uint8:
            raise ValueError(
                f"{folder}/images.npy must hold what images.json says, {self.record['count']} images of "
                f"{side} px, got {self.pixels.shape} {self.pixels.dtype}"
            )

    def __len__(self) -> int:
        return len(self.pixels)

    def draw(self, count: int, device: torch.device) -> Tensor:
        """A batch (count, 3, R, R) in [-1, 1], drawn with torch's global generator."""
        return self.at(torch.randint(len(self), (count,)).numpy(), device)

    def at(self, indices: np.ndarray, device: torch.device) -> Tensor:
        """The images at `indices`, (len, 3, R, R) in [-1, 1]."""
        pixels = torch.from_numpy(self.pixels[indices]).to(device)  # bytes travel, floats are made on the device
        return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


def parts_of(count: int) -> int:
    return -(-count // PART)


def render_rooms(indices: range, resolution: int, seed: int) -> np.ndarray:
    """Rooms (len, R, R, 3) uint8 of the toy world; room i depends on seed and i alone.

    Layout and paint come from two latents, mixed at the toy world's own cutoff, so that colours say nothing of places.
    """
    world = ToyWorld(SCENE, resolution=resolution)
    z = np.stack([np.random.default_rng([seed, i]).standard_normal((2, world.z_dim)) for i in indices])
    layout, paint = (world.mapping(torch.from_numpy(z[:, i]).float()) for i in (0, 1))
    return to_uint8(world.synthesis(mix_styles(layout, paint, world.structure_layers)))


def read_square(paths: Sequence[Path], resolution: int) -> np.ndarray:
    """Photographs -> (len, R, R, 3) uint8: the middle square of each, resized."""

    def middle(pixels: np.ndarray) -> np.ndarray:
        side = min(pixels.shape[:2])
        top, left = ((length - side) // 2 for length in pixels.shape[:2])
        square = Image.fromarray(pixels[top : top + side, left : left + side])
        return np.asarray(square.resize((resolution, resolution), Image.Resampling.LANCZOS))

    return np.stack([middle(read_photo(path).pixels) for path in paths])


def make_rooms(folder: Path, count: int, resolution: int, seed: int, workers: int, asked: Callable[[], bool]) -> bool:
    """Fill `folder` with `count` rendered rooms; see `fill`."""
    check_int("count", count, 1)
    record = {
        "source": f"rendered: toy-{SCENE}",
        "digest": ToyWorld(SCENE, resolution=resolution).digest,
        "seed": check_int("seed", seed, 0),
        "count": count,
        "resolution": resolution,
    }
    jobs = [partial(render_rooms, indices, resolution, seed) for indices in _parts(count)]
    return fill(folder, record, jobs, workers, asked)


def import_photos(folder: Path, source: Path, resolution: int, workers: int, asked: Callable[[], bool]) -> bool:
    """Fill `folder` with the photographs of the folder `source`, cropped and resized; see `fill`.

    Raises:
        PhotoError: `source` holds no photographs, or one that cannot be read; it is named.
    """
    paths = list_photos(source)
    digest = sha256("".join(f"{path.name} {sha256_file(path)}\n" for path in paths).encode()).hexdigest()
    record = {"source": f"photographs: {source.name}", "digest": digest, "count": len(paths), "resolution": resolution}
    jobs = [partial(read_square, [paths[i] for i in indices], resolution) for indices in _parts(len(paths))]
    return fill(folder, record, jobs, workers, asked)


def fill(
    folder: Path, record: dict, jobs: Sequence[Callable[[], np.ndarray]], workers: int, asked: Callable[[], bool]
) -> bool:
    """Do the jobs that are not done yet, one a part of PART images; True when all are done.

    Args:
        folder: made if absent. record: what it will hold, with `count` and `resolution`.
        workers: processes; 0: this one.
        asked: says whether to stop; what is done by then is kept, and the next call goes on.

    Raises:
        ValueError: the folder holds other images. OSError: not enough room on the disk.
    """
    state, array_file, side = folder / "images.json", folder / "images.npy", record["resolution"]
    done: set[int] = set()
    if state.exists():
        kept = json.loads(state.read_text())
        done = set(kept.pop("done"))
        if kept != record:
            raise ValueError(f"{folder} holds other images ({kept}, asked: {record}): name another folder or delete it")
        pixels = np.lib.format.open_memmap(array_file, "r+")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        needed, free = record["count"] * side * side * 3, shutil.disk_usage(folder).free
        if free < needed:  # a mapped file on a full disk would end the process without a word
            raise OSError(f"{folder}: {needed / 1e6:.0f} MB must be free on that disk, {free / 1e6:.0f} MB are")
        pixels = np.lib.format.open_memmap(array_file, "w+", np.uint8, (record["count"], side, side, 3))

    def save() -> None:
        pixels.flush()
        with atomic_write(state) as path:
            path.write_text(json.dumps(record | {"done": sorted(done)}))

    left = {index: job for index, job in enumerate(jobs) if index not in done}
    saved = time.monotonic()
    bar = tqdm(
        total=len(pixels), initial=min(len(done) * PART, len(pixels)), desc="images", unit="image", mininterval=2
    )
    try:
        for index, made in _run(left, workers, asked):
            pixels[index * PART : index * PART + len(made)] = made
            done.add(index)
            bar.update(len(made))
            if time.monotonic() - saved > 10:
                save()
                saved = time.monotonic()
    finally:
        bar.close()
        save()
    return len(done) == len(jobs)


def _run(jobs: dict[int, Callable[[], np.ndarray]], workers: int, asked: Callable[[], bool]) -> Iterator:
    """(index, result) of each job as it is done, until a stop is asked for."""
    if not workers:
        for index, job in jobs.items():
            if asked():
                return
            yield index, job()
        return
    # New processes rather than copies of this one: a copy of a process whose libraries run threads may hang.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker)
    try:
        numbers = {pool.submit(job): index for index, job in jobs.items()}
        for future in as_completed(numbers):
            yield numbers.pop(future), future.result()  # popped, or every result would stay in memory
            if asked():
                return
    finally:
        pool.shutdown(cancel_futures=True)  # after a stop or an error too: what has not begun is left out


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the main one decides
    torch.set_num_threads(1)


def _parts(count: int) -> list[range]:
    return [range(start, min(start + PART, count)) for start in range(0, count, PART)]
