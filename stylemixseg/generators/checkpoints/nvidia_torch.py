"""NVIDIA's PyTorch pickles: stylegan2-ada-pytorch, and the StyleGAN2 files of the stylegan3 repository.

{"G": ..., "D": ..., "G_ema": network, ...}; the official loader compiles the network's source, which lies in the
file, and lets it rebuild itself. Here the saved state is looked up and the source ignored. The same objects stand in
what pickle.dump(G) and torch.save(G) write, as PTI does; a state_dict has their names without their settings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from stylemixseg.generators.checkpoints.checkpoint import CheckpointError, shown
from stylemixseg.generators.checkpoints.layout import Found, clamp_value
from stylemixseg.generators.checkpoints.modules import items, parts
from stylemixseg.generators.checkpoints.storages import TorchFile
from stylemixseg.generators.checkpoints.tensors import number, numbers_view

NO_SETTINGS = (
    "a state_dict has no settings, so activations are not clamped (conv_clamp): of a network that was trained in half "
    "precision, as StyleGAN2-ADA does by default, the .pkl gives more faithful images"
)


def read_nvidia_torch(network: object, tensors: Mapping[str, object], prefix: str, file: TorchFile | None) -> Found:
    """All parameters and buffers of a network under their own names, and conv_clamp.

    Args:
        network: the object, whose states hold the settings.
        tensors: its tensors below `prefix`, by name.
        prefix: of the generator's names inside the network, "" where the network is the generator.
        file: where the storages are; None: inside the pickle.

    Raises:
        CheckpointError: malformed, conditional, layers that compute something else than StyleGAN2's.
    """
    clamps: list[float | None] = []
    for path, state in parts(network):
        if path.startswith(prefix):
            clamps += _check_settings(path.removeprefix(prefix), state, file)
    if len(set(clamps)) > 1:
        raise CheckpointError("conv_clamp differs between the layers, or between them and the settings")
    views = {name: numbers_view(value, file) for name, value in tensors.items()}
    return Found(views, conv_clamp=clamps[0] if clamps else None)


def read_nvidia_names(tensors: Mapping[str, object], file: TorchFile | None) -> Found:
    """All tensors of a state_dict under their own names; there are no settings in it.

    Raises:
        CheckpointError: malformed.
    """
    views = {name: numbers_view(value, file) for name, value in tensors.items()}
    return Found(views, notes=(NO_SETTINGS,), noise_may_lack=True)


def _check_settings(path: str, state: dict, file: TorchFile | None) -> list[float | None]:
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
        shape = numbers_view(dict(items(state, "_parameters")).get("weight"), file).shape
        if not _near(gain, rate / math.sqrt(shape[-1] if shape else 1)) or not _near(bias_gain, rate):
            raise CheckpointError(f"{shown(path)[:-1]} was trained with another learning-rate multiplier than {rate}")
    return [clamp_value(state["conv_clamp"])] if "conv_clamp" in state else []


def _near(value: object, right: float) -> bool:
    return isinstance(value, (int, float)) and abs(value) < 1e9 and math.isclose(value, right, rel_tol=1e-5)
