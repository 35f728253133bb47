"""Pairs of an image and its mask per second, and the memory: `stylemixseg synthesize` against a plain loop.

    python benchmarks/factory.py
    python benchmarks/factory.py --steps
    python benchmarks/factory.py --generator toy-portrait --count 24 --sizes 20 40 --out /tmp/factory.json

"loop" is the Python example of the README in a loop over seeds that writes image and mask with Pillow. "process1" and
"process2" are the factory in this process and with two processes, "ray1" and "ray2" Ray with one and two actors, which
compute on one thread each. All make the same number of pairs with the same settings. "judge2" makes them as the book's
sets are made: eight styles, masks by the judge, bfloat16 where the processor has it, two processes; its masks are
others, so "miou" says for each kind how well it agrees with the face parser. With `--steps` the way from "loop" to
"judge2" is timed one step at a time: "process2" has two processes, "fewer2" eight styles besides, "exact2" the judge's
masks besides, and "judge2" bfloat16 besides. The first quarter of the pairs is not counted: imports, the start of
processes and the compilation of the network happen once, however many pairs follow. "start_s" is what they take. The
masks of "loop" and of the factory are compared.

"memory" is the peak of the driving process over the number of toy samples: it must not grow with it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import measure

# Least pairs per second of the first, divided by those of the second.
BARS = {
    "process2 / loop": 2.0,
    "judge2 / loop": 2.0,
    "ray1 / process1_one_thread": 0.9,
    "ray2 / ray1": 1.7,
}
VARIANTS = ("loop", "process1", "process1_one_thread", "process2", "judge2", "ray1", "ray2")
STEPS = ("loop", "process2", "fewer2", "exact2", "judge2")  # each differs in one thing from the one before
SETTINGS = {"n": 20, "cutoff": 6, "k": 4}
FEWER = 8  # styles with the judge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generator", default="faces", help="faces, or a toy to try the script (default: faces)")
    parser.add_argument("--count", type=int, default=48, help="pairs of each variant, at least 8 (default: 48)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each variant (default: 3)")
    text = "numbers of toy samples for the memory (default: 100 1000 10000)"
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10000], help=text)
    usual = [name for name in VARIANTS if find_spec("ray") or not name.startswith("ray")]
    text = "what is timed (default: all, those of Ray where it is installed)"
    parser.add_argument("--variants", nargs="+", default=usual, choices=VARIANTS, help=text)
    text = "time the steps from loop to judge2 one by one in place of the variants, without the memory"
    parser.add_argument("--steps", action="store_true", help=text)
    parser.add_argument("--out", help="result file (default: factory.json or factory_steps.json in benchmarks/results)")
    options = parser.parse_args()
    wanted, benchmark = BARS, "factory"
    if options.steps:
        benchmark = "factory_steps"
        options.variants, options.sizes = list(STEPS), []
        wanted = {f"{later} / {before}": None for before, later in pairwise(STEPS)}

    started = measure.machine()
    settings = {**SETTINGS, "generator": options.generator, "count": options.count}
    runs = []
    with tempfile.TemporaryDirectory(prefix="benchmark-factory-") as folder:
        for number, variant in measure.interleaved(options.variants, options.repeats):
            out = str(Path(folder) / f"{variant}-{number}")
            run = measure.fresh_run(__file__, variant, {**settings, "out": out})
            runs.append({"round": number, "variant": variant, **run})
            measure.say(f"{variant}: {run['pairs_per_s']:.2f} pairs/s after {run['start_s']:.1f} s")
        compared = {"loop", "process2"} <= set(options.variants)
        differing = _differing(Path(folder) / "loop-0", Path(folder) / "process2-0") if compared else None
        agreement = _agreement(Path(folder), options.variants) if options.generator == "faces" else None
        memory = []
        for size in options.sizes:
            task = {"n": 4, "cutoff": 6, "k": 3, "generator": "toy-portrait", "resolution": 32, "size": 32}
            run = measure.fresh_run(
                __file__, "process1", {**task, "count": size, "out": str(Path(folder) / f"m{size}")}
            )
            memory.append({"samples": size, **run})
            measure.say(f"{size} toy samples: {run['peak_bytes'] / 1e6:.0f} MB")
    ratios = {}
    for name, bar in wanted.items():
        first, second = name.split(" / ")
        if {first, second} <= set(options.variants):
            ratios[name] = measure.paired_ratios(runs, first, second, ["pairs_per_s"])["pairs_per_s"]
            aim = f", bar {bar}" if bar else ""
            print(f"{name}: median {{median:.2f}} ({{min:.2f}} to {{max:.2f}}){aim}".format(**ratios[name]))
    if differing is not None:
        print(f"pixels in which the masks of loop and factory differ: {differing:.4%}")
    measure.write_result(
        options.out or measure.RESULTS / f"{benchmark}.json",
        benchmark,
        {**settings, "repeats": options.repeats, "sizes": options.sizes},
        started,
        bars=wanted,
        ratios=ratios,
        differing_pixels=differing,
        miou=agreement,
        runs=runs,
        memory=memory,
    )


def _differing(loop: Path, factory: Path) -> float:
    """Share of pixels in which the masks of the loop and of the factory differ, over all pairs."""
    import numpy as np
    from PIL import Image

    pairs = list(loop.glob("*-mask.png"))
    unequal = [
        (np.asarray(Image.open(path)) > 0) != (np.asarray(Image.open(_exported(factory, path))) > 0) for path in pairs
    ]
    return float(np.mean(unequal))


def _exported(factory: Path, path: Path) -> Path:
    """The factory's mask of the seed of the loop's file."""
    return factory / f"folder/ann_dir/train/{int(path.name[:6]):010d}.png"


def _agreement(folder: Path, variants: list[str]) -> dict[str, float]:
    """mIoU over all pixels of each kind of masks with those of the face parser; empty without the loop's images."""
    import numpy as np
    from PIL import Image

    from stylemixseg.metrics import confusion, mean_iou
    from stylemixseg.mixing import to_generator_range
    from stylemixseg.models.references import FaceParser

    kinds = [name for name in STEPS if name in variants and name != "process2"]  # its masks are the loop's
    parser, counts = FaceParser.load(), {name: [] for name in kinds}
    for path in sorted((folder / "loop-0").glob("*-image.png")):
        truth = np.asarray(parser.foreground(to_generator_range(np.asarray(Image.open(path))))[0])
        drawn = path.with_name(path.name.replace("image", "mask"))
        for name, found in counts.items():
            mask = Image.open(drawn if name == "loop" else _exported(folder / f"{name}-0", drawn))
            mask = np.asarray(mask.resize(truth.shape[::-1], Image.Resampling.NEAREST)) > 0
            found.append(confusion(mask, truth))
    return {name: mean_iou(found, "dataset") for name, found in counts.items() if found}


