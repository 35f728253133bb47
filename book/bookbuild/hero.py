"""The two pictures of the first page, made from results: faces with their masks, and the method in four steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from stylemixseg._util.paths import atomic_write
from stylemixseg.experiments.clustermaps import make_cluster_maps, map_key
from stylemixseg.experiments.profile import Profile
from stylemixseg.experiments.scoring import RULES, rule_mask
from stylemixseg.generators.base import Generator, seeded_latent
from stylemixseg.mixing import draw_style_latents, style_mixed_images
from stylemixseg.settings import MixPlan
from stylemixseg.viz import diagrams
from stylemixseg.viz.compositing import PALETTE, clusters_to_color, composite

FACES = 6
SIDE = 256  # px of each picture
MIXES = 3  # that the row of steps shows


def write_hero(generator: Generator, profile: Profile, folder: Path) -> None:
    """Write `hero.jpg` and `pipeline.svg`. The cluster maps are those of the chapters, so they are at hand already."""
    folder.mkdir(parents=True, exist_ok=True)
    method = profile.method
    key = map_key(method.color_space, method.k)
    seeds = profile.queries.seeds[:FACES]
    maps = make_cluster_maps(generator, profile, [(seed, method.cutoff) for seed in seeds])
    masks = [rule_mask(item[key], method.k, RULES["saliency"]) for item in maps]
    columns = [
        np.concatenate([_small(item["image"]), _small(_on_plain_ground(item["image"], mask))])
        for item, mask in zip(maps, masks, strict=True)
    ]
    with atomic_write(folder / "hero.jpg") as temporary:
        Image.fromarray(np.concatenate(columns, 1)).save(temporary, "JPEG", quality=88)
    w0 = seeded_latent(generator, seeds[0], profile.queries.truncation)
    styles = draw_style_latents(generator, MIXES, method.style_seed, method.style_truncation)
    mixes = style_mixed_images(generator, w0, styles, MixPlan(method.cutoff, min(SIDE, generator.resolution)))
    steps = diagrams.pipeline(maps[0]["image"], mixes, clusters_to_color(maps[0][key]), masks[0], n=method.n)
    with atomic_write(folder / "pipeline.svg") as temporary:
        temporary.write_text(steps.svg(), encoding="utf-8")


def _small(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def _on_plain_ground(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The foreground before one colour, so that nothing but the mask decides what is seen."""
    return composite(image, np.broadcast_to(PALETTE[0], image.shape), mask)
