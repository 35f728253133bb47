"""The data card of an exported set, README.md as Hugging Face's hub reads it, made from the manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stylemixseg.factory.formats.base import Writer
from stylemixseg.factory.sample import MEASURES

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def data_card(manifest: Mapping[str, Any], writer: type[Writer]) -> str:
    """The card as text: a head in YAML for the hub, then Markdown for people.

    Args:
        manifest: of the set, as `finish.finish` makes it.
        writer: of the format that the card is for.
    """
    made = manifest["run"]
    generator, method = made["generator"], made["method"]
    counts = manifest["samples"]
    seeds = f"{counts['first']} to {counts['first'] + counts['made'] - 1}"
    size = next((word for limit, word in _SIZES if counts["kept"] < limit), "n>1M")
    head: dict[str, Any] = {
        "pretty_name": f"Synthetic image-mask pairs of {generator['name']}",
        "license": "other",
        "license_name": "see-below",
        "task_categories": ["image-segmentation"],
        "tags": ["synthetic", "stylemixseg"],
        "size_categories": [size],
    }
    if writer.data_files is not None:
        head["configs"] = [{"config_name": "default", "data_files": [{"split": "train", "path": writer.data_files}]}]
    yaml = "\n".join(f"{key}: {json.dumps(value)}" for key, value in head.items())  # JSON is YAML, too
    lines = [
        f"---\n{yaml}\n---",
        f"# {head['pretty_name']}",
        "The images were drawn by a generator, and their masks follow from the same generator: each image was "
        "repainted in many styles, and pixels that change colour together were grouped (Feng et al., Network-Free, "
        "Unsupervised Semantic Segmentation With Synthetic Images, CVPR 2023). No person and no place in them was "
        "photographed, and no mask was drawn or corrected by hand, so masks can be wrong.",
        *_helped(made),
        "## What is in it",
        f"- {counts['kept']} pairs of {made['size']} x {made['size']} pixels; {counts['made']} were made, of the seeds "
        f"{seeds}, and {counts['dropped']} were dropped by the filters below.",
        f"- Labels: {', '.join(f'{label} {name}' for label, name in enumerate(made['labels']))}.",
        *_of_confidence(made),
        "",
        writer.description,
        "",
        *_means(manifest),
        "## How it was made",
        f"- Generator: {generator['name']}, SHA-256 `{generator['sha256']}`, truncation {made['truncation']}.",
        f"- Method: {method['n']} styles, cutoff {method['cutoff']}, {method['k']} clusters, rule "
        f"`{method['rule']}`, judge {method['judge'] or 'none'}; all settings are in `manifest.json`.",
        f"- Filters: {_words(manifest['filters'])}.",
        "- The same settings, versions and kind of processor give the same files, byte for byte.",
        "## Licence",
        *(f"- {name}: {terms}" for name, terms in manifest["licences"].items()),
        "",
        "What the generator has learnt from its training photos, their gaps and prejudices included, is in the images.",
    ]
    return "\n".join(_spaced(lines)) + "\n"


def _of_confidence(made: Mapping[str, Any]) -> list[str]:
    if made["objects"] is not None or not made["ignore"]:
        return []
    low, high = 0.5 - made["ignore"], 0.5 + made["ignore"]
    return [
        f"- Pixels whose confidence of foreground lies between {low:g} and {high:g} have the label 255, to be ignored."
    ]


def _helped(made: Mapping[str, Any]) -> list[str]:
    """What else had a say in the masks, besides the generator."""
    if made["objects"] is not None:
        return ["Where the objects are was found by a detector; its masks are made inside of its boxes."]
    if made["method"]["judge"] is None:
        return []
    named = made["clusters of the labels"] is not None
    return [
        "A judge of pixels decided what is foreground. It was fitted to the method's own masks of many images, without "
        "labels; how far it moves the outline was chosen with a face parser that learnt from human masks."
        + (" Names of the clusters were given with the help of that parser." if named else "")
    ]


def _means(manifest: Mapping[str, Any]) -> list[str]:
    means = manifest["means of the kept"]
    rows = [f"| {words} | {means[name]:.3f} |" for name, words in MEASURES.items() if name in means]
    return ["\n".join(["| mean over the kept pairs | |", "|---|---|", *rows])] if rows else []


def _words(filters: Mapping[str, Any]) -> str:
    given = [f"{name} {value}" for name, value in filters.items() if value is not None]
    return ", ".join(given) or "none"


def _spaced(lines: list[str]) -> list[str]:
    """Headings and paragraphs with an empty line between them; items of a list without one."""
    spaced: list[str] = []
    for line in lines:
        if spaced and not (line.startswith("- ") and spaced[-1].startswith("- ")) and line and spaced[-1]:
            spaced.append("")
        spaced.append(line)
    return spaced
