"""The performance page, written from the benchmarks' result files."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import matplotlib.pyplot as plt

from stylemixseg._util.paths import atomic_write
from stylemixseg.evaluation.tables import table

from .layout import GENERATED, ROOT, BuildError

BENCHMARKS = ROOT / "benchmarks" / "results"
# The steps of both pipelines, in order, under the names that the page uses.
_PEER = {
    "load": "start",
    "synthesis": "mixes",
    "lab": "LAB",
    "concatenate": "LAB",
    "kmeans": "clusters",
    "rule": "clusters",
}
_OURS = {"summary": "mixes", "clustering": "LAB and clusters"}
_MANY = 1_000_000  # pairs that the plan is for
_COLORS = {"start": "0.8", "mixes": "#4477aa", "LAB": "#ccbb44", "clusters": "#aa3377", "LAB and clusters": "#ee6677"}


def write_performance(folder: Path = GENERATED, results: Path = BENCHMARKS) -> Path:
    """Write `performance.md` and its figure into the folder of generated pages.

    Raises:
        BuildError: a result file is missing.
    """
    faces, growth, stylegan = (_read(results / f"{name}.json") for name in ("cpu_faces", "growth", "cpu_stylegan2"))
    names = ("judge", "factory", "factory_steps", "gpu", "live")
    judge, factory, steps, gpu, live = (results / f"{name}.json" for name in names)
    folder.mkdir(parents=True, exist_ok=True)
    _figure(faces, growth, folder / "performance.png")
    parts = [
        _INTRODUCTION,
        *_faces(faces),
        *_judge(_read(judge) if judge.exists() else None),
        *_factory(_read(factory) if factory.exists() else None),
        *_factory_steps(_read(steps) if steps.exists() else None),
        *_growth(growth),
        *_stylegan(stylegan),
        *_gpu(_read(gpu) if gpu.exists() else None),
        *_live(_read(live) if live.exists() else None),
    ]
    with atomic_write(folder / "performance.md") as temporary:
        temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return folder / "performance.md"


def _read(path: Path) -> dict:
    if not path.is_file():
        raise BuildError(f"no {path.relative_to(ROOT)}: run benchmarks/{path.stem}.py and commit what it writes")
    return json.loads(path.read_text())


_INTRODUCTION = """# What it costs

