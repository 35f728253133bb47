"""Profiles: how large a run is, as data. One code path serves them all; a notebook never asks which one it is in.

`smoke` draws the toy world in seconds, `cpu` is the book's default on real faces, `full` is the committed run,
`paper` has the paper's sizes for a GPU. Each is one file, `stylemixseg/experiments/profiles/<name>.toml`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from itertools import combinations
from pathlib import Path

from stylemixseg._util.checks import check_choice, check_int, check_real, suggest
from stylemixseg.colors import COLOR_SPACES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent / "profiles"


@dataclass(frozen=True)
class Profile:
    """Settings and sample sizes of a run.

    Attributes:
        name: the profile's name.
        generator: a name for `load_generator`.
        n: style latents a query (section 4.1: 50).
        resolution: side in pixels at which pixels are clustered; None: the generator's own, as in the paper.
        truncation: psi of the queries, in 0..1.
        style_seed: which style latents are drawn.
        cutoff, k, color_space: the method's settings outside the ablation.
        query_seed_first, queries: evaluation images, one seed each, counted up from the first.
        ablation_queries: how many of them, from the first, the ablation grid uses (Table 4: 500).
        development_seed_first, development_queries: images on which settings may be chosen; never evaluation images.
        comparison_seed_first: images on which rules are compared after their settings were chosen, as many as
            development images; neither development nor evaluation images.
        example_seeds: images for figures.
        cutoffs, ks, color_spaces: the ablation grid of Table 4.
        photo_generator: a name for `load_generator` of one with gradients, which inverts the photos.
        photos: real photos that are evaluated, the first of the validation photos.
        photo_resolution: as `resolution`, for the photos' pixels.
        projector_steps: of optimisation from the average latent. refine_steps: of optimisation after the encoder.
        object_scenes: rooms of the toy world in which objects are evaluated.
        object_faces: queries, from the first, whose parts are evaluated as objects.
        detector_photos: photos of horses, from the first, on which a detector is evaluated.
        reference: what masks are compared with: "truth" (the generator knows), "face_parser" or "deeplab".
        prefix: put before the names of results; results on the toy world are kept apart by "toy.".
        max_minutes: about how long one notebook may take on two cores (`paper`: on a GPU).

    Raises:
        TypeError, ValueError: a setting of the wrong type or out of range, or two of evaluation, development and
            comparison seeds overlap.
    """

    name: str
    generator: str
    n: int
    resolution: int | None
    truncation: float
    style_seed: int
    cutoff: int
    k: int
    color_space: str
    query_seed_first: int
    queries: int
    ablation_queries: int
    development_seed_first: int
    development_queries: int
    comparison_seed_first: int
    example_seeds: tuple[int, ...]
    cutoffs: tuple[int, ...]
    ks: tuple[int, ...]
    color_spaces: tuple[str, ...]
    photo_generator: str
    photos: int
    photo_resolution: int | None
    projector_steps: int
    refine_steps: int
    object_scenes: int
    object_faces: int
    detector_photos: int
    reference: str
    prefix: str
    max_minutes: int

    def __post_init__(self) -> None:
        for name in ("name", "generator", "photo_generator", "prefix"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} must be a name, got {getattr(self, name)!r}")
        for name in ("resolution", "photo_resolution"):
            if getattr(self, name) is not None:
                check_int(name, getattr(self, name), 1)
        check_real("truncation", self.truncation, 0, 1)
        for name, low in _AT_LEAST.items():
            check_int(name, getattr(self, name), low)
        check_choice("color_space", self.color_space, COLOR_SPACES)
        check_choice("reference", self.reference, ("truth", "face_parser", "deeplab"))
        for name, low in (("example_seeds", 0), ("cutoffs", 0), ("ks", 2)):
            for value in _listed(name, getattr(self, name)):
                check_int(name, value, low)
        for value in _listed("color_spaces", self.color_spaces):
            check_choice("color_spaces", value, COLOR_SPACES)
        if self.ablation_queries > self.queries:
            raise ValueError(f"ablation_queries must be at most queries ({self.queries}), got {self.ablation_queries}")
        if self.object_faces > self.queries:
            raise ValueError(f"object_faces must be at most queries ({self.queries}), got {self.object_faces}")
        seeds = {
            "evaluation": self.query_seeds,
            "development": self.development_seeds,
            "comparison": self.comparison_seeds,
        }
        for (other, known), (kind, new) in combinations(seeds.items(), 2):
            if shared := set(known) & set(new):
                raise ValueError(
                    f"{kind} seeds must not be {other} seeds, got {len(shared)} in both, from {min(shared)} on"
                )

    @property
    def query_seeds(self) -> range:
        """Seeds of the evaluation images."""
        return range(self.query_seed_first, self.query_seed_first + self.queries)

    @property
    def ablation_seeds(self) -> range:
        """Seeds of the ablation's images, the first of `query_seeds`."""
        return self.query_seeds[: self.ablation_queries]

    @property
    def development_seeds(self) -> range:
        """Seeds of the images on which settings are chosen."""
        return range(self.development_seed_first, self.development_seed_first + self.development_queries)

    @property
    def comparison_seeds(self) -> range:
        """Seeds of the images on which rules are compared, after their settings were chosen on others."""
        return range(self.comparison_seed_first, self.comparison_seed_first + self.development_queries)


_AT_LEAST = {
    "n": 1,
    "style_seed": 0,
    "cutoff": 0,
    "k": 2,
    "query_seed_first": 0,
    "queries": 1,
    "ablation_queries": 1,
    "development_seed_first": 0,
    "development_queries": 1,
    "comparison_seed_first": 0,
    "photos": 1,
    "projector_steps": 1,
    "refine_steps": 1,
    "object_scenes": 1,
    "object_faces": 1,
    "detector_photos": 1,
    "max_minutes": 1,
}


def _listed(name: str, values) -> tuple:
    if not isinstance(values, tuple) or not values:
        raise TypeError(f"{name} must be a list of at least one value, got {values!r}")
    return values


def profile_names() -> list[str]:
    """Names of the profiles there are."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def profile_file(name: str) -> Path:
    """The file of a profile: of one of this package by name, or one of your own, `path/to/NAME.toml`.

    Raises:
        ValueError: an unknown name (the nearest ones are suggested). FileNotFoundError: no such file.
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
            setting; the message names file and setting. FileNotFoundError: no such file.
    """
    return read_profile(profile_file(name))


def read_profile(path: str | Path) -> Profile:
    """Read a profile from any TOML file; its name is the file's."""
    path = Path(path)
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
        settings = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
        names = [item.name for item in fields(Profile) if item.name != "name"]
        if unknown := [key for key in settings if key not in names]:
            raise ValueError(f"unknown setting {unknown[0]!r}: {suggest(unknown[0], names)}")
        if missing := [key for key in names if key not in settings]:
            raise ValueError(f"missing setting {missing[0]!r}")
        for name in ("resolution", "photo_resolution"):
            settings[name] = settings[name] or None  # TOML has no null, so the files say 0
        return Profile(name=path.stem, **settings)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
