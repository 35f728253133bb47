"""NVIDIA's TensorFlow pickles: stylegan2 configurations E and F, and stylegan2-ada in its TensorFlow version.

A tuple (G, D, Gs) of networks, each with its variables by name and the source that builds it; Gs is the averaged
generator. Or one network alone, as pickle.dump(Gs) writes it. The source is ignored. Kernels lie as (height, width,
in, out), those of the up-sampling convolutions mirrored, and the biases of the styles without the 1 that is added to
them.
"""

from __future__ import annotations

import re

import numpy as np

from stylemixseg.generators.checkpoints.checkpoint import CheckpointError, shown
from stylemixseg.generators.checkpoints.layout import Found, clamp_value, squeezed
from stylemixseg.generators.checkpoints.locate import NOT_AVERAGED
from stylemixseg.generators.checkpoints.restricted import Call
from stylemixseg.generators.checkpoints.tensors import array_view, is_call, number

MAX_NAME = 100
MAX_VARIABLES = 1000  # of one network; 170 at 1024 px
# What changes the arithmetic without changing shapes, and the only values with which this is the known StyleGAN2.
SETTINGS = {
    "mapping_nonlinearity": "lrelu",
    "nonlinearity": "lrelu",
    "mapping_lrmul": 0.01,
    "use_noise": True,
    "normalize_latents": True,
}


def is_nvidia_tf(value: object) -> bool:
    """Whether a pickle's value is (G, D, Gs) of NVIDIA's TensorFlow code, or one of them."""
    return is_call(value, "network") or (isinstance(value, tuple) and any(is_call(net, "network") for net in value))


def read_nvidia_tf(value: object) -> Found:
    """All variables of the generator under canonical names, and conv_clamp.

    Raises:
        CheckpointError: no generator in it, StyleGAN1 or older, conditional, not a generator with skip connections,
            malformed.
    """
    network, notes = _generator(value)
    state = _state(network)
    version = number(state.get("version"))
    if type(version) is not int or version < 4:
        raise CheckpointError("this is a StyleGAN1 or Progressive GAN network (version below 4); StyleGAN2 is needed")
    settings = state.get("static_kwargs")
    settings = settings if isinstance(settings, dict) else {}
    _check_settings(settings)
    variables = _variables("", state)
    components = state.get("components")
    for part in ("mapping", "synthesis"):
        component = components.get(part) if isinstance(components, dict) else None
        if not is_call(component, "network"):
            raise CheckpointError(f"Gs has no {part} network: it is a StyleGAN1 or discriminator file, or damaged")
        variables |= _variables(f"{part}/", _state(component))
    if any("ToRGB_lod" in name or "StyleMod" in name or name.endswith("/Dense/weight") for name in variables):
        raise CheckpointError("this is a StyleGAN1 network, or StyleGAN2 of configurations A to D; E or F is needed")
    return Found(_canonical(variables), conv_clamp=clamp_value(settings.get("conv_clamp")), style_offset=1, notes=notes)


def _generator(value: object) -> tuple[Call, tuple[str, ...]]:
    """The averaged generator of a snapshot, else the only one that there is; and notes."""
    if is_call(value, "network"):
        return value, ()
    if isinstance(value, tuple) and len(value) in (2, 3):
        averaged, trained = value[-1], value[0]
        if len(value) == 3 and is_call(averaged, "network"):
            return averaged, ()
        if is_call(trained, "network"):
            return trained, (NOT_AVERAGED,)
    raise CheckpointError("expected the three networks (G, D, Gs) of a TensorFlow snapshot")


def _state(network: Call) -> dict:
    if not isinstance(network.state, dict):
        raise CheckpointError("malformed TensorFlow network: it has no state")
    return network.state


