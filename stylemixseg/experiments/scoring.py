"""From cluster maps to scores: foreground rules on one side, a reference mask on the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from stylemixseg._util.paths import data_file
from stylemixseg.experiments.clustermaps import query_latent
from stylemixseg.experiments.profile import Profile
from stylemixseg.foreground import CornerMinority, ForegroundRule, Saliency, apply_rule
from stylemixseg.generators.base import Generator, KnowsTheTruth
from stylemixseg.metrics import Confusion, confusion, trimap_confusion
from stylemixseg.mixing import to_generator_range
from stylemixseg.models.classnames import BUILT_IN, check_reference, split_reference
from stylemixseg.models.references import CLASS_NAMES, DeepLabPerson, FaceParser
from stylemixseg.models.semantic import SemanticReference, semantic_reference

# The two rules of the paper, at the settings chosen on development seeds (data_scripts/choose_rules.py).
RULES: dict[str, ForegroundRule] = {"saliency": Saliency(), "corner_minority": CornerMinority()}
TRIMAP_WIDTH = 3  # pixels at the reference's size, as in Table 3


class _Words(dict[str, str]):
    """What a reference is, in words; of a network that the user names, made from its name."""

    def __missing__(self, reference: str) -> str:
        source, wanted = split_reference(reference)
        return f"the network {Path(source).resolve().name}; its class *{wanted}* is the foreground"


# What a profile's reference is, in words for the reader.
REFERENCES = _Words(
    {
        "truth": "the generator's own exact mask: this toy generator draws its scenes, so it knows every pixel",
        "face_parser": "the face parser of this package, trained on photos of faces with masks drawn by people",
        "deeplab": "DeepLabV3, trained on photos of PASCAL VOC; its class *person* is the foreground",
    }
)


def known(generator: Generator) -> KnowsTheTruth:
    """The generator, when it knows what its images show.

    Raises:
        ValueError: it does not.
    """
    if not isinstance(generator, KnowsTheTruth):
        raise ValueError(f"reference 'truth' needs a generator that knows its own masks, got {generator.name}")
    return generator


def reference_masks(
    name: str, generator: Generator, profile: Profile, seeds: Sequence[int], maps: Sequence[Mapping[str, np.ndarray]]
) -> list[np.ndarray]:
    """Reference foreground masks (h, w) bool at the maps' size, one per query.

    Args:
        generator: drew the queries.
        profile: the truncation of the queries.
        seeds: of the queries.
        name: "truth" (the generator knows its own masks), "face_parser" (19 CelebAMask-HQ classes, background or
            not), "deeplab" (PASCAL VOC's class person), or a network of `transformers` and its class, such as
            "my-swin/:sofa" (see `models.semantic`).
        maps: what `cluster_maps` gave for the seeds; their images are what the references see.

    Raises:
        ValueError: a name that is none of these, a class that the network does not know.
        FileNotFoundError, ImportError, ReferenceUnavailableError: the network is not at hand.
    """
    if name == "truth":
        return [known(generator).truth(query_latent(generator, profile, seed))[0].foreground for seed in seeds]
    reference = _network(name)
    return [np.asarray(reference.foreground(to_generator_range(item["image"]))[0]) for item in maps]


def _network(name: str) -> FaceParser | DeepLabPerson | SemanticReference:
    loaders: dict[str, Callable[[], FaceParser | DeepLabPerson]] = {
        "face_parser": FaceParser.load,
        "deeplab": DeepLabPerson,
    }
    return loaders[name]() if name in loaders else semantic_reference(check_reference(name))


def reference_key(name: str) -> str:
    """What stands for a reference in the names of kept results: its name, of a user's network the digest too."""
    return name if name in BUILT_IN else f"{name} {semantic_reference(name).digest}"


def reference_parts(
    name: str, generator: Generator, profile: Profile, seed: int, image: np.ndarray
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The parts that a reference sees in one query: labels (h, w) int, and the names that they index.

    Args:
        name: as in `reference_masks`; "deeplab" knows two parts, person and the rest, and a network of `transformers`
            all of its classes.
        generator: drew the query.
        profile: the truncation of the query.
        seed: of the query.
        image: the query (h, w, 3) uint8, which a network looks at.
    """
    if name == "truth":
        world = known(generator)
        return world.truth(query_latent(generator, profile, seed))[0].semantic, world.class_names
    if name == "face_parser":
        return FaceParser.load()(to_generator_range(image))[0].numpy(), CLASS_NAMES
    if name != "deeplab":
        network = semantic_reference(check_reference(name))
        return network(to_generator_range(image))[0].numpy(), network.class_names
    person = reference_masks(name, generator, profile, [seed], [{"image": image}])[0]
    return person.astype(np.uint8), ("background", "person")


def rule_mask(labels: np.ndarray, k: int, rule: ForegroundRule) -> np.ndarray:
    """Mask Y (h, w) bool of a cluster map under a rule; an empty or full mask is scored as what it is."""
    return apply_rule(labels, k, rule)[labels]


def counts_of(mask: np.ndarray, truth: np.ndarray) -> dict[str, list[int]]:
    """[tp, fp, fn, tn] of a mask, over all pixels ("all") and near the outline of the truth ("trimap")."""
    scored = {"all": confusion(mask, truth), "trimap": trimap_confusion(mask, truth, TRIMAP_WIDTH)}
    return {where: list(astuple(counts)) for where, counts in scored.items()}


def oracle_mask(labels: np.ndarray, k: int, truth: np.ndarray) -> np.ndarray:
    """Each cluster goes to the side that most of its pixels lie on: no choice of clusters gets more pixels right.

    It reads the reference, so it says what the clustering allows and is not a method. It maximises pixels, not IoU, so
    a rule may pass it by a little in mIoU.
    """
    inside = np.bincount(labels.ravel(), truth.ravel(), minlength=k)
    return (inside * 2 > np.bincount(labels.ravel(), minlength=k))[labels]


def oracle_labels(labels: np.ndarray, k: int, truth: np.ndarray, classes: int) -> np.ndarray:
    """The class (k,) in 0..classes-1 that most pixels of each cluster have in the truth (h, w): as `oracle_mask`."""
    counts = np.bincount(labels.ravel() * classes + truth.ravel(), minlength=k * classes).reshape(k, classes)
    return counts.argmax(1)


def score_rules(
    labels: Sequence[np.ndarray], k: int, references: Sequence[np.ndarray], rules: Mapping[str, ForegroundRule] = RULES
) -> dict[str, list[Confusion]]:
    """Confusions of every rule, and of the oracle, one per image: {"saliency": [...], ..., "oracle": [...]}."""
    scores = {
        name: [confusion(rule_mask(map_, k, rule), truth) for map_, truth in zip(labels, references, strict=True)]
        for name, rule in rules.items()
    }
    scores["oracle"] = [
        confusion(oracle_mask(map_, k, truth), truth) for map_, truth in zip(labels, references, strict=True)
    ]
    return scores


def second_reference(profile: Profile) -> str | None:
    """The name "deeplab" where a run on learnt images can score against DeepLabV3 too, else None.

    It must be at hand, and the profile's reference another network for people, because DeepLabV3 is asked for people.
    """
    if profile.reference in ("truth", "deeplab") or not find_spec("ai_edge_litert"):
        return None
    if profile.reference not in BUILT_IN and split_reference(profile.reference)[1] != "person":
        return None
    try:
        data_file("models", "deeplabv3_voc_257_float.tflite")
    except FileNotFoundError:
        return None
    return "deeplab"
