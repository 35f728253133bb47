"""Files of what was fitted over many images: tensors as .safetensors, and beside them, as .json, what they are for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from stylemixseg._util.paths import atomic_write, sha256_file
from stylemixseg.generators.base import Generator
from stylemixseg.joint.base import NoJudgeError, differences
from stylemixseg.settings import SegmenterConfig

SETTINGS = ("cutoff", "color_space", "style_seed", "style_truncation", "include_query")  # a fit is for these, and for n


def write_fitted(
    path: Path,
    tensors: Mapping[str, np.ndarray],
    generator: Generator,
    config: SegmenterConfig,
    ns: Sequence[int],
    record: Mapping[str, Any],
) -> None:
    """Write tensors and what they are for, each file whole or not at all.

    Args:
        path: ends in .safetensors.
        tensors: float arrays by name; those of one n begin with "n8.", "n20." and so on.
        generator: that they are for.
        config: the settings that they are for.
        ns: numbers of styles that they are for.
        record: whatever else tells how they were made, plain values.
    """
    with atomic_write(path) as temporary:
        save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, temporary)
    about = {
        "generator": {"name": generator.name, "sha256": generator.digest},
        "settings": {name: getattr(config, name) for name in SETTINGS},
        "ns": sorted(ns),
        **record,
        "sha256": sha256_file(path),
    }
    with atomic_write(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def read_fitted(
    path: str | Path, generator: Generator, config: SegmenterConfig
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The record of a file and its tensors for one n, their names without the "n8." at the beginning.

    Args:
        path: the .safetensors file, its .json beside it.
        generator: must be the one that the file is for.
        config: its n and the settings named in `SETTINGS` must be the file's own.

    Raises:
        FileNotFoundError: no such file.
        NoJudgeError: the file is for something else; the message says for what.
        ValueError: the file is damaged or was changed.
    """
    path = Path(path)
    about_path = path.with_suffix(".json")
    try:
        about = json.loads(about_path.read_text(encoding="utf-8"))
        fitted = {"generator": about["generator"]["sha256"], **{name: about["settings"][name] for name in SETTINGS}}
        name, digest, ns = about["generator"]["name"], about["sha256"], [int(n) for n in about["ns"]]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{about_path} does not say what {path.name} is for, or is damaged: {error!r}") from error
    wanted = {"generator": generator.digest, **{name: getattr(config, name) for name in SETTINGS}}
    if words := differences(wanted, fitted):
        raise NoJudgeError(f"{path.name} was fitted for {name} and does not suit {generator.name}: {words}")
    if config.n not in ns:
        raise NoJudgeError(f"n must be one of {', '.join(map(str, ns))} for {path.name}, got {config.n}")
    if sha256_file(path) != digest:
        raise ValueError(f"{path} is damaged or was changed: its SHA-256 is not the one in {about_path.name}")
    of_n, prefix = f"n{config.n}.", tuple(f"n{n}." for n in ns)
    tensors = load_file(path)
    return about, {
        key.removeprefix(of_n): value
        for key, value in tensors.items()
        if key.startswith(of_n) or not key.startswith(prefix)
    }
