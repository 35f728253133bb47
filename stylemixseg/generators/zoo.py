"""The catalogue of generators, and `load_generator`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

from stylemixseg.checks import check_choice, suggest
from stylemixseg.generators import faces
from stylemixseg.generators.base import Generator
from stylemixseg.generators.toyworld import ToyWorld


@dataclass(frozen=True)
class Entry:
    """One generator: what it shows, how large, where it comes from, what one may do with it, how it is loaded."""

    name: str
    domain: str
    resolution: int
    num_ws: int
    source: str
    sha256: str | None
    licence: str
    load: Callable[[], Generator]


CATALOGUE = {
    entry.name: entry
    for entry in (
        Entry(
            "faces",
            "human faces (FFHQ framing)",
            1024,
            16,
            f"Python package {faces.DISTRIBUTION} {faces.VERSION}: MobileStyleGAN, distilled from StyleGAN2 config-f",
            faces.WHEEL_SHA256,
            faces.LICENCE,
            faces.load_faces,
        ),
        *(
            Entry(
                f"toy-{scene}",
                f"{content}, exact masks and boxes",
                128,
                12,
                "stylemixseg: drawn, nothing learnt",
                None,
                "Apache-2.0, as this package",
                partial(ToyWorld, scene=scene),
            )
            for scene, content in (
                ("portrait", "a toy: one object before two walls, framed like a portrait"),
                ("single", "a toy: one object in the middle of a room"),
                ("room", "a toy: a room with several objects"),
            )
        ),
    )
}


def load_generator(name: str, *, device: str = "cpu", engine: str = "auto") -> Generator:
    """Load a generator of the catalogue, fetching its weights on first use.

    Args:
        name: a name of `CATALOGUE`: "faces", "toy-portrait", ....
        device: where a PyTorch generator runs, e.g. "cpu" or "cuda".
        engine: "torch" (differentiable); "openvino" (fastest on a CPU, no gradients); "auto" takes OpenVINO for
            learnt generators on the CPU where it is installed, else PyTorch.

    Raises:
        ValueError: an unknown name (the nearest ones are suggested) or engine. WeightsError: see `faces.fetch_faces`.
    """
    if name not in CATALOGUE:
        raise ValueError(f"unknown generator {name!r}: {suggest(name, CATALOGUE)}")
    check_choice("engine", engine, ("auto", "torch", "openvino"))
    if engine == "openvino" and device != "cpu":
        raise ValueError(f"engine 'openvino' runs on the CPU only, got device={device!r}")
    generator = CATALOGUE[name].load()
    if isinstance(generator, ToyWorld):  # drawn, not learnt: there is nothing to move or compile
        return generator
    if engine == "openvino" or (engine == "auto" and device == "cpu" and find_spec("openvino")):
        from stylemixseg.generators.openvino_engine import OpenVINOGenerator

        return OpenVINOGenerator(generator)
    return generator.to(device)
