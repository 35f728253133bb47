"""What is installed suffices: a bare package segments, and downloaded notebooks run on what their first cell installs."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from packaging.requirements import Requirement

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book"))
from bookbuild.execute import write_launch_notebooks
from bookbuild.imports import (
    DEPENDENCIES,
    EXTRA,
    EXTRA_DEPENDENCIES,
    PROJECT,
    imports,
    installed_modules,
    notebook_imports,
)
from bookbuild.layout import LOCK, PACKAGE, ROOT, notebook_sources, repository_url
from bookbuild.notebooks import STUDENT

CHAPTERS = [source.stem for source in notebook_sources()]
REQUIREMENT = f"stylemixseg[{EXTRA}] @ git+{repository_url()}"


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory) -> dict[str, NotebookNode]:
    """The notebooks that readers download, by chapter."""
    site = tmp_path_factory.mktemp("site")
    write_launch_notebooks(notebook_sources(), site)
    return {name: nbformat.read(site / STUDENT / f"{name}.ipynb", as_version=4) for name in CHAPTERS}


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_first_cell_installs_what_the_notebook_imports(notebooks: dict[str, NotebookNode], name: str) -> None:
    first = next(cell for cell in notebooks[name].cells if cell.cell_type == "code")
    assert f'%pip install --quiet "{REQUIREMENT}"' in first.source
    brought = installed_modules([*DEPENDENCIES, *EXTRA_DEPENDENCIES]) | {"stylemixseg"}
    assert notebook_imports(notebooks[name]) - brought == set()
    for module in installed_modules(EXTRA_DEPENDENCIES):  # an installation without the extra counts as incomplete
        assert f'"{module}"' in first.source


class _OnImport(ast.NodeTransformer):
    """Leaves of a module what runs when it is imported, and not what only its functions do or only an extra needs."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        return None

    def visit_If(self, node: ast.If) -> ast.If | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)

    def visit_With(self, node: ast.With) -> ast.With | None:
        return None if _extra(node) else self.generic_visit(node)


def _extra(node: ast.With) -> str | None:
    """The extra that a block `with extra("name", ...)` imports from."""
    call = node.items[0].context_expr
    return call.args[0].value if isinstance(call, ast.Call) and ast.unparse(call.func) == "extra" else None


MODULES = pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)


@MODULES
def test_a_module_of_the_package_imports_mandatory_dependencies_only(path: Path) -> None:
    """What an extra brings is imported where it is needed, in a block that says which extra is missing."""
    on_import = _OnImport().visit(ast.parse(path.read_text(encoding="utf-8")))
    brought = installed_modules(DEPENDENCIES) | {"tomli"}  # a dependency that newer Pythons do without
    assert imports(on_import) - brought - {"stylemixseg"} == set()


@MODULES
def test_the_extra_that_is_named_brings_what_is_imported(path: Path) -> None:
    extras = PROJECT["optional-dependencies"]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.With) and (name := _extra(node)):
            # What is not installed here is taken to bring a module of its own name.
            brought = installed_modules(extras[name]) | {Requirement(line).name for line in extras[name]}
            assert imports(ast.Module(node.body, [])) <= brought, f"line {node.lineno}"


asked_for = pytest.mark.skipif(
    not os.environ.get("STYLEMIXSEG_SLOW"),
    reason="installs an environment of 2 GB and runs all chapters in it: set STYLEMIXSEG_SLOW=1",
)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of what pip builds the package from, since a build leaves files beside its source."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "LICENSES", folder / "LICENSES")
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> Path:
    """Programs of an environment with PyTorch and what every place that runs notebooks has, and nothing else."""
    folder = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    (torch,) = (line for line in LOCK.read_text().splitlines() if line.startswith("torch=="))
    for requirements in ([torch], ["ipykernel", "nbclient"]):
        _run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", *requirements, folder=folder)
    return folder / "bin"


def _run(*command: str | Path, folder: Path) -> None:
    """Run a program in a folder, as a reader would who has nothing of this project."""
    ours = ("PYTHON", "STYLEMIXSEG_", "JUPYTER", "IPYTHON", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    cache = {"STYLEMIXSEG_CACHE": str(folder / "cache")}
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=environment | cache, stdin=subprocess.DEVNULL,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"


@pytest.mark.slow
@pytest.mark.network
@asked_for
def test_a_bare_installation_segments(fresh: Path, source: Path, tmp_path: Path) -> None:
    _run(fresh / "python", "-m", "pip", "install", "--quiet", source, folder=tmp_path)
    _run(fresh / "stylemixseg", "segment", "--generator", "toy-portrait", "--seed", "3", "-o", "out", folder=tmp_path)
    assert (tmp_path / "out" / "mask.png").is_file()
    # The notebooks are to install the package by themselves.
    _run(fresh / "python", "-m", "pip", "uninstall", "--quiet", "--yes", "stylemixseg", folder=tmp_path)


@pytest.mark.slow
@pytest.mark.network
@asked_for
@pytest.mark.parametrize("name", CHAPTERS)
def test_a_downloaded_notebook_runs(
    notebooks: dict[str, NotebookNode], name: str, fresh: Path, source: Path, tmp_path: Path
) -> None:
    """In an empty folder; only the size of the run and where pip gets the package from are changed."""
    text = nbformat.writes(notebooks[name])
    for old, new in ((f"git+{repository_url()}", source.as_uri()), (r"profile = \"cpu\"", r"profile = \"smoke\"")):
        assert text.count(old) == 1
        text = text.replace(old, new)
    (tmp_path / f"{name}.ipynb").write_text(text, encoding="utf-8")
    _run(fresh / "jupyter-execute", "--inplace", f"{name}.ipynb", folder=tmp_path)
    cells = nbformat.read(tmp_path / f"{name}.ipynb", as_version=4).cells
    assert any(cell.get("outputs") for cell in cells)
    assert list((tmp_path / "results" / "smoke").glob("*.json")), "the notebook recorded no result"
