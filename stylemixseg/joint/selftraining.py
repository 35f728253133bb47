"""Fit a judge of pixels on the paper's own masks: what repeats over many images is learnt, what errs is not.

1. The paper's two rules, saliency and corner minority, segment every image. Pixels on which the two agree are taken for
   labelled.
2. A pixel network is trained on them, and a location prior is computed from its masks.
3. The judge made of both segments the same images. Of the pixels from step 1, only those stay on which it agrees and
   is sure. A mistake of the rules that does not repeat falls out here.
4. Steps 2 and 3 are repeated, now with each pixel's place among the inputs.

When to stop is decided without a reference: two halves of the images fit a judge each, and rounds go on as long as the
masks of the two grow more alike. No label and no other network takes part. Early papers on such self-training are
Scudder 1965 (https://doi.org/10.1109/TIT.1965.1053799) and Yarowsky 1995 (https://doi.org/10.3115/981658.981684).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from tqdm.auto import tqdm

from stylemixseg._util.checks import check_int, check_real
from stylemixseg.foreground import CornerMinority, ForegroundRule, Saliency, apply_rule
from stylemixseg.joint.judge import StyleJudge, clusters_of
from stylemixseg.joint.network import Fitting, fit_network
from stylemixseg.joint.place import location_prior, place_features
from stylemixseg.metrics import confusion, mean_iou
from stylemixseg.summary import StyleSummary

LEAST_IMAGES = 10  # of each half: below, what repeats cannot be told from what happens


@dataclass(frozen=True)
class SelfTraining:
    """How a judge is fitted.

    Attributes:
        rounds: of self-training at most; 1: the rules' agreement alone.
        sure: least absolute log-odds of a pixel that is learnt from in later rounds.
        aligned: whether the generator shows its object always in one place: places are then inputs, and there is a
            prior.
        segments: clusters per image inside which scores are averaged; 0: none.
        fitting: of the pixel networks.
        seed: of everything random.
    """

    rounds: int = 4
    sure: float = 1.0
    aligned: bool = True
    segments: int = 16
    fitting: Fitting = field(default_factory=Fitting)
    seed: int = 0

    def __post_init__(self) -> None:
        check_int("rounds", self.rounds, 1)
        check_real("sure", self.sure, 0, 6)
        check_int("segments", self.segments, 0)
        check_int("seed", self.seed, 0)


@dataclass(frozen=True, eq=False)
class Example:
    """One image to learn from.

    Attributes:
        summary: its X_s, best a `StyleStack`, which holds bytes only.
        one, other: masks (h, w) bool of two rules.
        clusters: (h, w) int, inside which scores are averaged; None: none.
    """

    summary: StyleSummary
    one: np.ndarray
    other: np.ndarray
    clusters: np.ndarray | None

    @classmethod
    def of(
        cls,
        summary: StyleSummary,
        k: int,
        segments: int,
        rules: tuple[ForegroundRule, ForegroundRule] = (Saliency(), CornerMinority()),
    ) -> Example:
        """An image's X_s with the masks of two rules, from k clusters."""
        labels = summary.cluster(k).labels
        one, other = (apply_rule(labels, k, rule)[labels] for rule in rules)
        return cls(summary, one, other, clusters_of(summary, segments) if segments else None)

    @property
    def agreed(self) -> np.ndarray:
        """Where the two rules say the same, (h, w) bool."""
        agreed: np.ndarray = self.one == self.other
        return agreed


@dataclass(frozen=True, eq=False)
class Fitted:
    """What came of a fit.

    Attributes:
        judge: fitted on all images, of the round with the greatest agreement.
        rounds: how many rounds it took.
        agreement: mIoU of the two halves' masks after each round that was tried.
        by_round: the judge of every round that was tried, for those who compare.
    """

    judge: StyleJudge
    rounds: int
    agreement: tuple[float, ...]
    by_round: tuple[StyleJudge, ...]


