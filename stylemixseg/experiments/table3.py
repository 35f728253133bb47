"""Table 3: one network learns from masks of different origins, and is tested on photos with masks drawn by people.

The network is a U-Net with random first weights. In the rows of this first list, network, schedule and number of steps
are the same, so that only the masks differ:

- "human": photos with masks drawn by people, what supervision reaches;
- "saliency": synthetic images with the masks of the paper's rule, the only synthetic row where no judge was fitted;
- "judge": the same images with the masks of the judge, which looks at many images;
- "judge_sure": the same, without the samples that the filters drop and without the pixels that the judge doubts;
- "judge_soft": the same images with the judge's probabilities, doubtful pixels weighing little;
- "student": the same images with the masks of the student that comes with the package, which learnt from the judge's;
- "student_photos": the photos of "human" with the student's masks, so that neither a mask drawn by a person nor a
  synthetic image takes part in this row;
- "student_both": the pairs of the last two together.

Then fewer pairs, because the masks of some take long: the first synthetic images with the masks of `OTHERS`, the other
methods of chapter 15, and beside them the judge's of the same images ("few.judge" and so on in the results).

Further rows change one thing of the judge's row at a time, or of the rule's where there is no judge: the number of
pairs ("curve"), the number of style latents per pair ("styles", beside "few.judge"), or the pixels of the views
("sides"). With as many style latents as a linear discriminant was fitted for, "line" learns from the same images with
that discriminant's masks, which have neither the judge's threshold nor its outline along the image's edges.

Some rows are also trained for longer, in more steps of smaller batches ("long"), because after few steps the
differences between masks can be hidden. Their networks look at photos with more pixels than their views had, which were
enlarged by up to 1.35. How many was chosen by data_scripts/choose_long_view.py, with the judge's row on training photos
and the student's masks of them, so that the rows besides "human" have seen no mask that people drew. The long trainings
with synthetic images have as many of these as any row.

Nothing is chosen on the test photos. The averaged weights after the last step are what is tested.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from stylemixseg._util.keys import cache_key
from stylemixseg._util.paths import sha256_file
from stylemixseg.data.celebamask import read_celebamask, training_names, validation_names
from stylemixseg.experiments.baselines import baselines_of
from stylemixseg.experiments.clustermaps import query_latent, seed_name
from stylemixseg.experiments.kept import kept, kept_arrays, kept_folder
from stylemixseg.experiments.othermethods import OtherMethods
from stylemixseg.experiments.profile import Profile
from stylemixseg.experiments.recording import add_counts, recorder_of
from stylemixseg.experiments.registry import experiment
from stylemixseg.experiments.scoring import counts_of
from stylemixseg.factory.filters import Filters
from stylemixseg.factory.recipe import Recipe
from stylemixseg.factory.run import synthesize
from stylemixseg.generators.base import Generator, KnowsTheTruth
from stylemixseg.generators.zoo import load_generator
from stylemixseg.joint.discriminant import fitted_discriminant
from stylemixseg.joint.judge import JUDGED_AT, fitted_judge
from stylemixseg.metrics import Confusion, paired_difference
from stylemixseg.mixing import query_image, to_generator_range
from stylemixseg.models.student import WEIGHTS_FILE, Student
from stylemixseg.models.unet import UNet
from stylemixseg.students.fit import StudentTraining, fit_student
from stylemixseg.students.pairs import Pairs, labelled_by, pairs_of_set
from stylemixseg.training import Stopping, Training

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
BY_STUDENT = ("student", "student_photos", "student_both")  # rows of the student's masks
OTHERS = ("datasetgan", "labels4free", "sis_labels")  # rows of other methods, as `othermethods` names them
HEADLINE = ("saliency", "judge")  # rows that are trained with every seed
KEPT_TOGETHER = 250  # images whose masks by the student are kept in one file: a stopped run loses at most so many
_HUMAN_FIRST, _TESTED_FIRST = 40_000, 50_000  # seeds, where a generator that knows the truth stands for people


@dataclass(frozen=True, eq=False)
class Photos:
    """Images (H, W, 3) uint8 with known foreground (H, W) bool, by name."""

    names: Sequence[str]
    images: Sequence[np.ndarray]
    masks: Sequence[np.ndarray]


def recipe_of(profile: Profile, generator: Generator, row: str = "judge") -> Recipe:
    """How the synthetic pairs of a profile are made; those of the row "line" by the linear discriminant."""
    side = min(JUDGED_AT, generator.resolution)
    config = replace(profile.method, n=profile.table3.n, resolution=side, device=profile.table3.device)
    fitted = fitted_discriminant if row == "line" else fitted_judge
    config = replace(config, judge=fitted(generator, config))
    engine = "openvino-bf16" if profile.table3.fast else "auto"
    return Recipe(profile.generator, config, truncation=profile.table3.truncation, size=side, engine=engine)


def synthetic_set(profile: Profile, generator: Generator, count: int | None = None, row: str = "judge") -> Path:
    """The folder of at least so many synthetic pairs (None: the profile's), from the cache or made now.

    The row says whose masks they are, as in `recipe_of`. An interrupted run goes on.
    """
    recipe, section = recipe_of(profile, generator, row), profile.table3
    folder = kept_folder("pairs") / f"{generator.name}-{cache_key((recipe.describe(generator), recipe.engine))}"
    synthesize(folder, recipe, count or section.pairs, first=section.first, progress=True)
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
        row: "human", "line", or one of `SYNTHETIC`, `BY_STUDENT` and `OTHERS`.
        profile: sizes.
        generator: the profile's.
        count: so many synthetic pairs, the first ones, before filters; None: all of the profile's.
    """
    if row == "human":
        photos = human_photos(profile, generator, tested=False)
        return Pairs.of(zip(photos.images, photos.masks, strict=True), PAIRS_AT)
    if row == "student_both":
        return Pairs.joined([pairs_of(part, profile, generator, count) for part in BY_STUDENT[:2]])
    if row in BY_STUDENT:
        return _by_student(row, profile, generator, count)
    first = profile.table3.first
    seeds = range(first, first + (count or profile.table3.pairs))
    if row in OTHERS:
        images = _shown(pairs_of("judge", profile, generator, count))
        return _by_another(row, profile, generator, seeds, images)
    judged = row != "line" and _judged(profile, generator)
    masks, filters = ("hard", None) if row == "line" else SYNTHETIC[row]
    if masks == "rule" and not judged:
        masks = "hard"  # all masks of such a set are the rule's
    folder = synthetic_set(profile, generator, count, row)
    threshold = THRESHOLD if judged else 0.5
    return pairs_of_set(folder, PAIRS_AT, filters, masks=masks, threshold=threshold, seeds=seeds)


def rows_of(generator: Generator, profile: Profile) -> list[str]:
    """The rows that there are: without a judge, all synthetic masks are the rule's, and the student knows faces."""
    synthetic = [*SYNTHETIC] if _judged(profile, generator) else ["saliency"]
    return ["human", *synthetic, *(BY_STUDENT if generator.name == "faces" else ())]


def few_of(generator: Generator, profile: Profile) -> list[str]:
    """The rows that learn from few pairs: the judge's, or the rule's, and those of the other methods that there are."""
    names = _other_methods(profile, generator).names if profile.table3.few else []
    others = [name for name in OTHERS if name in names]
    return [_varied(profile, generator), *others] if others else []


def _varied(profile: Profile, generator: Generator) -> str:
    """The row of which one thing is changed at a time."""
    return "judge" if _judged(profile, generator) else "saliency"


def _other_methods(profile: Profile, generator: Generator) -> OtherMethods:
    """The methods of the experiment "baselines", fitted once for both."""
    return baselines_of(profile, generator).others  # type: ignore[arg-type]  # generators hash by identity


def _shown(pairs: Pairs) -> list[np.ndarray]:
    """The images of pairs, (S, S, 3) uint8."""
    return [image.permute(1, 2, 0).numpy() for image in pairs.images]


def _by_another(
    name: str, profile: Profile, generator: Generator, seeds: Sequence[int], images: Sequence[np.ndarray]
) -> Pairs:
    """Images of the seeds with the masks of another method."""
    drawn = profile.changed(queries={"truncation": profile.table3.truncation})
    method = _other_methods(profile, generator).method(name)

    def items() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        bar = tqdm(zip(seeds, images, strict=True), f"masks of {name}", len(images), unit="image", leave=False)
        for seed, image in bar:
            unknown = np.zeros(image.shape[:2], bool)  # these methods ask for no reference
            yield image, method.masks(query_latent(generator, drawn, seed), image, unknown).astype(np.float32)

    return Pairs.of(items(), PAIRS_AT)


def _by_student(row: str, profile: Profile, generator: Generator, count: int | None) -> Pairs:
    """Images of a row with the masks, 0 or 1, of the student that comes with the package."""
    if row == "student_photos":
        images = human_photos(profile, generator, tested=False).images
    else:
        images = _shown(pairs_of("judge", profile, generator, count))
    return Pairs.of(_with_kept_masks(images), PAIRS_AT)


def _with_kept_masks(images: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each image with the student's mask, float32 0 or 1, from the cache or made now; what is made is kept."""
    student = Student.load()
    for first in range(0, len(images), KEPT_TOGETHER):
        part = images[first : first + KEPT_TOGETHER]
        bar = f"the student's masks, from image {first + 1} of {len(images)}"
        yield from zip(part, _kept_masks(student, part, bar), strict=True)


def _kept_masks(student: Student, images: Sequence[np.ndarray], bar: str) -> Iterator[np.ndarray]:
    """Masks (H, W) float32, 0 or 1, of a few images; `bar` is what the progress bar says."""
    content = hashlib.sha256(student.digest.encode())
    for image in images:
        content.update(np.ascontiguousarray(image).data)
    path = kept_folder("student_masks") / f"{content.hexdigest()[:32]}.npz"
    names = [str(number) for number in range(len(images))]

    def make() -> dict[str, np.ndarray]:
        labelled = labelled_by(student, tqdm(images, bar, unit="image", leave=False))
        return {name: soft > 0.5 for name, (_, soft) in zip(names, labelled, strict=True)}

    found = kept_arrays(path, set(names), make)
    return (found[name].astype(np.float32) for name in names)


def _judged(profile: Profile, generator: Generator) -> bool:
    """Whether a judge makes the masks; else the rule does, and its masks need no correction."""
    return recipe_of(profile, generator).config.judge is not None


def train(
    pairs: Pairs,
    profile: Profile,
    seed: int,
    state: Path,
    after_step: Callable[[Training], None] | None = None,
) -> nn.Module:
    """A U-Net that learnt from pairs.

    Args:
        pairs: to learn from.
        profile: sizes.
        seed: of first weights, order and views.
        state: file of the training's state.
        after_step: called after every step, to measure or to show.

    Raises:
        KeyboardInterrupt: asked to stop; the same call goes on.
    """
    section = profile.table3
    torch.manual_seed(seed)
    network = UNet(1, section.width)
    how = StudentTraining(section.steps, section.batch, section.side, rate=RATE, optimiser="sgd", seed=seed)
    with Stopping() as stop:
        start = f"U-Net of width {section.width}, random"
        trained = fit_student(
            network, pairs, how, state, stop, start=start, after_step=after_step, device=section.device
        )
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
    row: str,
    profile: Profile,
    generator: Generator,
    photos: Photos,
    seed: int,
    count: int | None = None,
    view: int | None = None,
) -> dict:
    """The scores of one training on the test photos, from disk or made now; an interrupted training goes on.

    Args:
        row: what it learns from, see `pairs_of`.
        profile: sizes.
        generator: the profile's.
        photos: to test on.
        seed: of first weights, order and views.
        count: synthetic pairs; None: all.
        view: pixels at which the network looks at photos; None: as many as its views had.

    Returns:
        What `score` gives, and as "pairs" how many it was trained on.
    """
    folder = _folder(row, profile, generator, photos, seed, count)
    side = view or profile.table3.side

    def make() -> dict:
        network, pairs = trained_network(row, profile, generator, photos, seed, count)
        return {"pairs": pairs, **score(Student(network, side), photos)}

    name = "scores.json" if side == profile.table3.side else f"scores-{side}.json"  # the training is the same
    return kept(folder / name, make)


def trained_network(
    row: str, profile: Profile, generator: Generator, photos: Photos, seed: int, count: int | None = None
) -> tuple[nn.Module, int]:
    """The network of one training of `trained_scores`, and how many pairs it was trained on."""
    pairs = pairs_of(row, profile, generator, count)
    state = _folder(row, profile, generator, photos, seed, count) / "state.pt"
    return train(pairs, profile, seed, state), len(pairs)


def _folder(row: str, profile: Profile, generator: Generator, photos: Photos, seed: int, count: int | None) -> Path:
    """Where a training is kept, by all that it and its scores depend on."""
    recipe, section = recipe_of(profile, generator, row).describe(generator), profile.table3
    about: tuple[object, ...] = (row, count, seed, section, recipe, list(photos.names), FILTERS, THRESHOLD)
    if row in BY_STUDENT:
        about += (sha256_file(WEIGHTS_FILE),)
    if row in OTHERS:
        about += tuple(_other_methods(profile, generator).settings(row))
    return kept_folder("table3") / f"{row}-{count or 'all'}-{seed}-{cache_key(about)}"


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        row: what it learns from, see `pairs_of`.
        seed: of first weights, order and views.
        profile: sizes.
        count: synthetic pairs; None: all of the profile's.
        view: pixels at which the network looks at photos; None: as many as its views had.
        rival: name of the training from which it differs in one thing; "" where there is none, or where all rows of a
            block are compared.
    """

    row: str
    seed: int
    profile: Profile
    count: int | None = None
    rival: str = ""
    view: int | None = None


def jobs_of(profile: Profile, generator: Generator) -> dict[str, Job]:
    """All trainings of the table, by the names of their results."""
    section, first = profile.table3, profile.table3.seeds[0]
    rows, few, ours = rows_of(generator, profile), few_of(generator, profile), _varied(profile, generator)
    jobs = {row: Job(row, first, profile) for row in rows}
    for seed in section.seeds[1:]:
        jobs |= {f"{row}.seed{seed}": Job(row, seed, profile) for row in HEADLINE if row in rows}
    jobs |= {f"curve.{ours}.pairs{count}": Job(ours, first, profile, count, ours) for count in section.curve}
    jobs |= {f"few.{row}": Job(row, first, profile, section.few) for row in few}
    for n in section.styles:
        other = profile.changed(table3={"n": n, "pairs": section.few})
        if _judged(other, generator) == _judged(profile, generator):  # else its masks would be another method's
            jobs[f"styles.{ours}.n{n}"] = Job(ours, first, other, rival=f"few.{ours}")
            if recipe_of(other, generator, "line").config.judge is not None:
                jobs[f"styles.line.n{n}"] = Job("line", first, other, rival=f"styles.{ours}.n{n}")
    for side in section.sides:
        jobs[f"sides.{ours}.px{side}"] = Job(ours, first, profile.changed(table3={"side": side}), rival=ours)
    if section.long_steps:
        sizes = {"steps": section.long_steps, "batch": section.long_batch, "curve": (), "few": 0, "styles": ()}
        other = profile.changed(table3=sizes)
        counts = dict.fromkeys((ours, "student_both"), section.most_pairs)  # a long training can use more images
        jobs |= {
            f"long.{row}": Job(row, first, other, counts.get(row), view=section.long_view)
            for row in ("human", ours, "student_photos", "student_both")
            if row in rows
        }
    return jobs


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
    jobs, found = jobs_of(profile, generator), {}
    for name, job in tqdm(jobs.items(), desc="trainings", unit="training"):
        found[name] = trained_scores(job.row, job.profile, generator, photos, job.seed, job.count, job.view)
        add_counts(recorder, f"{prefix}.{name}", found[name], images)
    blocks = [rows_of(generator, profile)]
    blocks += [[name for name in jobs if name.startswith(block)] for block in ("few.", "long.")]
    compared = [(other, one) for block in blocks for one, other in combinations(block, 2)]
    compared += [(name, job.rival) for name, job in jobs.items() if job.rival in jobs]
    for name, rival in compared:
        gain, between = paired_difference(_confusions(found[name]), _confusions(found[rival]), "miou", "dataset")
        recorder.add(f"{prefix}.{name}.minus_{rival.split('.')[-1]}", gain, n=len(images), interval=between)
    return recorder.write()


def _confusions(scores: dict) -> list[Confusion]:
    return [Confusion(*counts) for counts in scores["all"]]
