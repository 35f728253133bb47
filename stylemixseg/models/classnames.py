"""References by name: which network is meant, and which of its classes are the foreground. No PyTorch is needed here.

A network for semantic segmentation knows the classes of the data set it was trained on, and data sets name the same
thing differently: "sofa" in PASCAL VOC is "couch" in COCO, and ADE20K has several kinds of table. So the paper's
classes (sections 4.1 and 4.2) are found by name in the network's own list and never by number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from stylemixseg._util.checks import suggest
from stylemixseg._util.hub import HUB_ID

BUILT_IN = ("truth", "face_parser", "deeplab")

# What PASCAL VOC, COCO and ADE20K call the paper's classes. The paper does not say which tables its class "table"
# holds; its captions ask for coffee tables and side tables. Pool tables and dressing tables are not among them.
NAMES: dict[str, tuple[str, ...]] = {
    "person": ("person", "people", "human"),
    "horse": ("horse",),
    "sofa": ("sofa", "couch"),
    "table": ("table", "coffee table", "cocktail table", "side table", "end table", "dining table", "desk"),
}


def split_reference(reference: str) -> tuple[str, str]:
    """The network and the class of a reference such as "my-swin/:sofa" or "owner/name:person".

    Args:
        reference: a folder or owner/name on Hugging Face's hub, a colon, and a class: one of `NAMES`, or any name of
            the network's own.

    Raises:
        ValueError: no class, or neither a folder nor an id of the hub.

    Examples:
        >>> split_reference("owner/swin-ade:sofa")
        ('owner/swin-ade', 'sofa')
    """
    source, colon, wanted = reference.rpartition(":")
    if colon and source and wanted.strip() and (Path(source).is_dir() or HUB_ID.fullmatch(source)):
        return source, wanted.strip()
    network = reference.rstrip(": ")
    if network and (Path(network).is_dir() or HUB_ID.fullmatch(network)):
        raise ValueError(
            f"reference must name a class too, one of {', '.join(NAMES)} or of the network's own, for example "
            f"{network}:person, got {reference!r}"
        )
    raise ValueError(
        f"reference must be one of {', '.join(BUILT_IN)}, or a network and a class: FOLDER:CLASS or OWNER/NAME:CLASS "
        f"with a folder that exists or a name on the hub, got {reference!r}; {suggest(reference, BUILT_IN)}"
    )


def check_reference(reference: object) -> str:
    """Return `reference` when it is one of `BUILT_IN` or can be split into a network and a class.

    Raises:
        TypeError: not text.
        ValueError: as in `split_reference`.
    """
    if not isinstance(reference, str):
        raise TypeError(f"reference must be a name, got {reference!r}")
    if reference not in BUILT_IN:
        split_reference(reference)
    return reference


def class_numbers(labels: Mapping[int, str], wanted: str, network: str) -> tuple[int, ...]:
    """The numbers of the classes that are `wanted`, one or several.

    A network's label may hold several names, "sofa, couch, lounge"; each of them counts. Upper and lower case, spaces,
    hyphens and underscores do not: VOC's "diningtable" is a dining table.

    Args:
        labels: {number: label}, a network's `id2label`.
        wanted: one of `NAMES`, or any name among the labels.
        network: whose labels they are, for the message.

    Raises:
        ValueError: none of the labels is what is wanted; the message lists the labels there are.

    Examples:
        >>> class_numbers({0: "background", 1: "diningtable", 2: "desk", 3: "pool table"}, "table", "mine")
        (1, 2)
    """
    asked = {_plain(name) for name in NAMES.get(wanted, (wanted,))}
    found = tuple(
        number for number, label in sorted(labels.items()) if asked & {_plain(name) for name in re.split("[,;]", label)}
    )
    if not found:
        shown = "; ".join(label for _, label in sorted(labels.items()))
        raise ValueError(f"{network} must know the class {wanted!r}, but its classes are: {shown}")
    return found


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.lower())
