"""What a run measured, where, with what: one JSON file for each experiment and profile.

Values are stored unrounded, so that averages of them can be checked; NaN and infinity are refused. The scores of every
image behind a mean stand in a file of the same name in the folder `images` beside it (`imagescores.py`). Files are read
with a schema and a size limit, since they may come from elsewhere.

The schema is checked here and not by `msgspec` or `pydantic`: the checks of `Measurement` serve recording as well,
where numbers of NumPy come in and `msgspec` checks nothing. A library would replace about 25 lines, with one more
compiled package for every user and messages that no longer say what was found.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from numbers import Real
from pathlib import Path
from typing import Any, Protocol

from stylemixseg._util.checks import check_int
from stylemixseg._util.paths import atomic_write
from stylemixseg.evaluation.imagescores import ImageScores, write_scores
from stylemixseg.evaluation.resultfiles import ResultError, read_json
from stylemixseg.metrics import Confusion, bootstrap_interval, bootstrap_mean, mean_iou

VERSIONED = ("stylemixseg", "torch", "numpy", "faiss-cpu", "faiss-gpu", "openvino")
_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Measurement:
    """One measured number.

    Attributes:
        name: dotted lower-case name, such as "table4.lab.c8.k4.miou".
        value: unrounded, finite.
        n: sample size, None where there is none.
        interval: (low, high) of 95 %, low <= high, or None.
        note: free text for the reader, or None.
    """

    name: str
    value: float
    n: int | None = None
    interval: tuple[float, float] | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ValueError(f"name must be dotted lower-case words such as 'table4.lab.c8.k4.miou', got {self.name!r}")
        object.__setattr__(self, "value", _finite(f"value of {self.name}", self.value))
        if self.n is not None:
            object.__setattr__(self, "n", check_int(f"n of {self.name}", self.n, 1))
        if self.interval is not None:
            if isinstance(self.interval, str) or not isinstance(self.interval, Sequence) or len(self.interval) != 2:
                raise TypeError(f"interval of {self.name} must be (low, high) or None, got {self.interval!r}")
            low, high = (_finite(f"interval of {self.name}", end) for end in self.interval)
            if low > high:
                raise ValueError(f"interval of {self.name} must have low <= high, got ({low}, {high})")
            object.__setattr__(self, "interval", (low, high))
        if self.note is not None and not isinstance(self.note, str):
            raise TypeError(f"note of {self.name} must be text or None, got {self.note!r}")


def _finite(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}")
    return number


@dataclass(frozen=True)
class Run:
    """A result file: what was measured, and everything that the numbers depend on.

    Attributes:
        experiment, profile: which run.
        generator: {"name", "sha256"}, or None where no generator took part.
        seed: the seed that the run states, or None.
        device: what it ran on, in words.
        versions: of this package, of what computes, and of Python.
        created: date and time of writing, UTC, ISO 8601.
        seconds: wall time from the recorder's start to its writing.
        measurements: in the order of recording, names unique.
    """

    experiment: str
    profile: str
    generator: Mapping[str, str] | None
    seed: int | None
    device: str
    versions: Mapping[str, str]
    created: str
    seconds: float
    measurements: tuple[Measurement, ...] = field(default=())


class HasDigest(Protocol):
    """What a result says of a generator.

    Attributes:
        name: short name, as in the catalogue.
        digest: SHA-256 in hex of what fixes its output.
    """

    name: str
    digest: str


class RunRecorder:
    """Collects the measurements of one experiment and writes them as one file.

    Args:
        experiment, profile: names of the run.
        out_path: the JSON file, `<results>/<profile>/<experiment>.json`.
        generator: anything with `name` and `digest`, or None.
        seed: the run's seed, or None.
        device: "cpu" or a CUDA device, for the record.

    Examples:
        >>> recorder = RunRecorder("table4", "cpu", "results/cpu/table4.json")
        >>> item = recorder.add("table4.lab.c8.k4.miou", 0.8123, n=6, interval=(0.77, 0.85))
        >>> measurements([load_run(recorder.write())])["table4.lab.c8.k4.miou"].value
        0.8123
    """

    def __init__(
        self,
        experiment: str,
        profile: str,
        out_path: str | Path,
        generator: HasDigest | None = None,
        *,
        seed: int | None = None,
        device: object = "cpu",
    ):
        for name, value in (("experiment", experiment), ("profile", profile)):
            _check_plain(name, value)
        self.experiment, self.profile, self.out_path = experiment, profile, Path(out_path)
        self.generator = None if generator is None else {"name": generator.name, "sha256": generator.digest}
        self.seed = None if seed is None else check_int("seed", seed, 0)
        self.device = describe_device(device)
        self._measurements: dict[str, Measurement] = {}
        self._scores: dict[str, ImageScores] = {}
        self._started = time.perf_counter()

    def add(
        self,
        name: str,
        value: float,
        *,
        n: int | None = None,
        interval: Iterable[float] | None = None,
        note: str | None = None,
    ) -> Measurement:
        """Record one number, unrounded.

        Raises:
            ValueError: NaN or infinity, a malformed or repeated name, an interval the wrong way round.
        """
        if name in self._measurements:
            raise ValueError(f"{name} has been recorded already, with value {self._measurements[name].value}")
        ends: Any = None if interval is None else tuple(interval)  # a `Measurement` checks that they are two
        self._measurements[name] = Measurement(name, value, n, ends, note)
        return self._measurements[name]

    def add_ious(
        self,
        prefix: str,
        confusions: Sequence[Confusion],
        *,
        average: str,
        images: Sequence[str] | None = None,
        note: str | None = None,
    ) -> None:
        """Record `<prefix>.fg_iou`, `.bg_iou` and `.miou` of a set of images, with n and bootstrap intervals.

        The counts of every image are kept too, under `prefix`.

        Args:
            prefix: dotted lower-case name that the three numbers share, such as "table4.lab.c8.k4".
            confusions: one per image.
            average: "dataset" or "per_image", as in `mean_iou`.
            images: names of the images; None numbers them.
            note: free text for the reader, kept with each of the three numbers.
        """
        for statistic in ("fg_iou", "bg_iou", "miou"):
            self.add(
                f"{prefix}.{statistic}",
                mean_iou(confusions, average, statistic),
                n=len(confusions),
                interval=bootstrap_interval(confusions, statistic, average),
                note=note,
            )
        self.add_scores(prefix, ImageScores.of_confusions(confusions, images))

    def add_both(
        self, prefix: str, confusions: Sequence[Confusion], images: Sequence[str] | None = None, note: str | None = None
    ) -> None:
        """Record a set of images in both averages: dataset-level as `<prefix>.*`, over images as `.per_image.*`."""
        self.add_ious(prefix, confusions, average="dataset", images=images, note=note)
        self.add_ious(f"{prefix}.per_image", confusions, average="per_image", images=images, note=note)
        del self._scores[f"{prefix}.per_image"]  # the same counts stand under `prefix`

    def add_mean(
        self,
        name: str,
        groups: Sequence[Sequence[float]],
        *,
        images: Sequence[str] | None = None,
        note: str | None = None,
    ) -> None:
        """Record the mean over all values, with n and a bootstrap interval over groups, and the mean of every group.

        Args:
            name: dotted lower-case name of the mean, such as "table1.faces.psnr".
            groups: the values of each image, as in `bootstrap_mean`; those without a value count for nothing.
            images: names of the images, one per group; None numbers them.
            note: free text for the reader, kept with the mean.
        """
        values = [value for group in groups for value in group]
        self.add(name, sum(map(float, values)) / len(values), n=len(values), interval=bootstrap_mean(groups), note=note)
        names = [str(index) for index in range(len(groups))] if images is None else images
        shown = {
            image: sum(map(float, group)) / len(group) for image, group in zip(names, groups, strict=True) if group
        }
        self.add_scores(name, ImageScores.of_values(list(shown.values()), list(shown)))

    def add_scores(self, name: str, scores: ImageScores) -> None:
        """Keep the scores of every image under a dotted name."""
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"name must be dotted lower-case words such as 'table4.lab.c8.k4', got {name!r}")
        if name in self._scores:
            raise ValueError(f"the images' scores of {name} have been recorded already")
        self._scores[name] = scores

    def write(self) -> Path:
        """Write the file, whole or not at all, and the images' scores beside it; return its path.

        Raises:
            ValueError: nothing was recorded.
        """
        if not self._measurements:
            raise ValueError(f"experiment {self.experiment} recorded no measurement, so {self.out_path} is not written")
        run = Run(
            self.experiment,
            self.profile,
            self.generator,
            self.seed,
            self.device,
            installed_versions(),
            datetime.now(timezone.utc).isoformat(timespec="seconds"),
            round(time.perf_counter() - self._started, 3),
            tuple(self._measurements.values()),
        )
        text = json.dumps(asdict(run), indent=1, allow_nan=False) + "\n"
        # The means last: whoever finds them finds the scores behind them too.
        write_scores(scores_path(self.out_path), self._scores)
        with atomic_write(self.out_path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return self.out_path


def scores_path(result_file: str | Path) -> Path:
    """Where the images' scores of a result file stand: a file of its name in the folder `images` beside it."""
    path = Path(result_file)
    return path.parent / "images" / path.name


