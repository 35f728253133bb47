"""One query to one mask on a GPU: StyleGAN2 config-f, 1024 px, random weights, n = 50.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --device cpu --resolution 64 --channel-base 512 --n 4 --repeats 2    to try the script

"plain" is the straightforward loop: single precision, all layers of one image after the other, colours and K-means on
the same device. The others are `StyleMixSegmenter(..., device=...)`: layers below c once, in batches, half precision;
"half_last" with channels last in memory, "half_compiled" through torch.compile. They take turns in one process. Bars,
on an H200: at most 0.15 s and 2 GiB per query, and half of the plain loop's time.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time

import measure
from cpu_stylegan2 import convolution_flops

VARIANTS = ("plain", "half", "half_last", "half_compiled")
BARS = {"wall_s": 0.15, "peak_bytes": 2 << 30, "ratio": 0.5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the script (default: cuda)")
    parser.add_argument("--resolution", type=int, default=1024, help="of the network (default: 1024)")
    parser.add_argument("--channel-base", type=int, default=32768, help="config-f: 32768 (default)")
    parser.add_argument(
        "--dtype", default="float16", choices=("float16", "bfloat16"), help="half precision (default: float16)"
    )
    parser.add_argument("--batch-size", type=int, default=4, help="images at once, except plain (default: 4)")
    parser.add_argument("--n", type=int, default=50, help="styles (default: 50)")
    parser.add_argument("--cutoff", type=int, default=6, help="c (default: 6)")
    parser.add_argument("--k", type=int, default=4, help="clusters (default: 4)")
    parser.add_argument("--repeats", type=int, default=10, help="rounds (default: 10)")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS, help="(default: all)")
    parser.add_argument("--out", default=measure.RESULTS / "gpu.json", help="result file")
    options = parser.parse_args()

    started = measure.machine()
    settings = {name: value for name, value in vars(options).items() if name != "out"}
    found = measure.fresh_run(__file__, "all", settings)
    for name, value in found["ratios"].items():
        print(f"{name} over plain: {value['median']:.3f}; {found['seconds'][name]['median']:.3f} s")
    names = ("device", "ratios", "seconds", "memory_bytes", "agreement", "limits")
    measure.write_result(options.out, "gpu", settings, started, bars=BARS, **{name: found[name] for name in names})


def work(variant: str, settings: dict, laps: measure.Laps) -> dict:
    import torch

    from stylemixseg import StyleMixSegmenter
    from stylemixseg._util.tensors import check_device
    from stylemixseg.generators.base import seeded_z
    from stylemixseg.generators.random_weights import random_stylegan2

    device = check_device("device", settings["device"])
    cuda = torch.device(device).type == "cuda"
    half = getattr(torch, settings["dtype"])
    network = random_stylegan2(settings["resolution"], settings["channel_base"])
    method = {name: settings[name] for name in ("n", "cutoff", "k", "device")}

    class Plain:
        """The generator without a shared prefix: mixing falls back to whole images, one after the other."""

        def __init__(self, module):
            self.module = module
            for name in ("name", "digest", "z_dim", "w_dim", "num_ws", "resolution", "w_avg", "mapping", "synthesis"):
                setattr(self, name, getattr(module, name))

    def make(name: str) -> StyleMixSegmenter:
        module = copy.deepcopy(network).to(device)
        if name == "plain":
            return StyleMixSegmenter(Plain(module), **method)
        module.feature_dtype = half
        if name == "half_last":
            module.to(memory_format=torch.channels_last)
        if name == "half_compiled":
            module.run_layers = torch.compile(module.run_layers)
        return StyleMixSegmenter(module, **method, batch_size=settings["batch_size"])

    def wait() -> None:
        if cuda:
            torch.cuda.synchronize(device)

    memory, results, segmenters = {}, {}, {}
    for name in settings["variants"]:
        segmenters[name] = make(name)
        ws = segmenters[name].generator.mapping(seeded_z(0, segmenters[name].generator.z_dim).to(device), 0.7)
        segmenters[name](ws)  # warms up, compiles
        if cuda:
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
        results[name] = segmenters[name](ws)
        wait()
        memory[name] = torch.cuda.max_memory_allocated(device) - before if cuda else None
        laps(f"warm {name}")
    runs = []
    for number, name in measure.interleaved(settings["variants"], settings["repeats"]):
        wait()
        begun = time.perf_counter()
        segmenters[name](ws)
        wait()
        runs.append({"round": number, "variant": name, "wall_s": time.perf_counter() - begun})

    plain = results["plain"] if "plain" in results else next(iter(results.values()))
    others = [name for name in settings["variants"] if name != "plain"] if "plain" in settings["variants"] else []
    flops = settings["n"] * convolution_flops(network, settings["cutoff"])
    rate, bandwidth = _limits(torch, device, half, wait)
    return {
        "device": torch.cuda.get_device_name(device) if cuda else "CPU",
        "ratios": {name: measure.paired_ratios(runs, name, "plain", keys=("wall_s",))["wall_s"] for name in others},
        "seconds": {
            name: measure.spread(run["wall_s"] for run in runs if run["variant"] == name)
            for name in settings["variants"]
        },
        "memory_bytes": memory,
        "agreement": {
            name: {
                "iou": float((found.mask & plain.mask).sum() / max((found.mask | plain.mask).sum(), 1)),
                "image": float(abs(found.image.astype(int) - plain.image).mean()),
            }
            for name, found in results.items()
        },
        "limits": {"flops": flops, "flops_per_s": rate, "bytes_per_s": bandwidth, "arithmetic_s": flops / rate},
    }


def _limits(torch, device: str, dtype, wait) -> tuple[float, float]:
    """What the device reaches in a large matrix product (half precision) and in a copy, a second."""
    side = 8192 if device.startswith("cuda") else 512
    a = torch.randn(side, side, device=device, dtype=dtype)
    target = torch.empty_like(a)

    def best(function) -> float:
        seconds = []
        for _ in range(5):
            wait()
            begun = time.perf_counter()
            function()
            wait()
            seconds.append(time.perf_counter() - begun)
        return min(seconds)

    moved = 2 * a.numel() * a.element_size()
    return 2 * side**3 / best(lambda: torch.mm(a, a, out=target)), moved / best(lambda: target.copy_(a))


if __name__ == "__main__":
    if not measure.serve(work):
        sys.exit(main())
