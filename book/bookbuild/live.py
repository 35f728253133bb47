"""The parts of the live page: scripts, recorded mixes, and, where they may be there, the face generator's own weights.

Whoever builds the book for themselves has fetched the generator with their own pip, and the page may run it. A book
that is published passes its weights on to others, and their terms are non-commercial: that is for the owner of a site
to decide. So STYLEMIXSEG_LIVE_WEIGHTS says `include` or `leave-out`. Unset, they are left out where CI is set, as in
the workflow that publishes, and included elsewhere. The page then shows recorded mixes in their place and says why.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from stylemixseg.experiments.clustermaps import query_latent
from stylemixseg.experiments.profile import Profile, load_profile
from stylemixseg.experiments.scoring import reference_masks
from stylemixseg.foreground import CornerMinority, Saliency
from stylemixseg.generators.base import Generator
from stylemixseg.generators.faces import LICENCE
from stylemixseg.generators.mobilestylegan import MobileStyleGAN
from stylemixseg.generators.zoo import load_generator
from stylemixseg.live.latents import stored_latents
from stylemixseg.live.network import SIDE, network_model
from stylemixseg.live.recording import as_text, recorded_mixes
from stylemixseg.mixing import draw_style_latents, query_image
from stylemixseg.viz.compositing import PALETTE

from .bundle import bundle
from .hero import write_hero
from .layout import BOOK, GENERATED, LOCK, PACKAGE, SITE, BuildError, profile_file
from .vendor import RUNTIME, RUNTIME_FILES

SOURCES = BOOK / "live"
LIVE = SITE / "live"  # beside the pages, which load it from live/
SWITCH = "STYLEMIXSEG_LIVE_WEIGHTS"
THUMBNAILS = 12  # faces to choose from
THUMBNAIL = 96  # px
STORED = 48  # faces whose latents come along; new ones are drawn between them
STYLES = 20  # the largest n of the page
COLOURS = 8  # of clusters, so also the largest k of the page; more are lighter tones, which are hard to tell apart
_REFERENCES = {"truth": "toy world itself", "face_parser": "face parser", "deeplab": "network DeepLabV3"}
N = 10  # where it begins; also how many mixes are recorded


def weights_included() -> bool:
    """Whether the page may have the generator's weights.

    Raises:
        BuildError: the variable says neither.
    """
    said = os.environ.get(SWITCH) or ("leave-out" if os.environ.get("CI") else "include")
    if said not in ("include", "leave-out"):
        raise BuildError(f"{SWITCH} must be include or leave-out, got {said!r}")
    return said == "include"


def write_live(profile_name: str) -> None:
    """Write all that the live page and the picture of the first page need, where something has changed.

    Raises:
        BuildError: see `weights_included`, and `bundle`.
    """
    profile = load_profile(profile_name)
    stamp, key = LIVE.parent.parent / ".live-key", _key(profile_name)
    if stamp.exists() and stamp.read_text() == key:
        print("unchanged: the live page")
        return
    stamp.unlink(missing_ok=True)
    shutil.rmtree(LIVE, ignore_errors=True)
    LIVE.mkdir(parents=True)
    generator = load_generator(profile.generator)
    write_hero(generator, profile, GENERATED)
    write_page_parts(generator, profile, LIVE, why_recorded(profile))
    stamp.write_text(key)


def why_recorded(profile: Profile) -> str | None:
    """Why the page shows recorded mixes only, in words for its reader; None where the network runs in it."""
    if profile.generator != "faces":
        return f"This book was built with the generator “{profile.generator}”, which has no network for a page."
    if not weights_included():
        return "The generator's weights are not for commercial use, so this site does not pass them on."
    if not RUNTIME.is_dir():
        return "This book was built without npm, which brings the runtime for networks."
    return None


def write_page_parts(generator: Generator, profile: Profile, folder: Path, why: str | None) -> None:
    """Write scripts, recorded mixes and, unless `why` says that there are none, the network into a folder."""
    seeds = [*profile.queries.examples, *(s for s in range(STORED) if s not in profile.queries.examples)][:STORED]
    side = min(SIDE, generator.resolution)
    images = [query_image(generator, query_latent(generator, profile, seed), side) for seed in seeds[:THUMBNAILS]]
    manifest = {
        "side": side,
        "settings": _settings(profile),
        "rules": _rules(),
        "palette": PALETTE[:COLOURS].tolist(),
        "thumbnails": _write_thumbnails(images, folder),
        "references": _write_references(generator, profile, seeds, images, folder),
        "licence": LICENCE if generator.name == "faces" else "",
        "recorded": _write_recording(generator, profile, side, folder),
        "whyRecorded": why,
        "live": None if why else _write_network(profile, seeds, folder),
    }
    worker = bundle(SOURCES / "worker.js")
    lead = f"self.stylemixsegLive = {json.dumps({'manifest': manifest, 'workerSource': worker})};\n"
    (folder / "live.js").write_text(lead + bundle(SOURCES / "live.js"), encoding="utf-8")
    shutil.copy(SOURCES / "live.css", folder)


def _settings(profile: Profile) -> dict:
    """Where the page's sliders begin: the profile's settings."""
    method = profile.method
    return {"c": method.cutoff, "n": N, "k": method.k, "space": method.color_space, "rule": "saliency"}


def _rules() -> dict:
    """The rules with their defaults, under the names that the page uses."""
    near, corner = Saliency(), CornerMinority()
    return {
        "saliency": {"theta": near.theta_saliency, "sigma": near.sigma, "center": near.center},
        "corner": {
            "b": corner.b,
            "theta": corner.theta_corner,
            "corners": corner.corners,
            "pooled": corner.pooled,
        },
    }


def _write_thumbnails(images: list[np.ndarray], folder: Path) -> dict:
    """All faces side by side in one picture."""
    small = [np.asarray(Image.fromarray(image).resize((THUMBNAIL, THUMBNAIL))) for image in images]
    Image.fromarray(np.concatenate(small, 1)).save(folder / "faces.jpg", quality=85)
    return {"file": "faces.jpg", "count": len(images)}


def _write_references(
    generator: Generator, profile: Profile, seeds: list[int], images: list[np.ndarray], folder: Path
) -> dict:
    """The profile's reference masks of the faces with a button, as pictures in a script of their own."""
    seeds = seeds[: len(images)]
    masks = reference_masks(profile.reference, generator, profile, seeds, [{"image": image} for image in images])
    _write_script(folder, "references", [as_text(mask.astype(np.uint8) * 255, "PNG") for mask in masks])
    return {"name": _REFERENCES[profile.reference], "seeds": seeds}