The paper gives one figure: less than a second and 4 GB for one image, on an A100. This page is made from the result
files of the scripts in `benchmarks/`. It reports **ratios** of two programs that do the same work, run in turns on the
same machine, because seconds measured on a shared machine depend on what else runs there. The work is always the whole
way from one query to one mask, synthesis of all mixes included."""


def _faces(run: dict) -> list[str]:
    bars, names = run["bars"], {"wall_s": "time", "cpu_s": "processor time", "peak_bytes": "peak memory"}
    rows = [
        [
            names[key],
            *(f"{ratio[part]:.2f}" for part in ("median", "min", "max")),
            str(ratio["n"]),
            f"at most {bars[key]}" if key in bars else "none",
        ]
        for key, ratio in run["ratios"].items()
    ]
    agreement = [
        [
            str(item["seed"]),
            f"{item['iou']:.4f}",
            f"{item['same_cluster']:.4f}",
            f"{item['objective']:.4f}",
            f"{item['again']['iou']:.4f}" if item.get("again") else "",
        ]
        for item in run["agreement"]
    ]
    settings, limits = run["settings"], run["limits"]
    ours = [item["query"]["summary"] for item in run["runs"] if item["variant"] == "ours"]
    shares, reached = _shares(run), sum(item["iou"] >= bars["iou"] for item in run["agreement"])
    mixes, colours = ({who: f"{share[part]:.0%}" for who, share in shares.items()} for part in ("mixes", "colours"))
    bound = (
        f"The hardware sets a limit to further gains: the convolutions of the {settings['n']} mixes are "
        f"{settings['n'] * limits['flops_per_mix'] / 1e9:.0f} GFLOP, which these cores do in "
        f"{limits['arithmetic_s']:.1f} s at the speed that they reach in a large matrix product; their feature maps "
        f"are {settings['n'] * limits['map_bytes_per_mix'] / 1e9:.0f} GB, which they move in "
        f"{limits['traffic_s']:.1f} s. The mixes took {statistics.median(ours):.1f} s (median)."
    )
    return [
        f"## The face generator on a CPU\n\n{_where(run)} n = {settings['n']}, c = {settings['cutoff']}, "
        f"k = {settings['k']}, native resolution. The *peer* is a straightforward program of common libraries: "
        "OpenVINO runs the published network once for each mix, scikit-image converts to LAB, faiss clusters all "
        "pixels, and the same rule picks the clusters. Each run is a new process, and its start is included.",
        table(["ours over the peer's", "median", "least", "most", "runs of each", "aim"], rows),
        ":::{figure} performance.png\n:name: fig-performance\n:alt: Left, two stacked bars of the time for one mask: "
        f"ours has {shares['ours']['whole']:.0%} of the length of the peer's. Right, time and memory over the number "
        "of styles, both straight lines\n\nLeft: where the time of one mask goes, as shares of the peer's whole time. "
        f"The mixes take {mixes['ours']} of it in ours and {mixes['peer']} in the peer, colours and clusters "
        f"{colours['ours']} and {colours['peer']}. The peer computes the latter on the whole summary tensor; ours "
        "never writes that tensor down, and trains K-means on a sample of the pixels. Right: time and memory of one "
        "mask grow linearly with the number of styles.\n:::",
        f"Do both give the same mask? The aim is an IoU of {bars['iou']}, and {reached} of {len(run['agreement'])} "
        "queries reach it. The objective is what K-means minimises, over all pixels; above 1 the peer's clusters are "
        "tighter, below 1 ours. The peer starts K-means once, whereas ours takes "
        "the best of ten starts on a sample of the pixels. Where the masks differ, the peer stopped in a poorer local "
        "minimum: started once more from our centroids, it gives the mask of the last column.",
        table(
            [
                "seed",
                "IoU of the masks",
                "pixels of the same cluster",
                "objective, ours over the peer's",
                "IoU, peer started from our centroids",
            ],
            agreement,
        ),
        bound,
    ]


def _shares(faces: dict) -> dict[str, dict[str, float]]:
    """{variant: its whole time, its mixes, its colours and clusters}, medians as shares of the peer's whole time."""
    whole = statistics.median(run["wall_s"] for run in faces["runs"] if run["variant"] == "peer")
    found = {}
    for variant, steps, laps in (("ours", _OURS, "query"), ("peer", _PEER, "laps")):
        runs = [run for run in faces["runs"] if run["variant"] == variant]
        seconds = {name: statistics.median(run[laps][name] for run in runs) for name in steps}
        mixes = sum(value for name, value in seconds.items() if steps[name] == "mixes")
        colours = sum(value for name, value in seconds.items() if steps[name] not in ("start", "mixes"))
        length = statistics.median(run["wall_s"] for run in runs)
        found[variant] = {"whole": length / whole, "mixes": mixes / whole, "colours": colours / whole}
    return found


def _judge(run: dict | None) -> list[str]:
    if run is None:
        return []
    names = {
        "wall_s": "time, a fresh process",
        "cpu_s": "processor time, a fresh process",
        "peak_bytes": "peak memory",
        "warm_query": "time of a query in a process that stays in memory",
    }
    rows = [
        [
            names[key],
            *(f"{ratio[part]:.3f}" for part in ("median", "min", "max")),
            str(ratio["n"]),
            f"at most {run['bars'][key]}" if key in run["bars"] else "none",
        ]
        for key, ratio in run["ratios"].items()
    ]
    return [
        f"## A judge with {run['settings']['styles_of_the_judge']} styles\n\n{_where(run)} A judge of pixels "
        "([many images at once](../_executed/12_many_images.ipynb)) needs few styles, and sees them at 256 px. Below, "
        f"its time is divided by that of the same peer with n = {run['settings']['n']}; both are whole processes. "
        "The masks are not equal, and the judge's are the better ones.",
        table(["judge over the peer", "median", "least", "most", "runs of each", "aim"], rows),
    ]


