"""Where a number comes from: the command that makes it, the code that measures it, and when that last happened."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Protocol

REPOSITORY = "https://github.com/stylemixseg/stylemixseg"
ROOT = Path(__file__).resolve().parents[2]


@cache
def revision() -> str:
    """The commit that this source tree is at, or "main" where it is no git checkout of its own."""
    if not (ROOT / ".git").exists():  # an installed package may lie inside a repository of somebody else's
        return "main"
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.CalledProcessError):
        return "main"
    return done.stdout.strip()


def code_address(path: str | Path, lines: tuple[int, int] | None = None) -> str:
    """Address of a file on the repository, or of some of its lines.

    Args:
        path: from the repository's root, or absolute.
        lines: the first and the last, counted from 1; None: the whole file.
    """
    path = Path(path)
    inside = path.relative_to(ROOT) if path.is_absolute() else path
    place = "" if lines is None else f"#L{lines[0]}-L{lines[1]}"
    return f"{REPOSITORY}/blob/{revision()}/{inside.as_posix()}{place}"


class Source(Protocol):
    """Where a function stands: its file, and the first and last line."""

    @property
    def file(self) -> Path:
        """The file."""
        ...

    @property
    def lines(self) -> tuple[int, int]:
        """First and last line."""
        ...


def made_by(experiment: str, sources: Mapping[str, Source]) -> tuple[str, str]:
    """The command that makes an experiment's numbers, and the address of the code that measures them.

    Args:
        experiment: of a `Run`; what is not among the sources is a chapter.
        sources: of the experiments that `stylemixseg reproduce` runs, by name.
    """
    if experiment in sources:
        source = sources[experiment]
        return f"stylemixseg reproduce {experiment}", code_address(source.file, source.lines)
    return "make book", code_address(f"notebooks/{experiment}.py")


def standing(created: str, since: str | None) -> str:
    """When something was computed: "in this build", or "on 2026-11-25".

    Args:
        created: UTC, ISO 8601.
        since: when the build began, in the same form; None: there is no build.
    """
    return "in this build" if since is not None and created >= since else f"on {created[:10]}"