def work(variant: str, settings: dict, laps: measure.Laps) -> dict:
    started = time.perf_counter()
    ticks = list(_loop(settings)) if variant == "loop" else _synthesize(variant, settings)
    # Without the first quarter: caches and pools fill, and samples made before the first tick would count.
    begin = len(ticks) // 4
    rate = (len(ticks) - begin) / (ticks[-1] - ticks[begin - 1])
    found = {"start_s": ticks[0] - started, "pairs_per_s": rate}
    if variant != "loop":
        samples = Path(settings["out"]) / "samples"
        found["bytes_per_pair"] = sum(path.stat().st_size for path in samples.rglob("*.zip")) / settings["count"]
    return found


def _loop(settings: dict) -> Iterator[float]:
    """The README's Python example for one seed after the other; gives the time after each."""
    from PIL import Image

    from stylemixseg import StyleMixSegmenter, load_generator, seeded_z

    out = Path(settings["out"])
    out.mkdir()
    generator = load_generator(settings["generator"])
    segmenter = StyleMixSegmenter(
        generator, n=settings["n"], cutoff=settings["cutoff"], k=settings["k"], resolution=generator.resolution // 4
    )
    for seed in range(settings["count"]):
        ws = generator.mapping(seeded_z(seed, generator.z_dim), truncation=0.7)
        result = segmenter(ws)
        Image.fromarray(result.image).save(out / f"{seed:06d}-image.png")
        Image.fromarray(result.mask).save(out / f"{seed:06d}-mask.png")
        yield time.perf_counter()


def _synthesize(variant: str, settings: dict) -> list[float]:
    """The factory; gives the times at which its samples were finished."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from stylemixseg.factory.engines.process import ProcessEngine
    from stylemixseg.factory.recipe import Recipe
    from stylemixseg.factory.run import synthesize
    from stylemixseg.factory.sample import SampleMaker
    from stylemixseg.generators.zoo import load_generator
    from stylemixseg.joint.judge import fitted_judge
    from stylemixseg.settings import SegmenterConfig

    workers = int(variant.removesuffix("_one_thread")[-1])
    if variant.startswith("ray"):
        from stylemixseg.factory.engines.raydata import RayEngine

        engine = RayEngine(workers)
    else:
        engine = ProcessEngine(workers)
    ticks: list[float] = []

    class Timed:
        """The engine, with a note of when each sample came."""

        def make(self, recipe, seeds):
            if variant == "process1_one_thread":
                maker = SampleMaker(recipe)
                made = ((seed, maker(seed).to_bytes()) for seed in seeds)
            else:
                made = engine.make(recipe, seeds)
            for item in made:
                ticks.append(time.perf_counter())
                yield item

    resolution = settings.get("resolution") or load_generator(settings["generator"]).resolution // 4
    config = SegmenterConfig(n=settings["n"], cutoff=settings["cutoff"], k=settings["k"], resolution=resolution)
    recipe = Recipe(settings["generator"], config, size=settings.get("size"), ignore=0.0)
    if variant in STEPS[2:]:
        config = replace(config, n=FEWER)
        if variant != "fewer2":
            config = replace(config, judge=fitted_judge(load_generator(settings["generator"]), config))
        recipe = replace(recipe, config=config, engine="openvino-bf16" if variant == "judge2" else recipe.engine)
    synthesize(settings["out"], recipe, settings["count"], engine=Timed(), formats=["folder"])
    return ticks


if __name__ == "__main__":
    if not measure.serve(work):
        sys.exit(main())
