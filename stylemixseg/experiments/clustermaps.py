"""Cluster maps of a set of queries, the expensive half of every experiment: made once, kept on disk, scored later.

For one query and cutoff the style-mixed images are synthesised once and clustered for every k of the profile, in every
colour space where the ablation looks at that query. The maps (one small file per query and cutoff) are what the
foreground rules and the metrics need, so a rule or a reference can change without a new synthesis, and an interrupted
run goes on where it stopped.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from stylemixseg._util.paths import write_cached
from stylemixseg.clustering import kmeans
from stylemixseg.experiments.kept import kept_folder, settings_key
from stylemixseg.experiments.profile import Profile
from stylemixseg.generators.base import Generator, seeded_z
from stylemixseg.mixing import check_resolution, draw_style_latents, query_image, style_mixed_images
from stylemixseg.settings import MixPlan, SegmenterConfig
from stylemixseg.summary import summary_from_images


def map_key(color_space: str, k: int) -> str:
    """Name of one cluster map in what `cluster_maps` gives."""
    return f"{color_space}.k{k}"


def seed_name(seed: int) -> str:
    """Name of the image of a query seed, in files and among images' scores."""
    return f"seed{seed:05d}"


def cluster_maps(generator: Generator, profile: Profile, seed: int, cutoff: int) -> dict[str, np.ndarray]:
    """Cluster maps of the query of one seed at one cutoff, from disk or made now.

    Returns:
        {map_key(color_space, k): labels (h, w) uint8} for every k of the profile and, where the seed is one of the
        ablation's, every colour space (else the profile's own); and "image": the query X_0 (h, w, 3) uint8; all at the
        profile's resolution.
    """
    path = _folder(generator, profile) / f"{seed_name(seed)}-c{cutoff:02d}.npz"
    spaces = profile.color_spaces if seed in profile.ablation_seeds else (profile.color_space,)
    wanted = {map_key(space, k) for space in spaces for k in profile.ks}
    try:
        with np.load(path, allow_pickle=False) as file:
            maps = {key: file[key] for key in file.files}
        if wanted | {"image"} <= set(maps):
            return maps
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        pass  # not there yet, or damaged
    settings = _settings(profile)
    w0 = query_latent(generator, profile, seed)
    styles = draw_style_latents(generator, profile.n, profile.style_seed, settings.style_truncation)
    images = style_mixed_images(generator, w0, styles, MixPlan(cutoff, resolution=profile.resolution))
    maps = {"image": query_image(generator, w0, profile.resolution)}
    for space in spaces:
        summary = summary_from_images(images, space)
        for k in profile.ks:
            result = kmeans(summary, k, **settings.kmeans_options)
            maps[map_key(space, k)] = result.labels.astype(np.uint8)
    write_cached(path, lambda temporary: np.savez_compressed(temporary, **maps))
    return maps


def query_latent(generator: Generator, profile: Profile, seed: int):
    """w0 (1, num_ws, w_dim) of a query seed under the profile's truncation."""
    return generator.mapping(seeded_z(seed, generator.z_dim).to(generator.w_avg), profile.truncation)


def make_cluster_maps(
    generator: Generator, profile: Profile, jobs: Iterable[tuple[int, int]], description: str = "queries"
) -> list[dict[str, np.ndarray]]:
    """`cluster_maps` of many (seed, cutoff) pairs, with a progress bar; what is on disk is not made again."""
    jobs = list(jobs)
    return [cluster_maps(generator, profile, *job) for job in tqdm(jobs, desc=description, unit="image")]


def _settings(profile: Profile) -> SegmenterConfig:
    """The method's settings that a profile does not vary, all at the segmenter's defaults."""
    return SegmenterConfig(n=profile.n, resolution=profile.resolution, style_seed=profile.style_seed)


def _folder(generator: Generator, profile: Profile) -> Path:
    settings = _settings(profile)
    depends = {
        "generator": generator.digest,
        "n": profile.n,
        "side": check_resolution(profile.resolution, generator.resolution),
        "truncation": profile.truncation,
        "style_seed": profile.style_seed,
        "style_truncation": settings.style_truncation,
        "kmeans": [settings.kmeans_seed, settings.restarts, settings.iterations, settings.max_points_per_cluster],
    }
    return kept_folder("maps") / f"{generator.name}-{settings_key(depends)}"
