"""Table 1, the CelebAMask-HQ column, row "Ours": masks of real photos against masks drawn by people.

Each photo is inverted in several ways and segmented on each inverted code with the settings of the synthetic faces. Its
masks are compared with the human one in the photo's own pixels: those of the paper's rules, and that of the judge that
was fitted over many synthetic images. What an inversion loses is measured beside it. One small file per photo and
inversion is kept in the cache folder, so an interrupted run goes on where it was.
"""

from __future__ import annotations

import csv
import hashlib
import io
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from stylemixseg._util.keys import cache_key
from stylemixseg._util.paths import atomic_write, sha256_file, write_cached
from stylemixseg.data.celebamask import MaskedPhotos, read_celebamask, validation_names
from stylemixseg.evaluation.imagescores import ImageScores
from stylemixseg.experiments.kept import kept_folder
from stylemixseg.experiments.profile import Profile
from stylemixseg.experiments.recording import recorder_of
from stylemixseg.experiments.registry import experiment
from stylemixseg.experiments.scoring import RULES, TRIMAP_WIDTH, oracle_mask, rule_mask, second_reference
from stylemixseg.foreground import Saliency
from stylemixseg.generators.base import Generator, seeded_z
from stylemixseg.generators.mobilestylegan import MobileStyleGAN
from stylemixseg.generators.stylegan2.network import StyleGAN2
from stylemixseg.generators.zoo import load_generator, with_engine
from stylemixseg.inversion import encoder
from stylemixseg.inversion.encoder import REFINEMENTS
from stylemixseg.inversion.projector import ProjectorConfig
from stylemixseg.inversion.quality import inversion_quality
from stylemixseg.inversion.ways import inverters
from stylemixseg.joint.base import soft_mask
from stylemixseg.joint.judge import fitted_judge
from stylemixseg.metrics import Confusion, confusion, trimap_confusion
from stylemixseg.mixing import query_image, to_generator_range
from stylemixseg.models.references import DeepLabPerson, FaceParser
from stylemixseg.photos.graphcut import graph_cut
from stylemixseg.segmenter import StyleMixSegmenter
from stylemixseg.settings import JUDGE_STYLES
from stylemixseg.sharpening import resized_soft, sharpen
from stylemixseg.summary import StyleStack, StyleSummary

PHOTOS_AGAIN = 2  # in a spot check


@dataclass(frozen=True, eq=False)
class EvaluationPhoto:
    """A photo (s, s, 3) uint8 in the generator's frame, and what is known to be foreground in it, (s, s) bool."""

    name: str
    pixels: np.ndarray
    foreground: np.ndarray


@dataclass(frozen=True, eq=False)
class PhotoResult:
    """What one inversion of one photo gave.

    Attributes:
        ws: the inverted code (1, num_ws, w_dim).
        labels: cluster map (h, h) uint8 at the profile's resolution.
        probability: the judge's, (h', w') float32 as `StyleJudge.score`; None where none was fitted for the generator.
        numbers: psnr (dB, at 256 px), feature_distance, agreement (mIoU of the face parser's masks on photo and
            reconstruction), parser_on_reconstruction (mIoU of the parser's mask on the reconstruction against the
            known one), and the seconds of inversion and of segmentation.
    """

    ws: torch.Tensor
    labels: np.ndarray
    probability: np.ndarray | None
    numbers: dict[str, float]


def evaluation_photos(profile: Profile, generator: Generator) -> list[EvaluationPhoto]:
    """The profile's photos: the first so many validation photos of CelebAMask-HQ, in the order of their file names.

    In the toy profile, samples of its generator, which draws noise: what counts as foreground is a disc in the middle,
    and scores say nothing but that the code runs.

    Raises:
        FileNotFoundError: the photos are not on this machine.
    """
    if profile.prefix == "toy.":
        return list(_own_samples(profile, generator))
    photos = read_celebamask()
    return [_masked(photos, name) for name in validation_names(photos)[: profile.photos.count]]


def _masked(photos: MaskedPhotos, name: str) -> EvaluationPhoto:
    pixels, labels = photos[name]
    return EvaluationPhoto(name, pixels, labels != 0)