def _factory_steps(run: dict | None) -> list[str]:
    """What each step from the plain loop to the book's own sets buys."""
    if run is None:
        return []
    settings, judged = run["settings"], run["miou"]
    words = {
        "process2": "the factory with two processes in place of the loop",
        "fewer2": f"eight styles in place of {settings['n']}",
        "exact2": "the judge's masks in place of the rule's",
        "judge2": "bfloat16 in place of float32, where the processor has it",
    }
    rows = []
    for name, ratio in run["ratios"].items():
        later = name.partition(" / ")[0]
        times = f"{ratio['median']:.2f}", f"{ratio['min']:.2f} to {ratio['max']:.2f}", str(ratio["n"])
        rows.append([words[later], *times, f"{judged.get(later, judged['loop']):.3f}"])
    header = ["step", "pairs per second over the row before", "range", "runs of each", "mIoU with the parser"]
    return [
        "### What each step buys",
        f"{_where(run)} Each row changes one thing of the row before it, the first row one of the loop; "
        f"{settings['count']} pairs of each. The last column says how well the masks agree with the face parser. One "
        "process uses both cores already, so two of them gain little. Fewer styles gain most. On so few images the "
        "last column ranks the kinds of masks only roughly; chapter 12 measures them on more.",
        table(header, rows),
    ]


def _aim(found: float, least: float) -> str:
    return f"at least {least}: {'reached' if found >= least else 'missed'}"


def _factory(run: dict | None) -> list[str]:
    """Pairs per second, and what a million of them takes."""
    if run is None:
        return []
    settings = run["settings"]
    rows = [
        [name, f"{ratio['median']:.2f}", str(ratio["n"]), _aim(ratio["median"], run["bars"][name])]
        for name, ratio in run["ratios"].items()
    ]
    made = [item for item in run["runs"] if "bytes_per_pair" in item]
    variant = max({item["variant"] for item in made}, key=lambda name: _median(made, name, "pairs_per_s"))
    rate, size = _median(made, variant, "pairs_per_s"), _median(made, variant, "bytes_per_pair")
    hours = _MANY / rate / 3600
    plan = [
        ["machines", "hours"],
        *([str(machines), f"{hours / machines:,.0f}"] for machines in (1, 10, 64)),
    ]
    judged = ""
    if miou := run.get("miou"):
        judged = (
            " *judge2* is the factory with two processes as the book's sets are made: eight styles in place of "
            f"{settings['n']}, masks by the judge in place of the rule, and bfloat16 where the processor has it. Its "
            "masks are other ones: on these images they agree with the face parser by "
            f"{miou['judge2']:.3f} (mIoU over all pixels), and those of the rule by {miou['loop']:.3f}."
        )
    memory = [[str(item["samples"]), f"{item['peak_bytes'] / 1e6:.0f}"] for item in run["memory"]]
    return [
        f"## Pairs by the thousand, and a plan for a million\n\n{_where(run)} {settings['generator']}, "
        f"n = {settings['n']}, {settings['count']} pairs of each variant. *loop* is the README's Python example in a "
        "loop over seeds, and *process* and *ray* are the factory with that number of processes or actors; all of "
        f"these make the same masks.{judged}",
        table(["ratio of pairs per second", "median", "runs of each", "aim"], rows),
        f"The fastest variant, {variant}, made {rate:.2f} pairs per second, and a pair took "
        f"{size / 1000:.0f} kB on disk at the generator's full size (with `--size 256` it takes less). So a million "
        f"pairs take {_MANY * size / 1e9:,.0f} GB, the same again for an exported format, and on machines like this "
        "one the following time:",
        table(plan[0], plan[1:]),
        "The plan assumes that samples do not depend on each other, which holds because each follows from its seed "
        "and the recipe; that every machine is as fast as this one, and as busy; that the time to start up does not "
        "matter, which holds from some thousand pairs per machine on; and that the disk or object store takes "
        f"{64 * rate * size / 1e6:.1f} MB per second from 64 machines. Each machine takes its own range of seeds with "
        "`--first`, or Ray distributes them. None of this was run at that scale.",
        "Memory hardly grows with the number of samples, because each is written as soon as it is finished. The peak "
        "of the process that makes small samples of the toy world:",
        table(["samples", "peak memory, MB"], memory),
    ]


def _median(runs: list[dict], variant: str, key: str) -> float:
    return statistics.median(run[key] for run in runs if run["variant"] == variant)


