"""Run the chapters by papermill, each only when something that it depends on has changed."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from pathlib import Path

import nbformat
import papermill
from nbformat import NotebookNode

from stylemixseg._util.paths import atomic_write, data_dir
from stylemixseg.evaluation.results import RunRecorder

from .kernel import own_kernel
from .layout import EXECUTED, LOCK, PACKAGE, REPORTS, RESULTS, SITE, BuildError, notebook_sources, profile_file
from .notebooks import INSTRUCTOR, STUDENT, first_line, launch_links, launch_notebook, read_source, stated_seconds
from .references import read_references

# The stated run time of a chapter is for the `cpu` profile; CI fails where a chapter takes longer than this factor.
RUN_TIME_FACTOR = 3
OPTIONAL_DATA = ("data/celebamask_hq_800", "data/weizmann_horse", "models")  # some chapters measure more with them


def cache_key(source: Path, profile: str) -> str:
    """Hash of all that an executed chapter depends on.

    That is its source, the package, the profile, the locked versions, and which of the optional data are there.
    """
    digest = hashlib.sha256(profile.encode())
    package = [path for path in sorted(PACKAGE.rglob("*")) if path.is_file() and _counts(path)]
    # chapters show these beside their own numbers, and what chose the settings
    committed = [
        path for name in ("full", "development") for path in sorted((RESULTS / name).rglob("*")) if path.is_file()
    ]
    for path in [source, profile_file(profile), LOCK, *package, *committed]:
        digest.update(path.name.encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    for folder in OPTIONAL_DATA:
        digest.update(str((data_dir() / folder).exists()).encode())
    return digest.hexdigest()


def _counts(path: Path) -> bool:
    """Whether a file of the package can change what a chapter shows: expectations are compared with it afterwards."""
    if path.parent.name == "expectations":
        return path.name == "paper.json"
    return "__pycache__" not in path.parts and path.parent.name != "profiles"


def execute(source: Path, output: Path, *, profile: str, results: Path) -> float:
    """Run one chapter and write the executed notebook, ready for the book; gives the wall time in seconds.

    `profile` is a name or a .toml file; `results` is the folder of all results, the chapter writes to
    `<results>/<name of the profile>/`.

    Raises:
        BuildError: a cell failed. Names the notebook, the cell and the exception; `output` is left as it was.
    """
    started = time.time()
    with tempfile.TemporaryDirectory() as folder:
        # The working folder is empty and thrown away: a chapter must not depend on where it runs.
        work = Path(folder) / "work"
        work.mkdir()
        plain, executed = Path(folder) / source.with_suffix(".ipynb").name, Path(folder) / "executed.ipynb"
        nbformat.write(read_source(source), plain)
        try:
            papermill.execute_notebook(
                plain,
                executed,
                parameters={"profile": profile, "results": str(results)},
                kernel_name="python3",
                kernel_manager_class=own_kernel(Path(folder) / "ipython"),
                cwd=work,
            )
        except Exception as error:
            raise BuildError(_failure(source, executed, error)) from error
        notebook = nbformat.read(executed, as_version=4)
    seconds = time.time() - started
    own = results / profile_file(profile).stem
    written = sorted(p.name for p in own.glob("*.json") if p.stat().st_mtime >= started - 1)
    _tidy(notebook, source.stem)
    notebook.metadata["stylemixseg"] = {"key": cache_key(source, profile), "seconds": seconds, "results": written}
    with atomic_write(output) as temporary:
        nbformat.write(notebook, temporary)
    return seconds


def execute_all(profile: str, results: Path, *, folder: Path = EXECUTED) -> None:
    """Run every chapter whose executed copy is missing or out of date, and record the wall times.

    Raises:
        BuildError: there is no chapter, a chapter failed, or (where CI is set) took far longer than it states.
    """
    sources, name = notebook_sources(), profile_file(profile).stem
    if not sources:
        raise BuildError("no notebook sources in notebooks/: expected files named like 01_tour.py")
    results = results.resolve()
    times, slow = RunRecorder("run_times", name, results / name / "run_times.json"), []
    for source in sources:
        output = folder / f"{source.stem}.ipynb"
        seconds = _up_to_date(source, output, profile, results / name)
        if seconds is None:
            print(f"running {source.stem} (profile {profile})", flush=True)
            seconds = execute(source, output, profile=profile, results=results)
            print(f"  {seconds:.0f} s", flush=True)
        else:
            print(f"unchanged: {source.stem} ({seconds:.0f} s when it ran)", flush=True)
        stated = stated_seconds(read_source(source))
        note = None if stated is None else f"states {stated:.0f} s (for profile cpu on two cores)"
        times.add(f"run_times.{source.stem}.seconds", seconds, note=note)
        if profile == "cpu" and stated is not None and seconds > RUN_TIME_FACTOR * stated:
            slow.append(f"{source.stem} took {seconds:.0f} s and states {stated:.0f} s")
    times.write()
    write_launch_notebooks(sources)
    for line in slow:
        print(f"slower than stated: {line}")
    if slow and os.environ.get("CI"):
        raise BuildError(f"run times stated in the text are off by more than a factor of {RUN_TIME_FACTOR}")


def write_launch_notebooks(sources: list[Path], site: Path = SITE) -> None:
    """Write the copies for students, which Colab and Binder open, those for instructors, and what Binder installs."""
    references = read_references({source.stem: read_source(source) for source in sources})
    for audience in (STUDENT, INSTRUCTOR):
        for source in sources:
            with atomic_write(site / audience / f"{source.stem}.ipynb") as temporary:
                nbformat.write(launch_notebook(source, references, audience), temporary)
    binder = site / "binder"
    with atomic_write(binder / "requirements.txt") as temporary:
        temporary.write_text(LOCK.read_text())
    with atomic_write(binder / "runtime.txt") as temporary:
        temporary.write_text("python-3.11\n")


def _up_to_date(source: Path, output: Path, profile: str, results: Path) -> float | None:
    """Seconds of the earlier run where it still holds and its result files are there; else None."""
    if not output.exists():
        return None
    record = nbformat.read(output, as_version=4).metadata.get("stylemixseg", {})
    if record.get("key") != cache_key(source, profile):
        return None
    if not all((results / name).exists() for name in record["results"]):
        return None
    return record["seconds"]


def _tidy(notebook: NotebookNode, name: str) -> None:
    """Drop what names this machine (papermill's cell and records), and add the links to run the chapter elsewhere."""
    notebook.cells = [c for c in notebook.cells if "injected-parameters" not in c.metadata.get("tags", [])]
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
    first = next(cell for cell in notebook.cells if cell.cell_type == "markdown")
    title, _, rest = first.source.partition("\n")
    first.source = f"{title}\n\n{launch_links(name)}\n{rest}"


def _failure(source: Path, executed: Path, error: Exception) -> str:
    """Which notebook failed, in which cell and why; keeps the notebook as far as it ran."""
    if not executed.exists():
        return f"notebook {source.stem} could not be started: {type(error).__name__}: {error}"
    notebook = nbformat.read(executed, as_version=4)
    report = REPORTS / f"{source.stem}.ipynb"
    with atomic_write(report) as temporary:
        nbformat.write(notebook, temporary)
    cells = [
        c
        for c in notebook.cells
        if not {"injected-parameters", "papermill-error-cell-tag"} & set(c.metadata.get("tags", []))
    ]
    # A cell that raised has an error output. A kernel that died leaves none: it died in the last cell that started.
    code = [(index, cell) for index, cell in enumerate(cells, start=1) if cell.cell_type == "code"]
    raised = [(index, cell) for index, cell in code if any(o.output_type == "error" for o in cell.outputs)]
    started = [(index, cell) for index, cell in code if cell.metadata.get("papermill", {}).get("start_time")]
    index, cell = raised[0] if raised else (started or code)[-1]
    # An error of a cell carries the class and the message of what was raised inside the kernel.
    kind, message = (error.ename, error.evalue) if hasattr(error, "ename") else (type(error).__name__, error)
    return (
        f"notebook {source.stem} failed in cell {index} (`{first_line(cell)}`): {kind}: {message}\n"
        f"full traceback: {report}"
    )