def _write_recording(generator: Generator, profile: Profile, side: int, folder: Path) -> dict:
    """One script per face, so that a reader downloads those that are looked at."""
    method, seeds = profile.method, profile.queries.examples
    cutoffs = sorted({*profile.table4.cutoffs, method.cutoff})
    styles = draw_style_latents(generator, N, method.style_seed, method.style_truncation)
    sizes = []
    for number, seed in enumerate(seeds):
        w0 = query_latent(generator, profile, seed)
        sizes.append(_write_script(folder, f"recorded-{number}", recorded_mixes(generator, w0, styles, cutoffs, side)))
    return {"faces": seeds, "cutoffs": cutoffs, "styles": N, "bytes": max(sizes)}


def _write_network(profile: Profile, seeds: list[int], folder: Path) -> dict:
    """The network, the latents and the runtime, each as a gzip file and as a script for pages on disk."""
    generator = load_generator("faces", engine="torch")
    assert isinstance(generator, MobileStyleGAN)
    parts = {name: (RUNTIME / file).read_bytes() for name, file in zip(("runtime", "wasm"), RUNTIME_FILES)}
    parts["network"] = network_model(generator, licence=LICENCE).SerializeToString()
    parts["latents"] = stored_latents(generator, seeds, STYLES, profile.method.style_seed)
    size = 0
    for name, data in parts.items():
        packed = gzip.compress(data, 9, mtime=0)
        (folder / f"{name}.gz").write_bytes(packed)
        _write_script(folder, name, base64.b64encode(packed).decode("ascii"))
        size += len(packed)
    (folder / "LICENCE.txt").write_text(f"network, latents: {LICENCE}\n\nruntime, wasm: ONNX Runtime, MIT License.\n")
    return {
        "layers": generator.num_ws,
        "width": generator.w_dim,
        "psi": profile.queries.truncation,
        "bytes": size,
        "faces": seeds,
        "styles": STYLES,
    }


def _write_script(folder: Path, name: str, value: object) -> int:
    """A script that hands a value to the page; gives its size in bytes."""
    text = f"stylemixsegLive.deliver({json.dumps(name)}, {json.dumps(value)});\n"
    (folder / f"{name}.js").write_text(text, encoding="utf-8")
    return len(text)


def _key(profile: str) -> str:
    """Hash of all that the parts depend on."""
    digest = hashlib.sha256(f"{profile} {weights_included()} {RUNTIME.is_dir()}".encode())
    package = [path for path in PACKAGE.rglob("*.py") if "evaluation" not in path.parts]
    files = [profile_file(profile), LOCK, BOOK / "package-lock.json", *Path(__file__).parent.glob("*.py"), *package]
    for path in sorted([*files, *SOURCES.iterdir()]):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
