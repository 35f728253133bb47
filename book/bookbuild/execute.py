"""Run the chapters by papermill, each only when something that it depends on has changed."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbformat import NotebookNode

from stylemixseg._util.paths import atomic_write, data_dir
from stylemixseg._util.processes import end_with_parent
from stylemixseg._util.threads import usable_cores
from stylemixseg.evaluation.results import RunRecorder

from .kernel import STARTUP, own_kernel
from .layout import EXECUTED, LOCK, PACKAGE, REPORTS, RESULTS, SITE, BuildError, notebook_sources, profile_file
from .notebooks import INSTRUCTOR, STUDENT, first_line, launch_links, launch_notebook, read_source, stated_seconds
from .references import read_references

# The stated run time of a chapter is for the `cpu` profile; CI fails where a chapter takes longer than this factor.
RUN_TIME_FACTOR = 3
# Chapters that show numbers of the same run which other chapters measure: those run before them.
AFTER = {
    "07_ablation": {"06_evaluation"},  # the claims are tested on Table 1, too
    "15_other_ways": {"06_evaluation", "10_real_photos", "12_many_images"},  # differences from method and judge
}
OPTIONAL_DATA = ("data/celebamask_hq_800", "data/weizmann_horse", "models")  # some chapters measure more with them


def cache_key(source: Path, profile: str) -> str:
    """Hash of all that an executed chapter depends on.

    That is its source, the package, the profile, the locked versions, what starts the kernel, and which of the optional
    data are there.
    """
    digest = hashlib.sha256(profile.encode())
    package = [path for path in sorted(PACKAGE.rglob("*")) if path.is_file() and _counts(path)]
    # chapters show these beside their own numbers, and what chose the settings
    committed = [
        path for name in ("full", "development") for path in sorted((RESULTS / name).rglob("*")) if path.is_file()
    ]
    for path in [source, profile_file(profile), LOCK, STARTUP, *package, *committed]:
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


def execute(
    source: Path, output: Path, *, profile: str, results: Path, alone: bool = True, reports: Path = REPORTS
) -> float:
    """Run one chapter and write the executed notebook, ready for the book; gives the wall time in seconds.

    `profile` is a name or a .toml file; `results` is the folder of all results, the chapter writes to
    `<results>/<name of the profile>/`. Only a chapter that runs alone has a progress bar. One that fails is kept in
    `reports`, as far as it ran.

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
                progress_bar=alone,
            )
        except Exception as error:
            raise BuildError(_failure(source, executed, reports, error)) from error
        notebook = nbformat.read(executed, as_version=4)
    seconds = time.time() - started
    own = results / profile_file(profile).stem
    # Also what a chapter beside this one wrote meanwhile: without that file, both will run again.
    written = sorted(p.name for p in own.glob("*.json") if p.stat().st_mtime >= started - 1)
    _tidy(notebook, source.stem)
    notebook.metadata["stylemixseg"] = {"key": cache_key(source, profile), "seconds": seconds, "results": written}
    with atomic_write(output) as temporary:
        nbformat.write(notebook, temporary)
    return seconds


