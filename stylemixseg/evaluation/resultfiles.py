"""Reading JSON files of results, which may come from elsewhere: bounded in size, without NaN."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

MAX_BYTES = 4 << 20  # the scores of all images of a full ablation are some 200 kB


class ResultError(ValueError):
    """A result or expectation file is missing, damaged, or does not hold what it should."""


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON object from a file of at most MAX_BYTES.

    Raises:
        ResultError: missing, too large, not UTF-8 JSON, not an object, or with NaN or infinity; names the file.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES} bytes")
        content = json.loads(data.decode("utf-8"), parse_constant=_refuse)
    except (OSError, ValueError, RecursionError) as error:
        raise ResultError(f"{path} is not a readable JSON file: {error}") from error
    if not isinstance(content, dict):
        raise ResultError(f"{path} must hold a JSON object, got {type(content).__name__}")
    return content


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")