def fit_judge(examples: Sequence[Example], how: SelfTraining | None = None, *, progress: bool = False) -> Fitted:
    """Fit a judge on the X_s of many images that share their styles.

    Args:
        examples: the images, all with X_s of one size and one set of styles.
        how: None for the defaults.
        progress: show a progress bar.

    Raises:
        ValueError: too few images, X_s of different sizes, or rules that agree on no pixel of one side.
    """
    how = how or SelfTraining()
    if len(examples) < 2 * LEAST_IMAGES:
        raise ValueError(
            f"examples must be at least {2 * LEAST_IMAGES} images, got {len(examples)}: a judge learns what repeats"
        )
    if len(shapes := {example.summary.shape for example in examples}) > 1:
        raise ValueError(
            f"examples must have summary tensors of one size, with the same styles, got {sorted(shapes)}: entries of "
            "X_s must mean the same in every image"
        )
    groups = (examples, examples[0::2], examples[1::2])
    kept = [[example.agreed for example in group] for group in groups]
    if not all(_both_sides(*item) for item in zip(groups, kept)):
        raise ValueError(
            "the rules must agree on pixels of both sides, in either half of the images, got pixels of one side only"
        )
    judges: list[StyleJudge] = []
    agreement: list[float] = []
    with tqdm(total=how.rounds * len(groups), desc="judges", unit="fit", disable=not progress) as bar:
        for number in range(how.rounds):
            fits, sure = [], []
            for group, pixels in zip(groups, kept):
                judge, found = _fit_once(group, pixels, how, places=how.aligned and number > 0, seed=how.seed + number)
                fits.append(judge)
                sure.append([_sure_pixels(*item, how.sure) for item in zip(found, group)])
                bar.update()
            judges.append(fits[0])
            agreement.append(_agreement(fits[1], fits[2], examples))
            if number and agreement[-1] <= agreement[-2]:
                break
            kept = sure
            if not all(_both_sides(*item) for item in zip(groups, kept)):
                break  # the judge is sure of one side only: nothing is left to learn from
    best = int(np.argmax(agreement))
    return Fitted(judges[best], best + 1, tuple(agreement), tuple(judges))


def _both_sides(examples: Sequence[Example], kept: Sequence[np.ndarray]) -> bool:
    """Whether the pixels that are kept, (h, w) bool for each image, hold foreground and background of the rules."""
    sides = [example.one[pixels] for example, pixels in zip(examples, kept)]
    return any(side.any() for side in sides) and not all(side.all() for side in sides)


def _fit_once(
    examples: Sequence[Example], kept: Sequence[np.ndarray], how: SelfTraining, *, places: bool, seed: int
) -> tuple[StyleJudge, list[np.ndarray]]:
    """A judge from the rules' labels of the kept pixels, (h, w) bool for each image, and its log-odds there."""
    rng = np.random.default_rng(seed)
    height, width, _ = examples[0].summary.shape
    of_place = place_features(height, width).reshape(height * width, -1)
    rows, chosen, targets = [], [], []
    for example, pixels in zip(examples, kept):
        where = np.flatnonzero(pixels)
        drawn = rng.choice(where, min(how.fitting.pixels_per_image, len(where)), replace=False)
        rows.append(np.asarray(example.summary.rows(drawn)))
        chosen.append(of_place[drawn])
        targets.append(example.one.ravel()[drawn].astype(np.int64))
    network = fit_network(
        np.concatenate(rows),
        np.concatenate(chosen) if places else None,
        np.concatenate(targets),
        how.fitting,
        seed=seed,
    )
    found = [StyleJudge(network).of_pixels(example.summary) for example in examples]
    judge = StyleJudge(network, location_prior(found) if how.aligned else None, how.segments)
    return judge, [judge.combined(score, example.clusters) for score, example in zip(found, examples)]


def _sure_pixels(found: np.ndarray, example: Example, sure: float) -> np.ndarray:
    """Where the judge, by its log-odds (h, w), and both rules agree and the judge is sure, (h, w) bool."""
    kept: np.ndarray = example.agreed & ((found > 0) == example.one) & (np.abs(found) > sure)
    return kept


def _agreement(one: StyleJudge, other: StyleJudge, examples: Sequence[Example]) -> float:
    """Dataset-level mIoU of the masks of two judges."""
    masks = (
        [judge.before_outline(example.summary, example.clusters) > 0 for judge in (one, other)] for example in examples
    )
    return mean_iou([confusion(*pair) for pair in masks], "dataset")
