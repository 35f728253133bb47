"""Everything that fixes the bytes of a sample besides its seed, and the words for it in a record."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from stylemixseg import __version__
from stylemixseg._util.checks import check_choice, check_int, check_real
from stylemixseg.generators.base import Generator
from stylemixseg.generators.zoo import CATALOGUE, load_generator
from stylemixseg.joint.classes import BACKGROUND, DIVIDED, ClusterNames, finer_classes
from stylemixseg.mixing import check_resolution
from stylemixseg.objects.segmenter import ObjectSegmenter
from stylemixseg.settings import ENGINES, QUERY_TRUNCATION, SegmenterConfig

IGNORE = 255  # label of pixels that are not sure enough to train on
FOREGROUND = ("background", "foreground")
# Another version of one of these may round differently, and a set would be made half with each.
LIBRARIES = ("faiss-cpu", "kornia", "numpy", "openvino", "pillow", "scipy", "torch")


class FindsObjects(Protocol):
    """What is looked for in a scene; `commands.objects.ObjectOptions` is one.

    Attributes:
        phrases: the labels that may occur, in the order in which the semantic map counts them.
    """

    @property
    def prompt(self) -> str:
        """The caption."""
        ...

    @property
    def phrases(self) -> tuple[str, ...]:
        """The labels that may occur."""
        ...

    def segmenter(
        self, generator: Generator, config: SegmenterConfig, device: str, ws: Tensor | None = None
    ) -> ObjectSegmenter:
        """The method with its detector; ws is the query's latent, from which the toy world tells its exact boxes."""
        ...

    def describe(self, generator: Generator, config: SegmenterConfig) -> dict:
        """Plain values for a record."""
        ...


@dataclass(frozen=True)
class Recipe:
    """How samples are made. It is small, so that it can be sent to workers, which load the generator themselves.

    Attributes:
        generator: a name of the catalogue, or the path of a checkpoint that every worker can read.
        config: the settings of the method. With a judge, the mask and the soft mask come from it.
        truncation: psi of the queries, 0..1.
        size: side of the written image and masks in pixels, a divisor of the generator's; None: the generator's.
        ignore: half the width of the band of low confidence, 0..0.5. Pixels whose confidence differs from 0.5 by less
            get the label 255, which losses leave out; 0 labels every pixel.
        classes: names of the clusters that all images share, for a mask of named parts; None for foreground alone.
        features: names of the clusters inside the skin, for brows, eyes, nose and mouth too; None for classes alone.
        objects: what to look for, for masks of objects in place of the foreground; None for whole images.
        engine: what runs the generator's network, as `load_generator` takes it.

    Raises:
        TypeError: a setting of the wrong type.
        ValueError: a setting out of range, or settings that exclude each other.
    """

    generator: str
    config: SegmenterConfig = field(default_factory=SegmenterConfig)
    truncation: float = QUERY_TRUNCATION
    size: int | None = None
    ignore: float = 0.1
    classes: ClusterNames | None = None
    features: ClusterNames | None = None
    objects: FindsObjects | None = None
    engine: str = "auto"

    def __post_init__(self) -> None:
        check_real("truncation", self.truncation, 0, 1)
        check_real("ignore", self.ignore, 0, 0.5)
        if self.size is not None:
            check_int("size", self.size, 8)
        check_choice("engine", self.engine, ENGINES)
        if self.classes is not None and (self.objects is not None or self.config.judge is None):
            raise ValueError("classes needs a config with a judge, and goes with no objects")
        if self.features is not None:
            if self.classes is None:
                raise ValueError("features needs classes, whose skin it divides")
            finer_classes(self.classes, DIVIDED, self.features)

    def load(self) -> Generator:
        """The generator on its engine and device.

        Raises:
            ValueError: no such generator, or a size that does not divide its resolution.
            FileNotFoundError: no checkpoint at that path.
        """
        generator = load_generator(self.generator, device=self.config.device, engine=self.engine)
        self.side(generator)
        return generator

    def side(self, generator: Generator) -> int:
        """Side of the written files in pixels.

        Raises:
            ValueError: the size does not divide the generator's resolution.
        """
        try:
            return check_resolution(self.size, generator.resolution)
        except ValueError as error:
            raise ValueError(f"size: {error}") from error

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels 0, 1, ... of the mask."""
        if self.objects is not None:
            return (BACKGROUND, *self.objects.phrases)
        if self.classes is None:
            return FOREGROUND
        return self.classes.classes if self.features is None else finer_classes(self.classes, DIVIDED, self.features)

    def describe(self, generator: Generator) -> dict[str, Any]:
        """What must be equal for two samples to be of one set, as plain values: it stands in the manifest."""
        config = self.config
        return {
            "generator": {
                "name": generator.name,
                "sha256": generator.digest,
                "network": type(generator).__name__,
                "precision": getattr(generator, "precision", "f32"),
            },
            "method": {**config.describe(), "key": config.cache_key()},
            "truncation": self.truncation,
            "size": self.side(generator),
            "ignore": self.ignore,
            "labels": list(self.labels),
            "clusters of the labels": self.classes and self.classes.named(),
            # Without features the record is as it was before there were any, so that older sets can be continued.
            **({} if self.features is None else {"clusters of the features": self.features.named()}),
            "objects": self.objects and self.objects.describe(generator, config),
            "versions": _versions(),
        }

    def licences(self) -> dict[str, str]:
        """The terms of what the samples are made from, by its name."""
        path = Path(self.generator)
        entry = CATALOGUE.get(self.generator)
        terms = {
            f"generator {entry.name if entry else path.name}": entry.licence
            if entry
            else "The terms of this checkpoint are not known here: ask those who gave it to you."
        }
        if self.config.judge is not None:
            terms["judge of pixels"] = (
                "Fitted to images of the generator, without labels; its terms are in LICENSES/"
                "LicenseRef-stylemixseg-weights.txt of stylemixseg (non-commercial for the one that comes with it)."
            )
        if self.classes is not None:
            terms["names of the clusters"] = (
                "Those that come with the package were given by a face parser, which was trained on CelebAMask-HQ "
                "(non-commercial research and education); see the same file."
            )
        if self.objects is not None:
            terms["detector"] = "Its boxes are in the masks: its own terms hold, too."
        return terms


def _versions() -> dict[str, str]:
    """Versions of what computes, and the kind of processor that it computes on."""
    found = {"stylemixseg": __version__, "machine": platform.machine()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # faiss-gpu in the place of faiss-cpu, for example
            continue
    return found
