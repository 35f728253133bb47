"""The experiments: each module registers what it measures, and whoever lists, runs, tests or cites one asks here.

    @experiment("table4", "mIoU by cutoff c, number of clusters k and colour space", measured_by=score_cells)
    def run_ablation(profile, results, generator=None): ...

`experiments()` imports the modules and gives what can be run. `listed()` reads the same from their source text, because
the ledger and `--help` need names and lines only, and PyTorch takes seconds to import.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from random import Random
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from stylemixseg.evaluation.imagescores import ImageScores
    from stylemixseg.experiments.profile import Profile
    from stylemixseg.generators.base import Generator

FOLDER = Path(__file__).parent


class Run(Protocol):
    """Measures one table at a profile's size and writes `<results>/<profile>/<name>.json`; gives the file's path.

    `generator` None: the profile's own, loaded anew.
    """

    def __call__(self, profile: Profile, results: Path, generator: Generator | None = None) -> Path:
        """Run it."""
        ...


# Measures a few of the images again that stand in `scores`, drawn by `draw`, and writes them below the folder.
Again = Callable[["Profile", Mapping[str, "ImageScores"], Random, Path], None]


@dataclass(frozen=True)
class Experiment:
    """One table of numbers.

    Attributes:
        name: of the table and its result file. words: what it measures, for the reader.
        run: measures it. measured_by: the function that the ledger links to.
        again: measures a few of its images again, for the spot check.
    """

    name: str
    words: str
    run: Run
    measured_by: Callable
    again: Again | None


@dataclass(frozen=True)
class Listed:
    """What an experiment's source text says of it.

    Attributes:
        words: what it measures. file: the module. lines: first and last line of the function that measures.
    """

    words: str
    file: Path
    lines: tuple[int, int]


_REGISTERED: dict[str, Experiment] = {}


def experiment(name: str, words: str, *, measured_by: Callable, again: Again | None = None) -> Callable[[Run], Run]:
    """Register the decorated function, which runs the experiment; name and words are written out in the source.

    Raises:
        ValueError: another function has that name.
    """

    def register(run: Run) -> Run:
        if name in _REGISTERED:
            raise ValueError(f"experiment {name} is registered already, by {_REGISTERED[name].run.__module__}")
        _REGISTERED[name] = Experiment(name, words, run, measured_by, again)
        return run

    return register


def experiments() -> dict[str, Experiment]:
    """All experiments, by name."""
    for module in iter_modules([str(FOLDER)]):
        import_module(f"stylemixseg.experiments.{module.name}")
    return dict(sorted(_REGISTERED.items()))


@cache
def listed() -> dict[str, Listed]:
    """All experiments, by name, as their source text describes them; nothing is imported."""
    found = {}
    for path in sorted(FOLDER.glob("*.py")):
        functions = {
            node.name: node
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.FunctionDef)
        }
        for function in functions.values():
            for call in function.decorator_list:
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "experiment":
                    name, words = (ast.literal_eval(argument) for argument in call.args)
                    measures = next(item.value for item in call.keywords if item.arg == "measured_by")
                    assert isinstance(measures, ast.Name)
                    node = functions[measures.id]
                    found[name] = Listed(words, path, (node.lineno, node.end_lineno or node.lineno))
    return dict(sorted(found.items()))