def _own_samples(profile: Profile, generator: Generator) -> Iterator[EvaluationPhoto]:
    y, x = np.mgrid[-1 : 1 : generator.resolution * 1j, -1 : 1 : generator.resolution * 1j]
    for seed in range(profile.photos.count):
        ws = generator.mapping(seeded_z(seed, generator.z_dim), profile.queries.truncation)
        yield EvaluationPhoto(f"seed{seed}", query_image(generator, ws), x**2 + y**2 < 0.5)


def photo_segmenter(generator: Generator, profile: Profile) -> StyleMixSegmenter:
    """The method with the profile's settings, the same as for synthetic images."""
    side = profile.photos.resolution
    config = replace(profile.method, resolution=side and min(side, generator.resolution))
    return StyleMixSegmenter(generator, config)


class PhotoRun:
    """The inversions and segmentations of a profile's photos; each is made once and kept on disk.

    Args:
        names: only these of the profile's photos; None: all.

    Attributes:
        generator: the profile's `photo_generator` in PyTorch. segmenter: the method, on the fastest engine.
        judge: that of the generator for `JUDGE_STYLES` styles, or for as many as the profile has; None: there is none.
        inverters: {name of `kinds.INVERSIONS`: inverter}, those that this generator has.
    """

    def __init__(self, profile: Profile, names: Sequence[str] | None = None):
        self.profile = profile
        self._names = names
        generator = load_generator(profile.photos.generator, engine="torch")
        if not isinstance(generator, MobileStyleGAN | StyleGAN2):
            raise ValueError(f"photos.generator must be a learnt one, with gradients, got {generator.name}")
        self.generator = generator
        self.inverters = inverters(self.generator, profile.photos.projector_steps, profile.photos.refine_steps)
        self.segmenter = photo_segmenter(with_engine(self.generator, "auto", "cpu"), profile)
        config = self.segmenter.config
        self.judge_styles = min(JUDGE_STYLES, config.n)
        judge = fitted_judge(self.segmenter.generator, replace(config, n=self.judge_styles))
        self.judge = judge and judge.without_edges()  # the edges of a reconstruction are not the photo's
        self._parser = FaceParser.load()
        depends = {
            "generator": self.generator.digest,
            "segmenter": [replace(config, rule=Saliency()).cache_key(), cache_key(self.judge)],
            "steps": [profile.photos.projector_steps, profile.photos.refine_steps, REFINEMENTS],
            "projector": ProjectorConfig().describe(),
            "encoder": sha256_file(encoder.WEIGHTS_FILE) if "encoder" in self.inverters else None,
            "parser": self._parser.digest,
        }
        self._key = f"{self.generator.name}-{cache_key(depends)}"

    def photos(self) -> list[EvaluationPhoto]:
        """As `evaluation_photos`, those that this run is about."""
        found = evaluation_photos(self.profile, self.segmenter.generator)
        return [photo for photo in found if self._names is None or photo.name in self._names]

    def result(self, photo: EvaluationPhoto, inversion: str) -> PhotoResult:
        """One photo inverted in one way and segmented, from disk or made now."""
        content = hashlib.sha256(photo.pixels.tobytes() + photo.foreground.tobytes()).hexdigest()[:8]
        path = kept_folder("photos") / self._key / f"{photo.name}-{content}-{inversion}.npz"
        try:
            with np.load(path, allow_pickle=False) as file:
                probability = file["probability"] if "probability" in file.files else None
                numbers = {name: float(file[name]) for name in NUMBERS}
                return PhotoResult(torch.from_numpy(file["ws"]), file["labels"], probability, numbers)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            pass  # not there yet, or damaged
        made = self._make(photo, inversion)
        arrays: dict[str, Any] = {"ws": made.ws.numpy(), "labels": made.labels, **made.numbers}
        if made.probability is not None:
            arrays["probability"] = made.probability
        write_cached(path, lambda temporary: np.savez_compressed(temporary, **arrays))
        return made

    def _make(self, photo: EvaluationPhoto, inversion: str) -> PhotoResult:
        given = to_generator_range(photo.pixels)
        inverted = self.inverters[inversion](given)
        started = time.perf_counter()
        summary = self.segmenter.summary(inverted.ws)
        found = self.segmenter.from_summary(inverted.ws, summary)
        seconds = time.perf_counter() - started
        shown = to_generator_range(found.image)
        quality = inversion_quality(given, shown, self._parser)[0]
        on_shown = self._parser.foreground(shown)[0].numpy()
        numbers = {
            "psnr": quality.psnr_256,
            "feature_distance": quality.feature_distance,
            "agreement": quality.foreground.miou,
            "parser_on_reconstruction": confusion(
                resized_soft(on_shown, len(photo.pixels)) > 0.5, photo.foreground
            ).miou,
            "inversion_seconds": inverted.seconds,
            "segmentation_seconds": seconds,
        }
        return PhotoResult(inverted.ws, found.kmeans.labels.astype(np.uint8), self.probability(summary), numbers)

    def probability(self, summary: StyleSummary) -> np.ndarray | None:
        """The judge's probability of foreground (h', w') float32, from the first styles; None without a judge."""
        if self.judge is None:
            return None
        assert isinstance(summary, StyleStack)  # a profile computes on the CPU
        return soft_mask(self.judge.score(summary.first(self.judge_styles)))


