"""A second reader of checkpoints, to compare the package's own with: Python's unpickler and torch.load.

It shares no code with the readers under test. Names are looked up in SAFE and nowhere else, so that it runs nothing of
a changed file either; it does not bound memory or time, so it is for files that the first reader has read.
"""

from __future__ import annotations

import argparse
import collections
import io
import pickle
import sys

import checkpoint_files as files
import numpy as np
import torch
from safetensors.torch import load as load_safetensors

from stylemixseg.generators.checkpoints import Checkpoint
from stylemixseg.generators.checkpoints.layout import NOISE_DRAWN


class UnconfirmedError(Exception):
    """This reader cannot read the file."""


class Plain:
    """An instance of a class of rosinality's code: its state and nothing else."""


def _persistent(meta: dict) -> files.Persistent:
    return files.Persistent(meta.get("class_name"), meta["state"], meta.get("module_src", ""))


def _nested(data: bytes) -> object:
    return load_torch(bytes(data))


SAFE = {
    "collections.OrderedDict": collections.OrderedDict,
    "dnnlib.util.EasyDict": files.EasyDict,
    "dnnlib.tflib.network.Network": files.Network,
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent,
    "torch.storage._load_from_bytes": _nested,
    "torch._utils._rebuild_tensor_v2": torch._utils._rebuild_tensor_v2,
    "torch._utils._rebuild_parameter": torch._utils._rebuild_parameter,
    "builtins.set": set,
    "__builtin__.set": set,
    "argparse.Namespace": argparse.Namespace,
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
    "_codecs.encode": lambda text, encoding: text.encode("latin1"),
}
for _core in ("numpy.core", "numpy._core"):
    SAFE[f"{_core}.multiarray._reconstruct"] = np._core.multiarray._reconstruct
    SAFE[f"{_core}.multiarray.scalar"] = np._core.multiarray.scalar
    SAFE[f"{_core}.numeric._frombuffer"] = np._core.numeric._frombuffer
for _name in "Size device float16 bfloat16 float32 float64 int32 int64 uint8 bool".split():
    SAFE[f"torch.{_name}"] = getattr(torch, _name)
for _name in "Half BFloat16 Float Double Byte Char Short Int Long Bool".split():
    SAFE[f"torch.{_name}Storage"] = getattr(torch, f"{_name}Storage")
PLAIN = ("model.", "op.fused_act.", "models.stylegan2.", "stylegan2.", "torch.nn.modules.", "torch.nn.parallel.")


class Unpickler(pickle.Unpickler):
    """Python's own, with the names of SAFE."""

    def find_class(self, module: str, name: str) -> object:
        full = f"{module}.{name}"
        if full in SAFE:
            return SAFE[full]
        if full.startswith(PLAIN):
            return Plain
        raise pickle.UnpicklingError(f"{full} is not a safe name")


def load(file, **options) -> object:  # under this name torch.load expects it of a module that unpickles
    return Unpickler(file, **options).load()


def load_pickle(data: bytes) -> object:
    """The value of a pickle; networks of NVIDIA's code are `files.Persistent` and can be written again."""
    return Unpickler(io.BytesIO(data)).load()


def load_torch(data: bytes) -> object:
    """The value of a file of torch.save in either form."""
    return torch.load(io.BytesIO(data), "cpu", sys.modules[__name__], weights_only=False)  # names are those of SAFE


def tensors(data: bytes) -> dict[str, torch.Tensor]:
    """All tensors and arrays of a checkpoint in any format by their full path, such as `G_ema/synthesis.b4.const`."""
    if data[8:9] == b"{":
        return {f"/{name}": value for name, value in load_safetensors(data).items()}
    zipped, legacy = data.startswith(b"PK"), data.startswith(b"\x80\x02\x8a\nl\xfc")
    found: dict[str, torch.Tensor] = {}
    _collect(load_torch(data) if zipped or legacy else load_pickle(data), "/", found, 0)
    return found


def _collect(value: object, path: str, found: dict[str, torch.Tensor], depth: int) -> None:
    if depth > 20:
        raise ValueError("nested too deep")
    if isinstance(value, (torch.Tensor, np.ndarray)):
        found[path.rstrip("./")] = torch.as_tensor(value).detach()
    elif isinstance(value, (files.Persistent, Plain)):
        state = value.meta["state"] if isinstance(value, files.Persistent) else value.__dict__
        for kind, end in (("_parameters", ""), ("_buffers", ""), ("_modules", ".")):
            for name, part in state.get(kind, {}).items():
                _collect(part, f"{path}{name}{end}", found, depth + 1)
    elif isinstance(value, files.Network):
        for name, part in value.variables:
            _collect(part, f"{path}{name}", found, depth + 1)
        for name, part in value.components.items():
            _collect(part, f"{path}{name}/", found, depth + 1)
    elif isinstance(value, dict):
        for name, part in value.items():
            # a module stands behind a dot, as its names then do; everything else is a folder
            _collect(part, f"{path}{name}" if isinstance(part, torch.Tensor) else f"{path}{name}/", found, depth + 1)
    elif isinstance(value, (tuple, list)):
        for i, part in enumerate(value):
            _collect(part, f"{path}{i}/", found, depth + 1)


def disagreement(data: bytes, checkpoint: Checkpoint) -> str | None:
    """What the package read from a file and this reader does not find under the same name; None: they agree.

    Raises:
        UnconfirmedError: Python or torch objects to the file, such as to a field that the package does not look at.
    """
    try:
        found = tensors(data)
    except Exception as error:  # of many types, as the file may be damaged anywhere
        raise UnconfirmedError(f"{type(error).__name__}: {error}") from error
    weights = checkpoint.weights
    if checkpoint.format == "rosinality":
        named, latent_avg = files.rosinality_state(weights)
        named = {name: value for name, value in named.items() if not name.endswith(".kernel")}
        if latent_avg is not None:
            named["latent_avg"] = latent_avg
    elif checkpoint.format == "nvidia-tensorflow":
        named = {
            f"{part}/{name}" if part else name: torch.from_numpy(value)
            for part, variables in files.tensorflow_variables(weights).items()
            for name, value in variables.items()
            if name != "lod"
        }
    else:
        named = weights
    for name, value in named.items():
        if NOISE_DRAWN in checkpoint.notes and "noise" in name and value.ndim > 1:
            continue
        candidates = [found[path].float() for path in found if path == name or path.endswith((f"/{name}", f".{name}"))]
        if name == "latent_avg":
            candidates = [other.reshape(-1, other.shape[-1]).mean(0) for other in candidates if other.ndim]
        if not any(_equal(value, other, name) for other in candidates):
            return f"{name} is not what the file says ({len(candidates)} of that name)"
    return None


def _equal(value: torch.Tensor, other: torch.Tensor, name: str) -> bool:
    if value.shape != other.shape:
        return False
    if name == "latent_avg" or name.endswith("mod_bias"):  # a mean; 1 was added and is taken off again
        return torch.allclose(value, other, rtol=1e-5, atol=1e-5)
    return torch.equal(value, other)
