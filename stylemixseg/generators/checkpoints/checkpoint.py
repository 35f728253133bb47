"""What a reader returns, the one error that it raises, and how words out of an untrusted file are shown."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from stylemixseg.generators.stylegan2.architecture import Architecture


class CheckpointError(ValueError):
    """The file is not a StyleGAN2 generator that can be used, or holds something that was refused."""


@dataclass(frozen=True)
class Checkpoint:
    """A StyleGAN2 generator, read from a file.

    Attributes:
        format: "nvidia-pytorch", "nvidia-names" (a state_dict of that code), "nvidia-tensorflow", "rosinality" or
            "stylemixseg".
        architecture: found from the shapes; `conv_clamp` from the file's settings.
        weights: float32 CPU tensors under the names of NVIDIA's PyTorch code, see `layout.expected_shapes`.
            `mapping.w_avg` is absent where the file has no mean latent.
        sha256: of the file, 64 hex digits.
        notes: what a user should know about this file.
        licence: from our own format's metadata, else None.
    """

    format: str
    architecture: Architecture
    weights: dict[str, Tensor]
    sha256: str
    notes: tuple[str, ...] = ()
    licence: str | None = None


def shown(value: object, length: int = 80) -> str:
    """A value of an untrusted file for an error message: ASCII, escaped, short; containers only by their type."""
    if value is None or isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < 2**64):
        return repr(value)
    if not isinstance(value, str):
        return f"a value of type {type(value).__name__}"
    text = ascii(value[: length + 1])[1:-1]
    return text if len(text) <= length else f"{text[:length]}..."
