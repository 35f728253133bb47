"""Where a number comes from: the command that makes it, the code that measures it, and when that last happened."""

from __future__ import annotations

import inspect
import subprocess
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

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


def code_address(source: Callable[..., object] | str) -> str:
    """Address on the repository of a function's lines, or of a file given by its path from the repository's root."""
    if isinstance(source, str):
        return f"{REPOSITORY}/blob/{revision()}/{source}"
    lines, first = inspect.getsourcelines(source)
    path = Path(inspect.getfile(source)).resolve().relative_to(ROOT)
    return f"{REPOSITORY}/blob/{revision()}/{path.as_posix()}#L{first}-L{first + len(lines) - 1}"


def made_by(experiment: str, functions: Mapping[str, Callable[..., object]]) -> tuple[str, str]:
    """The command that makes an experiment's numbers, and the address of the code that measures them.

    Args:
        experiment: of a `Run`; what is no table of `reproduce` is a chapter.
        functions: what measures a table, by its name.
    """
    if experiment in functions:
        return f"stylemixseg reproduce {experiment}", code_address(functions[experiment])
    return "make book", code_address(f"notebooks/{experiment}.py")


def standing(created: str, since: str | None) -> str:
    """When something was computed: "in this build", or "on 2026-11-25".

    Args:
        created: UTC, ISO 8601.
        since: when the build began, in the same form; None: there is no build.
    """
    return "in this build" if since is not None and created >= since else f"on {created[:10]}"
