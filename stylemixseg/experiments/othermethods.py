"""Other methods that segment a generator's images, each fitted when it is first needed, with what it costs.

A method that needs what is not here is left out: people's labels and real photos without CelebAMask-HQ, GrabCut without
OpenCV, and all that read feature maps for a generator without any. Labels4Free is trained on a GPU where PyTorch finds
one, everything else is computed where the generator is. `OTHER_METHODS` of `words` describes them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from stylemixseg._util.keys import cache_key
from stylemixseg.baselines.base import Baseline
from stylemixseg.baselines.datasetgan import Voting, fit_datasetgan
from stylemixseg.baselines.klish import Merging, fit_klish
from stylemixseg.baselines.labels4free import Compositing, fit_labels4free
from stylemixseg.baselines.segmentation_in_style import (
    FeatureClustering,
    SegmentationInStyle,
    fit_segmentation_in_style,
)
from stylemixseg.baselines.yardsticks import SIDE, colour_clusters, grabcut_box, mean_mask, prior_mask
from stylemixseg.data.celebamask import MaskedPhotos, read_celebamask, training_names
from stylemixseg.experiments.classes import CLASSES, OF_PARSER, class_reference
from stylemixseg.experiments.clustermaps import query_latent
from stylemixseg.experiments.costs import Spent, spent
from stylemixseg.experiments.kept import kept_folder
from stylemixseg.experiments.profile import Profile
from stylemixseg.experiments.scoring import RULES, oracle_mask, reference_masks, rule_mask
from stylemixseg.foreground import Saliency
from stylemixseg.generators.base import Generator, GivesFeatures, seeded_latent
from stylemixseg.generators.zoo import load_generator
from stylemixseg.inversion.base import Inverter
from stylemixseg.inversion.ways import inverters
from stylemixseg.mixing import query_image, to_generator_range
from stylemixseg.training import Stopping

# First seeds, of no evaluation, development or comparison image.
LABELLED_FIRST, CLUSTERED_FIRST, COMPOSITED_FIRST = 70_000, 71_000, 80_000

Masks = Callable[[Tensor, np.ndarray, np.ndarray], np.ndarray]  # latent, image, reference -> foreground (h, w) bool
Pair = tuple[Tensor, np.ndarray]  # a latent, and labels of its image


@dataclass(frozen=True)
class Costs:
    """What a method was given, and what fitting it took.

    Attributes:
        labels: images with labels. images: synthetic images without. photos: real ones without.
        parameters: of the networks that it adds to the generator.
        seconds: of fitting. added_bytes: the most memory that fitting held besides; None where that is not known.
    """

    labels: int = 0
    images: int = 0
    photos: int = 0
    parameters: int = 0
    seconds: float = 0.0
    added_bytes: int | None = None


@dataclass(frozen=True)
class OtherMethod:
    """A fitted method: what segments, and its costs."""

    masks: Masks
    costs: Costs


def labelled_examples(profile: Profile, generator: Generator) -> Iterator[Pair]:
    """Latents of synthetic images, and their labels of `CLASSES` by the face parser, (h, h) uint8."""
    for seed in range(LABELLED_FIRST, LABELLED_FIRST + profile.baselines.labelled):
        ws = query_latent(generator, profile, seed)
        yield ws, class_reference(generator, profile, seed, query_image(generator, ws, profile.method.resolution))


def photo_examples(profile: Profile, encoder: Inverter, photos: MaskedPhotos) -> Iterator[Pair]:
    """Latents of training photos, and their labels of `CLASSES` as people drew them, (h, h) uint8."""
    for name in training_names(photos)[: profile.baselines.labelled]:
        image, labels = photos[name]
        yield encoder(to_generator_range(image)).ws, OF_PARSER[labels].astype(np.uint8)


class OtherMethods:
    """The other methods that there are for a generator under a profile.

    Args:
        profile: sizes and settings.
        generator: whose images are segmented.

    Attributes:
        names: of the methods, in the order of the tables.
        left_out: {name: why, in words} of those that cannot run here.
    """

    def __init__(self, profile: Profile, generator: Generator):
        self.profile, self.generator = profile, generator
        section = profile.baselines
        side = min(Voting().side, generator.resolution)
        self.voting = Voting(members=section.members, side=side)
        self.clustering = FeatureClustering(side=side)
        self.merging = Merging(FeatureClustering(k=Merging().clustering.k, side=side))
        published = Compositing()
        # Fewer steps are larger ones, or the network would hardly have moved; more than ten times as large diverge.
        larger = min(10.0, max(1.0, published.steps / section.composite_steps))
        self.compositing = Compositing(
            side=min(section.composite_side, generator.resolution),
            steps=section.composite_steps,
            rate=published.rate * larger,
        )
        self._made: dict[str, OtherMethod] = {}
        reasons = {name: self._lacks(name) for name in self._makers}
        self.names = [name for name, reason in reasons.items() if reason is None]
        self.left_out = {name: reason for name, reason in reasons.items() if reason is not None}

    def method(self, name: str) -> OtherMethod:
        """A method by its name, fitted now unless it is fitted already.

        Raises:
            KeyboardInterrupt: asked to stop in a training; the same call goes on.
        """
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def settings(self, name: str) -> Sequence[object]:
        """What a method's masks depend on, besides the generator and how the images are made."""
        profile, section = self.profile, self.profile.baselines
        given = (section.labelled, profile.reference)
        return {
            "datasetgan": (self.voting, given),
            "datasetgan_people": (self.voting, section.labelled),
            "sis_corners": (self.clustering, section.clustered),
            "sis_labels": (self.clustering, section.clustered, given),
            "klish_corners": (self.merging, section.clustered),
            "klish_labels": (self.merging, section.clustered, given),
            "labels4free": (self.compositing, section.composited),
            "mean_mask": given,
        }.get(name, ())

    @cached_property
    def encoder(self) -> Inverter | None:
        """What inverts photos at once; None for a generator that has no encoder."""
        return inverters(load_generator(self.profile.generator, engine="torch")).get("encoder")

    @cached_property
    def _makers(self) -> dict[str, Callable[[], OtherMethod]]:
        return {
            "datasetgan": lambda: self._datasetgan(self._labelled),
            "datasetgan_people": self._datasetgan_of_people,
            "labels4free": self._labels4free,
            "klish_corners": lambda: self._named(self._klish, with_labels=False),
            "klish_labels": lambda: self._named(self._klish, with_labels=True),
            "sis_corners": lambda: self._named(self._sis, with_labels=False),
            "sis_labels": lambda: self._named(self._sis, with_labels=True),
            "colours": self._colours,
            "colours_oracle": self._colours_oracle,
            "box_cut": lambda: OtherMethod(lambda ws, image, truth: grabcut_box(image), Costs()),
            "prior": self._prior,
            "mean_mask": self._mean_mask,
        }

    def _lacks(self, name: str) -> str | None:
        """Why a method cannot run here, in words; None where it can."""
        if name == "box_cut":
            return None if find_spec("cv2") else "OpenCV is not installed"
        if name in ("colours", "colours_oracle", "prior", "mean_mask"):
            return None
        if not isinstance(self.generator, GivesFeatures):
            return f"{self.generator.name} has no feature maps"
        if self.profile.reference == "truth":
            return "the reference is the truth of a drawn world, which no network draws"
        if name in ("labels4free", "datasetgan_people") and self._photos is None:
            return "CelebAMask-HQ is not on this machine"
        if name == "datasetgan_people" and self.encoder is None:
            return f"no encoder inverts photos for {self.generator.name}"
        return None

    @cached_property
    def _photos(self) -> MaskedPhotos | None:
        try:
            return read_celebamask()
        except FileNotFoundError:
            return None  # the photos' terms forbid that we pass them on

    @cached_property
    def _labelled(self) -> list[Pair]:
        return list(labelled_examples(self.profile, self.generator))

    @cached_property
    def _latents(self) -> list[Tensor]:
        seeds = range(CLUSTERED_FIRST, CLUSTERED_FIRST + self.profile.baselines.clustered)
        return [query_latent(self.generator, self.profile, seed) for seed in seeds]

    def _datasetgan(self, examples: Sequence[Pair]) -> OtherMethod:
        with spent() as took:
            found = fit_datasetgan(self.generator, examples, CLASSES, self.voting, progress=True)
        costs = Costs(labels=len(examples), parameters=found.parameters, **_of(took))
        return OtherMethod(_masks(found), costs)

    def _datasetgan_of_people(self) -> OtherMethod:
        assert self._photos is not None and self.encoder is not None  # `_lacks` has looked
        return self._datasetgan(list(photo_examples(self.profile, self.encoder, self._photos)))

    @cached_property
    def _sis(self) -> tuple[SegmentationInStyle, Spent]:
        with spent() as took:
            found = fit_segmentation_in_style(self.generator, self._latents, self.clustering, progress=True)
        return found, took

    @cached_property
    def _klish(self) -> tuple[SegmentationInStyle, Spent]:
        with spent() as took:
            found = fit_klish(self.generator, self._latents, self.merging, progress=True)
        return found, took

    def _named(self, fitted: tuple[SegmentationInStyle, Spent], *, with_labels: bool) -> OtherMethod:
        """The same clusters, whose background is named with labels or by a rule."""
        clusters, took = copy(fitted[0]), fitted[1]
        with spent() as naming:
            if with_labels:
                clusters.by_labels((ws, labels != 0) for ws, labels in self._labelled)
            else:
                clusters.by_corners(self._latents)
        costs = Costs(
            labels=len(self._labelled) if with_labels else 0,
            images=len(self._latents),
            seconds=took.seconds + naming.seconds,
            added_bytes=took.added_bytes,
        )
        return OtherMethod(_masks(clusters), costs)

    def _labels4free(self) -> OtherMethod:
        assert self._photos is not None  # `_lacks` has looked
        generator, section, photos = self.generator, self.profile.baselines, self._photos
        if torch.cuda.is_available():  # training is all products of matrices; the masks stay on that device too
            generator = load_generator(self.profile.generator, device="cuda", engine="torch")
        seeds = range(COMPOSITED_FIRST, COMPOSITED_FIRST + section.composited)
        latents = [seeded_latent(generator, seed, 1.0) for seed in seeds]
        names = training_names(photos)
        key = cache_key((self.settings("labels4free"), generator.digest))
        state = kept_folder("baselines") / f"labels4free-{generator.name}-{key}.pt"
        pictures = (photos[name][0] for name in names)
        with spent() as took, Stopping() as stop:
            found = fit_labels4free(generator, latents, pictures, self.compositing, state, stop)
        if found is None:
            raise KeyboardInterrupt
        costs = Costs(
            images=len(latents),
            photos=len(names),
            parameters=found.parameters + found.discriminator_parameters,
            seconds=found.seconds,
            added_bytes=took.added_bytes,
        )
        return OtherMethod(_masks(found), costs)

    def _colours(self) -> OtherMethod:
        k = self.profile.method.k
        return OtherMethod(
            lambda ws, image, truth: rule_mask(colour_clusters(image, k).labels, k, RULES["saliency"]), Costs()
        )

    def _colours_oracle(self) -> OtherMethod:
        k = self.profile.method.k
        return OtherMethod(lambda ws, image, truth: oracle_mask(colour_clusters(image, k).labels, k, truth), Costs())

    def _prior(self) -> OtherMethod:
        rule = RULES["saliency"]
        assert isinstance(rule, Saliency)
        mask = prior_mask(min(SIDE, self.generator.resolution), rule)
        return OtherMethod(lambda ws, image, truth: mask, Costs())

    def _mean_mask(self) -> OtherMethod:
        profile, generator = self.profile, self.generator
        seeds = range(LABELLED_FIRST, LABELLED_FIRST + profile.baselines.labelled)
        latents = [query_latent(generator, profile, seed) for seed in seeds]
        with spent() as took:
            maps = [{"image": query_image(generator, ws, profile.method.resolution)} for ws in latents]
            mask = mean_mask(reference_masks(profile.reference, generator, profile, seeds, maps))
        return OtherMethod(lambda ws, image, truth: mask, Costs(labels=len(latents), **_of(took)))


def _masks(baseline: Baseline) -> Masks:
    return lambda ws, image, truth: baseline.foreground(ws)


def _of(took: Spent) -> dict:
    return {"seconds": took.seconds, "added_bytes": took.added_bytes}
