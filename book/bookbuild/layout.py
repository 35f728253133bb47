"""Where the parts of the book lie."""

from __future__ import annotations

from pathlib import Path

import yaml

from stylemixseg.experiments import profile as profiles

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
NOTEBOOKS = ROOT / "notebooks"
PACKAGE = ROOT / "stylemixseg"
LOCK = ROOT / "requirements" / "lock.txt"

EXECUTED = BOOK / "_executed"  # executed notebooks: the pages of the book
GENERATED = BOOK / "generated"  # pages and files made from results
SITE = GENERATED / "site"  # copied to the root of the built book as it is
VENDOR = BOOK / "_vendor"  # scripts and fonts that the pages load
BUILD = BOOK / "_build"
HTML = BUILD / "html"
REPORTS = BUILD / "reports"  # notebooks that failed, with their tracebacks
RESULTS = BOOK / "results"


class BuildError(Exception):
    """A step of the build failed; the message says what was wrong and what to do."""


def notebook_sources(folder: Path = NOTEBOOKS) -> list[Path]:
    """Sources of the chapters that run, in reading order: `NN_name.py` files in py:percent format."""
    return sorted(folder.glob("[0-9][0-9]_*.py"))


def profile_file(profile: str) -> Path:
    """Settings file of a profile, given by its name or as a .toml file.

    Raises:
        BuildError: no such profile (the message suggests the nearest names), or a wrong setting in it.
    """
    try:
        path = profiles.profile_file(profile)
        profiles.read_profile(path)
    except (OSError, ValueError) as error:
        raise BuildError(str(error)) from error
    return path


def repository_url() -> str:
    """Address of the source repository, from `_config.yml`: the one place where it is written."""
    return yaml.safe_load((BOOK / "_config.yml").read_text())["repository"]["url"]


def site_url() -> str:
    """Address of the published book, on GitHub Pages of the repository."""
    owner, name = repository_url().removeprefix("https://github.com/").split("/")
    return f"https://{owner}.github.io/{name}"