def _check_plain(name: str, value: object) -> str:
    if not isinstance(value, str) or not _PLAIN.fullmatch(value):
        raise ValueError(f"{name} must be a plain name of letters, digits, '_', '-' and '.', got {value!r}")
    return value


def installed_versions() -> dict[str, str]:
    """Versions of this package, of the packages that compute, and of Python; what is not installed is left out."""
    versions = {"python": platform.python_version()}
    for name in VERSIONED:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def describe_device(device: object = "cpu") -> str:
    """A device in words: "cpu (x86_64, 2 cores)", or a GPU's name."""
    kind = str(device).partition(":")[0]
    if kind == "cuda":
        import torch  # takes a second; whoever ran on a GPU has it already

        return f"cuda ({torch.cuda.get_device_name(str(device))})"
    return f"{kind} ({platform.machine()}, {os.cpu_count()} cores)"


def load_run(path: str | Path) -> Run:
    """Read one result file.

    Raises:
        ResultError: damaged or not a result file; names the file and what is wrong.
    """
    content = read_json(path)
    try:
        measured = content.pop("measurements")
        if not isinstance(measured, list):
            raise TypeError(f"measurements must be a list, got {type(measured).__name__}")
        run = Run(**content, measurements=tuple(_measurement(item) for item in measured))
        _check_run(run)
    except KeyError as error:
        raise ResultError(f"{path} is not a result file: {error} is missing") from error
    except (TypeError, ValueError) as error:
        raise ResultError(f"{path} is not a result file: {error}") from error
    return run


