"""TensorFlow Lite models: a known file, opened by the run time of the extra `references`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stylemixseg._util.checks import check_int
from stylemixseg._util.optional import extra
from stylemixseg._util.paths import data_file, sha256_file

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter


def known_file(parts: tuple[str, ...], sha256: str) -> Path:
    """Path of a file in the data folder, whose content the caller knows.

    Args:
        parts: where it is inside that folder, such as ("models", "name.tflite").
        sha256: 64 hex digits.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it has another content.
    """
    path = data_file(*parts)
    if (found := sha256_file(path)) != sha256:
        raise ValueError(f"{path} has SHA-256 {found}, expected {sha256}: it is damaged or another model")
    return path


def open_model(parts: tuple[str, ...], sha256: str, threads: int) -> Interpreter:
    """An interpreter with its tensors allocated.

    Args:
        parts: where the file is inside the data folder, as in `known_file`.
        sha256: 64 hex digits. A model is a program, so no other than the known one is run.
        threads: of the processor, at least 1.

    Raises:
        FileNotFoundError: no such file.
        ModuleNotFoundError: ai-edge-litert is not installed.
        ValueError: the file is another one.
    """
    threads = check_int("threads", threads, 1)
    path = known_file(parts, sha256)
    with extra("references", f"{path.name} needs ai-edge-litert"):
        from ai_edge_litert.interpreter import Interpreter
    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter
