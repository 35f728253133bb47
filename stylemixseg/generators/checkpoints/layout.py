"""From named views into a file to the weights of a network: what must be there, in which shape, with which values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylemixseg.generators.checkpoints.checkpoint import CheckpointError, shown
from stylemixseg.generators.checkpoints.storages import BFLOAT16
from stylemixseg.generators.checkpoints.tensors import number
from stylemixseg.generators.stylegan2.architecture import Architecture

MAX_RESOLUTION = 2048
MISSING_W_AVG = "latent_avg is missing: the file has no mean latent, truncation needs one computed from samples"
NOISE_SEED = 0
NOISE_DRAWN = (
    f"noises.* are missing: the file has no constant noise maps, so they are drawn here with seed {NOISE_SEED}; fine "
    "detail, such as single hairs, lies elsewhere than in images made with other maps"
)
# What is done with the images of a generator that draws other channels than RGB: both are exact, as the colours of a
# StyleGAN2 are sums in which no channel meets another.
IMAGE_CHANNELS = {
    1: "the generator draws grey images of 1 channel: it is repeated as red, green and blue",
    3: None,
    4: "the generator draws images of 4 channels, RGB and alpha: alpha is dropped, the colours are kept as they are",
}
FILTER = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64  # the resampling filter of every StyleGAN2


@dataclass(frozen=True)
class Found:
    """What a reader found in a file, unchecked.

    Attributes:
        views: arrays of any floating-point width by canonical name, without copies. `*.resample_filter` may be among
            them, `mapping.w_avg` may be absent.
        conv_clamp: as `clamp_value` gives it.
        style_offset: to be added to the biases of the styles.
        noise_may_lack: whether there are valid files of this format without any constant noise map.
    """

    views: dict[str, np.ndarray]
    conv_clamp: float | None = None
    style_offset: float = 0
    noise_may_lack: bool = False
    notes: tuple[str, ...] = ()
    licence: str | None = None


def expected_shapes(architecture: Architecture, image_channels: int = 3) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all weights, in the order of the layers; `mapping.w_avg` comes first."""
    w_dim = architecture.w_dim
    shapes: dict[str, tuple[int, ...]] = {"mapping.w_avg": (w_dim,)}
    for i in range(architecture.mapping_layers):
        shapes[f"mapping.fc{i}.weight"] = (w_dim, w_dim if i else architecture.z_dim)
        shapes[f"mapping.fc{i}.bias"] = (w_dim,)

    def modulated(name: str, inputs: int, outputs: int, kernel: int) -> None:
        shapes[f"{name}.weight"] = (outputs, inputs, kernel, kernel)
        shapes[f"{name}.bias"] = (outputs,)
        shapes[f"{name}.affine.weight"], shapes[f"{name}.affine.bias"] = (inputs, w_dim), (inputs,)

    for j, channels in enumerate(architecture.channels):
        side = 4 << j
        if j == 0:
            shapes["synthesis.b4.const"] = (channels, 4, 4)
        for conv, inputs in ((0, architecture.channels[j - 1]), (1, channels)):
            if j or conv:
                name = f"synthesis.b{side}.conv{conv}"
                modulated(name, inputs, channels, 3)
                shapes[f"{name}.noise_const"], shapes[f"{name}.noise_strength"] = (side, side), ()
        modulated(f"synthesis.b{side}.torgb", channels, image_channels, 1)
    return shapes