def _measurement(item: object) -> Measurement:
    if not isinstance(item, dict):
        raise TypeError(f"a measurement must be an object, got {item!r:.80}")
    return Measurement(**item)


def _check_run(run: Run) -> None:
    _check_plain("experiment", run.experiment)
    _check_plain("profile", run.profile)
    if run.generator is not None and (not _is_texts(run.generator) or set(run.generator) != {"name", "sha256"}):
        raise TypeError(f"generator must be null or have name and sha256, got {run.generator!r:.80}")
    if run.seed is not None:
        check_int("seed", run.seed, 0)
    if not _is_texts(run.versions):
        raise TypeError(f"versions must map names to versions, got {run.versions!r:.80}")
    if not isinstance(run.device, str):
        raise TypeError(f"device must be text, got {run.device!r:.80}")
    datetime.fromisoformat(run.created)
    _finite("seconds", run.seconds)
    names = [item.name for item in run.measurements]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{repeated[0]} is measured twice")


def _is_texts(mapping: object) -> bool:
    return isinstance(mapping, dict) and all(isinstance(value, str) for value in mapping.values())


def results_folder(results: str | Path | None = None) -> Path:
    """The folder of all result files, `<profile>/<experiment>.json` below it.

    Args:
        results: the folder; None: `book/results` of the repository that this package is installed from (editable), or
            `results` in the working folder where there is no such repository.
    """
    if results is not None:
        return Path(results)
    book = Path(__file__).resolve().parents[2] / "book"
    return book / "results" if (book / "_config.yml").exists() else Path("results")


def load_runs(folder: str | Path) -> list[Run]:
    """Read all result files of a folder, by file name. An absent or empty folder gives an empty list."""
    return [load_run(path) for path in sorted(Path(folder).glob("*.json"))]


def profile_runs(results_dir: str | Path, profile: str) -> list[Run]:
    """The runs of one profile, `<results_dir>/<profile>/*.json`.

    Raises:
        ResultError: a damaged file, or one that another profile wrote.
    """
    runs = load_runs(Path(results_dir) / profile)
    for run in runs:
        if run.profile != profile:
            raise ResultError(
                f"{Path(results_dir) / profile} holds results of profile {run.profile!r} (experiment {run.experiment})"
            )
    return runs


def measurements(source: str | Path | Sequence[Run]) -> dict[str, Measurement]:
    """Measurements by name, of a result file, of all those in a folder, or of runs that were read.

    Raises:
        ResultError: a damaged file, a path that is not there, or a name that two files measured.
    """
    if isinstance(source, (str, Path)):
        path = Path(source)
        if not path.exists():
            raise ResultError(f"no results at {path}")
        source = load_runs(path) if path.is_dir() else [load_run(path)]
    found: dict[str, Measurement] = {}
    for run in source:
        for item in run.measurements:
            if item.name in found:
                raise ResultError(f"{item.name} is measured twice, the second time by experiment {run.experiment}")
            found[item.name] = item
    return found
