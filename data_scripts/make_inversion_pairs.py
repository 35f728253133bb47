"""Make the synthetic pairs that the encoder of real photos is trained on: latents W+ of the face generator and images.

Each pair is one latent `ws` (16, 512) and its image, averaged to 128 px. Photos do not lie in W, so half of the
latents are crossed: the layers above a random one come from a second latent, above a later one from a third.
psi is drawn from 0.5 to 1 for each.

Ctrl-C keeps what was made; the same command goes on from there. Pair i depends on --seed and i alone.
Two cores make about five pairs a second.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from stylemixseg._util.paths import atomic_write, cache_dir
from stylemixseg.generators.base import Generator
from stylemixseg.generators.zoo import load_generator
from stylemixseg.mixing import to_uint8

SIDE = 128  # px, what the encoder sees


def pair_latent(generator: Generator, seed: int, index: int) -> torch.Tensor:
    """The latent of pair `index`: (1, num_ws, w_dim)."""
    rng = np.random.default_rng([seed, index])
    psi = rng.uniform(0.5, 1.0)
    z = torch.from_numpy(rng.standard_normal((3, generator.z_dim))).float()
    first, second, third = generator.mapping(z, psi)
    crossings = np.sort(rng.integers(1, generator.num_ws, size=2)) if rng.random() < 0.5 else (generator.num_ws,) * 2
    ws = first.clone()
    ws[crossings[0] :] = second[crossings[0] :]
    ws[crossings[1] :] = third[crossings[1] :]
    return ws[None]


class Pairs:
    """A folder of pairs: `ws.npy` (N, num_ws, w_dim) float16, `images.npy` (N, SIDE, SIDE, 3) uint8, `pairs.json`."""

    def __init__(self, folder: Path, count: int, seed: int, generator: Generator):
        folder.mkdir(parents=True, exist_ok=True)
        self.state_file = folder / "pairs.json"
        state = {"count": count, "seed": seed, "generator": generator.digest, "side": SIDE}
        shapes = {
            "ws": ((count, generator.num_ws, generator.w_dim), np.float16),
            "images": ((count, SIDE, SIDE, 3), np.uint8),
        }
        self.made, mode = 0, "w+"
        if self.state_file.exists():
            kept = json.loads(self.state_file.read_text())
            self.made = kept.pop("made")
            if kept != state:
                raise ValueError(f"{folder} holds other pairs ({kept}, asked: {state}): give another --folder")
            mode = "r+"
        self.arrays = {
            name: np.lib.format.open_memmap(folder / f"{name}.npy", mode, dtype, shape)
            for name, (shape, dtype) in shapes.items()
        }
        self.state = state

    def save(self) -> None:
        for array in self.arrays.values():
            array.flush()
        with atomic_write(self.state_file) as path:
            path.write_text(json.dumps({**self.state, "made": self.made}))


def make_pairs(folder: Path, count: int, seed: int) -> None:
    """Fill the folder up to `count` pairs."""
    generator = load_generator("faces")
    pairs = Pairs(folder, count, seed, generator)
    try:
        saved = time.monotonic()
        for index in tqdm(range(pairs.made, count), initial=pairs.made, total=count, unit="pair", mininterval=5):
            with torch.no_grad():
                ws = pair_latent(generator, seed, index)
                image = F.interpolate(generator.synthesis(ws), (SIDE, SIDE), mode="area")
            pairs.arrays["ws"][index] = ws[0].half().numpy()
            pairs.arrays["images"][index] = to_uint8(image)[0]
            pairs.made = index + 1
            if time.monotonic() - saved > 30:
                pairs.save()
                saved = time.monotonic()
    except KeyboardInterrupt:
        print(f"stopped at {pairs.made} of {count} pairs; the same command goes on")
    finally:
        pairs.save()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=12_000, help="pairs to make (12000)")
    parser.add_argument("--seed", type=int, default=1, help="which pairs (1)")
    parser.add_argument("--folder", type=Path, default=None, help="where to (encoder/pairs in the cache folder)")
    args = parser.parse_args()
    make_pairs(args.folder or cache_dir() / "encoder" / "pairs", args.count, args.seed)


if __name__ == "__main__":
    main()
