"""What the benchmarks share: runs in fresh processes, ratios of paired runs, the machine, result files.

A benchmark is one script. Called by a user it drives; called by itself, in a fresh process, it measures one variant:

    def work(variant, settings, laps):      # in the fresh process: do it, return what the parent wants to know
        ...
    if __name__ == "__main__":
        measure.serve(work) or main()

    measure.fresh_run(__file__, "ours", settings)      # in `main`: seconds, peak memory, and what `work` returned

Nothing heavy is imported here: the variants must start from nothing.
"""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("faiss-cpu", "faiss-gpu", "kornia", "numpy", "openvino", "scikit-image", "stylemixseg", "torch")
THREAD_SETTINGS = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Laps:
    """Seconds of the steps of one run: `laps("mixes")` ends the step that has gone on since the last call."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def __call__(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now


def fresh_run(script: str | Path, variant: str, settings: dict) -> dict:
    """Run one variant in a fresh process.

    Returns:
        "wall_s" from the start of the process to its end, "cpu_s" of all its threads, "peak_bytes" of its memory (its
        largest resident size), "laps" in seconds; and what the variant's `work` returned, under its own keys.

    Raises:
        RuntimeError: the process failed; its output stands above.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        task, result = Path(folder) / "task.json", Path(folder) / "result.json"
        task.write_text(json.dumps({"variant": variant, "settings": settings, "result": str(result)}))
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, str(script), "--task", str(task)], stdout=sys.stderr)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{Path(script).name}, variant {variant!r}, failed with status {process.returncode}")
        return {"wall_s": wall, "cpu_s": usage.ru_utime + usage.ru_stime} | json.loads(result.read_text())


def serve(work: Callable[[str, dict, Laps], dict]) -> bool:
    """In the fresh process: do the task that `fresh_run` set, and say True; False where a user called the script."""
    if sys.argv[1:2] != ["--task"]:
        return False
    task = json.loads(Path(sys.argv[2]).read_text())
    laps = Laps()
    record = work(task["variant"], task["settings"], laps)
    Path(task["result"]).write_text(json.dumps({"peak_bytes": _peak_bytes(), "laps": laps.seconds, **record}))
    return True


def _peak_bytes() -> int:
    """Largest resident size of this process so far."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    # Linux hands a parent's getrusage peak on to its child; this one begins anew.
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) * 1024


def interleaved(variants: Sequence[str], rounds: int) -> Iterable[tuple[int, str]]:
    """(round, variant), each variant once a round, in alternating order: A B, B A, A B, ...

    Whatever else the machine does then falls on all variants alike.
    """
    for number in range(rounds):
        for variant in variants if number % 2 == 0 else reversed(variants):
            yield number, variant


def spread(values: Iterable[float]) -> dict:
    """Minimum, median, maximum and number of values."""
    values = list(values)
    return {"min": min(values), "median": statistics.median(values), "max": max(values), "n": len(values)}


def paired_ratios(runs: Sequence[dict], mine: str, other: str, keys=("wall_s", "cpu_s", "peak_bytes")) -> dict:
    """Spread of mine / other, run by run of the same round. `runs` have the keys "round", "variant" and `keys`."""
    by_round = {(run["round"], run["variant"]): run for run in runs}
    rounds = sorted({run["round"] for run in runs})
    return {key: spread(by_round[i, mine][key] / by_round[i, other][key] for i in rounds) for key in keys}


def fit_line(x: Sequence[float], y: Sequence[float]) -> dict:
    """Least-squares line y = intercept + slope x, and its R^2."""
    slope, intercept = statistics.linear_regression(x, y)
    mean = statistics.fmean(y)
    total = sum((value - mean) ** 2 for value in y)
    rest = sum((value - intercept - slope * at) ** 2 for at, value in zip(x, y))
    return {"slope": slope, "intercept": intercept, "r2": 1 - rest / total if total else 1.0}


def machine() -> dict:
    """Processor, cores, memory, load, system, and versions of the libraries that are installed."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load_average": os.getloadavg()[0],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": versions,
        "threads": {name: os.environ[name] for name in THREAD_SETTINGS if name in os.environ},
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or "unknown"
    fields = dict(part for line in lines if len(part := [item.strip() for item in line.split(":", 1)]) == 2)
    names = (fields.get("model name", "unknown"), fields.get("cpu family"), fields.get("model"))
    return names[0] if None in names else f"{names[0]} (family {names[1]}, model {names[2]})"


def write_result(path: str | Path, benchmark: str, settings: dict, started: dict, **content) -> None:
    """One JSON file: what was measured, when, on what (`started`: `machine()` before the first run), how."""
    record = {
        "benchmark": benchmark,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {**started, "load_average": [started["load_average"], os.getloadavg()[0]]},
        "settings": settings,
        **content,
    }
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")
    print(f"wrote {path}", file=sys.stderr)


def say(text: str) -> None:
    """Progress, to standard error, with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
