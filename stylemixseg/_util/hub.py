"""Models in a folder or on Hugging Face's hub: what their libraries raise, in words that say what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

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