def assemble(found: Found, file_bytes: int) -> tuple[Architecture, dict[str, Tensor], tuple[str, ...]]:
    """Check a generator's arrays, and copy them to float32 tensors. They may take at most twice as much as the file.

    A generator of grey or RGBA images becomes one of RGB, and missing noise maps are drawn where the format allows
    their absence: the notes, which come last, say so.

    Raises:
        CheckpointError: not a StyleGAN2 with skip connections, conditional, names missing or left over, a wrong shape
            or type, NaN or infinity, another resampling filter, images of 2 or more than 4 channels.
    """
    notes: tuple[str, ...] = ()
    filters = {name: view for name, view in found.views.items() if name.endswith(".resample_filter")}
    views = {name: view for name, view in found.views.items() if name not in filters}
    _refuse_other_networks(views.keys())
    for name, view in filters.items():
        check_filter(name, view)
    architecture = _architecture(views, found.conv_clamp)
    image_channels = _length(views, "synthesis.b4.torgb.weight", 0)
    if image_channels not in IMAGE_CHANNELS:
        raise CheckpointError(
            f"the generator draws images of {image_channels} channels; those of 1 (grey), 3 (RGB) and 4 (RGBA) are read"
        )
    if said := IMAGE_CHANNELS[image_channels]:
        notes += (said,)
    shapes = expected_shapes(architecture, image_channels)
    if "mapping.w_avg" not in views:
        del shapes["mapping.w_avg"]
    noise = {name: shape for name, shape in shapes.items() if name.endswith(".noise_const")}
    draw_noise = found.noise_may_lack and not noise.keys() & views.keys()
    if draw_noise:
        shapes = {name: shape for name, shape in shapes.items() if name not in noise}
        notes += (NOISE_DRAWN,)
    if missing := shapes.keys() - views.keys():
        raise CheckpointError(f"the generator lacks {_listed(missing)}")
    if extra := views.keys() - shapes.keys():
        raise CheckpointError(f"the generator has parts that StyleGAN2 has not: {_listed(extra)}")
    for name, shape in shapes.items():
        if views[name].shape != shape:
            raise CheckpointError(f"{name} has shape {views[name].shape}, the other layers ask for {shape}")
    weights = to_tensors(views, shapes, file_bytes)
    for name, weight in weights.items():
        if name.endswith(".affine.bias"):
            weight += found.style_offset
        elif name.endswith((".torgb.weight", ".torgb.bias")) and image_channels != 3:
            weights[name] = weight.repeat_interleave(3, 0) if image_channels == 1 else weight[:3].clone()
    if draw_noise:
        weights |= _drawn_noise(noise)
    return architecture, weights, notes


def _drawn_noise(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Standard normal maps, as rosinality's code draws them when it makes a network; the same on every machine."""
    random = np.random.RandomState(NOISE_SEED)
    maps: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        values = np.empty(shape, np.float32)
        for row in values:  # by rows: the whole in double precision would take twice its own memory again
            row[:] = random.randn(len(row))
        maps[name] = torch.from_numpy(values)
    return maps


def to_tensors(
    views: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], file_bytes: int
) -> dict[str, Tensor]:
    """Float32 copies of the views named in `shapes`, whose shapes have been checked.

    Raises:
        CheckpointError: they would take more than twice the file, are no floating-point numbers, NaN or infinity.
    """
    needed = 4 * sum(map(prod, shapes.values()))
    if needed > 2 * file_bytes:
        raise CheckpointError(f"{needed} bytes of weights in a file of {file_bytes}: its layers share their numbers")
    weights = {name: torch.from_numpy(to_float32(name, views[name])) for name in shapes}
    if bad := [name for name, weight in weights.items() if not torch.isfinite(weight).all()]:
        raise CheckpointError(f"weights hold NaN or infinity: {_listed(bad)}")
    return weights


def make_architecture(**fields: Any) -> Architecture:
    """An `Architecture` out of untrusted numbers; CheckpointError where they are impossible."""
    try:
        return Architecture(**fields)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"no StyleGAN2 can be built so: {shown(str(error), 200)}") from error


def clamp_value(value: object) -> float | None:
    """conv_clamp out of a file's settings; CheckpointError where it is neither a number nor None."""
    bound = number(value)
    if bound is None:
        return None
    if isinstance(bound, bool) or not isinstance(bound, (int, float)) or not 0 < bound <= 1e6:  # False for NaN as well
        raise CheckpointError("conv_clamp must be None or a number up to 1e6")
    return float(bound)


