"""Weights that belong to one generator: read with their hash and the generator's checked."""

from __future__ import annotations

from pathlib import Path

import torch

from stylemixseg.generators.base import Generator
from stylemixseg.models.stored import checked_record, stored_tensors


def read_weights(path: str | Path, generator: Generator) -> dict[str, torch.Tensor]:
    """Tensors of a .safetensors file (stored in fp16, given in fp32); its .json beside it says what they belong to.

    Raises:
        FileNotFoundError: either file is missing.
        ValueError: the file's SHA-256 is not the one in the .json, or it was made for another generator.
    """
    path = Path(path)
    record = checked_record(path, "weights", "data_scripts/train_encoder.py makes them")
    if generator.digest != record["generator"]["sha256"]:
        raise ValueError(
            f"{path.name} was trained for the generator {record['generator']['name']} "
            f"({record['generator']['sha256'][:12]}...), got {generator.name} ({generator.digest[:12]}...): use that "
            "generator, or train anew with data_scripts/train_encoder.py"
        )
    return stored_tensors(path)
