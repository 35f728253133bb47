"""One sample: the image of a seed, its masks and what is known of them, as the bytes of one file."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from stylemixseg._util.outputs import PNG_LEVEL
from stylemixseg._util.threads import one_thread
from stylemixseg.factory.recipe import IGNORE, Recipe
from stylemixseg.foreground import CornerMinority, EmptyMaskWarning, FullMaskWarning, Saliency, apply_rule
from stylemixseg.generators.base import KnowsTheTruth, LimitsThreads, seeded_latent
from stylemixseg.joint.classes import DIVIDED, FEATURES_FILE, class_map, finer_map, load_clusters
from stylemixseg.metrics import confusion
from stylemixseg.objects.detection.filtering import NoDetectionWarning
from stylemixseg.objects.segmenter import ObjectSegmentation
from stylemixseg.segmenter import Segmentation, StyleMixSegmenter, enlarge

RECORD = "sample.json"
MEASURES = {  # of a record, in words; sets of objects have the first alone
    "mask_share": "share of the image that is foreground",
    "rule_agreement": "agreement (mIoU) of the masks of the paper's two rules, saliency and corner minority",
    "confidence": "confidence of a pixel's side, 0.5 to 1",
    "ignored_share": "share of pixels to be ignored",
}
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first date of a ZIP file: equal contents are to give equal bytes
_QUIET = (EmptyMaskWarning, FullMaskWarning, NoDetectionWarning)  # one sample's; the record has it as a number


@dataclass(frozen=True, eq=False)
class Sample:
    """A sample as it is kept.

    Attributes:
        record: seed, truncation and what was measured, plain values.
        files: PNG files by name: "image.png" (RGB), "mask.png" (8 bits, labels, 255 where not sure); of whole images
            "soft.png" (8 bits, confidence of foreground times 255), with a judge "rule.png" (8 bits, 255 where the
            paper's rule says foreground), of objects "instance.png" (16 bits, 0 where no object is).
    """

    record: dict[str, Any]
    files: dict[str, bytes]

    @property
    def seed(self) -> int:
        """Of the query's latent."""
        seed: int = self.record["seed"]
        return seed

    def pixels(self, name: str) -> np.ndarray:
        """One of its PNG files as an array."""
        return np.asarray(Image.open(io.BytesIO(self.files[name])))

    def to_bytes(self) -> bytes:
        """A ZIP file without compression. Its CRC-32 sums tell a damaged file; no date and no system is in it."""
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for name, data in {**self.files, RECORD: json.dumps(self.record).encode()}.items():
                info = zipfile.ZipInfo(name, _EPOCH)
                info.create_system = 3  # Unix, wherever it is written
                archive.writestr(info, data)
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Sample:
        """Read what `to_bytes` wrote.

        Raises:
            ValueError: damaged, or no such file.
        """
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                files = {name: archive.read(name) for name in archive.namelist()}  # checks the sums
            record = json.loads(files.pop(RECORD))
            if not isinstance(record, dict) or "image.png" not in files or "mask.png" not in files:
                raise ValueError("an image, a mask or the record is missing")
        except (zipfile.BadZipFile, KeyError, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
            raise ValueError(f"not a whole sample: {error}") from error
        return cls(record, files)


class SampleMaker:
    """Makes the sample of any seed; the generator is loaded once.

    Every sum is computed on one thread, so a sample's bytes do not depend on the number of cores or workers.

    Args:
        recipe: how samples are made.
        images_at_once: style mixes in the making at the same time, each on one thread, where the engine can.

    Raises:
        ValueError: a recipe that does not fit its generator.
        FileNotFoundError: no checkpoint at the recipe's path.

    Example:
        >>> from stylemixseg.factory.recipe import Recipe
        >>> from stylemixseg.foreground import CornerMinority
        >>> from stylemixseg.settings import SegmenterConfig
        >>> recipe = Recipe("toy-portrait", SegmenterConfig(n=8, k=3, rule=CornerMinority()), size=64)
        >>> sample = SampleMaker(recipe)(7)
        >>> sample.pixels("image.png").shape, sample.pixels("mask.png").shape, sample.seed
        ((64, 64, 3), (64, 64), 7)
    """

    def __init__(self, recipe: Recipe, images_at_once: int = 1):
        self.recipe = recipe
        with one_thread():  # what is computed once, such as the styles, must not depend on the cores either
            self.generator = recipe.load()
            if isinstance(self.generator, LimitsThreads):
                self.generator.one_thread_per_image(images_at_once)
            self.side = recipe.side(self.generator)
            self.segmenter = None if recipe.objects else StyleMixSegmenter(self.generator, recipe.config)
            self.clusters = load_clusters(self.generator, recipe.config)[0] if recipe.classes else None
            self.features = None
            if recipe.features:
                self.features = load_clusters(self.generator, recipe.config, FEATURES_FILE)[0]
            # The toy world's detector is made anew for every image, since it knows that image's boxes.
            self.finder = None
            if recipe.objects and not isinstance(self.generator, KnowsTheTruth):
                self.finder = recipe.objects.segmenter(self.generator, recipe.config, str(recipe.config.device))

    def __call__(self, seed: int) -> Sample:
        """The sample of a seed, 0..2^32 - 1.

        Raises:
            TypeError: a seed that is no whole number.
            ValueError: a seed out of range.
        """
        with one_thread(), warnings.catch_warnings():
            for category in _QUIET:
                warnings.simplefilter("ignore", category)
            ws = seeded_latent(self.generator, seed, self.recipe.truncation)
            made = self._foreground(ws) if self.segmenter else self._objects(ws)
        record, pictures = made
        head = {"seed": seed, "truncation": self.recipe.truncation}
        return Sample({**head, **record}, {name: _png(picture) for name, picture in pictures.items()})

    def _foreground(self, ws: Tensor) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        assert self.segmenter is not None
        summary = self.segmenter.summary(ws)
        found = self.segmenter.from_summary(ws, summary)
        image, sure = _smaller(found.image, self.side), _averaged(found.confidence, self.side)
        mask = found.mask if len(found.mask) == self.side else sure > 0.5
        labels = mask.astype(np.uint8)
        if self.clusters is not None:
            assert self.recipe.classes is not None
            labels = class_map(self.clusters, self.recipe.classes, summary, mask, image)
            if self.features is not None:
                assert self.recipe.features is not None
                features = self.features, self.recipe.features
                labels, _ = finer_map(labels, self.recipe.classes, DIVIDED, *features, summary)
        labels[np.abs(sure - 0.5) < self.recipe.ignore] = IGNORE
        record = {
            "mask_share": float(mask.mean()),
            "rule_agreement": rule_agreement(found),
            "confidence": float(np.maximum(sure, 1 - sure).mean()),
            "ignored_share": float((labels == IGNORE).mean()),
        }
        soft = np.rint(sure * np.float32(255)).astype(np.uint8)
        pictures = {"image.png": image, "mask.png": labels, "soft.png": soft}
        if (
            found.config.judge is not None
        ):  # what the paper's own masks are worth, one can then find out on the same set
            by_rule = enlarge(found.foreground[found.kmeans.labels].astype(np.float32), len(found.image))
            pictures["rule.png"] = np.where(_averaged(by_rule, self.side) > 0.5, 255, 0).astype(np.uint8)
        return record, pictures

    def _objects(self, ws: Tensor) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        asked, config = self.recipe.objects, self.recipe.config
        assert asked is not None
        finder = self.finder or asked.segmenter(self.generator, config, str(config.device), ws)
        found = finder(ws, asked.phrases)
        middle = slice(len(found.instance) // self.side // 2, None, len(found.instance) // self.side)
        semantic, instance = found.semantic[middle, middle], found.instance[middle, middle]
        record = {"mask_share": float((semantic > 0).mean()), "objects": _visible_objects(found, instance)}
        pictures = {
            "image.png": _smaller(found.image, self.side),
            "mask.png": semantic.astype(np.uint8),
            "instance.png": instance.astype(np.uint16),
        }
        return record, pictures


def rule_agreement(found: Segmentation) -> float:
    """MIoU in 0..1 of the masks that the paper's two rules, saliency and corner minority, make of the same clusters."""
    labels, k = found.kmeans.labels, found.config.k
    saliency, corner = (apply_rule(labels, k, rule)[labels] for rule in (Saliency(), CornerMinority()))
    return confusion(saliency, corner).miou


def _visible_objects(found: ObjectSegmentation, instance: np.ndarray) -> list[dict[str, Any]]:
    """Number, phrase, score and tight box (x, y, width, height) of every object of which a pixel is seen."""
    listed = []
    for item in found.objects:
        rows, columns = np.nonzero(instance == item.number)
        if len(rows):
            left, top = int(columns.min()), int(rows.min())
            listed.append(
                {
                    "number": item.number,
                    "phrase": item.detection.label,
                    "score": item.detection.score,
                    "bbox": [left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1],
                }
            )
    return listed


def _averaged(values: np.ndarray, side: int) -> np.ndarray:
    """Means (side, side) float32 over whole squares of a map (h, h) float32."""
    factor = len(values) // side
    means: np.ndarray = values.reshape(side, factor, side, factor).mean((1, 3), dtype=np.float32)
    return means


def _smaller(image: np.ndarray, side: int) -> np.ndarray:
    """An image (h, h, 3) uint8 as (side, side, 3), every pixel the mean of a whole square."""
    factor = len(image) // side
    return image if factor == 1 else np.asarray(Image.fromarray(image).reduce(factor))


def _png(picture: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG", compress_level=PNG_LEVEL)
    return stream.getvalue()
