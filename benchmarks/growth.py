"""How time and memory of one query grow with the number of styles n, the resolution, and the number of clusters k.

    python benchmarks/growth.py
    python benchmarks/growth.py --n 10 50 --resolution 1024 --k 4

One of the three varies at a time, the others stand at their defaults (50, 1024 px, 4). Each run is a fresh process.
The table says what each line's slope is and, where it follows from the sizes of the arrays, what it should be.
"""

from __future__ import annotations

import argparse
import sys

import measure

DEFAULTS = {"n": 50, "resolution": 1024, "k": 4}
GRIDS = {"n": (10, 25, 50, 100, 200), "resolution": (256, 512, 1024), "k": (2, 4, 8, 12, 20)}
# Over which power of the varied setting each number should be a straight line.
POWERS = {
    "n": {"summary_s": 1, "clustering_s": 1, "peak_bytes": 1},
    "resolution": {"clustering_s": 2},  # memory is no line: below 1024 px the generator gives floats, not bytes
    "k": {"clustering_s": 2, "peak_bytes": 1},
}
REASONS = {
    ("n", "summary_s"): "n times the same layers; the intercept compiles them",
    ("n", "clustering_s"): "3n numbers per pixel are converted and compared; the intercept does not depend on n",
    ("n", "peak_bytes"): "one byte per channel of each image, 3 R^2; X_s itself would take 12 R^2",
    ("resolution", "clustering_s"): "every pixel is assigned; the intercept trains, on 2048 k pixels at every size, "
    "and makes X_0",
    ("k", "clustering_s"): "training compares 2048 k pixels with k centroids; conversion (the intercept) needs no k",
    ("k", "peak_bytes"): "one distance of 4 bytes per pixel and cluster, twice while the clusters are put in order",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, grid in GRIDS.items():
        text = f"values of {name} (default: {' '.join(map(str, grid))})"
        parser.add_argument(f"--{name}", type=int, nargs="+", default=list(grid), help=text)
    parser.add_argument("--seed", type=int, default=0, help="query (default: 0)")
    parser.add_argument("--repeats", type=int, default=1, help="runs of each; the fastest counts (default: 1)")
    parser.add_argument("--generator", default="faces", help="faces, or a toy to try the script (default: faces)")
    parser.add_argument("--out", default=measure.RESULTS / "growth.json", help="result file")
    options = parser.parse_args()

    started = measure.machine()
    grids = {name: getattr(options, name) for name in GRIDS}
    # Where a default is not among the values that were asked for, their largest stands in for it.
    fixed = {name: DEFAULTS[name] if DEFAULTS[name] in grid else max(grid) for name, grid in grids.items()}
    measured: dict[tuple, dict] = {}
    table = []
    for name, grid in grids.items():
        for value in grid:
            point = {**fixed, name: value}
            key = tuple(point.values())
            if key not in measured:
                measured[key] = _best(point, options)
                measure.say(f"{point}: {measured[key]['wall_s']:.1f} s, {measured[key]['peak_bytes'] / 1e9:.2f} GB")
            table.append({"varied": name, **point, **measured[key]})
    fits = [_fit(table, name, number, fixed) for name, numbers in POWERS.items() for number in numbers]
    for fit in filter(None, fits):
        print("{number} over {varied}^{power}: slope {slope:.3g}, expected {expected}, R2 {r2:.3f}".format(**fit))
    settings = {name: getattr(options, name) for name in ("generator", "seed", "repeats", *GRIDS)} | {"fixed": fixed}
    measure.write_result(options.out, "growth", settings, started, table=table, fits=[fit for fit in fits if fit])


def _best(point: dict, options: argparse.Namespace) -> dict:
    task = {**point, "generator": options.generator, "seed": options.seed}
    runs = [measure.fresh_run(__file__, "query", task) for _ in range(options.repeats)]
    return min(runs, key=lambda run: run["wall_s"])


def _fit(table: list[dict], varied: str, number: str, fixed: dict) -> dict | None:
    rows = [row for row in table if row["varied"] == varied]
    if len({row[varied] for row in rows}) < 2:
        return None  # no line through one point
    power = POWERS[varied][number]
    line = measure.fit_line([row[varied] ** power for row in rows], [row[number] for row in rows])
    expected = {
        ("n", "peak_bytes"): 3 * fixed["resolution"] ** 2,
        ("k", "peak_bytes"): 2 * 4 * fixed["resolution"] ** 2,
    }.get((varied, number))
    return {
        "varied": varied,
        "power": power,
        "number": number,
        **line,
        "expected": expected,
        "reason": REASONS[varied, number],
    }


def work(variant: str, settings: dict, laps: measure.Laps) -> dict:
    from stylemixseg import StyleMixSegmenter, load_generator, seeded_z

    laps("import")
    generator = load_generator(settings["generator"])
    segmenter = StyleMixSegmenter(generator, **{key: settings[key] for key in DEFAULTS})
    laps("load")
    result = segmenter(generator.mapping(seeded_z(settings["seed"], generator.z_dim), 0.7))
    laps("query")
    return {f"{step}_s": seconds for step, seconds in result.seconds.items()}


if __name__ == "__main__":
    if not measure.serve(work):
        sys.exit(main())
