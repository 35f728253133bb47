"""Style mixes of StyleGAN2 on the CPU: this package against the same network run the straightforward way, by cutoff.

    python benchmarks/cpu_stylegan2.py
    python benchmarks/cpu_stylegan2.py --resolution 1024 --channel-base 32768 --n 4

Both draw the n mixes of one query with the same random weights. "straightforward": PyTorch, one image at a time, every
layer for each. "shared": PyTorch, the layers below c once, the rest for each mix. "ours": what `load_generator` gives
on a CPU. Each variant is warmed up, then they take turns in one process. The share of the network that lies above the
cutoff says what a shared prefix can gain at best.

A second table asks how far the sum of the RGB images up to r pixels can stand for the whole image. With random weights
every resolution is equally noisy, which no trained network is: read it as the cost, and measure the likeness anew on a
trained network.
"""

from __future__ import annotations

import argparse
import sys
import time

import measure

VARIANTS = ("straightforward", "shared", "ours")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=256, help="of the network (default: 256)")
    parser.add_argument(
        "--channel-base", type=int, default=16384, help="16384: paper256, 32768: config-f (default: 16384)"
    )
    parser.add_argument("--cutoffs", type=int, nargs="+", default=[0, 4, 6, 8, 10, 12], help="(default: 0 4 6 8 10 12)")
    parser.add_argument("--n", type=int, default=10, help="styles (default: 10)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--out", default=measure.RESULTS / "cpu_stylegan2.json", help="result file")
    options = parser.parse_args()

    started = measure.machine()
    settings = {key: getattr(options, key) for key in ("resolution", "channel_base", "cutoffs", "n", "repeats")}
    found = measure.fresh_run(__file__, "all", settings)
    for row in found["by_cutoff"]:
        ratios = ", ".join(f"{name} {row['ratios'][name]['median']:.3f}" for name in VARIANTS[1:])
        print(f"c = {row['cutoff']:2}: time over straightforward: {ratios}; at best {row['arithmetic_above']:.3f}")
    measure.write_result(
        options.out, "cpu_stylegan2", settings, started, by_cutoff=found["by_cutoff"], earlier=found["earlier"]
    )


def work(variant: str, settings: dict, laps: measure.Laps) -> dict:
    """All variants in one process, in turns."""
    import torch

    from stylemixseg import mix_styles
    from stylemixseg.generators.base import seeded_z
    from stylemixseg.generators.random_weights import random_stylegan2
    from stylemixseg.generators.zoo import with_engine
    from stylemixseg.mixing import draw_style_latents

    module = random_stylegan2(settings["resolution"], settings["channel_base"])
    engine = with_engine(module, "auto", "cpu")
    w0, styles = module.mapping(seeded_z(0, module.z_dim)), draw_style_latents(module, settings["n"], seed=1)
    laps("load")

    def mixes(name: str, cutoff: int) -> torch.Tensor:
        with torch.no_grad():
            if name == "straightforward":
                return torch.cat([module.synthesis(mix_styles(w0, style[None], cutoff)) for style in styles])
            return torch.cat(list((module if name == "shared" else engine).iter_mixed_synthesis(w0, styles, cutoff, 1)))

    by_cutoff = []
    for cutoff in settings["cutoffs"]:
        images = {name: mixes(name, cutoff) for name in VARIANTS}  # also warms up and compiles
        span = float(images["straightforward"].max() - images["straightforward"].min())
        runs = []
        for number, name in measure.interleaved(VARIANTS, settings["repeats"]):
            begun = time.perf_counter()
            mixes(name, cutoff)
            runs.append({"round": number, "variant": name, "wall_s": time.perf_counter() - begun})
        by_cutoff.append(
            {
                "cutoff": cutoff,
                "ratios": {
                    name: measure.paired_ratios(runs, name, "straightforward", keys=("wall_s",))["wall_s"]
                    for name in VARIANTS[1:]
                },
                "seconds_per_mix": {
                    name: measure.spread(run["wall_s"] / settings["n"] for run in runs if run["variant"] == name)
                    for name in VARIANTS
                },
                "arithmetic_above": convolution_flops(module, cutoff) / convolution_flops(module, 0),
                "largest_difference": {
                    name: float((images[name] - images["straightforward"]).abs().max()) / span for name in VARIANTS[1:]
                },
            }
        )
        measure.say(f"c = {cutoff} done")
        laps(f"c{cutoff}")
    return {"by_cutoff": by_cutoff, "earlier": earlier_images(module, w0)}


def convolution_flops(module, cutoff: int) -> int:
    """Multiplications and additions of the convolutions that read ws from `cutoff` on, for one image."""
    flops = 0
    for i, block in enumerate(module.blocks):
        side = 4 << i
        if i and 2 * i - 1 >= cutoff:  # the transposed convolution works at half the size; then the 4 x 4 filter
            flops += 2 * block.conv0.weight.numel() * (side // 2) ** 2 + 2 * 16 * block.conv0.weight.shape[0] * side**2
        if 2 * i >= cutoff:
            flops += 2 * block.conv1.weight.numel() * side**2
        if 2 * i + 1 >= cutoff:
            flops += 2 * block.torgb.weight.numel() * side**2
    return flops


def earlier_images(module, w0) -> list[dict]:
    """The RGB sum up to r px, enlarged, against the whole image: time, and correlation of their pixels."""
    import torch
    import torch.nn.functional as F

    with torch.no_grad():
        whole = module.synthesis(w0)
        rows = []
        for side in [4 << i for i in range(2, len(module.blocks))]:
            begun = time.perf_counter()
            small = module.synthesis(w0, resolution=side)
            seconds = time.perf_counter() - begun
            large = F.interpolate(small, size=whole.shape[-2:], mode="bilinear", align_corners=False)
            correlation = torch.corrcoef(torch.stack([large.flatten(), whole.flatten()]))[0, 1]
            rows.append({"resolution": side, "seconds": seconds, "correlation": float(correlation)})
    return rows


if __name__ == "__main__":
    if not measure.serve(work):
        sys.exit(main())