def _growth(run: dict) -> list[str]:
    first = {}
    rows = []
    for row in run["table"]:
        base = first.setdefault(row["varied"], row)
        rows.append(
            [
                row["varied"],
                str(row[row["varied"]]),
                f"{row['summary_s'] / base['summary_s']:.2f}",
                f"{row['clustering_s'] / base['clustering_s']:.2f}",
                f"{row['peak_bytes'] / 1e9:.2f}",
            ]
        )
    fits = [
        [
            f"{fit['number'].removesuffix('_s').replace('peak_bytes', 'memory')} over "
            f"{fit['varied']}{'²' if fit['power'] == 2 else ''}",
            f"{fit['slope']:.3g}",
            "none" if fit["expected"] is None else f"{fit['expected']:.3g}",
            f"{fit['r2']:.3f}",
            fit["reason"],
        ]
        for fit in run["fits"]
    ]
    fixed = ", ".join(f"{name} = {value}" for name, value in run["settings"]["fixed"].items())
    return [
        f"## How it grows\n\nOne setting varies while the others stay at {fixed}. Times are relative to the first row "
        "of each setting; memory is that of the whole process.",
        table(["setting", "value", "time of the mixes", "time of the clustering", "peak memory, GB"], rows),
        "Straight lines through these, in seconds or bytes per unit, and the slope that follows from the sizes of the "
        "arrays:",
        table(["line", "slope", "expected", "R²", "why"], fits),
    ]


def _stylegan(run: dict) -> list[str]:
    settings = run["settings"]
    rows = [
        [
            str(row["cutoff"]),
            *(f"{row['ratios'][name]['median']:.2f}" for name in ("shared", "ours")),
            f"{row['arithmetic_above']:.2f}",
            f"{max(row['largest_difference'].values()):.1e}",
        ]
        for row in run["by_cutoff"]
    ]
    earlier = [[str(row["resolution"]), f"{row['correlation']:.2f}"] for row in run["earlier"]]
    remain = " and ".join(
        f"{row['arithmetic_above']:.0%} at c = {row['cutoff']}" for row in run["by_cutoff"] if row["cutoff"] in (6, 8)
    )
    return [
        f"## StyleGAN2 on a CPU\n\n{_where(run)} {settings['resolution']} px, random weights, {settings['n']} mixes, "
        f"{settings['repeats']} rounds. *Straightforward* is the same network in PyTorch, one image at a time, all "
        "layers for each. *Shared* computes the layers below c once. *Ours* does that in OpenVINO, which is what "
        "`load_generator` gives on a CPU. The fourth column is the share of the arithmetic that lies above c, "
        "which must be done for every mix, so sharing alone cannot reach a lower ratio.",
        table(
            [
                "c",
                "shared over straightforward",
                "ours over straightforward",
                "arithmetic above c",
                "largest difference",
            ],
            rows,
        ),
        "The difference is in units of the image's range. Most of the arithmetic of StyleGAN2 belongs to its later, "
        f"larger layers, so that {remain} must be done for every mix however much is shared.",
        "Could an image of fewer pixels, the sum of the RGB images up to r, replace the whole one? It costs only a "
        "fraction. How similar the two are can only be measured with trained weights; with random ones, "
        "where each resolution adds equal noise, the correlation of their pixels is:",
        table(["r", "correlation with the whole image, random weights"], earlier),
    ]


def _gpu(run: dict | None) -> list[str]:
    if run is None:
        return [
            "## On a GPU\n\nNot measured: no GPU was at hand. `python benchmarks/gpu.py` measures it with StyleGAN2 "
            "config-f at 1024 px: the whole method on the device in half precision, against a plain loop in single "
            "precision. A test runs the same code on a CPU."
        ]
    rows = [
        [name, f"{value['median']:.3f}", f"{value['min']:.3f}", f"{value['max']:.3f}"]
        for name, value in run["ratios"].items()
    ]
    return [f"## On a GPU\n\n{run['device']}.", table(["ours over the plain loop's", "median", "least", "most"], rows)]


