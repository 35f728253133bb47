"""Names for what results depend on: equal settings give equal keys, and other settings give other keys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

DIGITS = 16
UNKEYED = {"cache_key": False}  # metadata of a dataclass's field that no result depends on, such as a batch size


def cache_key(value: object) -> str:
    """The first 16 hex digits of `full_key`, for names of files and folders."""
    return full_key(value)[:DIGITS]


def full_key(value: object) -> str:
    """SHA-256 in hex that stands for a value: plain values, arrays, and lists, mappings and dataclasses of these.

    Fields of a dataclass with the metadata `UNKEYED` do not count.

    Raises:
        TypeError: a value that cannot be told from another by what it holds, for example a function.
    """
    return hashlib.sha256(json.dumps(_plain(value), sort_keys=True).encode()).hexdigest()


def keyed_fields(settings: object) -> dict[str, Any]:
    """The fields of a dataclass that a key counts, by name."""
    assert is_dataclass(settings)
    counted = [item.name for item in fields(settings) if item.metadata.get("cache_key", True)]
    return {name: getattr(settings, name) for name in counted}


def _plain(value: object) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return ["array", str(value.dtype), list(value.shape), digest]
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        kept = {name: _plain(item) for name, item in keyed_fields(value).items()}
        return {"class": type(value).__qualname__, **kept}
    raise TypeError(f"a cache key needs plain values, arrays or dataclasses of them, got {type(value).__name__}")