NUMBERS = {  # of a `PhotoResult`: what they are, in words for the reader
    "psnr": "PSNR of the reconstruction in dB, at 256 px",
    "feature_distance": "feature distance (face parser's encoder), LPIPS in form",
    "agreement": "the face parser's masks on photo and reconstruction, mIoU with each other",
    "parser_on_reconstruction": "the face parser's mask on the reconstruction against the human mask, mIoU",
    "inversion_seconds": "seconds of inversion",
    "segmentation_seconds": "seconds of segmentation",
}


def masks(photo: EvaluationPhoto, result: PhotoResult, k: int) -> dict[str, np.ndarray]:
    """The masks (s, s) bool that one inversion leads to, by what makes them.

    "saliency" and "corner_minority" are the paper's rules, "oracle" knows the answer; each again sharpened with the
    photo's pixels ("saliency_sharp", by the guided filter), and redrawn on them ("saliency_cut", by GrabCut, where
    OpenCV is installed). "judge" is ours.
    """
    labels, side = result.labels, len(photo.pixels)
    known = resized_soft(photo.foreground, len(labels)) > 0.5
    soft = {name: rule_mask(labels, k, rule) for name, rule in RULES.items()}
    soft["oracle"] = oracle_mask(labels, k, known)
    if result.probability is not None:
        soft["judge"] = result.probability
    found = {}
    for name, mask in soft.items():
        inside = resized_soft(mask, side)
        found[name] = inside > 0.5
        found[f"{name}_sharp"] = sharpen(inside, photo.pixels) > 0.5
        if find_spec("cv2"):
            found[f"{name}_cut"] = graph_cut(inside, photo.pixels) > 0.5
    return found


def score_masks(photo: EvaluationPhoto, result: PhotoResult, k: int) -> dict[str, Confusion]:
    """How each of `masks` agrees with what is known of the photo, and as "<name>.trimap" near its outline alone."""
    found = masks(photo, result, k)
    near = {f"{name}.trimap": trimap_confusion(mask, photo.foreground, TRIMAP_WIDTH) for name, mask in found.items()}
    return {name: confusion(mask, photo.foreground) for name, mask in found.items()} | near