def to_float32(name: str, view: np.ndarray) -> np.ndarray:
    """A contiguous copy in single precision; CheckpointError where the numbers are not floating-point ones."""
    if view.dtype == BFLOAT16:
        bits = view["bfloat16"].astype("<u4", order="C")
        bits <<= 16
        return bits.view("<f4").astype(np.float32, copy=False)
    if view.dtype.kind != "f":
        raise CheckpointError(f"{shown(name)} holds {view.dtype}, weights are floating-point numbers")
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found as infinity afterwards
        return np.array(view, np.float32, order="C")


def check_filter(name: str, view: np.ndarray) -> None:
    """Raise CheckpointError unless a resampling filter is the outer product of [1, 3, 3, 1], whatever its sum."""
    if view.shape == FILTER.shape:
        values = to_float32(name, view).astype(np.float64)
        if np.isfinite(values).all() and values.sum() > 0 and np.abs(values / values.sum() - FILTER).max() < 1e-5:
            return
    raise CheckpointError(f"{shown(name)} is not the filter [1, 3, 3, 1] of StyleGAN2")


def squeezed(name: str, view: np.ndarray, *axes: int) -> np.ndarray:
    """The view without the given axes of length 1; CheckpointError where they are not so."""
    if view.ndim <= max(axes) or any(view.shape[axis] != 1 for axis in axes):
        raise CheckpointError(f"{shown(name)} has shape {view.shape}, expected length 1 along {axes}")
    return view.squeeze(axes)


def _refuse_other_networks(names: Iterable[str]) -> None:
    names = set(names)
    if any(re.match(r"synthesis\.(input\.|L\d)", name) for name in names):
        raise CheckpointError("this is a StyleGAN3 network; StyleGAN2 is needed")
    if any(name.startswith("mapping.embed.") for name in names):
        raise CheckpointError("this network is conditional (it has class labels); an unconditional StyleGAN2 is needed")
    if any(re.match(r"synthesis\.b\d+\.skip\.", name) for name in names):
        raise CheckpointError("this generator has residual connections (architecture 'resnet'); 'skip' is needed")
    if any(re.match(r"b\d+\.fromrgb\.|b4\.out\.", name) for name in names):
        raise CheckpointError("this network is a discriminator only; the generator is needed")
    images = [name for name in names if re.match(r"synthesis\.b\d+\.torgb\.weight", name)]
    if len(images) == 1 and "synthesis.b4.const" in names and "synthesis.b4.torgb.weight" not in names:
        raise CheckpointError("this generator has one RGB layer (architecture 'orig'); 'skip' is needed")


def _architecture(views: Mapping[str, np.ndarray], conv_clamp: float | None) -> Architecture:
    sides = {int(match[1]) for name in views if (match := re.match(r"synthesis\.b(\d{1,5})\.", name))}
    if not sides:
        raise CheckpointError("there is no synthesis network of a StyleGAN2 in the file")
    resolution = max(sides)
    if resolution & (resolution - 1) or not 8 <= resolution <= MAX_RESOLUTION:
        raise CheckpointError(f"a resolution of {resolution}; powers of two from 8 to {MAX_RESOLUTION} are supported")
    layers = {int(match[1]) for name in views if (match := re.match(r"mapping\.fc(\d{1,3})\.", name))}
    blocks = [f"synthesis.b{4 << j}.conv1.weight" for j in range(resolution.bit_length() - 2)]
    return make_architecture(
        z_dim=_length(views, "mapping.fc0.weight", 1),
        w_dim=_length(views, "mapping.fc0.weight", 0),
        mapping_layers=max(layers, default=0) + 1,
        channels=tuple(_length(views, name, 0) for name in blocks),
        conv_clamp=conv_clamp,
    )


def _length(views: Mapping[str, np.ndarray], name: str, axis: int) -> int:
    if name not in views:
        raise CheckpointError(f"the generator lacks {name}")
    if views[name].ndim <= axis:
        raise CheckpointError(f"{name} has the impossible shape {views[name].shape}")
    return views[name].shape[axis]


def _listed(names: Iterable[str]) -> str:
    names = sorted(names)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(shown(name) for name in names[:3]) + more
