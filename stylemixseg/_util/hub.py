"""Models in a folder or on Hugging Face's hub: where they are, and what their libraries raise, in words that help."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")  # owner/name


@contextmanager
def errors_explained(source: str, is_folder: bool, unavailable: type[Exception]) -> Iterator[None]:
    """Turn what transformers, diffusers, tokenizers and safetensors raise inside the block into one error.

    Args:
        source: a folder, or owner/name on the hub.
        is_folder: which of the two.
        unavailable: the error to raise; its message says what is wrong, and how to get the files without a network.
    """
    try:
        yield
    except Exception as error:  # each has classes of its own for damaged files, and OSError for no network
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if is_folder:
            raise unavailable(f"{source} is not a whole model: {reason}") from error
        raise unavailable(
            f"{source} could not be had from the hub: {reason} On a machine with a network run `hf download {source} "
            "--local-dir FOLDER`, copy the folder here and load it by its path"
        ) from error


def model_source(argument: str, model: str | Path) -> tuple[str, bool]:
    """A folder or an id on the hub, and whether it is a folder.

    Args:
        argument: its name, for the message.
        model: what the user gave.

    Raises:
        ValueError: neither of the two.
    """
    if Path(model).is_dir():
        return str(model), True
    if isinstance(model, str) and HUB_ID.fullmatch(model):
        return model, False
    raise ValueError(f"{argument} must be a folder, or owner/name on the hub, got {str(model)!r}")


def check_safetensors(folder: str | Path, unavailable: type[Exception]) -> None:
    """Refuse a model's folder that has its weights in another format.

    Args:
        folder: of the model.
        unavailable: the error to raise.
    """
    if not any(Path(folder).glob("*.safetensors")):
        raise unavailable(
            f"{folder} has no *.safetensors file: weights in other formats (pytorch_model.bin) are pickles, which can "
            "run any code, and are not read"
        )