def measure_photos(run: PhotoRun, results: Path, *, ceilings: bool = True) -> Path:
    """Measure all inversions on a run's photos, and write two files.

    `<results>/<profile>/table1_photos.json` has the means, `table1_photos.csv` beside it a row for every photo.

    Args:
        run: which photos, and the inversions.
        results: the folder of all results.
        ceilings: score the supervised networks on the same photos too: the face parser, and DeepLabV3 where it is.

    Returns:
        The path of the JSON file.

    Raises:
        FileNotFoundError: the photos are not on this machine.
    """
    profile = run.profile
    photos = run.photos()
    recorder = recorder_of("table1_photos", profile, results, run.generator, seed=profile.method.style_seed)
    prefix = f"{profile.prefix}table1.celeba"
    config = run.segmenter.config
    setting = f"c = {config.cutoff}, k = {config.k}, {config.color_space.upper()}, n = {{}}"
    rows: list[dict] = []
    names = [photo.name for photo in photos]
    jobs = [(inversion, photo) for inversion in run.inverters for photo in photos]
    found = {
        (inversion, photo): run.result(photo, inversion)
        for inversion, photo in tqdm(jobs, desc="photos", unit="inversion")
    }
    for inversion in run.inverters:
        scores: dict[str, list[Confusion]] = {}
        for photo in photos:
            result = found[inversion, photo]
            of_photo = score_masks(photo, result, config.k)
            for name, item in of_photo.items():
                scores.setdefault(name, []).append(item)
            rows.append(
                {"photo": photo.name, "inversion": inversion, **result.numbers}
                | {
                    f"{name}.{iou}": getattr(item, iou)
                    for name, item in of_photo.items()
                    for iou in ("fg_iou", "bg_iou", "miou")
                }
            )
        for name, confusions in scores.items():
            note = setting.format(run.judge_styles if name.startswith("judge") else config.n)
            if name.endswith(".trimap"):
                of_mask = f"{prefix}.{inversion}.{name}"
                recorder.add_ious(of_mask, confusions, average="dataset", images=names, note=note)
            else:
                recorder.add_both(f"{prefix}.{inversion}.{name}", confusions, names, note)
        for name, words in NUMBERS.items():
            values = [[found[inversion, photo].numbers[name]] for photo in photos]
            recorder.add_mean(f"{prefix}.{inversion}.{name}", values, images=names, note=words)
    if ceilings:
        for name, network in _supervised(profile).items():
            confusions = [
                confusion(network.foreground(to_generator_range(photo.pixels))[0].numpy(), photo.foreground)
                for photo in photos
            ]
            recorder.add_both(f"{prefix}.{name}", confusions, names)
    _write_rows(recorder.out_path.with_suffix(".csv"), rows)
    return recorder.write()


def _supervised(profile: Profile) -> dict[str, FaceParser | DeepLabPerson]:
    """The networks trained on human masks: what supervision reaches on the same photos."""
    networks: dict[str, FaceParser | DeepLabPerson] = {"face_parser": FaceParser.load()}
    if "deeplab" in (profile.reference, second_reference(profile)):
        networks["deeplab"] = DeepLabPerson()
    return networks


def _write_rows(path: Path, rows: Sequence[Mapping]) -> None:
    """Every photo and inversion, one row each."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: f"{value:.5f}" if isinstance(value, float) else value for name, value in row.items()})
    with atomic_write(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def _again(profile: Profile, scores: Mapping[str, ImageScores], draw: Random, out: Path) -> None:
    prefix = f"{profile.prefix}table1.celeba."
    pairs = {(name.removeprefix(prefix).split(".")[0], image) for name, item in scores.items() for image in item.images}
    run = PhotoRun(profile)
    ways = dict(run.inverters)
    chosen = sorted(pair for pair in pairs if pair[0] in ways)  # the others are ceilings, which invert nothing
    for number, (inversion, name) in enumerate(draw.sample(chosen, min(PHOTOS_AGAIN, len(chosen)))):
        run = PhotoRun(profile, names=[name])
        run.inverters = {inversion: ways[inversion]}
        measure_photos(run, out / str(number), ceilings=False)


@experiment(
    "table1_photos",
    "masks of real photos against masks drawn by people (Table 1, CelebAMask-HQ column, our row)",
    measured_by=score_masks,
    again=_again,
)
def run_photos(profile: Profile, results: Path, generator: Generator | None = None) -> Path:
    """Invert, segment and score the profile's photos, as `measure_photos`; the photos have a generator of their own."""
    return measure_photos(PhotoRun(profile), Path(results))
