#!/usr/bin/env python3
"""Measure how far the book's numbers move when nothing but the machine changes: the tolerances come from it.

The same small run (`SIZES`, otherwise profile cpu) is measured several times, each from nothing: again, with other
numbers of threads, with the other engine, with the instruction sets of an older processor, and with other versions of
the libraries. The largest distance from the first run is written, for every mean and every image, to
`stylemixseg/evaluation/expectations/noise.json`, from which `stylemixseg ledger --update-expectations` takes its
tolerances.

    python data_scripts/measure_noise.py                                        all but other versions
    python data_scripts/measure_noise.py --python oldest=/tmp/old/bin/python    and an environment of yours

Each variant's results stay in --work, and a variant that is finished is not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from stylemixseg._util.paths import atomic_write, cache_dir
from stylemixseg.evaluation.imagescores import folder_scores
from stylemixseg.evaluation.numbercheck import NOISE_FILE
from stylemixseg.evaluation.results import installed_versions, measurements, profile_runs
from stylemixseg.experiments.kept import made_anew
from stylemixseg.experiments.profile import load_profile
from stylemixseg.experiments.reproduce import reproduce
from stylemixseg.generators import zoo

ROOT = Path(__file__).resolve().parents[1]
TABLES = ("table1", "table4", "parts", "objects", "detectors", "table1_photos")
SIZES = {
    "queries": {"count": 4},
    "table4": {"queries": 1, "cutoffs": (4, 6, 12)},
    "photos": {"count": 1},
    "objects": {"scenes": 4, "faces": 1},
    "detectors": {"photos": 20},
}
ENGINE_SIZES = SIZES | {"queries": {"count": 1}}  # PyTorch takes some ten times as long on a CPU
ENGINE_TABLES = ("table1", "parts")
FIRST = "first"
# Environment of the processes; MEASURE_NOISE_ENGINE is ours. An older processor has neither AVX2 nor FMA.
OLDER = {
    "ATEN_CPU_CAPABILITY": "default",
    "DNNL_MAX_CPU_ISA": "SSE41",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "FAISS_OPT_LEVEL": "generic",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3",
}
VARIANTS = {
    FIRST: ({}, "as installed"),
    "again": ({}, "the same once more"),
    "one_thread": ({"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}, "one thread in place of two"),
    "four_threads": ({"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "4"}, "four threads on two cores"),
    "torch_engine": ({"MEASURE_NOISE_ENGINE": "torch"}, "PyTorch in place of OpenVINO as the engine"),
    "older_processor": (OLDER, "instruction sets limited to SSE 4 in PyTorch, oneDNN, OpenVINO, faiss, MKL and NumPy"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=cache_dir() / "noise", help="folder for results (%(default)s)")
    parser.add_argument(
        "--python", action="append", default=[], metavar="NAME=PATH", help="interpreter with other versions installed"
    )
    parser.add_argument("--only", nargs="*", metavar="VARIANT", help="measure only these; nothing is written then")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)  # a child process: write results there
    args = parser.parse_args()
    if args.measure:
        _measure(args.measure)
        return
    variants = {name: (environment, words, sys.executable) for name, (environment, words) in VARIANTS.items()}
    for item in args.python:
        name, _, path = item.partition("=")
        variants[name] = ({}, "other versions of the libraries", path)
    for name, (environment, _, python) in variants.items():
        if args.only and name not in args.only:
            continue
        if (args.work / name / "versions.json").exists():
            print(f"{name}: measured before")
            continue
        print(f"{name}: measuring", flush=True)
        command = [python, __file__, "--measure", str(args.work / name)]
        subprocess.run(command, env=os.environ | environment | {"PYTHONPATH": str(ROOT)}, check=True)
    if not args.only:
        print(_write(args.work, {name: words for name, (_, words, _) in variants.items()}))


def _measure(out: Path) -> None:
    """One run of all tables in this process, from nothing."""
    tables, sizes = TABLES, SIZES
    if os.environ.get("MEASURE_NOISE_ENGINE") == "torch":
        zoo.find_spec = lambda name: None  # OpenVINO is as good as not installed
        tables, sizes = ENGINE_TABLES, ENGINE_SIZES
    profile = load_profile("cpu").changed(name="noise", **sizes)
    for table in tables:
        with made_anew():
            reproduce(table, profile, out)
    with atomic_write(out / "versions.json") as temporary:
        temporary.write_text(json.dumps(installed_versions()), encoding="utf-8")


def _write(work: Path, words: dict[str, str]) -> Path:
    """Compare every variant with the first, and write the largest distances."""
    first = measurements(profile_runs(work / FIRST, "noise"))
    first_scores = folder_scores(work / FIRST / "noise")
    record = {"sizes": SIZES, "variants": [], "means": {}, "images": {}}
    for name, described in words.items():
        versions = json.loads((work / name / "versions.json").read_text())
        found, scores = measurements(profile_runs(work / name, "noise")), folder_scores(work / name / "noise")
        moved = {
            item: abs(found[item].value - first[item].value)
            for item in first
            if item.endswith("iou") and first[item].interval and item in found and found[item].n == first[item].n
        }
        images = {
            f"{score}:{image}": abs(scores[score].by_image()[image] - value)
            for score, item in first_scores.items()
            for image, value in item.by_image().items()
            if not score.endswith("seconds") and score in scores and image in scores[score].images
        }
        worst, worst_image = max(moved, key=moved.get), max(images, key=images.get)
        record["variants"].append({
            "name": name,
            "words": described,
            "versions": versions,
            "means": {"count": len(moved), "moved": sum(value > 5e-7 for value in moved.values()),
                      "largest": round(moved[worst], 7), "which": worst},
            "images": {"count": len(images), "moved": sum(value > 5e-7 for value in images.values()),
                       "largest": round(images[worst_image], 7), "which": worst_image},
        })  # fmt: skip
        for kind, values in (("means", moved), ("images", images)):
            for item, value in values.items():
                key = item.split(":")[0]
                record[kind][key] = round(max(value, record[kind].get(key, 0.0)), 7)
    with atomic_write(NOISE_FILE) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return NOISE_FILE


if __name__ == "__main__":
    main()
