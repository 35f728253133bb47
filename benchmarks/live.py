"""The live page: how long a reader waits, how much is downloaded and kept in memory, and whether the masks agree.

    python benchmarks/live.py                         after `make book`, which gets the runtime through npm
    python benchmarks/live.py --rounds 1 --seeds 0 --out /tmp/live.json

Each round is a fresh Chromium, headless, that opens the page from a web server or from disk and clicks. The page says
itself when the first mix and the mask were there, counted from the click, the download from this machine included.
Agreement is with the package's segmenter at 256 px, that is with the generator's 1024 px averaged; what differs is
taken apart:

    network      the collapsed network of 256 px in place of the generator, float32
    int8         the same network with a byte per weight, in place of float32
    page         the page's runtime, colours and K-means in JavaScript, in place of Python's, on the same int8 network
    restart      for comparison: another seed of Python's own K-means, on the generator's mixes
    whole        the page against the package
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import measure
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "helpers"), str(ROOT / "book")]
BARS = {"first_s": 3.0, "mask_s": 12.0, "download_bytes": 12e6, "peak_bytes": 700e6, "iou": 0.95}
SETTINGS = {"generator": "faces", "side": 256, "n": 10, "cutoff": 6, "k": 4, "threads": 1}
STYLE_SEED = 2023  # of the profile `cpu`, whose page is measured
# What is compared with what; see above.
PAIRS = {
    "network": ("float32", "generator"),
    "int8": ("int8", "float32"),
    "page": ("page", "int8"),
    "restart": ("restart", "generator"),
    "whole": ("page", "generator"),
}
BLOCK_MS = 50  # a page that answers within this time counts as at rest
# Counts how late a timer of the page comes while the worker computes.
WATCH = f"""
self.late = 0;
(function tick(due) {{
  const now = performance.now();
  self.late = Math.max(self.late, now - due);
  setTimeout(tick, {BLOCK_MS}, now + {BLOCK_MS});
}})(performance.now());
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="browsers from each place (default: 3)")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(12)), help="faces to compare (0 to 11)")
    parser.add_argument("--out", default=measure.RESULTS / "live.json", help="result file")
    options = parser.parse_args()

    from live_page import faces_page

    started = measure.machine()
    with tempfile.TemporaryDirectory(prefix="benchmark-live-") as name:
        folder = Path(name)
        measure.say("writing the page")
        faces_page(folder)
        runs = []
        for number, place in measure.interleaved(("http", "disk"), options.rounds):
            run = {"round": number, "variant": place, **visit(folder, place)}
            runs.append(run)
            memory = f"{run['peak_bytes'] / 1e6:.0f} MB"
            measure.say(f"{place}: first mix {run['first_s']:.1f} s, mask {run['mask_s']:.1f} s, {memory}")
        measure.say("masks of the page")
        labels = dict(visit_faces(folder, options.seeds))
        tools = Python()
        agreement = [tools.compare(seed, found) for seed, found in labels.items()]
    for item in agreement:
        whole = item["whole"]
        print(f"seed {item['seed']}: IoU {whole['fg_iou']:.4f}, {whole['same_cluster']:.4f} of the pixels")
    measure.write_result(
        options.out,
        "live",
        {**SETTINGS, "seeds": options.seeds},
        started,
        bars=BARS,
        summary={
            place: {
                key: measure.spread(run[key] for run in runs if run["variant"] == place)
                for key in ("first_s", "mask_s", "mix_s", "kmeans_s", "peak_bytes", "late_ms")
            }
            for place in ("http", "disk")
        },
        download_bytes=runs[0]["download_bytes"],
        runs=runs,
        agreement=agreement,
    )


def visit(folder: Path, place: str) -> dict:
    """One reader: opens the page, clicks, waits for the mask."""
    from chromium import Browser, find_chromium
    from http_server import served
    from live_page import ROOT as PAGE
    from live_page import start

    with served(folder) as site, Browser(find_chromium()) as browser:
        page = browser.new_page()
        page.open(f"{site}/page.html" if place == "http" else (folder / "page.html").as_uri())
        page.evaluate(WATCH)
        start(page, seconds=600)
        times = page.evaluate(f"{PAGE}.times")
        names = [request.rsplit("/", 1)[1] for request in page.requests if request.startswith((site, "file:"))]
        sizes = [path.stat().st_size for name in names if (path := folder / "live" / name).is_file()]
        return {
            "first_s": times["first"],
            "mask_s": times["done"],
            "mix_s": statistics.median(times["mixes"]),
            "kmeans_s": times["clusters"],
            "late_ms": page.evaluate("self.late"),
            "download_bytes": sum(sizes),
            "peak_bytes": renderer_peak(browser.pid),
        }


