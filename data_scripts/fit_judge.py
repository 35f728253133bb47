"""Fit the judge of pixels for faces from synthetic faces alone, and measure what each of its ingredients buys.

It is written to stylemixseg/models/weights/faces_judge.safetensors, its provenance beside it as .json. The ladder from
the paper's rule to the judge goes to book/results/development/judge.json; it is measured on development faces on which
nothing was fitted. No evaluation face takes part.

Afterwards data_scripts/choose_edges.py chooses how the masks follow the edges of the query image.

No label takes part in the fit either: the paper's two rules segment the faces, and the judge learns what repeats
(stylemixseg/joint/selftraining.py). Two things rest on a reference, the face parser: how far the outline moves is
chosen on the faces of the ladder, and the settings of the rules were chosen before (data_scripts/choose_rules.py).

    python data_scripts/fit_judge.py            150 faces to fit on, 60 for the ladder; an hour on two cores, most of it
                                                for style mixes, which are kept in the cache folder: stop it, and it
                                                goes on
    python data_scripts/fit_judge.py --add 4    a judge for one more number of styles. The others in the file stay as
                                                they are, and the new one takes over their outline. Its ladder goes to
                                                judge_n4.json. Run it after choose_edges.py, and again after every fit
                                                without --add, because that writes a file of n = 8 and 20 alone
"""

from __future__ import annotations

import argparse
import datetime
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stylemixseg.evaluation.results import RunRecorder
from stylemixseg.experiments.clustermaps import query_latent, seed_name
from stylemixseg.experiments.profile import Profile, load_profile
from stylemixseg.experiments.scoring import RULES, TRIMAP_WIDTH, reference_masks, rule_mask
from stylemixseg.experiments.stackcache import cached_stack
from stylemixseg.generators.base import Generator
from stylemixseg.generators.zoo import load_generator
from stylemixseg.joint.base import PixelJudge
from stylemixseg.joint.discriminant import DiscriminantFit
from stylemixseg.joint.judge import WEIGHTS_FILE, StyleJudge, clusters_of, load_judge, moved_outline, save_judges
from stylemixseg.joint.place import resized
from stylemixseg.joint.selftraining import Example, Fitted, SelfTraining, fit_judge
from stylemixseg.metrics import Confusion, bootstrap_interval, confusion, mean_iou, paired_difference, trimap_confusion
from stylemixseg.mixing import query_image
from stylemixseg.segmenter import StyleMixSegmenter, enlarge
from stylemixseg.summary import StyleStack

SIDE = 128  # px: a judge looks at single pixels, and small images hold as many kinds of them
KEPT_SIDE = 256  # px, of the style mixes on disk
NS = (8, 20)  # with more styles a judge is no better
FITTED_ON = ((10000, 100, 0.7), (10200, 50, 0.85))  # first seed, how many, truncation of the queries
LADDER_ON = (10300, 60)
OUTLINES = (0, 1, 2, 3, 4, 5, 6)  # px of 512
RESULTS = Path("book/results/development/judge.json")


class Faces:
    """The style mixes of faces, small, from the cache or made now."""

    def __init__(self, generator: Generator, profile: Profile, n: int = max(NS)):
        self._generator, self._profile = generator, profile
        self.segmenter = StyleMixSegmenter(generator, replace(profile.method, n=n, resolution=KEPT_SIDE))

    def stack(self, seed: int, truncation: float) -> StyleStack:
        """X_s of one face at 128 px, with the most styles."""
        w0 = query_latent(self._generator, self._profile.changed(queries={"truncation": truncation}), seed)
        images = cached_stack(self._generator, w0, self.segmenter.styles, self.segmenter.plan)
        step = KEPT_SIDE // SIDE
        means = images.reshape(len(images), SIDE, step, SIDE, step, 3).mean((2, 4))
        return StyleStack(np.moveaxis(means.round().astype(np.uint8), 3, 1), self._profile.method.color_space)


