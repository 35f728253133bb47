"""Does it help to mix styles at several cutoffs at once? The multi-cutoff tensor against the paper's single cutoff.

All sets of cutoffs get the same n style latents, dealt to their cutoffs as `variants.stylemixes` deals them, so each
costs n images. The profile's cutoff c stands beside its neighbours c - 2 and c + 2, the steps of Table 4, alone and
together. Scores are paired: each set is compared with the single cutoff c on the same images. Nothing is chosen by
these numbers, for they come from evaluation images.

One small file per query is kept in the cache folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
from tqdm.auto import tqdm

from stylemixseg._util.keys import cache_key
from stylemixseg.evaluation.imagescores import ImageScores
from stylemixseg.experiments.again import drawn_seeds, of_one
from stylemixseg.experiments.clustermaps import query_latent, seed_name
from stylemixseg.experiments.kept import kept_arrays, kept_folder
from stylemixseg.experiments.profile import Profile
from stylemixseg.experiments.recording import recorder_of
from stylemixseg.experiments.registry import experiment
from stylemixseg.experiments.scoring import reference_masks, score_rules
from stylemixseg.experiments.words import cutoff_sets, set_name
from stylemixseg.foreground import Saliency
from stylemixseg.generators.base import Generator
from stylemixseg.generators.zoo import load_generator
from stylemixseg.metrics import Confusion, bootstrap_interval, mean_iou, paired_difference
from stylemixseg.mixing import draw_style_latents, query_image, style_mixed_images
from stylemixseg.summary import StyleStack
from stylemixseg.variants.stylemixes import dealt


def set_maps(generator: Generator, profile: Profile, seed: int) -> dict[str, np.ndarray]:
    """Cluster maps of the query of one seed under every set of cutoffs, from disk or made now.

    Returns:
        {set_name(cutoffs): labels (h, w) uint8, ...}, and "image": the query X_0 (h, w, 3) uint8.
    """
    # The sets follow from the cutoff, and no rule has seen the clusters yet.
    method = replace(profile.method, rule=Saliency())
    depends = {"generator": generator.digest, "truncation": profile.queries.truncation, "method": method.cache_key()}
    path = kept_folder("cutoffs") / f"{generator.name}-{cache_key(depends)}" / f"{seed_name(seed)}.npz"
    names = {"image", *map(set_name, cutoff_sets(method.cutoff))}
    return kept_arrays(path, names, partial(_made, generator, profile, seed))


def _made(generator: Generator, profile: Profile, seed: int) -> dict[str, np.ndarray]:
    method, w0 = profile.method, query_latent(generator, profile, seed)
    styles = draw_style_latents(generator, method.n, method.style_seed, method.style_truncation)
    sets = cutoff_sets(method.cutoff)
    # All sets share these images: n at each cutoff, of which a set takes its share.
    images = {
        cutoff: style_mixed_images(generator, w0, styles, replace(method.plan, cutoff=cutoff, include_query=False))
        for cutoff in sorted({cutoff for cutoffs in sets for cutoff in cutoffs})
    }
    maps = {"image": query_image(generator, w0, method.resolution)}
    for cutoffs in sets:
        shares = zip(cutoffs, dealt(method.n, len(cutoffs)))
        mixes = np.concatenate([images[cutoff][share] for cutoff, share in shares])  # (n, h, w, 3)
        stack = StyleStack(np.moveaxis(mixes, 3, 1), method.color_space)
        maps[set_name(cutoffs)] = stack.cluster(method.k, **method.kmeans_options).labels.astype(np.uint8)
    return maps


def score_cutoffs(generator: Generator, profile: Profile, seeds: Sequence[int]) -> dict[str, list[Confusion]]:
    """Scores of every set of cutoffs, one `Confusion` per seed: {"c6.saliency": [...], "c4_c6.oracle": [...], ...}.

    Args:
        generator: draws the queries and their style mixes.
        profile: settings; its cutoff must lie at least two layers from both ends.
        seeds: of the queries.
    """
    maps = [set_maps(generator, profile, seed) for seed in tqdm(seeds, desc="cutoffs", unit="image")]
    truths = reference_masks(profile.reference, generator, profile, seeds, maps)
    return {
        f"{name}.{rule}": confusions
        for name in map(set_name, cutoff_sets(profile.method.cutoff))
        for rule, confusions in score_rules([item[name] for item in maps], profile.method.k, truths).items()
    }


def _again(profile: Profile, scores: Mapping[str, ImageScores], draw: Random, out: Path) -> None:
    (seed,) = drawn_seeds(scores, draw, 1)
    run_cutoffs(of_one(profile, seed), out)


@experiment(
    "cutoffs",
    "style mixes at several cutoffs at once, and at one, with the same number of images",
    measured_by=score_cutoffs,
    again=_again,
)
def run_cutoffs(profile: Profile, results: Path, generator: Generator | None = None) -> Path:
    """Measure single cutoffs and sets of them on the ablation's queries; write `<results>/<profile>/cutoffs.json`.

    Args:
        profile: sizes and settings.
        results: the folder of all results.
        generator: None: the profile's.

    Returns:
        The path of the result file.
    """
    generator = generator or load_generator(profile.generator)
    recorder = recorder_of("cutoffs", profile, results, generator, seed=profile.queries.first)
    seeds, method = profile.ablation_seeds, profile.method
    scores = score_cutoffs(generator, profile, seeds)
    images, single = [seed_name(seed) for seed in seeds], set_name((method.cutoff,))
    setting = f"k = {method.k}, {method.color_space.upper()}, n = {method.n} images in all"
    for name, confusions in scores.items():
        cutoffs, rule = name.split(".")
        words = rule.replace("_", " ")
        full = f"{profile.prefix}cutoffs.{name}"
        recorder.add(
            f"{full}.miou",
            mean_iou(confusions, "per_image"),
            n=len(confusions),
            interval=bootstrap_interval(confusions, "miou", "per_image"),
            note=f"{words}, mean over images, {setting}",
        )
        recorder.add_scores(full, ImageScores.of_confusions(confusions, images))
        if cutoffs != single:
            gain, interval = paired_difference(confusions, scores[f"{single}.{rule}"], "miou", "per_image")
            note = f"{words}, minus the single cutoff c = {method.cutoff} on the same images, {setting}"
            recorder.add(f"{full}.gain", gain, n=len(confusions), interval=interval, note=note)
    return recorder.write()