def execute_all(profile: str, results: Path, *, folder: Path = EXECUTED, at_once: int = 1) -> None:
    """Run every chapter whose executed copy is missing or out of date, and record the wall times.

    `at_once` chapters run at the same time. That is sooner done where a chapter does not keep all cores busy, but each
    chapter takes longer, and so do the steps whose seconds it reports.

    Raises:
        BuildError: there is no chapter, a chapter failed, or (where CI is set) took far longer than it states. What
            runs beside a chapter that failed is finished before, so that it need not run again.
    """
    sources, name = notebook_sources(), profile_file(profile).stem
    if not sources:
        raise BuildError("no notebook sources in notebooks/: expected files named like 01_tour.py")
    results = results.resolve()
    times = RunRecorder("run_times", name, results / name / "run_times.json")
    stated = {source: stated_seconds(read_source(source)) for source in sources}
    found = {source: _up_to_date(source, folder, profile, results / name) for source in sources}
    for source, seconds in found.items():
        if seconds is not None:
            print(f"unchanged: {source.stem} ({seconds:.0f} s when it ran)", flush=True)
    due = [source for source in sources if found[source] is None]
    if at_once > 1:  # the longest first, so that none of them is left alone at the end
        due.sort(key=lambda source: -(stated[source] or 0))
    how = {"profile": profile, "results": results, "alone": at_once == 1, "reports": REPORTS}
    for source, seconds in _run(due, partial(_execute_into, folder, how), at_once):
        found[source] = seconds
        print(f"  {source.stem}: {seconds:.0f} s", flush=True)
    slow, limit = [], RUN_TIME_FACTOR * at_once  # those that run at once share the cores
    for source, seconds in found.items():
        said = stated[source]
        note = None if said is None else f"states {said:.0f} s (for profile cpu on two cores)"
        times.add(f"run_times.{source.stem}.seconds", seconds, note=note)
        if profile == "cpu" and said is not None and seconds > limit * said:
            slow.append(f"{source.stem} took {seconds:.0f} s and states {said:.0f} s")
    times.write()
    write_launch_notebooks(sources)
    for line in slow:
        print(f"slower than stated: {line}")
    if slow and os.environ.get("CI"):
        raise BuildError(f"run times stated in the text are off by more than a factor of {limit}")


def _execute_into(folder: Path, how: dict[str, Any], source: Path) -> float:
    return execute(source, _executed(source, folder), **how)


def _executed(source: Path, folder: Path) -> Path:
    return folder / f"{source.stem}.ipynb"


def _executor(at_once: int) -> Executor:
    if at_once == 1:
        return _InThisProcess()
    return ProcessPoolExecutor(at_once, multiprocessing.get_context("spawn"), _begin_worker, (at_once,))


def _begin_worker(at_once: int) -> None:
    """A build that is killed leaves no worker behind, and a kernel ends with its worker."""
    share_cores(os.environ, at_once)
    end_with_parent()


def share_cores(environment: MutableMapping[str, str], processes: int) -> None:
    """Let a process start as many threads as its share of the cores, unless the environment says how many.

    Two processes with a thread on each core each take several times as long: threads of a pool wait for the last of
    them, which waits for its core.
    """
    environment.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // processes)))


class _InThisProcess(Executor):
    """Runs what is submitted before it gives the future."""

    def submit(self, fn, /, *args, **kwargs) -> Future:
        future: Future = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def _run(due: Sequence[Path], job: Callable[[Path], float], at_once: int) -> Iterator[tuple[Path, float]]:
    """Run `job` on chapters, some at once, none before those of `AFTER`; gives (source, seconds) as each ends.

    In processes and not in threads: a keyboard interrupt reaches each process, which then stops its chapter's kernel.
    """
    waiting, running = list(due), dict[Future, Path]()
    with _executor(at_once) as pool:
        while waiting or running:
            unfinished = {source.stem for source in (*waiting, *running.values())}
            ready = [source for source in waiting if not AFTER.get(source.stem, set()) & unfinished]
            for source in ready[: at_once - len(running)]:
                print(f"running {source.stem}", flush=True)
                running[pool.submit(job, source)] = source
                waiting.remove(source)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                source = running.pop(future)
                if future.exception() and running:
                    others = ", ".join(other.stem for other in running.values())
                    print(f"{source.stem} failed; {others} will be finished first", flush=True)
                yield source, future.result()


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


def _up_to_date(source: Path, folder: Path, profile: str, results: Path) -> float | None:
    """Seconds of the earlier run where it still holds and its result files are there; else None."""
    output = _executed(source, folder)
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


def _failure(source: Path, executed: Path, reports: Path, error: Exception) -> str:
    """Which notebook failed, in which cell and why; keeps the notebook as far as it ran."""
    if not executed.exists():
        return f"notebook {source.stem} could not be started: {type(error).__name__}: {error}"
    notebook = nbformat.read(executed, as_version=4)
    report = reports / f"{source.stem}.ipynb"
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
