"""Cluster maps of a set of queries, the expensive half of every experiment: made once, kept on disk, scored later.

For one query and cutoff the style-mixed images are synthesised once and clustered for every k of the profile, in every
colour space where the ablation looks at that query. The maps (one small file per query and cutoff) are what the
foreground rules and the metrics need, so a rule or a reference can change without a new synthesis, and an interrupted
run goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from stylemixseg._util.keys import cache_key
from stylemixseg.experiments.kept import kept_arrays, kept_folder
from stylemixseg.experiments.profile import Profile
from stylemixseg.foreground import Saliency
from stylemixseg.generators.base import Generator, seeded_latent
from stylemixseg.mixing import query_image
from stylemixseg.segmenter import StyleMixSegmenter
from stylemixseg.summary import StyleStack, as_summary


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
    spaces = profile.table4.color_spaces if seed in profile.ablation_seeds else (profile.method.color_space,)
    wanted = {map_key(space, k) for space in spaces for k in profile.table4.ks} | {"image"}
    return kept_arrays(path, wanted, partial(_made, generator, profile, seed, cutoff, spaces))


def _made(
    generator: Generator, profile: Profile, seed: int, cutoff: int, spaces: tuple[str, ...]
) -> dict[str, np.ndarray]:
    segmenter = StyleMixSegmenter(generator, replace(profile.method, cutoff=cutoff))
    w0 = query_latent(generator, profile, seed)
    summary = segmenter.summary(w0)
    assert isinstance(summary, StyleStack)  # a profile clusters on the CPU
    maps = {"image": query_image(generator, w0, profile.method.resolution)}
    for space in spaces:
        in_space = as_summary(summary.in_color_space(space).tensor())  # once for all k
        for k in profile.table4.ks:
            maps[map_key(space, k)] = segmenter.cluster(in_space, k).labels.astype(np.uint8)
    return maps


def query_latent(generator: Generator, profile: Profile, seed: int):
    """w0 (1, num_ws, w_dim) of a query seed under the profile's truncation."""
    return seeded_latent(generator, seed, profile.queries.truncation)


def make_cluster_maps(
    generator: Generator, profile: Profile, jobs: Iterable[tuple[int, int]], description: str = "queries"
) -> list[dict[str, np.ndarray]]:
    """`cluster_maps` of many (seed, cutoff) pairs, with a progress bar; what is on disk is not made again."""
    jobs = list(jobs)
    return [cluster_maps(generator, profile, *job) for job in tqdm(jobs, desc=description, unit="image")]


def _folder(generator: Generator, profile: Profile) -> Path:
    # The cutoff is in the file's name, k and the colour space in the map's, and no rule has seen the clusters yet.
    method = replace(profile.method, cutoff=0, k=2, color_space="lab", rule=Saliency())
    depends = {"generator": generator.digest, "truncation": profile.queries.truncation, "method": method.cache_key()}
    return kept_folder("maps") / f"{generator.name}-{cache_key(depends)}"
