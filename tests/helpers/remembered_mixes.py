"""Runs the package's command with style mixes that an earlier run left in a folder; what is missing is made and left.

    python remembered_mixes.py FOLDER SIDE reproduce table1 ...

A mix is fixed by the generator, the cutoff, the query's layers below it and one style's layers from it on, and each is
computed by itself. So copies of the package that differ elsewhere need not make the same mixes again, which takes nearly
all of their time. They are kept at SIDE pixels, averaged as the package does it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stylemixseg.commands.main import main
from stylemixseg.generators.openvino.engine import OpenVINOGenerator

make_mixes = OpenVINOGenerator.iter_mixed_synthesis


def remembered_mixes(
    folder: Path, side: int, generator: OpenVINOGenerator, w0: Tensor, styles: Tensor, cutoff: int, batch_size: int
) -> Iterator[Tensor]:
    """As `iter_mixed_synthesis`, at `side` pixels."""
    paths = [folder / f"{_key(generator, w0, style, cutoff)}.npy" for style in styles]
    missing = [i for i, path in enumerate(paths) if not path.exists()]
    if missing:
        for i, image in zip(missing, make_mixes(generator, w0, styles[missing], cutoff, 1)):
            np.save(paths[i], torch.nn.functional.avg_pool2d(image, image.shape[-1] // side).numpy())
    for first in range(0, len(paths), batch_size):
        yield torch.from_numpy(np.concatenate([np.load(path) for path in paths[first : first + batch_size]]))


def _key(generator: OpenVINOGenerator, w0: Tensor, style: Tensor, cutoff: int) -> str:
    key = hashlib.sha256(f"{generator.digest} {cutoff}".encode())
    for latent in (w0[0, :cutoff], style[cutoff:]):
        key.update(latent.contiguous().numpy().tobytes())
    return key.hexdigest()


if __name__ == "__main__":
    folder, side = Path(sys.argv[1]), int(sys.argv[2])
    OpenVINOGenerator.iter_mixed_synthesis = lambda *arguments: remembered_mixes(folder, side, *arguments)
    sys.exit(main(sys.argv[3:]))
