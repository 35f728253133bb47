"""A student with random weights, as the package keeps one."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save_file

from stylemixseg._util.paths import sha256_file
from stylemixseg.students.start import random_student


def write_student(path: Path, side: int = 33, seed: int = 0) -> Path:
    """Weights and provenance of a random student."""
    state = {
        name: value.half().contiguous()
        for name, value in random_student(seed).state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    save_file(state, path)
    path.with_suffix(".json").write_text(json.dumps({"sha256": sha256_file(path), "side": side}))
    return path
