"""A student with random weights, as the package keeps one."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save_file

from stylemixseg._util.paths import sha256_file
from stylemixseg.models.stored import half_precision
from stylemixseg.students.start import random_student


def write_student(path: Path, side: int = 33, seed: int = 0, **about: object) -> Path:
    """Weights and provenance of a random student; `about` is more of the provenance."""
    save_file(half_precision(random_student(seed).state_dict()), path)
    path.with_suffix(".json").write_text(json.dumps({"sha256": sha256_file(path), "side": side, **about}))
    return path


def write_parts(path: Path, classes: tuple[str, ...], side: int = 33, seed: int = 1) -> Path:
    """Weights and provenance of a random student of named parts."""
    save_file(half_precision(random_student(seed, len(classes)).state_dict()), path)
    record = {"sha256": sha256_file(path), "side": side, "classes": classes}
    path.with_suffix(".json").write_text(json.dumps(record))
    return path
