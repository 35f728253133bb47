"""The reproduction ledger: what the paper reported beside what was measured here, the checks, and the claims.

A check compares a measurement with an expectation, a value that an earlier run of the same profile measured on the same
seeds: it finds what a change broke. It says nothing about the paper; the ledger's tables and claims do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stylemixseg.experiments.claims import CLAIMS, CUTOFFS, KS, OURS, OURS_CORNER_GRID, PAPER, SPACES
from stylemixseg.experiments.detectors import THRESHOLDS
from stylemixseg.experiments.parts import FACE_PARTS, WAYS
from stylemixseg.paths import atomic_write
from stylemixseg.results import Measurement, ResultError, Run, measurements, profile_runs, read_json
from stylemixseg.tables import IOUS, measured_text, table, value_text

FOLDER = Path(__file__).parent / "expectations"
TOLERANCE = 0.02
# What needs DeepLabV3 or OpenCV, which not every machine has, is recorded but never expected.
SECOND_REFERENCE = ("deeplab", "references")
REDRAWN = "_cut"  # how the names of masks end that GrabCut redrew
# What needs CelebAMask-HQ, which not every machine has either, is expected of a run that measured any of it.
PHOTOS = "table1.celeba."
PROFILES = {"full": "measured here, full run", "cpu": "measured here, quick cpu run"}


@dataclass(frozen=True)
class Row:
    """One check: what was measured, what was expected, and whether they agree within the tolerance."""

    name: str
    measured: float
    n: int | None
    interval: tuple[float, float] | None
    expected: float
    tolerance: float
    ok: bool


def expectations_path(profile: str) -> Path:
    """Where the expectations of a profile stand in the package; the file need not exist."""
    return FOLDER / f"{profile}.json"


def check(profile: str, results_dir: str | Path, expectations: str | Path | None = None) -> list[Row]:
    """Compare a profile's results with its expectations, one row an expectation.

    Expectations on real photos (`PHOTOS`) are left out where the run has no result on photos at all: the data were not
    there.

    Args:
        profile: whose results, `<results_dir>/<profile>/*.json`.
        results_dir: the folder of all result files, such as `book/results`.
        expectations: a file {name: {"value", "tolerance"}}; None: the package's own for this profile.

    Raises:
        ResultError: no or damaged files, or an expectation that has no result; names the file and the measurement.
    """
    path = Path(expectations) if expectations is not None else expectations_path(profile)
    expected = _expectations(path)
    found = measurements(profile_runs(results_dir, profile))
    if not any(name.startswith(PHOTOS) for name in found):
        expected = {name: value for name, value in expected.items() if not name.startswith(PHOTOS)}
    if missing := [name for name in expected if name not in found]:
        raise ResultError(
            f"{path} expects {missing[0]}, which no result file in {Path(results_dir) / profile} holds"
            + (f" (and {len(missing) - 1} more)" if len(missing) > 1 else "")
            + f": run the notebooks with profile {profile}, or take the expectation out"
        )
    rows = []
    for name, (value, tolerance) in expected.items():
        item = found[name]
        ok = abs(item.value - value) <= tolerance
        rows.append(Row(name, item.value, item.n, item.interval, value, tolerance, ok))
    return rows


def _expectations(path: Path) -> dict[str, tuple[float, float]]:
    """{name: (value, tolerance)} of an expectation file."""
    expected = {}
    for name, entry in read_json(path).items():
        try:
            value = Measurement(name, entry["value"]).value
            tolerance = Measurement(name, entry["tolerance"]).value
            if set(entry) != {"value", "tolerance"} or tolerance < 0:
                raise ValueError("it must have a value and a tolerance of at least 0, and nothing else")
        except (KeyError, TypeError, ValueError) as error:
            raise ResultError(f"{path}, expectation {name}: {error!r}") from error
        expected[name] = (value, tolerance)
    if not expected:
        raise ResultError(f"{path} holds no expectation")
    return expected


def propose_expectations(profile: str, results_dir: str | Path) -> dict[str, dict[str, float]]:
    """Expectations for a profile from its own results, so that no number is typed by hand.

    Expected are IoUs that are means over images, the ones with an interval. The tolerance is half the width of the
    95 % interval, and at least 0.02: the same seeds are measured again, and what may move them is another machine's
    arithmetic, which can flip a cluster of one image. Single images, counts, distances and costs are recorded too,
    but a flip moves them without meaning anything.

    Raises:
        ResultError: the profile has no results.
    """
    found = measurements(profile_runs(results_dir, profile))
    if not found:
        raise ResultError(f"no results of profile {profile} in {Path(results_dir) / profile}: run it first")
    proposed = {}
    for name, item in sorted(found.items()):
        if name.endswith("iou") and item.interval and _measured_everywhere(name):
            tolerance = max(TOLERANCE, (item.interval[1] - item.interval[0]) / 2)
            proposed[name] = {"value": round(item.value, 6), "tolerance": round(tolerance, 4)}
    return proposed


def _measured_everywhere(name: str) -> bool:
    parts = name.split(".")
    return not any(part in SECOND_REFERENCE or part.endswith(REDRAWN) for part in parts)


def update_expectations(profile: str, results_dir: str | Path, path: str | Path | None = None) -> Path:
    """Write `propose_expectations` to a file (None: the package's own for this profile), and return its path."""
    path = Path(path) if path is not None else expectations_path(profile)
    lines = [
        f" {json.dumps(name)}: {json.dumps(entry)}"
        for name, entry in propose_expectations(profile, results_dir).items()
    ]
    with atomic_write(path) as temporary:
        temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return path


def paper_values() -> dict[str, float]:
    """The numbers that the paper prints, by name (`expectations/paper.json`, which also names each one's cell)."""
    return {name: entry["value"] for name, entry in read_json(FOLDER / "paper.json").items()}


@dataclass(frozen=True)
class Line:
    """One line of a ledger table: a setting, the paper's name for its number or None, and ours or None."""

    setting: str
    paper: str | None
    measured: str | None


def _ious(setting: str, paper: str | None, measured: str | None) -> list[Line]:
    return [
        Line(f"{setting}, {title}", paper and f"{paper}.{iou}", measured and f"{measured}.{iou}")
        for iou, title in IOUS.items()
    ]


def _grid(prefix: str) -> list[Line]:
    return [
        Line(f"{space.upper()}, c = {c}, k = {k}", f"table4.{space}.c{c}.k{k}.miou", f"{prefix}.{space}.c{c}.k{k}.miou")
        for space in SPACES
        for c in CUTOFFS
        for k in KS
    ]


# Ways to invert a photo, `experiments.photos.INVERSIONS`: how a table names them.
INVERTED = {"encoder": "encoder", "projector": "optimisation", "both": "encoder, then optimisation"}
_PHOTO_RULES = {  # masks of `experiments.photos.masks` that are not the paper's: how a table names them
    "corner_minority": "corner minority rule",
    "saliency_sharp": "saliency rule, sharpened (ours)",
    "saliency_cut": "saliency rule, redrawn by GrabCut (ours)",
    "discriminant": "discriminant (ours)",
    "discriminant_sharp": "discriminant, sharpened (ours)",
    "discriminant_cut": "discriminant, redrawn by GrabCut (ours)",
    "oracle": "oracle assignment of clusters",
}


def _on_photos() -> list[Line]:
    """The method on photos, inverted in three ways; only the rule that the paper uses stands beside its number."""
    celeba, paper = "table1.celeba", "table1.celeba.ours"
    lines = []
    for inversion, title in INVERTED.items():
        ours = f"{celeba}.{inversion}"
        lines += _ious(f"{title}: saliency rule, dataset-level", paper, f"{ours}.saliency")
        lines += _ious(f"{title}: saliency rule, mean over images", paper, f"{ours}.saliency.per_image")
        for rule, named in _PHOTO_RULES.items():
            lines += _ious(f"{title}: {named}, dataset-level", None, f"{ours}.{rule}")
        bound = "face parser on the reconstruction, mean over images, mIoU"
        lines.append(Line(f"{title}: {bound}", None, f"{ours}.bound"))
    return lines


def _of_parts() -> list[Line]:
    """Parts of a face as objects: the paper shows pictures of them (Figure 1) and no numbers."""
    return [
        Line(f"{part}: {words}, mean IoU over images", None, f"parts.{part}.{way}.iou")
        for part in FACE_PARTS
        for way, words in WAYS.items()
    ]


def _of_detectors() -> list[Line]:
    """What COCO-SSD finds of the horses; the paper reports nothing of its detector."""
    titles = {
        "recall50": "horses found, IoU 0.5",
        "recall70": "horses found, IoU 0.7",
        "precision50": "boxes that are right, IoU 0.5",
        "best_iou": "mean IoU of the best box",
    }
    return [
        Line(f"{title}, score at least {threshold:g}", None, f"detector.coco_ssd.horses.{name}.t{100 * threshold:02.0f}")
        for threshold in THRESHOLDS
        for name, title in titles.items()
    ]


# The ledger's tables as data: title -> lines. The paper uses saliency on faces, so only that rule has its number beside
# it, in all our variants: the paper does not say how it averages over images, and its reference is DeepLab's kind.
_OURS = "table1.ffhq.ours"
TABLES = {
    "Table 1, FFHQ column": [
        *_ious("saliency rule, face parser, dataset-level", _OURS, "table1.ffhq.saliency"),
        *_ious("saliency rule, face parser, mean over images", _OURS, "table1.ffhq.saliency.per_image"),
        *_ious("saliency rule, DeepLabV3, dataset-level", _OURS, "table1.ffhq.saliency.deeplab"),
        *_ious("corner minority rule, face parser, dataset-level", None, "table1.ffhq.corner_minority"),
        *_ious("corner minority rule, face parser, mean over images", None, "table1.ffhq.corner_minority.per_image"),
        *_ious("corner minority rule, DeepLabV3, dataset-level", None, "table1.ffhq.corner_minority.deeplab"),
        *_ious("oracle assignment of clusters, face parser, dataset-level", None, "table1.ffhq.oracle"),
        *_ious("oracle assignment of clusters, face parser, mean over images", None, "table1.ffhq.oracle.per_image"),
        *_ious("oracle assignment of clusters, DeepLabV3, dataset-level", None, "table1.ffhq.oracle.deeplab"),
        *_ious("agreement of the two references", None, "references.agreement"),
        *_ious("DatasetGAN (supervised)", "table1.ffhq.datasetgan", None),
        *_ious("Labels4Free", "table1.ffhq.l4f", None),
        *_ious("Segmentation in Style", "table1.ffhq.sis", None),
    ],
    "Table 1, CelebAMask-HQ column": [
        *_on_photos(),
        *_ious("face parser on the photo (supervised), dataset-level", None, "table1.celeba.face_parser"),
        *_ious("DeepLabV3 on the photo (supervised), dataset-level", None, "table1.celeba.deeplab"),
        *_ious("DatasetGAN (supervised)", "table1.celeba.datasetgan", None),
        *_ious("Labels4Free", "table1.celeba.l4f", None),
        *_ious("Segmentation in Style", "table1.celeba.sis", None),
    ],
    "Table 2, objects in scenes (ours needs the official weights)": [
        *_ious("LSUN-Horse, horses", "table2.horse.ours", None),
        *_ious("LSUN-Horse, horses, Labels4Free", "table2.horse.l4f", None),
        *_ious("LSUN-Horse, horses, Segmentation in Style", "table2.horse.sis", None),
        *_ious("DeepRooms, sofa (weights never published)", "table2.sofa.ours", None),
        *_ious("DeepRooms, table (weights never published)", "table2.table.ours", None),
    ],
    "Parts of a face as objects (no table of the paper)": _of_parts(),
    "Boxes by COCO-SSD on the Weizmann horses (no table of the paper)": _of_detectors(),
    "Table 4, mIoU by colour space, cutoff and k": _grid("table4"),
    "Table 4 again, with the corner minority rule": _grid("table4_corner"),
}

_INTRODUCTION = """\
# Reproduction ledger

The paper's numbers and ours stand side by side here, and never in one column. They do not measure the same thing:

- **The generator is a different one.** The paper used StyleGAN2 trained on FFHQ, on an A100. Here it is the one
  named with each run below. The encoder that inverts photos is another one, too.
- **The reference is a different one.** Synthetic faces have no human masks. The paper took DeepLabV3+ for the truth;
  here it is a face parser trained on human masks of photos, with DeepLabV3 as a second reference. How far these two
  agree with each other is the noise floor of every such number. Photos (CelebAMask-HQ) do have human masks, for the
  paper and here; which photos the paper took is not said.
- **Settings that the paper does not state were chosen here**, on images that no number on this page uses.

So a number of ours is no confirmation of the paper's, and no correction of it. Columns "measured here" give the value,
its 95 % interval over images, and n, the number of images. All IoU are fractions. This page is made from the result
files; no number on it is typed by hand."""


def markdown(results_dir: str | Path, expectations_dir: str | Path | None = None) -> str:
    """The ledger as one page of Markdown, from the result files of the profiles `full` and `cpu`.

    A profile without results shows as not measured. Only the names in `TABLES` enter, so results on the toy world
    (names that begin with "toy.") never stand beside the paper's.

    Args:
        results_dir: the folder of all result files.
        expectations_dir: where `full.json` and `cpu.json` stand; None: in the package.

    Raises:
        ResultError: a damaged file, or an expectation without its result in a profile that has been run.
    """
    folder = Path(expectations_dir) if expectations_dir is not None else FOLDER
    runs = {profile: profile_runs(results_dir, profile) for profile in PROFILES}
    found = {profile: measurements(runs[profile]) for profile in PROFILES}
    parts = [_INTRODUCTION, "## Runs", _runs_table(runs)]
    for title, lines in TABLES.items():
        if title.startswith("Table 4 again") and not any(line.measured in found[p] for p in found for line in lines):
            continue  # an extra grid of ours: there only if a run made it
        parts += [f"## {title}", _comparison(lines, found), *_notes(lines, found)]
    parts += ["## The paper's claims", _CLAIMS_TEXT, _claims_table(found), "## Checks", _CHECKS_TEXT]
    for profile in PROFILES:
        path = folder / f"{profile}.json"
        parts.append(f"### Profile `{profile}`")
        if not runs[profile]:
            parts.append("This profile has not been run here.")
        elif not path.exists():
            parts.append("No expectations are recorded for this profile.")
        else:
            parts += _checks(check(profile, results_dir, path))
    return "\n\n".join(parts) + "\n"


def write_ledger(results_dir: str | Path, path: str | Path) -> Path:
    """Write `markdown(results_dir)` to a file, whole or not at all."""
    page = markdown(results_dir)
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return Path(path)


_CLAIMS_TEXT = (
    "Each claim is tested on the paper's own printed numbers and on ours, and reported as it comes out. "
    "Verdicts compare point values; where a difference is small against the intervals above, it decides little."
)
_CHECKS_TEXT = (
    "A check compares a run with an earlier run of the same profile on the same images. It guards this code, and says "
    "nothing about the paper. The tolerance is half the width of the 95 % interval, and at least 0.02. Numbers on real "
    "photos are checked where the photos were at hand."
)


def _runs_table(runs: Mapping[str, list[Run]]) -> str:
    rows = []
    for profile, profile_of in runs.items():
        for run in profile_of:
            generator = f"{run.generator['name']} (`{run.generator['sha256'][:12]}`)" if run.generator else "none"
            rows.append([profile, run.experiment, generator, run.device, run.created[:10], f"{run.seconds / 60:.1f}"])
    if not rows:
        return "Nothing has been run here."
    return table(["profile", "experiment", "generator", "device", "date", "minutes, less what was on disk"], rows)


def _comparison(lines: list[Line], found: Mapping[str, Mapping[str, Measurement]]) -> str:
    paper = paper_values()
    rows = []
    for line in lines:
        reported = "not reported" if line.paper is None else f"{paper[line.paper]:.2f}"
        ours = [measured_text(found[profile].get(line.measured)) for profile in PROFILES]
        rows.append([line.setting, reported, *ours])
    return table(["setting", "paper reported (FFHQ StyleGAN2, A100)", *PROFILES.values()], rows)


def _notes(lines: list[Line], found: Mapping[str, Mapping[str, Measurement]]) -> list[str]:
    """What the runs noted about the numbers of a table, each note once."""
    items = [found[profile].get(line.measured) for line in lines for profile in PROFILES]
    notes = dict.fromkeys(item.note for item in items if item is not None and item.note)
    return ["Notes of the runs:\n\n" + "\n".join(f"- {' '.join(note.split())}" for note in notes)] if notes else []


def _claims_table(found: Mapping[str, Mapping[str, Measurement]]) -> str:
    ours = {profile: {name: item.value for name, item in found[profile].items()} for profile in PROFILES}
    columns = {"the paper's own numbers": (paper_values(), PAPER)}
    for profile, title in PROFILES.items():
        columns[title] = (ours[profile], OURS)
        if any(name.startswith(f"{OURS_CORNER_GRID.grid}.") for name in ours[profile]):
            columns[f"{title}, corner minority rule"] = (ours[profile], OURS_CORNER_GRID)
    rows = []
    for claim in CLAIMS:
        verdicts = [claim.test(values, names) for values, names in columns.values()]
        cells = [str(v) if v.holds is None else f"**{v}**: {v.evidence}" for v in verdicts]
        rows.append([claim.statement, claim.source, *cells])
    return table(["claim", "source", *columns], rows)


def _checks(rows: list[Row]) -> list[str]:
    kept = sum(row.ok for row in rows)
    cells = [
        [
            f"`{row.name}`",
            f"{row.expected:.3f}",
            f"{row.tolerance:.3f}",
            value_text(row.measured, row.interval),
            "" if row.n is None else str(row.n),
            "yes" if row.ok else "**no**",
        ]
        for row in rows
    ]
    return [
        f"{kept} of {len(rows)} measurements are within their tolerance.",
        table(["measurement", "expected", "tolerance", "measured", "n", "within"], cells),
    ]
