"""Build the pages with Jupyter Book, warnings as errors."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import fields
from pathlib import Path

import yaml

from stylemixseg._util.paths import atomic_write
from stylemixseg.evaluation.tables import table
from stylemixseg.experiments.profile import described_profile, load_profile, profile_names
from stylemixseg.foreground import CornerMinority, Saliency
from stylemixseg.settings import SegmenterConfig

from .api import write_api
from .course import write_course
from .layout import BOOK, BUILD, EXECUTED, GENERATED, HTML, SITE, VENDOR, BuildError, notebook_sources
from .notebooks import INSTRUCTOR, STUDENT, markdown_of, read_source
from .performance import write_performance

# Settings of _config.yml that name vendored files, dropped where the files could not be had.
_VENDORED = ("mathjax_path", "nb_ipywidgets_js")


def build_html() -> None:
    """Build every page into `_build/html`.

    All pages are written anew each time: Sphinx does not repeat the warnings of pages that it takes from its store.

    Raises:
        BuildError: Jupyter Book failed or warned.
    """
    SITE.mkdir(parents=True, exist_ok=True)
    write_defaults()
    write_copies()
    write_course()
    write_performance()
    write_api()
    with tempfile.TemporaryDirectory() as folder:
        config = _config(Path(folder))
        command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
        command += ["build", "--all", "-W", "-n", "-q", "--keep-going", "--config", str(config), str(BOOK)]
        # A page that is no longer in the table of contents must not stay in the built book.
        shutil.rmtree(HTML, ignore_errors=True)
        done = subprocess.run(command, cwd=BOOK, env=os.environ | {"PYTHONUTF8": "1"}, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise BuildError("Jupyter Book failed or warned (warnings are errors): see its lines above")
    # GitHub Pages would drop folders whose names begin with an underscore.
    (HTML / ".nojekyll").touch()
    print(f"the book is at {(HTML / 'index.html').relative_to(BUILD.parent.parent)}")


def write_defaults(path: Path = GENERATED / "defaults.md") -> Path:
    """Write tables of the settings as they stand in the code; the settings page includes the file."""
    settings = [
        [f"`{type(part).__name__}`", f"`{item.name}`", _value(getattr(part, item.name))]
        for part in (SegmenterConfig(), Saliency(), CornerMinority())
        for item in fields(part)
    ]
    profiles = [load_profile(name) for name in profile_names()]
    described = [described_profile(profile) for profile in profiles]
    sizes = [[f"`{name}`", *(_value(values[name]) for values in described)] for name in described[0]]
    parts = [
        "**Defaults of the method.**",
        table(["part", "setting", "default"], settings),
        "**Sizes and settings of the profiles.**",
        table(["setting", *(f"`{profile.name}`" for profile in profiles)], sizes),
    ]
    with atomic_write(path) as temporary:
        temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return path


def write_copies(path: Path = GENERATED / "copies.md") -> Path:
    """Write the table of links to the copies of all chapters, which the page for instructors includes."""
    rows = []
    for source in notebook_sources():
        title = markdown_of(read_source(source)).partition("\n")[0].removeprefix("# ")
        # As HTML, because Sphinx takes a link to a notebook for one to a page.
        links = [f'<a href="{whose}/{source.stem}.ipynb">{whose}</a>' for whose in (STUDENT, INSTRUCTOR)]
        rows.append([f"[{title}]({EXECUTED.name}/{source.stem}.ipynb)", *links])
    with atomic_write(path) as temporary:
        temporary.write_text(table(["chapter", "for students", "for instructors"], rows) + "\n", encoding="utf-8")
    return path


def _value(value: object) -> str:
    """A setting in a table's cell: a list without its brackets, a rule by its name."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, Saliency | CornerMinority):
        return f"`{type(value).__name__}`"
    return "none" if value in (None, "") else str(value)


def _config(folder: Path) -> Path:
    """The configuration to build with: `_config.yml`, or a copy that takes MathJax and widgets from the network."""
    config = BOOK / "_config.yml"
    if (VENDOR / "vendor").is_dir():
        return config
    settings = yaml.safe_load(config.read_text())
    sphinx = settings["sphinx"]["config"]
    for name in _VENDORED:
        del sphinx[name]
    del sphinx["html_js_files"]
    sphinx["html_extra_path"] = [p for p in sphinx["html_extra_path"] if p != VENDOR.name]
    online = folder / "_config.yml"
    online.write_text(yaml.safe_dump(settings))
    return online