class Ladder:
    """The faces on which every rung is scored, and the scores."""

    def __init__(self, generator: Generator, profile: Profile, stacks: list[StyleStack]):
        first, count = LADDER_ON
        self.seeds = range(first, first + count)
        self.stacks = stacks
        latents = [query_latent(generator, profile, seed) for seed in self.seeds]
        maps = [{"image": query_image(generator, w0, profile.method.resolution)} for w0 in latents]
        self.truths = reference_masks(profile.reference, generator, profile, self.seeds, maps)

    def of(self, judge: PixelJudge, n: int) -> list[np.ndarray]:
        """Log-odds (512, 512) of every face."""
        return [resized(judge.score(stack.first(n)), truth.shape) for stack, truth in zip(self.stacks, self.truths)]

    def scored(self, masks: list[np.ndarray]) -> list[Confusion]:
        return [confusion(mask, truth) for mask, truth in zip(masks, self.truths, strict=True)]

    def trimaps(self, masks: list[np.ndarray]) -> list[Confusion]:
        return [trimap_confusion(mask, truth, TRIMAP_WIDTH) for mask, truth in zip(masks, self.truths, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--add", type=int, metavar="N", help="fit one for N styles only, and keep the others of the file"
    )
    added = parser.parse_args().add
    if added is not None and added < 1:
        parser.error(f"--add must be at least 1, got {added}")
    ns = (added,) if added else NS
    profile = load_profile("full")
    generator = load_generator(profile.generator)
    how = SelfTraining()
    stacks_of = Faces(generator, profile, max(ns))
    faces = [(seed, psi) for first, count, psi in FITTED_ON for seed in range(first, first + count)]
    stacks = [stacks_of.stack(*face) for face in tqdm(faces, desc="faces to fit on", unit="face")]
    first, count = LADDER_ON
    bar = tqdm(range(first, first + count), desc="faces of the ladder", unit="face")
    others = [stacks_of.stack(seed, profile.queries.truncation) for seed in bar]
    ladder = Ladder(generator, profile, others)

    file = RESULTS.with_name(f"judge_n{added}.json") if added else RESULTS
    recorder = RunRecorder("judge", profile.name, file, generator, seed=faces[0][0])
    rules = (RULES["saliency"], RULES["corner_minority"])
    fits: dict[int, Fitted] = {}
    examples: list[Example] = []
    for n in ns:
        bar = tqdm(stacks, desc=f"the paper's rules, n = {n}", unit="face")
        examples = [Example.of(stack.first(n), profile.method.k, how.segments, rules) for stack in bar]
        fits[n] = fit_judge(examples, how, progress=True)
        for number, agreement in enumerate(fits[n].agreement, 1):
            recorder.add(f"judge.n{n}.agreement.round{number}", agreement, n=len(examples), note="of two halves")
        recorder.add(f"judge.n{n}.rounds", fits[n].rounds, note="the round with the greatest agreement")
        climb(ladder, fits[n], examples, n, profile, recorder)
    before: dict[int, StyleJudge] = {}
    chosen: dict[str, str] = {}
    rounds = {n: fitted.rounds for n, fitted in fits.items()}
    if added:
        about = json.loads(WEIGHTS_FILE.with_suffix(".json").read_text(encoding="utf-8"))
        before = {n: load_judge(generator, replace(profile.method, n=n)) for n in about["ns"] if n != added}
        rounds = {int(n): number for n, number in about["fitted_on"]["rounds"].items()} | rounds
        outlines = next(iter(before.values()))
        chosen = {"outline_chosen_by": about["outline_chosen_by"]} if "outline_chosen_by" in about else {}
    else:
        outlines = replace(
            fits[ns[-1]].judge, outline=choose_outline(ladder, fits[ns[-1]].judge, ns[-1], recorder) / 512
        )
    shape = {name: getattr(outlines, name) for name in ("outline", "edges", "outline_alone")}
    judges = {n: replace(fitted.judge, **shape) for n, fitted in fits.items()}
    for n, judge in judges.items():
        judge = judge.without_edges()  # the ladder has no query images
        masks = [score > 0 for score in ladder.of(judge, n)]
        recorder.add_ious(f"judge.n{n}.chosen", ladder.scored(masks), average="dataset", images=names(ladder))
        recorder.add_ious(f"judge.n{n}.chosen.trimap", ladder.trimaps(masks), average="dataset", images=names(ladder))
    record = {
        "fitted_on": {
            "seeds": [[first, first + count - 1] for first, count, _ in FITTED_ON],
            "truncation": [psi for *_, psi in FITTED_ON],
            "side": SIDE,
            "k": profile.method.k,
            "rules": [repr(rule) for rule in rules],
            "self_training": asdict(how),
            "rounds": rounds,
        },
        "made_by": "data_scripts/fit_judge.py",
        "date": datetime.date.today().isoformat(),
        **chosen,
    }
    save_judges(WEIGHTS_FILE, before | judges, generator, stacks_of.segmenter.config, record)
    print(recorder.write())
    print(WEIGHTS_FILE.name)


def names(ladder: Ladder) -> list[str]:
    return [seed_name(seed) for seed in ladder.seeds]


def climb(
    ladder: Ladder, fitted: Fitted, examples: list[Example], n: int, profile: Profile, recorder: RunRecorder
) -> None:
    """Score every rung: what was there before, and one ingredient more."""
    line = DiscriminantFit(3 * n)
    for example in examples:
        line.add(example.summary, example.one, example.other)
    labels = [stack.first(n).cluster(profile.method.k).labels for stack in ladder.stacks]
    rungs = {
        name: [
            enlarge(rule_mask(map_, profile.method.k, rule), len(truth)) for map_, truth in zip(labels, ladder.truths)
        ]
        for name, rule in RULES.items()
    }
    start = fitted.by_round[0]
    judges: dict[str, PixelJudge] = {
        "line": line.solve(),
        "network": StyleJudge(start.network),
        "prior": StyleJudge(start.network, start.prior),
        "clusters": start,
        "rounds": fitted.judge,
    }
    before: list[Confusion] | None = None
    for name in [*rungs, *judges]:
        masks = rungs[name] if name in rungs else [score > 0 for score in ladder.of(judges[name], n)]
        scored = ladder.scored(masks)
        prefix = f"judge.n{n}.ladder.{name}"
        recorder.add_ious(prefix, scored, average="dataset", images=names(ladder))
        trimaps = ladder.trimaps(masks)
        interval = bootstrap_interval(trimaps, "miou", "dataset")
        recorder.add(f"{prefix}.trimap.miou", mean_iou(trimaps, "dataset"), n=len(trimaps), interval=interval)
        if before is not None:
            gain, between = paired_difference(scored, before, "miou", "dataset")
            recorder.add(f"{prefix}.gain", gain, n=len(scored), interval=between, note="over the rung before")
        print(f"n = {n}, {name}: mIoU {mean_iou(scored, 'dataset'):.3f}, trimap {mean_iou(trimaps, 'dataset'):.3f}")
        before = scored


def choose_outline(ladder: Ladder, judge: StyleJudge, n: int, recorder: RunRecorder) -> int:
    """The move of the outline, in px of 512, with the best mIoU."""
    before = [
        judge.before_outline(stack.first(n), clusters_of(stack.first(n), judge.segments)) for stack in ladder.stacks
    ]
    found = {}
    for pixels in OUTLINES:
        masks = [
            resized(moved_outline(score, pixels / 512), truth.shape) > 0 for score, truth in zip(before, ladder.truths)
        ]
        scored, trimaps = ladder.scored(masks), ladder.trimaps(masks)
        found[pixels] = mean_iou(scored, "dataset")
        recorder.add_ious(f"judge.n{n}.outline.px{pixels}", scored, average="dataset", images=names(ladder))
        recorder.add(f"judge.n{n}.outline.px{pixels}.trimap.miou", mean_iou(trimaps, "dataset"), n=len(trimaps))
        print(f"outline {pixels} px: mIoU {found[pixels]:.4f}, trimap {mean_iou(trimaps, 'dataset'):.4f}")
    best = max(found, key=lambda pixels: round(found[pixels], 3))
    recorder.add("judge.outline", best / 512, note="share of the side")
    return best


if __name__ == "__main__":
    main()
