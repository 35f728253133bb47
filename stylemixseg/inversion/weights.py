"""Weights that belong to one generator: read with their hash and the generator's checked."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from stylemixseg._util.paths import sha256_file
from stylemixseg.generators.base import Generator


def read_weights(path: str | Path, generator: Generator) -> dict[str, torch.Tensor]:
    """Tensors of a .safetensors file (stored in fp16, given in fp32); its .json beside it says what they belong to.

    Raises:
        FileNotFoundError: either file is missing.
        ValueError: the file's SHA-256 is not the one in the .json, or it was made for another generator.
    """
    path = Path(path)
    provenance = path.with_suffix(".json")
    for file in (path, provenance):
        if not file.is_file():
            raise FileNotFoundError(f"no weights at {file}; data_scripts/train_encoder.py makes them")
    record = json.loads(provenance.read_text(encoding="utf-8"))
    if (found := sha256_file(path)) != record["sha256"]:
        raise ValueError(
            f"{path} has SHA-256 {found} but {provenance.name} says {record['sha256']}: the file is damaged or was "
            "changed; install the package again"
        )
    if generator.digest != record["generator"]["sha256"]:
        raise ValueError(
            f"{path.name} was trained for the generator {record['generator']['name']} "
            f"({record['generator']['sha256'][:12]}...), got {generator.name} ({generator.digest[:12]}...): use that "
            "generator, or train anew with data_scripts/train_encoder.py"
        )
    return {name: tensor.float() for name, tensor in load_file(path).items()}
