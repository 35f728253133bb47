"""Choose how the masks of the judge for faces follow the edges of the query image, and what classes gain by it.

The judge (data_scripts/fit_judge.py) gives log-odds at a low resolution. Where the query image is at hand, its outline
is moved outwards and then, by a guided filter, to the image's edges (stylemixseg/sharpening.py). How far and within
which radius is chosen here, on development faces: the best sum of mIoU with the face parser over all pixels and near
the outline alone, since a filter that serves the one can harm the other. Named parts
(data_scripts/fit_classes.py) follow the edges too; this script measures them without and with edges.

It writes both numbers into stylemixseg/models/weights/faces_judge.json, the record of the judge, whose arrays stay as
they are, and what it measured to book/results/development/edges.json. No evaluation face takes part.

    python data_scripts/choose_edges.py      60 faces; four minutes on two cores
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from stylemixseg._util.paths import atomic_write
from stylemixseg.evaluation.results import RunRecorder
from stylemixseg.experiments.classes import add_classes, class_counts, class_reference
from stylemixseg.experiments.clustermaps import query_latent, seed_name
from stylemixseg.experiments.profile import Profile, load_profile
from stylemixseg.experiments.scoring import TRIMAP_WIDTH
from stylemixseg.experiments.stackcache import cached_stack
from stylemixseg.generators.base import Generator
from stylemixseg.generators.zoo import load_generator
from stylemixseg.joint.classes import class_map, load_clusters
from stylemixseg.joint.judge import JUDGED_AT, WEIGHTS_FILE, StyleJudge, clusters_of, load_judge, moved_outline
from stylemixseg.joint.place import resized
from stylemixseg.metrics import Confusion, bootstrap_interval, confusion, mean_iou, trimap_confusion
from stylemixseg.mixing import query_image
from stylemixseg.segmenter import StyleMixSegmenter, probability_of
from stylemixseg.settings import SegmenterConfig
from stylemixseg.summary import StyleStack

NS = (8, 20)
CHOSEN_WITH = 20  # styles
FACES = range(10300, 10360)  # those of the judge's ladder
OUTLINES = (2, 3, 4, 5, 6)  # px of 512
RADII = (8, 16, 24)  # px of 512
RESULTS = Path("book/results/development/edges.json")


class Face(NamedTuple):
    """X_s for the most styles, the query image (512, 512, 3) uint8 and the parser's labels of `CLASSES`."""

    stack: StyleStack
    image: np.ndarray
    parts: np.ndarray

    @property
    def foreground(self) -> np.ndarray:
        """All that is not background."""
        return self.parts > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    profile = load_profile("full")
    generator = load_generator(profile.generator)
    faces = read_faces(generator, profile)
    judges = {n: load_judge(generator, replace(profile.method, n=n)).without_edges() for n in NS}
    recorder = RunRecorder("edges", profile.name, RESULTS, generator, seed=FACES[0])
    outline, radius = choose(judges[CHOSEN_WITH], faces, recorder)
    drawn = {
        n: replace(judge, outline=outline, edges=radius, outline_alone=judge.outline) for n, judge in judges.items()
    }
    for n, judge in drawn.items():
        before = masks(judges[n], faces, n)
        after = masks(judge, faces, n)
        score(recorder, f"edges.n{n}.without", before, faces)
        score(recorder, f"edges.n{n}.with", after, faces)
        score_classes(recorder, generator, replace(profile.method, n=n), faces, before, after)
    write_choice(outline, radius, drawn)
    print(recorder.write())


def read_faces(generator: Generator, profile: Profile) -> list[Face]:
    """The faces, their style mixes from the cache or made now."""
    segmenter = StyleMixSegmenter(generator, replace(profile.method, n=max(NS), resolution=JUDGED_AT))
    found = []
    for seed in tqdm(FACES, desc="faces", unit="face"):
        w0 = query_latent(generator, profile, seed)
        images = cached_stack(generator, w0, segmenter.styles, segmenter.plan)
        stack = StyleStack(np.moveaxis(np.array(images), 3, 1), profile.method.color_space)
        image = query_image(generator, w0, profile.method.resolution)
        found.append(Face(stack, image, class_reference(generator, profile, seed, image)))
    return found


