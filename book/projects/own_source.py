"""Starter code of the project "a source of your own": variants without a generator, and what they are worth.

python own_source.py
"""

import numpy as np

from stylemixseg.experiments.scoring import oracle_mask
from stylemixseg.generators.base import seeded_z
from stylemixseg.generators.toyworld.world import FAILURE_MODES, ToyWorld
from stylemixseg.metrics import confusion
from stylemixseg.mixing import query_image
from stylemixseg.variants.segmenting import VariantSegmenter


class Tiles:
    """Your source goes here. This one recolours square tiles of the picture at random.

    A query is a picture (H, W, 3) uint8. The tiles are aligned, but they follow a grid and not the things.
    """

    name, shares_styles = "recoloured tiles", True
    digest = "0" * 64  # a real source hashes what its images depend on

    def __init__(self, n=12, side=8):
        self.n, self.side = n, side

    def query_image(self, query):
        """The picture itself."""
        return query

    def iter_variants(self, query):
        """Yield the variants, (1, H, W, 3) uint8 each."""
        rows, columns = (np.arange(size) // self.side for size in query.shape[:2])
        tile = rows[:, None] * (columns.max() + 1) + columns
        for j in range(self.n):
            draw = np.random.default_rng(j)
            colours = draw.integers(256, size=(tile.max() + 1, 3))
            yield (0.5 * colours[tile] + 0.5 * query).astype(np.uint8)[None]


class Tinted(Tiles):
    """A yardstick: one random colour matrix for the whole picture in each variant."""

    name = "tinted as a whole"

    def iter_variants(self, query):
        """Yield the variants, (1, H, W, 3) uint8 each."""
        for j in range(self.n):
            matrix = np.random.default_rng(j).normal(0, 0.6, (3, 3))
            tinted = (query - 127.5) @ matrix + 127.5
            yield tinted.clip(0, 255).astype(np.uint8)[None]


class Itself(Tiles):
    """A yardstick: the picture's own colours, n = 1."""

    name = "the picture alone"

    def __init__(self):
        super().__init__(n=1)

    def iter_variants(self, query):
        """Yield the picture."""
        yield query[None]


def main():
    # The sofa has the colour of the wall behind it: only a source that paints by things can tell the two apart.
    world = ToyWorld("portrait", resolution=128, subject="sofa", failures=FAILURE_MODES["shared_paint"])
    scenes = []
    for seed in range(4):
        w0 = world.mapping(seeded_z(seed, world.z_dim))
        scenes.append((query_image(world, w0), world.truth(w0)[0].foreground))
    for source in (Itself(), Tinted(), Tiles()):
        segmenter = VariantSegmenter(source, k=3)
        scores = []
        for picture, truth in scenes:
            labels = segmenter.cluster(segmenter.summary(picture)).labels
            scores.append(confusion(oracle_mask(labels, 3, truth), truth).miou)
        mean = f"mIoU of the oracle {np.mean(scores):.3f}, worst {min(scores):.3f}"
        print(f"{source.name:18} {mean}, {len(scores)} drawings")


if __name__ == "__main__":
    main()
