"""What the experiments' spot checks share: which images to measure again, and a profile that holds one of them."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from stylemixseg.evaluation.imagescores import ImageScores
from stylemixseg.experiments.profile import Profile


def drawn_seeds(scores: Mapping[str, ImageScores], draw: Random, count: int) -> list[int]:
    """Seeds of some of the images that every set of scores has."""
    shared = set.intersection(*(set(item.images) for item in scores.values()))
    names = sorted(shared) or sorted({image for item in scores.values() for image in item.images})
    return [int(name.removeprefix("seed")) for name in draw.sample(names, min(count, len(names)))]


def of_one(profile: Profile, seed: int, **table4: object) -> Profile:
    """The profile with one query only, and none of the ablation's colour spaces beside its own.

    Args:
        profile: whose settings are kept.
        seed: of the query.
        table4: other settings of the section `table4`.
    """
    spaces = (profile.method.color_space,)
    return profile.changed(
        name=f"{profile.name}-seed{seed}",
        queries={"first": seed, "count": 1},
        table4={"queries": 1, "color_spaces": spaces} | table4,
        objects={"scenes": 1, "faces": 1},
    )
