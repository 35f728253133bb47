"""Pages of the API reference: one page per room of the package, made from the docstrings."""

from __future__ import annotations

import ast
from pathlib import Path

from stylemixseg._util.paths import atomic_write
from stylemixseg.evaluation.tables import table

from .layout import GENERATED, PACKAGE

METHOD = "method"  # the page of the modules that lie in no room: the method itself


def rooms(package: Path = PACKAGE) -> dict[str, list[str]]:
    """{page: full names of its modules}: the method first, then the package's public folders in alphabetical order.

    The first name of a room is the room itself. Names that begin with an underscore are private and have no place here.
    """
    found = {METHOD: [package.name]}
    for path in sorted(package.rglob("*.py"), key=lambda path: path.relative_to(package).with_suffix("").parts):
        parts = path.relative_to(package).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if not parts or any(part.startswith("_") for part in parts):
            continue
        page = parts[0] if (package / parts[0]).is_dir() else METHOD
        found.setdefault(page, []).append(".".join((package.name, *parts)))
    return {page: sorted(names) for page, names in found.items()}


def write_api(folder: Path = GENERATED / "api", package: Path = PACKAGE) -> None:
    """Write a page for each room, and `rooms.md`, the table that the first page of the reference includes."""
    pages = rooms(package)
    folder.mkdir(parents=True, exist_ok=True)
    for page in folder.glob("*.md"):
        if page.stem not in pages:  # of a room that is gone
            page.unlink()
    for page, names in pages.items():
        _write(folder / f"{page}.md", "\n\n".join(_section(name, names[0]) for name in names))
    rows = [
        [f"[`{_short(page, names[0])}`](generated/api/{page}.md)", _why(names[0], package)]
        for page, names in pages.items()
    ]
    _write(folder.parent / "rooms.md", table(["room", "why it is there"], rows))


def _section(name: str, room: str) -> str:
    """A heading and the directive that fetches a module's docstrings; a room's own heading is the title of the page."""
    title = f"# `{name}`" if name == room else f"## `{name.removeprefix(f'{room}.')}`"
    # Matplotlib writes a method `set` into each subclass of a figure, in markup of its own.
    options = ":members:\n   :exclude-members: set\n   :ignore-module-all:"
    return f"{title}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   {options}\n```"


def _short(page: str, name: str) -> str:
    return name if page == METHOD else page


def _why(name: str, package: Path) -> str:
    """The first sentence of the docstring of a room."""
    source = package.joinpath(*name.split(".")[1:]) / "__init__.py"
    text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split())


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
