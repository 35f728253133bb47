"""The package's rooms: each imports only rooms below it, no import goes in a circle, and what needs no PyTorch has none."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "stylemixseg"

# From the ground up. A module may import from its own room and from rooms further up in this list only. The method is
# no folder: its modules lie at the front door, and each is a room of its own.
ROOMS = (
    "_util",
    "feedback",
    "colors",
    "foreground",
    "metrics",
    "settings",
    "generators",
    "mixing",
    "clustering",
    "summary",
    "sharpening",
    "joint",
    "segmenter",
    "variants",
    "models",
    "data",
    "objects",
    "inversion",
    "photos",
    "viz",
    "export",
    "live",
    "factory",
    "training",
    "students",
    "baselines",
    "evaluation",
    "experiments",
    "ledger",
    "commands",
)


def modules() -> dict[str, Path]:
    names = {}
    for path in PACKAGE.rglob("*.py"):
        parts = ("stylemixseg", *path.relative_to(PACKAGE).with_suffix("").parts)
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports(known: dict[str, Path], *, everywhere: bool) -> dict[str, set[str]]:
    """What each module imports of the package: at its top, or inside functions and for type checkers too."""
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = ast.walk(tree) if everywhere else iter(tree.body)
        found[name] = set()
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "stylemixseg":
                whole = [f"{node.module}.{alias.name}" for alias in node.names]
                found[name] |= {item if item in known else node.module for item in whole}
            elif isinstance(node, ast.Import):
                found[name] |= {alias.name for alias in node.names if alias.name in known}
    return found


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else "the package itself"


def test_every_room_has_its_place():
    assert {room(name) for name in modules()} == {*ROOMS, "the package itself", "__main__"}


def test_rooms_import_only_rooms_below():
    """Imports inside functions and for type checkers count too, except the settings' of what they are settings of."""
    allowed = {("settings", "joint")}  # for type checkers: a discriminant is one of the settings
    wrong = []
    for name, imported in imports(modules(), everywhere=True).items():
        if room(name) in ROOMS:
            for other in imported:
                pair = (room(name), room(other))
                above = pair[1] in ROOMS and ROOMS.index(pair[1]) > ROOMS.index(pair[0])
                if above and pair not in allowed:
                    wrong.append(f"{name} imports {other}")
    assert not wrong


def test_no_import_goes_in_a_circle():
    # A package's own __init__ is imported before its modules, and imports none that import it back.
    order = list(TopologicalSorter(imports(modules(), everywhere=False)).static_order())  # CycleError names the circle
    assert len(order) >= len(modules())


def test_commands_of_users_do_not_import_experiments():
    found = imports(modules(), everywhere=True)
    for command in ("fetch", "generators", "inspect", "convert", "segment", "photos", "objects"):
        assert not {
            name for name in found[f"stylemixseg.commands.{command}"] if room(name) in ("experiments", "ledger")
        }


LIGHT = (
    "stylemixseg",
    "stylemixseg.settings",
    "stylemixseg.experiments.profile",
    "stylemixseg.experiments.registry",
    "stylemixseg.evaluation.results",
    "stylemixseg.evaluation.numbercheck",
    "stylemixseg.ledger.page",
    "stylemixseg.commands.main",
)


@pytest.mark.parametrize("module", LIGHT)
def test_what_needs_no_torch_does_not_import_it(module):
    code = f"import sys, {module}; print([n for n in ('torch', 'faiss', 'matplotlib', 'openvino') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
