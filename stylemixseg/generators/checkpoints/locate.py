"""Where in a file the generator is: under which key, as an object or by names, and how its names begin.

People save the same network in many wrappings: a training snapshot, the averaged generator alone, a whole object, a
state_dict, one out of DataParallel (`module.`), one that is a part of a larger model (`generator.`, `decoder.`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from stylemixseg.generators.checkpoints.checkpoint import CheckpointError, shown
from stylemixseg.generators.checkpoints.modules import is_network, named_tensors
from stylemixseg.generators.checkpoints.restricted import Call
from stylemixseg.generators.checkpoints.tensors import is_call

MAX_NAME = 100
NOT_AVERAGED = (
    "the file has no averaged generator (g_ema, G_ema): the one that was being trained is read, whose images are "
    "usually a little worse"
)
# Where to look, best first; None: the file's value itself.
PLACES = ("g_ema", "G_ema", "state_dict", None, "generator", "netG", "model", "G", "g")
TRAINED = ("G", "g")  # of training code that keeps an average beside them
# The first layer of each layout, below any of the wrappings in which it comes.
_FIRST = re.compile(
    r"(?P<prefix>(?:(?:module|_orig_mod|model|net|netG|generator|decoder|g|g_ema|G|G_ema)\.){0,4})"
    r"(?:(?P<rosinality>input\.input|conv1\.conv\.weight)"
    r"|(?P<nvidia>synthesis\.b4\.const|synthesis\.b4\.conv1\.weight|mapping\.fc0\.weight))"
)
# What a file without a StyleGAN2 generator is, by the beginning of one of its names.
OTHERS = {
    "generator.progression.": "a StyleGAN1 network (rosinality's style-based-gan-pytorch)",
    "g_mapping.": "a StyleGAN1 network",
    "synthesis.input.": "a StyleGAN3 network",
    "synthesis.early_layer.": "a genforce checkpoint, which is not supported",
    "style_mapping.": "an MMGeneration checkpoint, which is not supported",
    "generator_ema.": "an MMGeneration checkpoint, which is not supported",
    "style_conv1.": "a StyleGAN2 in the layout of BasicSR (GFPGAN), which is not supported",
    "from_rgb.": "a StarGAN v2 network, which translates images and is no StyleGAN2",
    "final_linear.": "a discriminator only",
    "b4.out.": "a discriminator only",
    "encoder.": "an encoder only; the generator (names beginning with decoder.) is not in it",
    "input_layer.": "an encoder only",
    "body.": "an encoder only",
}


@dataclass(frozen=True)
class Located:
    """A generator in a file, unchecked.

    Attributes:
        layout: "nvidia" or "rosinality": whose names the layers have.
        tensors: unread tensors by name, without `prefix`.
        network: the object that they are of, for its settings; None where the file holds names and tensors only.
        prefix: of the names inside `network`.
        latent_avg: the unread mean latent where the file has one beside the names, else None.
        notes: what a user should know of the choice.
    """

    layout: str
    tensors: dict[str, object]
    network: object | None
    prefix: str
    latent_avg: object | None
    notes: tuple[str, ...]


def locate(saved: object) -> Located:
    """The generator in a pickle's value.

    Raises:
        CheckpointError: there is none, and the message says what there is; there are several; a malformed network.
    """
    if is_network(saved):
        return _inside(saved, saved)
    if not isinstance(saved, dict):
        raise CheckpointError(f"the file holds {_kind(saved)}, neither a network nor a dictionary with one in it")
    for place in PLACES:
        found = saved if place is None else saved.get(place)
        if is_network(found) or (isinstance(found, dict) and _generators(found)):
            return _inside(found, saved, (NOT_AVERAGED,) if place in TRAINED else ())
    raise _nothing_in(saved)


def _inside(found: Call | dict, saved: object, notes: tuple[str, ...] = ()) -> Located:
    network = found if is_network(found) else None
    names = named_tensors(found) if isinstance(found, Call) else found
    generators = _generators(names)
    if not generators and network is not None:
        generators = {"": "nvidia"}  # a network of a known class that is none of ours: its names will say what it is
    # The average is better than what it is the average of; a generator alone needs no choice.
    averaged = [prefix for prefix in generators if "ema." in prefix]
    prefixes = averaged or [prefix for prefix in generators if prefix == ""] or list(generators)
    if len(prefixes) > 1:
        listed = ", ".join(f"{prefix}*" for prefix in sorted(prefixes)[:3])
        raise CheckpointError(f"the file holds several generators ({listed}): save one of them alone")
    prefix = prefixes[0]
    tensors = {
        name.removeprefix(prefix): value
        for name, value in names.items()
        if isinstance(name, str) and name.startswith(prefix)
    }
    latent_avg = tensors.pop("latent_avg", None)
    if isinstance(saved, dict) and saved.get("latent_avg") is not None:
        latent_avg = saved["latent_avg"]
    return Located(generators[prefix], tensors, network, prefix, latent_avg, notes)


def _generators(names: Iterable[object]) -> dict[str, str]:
    """Prefix -> layout of every generator whose first layers are among the names."""
    found: dict[str, str] = {}
    for name in names:
        if isinstance(name, str) and len(name) <= MAX_NAME and (match := _FIRST.fullmatch(name)):
            found[match["prefix"]] = "nvidia" if match["nvidia"] else "rosinality"
    return found


def _nothing_in(saved: dict) -> CheckpointError:
    """The error that says what a dictionary is instead of a StyleGAN2 generator."""
    for place in PLACES:
        found = saved if place is None else saved.get(place)
        if not isinstance(found, dict):
            continue
        names = [name.removeprefix("module.") for name in found if isinstance(name, str)]
        for start, words in OTHERS.items():
            if any(name.startswith(start) for name in names):
                return CheckpointError(f"no StyleGAN2 generator in the file: it is {words}")
    for place, average in (("d", "g_ema"), ("D", "G_ema")):
        if saved.get(place) is not None and saved.get(average) is None:
            return CheckpointError(f"no StyleGAN2 generator in the file: {average} is missing (a discriminator only?)")
    keys = ", ".join(shown(key, 30) for key in list(saved)[:5]) or "none"
    return CheckpointError(f"no StyleGAN2 generator in the file (its first keys: {keys})")


def _kind(value: object) -> str:
    if is_call(value, "tensor") or is_call(value, "parameter"):
        return "one tensor (if it is a latent: segment --latent reads it)"
    return {"Call": "an object", "NoneType": "nothing"}.get(type(value).__name__, f"a {type(value).__name__}")
