"""NVIDIA's PyTorch pickles: stylegan2-ada-pytorch, and the StyleGAN2 files of the stylegan3 repository.

{"G": ..., "D": ..., "G_ema": network, ...}; the official loader compiles the network's source, which lies in the
file, and lets it rebuild itself. Here the saved state is looked up and the source ignored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from stylemixseg.generators.checkpoints.checkpoint import CheckpointError, shown
from stylemixseg.generators.checkpoints.layout import Found, clamp_value
from stylemixseg.generators.checkpoints.tensors import is_call, number, tensor_view

MAX_MODULES = 500  # a network of 1024 px has 80
MAX_TENSORS = 1000  # and 190
MAX_DEPTH = 6  # generator, synthesis, block, layer, affine
MAX_NAME = 64


def is_nvidia_torch(value: object) -> bool:
    """Whether a pickle's value is a snapshot of NVIDIA's PyTorch code."""
    return isinstance(value, dict) and any(is_call(value.get(key), "module") for key in ("G_ema", "G", "D"))


def read_nvidia_torch(snapshot: dict) -> Found:
    """All parameters and buffers of `G_ema` under their own names, and conv_clamp.

    Raises:
        CheckpointError: no `G_ema`, malformed, conditional, layers that compute something else than StyleGAN2's.
    """
    if not is_call(snapshot.get("G_ema"), "module"):
        raise CheckpointError("the snapshot has no generator: G_ema is missing (a discriminator only?)")
    views: dict[str, np.ndarray] = {}
    clamps: list[float | None] = []
    for path, state in _modules(snapshot["G_ema"]):
        for kind in ("_parameters", "_buffers"):
            for name, value in _items(state, kind):
                if len(views) > MAX_TENSORS:
                    raise CheckpointError(f"the network has more than {MAX_TENSORS} tensors")
                if value is not None:
                    views[f"{path}{name}"] = tensor_view(value)
        clamps += _check_settings(path, state)
    if len(set(clamps)) > 1:
        raise CheckpointError("conv_clamp differs between the layers, or between them and the settings")
    return Found(views, conv_clamp=clamps[0] if clamps else None)


def _modules(network: object) -> Iterator[tuple[str, dict]]:
    """(prefix of its names, state) of a network and all its parts."""
    waiting, seen = [("", network, 0)], 0
    while waiting:
        path, module, depth = waiting.pop()
        meta = module.args[0] if is_call(module, "module") and len(module.args) == 1 else None
        state = meta.get("state") if isinstance(meta, dict) else None
        if not isinstance(state, dict) or depth > MAX_DEPTH:
            raise CheckpointError(f"{shown(path) or 'G_ema'} is not a network of NVIDIA's code, or nested too deep")
        yield path, state
        parts = _items(state, "_modules")
        seen += len(parts)
        if seen > MAX_MODULES:  # the file may let a part contain itself
            raise CheckpointError(f"the network has more than {MAX_MODULES} parts")
        waiting += [(f"{path}{name}.", part, depth + 1) for name, part in parts]


def _items(state: dict, kind: str) -> list[tuple[str, object]]:
    items = state.get(kind, {})
    if not isinstance(items, dict) or not all(isinstance(name, str) and len(name) <= MAX_NAME for name in items):
        raise CheckpointError(f"malformed network: {kind} is not a dictionary of names")
    return list(items.items())


def _check_settings(path: str, state: dict) -> list[float | None]:
    """Check what changes a layer's arithmetic without changing its shapes; its conv_clamp values, if it has any."""
    kwargs = state.get("_init_kwargs")
    kwargs = kwargs if isinstance(kwargs, dict) else {}
    if path == "":
        if number(state.get("c_dim", kwargs.get("c_dim", 0))) != 0:
            raise CheckpointError("this network is conditional (c_dim > 0); an unconditional StyleGAN2 is needed")
        nested = kwargs.get("synthesis_kwargs")
        settings = {**kwargs, **(nested if isinstance(nested, dict) else {})}
        return [clamp_value(settings["conv_clamp"])] if "conv_clamp" in settings else []
    fully_connected = path.startswith("mapping.fc") or path.endswith(".affine.")
    wanted = {
        "architecture": "skip",
        "activation": "linear" if path.endswith(".affine.") else "lrelu",
        "use_noise": True,
    }
    for name, right in wanted.items():
        got = state.get(name, right)
        if type(got) is not type(right) or got != right:
            raise CheckpointError(f"{shown(path)}{name} is {shown(got)}, StyleGAN2 with skip connections has {right!r}")
    if fully_connected and "weight_gain" in state:
        rate = 0.01 if path.startswith("mapping") else 1.0
        gain, bias_gain = number(state["weight_gain"]), number(state.get("bias_gain", rate))
        shape = tensor_view(dict(_items(state, "_parameters")).get("weight")).shape
        if not _near(gain, rate / math.sqrt(shape[-1] if shape else 1)) or not _near(bias_gain, rate):
            raise CheckpointError(f"{shown(path)[:-1]} was trained with another learning-rate multiplier than {rate}")
    return [clamp_value(state["conv_clamp"])] if "conv_clamp" in state else []


def _near(value: object, right: float) -> bool:
    return isinstance(value, (int, float)) and abs(value) < 1e9 and math.isclose(value, right, rel_tol=1e-5)
