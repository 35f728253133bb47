"""The reference of the package: every public module has its place, and every room a page and a reason."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book"))
from bookbuild.api import METHOD, rooms, write_api


def test_the_reference_has_every_public_module(tmp_path) -> None:
    write_api(tmp_path / "api")
    text = "\n".join(path.read_text() for path in (tmp_path / "api").glob("*.md"))
    shown = re.findall(r"automodule:: (\S+)", text)
    assert len(shown) == len(set(shown))
    parts = [path.relative_to(ROOT).with_suffix("").parts for path in (ROOT / "stylemixseg").rglob("*.py")]
    modules = {".".join(part[:-1] if part[-1] == "__init__" else part) for part in parts}
    assert set(shown) == {name for name in modules if "._" not in name}


def test_every_room_has_its_page_and_says_why_it_is_there(tmp_path) -> None:
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())
    chapters = [chapter for part in toc["parts"] for chapter in part["chapters"]]
    (reference,) = [chapter for chapter in chapters if chapter["file"] == "api"]
    assert {page["file"] for page in reference["sections"]} == {f"generated/api/{page}" for page in rooms()}
    assert reference["sections"][0]["file"] == f"generated/api/{METHOD}"
    write_api(tmp_path / "api")
    reasons = re.findall(r"\(generated/api/\w+\.md\) \| (.+) \|", (tmp_path / "rooms.md").read_text())
    assert len(reasons) == len(rooms()) and all(len(reason.split()) > 4 for reason in reasons)


def test_a_page_of_a_room_that_is_gone_is_removed(tmp_path) -> None:
    package = tmp_path / "stylemixseg"
    for room in ("one", "two"):
        (package / room).mkdir(parents=True)
        (package / room / "__init__.py").write_text(f'"""Why room {room} is there."""\n')
    (package / "__init__.py").write_text('"""The method."""\n')
    (package / "_private.py").write_text("")
    write_api(tmp_path / "api", package)
    assert {path.stem for path in (tmp_path / "api").iterdir()} == {METHOD, "one", "two"}
    (package / "two" / "__init__.py").unlink()
    (package / "two").rmdir()
    write_api(tmp_path / "api", package)
    assert {path.stem for path in (tmp_path / "api").iterdir()} == {METHOD, "one"}
    assert "Why room one is there." in (tmp_path / "rooms.md").read_text()
