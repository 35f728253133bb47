"""Profiles: how large a run is, as data. One code path serves them all; a notebook never asks which one it is in.

`smoke` draws the toy world in seconds, `cpu` is the book's default on real faces, `full` is the committed run,
`paper` has the paper's sizes for a GPU. Each is one file, `stylemixseg/experiments/profiles/<name>.toml`, with a
section for the method, one for the query images, and one for each experiment that has sizes of its own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from stylemixseg._util.checks import check_choice, check_int, check_real, check_view_side, suggest
from stylemixseg._util.keys import UNKEYED
from stylemixseg.colors import COLOR_SPACES
from stylemixseg.models.classnames import BUILT_IN, check_reference, split_reference
from stylemixseg.settings import SegmenterConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent / "profiles"
# What a profile sets of the method; what else `SegmenterConfig` has, stays at its default.
METHOD = ("n", "cutoff", "k", "color_space", "resolution", "style_seed")


@dataclass(frozen=True)
class Queries:
    """The query images, one seed each.

    Attributes:
        truncation: psi of the queries, in 0..1.
        first, count: evaluation images, their seeds counted up from the first.
        examples: seeds of images for figures.
        development_first, development_count: images on which settings may be chosen; never evaluation images.
        comparison_first: images on which rules are compared after their settings were chosen, as many as development
            images; neither development nor evaluation images.
    """

    truncation: float
    first: int
    count: int
    examples: tuple[int, ...]
    development_first: int
    development_count: int
    comparison_first: int

    def __post_init__(self) -> None:
        check_real("truncation", self.truncation, 0, 1)
        _at_least(self, first=0, count=1, development_first=0, development_count=1, comparison_first=0)
        for seed in _listed("examples", self.examples):
            check_int("examples", seed, 0)
        seeds = {
            "evaluation": self.seeds,
            "development": self.development_seeds,
            "comparison": self.comparison_seeds,
        }
        for (other, known), (kind, new) in combinations(seeds.items(), 2):
            if shared := set(known) & set(new):
                raise ValueError(
                    f"{kind} seeds must not be {other} seeds, got {len(shared)} in both, from {min(shared)} on"
                )

    @property
    def seeds(self) -> range:
        """Seeds of the evaluation images."""
        return range(self.first, self.first + self.count)

    @property
    def development_seeds(self) -> range:
        """Seeds of the images on which settings are chosen."""
        return range(self.development_first, self.development_first + self.development_count)

    @property
    def comparison_seeds(self) -> range:
        """Seeds of the images on which rules are compared, after their settings were chosen on others."""
        return range(self.comparison_first, self.comparison_first + self.development_count)


@dataclass(frozen=True)
class Ablation:
    """The grid of Table 4.

    Attributes:
        queries: how many of the evaluation images, from the first, it uses (the paper: 500).
        cutoffs, ks, color_spaces: its cells.
    """

    queries: int
    cutoffs: tuple[int, ...]
    ks: tuple[int, ...]
    color_spaces: tuple[str, ...]

    def __post_init__(self) -> None:
        _at_least(self, queries=1)
        for name, low in (("cutoffs", 0), ("ks", 2)):
            for value in _listed(name, getattr(self, name)):
                check_int(name, value, low)
        for value in _listed("color_spaces", self.color_spaces):
            check_choice("color_spaces", value, COLOR_SPACES)


@dataclass(frozen=True)
class Photos:
    """Real photos, inverted and segmented.

    Attributes:
        generator: a name for `load_generator` of one with gradients, which inverts the photos.
        count: photos that are evaluated, the first of the validation photos.
        resolution: side in pixels at which pixels are clustered; None: the generator's own.
        projector_steps: of optimisation from the average latent. refine_steps: of optimisation after the encoder.
    """

    generator: str
    count: int
    resolution: int | None
    projector_steps: int
    refine_steps: int

    def __post_init__(self) -> None:
        _texts(self, "generator")
        if self.resolution is not None:
            check_int("resolution", self.resolution, 1)
        _at_least(self, count=1, projector_steps=1, refine_steps=1)


@dataclass(frozen=True)
class Objects:
    """Objects in boxes.

    Attributes:
        scenes: rooms of the toy world in which objects are evaluated.
        faces: queries, from the first, whose parts are evaluated as objects.
    """

    scenes: int
    faces: int

    def __post_init__(self) -> None:
        _at_least(self, scenes=1, faces=1)


@dataclass(frozen=True)
class Joint:
    """Judges of pixels that are fitted over many images.

    Attributes:
        ns: numbers of styles that a judge is measured with.
        fit_first, fit_count: seeds of the images to fit one on where none comes with the package.
    """

    ns: tuple[int, ...]
    fit_first: int
    fit_count: int

    def __post_init__(self) -> None:
        for n in _listed("ns", self.ns):
            check_int("ns", n, 1)
        _at_least(self, fit_first=0, fit_count=1)


@dataclass(frozen=True)
class Training:
    """Networks that learn from pairs (Table 3).

    Attributes:
        n: style latents of each synthetic pair. truncation: psi of the pairs' queries.
        pairs: synthetic pairs. first: seed of the first.
        fast: whether the pairs' images are computed in bfloat16.
        human: photos with masks drawn by people that the supervised row learns from.
        tested: photos that all rows are tested on.
        width: channels of the U-Net's first stage; the published one has 64.
        side: pixels of the views that it learns from, a multiple of 16, plus 1.
        steps, batch: of every training but the long ones.
        seeds: of the trainings; the first is the one in the table.
        curve: numbers of synthetic pairs for the learning curve, besides `pairs`; empty: no curve.
        few: synthetic pairs that the rows of other methods learn from, and a row of the judge beside them; 0: no such
            rows.
        styles: numbers of styles besides `n`, each for a row of the judge with `few` pairs.
        sides: pixels of the views besides `side`, each for a row of the judge.
        long_steps, long_batch: of a few rows that are trained for longer too; 0 steps: no such rows.
        long_view: pixels at which the networks of these rows look at photos, a multiple of 16, plus 1.
        device: where the networks are trained, "cpu" or "cuda".
    """

    n: int
    truncation: float
    pairs: int
    first: int
    fast: bool
    human: int
    tested: int
    width: int
    side: int
    steps: int
    batch: int
    seeds: tuple[int, ...] = field(metadata=UNKEYED)  # which rows there are does not change a row
    curve: tuple[int, ...] = field(metadata=UNKEYED)
    few: int = field(metadata=UNKEYED)
    styles: tuple[int, ...] = field(metadata=UNKEYED)
    sides: tuple[int, ...] = field(metadata=UNKEYED)
    long_steps: int = field(metadata=UNKEYED)
    long_batch: int = field(metadata=UNKEYED)
    long_view: int = field(metadata=UNKEYED)
    device: str = field(metadata=UNKEYED)  # a result depends on it by rounding alone

    @property
    def most_pairs(self) -> int:
        """The largest number of synthetic pairs of any row."""
        return max((self.pairs, *self.curve))

    def __post_init__(self) -> None:
        check_real("truncation", self.truncation, 0, 1)
        _at_least(self, n=1, pairs=2, first=0, human=2, tested=1, width=1, steps=1, batch=2, few=0)
        check_view_side("side", self.side)
        check_view_side("long_view", self.long_view)
        _at_least(self, long_steps=0, long_batch=2)
        check_choice("device", self.device, ("cpu", "cuda"))
        if not isinstance(self.fast, bool):
            raise TypeError(f"fast must be true or false, got {self.fast!r}")
        for seed in _listed("seeds", self.seeds):
            check_int("seeds", seed, 0)
        for count in self.curve:
            check_int("curve", count, self.batch)
        if self.few:
            check_int("few", self.few, self.batch, self.pairs)
        if self.styles and not self.few:
            raise ValueError("styles needs few pairs, got few = 0")
        for n in self.styles:
            check_int("styles", n, 1)
        for side in self.sides:
            check_view_side("sides", side)


@dataclass(frozen=True)
class Baselines:
    """Other methods of segmenting.

    Attributes:
        labelled: images with labels that DatasetGAN learns from, and that name the background of shared clusters.
        clustered: images whose features are clustered together.
        members: networks of DatasetGAN's ensemble.
        composited: latents that Labels4Free composites. composite_side: px of its composites and masks.
        composite_steps: of its training.
    """

    labelled: int
    clustered: int
    members: int
    composited: int
    composite_side: int
    composite_steps: int

    def __post_init__(self) -> None:
        _at_least(self, labelled=1, clustered=1, members=1, composited=1, composite_side=16, composite_steps=1)


@dataclass(frozen=True)
class Detectors:
    """Boxes of a detector in photos. `photos`: of horses, from the first, on which it is evaluated."""

    photos: int

    def __post_init__(self) -> None:
        _at_least(self, photos=1)


@dataclass(frozen=True)
class Profile:
    """Settings and sample sizes of a run.

    Attributes:
        name: the profile's name.
        generator: a name for `load_generator`.
        reference: what masks are compared with: "truth" (the generator knows), "face_parser", "deeplab", or a network
            of `transformers` and its class, "FOLDER:CLASS" or "OWNER/NAME:CLASS" (see `models.semantic`).
        prefix: put before the names of results; results on the toy world are kept apart by "toy.".
        max_minutes: about how long one notebook may take on two cores (`paper`: on a GPU).
        method: the method's settings, outside the ablation.
        queries, table4, photos, objects, detectors: sizes, section by section.

    Raises:
        TypeError, ValueError: a setting of the wrong type or out of range, or two of evaluation, development and
            comparison seeds overlap.
    """

    name: str
    generator: str
    reference: str
    prefix: str
    max_minutes: int
    method: SegmenterConfig
    queries: Queries
    table4: Ablation
    photos: Photos
    objects: Objects
    joint: Joint
    detectors: Detectors
    table3: Training
    baselines: Baselines

    def __post_init__(self) -> None:
        _texts(self, "name", "generator", "prefix")
        _at_least(self, max_minutes=1)
        check_reference(self.reference)
        count = self.queries.count
        for name, value in (("table4.queries", self.table4.queries), ("objects.faces", self.objects.faces)):
            if value > count:
                raise ValueError(f"{name} must be at most queries.count ({count}), got {value}")

    @property
    def ablation_seeds(self) -> range:
        """Seeds of the ablation's images, the first of the evaluation images."""
        return self.queries.seeds[: self.table4.queries]

    def with_reference(self, reference: str) -> Profile:
        """The profile with another reference, and a name that says which, so that its results have their own folder.

        Args:
            reference: as in the attribute.

        Raises:
            TypeError, ValueError: a reference that is none.
        """
        if check_reference(reference) in BUILT_IN:
            words = reference
        else:
            source, wanted = split_reference(reference)
            words = f"{Path(source).resolve().name}-{wanted}"
        return self.changed(reference=reference, name=f"{self.name}-{re.sub(r'[^A-Za-z0-9_.-]+', '-', words)}")

    def changed(self, **changes: object) -> Profile:
        """The profile with other settings: `changed(generator="faces", method={"n": 20}, queries={"count": 6})`."""
        parts: dict[str, Any] = {
            name: replace(getattr(self, name), **change) if isinstance(change, Mapping) else change
            for name, change in changes.items()
        }
        return replace(self, **parts)


