"""A downloaded copy for students runs in an empty folder, with nothing of this project but the installed wheel."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / folder) for folder in ("book", "requirements")]
from bookbuild.exercises import ANSWER, CHECK, code_exercises
from bookbuild.layout import ROOT, notebook_sources
from bookbuild.notebooks import launch_notebook, read_source
from bookbuild.references import read_references
from check_package import installed, run

CHAPTER = "02_style_mixing"

# Run by the interpreter of the bare environment; its own kernel, whatever kernels the user has.
RUN = """
import sys
from pathlib import Path
import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from ipykernel.kernelspec import make_ipkernel_cmd
from nbclient import NotebookClient

class Own(AsyncKernelManager):
    kernel_spec = KernelSpec(argv=make_ipkernel_cmd(), display_name="x", language="python", env={"IPYTHONDIR": "ipython"})

path = Path(sys.argv[1])
notebook = nbformat.read(path, as_version=4)
NotebookClient(notebook, kernel_manager_class=Own, timeout=600).execute()
nbformat.write(notebook, path)
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """The interpreter of an environment that holds the wheel alone; dependencies are found in the one that tests."""
    folder = tmp_path_factory.mktemp("bare")
    source = folder / "source"
    # From a copy of what git holds, since a build leaves files beside its source.
    run("git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", source, folder=folder)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, source, folder=folder)
    (wheel,) = folder.glob("*.whl")
    return installed(sys.executable, wheel, folder / "env")


def _copy() -> NotebookNode:
    sources = {source.stem: source for source in notebook_sources()}
    references = read_references({name: read_source(source) for name, source in sources.items()})
    return launch_notebook(sources[CHAPTER], references)


@pytest.mark.slow
@pytest.mark.parametrize("solved", [False, True], ids=["as downloaded", "with answers"])
def test_a_copy_for_students_runs(bare: Path, tmp_path: Path, solved: bool) -> None:
    """Only the size of the run is changed. The checks ask for answers until they get them, and all else runs."""
    notebook = _copy()
    answers = {item.stub: item.answer for item in code_exercises(read_source(ROOT / "notebooks" / f"{CHAPTER}.py"))}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = cell.source.replace('profile = "cpu"', 'profile = "smoke"')
            if solved and ANSWER in cell.metadata.get("tags", []):
                cell.source = answers[cell.source]
    path = tmp_path / f"{CHAPTER}.ipynb"
    nbformat.write(notebook, path)
    run(bare, "-c", RUN, path, folder=tmp_path, STYLEMIXSEG_CACHE=str(tmp_path / "cache"))
    ran = nbformat.read(path, as_version=4)
    errors = [output for cell in ran.cells for output in cell.get("outputs", []) if output.output_type == "error"]
    checks = [cell for cell in ran.cells if CHECK in cell.metadata.get("tags", [])]
    assert len(checks) == len(answers)
    if solved:
        assert not errors and all(cell.outputs[0].text.startswith("Right.") for cell in checks)
    else:
        assert [error.ename for error in errors] == ["NotImplementedError"] * len(checks)
        assert all("then run its check" in error.evalue for error in errors)
    assert list((tmp_path / "results" / "smoke").glob("*.json")), "the notebook recorded no result"
