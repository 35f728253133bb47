"""The reproduction ledger: what the paper reported beside what was measured here, and how every number stands.

The page is made from the result files. Its first screen compares with the paper: the headline numbers, the claims, one
plot. Below it stand the tables, each number with the command and the code that make it; the runs and the checks of the
code are folded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from stylemixseg._util.paths import atomic_write
from stylemixseg.evaluation.imagescores import folder_scores
from stylemixseg.evaluation.numbercheck import FOLDER, Row, check, expectations_path, noise
from stylemixseg.evaluation.provenance import made_by, standing
from stylemixseg.evaluation.resultfiles import read_json
from stylemixseg.evaluation.results import Run, measurements, profile_runs
from stylemixseg.evaluation.spotcheck import SpotCheck, read_spot_check
from stylemixseg.evaluation.tables import IOUS, measured_text, table, value_text
from stylemixseg.experiments.registry import listed
from stylemixseg.ledger.claims import CLAIMS, OURS, OURS_CORNER_GRID, PAPER
from stylemixseg.ledger.glance import PLOT_ALT, PLOT_CAPTION, Judged, agreement_plot, glance_table
from stylemixseg.ledger.tables import PAPER_GENERATOR, TABLES, Line

PROFILES = {"full": "measured here, full run", "cpu": "measured here, quick cpu run"}


def paper_values() -> dict[str, float]:
    """The numbers that the paper prints, by name (`expectations/paper.json`, which also names each one's cell)."""
    return {name: entry["value"] for name, entry in read_json(FOLDER / "paper.json").items()}


@dataclass(frozen=True, eq=False)
class _Profile:
    """What one profile measured, and where each number comes from."""

    runs: list[Run]
    judged: Judged
    since: str | None
    spot: SpotCheck | None

    @cached_property
    def run_of(self) -> dict[str, Run]:
        return {item.name: run for run in self.runs for item in run.measurements}

    def standing(self, name: str) -> str:
        """How a number stands; empty where this profile has no such number."""
        if name not in self.run_of:
            return ""
        words = f"computed {standing(self.run_of[name].created, self.since)}"
        score = next((key for key in _score_names(name) if key in self.judged.scores), None)
        if self.spot is not None and score is not None and (again := self.spot.images(score)):
            count = len(self.judged.scores[score].images)
            words += f"; {len(again)} of {count} images again {standing(self.spot.created, self.since)}"
        return words


def _score_names(name: str) -> list[str]:
    """Under which names the images' scores behind a number may stand."""
    short = name
    for iou in IOUS:
        short = short.removesuffix(f".{iou}")
    return [name, short, short.removesuffix(".per_image")]


_INTRODUCTION = """\
# Reproduction ledger

This page shows the paper's numbers beside ours, but always in separate columns, because they do not measure the same
thing:

- **The generator is a different one.** The paper used StyleGAN2 trained on FFHQ, on an A100. Here it is the generator
  that is named with each run below. The encoder that inverts photos is a different one, too.
- **The reference is a different one.** Synthetic faces have no masks drawn by people. The paper took the masks of
  DeepLabV3+ as the truth; here the reference is a face parser trained on human masks of photos, with DeepLabV3 as a
  second reference. The agreement of these two shows how much a number depends on the choice of the reference. It does
  not limit how small a difference of two methods can be measured, because the errors of one reference, which both
  methods share, cancel in the difference. Photos (CelebAMask-HQ) do have human masks, for the paper and here; the paper
  does not say which photos it took.
- **Settings that the paper does not state were chosen here**, on images that no number on this page uses.

So a number of ours neither confirms nor corrects the paper's. Columns "measured here" give the value, its 95 % interval
over images, and n, the number of images. All IoU are fractions. This page is made from the result files, so no number
on it is typed by hand."""

_GLANCE_TEXT = """\
The paper's own column tests its claims on its printed numbers, because it prints nothing else. Ours are tested by a
paired bootstrap: the images are drawn again 2,000 times, with replacement, and the claim is tested on each set. It is
called true where it holds in at least 97.5 % of the sets and false where it holds in at most 2.5 %; in between, there
are too few images to decide. A number of ours is called higher or lower than the paper's only where our whole interval
is higher or lower."""


def markdown(
    results_dir: str | Path,
    expectations_dir: str | Path | None = None,
    *,
    since: str | None = None,
    plot: str | None = None,
) -> str:
    """The ledger as one page of Markdown, from the result files of the profiles `full` and `cpu`.

    A profile without results shows as not measured. Only the names in `TABLES` enter, so results on the toy world
    (names that begin with "toy.") never stand beside the paper's.

    Args:
        results_dir: the folder of all result files.
        expectations_dir: where `cpu.json` stands; None: in the package.
        since: when the build began that the page belongs to (UTC, ISO 8601): what was measured after it was recomputed
            in this build. None: there is no build.
        plot: file of `agreement_plot`, relative to the page; None leaves the figure out.

    Raises:
        ResultError: a damaged file, or an expectation without its result in a profile that has been run.
    """
    paper = paper_values()
    spot = read_spot_check(results_dir)
    profiles = {}
    for name in PROFILES:
        runs = profile_runs(results_dir, name)
        judged = Judged(measurements(runs), folder_scores(Path(results_dir) / name))
        profiles[name] = _Profile(runs, judged, since, spot if spot is not None and spot.profile == name else None)
    main = next((name for name in PROFILES if profiles[name].runs), "full")
    parts = [_INTRODUCTION, "## The paper and this book at a glance", _GLANCE_TEXT]
    parts.append(glance_table(profiles[main].judged, paper, PROFILES[main]))
    if plot is not None:
        parts.append(f"```{{figure}} {plot}\n---\nalt: {PLOT_ALT}\n---\n{PLOT_CAPTION}\n```")
    parts += ["## The claims and their evidence", _claims_table(profiles, paper)]
    for title, lines in TABLES.items():
        measured = any(line.measured in profiles[p].run_of for p in PROFILES for line in lines)
        if not measured and not any(line.paper for line in lines):
            continue  # a table of ours alone: there only if a run made it
        page = [_comparison(title, lines, profiles, paper), *_notes(lines, profiles)]
        parts += [f"## {title}", *_folded(f"{len(lines)} lines: show", page)]
    parts += ["## Runs and checks", _CHECKS_TEXT.format(noise=_noise_text())]
    parts += _folded("Runs: which experiment, which generator, when", [_runs_table(profiles)])
    parts += _folded("Spot check: images of the full run that were computed again", _spot_table(spot, since))
    path = expectations_path("cpu") if expectations_dir is None else Path(expectations_dir) / "cpu.json"
    if not profiles["cpu"].runs:
        rows = ["The profile `cpu` has not been run here."]
    elif not path.exists():
        rows = ["No expectations are recorded for the profile `cpu`."]
    else:
        rows = _checks(check("cpu", results_dir, path), profiles["cpu"])
    parts += _folded("Checks of the profile cpu: every mean, and how many images", rows)
    return "\n\n".join(parts) + "\n"


def write_ledger(results_dir: str | Path, path: str | Path, *, since: str | None = None) -> Path:
    """Write the page, whole or not at all, and its plot beside it; `since` as in `markdown`."""
    path = Path(path)
    plot = path.with_name(f"{path.stem}_agreement.svg")
    for name in PROFILES:
        if runs := profile_runs(results_dir, name):
            figure = agreement_plot(Judged(measurements(runs), {}), paper_values())
            with atomic_write(plot) as temporary:
                figure.savefig(temporary, format="svg")
            break
    page = markdown(results_dir, since=since, plot=plot.name if plot.exists() else None)
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _folded(summary: str, parts: list[str]) -> list[str]:
    """Parts of the page that a reader opens with a click; Markdown that is not shown as HTML shows them open."""
    return [f"<details>\n<summary>{summary}</summary>", *parts, "</details>"]


_CHECKS_TEXT = """\
A check compares a run with an earlier run of the same profile on the same images. It finds changes in this code, and
says nothing about the paper. It compares means over images and the scores of all single images. The tolerances come
from a measurement of how much the numbers change when only the machine changes ({noise}). The full run takes hours, so
a build computes only a few of its images again, different ones for each commit, and compares their scores. Numbers on
real photos are checked only where the photos are available."""


def _noise_text() -> str:
    variants = noise()["variants"][1:]
    largest = max(variants, key=lambda item: item["means"]["largest"])
    return (
        f"`data_scripts/measure_noise.py`: {len(variants)} repetitions under other conditions, in which a mean moved "
        f"by {largest['means']['largest']:.4f} at most: {largest['words']}"
    )


def _runs_table(profiles: Mapping[str, _Profile]) -> str:
    rows = []
    for profile, item in profiles.items():
        for run in item.runs:
            generator = f"{run.generator['name']} (`{run.generator['sha256'][:12]}`)" if run.generator else "none"
            minutes = f"{run.seconds / 60:.1f}"
            rows.append([profile, run.experiment, generator, run.device, run.created[:10], minutes, _link(run)])
    if not rows:
        return "Nothing has been run here."
    header = ["profile", "experiment", "generator", "device", "date", "minutes, less what was on disk", "made by"]
    return table(header, rows)


def _comparison(title: str, lines: list[Line], profiles: Mapping[str, _Profile], paper: Mapping[str, float]) -> str:
    rows = []
    for line in lines:
        reported = "not reported" if line.paper is None else f"{paper[line.paper]:.2f}"
        ours = [measured_text(item.judged.found.get(line.measured or "")) for item in profiles.values()]
        rows.append([line.setting, reported, *ours, *_origin(line, profiles)])
    generator = PAPER_GENERATOR.get(title)
    column = "paper reported" if generator is None else f"paper reported ({generator})"
    return table(["setting", column, *PROFILES.values(), "how it stands", "made by"], rows)


def _origin(line: Line, profiles: Mapping[str, _Profile]) -> list[str]:
    """How a line's numbers stand, and a link to the code that makes them, named by its command."""
    stands = [f"{name}: {how}" for name, item in profiles.items() if (how := item.standing(line.measured or ""))]
    run = next((item.run_of[name] for item in profiles.values() if (name := line.measured or "") in item.run_of), None)
    if run is None:
        return ["", ""]
    return ["; ".join(stands), _link(run)]


def _link(run: Run) -> str:
    """The command that makes a run's numbers, linked to the code that measures them."""
    command, code = made_by(run.experiment, listed())
    return f"[`{command}`]({code})"


def _notes(lines: list[Line], profiles: Mapping[str, _Profile]) -> list[str]:
    """What the runs noted about the numbers of a table, each note once."""
    items = [item.judged.found.get(line.measured or "") for line in lines for item in profiles.values()]
    notes = dict.fromkeys(item.note for item in items if item is not None and item.note)
    return ["Notes of the runs:\n\n" + "\n".join(f"- {' '.join(note.split())}" for note in notes)] if notes else []


def _claims_table(profiles: Mapping[str, _Profile], paper: Mapping[str, float]) -> str:
    columns = {"the paper's own numbers": {claim.id: claim.test(paper, PAPER) for claim in CLAIMS}}
    for name, title in PROFILES.items():
        judged = profiles[name].judged
        columns[title] = judged.verdicts(paper, OURS)
        if any(measured.startswith(f"{OURS_CORNER_GRID.grid}.") for measured in judged.found):
            columns[f"{title}, corner minority rule"] = judged.verdicts(paper, OURS_CORNER_GRID)
    rows = []
    for claim in CLAIMS:
        verdicts = [verdicts[claim.id] for verdicts in columns.values()]
        cells = [str(v) if v.holds is None and v.share is None else f"**{v}**: {v.evidence}" for v in verdicts]
        rows.append([claim.statement, claim.source, *cells])
    return table(["claim", "source", *columns], rows)


def _spot_table(spot: SpotCheck | None, since: str | None) -> list[str]:
    if spot is None:
        return ["No image of the full run was computed again."]
    kept = sum(row.ok for row in spot.rows)
    images = {(row.name.split(".")[0], row.image) for row in spot.rows}
    parts = [
        f"Computed {standing(spot.created, since)}, drawn from `{spot.key[:12]}`: {len(images)} images with "
        f"{len(spot.rows)} scores, of which {kept} are within their tolerance. It took {spot.seconds:.0f} s."
    ]
    parts += [f"Left out: {name} ({why})." for name, why in spot.left_out.items()]
    worst = sorted(spot.rows, key=lambda row: abs(row.measured - row.expected), reverse=True)[:20]
    cells = [
        [f"`{row.name}`", row.image or "", f"{row.expected:.4f}", f"{row.measured:.4f}", f"{row.tolerance:.3f}",
         "yes" if row.ok else "**no**"]
        for row in worst
    ]  # fmt: skip
    header = ["score", "image", "committed", "computed again", "tolerance", "within"]
    return [*parts, "The twenty that moved most:", table(header, cells)]


def _checks(rows: list[Row], profile: _Profile) -> list[str]:
    means = [row for row in rows if row.image is None]
    images = [row for row in rows if row.image is not None]
    kept = sum(row.ok for row in means)
    cells = [
        [
            f"`{row.name}`",
            f"{row.expected:.3f}",
            f"{row.tolerance:.3f}",
            value_text(row.measured, row.interval),
            "" if row.n is None else str(row.n),
            "yes" if row.ok else "**no**",
            _link(profile.run_of[row.name]),
        ]
        for row in means
    ]
    return [
        f"{kept} of {len(means)} means are within their tolerance, and {sum(row.ok for row in images)} of "
        f"{len(images)} scores of single images.",
        table(["measurement", "expected", "tolerance", "measured", "n", "within", "made by"], cells),
    ]