_SECTIONS = {
    "method": SegmenterConfig,
    "queries": Queries,
    "table4": Ablation,
    "photos": Photos,
    "objects": Objects,
    "joint": Joint,
    "detectors": Detectors,
    "table3": Training,
    "baselines": Baselines,
}


def _texts(settings: object, *names: str) -> None:
    for name in names:
        if not isinstance(value := getattr(settings, name), str):
            raise TypeError(f"{name} must be a name, got {value!r}")


def _at_least(settings: object, **least: int) -> None:
    for name, low in least.items():
        check_int(name, getattr(settings, name), low)


def _listed(name: str, values: object) -> tuple:
    if not isinstance(values, tuple) or not values:
        raise TypeError(f"{name} must be a list of at least one value, got {values!r}")
    return values


def profile_names() -> list[str]:
    """Names of the profiles there are."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def profile_file(name: str) -> Path:
    """The file of a profile: of one of this package by name, or one of your own, `path/to/NAME.toml`.

    Raises:
        ValueError: an unknown name (the nearest ones are suggested).
        FileNotFoundError: no such file.
    """
    if name.endswith(".toml"):
        if not Path(name).is_file():
            raise FileNotFoundError(f"no profile at {name}")
        return Path(name)
    if name not in profile_names():
        raise ValueError(
            f"unknown profile {name!r}: {suggest(name, profile_names())}, or give a .toml file of your own"
        )
    return FOLDER / f"{name}.toml"


def load_profile(name: str) -> Profile:
    """Read a profile by name, or from a file of your own (a name that ends in .toml).

    Raises:
        ValueError: an unknown name (the nearest ones are suggested), or a file with a wrong, missing or unknown
            setting; the message names file and setting.
        FileNotFoundError: no such file.
    """
    return read_profile(profile_file(name))


def read_profile(path: str | Path) -> Profile:
    """Read a profile from any TOML file; its name is the file's."""
    path = Path(path)
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
        names = [item.name for item in fields(Profile) if item.name != "name"]
        _same_names("setting", settings, names)
        for name, section in _SECTIONS.items():
            settings[name] = _section(name, section, settings[name])
        return Profile(name=path.stem, **settings)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def _section(name: str, section: type, settings: object) -> object:
    if not isinstance(settings, dict):
        raise TypeError(f"[{name}] must be a section of settings, got {settings!r}")
    known = METHOD if section is SegmenterConfig else [item.name for item in fields(section)]
    _same_names(f"setting in [{name}]", settings, known)
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    if "resolution" in values:
        values["resolution"] = values["resolution"] or None  # TOML has no null, so the files say 0
    try:
        return section(**values)
    except (TypeError, ValueError) as error:
        raise type(error)(f"[{name}] {error}") from error


def _same_names(what: str, settings: Mapping, names: list[str] | tuple[str, ...]) -> None:
    if unknown := [key for key in settings if key not in names]:
        raise ValueError(f"unknown {what} {unknown[0]!r}: {suggest(unknown[0], names)}")
    if missing := [key for key in names if key not in settings]:
        raise ValueError(f"missing {what} {missing[0]!r}")


def described_profile(profile: Profile) -> dict[str, object]:
    """All settings of a profile by their names in its file, "generator", "method.n", "queries.count" and so on."""
    found: dict[str, object] = {}
    for item in fields(Profile):
        value = getattr(profile, item.name)
        if item.name in _SECTIONS:
            names = METHOD if item.name == "method" else [inner.name for inner in fields(value)]
            found |= {f"{item.name}.{name}": getattr(value, name) for name in names}
        elif item.name != "name":
            found[item.name] = value
    return found