def visit_faces(folder: Path, seeds: list[int]) -> Iterator[tuple[int, np.ndarray]]:
    """(seed, cluster map of the page), face by face; it stores the latents of more faces than it has buttons for."""
    from chromium import Browser, find_chromium
    from http_server import served
    from live_page import ROOT as PAGE
    from live_page import labels_of, start, wait_until_done

    with served(folder) as site, Browser(find_chromium()) as browser:
        page = browser.new_page()
        page.open(f"{site}/page.html")
        start(page, seconds=600)
        for seed in seeds:
            face = f"{PAGE}.source.faces.find((one) => one.name === 'face {seed}')"
            page.evaluate(f"void {PAGE}.bench.setFace({face})")
            page.browser.pump(0.3)
            wait_until_done(page, 600)
            yield seed, labels_of(page)


def renderer_peak(browser: int) -> int:
    """Largest resident size of the browser's largest renderer, the process that the page and its worker run in."""
    import psutil

    peaks = []
    for process in psutil.Process(browser).children(recursive=True):
        if "--type=renderer" in process.cmdline():
            status = Path(f"/proc/{process.pid}/status").read_text()
            peaks.append(int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) * 1024)
    return max(peaks)


class Python:
    """The package's own way from a face to clusters and mask, with the generator and with the networks of the page."""

    def __init__(self):
        from runs_onnx import runs_onnx

        from stylemixseg.generators.zoo import load_generator
        from stylemixseg.live.network import network_model
        from stylemixseg.mixing import draw_style_latents

        self.generator = load_generator("faces")
        self.styles = draw_style_latents(self.generator, SETTINGS["n"], STYLE_SEED)
        exported = load_generator("faces", engine="torch")
        self.networks = {
            kind: runs_onnx(network_model(exported, SETTINGS["side"], kind)) for kind in ("float32", "int8")
        }

    def compare(self, seed: int, page: np.ndarray) -> dict:
        """Where the page's cluster map and mask of a face differ from the package's, step by step."""
        from stylemixseg.foreground import Saliency, apply_rule
        from stylemixseg.generators.base import seeded_latent
        from stylemixseg.metrics import confusion
        from stylemixseg.mixing import mix_styles, style_mixed_images
        from stylemixseg.settings import QUERY_TRUNCATION, MixPlan
        from stylemixseg.summary import StyleStack

        k, cutoff = SETTINGS["k"], SETTINGS["cutoff"]
        w0 = seeded_latent(self.generator, seed, QUERY_TRUNCATION)
        mixes = {"generator": style_mixed_images(self.generator, w0, self.styles, MixPlan(cutoff, SETTINGS["side"]))}
        for kind, run in self.networks.items():
            mixes[kind] = np.stack([run(ws)[..., :3] for ws in mix_styles(w0, self.styles, cutoff).numpy()])
        stacks = {kind: StyleStack(np.moveaxis(images, 3, 1)) for kind, images in mixes.items()}
        labels = {kind: stack.cluster(k).labels for kind, stack in stacks.items()}
        labels |= {"restart": stacks["generator"].cluster(k, seed=1).labels, "page": page}
        masks = {kind: apply_rule(found, k, Saliency())[found] for kind, found in labels.items()}
        found = {}
        for name, (one, other) in PAIRS.items():
            counts = confusion(masks[one], masks[other])
            same = matched(labels[one], labels[other], k)
            found[name] = {"fg_iou": counts.fg_iou, "bg_iou": counts.bg_iou, "miou": counts.miou, "same_cluster": same}
        return {"seed": seed, **found}


def matched(one: np.ndarray, other: np.ndarray, k: int) -> float:
    """Share of the pixels in the same cluster, where clusters are matched so that it is largest."""
    from scipy.optimize import linear_sum_assignment

    table = np.zeros((k, k), int)
    np.add.at(table, (one.ravel(), other.ravel()), 1)
    rows, columns = linear_sum_assignment(-table)
    return float(table[rows, columns].sum() / one.size)


if __name__ == "__main__":
    main()