def _live(run: dict | None) -> list[str]:
    """The live page: how long a reader waits, and what each difference from the package costs the masks."""
    if run is None:
        return []
    bars, settings = run["bars"], run["settings"]
    quantities = {
        "first_s": ("first mix after the click, seconds", 1, 1, f"at most {bars['first_s']:.0f}"),
        "mask_s": (f"mask from {settings['n']} mixes, seconds", 1, 1, f"at most {bars['mask_s']:.0f}"),
        "mix_s": ("one mix, seconds", 1, 2, "none"),
        "kmeans_s": ("K-means, seconds", 1, 2, "none"),
        "late_ms": ("longest wait of the page itself, milliseconds", 1, 0, "none"),
        "peak_bytes": ("memory of the page, MB", 1e6, 0, f"at most {bars['peak_bytes'] / 1e6:.0f} from a server"),
    }
    rows = [
        [name, *(f"{run['summary'][place][key]['median'] / unit:.{digits}f}" for place in ("http", "disk")), aim]
        for key, (name, unit, digits, aim) in quantities.items()
    ]
    compared = {
        "network": "the network of 256 px in place of the generator's 1024 px, averaged",
        "int8": "a byte per weight in place of four",
        "page": "the page's runtime, colours and K-means in place of Python's",
        "restart": "for comparison: another seed of K-means in Python",
        "whole": "all of it: the page against the package",
    }
    costs = [
        [words, *(f"{statistics.fmean(values):.3f} ({min(values):.3f})" for values in _columns(run["agreement"], name))]
        for name, words in compared.items()
    ]
    load = " and ".join(f"{value:.1f}" for value in run["machine"]["load_average"])
    return [
        f"## The live page\n\n{_where(run)} Headless Chromium, one thread, {settings['side']} px, n = {settings['n']}, "
        f"c = {settings['cutoff']}, k = {settings['k']}; medians of {run['summary']['http']['first_s']['n']} fresh "
        f"browsers each. The machine's load was {load} before and after; a load above the number of cores makes "
        f"everything slower. The page downloads {run['download_bytes'] / 1e6:.1f} MB (aim: at most "
        f"{bars['download_bytes'] / 1e6:.0f}).",
        table(["", "from a server", "from disk", "aim"], rows),
        f"How far do its masks agree with those of the package at the same size, on the same latents and styles? The "
        f"numbers are means over {len(run['agreement'])} faces, and the least of them; the aim is an IoU of "
        f"{bars['iou']}. Clusters are matched before their pixels are compared.",
        table(["difference", "IoU foreground", "IoU background", "pixels of the same cluster"], costs),
    ]


def _columns(agreement: list[dict], name: str) -> list[list[float]]:
    """One comparison's values over the faces, by quantity."""
    return [[item[name][key] for item in agreement] for key in ("fg_iou", "bg_iou", "same_cluster")]


def _where(run: dict) -> str:
    machine = run["machine"]
    return f"Measured on {run['date'][:10]}, {machine['cpu']}, {machine['cores']} cores."


def _figure(faces: dict, growth: dict, path: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.4), layout="constrained", width_ratios=(3, 2))
    runs = faces["runs"]
    whole = statistics.median(run["wall_s"] for run in runs if run["variant"] == "peer")
    labelled = set()
    for place, variant in enumerate(("ours", "peer")):
        mine = [run for run in runs if run["variant"] == variant]
        steps = dict.fromkeys(("start",), 0.0)
        for name, step in (_PEER if variant == "peer" else _OURS).items():
            seconds = statistics.median((run["laps"] if variant == "peer" else run["query"])[name] for run in mine)
            steps[step] = steps.get(step, 0.0) + seconds
        # What no step accounts for: the interpreter, imports, reading files.
        steps["start"] += statistics.median(run["wall_s"] for run in mine) - sum(steps.values())
        begun = 0.0
        for step, seconds in steps.items():
            left.barh(place, seconds / whole, left=begun, color=_COLORS[step], label=None if step in labelled else step)
            labelled.add(step)
            begun += seconds / whole
    left.set(yticks=(0, 1), yticklabels=("ours", "peer"), xlabel="share of the peer's time")
    left.legend(fontsize=7, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    rows = [row for row in growth["table"] if row["varied"] == "n"]
    styles = [row["n"] for row in rows]
    seconds = [row["summary_s"] + row["clustering_s"] for row in rows]
    right.plot(styles, [value / seconds[-1] for value in seconds], "o-", color="#4477aa", label="time")
    right.plot(
        styles, [row["peak_bytes"] / rows[-1]["peak_bytes"] for row in rows], "s--", color="#aa3377", label="memory"
    )
    right.set(xlabel="number of styles n", ylabel=f"relative to n = {styles[-1]}", xlim=(0, None), ylim=(0, None))
    right.legend(fontsize=7, frameon=False)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=160)
    plt.close(figure)