def _check_settings(settings: dict) -> None:
    if number(settings.get("label_size", 0)) not in (0, None):
        raise CheckpointError("this network is conditional (label_size > 0); an unconditional StyleGAN2 is needed")
    architecture = settings.get("architecture", "skip")
    if not isinstance(architecture, str) or architecture != "skip":
        raise CheckpointError(f"this generator is of architecture {shown(architecture)!r}; 'skip' is needed")
    for name, right in SETTINGS.items():
        got = number(settings.get(name, right))
        if type(got) is not type(right) or got != right:
            raise CheckpointError(f"{name} is {shown(got)}, a StyleGAN2 has {right!r}")
    kernel = settings.get("resample_kernel")
    if kernel is None:
        return
    if not isinstance(kernel, (list, tuple)) or [number(value) for value in kernel[:5]] != [1, 3, 3, 1]:
        raise CheckpointError("resample_kernel is not [1, 3, 3, 1], which StyleGAN2 has")


def _variables(prefix: str, state: dict) -> dict[str, object]:
    variables = state.get("variables")
    if not isinstance(variables, list) or len(variables) > MAX_VARIABLES:
        raise CheckpointError(f"malformed TensorFlow network: {prefix or 'Gs'} has no or too many variables")
    found: dict[str, object] = {}
    for item in variables:
        if not isinstance(item, tuple) or len(item) != 2 or not isinstance(item[0], str) or len(item[0]) > MAX_NAME:
            raise CheckpointError(f"malformed TensorFlow network: a variable of {prefix or 'Gs'} is not (name, value)")
        found[f"{prefix}{item[0]}"] = item[1]
    return found


def _canonical(variables: dict[str, object]) -> dict[str, np.ndarray]:
    views: dict[str, np.ndarray] = {}
    for name, value in variables.items():
        if name == "dlatent_avg":
            views["mapping.w_avg"] = array_view(value)
        elif match := re.fullmatch(r"mapping/Dense(\d+)/(weight|bias)", name):
            view = array_view(value)
            views[f"mapping.fc{match[1]}.{match[2]}"] = _moved(name, view, 1, 0) if match[2] == "weight" else view
        elif name.startswith("mapping/LabelEmbed"):
            raise CheckpointError("this network is conditional (it has class labels); an unconditional one is needed")
        elif name == "synthesis/4x4/Const/const":
            views["synthesis.b4.const"] = squeezed(name, array_view(value), 0)
        elif match := re.fullmatch(r"synthesis/noise(\d{1,2})", name):
            k = int(match[1])  # 0: 4 px; then two a resolution
            layer = f"b{4 << (k + 1) // 2}.conv{(k + 1) % 2}"
            views[f"synthesis.{layer}.noise_const"] = squeezed(name, array_view(value), 0, 1)
        elif match := re.fullmatch(r"synthesis/(\d+)x\1/(Conv|Conv0_up|Conv1|ToRGB|Skip)/(\w+)", name):
            layer = {"Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1", "ToRGB": "torgb", "Skip": "skip"}[match[2]]
            target, view = _layer_part(name, match[2], match[3], array_view(value))
            views[f"synthesis.b{match[1]}.{layer}.{target}"] = view
        elif "/" in name and name != "synthesis/lod":
            raise CheckpointError(f"the generator has a variable that StyleGAN2 has not: {shown(name)}")
    return views


def _layer_part(name: str, layer: str, part: str, view: np.ndarray) -> tuple[str, np.ndarray]:
    """(canonical name, view) of one variable of a modulated convolution."""
    if part == "weight":
        kernel = _moved(name, view, 3, 2, 0, 1)
        return "weight", kernel[:, :, ::-1, ::-1] if layer == "Conv0_up" else kernel
    if part == "mod_weight":
        return "affine.weight", _moved(name, view, 1, 0)
    return ("affine.bias" if part == "mod_bias" else part), view


def _moved(name: str, view: np.ndarray, *axes: int) -> np.ndarray:
    if view.ndim != len(axes):
        raise CheckpointError(f"{shown(name)} has {view.ndim} axes, {len(axes)} are expected")
    return view.transpose(axes)