def masks(judge: StyleJudge, faces: Sequence[Face], n: int) -> list[np.ndarray]:
    """Masks of the judge at the size of the reference."""
    found = []
    for face in faces:
        probability = probability_of(judge, judge.score(face.stack.first(n)), face.image)
        found.append(resized(probability, face.parts.shape) > 0.5)
    return found


def choose(judge: StyleJudge, faces: Sequence[Face], recorder: RunRecorder) -> tuple[float, float]:
    """How far the outline moves and within which radius it then follows edges, as shares of the side."""
    n = CHOSEN_WITH
    before = [
        judge.before_outline(face.stack.first(n), clusters_of(face.stack.first(n), judge.segments)) for face in faces
    ]
    found = {}
    for outline, radius in product(OUTLINES, RADII):
        along = replace(judge, outline=outline / 512, edges=radius / 512)
        drawn = [
            probability_of(along, moved_outline(score, along.outline), face.image) > 0.5
            for score, face in zip(before, faces, strict=True)
        ]
        found[outline, radius] = score(recorder, f"edges.n{n}.outline{outline}.radius{radius}", drawn, faces)
    outline, radius = max(found, key=lambda choice: round(found[choice], 3))
    recorder.add("edges.outline", outline / 512, note="share of the side")
    recorder.add("edges.radius", radius / 512, note="share of the side")
    return outline / 512, radius / 512


def score(recorder: RunRecorder, prefix: str, found: Sequence[np.ndarray], faces: Sequence[Face]) -> float:
    """Record IoUs and the trimap's mIoU of masks; gives the sum of both mIoUs."""
    scored = [confusion(mask, face.foreground) for mask, face in zip(found, faces, strict=True)]
    near: list[Confusion] = [
        trimap_confusion(mask, face.foreground, TRIMAP_WIDTH) for mask, face in zip(found, faces, strict=True)
    ]
    recorder.add_ious(prefix, scored, average="dataset", images=[seed_name(seed) for seed in FACES])
    interval = bootstrap_interval(near, "miou", "dataset")
    recorder.add(f"{prefix}.trimap.miou", mean_iou(near, "dataset"), n=len(near), interval=interval)
    miou, near_miou = mean_iou(scored, "dataset"), mean_iou(near, "dataset")
    print(f"{prefix}: mIoU {miou:.4f}, trimap {near_miou:.4f}")
    return miou + near_miou


def score_classes(
    recorder: RunRecorder,
    generator: Generator,
    config: SegmenterConfig,
    faces: Sequence[Face],
    before: Sequence[np.ndarray],
    after: Sequence[np.ndarray],
) -> None:
    """Record the IoU of every class without and with edges."""
    shared = load_clusters(generator, config)
    names = [seed_name(seed) for seed in FACES]
    for name, found in (("without", before), ("with", after)):
        counts = []
        for mask, face in zip(found, faces, strict=True):
            image = face.image if name == "with" else None
            labels = class_map(*shared, face.stack.first(config.n), mask, image)
            counts.append(class_counts(labels, face.parts))
        mean = add_classes(recorder, f"edges.n{config.n}.classes.{name}", counts, names)
        print(f"n = {config.n}, classes {name} edges: mean IoU {mean:.4f}")


def write_choice(outline: float, radius: float, judges: dict[int, StyleJudge]) -> None:
    """Put the choice into the record of the judge's file, whose arrays and hash stay as they are."""
    path = WEIGHTS_FILE.with_suffix(".json")
    about = json.loads(path.read_text(encoding="utf-8"))
    for n, judge in judges.items():
        about["fits"][str(n)] |= {"outline": outline, "edges": radius, "outline_alone": judge.outline_alone}
    about["outline_chosen_by"] = "data_scripts/choose_edges.py"
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
