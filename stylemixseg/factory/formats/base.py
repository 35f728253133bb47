"""What writes a format, and which formats there are."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from stylemixseg._util.checks import check_choice

if TYPE_CHECKING:  # which imports PyTorch; `--help` shows the names of the formats without
    from stylemixseg.factory.sample import Sample

FORMATS = ("folder", "webdataset", "parquet", "coco")


class Writer(Protocol):
    """Writes one format into a folder of its own.

    Args of every one: the folder, which is there and empty, and the names of the labels 0, 1, ... of the masks. Files
    that were given as whole may be gone the next moment, because they were sent to an object store.

    Attributes:
        data_files: which of its files Hugging Face's `datasets` loads, as a pattern; None where it cannot.
        description: how it is read, for the data card: Markdown.
    """

    data_files: ClassVar[str | None]
    description: ClassVar[str]

    def __init__(self, folder: Path, labels: Sequence[str]): ...

    def add(self, sample: Sample) -> list[Path]:
        """Write one sample; they come in the order of their seeds. Gives the files that are whole now, each once."""
        ...

    def close(self) -> list[Path]:
        """Write what is left; gives the files that are whole now."""
        ...


def writer_of(name: str) -> type[Writer]:
    """The class that writes a format.

    Raises:
        ValueError: an unknown name.
        ModuleNotFoundError: the library that it needs is not installed; names the extra.
    """
    check_choice("format", name, FORMATS)
    writer: type[Writer] = import_module(f"stylemixseg.factory.formats.{name}").FormatWriter
    return writer


def key_of(sample: Sample) -> str:
    """The name of a sample's files without their endings: ten digits, so that names sort as seeds do."""
    return f"{sample.seed:010d}"
