"""Table 3: one network learns from masks of different origins, and is tested on photos with masks drawn by people.

The network is a U-Net with random first weights, and network, schedule and number of steps are the same in every row,
so that only the masks differ:

- "human": photos with masks drawn by people, what supervision reaches;
- "saliency": synthetic images with the masks of the paper's rule;
- "judge": the same images with the masks of the judge, which looks at many images;
- "judge_sure": the same, without the samples that the filters drop and without the pixels that the judge doubts;
- "judge_soft": the same images with the judge's probabilities, doubtful pixels weighing little.

Nothing is chosen on the test photos: the averaged weights after the last step are what is tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from stylemixseg._util.keys import cache_key
from stylemixseg.data.celebamask import read_celebamask, training_names, validation_names
from stylemixseg.experiments.clustermaps import query_latent, seed_name
from stylemixseg.experiments.kept import kept, kept_folder
from stylemixseg.experiments.profile import Profile
from stylemixseg.experiments.recording import add_counts, recorder_of
from stylemixseg.experiments.registry import experiment
from stylemixseg.experiments.scoring import counts_of
from stylemixseg.factory.filters import Filters
from stylemixseg.factory.recipe import Recipe
from stylemixseg.factory.run import synthesize
from stylemixseg.generators.base import Generator, KnowsTheTruth
from stylemixseg.generators.zoo import load_generator
from stylemixseg.joint.judge import JUDGED_AT, fitted_judge
from stylemixseg.metrics import Confusion, paired_difference
from stylemixseg.mixing import query_image, to_generator_range
from stylemixseg.models.student import Student
from stylemixseg.models.unet import UNet
from stylemixseg.students.fit import StudentTraining, fit_student
from stylemixseg.students.pairs import Pairs, pairs_of_set
from stylemixseg.training import Stopping

RATE = 0.01  # of MMSegmentation's 40k schedule
PAIRS_AT = 256  # px, of the pairs in memory
# Both chosen on synthetic faces with the face parser by data_scripts/choose_pairs.py; no photo took part. At this
# truncation the judge's masks are too large, because it was fitted mostly to faces nearer to the mean.
FILTERS = Filters(min_agreement=0.6, min_confidence=0.95)
THRESHOLD = 0.7
SYNTHETIC = {  # rows of synthetic pairs: their masks, as `pairs_of_set` names them, and the filters
    "saliency": ("rule", None),
    "judge": ("hard", None),
    "judge_sure": ("sure", FILTERS),
    "judge_soft": ("soft", None),
}
HEADLINE = ("saliency", "judge")  # rows that are trained with every seed
_HUMAN_FIRST, _TESTED_FIRST = 40_000, 50_000  # seeds, where a generator that knows the truth stands for people


@dataclass(frozen=True, eq=False)
class Photos:
    """Images (H, W, 3) uint8 with known foreground (H, W) bool, by name."""

    names: Sequence[str]
    images: Sequence[np.ndarray]
    masks: Sequence[np.ndarray]


def recipe_of(profile: Profile, generator: Generator) -> Recipe:
    """How the synthetic pairs of a profile are made."""
    side = min(JUDGED_AT, generator.resolution)
    config = replace(profile.method, n=profile.table3.n, resolution=side)
    config = replace(config, judge=fitted_judge(generator, config))
    engine = "openvino-bf16" if profile.table3.fast else "auto"
    return Recipe(profile.generator, config, truncation=profile.table3.truncation, size=side, engine=engine)


def synthetic_set(profile: Profile, generator: Generator) -> Path:
    """The folder of the profile's synthetic pairs, from the cache or made now; an interrupted run goes on."""
    recipe, section = recipe_of(profile, generator), profile.table3
    folder = kept_folder("pairs") / f"{generator.name}-{cache_key((recipe.describe(generator), recipe.engine))}"
    synthesize(folder, recipe, section.pairs, first=section.first, progress=True)
    return folder


def human_photos(profile: Profile, generator: Generator, *, tested: bool) -> Photos:
    """Photos with masks drawn by people, to train on or to test on; of the toy world images whose truth is known.

    Raises:
        FileNotFoundError: the photos are not on this machine.
    """
    count = profile.table3.tested if tested else profile.table3.human
    if isinstance(generator, KnowsTheTruth):
        first = _TESTED_FIRST if tested else _HUMAN_FIRST
        seeds = range(first, first + count)
        latents = [query_latent(generator, profile, seed) for seed in seeds]
        return Photos(
            [seed_name(seed) for seed in seeds],
            [query_image(generator, ws) for ws in latents],
            [generator.truth(ws)[0].foreground for ws in latents],
        )
    photos = read_celebamask()
    names = (validation_names if tested else training_names)(photos)[:count]
    pairs = [photos[name] for name in names]
    return Photos(names, [image for image, _ in pairs], [labels != 0 for _, labels in pairs])


def pairs_of(row: str, profile: Profile, generator: Generator, count: int | None = None) -> Pairs:
    """What a row is trained on.

    Args:
        row: "human" or one of `SYNTHETIC`.
        profile: sizes.
        generator: the profile's.
        count: so many synthetic pairs, the first ones, before filters; None: all of the profile's.
    """
    if row == "human":
        photos = human_photos(profile, generator, tested=False)
        return Pairs.of(zip(photos.images, photos.masks, strict=True), PAIRS_AT)
    masks, filters = SYNTHETIC[row]
    first = profile.table3.first
    seeds = range(first, first + (count or profile.table3.pairs))
    folder, threshold = synthetic_set(profile, generator), THRESHOLD if _judged(profile, generator) else 0.5
    return pairs_of_set(folder, PAIRS_AT, filters, masks=masks, threshold=threshold, seeds=seeds)


def rows_of(generator: Generator, profile: Profile) -> list[str]:
    """The rows that there are: without a judge, all synthetic masks are the rule's."""
    return ["human", *SYNTHETIC] if _judged(profile, generator) else ["human", "judge"]


def _judged(profile: Profile, generator: Generator) -> bool:
    """Whether a judge makes the masks; else the rule does, and its masks need no correction."""
    return recipe_of(profile, generator).config.judge is not None


def train(pairs: Pairs, profile: Profile, seed: int, state: Path) -> nn.Module:
    """A U-Net that learnt from pairs.

    Raises:
        KeyboardInterrupt: asked to stop; the same call goes on.
    """
    section = profile.table3
    torch.manual_seed(seed)
    network = UNet(1, section.width)
    how = StudentTraining(section.steps, section.batch, section.side, rate=RATE, optimiser="sgd", seed=seed)
    with Stopping() as stop:
        trained = fit_student(network, pairs, how, state, stop, start=f"U-Net of width {section.width}, random")
    if trained is None:
        raise KeyboardInterrupt
    return trained


def score(network: Student, photos: Photos) -> dict[str, list[list[int]]]:
    """Counts [tp, fp, fn, tn] of a network on photos, over all pixels ("all") and near the outline ("trimap")."""
    found: dict[str, list[list[int]]] = {"all": [], "trimap": []}
    for image, truth in zip(photos.images, photos.masks, strict=True):
        given: Tensor = to_generator_range(image)
        mask = network.foreground(given)[0].numpy()
        for where, counts in counts_of(mask, truth).items():
            found[where].append(counts)
    return found


def trained_scores(
    row: str, profile: Profile, generator: Generator, photos: Photos, seed: int, count: int | None = None
) -> dict:
    """The scores of one training on the test photos, from disk or made now; an interrupted training goes on.

    Args:
        row: what it learns from, see `pairs_of`.
        profile: sizes.
        generator: the profile's.
        photos: to test on.
        seed: of first weights, order and views.
        count: synthetic pairs; None: all.

    Returns:
        What `score` gives, and as "pairs" how many it was trained on.
    """
    recipe = recipe_of(profile, generator).describe(generator)
    about = (
        row,
        count,
        seed,
        profile.table3,
        recipe,
        list(photos.names),
        FILTERS,
        THRESHOLD,
    )  # table3 says which precision
    folder = kept_folder("table3") / f"{row}-{count or 'all'}-{seed}-{cache_key(about)}"

    def make() -> dict:
        pairs = pairs_of(row, profile, generator, count)
        network = train(pairs, profile, seed, folder / "state.pt")
        return {"pairs": len(pairs), **score(Student(network, profile.table3.side), photos)}

    return kept(folder / "scores.json", make)


@experiment(
    "table3",
    "a U-Net from scratch that learns from masks of different origins, tested on photos with masks drawn by people",
    measured_by=trained_scores,
)
def run_table3(profile: Profile, results: Path, generator: Generator | None = None) -> Path:
    """Train and test all rows and write `<results>/<profile>/table3.json`.

    Args:
        profile: sizes, in its section table3.
        results: the folder of all results.
        generator: None: the profile's.

    Returns:
        The path of the result file.

    Raises:
        FileNotFoundError: the photos are not on this machine.
        KeyboardInterrupt: asked to stop; the same call goes on.
    """
    generator = generator or load_generator(profile.generator)
    section, prefix = profile.table3, f"{profile.prefix}table3"
    photos = human_photos(profile, generator, tested=True)
    images = list(photos.names)
    recorder = recorder_of("table3", profile, results, generator, seed=section.first)
    rows = rows_of(generator, profile)
    jobs: list[tuple[str, int, int | None]] = [
        (row, seed, None) for row in rows for seed in (section.seeds if row in HEADLINE else section.seeds[:1])
    ]
    jobs += [("judge", section.seeds[0], count) for count in section.curve]
    bar = tqdm(jobs, desc="trainings", unit="training")
    found = {job: trained_scores(job[0], profile, generator, photos, *job[1:]) for job in bar}
    for (row, seed, count), scores in found.items():
        name = f"{prefix}.{row}" if count is None else f"{prefix}.curve.{row}.pairs{count}"
        if count is None and seed != section.seeds[0]:
            name = f"{name}.seed{seed}"
        add_counts(recorder, name, scores, images)
    main = {row: [Confusion(*counts) for counts in found[row, section.seeds[0], None]["all"]] for row in rows}
    for row in rows[1:]:
        for other in rows[: rows.index(row)]:
            gain, between = paired_difference(main[row], main[other], "miou", "dataset")
            recorder.add(f"{prefix}.{row}.minus_{other}", gain, n=len(images), interval=between)
    return recorder.write()
