"""Makers of small StyleGAN2 checkpoints in every format, without any official code, and of pickles by hand.

NVIDIA's pickles name classes of their code. Stand-ins of the same names are put into `sys.modules` while a file is
written, and taken out again.
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from stylemixseg.generators.checkpoints import Checkpoint, save_checkpoint
from stylemixseg.generators.checkpoints.layout import expected_shapes
from stylemixseg.generators.stylegan2.architecture import Architecture

SMALL = Architecture(z_dim=5, w_dim=6, mapping_layers=2, channels=(5, 4, 3), conv_clamp=256.0)
FILTER = torch.tensor([1.0, 3.0, 3.0, 1.0]).outer(torch.tensor([1.0, 3.0, 3.0, 1.0])) / 64


def random_weights(architecture: Architecture = SMALL, seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights of a network under canonical names."""
    random = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=random) for name, shape in expected_shapes(architecture).items()}


# ---------------------------------------------------------------------------------------------------------------------
# NVIDIA, PyTorch


class Persistent:
    """An object that pickles as a class of NVIDIA's code does: as a call of the persistence hook with its state."""

    hook = None

    def __init__(self, class_name: str, state: dict, source: str = ""):
        self.meta = {
            "type": "class",
            "version": 6,
            "module_src": source,
            "class_name": class_name,
            "state": state,
        }

    def __reduce__(self):
        return Persistent.hook, (self.meta,)


class EasyDict(dict):
    """A dictionary as NVIDIA's code saves its settings."""


class Network:
    """A TensorFlow network as NVIDIA's code saves it: an instance with its state."""

    def __init__(self, **state):
        self.__dict__.update(state)


def _reconstruct_persistent_obj(meta):
    raise AssertionError("stands only for the name, while a file is written")


@contextmanager
def nvidia_names():
    """The names of NVIDIA's classes, importable while the context is open."""
    stand_ins = {
        "torch_utils.persistence": _reconstruct_persistent_obj,
        "dnnlib.util": EasyDict,
        "dnnlib.tflib.network": Network,
    }
    before = dict(sys.modules)
    try:
        for name, value in stand_ins.items():
            parts = name.split(".")
            for i in range(1, len(parts) + 1):
                sys.modules[".".join(parts[:i])] = types.ModuleType(".".join(parts[:i]))
            value.__module__ = name
            setattr(sys.modules[name], value.__name__, value)
        Persistent.hook = _reconstruct_persistent_obj
        yield
    finally:
        for name in set(sys.modules) - set(before):
            if name.partition(".")[0] in ("torch_utils", "dnnlib"):
                del sys.modules[name]
        for value in stand_ins.values():
            value.__module__ = __name__


def nvidia_module(weights: dict, conv_clamp: float | None, path: str = "", source: str = "") -> Persistent:
    """The saved state of one module and its parts, from the weights below `path`."""
    here = {name.removeprefix(path): value for name, value in weights.items() if name.startswith(path)}
    parts = list(dict.fromkeys(name.partition(".")[0] for name in here if "." in name))
    own = {name: value for name, value in here.items() if "." not in name}
    buffers = {name for name in own if name in ("w_avg", "noise_const", "resample_filter")}
    state = {
        "training": False,
        "_parameters": OrderedDict(
            (name, torch.nn.Parameter(value, requires_grad=False)) for name, value in own.items() if name not in buffers
        ),
        "_buffers": OrderedDict((name, own[name]) for name in own if name in buffers),
        "_non_persistent_buffers_set": set(),
        "_modules": OrderedDict((part, nvidia_module(weights, conv_clamp, f"{path}{part}.", source)) for part in parts),
    }
    last = path.split(".")[-2] if path else ""
    if last in ("conv0", "conv1", "torgb"):
        state["conv_clamp"] = conv_clamp
    if last in ("conv0", "conv1"):
        state |= {"activation": "lrelu", "use_noise": True}
    if last.startswith("fc") or last == "affine":
        rate = 1.0 if last == "affine" else 0.01
        state["activation"] = "linear" if last == "affine" else "lrelu"
        if "weight" in own:
            state["weight_gain"] = rate / np.sqrt(own["weight"].shape[1])  # a NumPy scalar, as in the real files
        state["bias_gain"] = rate
    if last.startswith("b") and last[1:].isdigit():
        state["architecture"] = "skip"
    return Persistent("Module", state, source)


def with_filters(weights: dict) -> dict:
    """Weights and the resampling filters that NVIDIA's files hold beside them."""
    result = dict(weights)
    for name in weights:
        if name.endswith((".conv0.bias", ".conv1.bias")):
            result[f"{name.removesuffix('bias')}resample_filter"] = FILTER
            result[f"{name.rpartition('.conv')[0]}.resample_filter"] = FILTER
    return result


def nvidia_torch_bytes(
    weights: dict, *, conv_clamp: float | None = 256.0, protocol: int = 4, source: str = "", change=None, **snapshot
) -> bytes:
    """A snapshot of NVIDIA's PyTorch code; `change` may alter the generator before it is written."""
    generator = nvidia_generator(weights, conv_clamp, source)
    if change:
        change(generator)
    with nvidia_names():
        saved = {"G": None, "D": None, "G_ema": generator, "training_set_kwargs": EasyDict(path="x"), **snapshot}
        return pickle.dumps(saved, protocol)


def nvidia_generator(weights: dict, conv_clamp: float | None = 256.0, source: str = "") -> Persistent:
    """A generator with its settings; to be written while `nvidia_names` is open."""
    generator = nvidia_module(with_filters(weights), conv_clamp, source=source)
    generator.meta["state"] |= {
        "c_dim": 0,
        "_init_kwargs": EasyDict(c_dim=0, synthesis_kwargs=EasyDict(channel_base=1024, conv_clamp=conv_clamp)),
    }
    return generator


def nvidia_object_bytes(value: object, *, torch_save: bool = False, protocol: int = 4) -> bytes:
    """What pickle.dump or torch.save writes of anything that holds networks of NVIDIA's code."""
    with nvidia_names():
        return torch_bytes(value) if torch_save else pickle.dumps(value, protocol)


# ---------------------------------------------------------------------------------------------------------------------
# NVIDIA, TensorFlow


def tensorflow_variables(weights: dict) -> dict[str, dict[str, np.ndarray]]:
    """Variables of Gs itself, of its mapping and of its synthesis network."""
    found = {"": {"lod": np.float32(0).reshape(())}, "mapping": {}, "synthesis": {}}
    for name, tensor in weights.items():
        part, _, rest = name.partition(".")
        value = tensor.numpy()
        if name == "mapping.w_avg":
            found[""]["dlatent_avg"] = value
        elif part == "mapping":
            layer, kind = rest.split(".")
            found[part][f"Dense{layer[2:]}/{kind}"] = value.T if kind == "weight" else value
        elif rest == "b4.const":
            found[part]["4x4/Const/const"] = value[None]
        else:
            block, layer, *kinds = rest.split(".")
            side = int(block[1:])
            kind = ".".join(kinds)
            tf_layer = {"conv0": "Conv0_up", "conv1": "Conv" if side == 4 else "Conv1", "torgb": "ToRGB"}[layer]
            prefix = f"{side}x{side}/{tf_layer}"
            if kind == "noise_const":
                k = 0 if side == 4 else 2 * int(np.log2(side)) - (5 if layer == "conv0" else 4)
                found[part][f"noise{k}"] = value[None, None]
            elif kind == "weight":
                kernel = value.transpose(2, 3, 1, 0)
                found[part][f"{prefix}/weight"] = kernel[::-1, ::-1] if layer == "conv0" else kernel
            elif kind == "affine.weight":
                found[part][f"{prefix}/mod_weight"] = value.T
            elif kind == "affine.bias":
                found[part][f"{prefix}/mod_bias"] = value - 1
            else:
                found[part][f"{prefix}/{kind}"] = value
    return {part: {n: np.ascontiguousarray(v).reshape(v.shape) for n, v in vs.items()} for part, vs in found.items()}


def nvidia_tf_bytes(
    weights: dict,
    *,
    conv_clamp: float | None = 256.0,
    protocol: int = 4,
    source: str = "",
    version: int = 4,
    change=None,
    wrap=lambda generator: (None, None, generator),
    **settings,
) -> bytes:
    """(G, D, Gs) of NVIDIA's TensorFlow code, or what `wrap` makes of the generator; `change` may alter the variables
    before they are written."""
    variables = tensorflow_variables(weights)
    if change:
        change(variables)
    with nvidia_names():
        kwargs = EasyDict(label_size=0, conv_clamp=conv_clamp, resample_kernel=[1, 3, 3, 1], **settings)

        def network(part: str, components: dict) -> Network:
            return Network(
                version=version,
                name=part,
                static_kwargs=kwargs,
                components=EasyDict(components),
                build_module_src=source,
                build_func_name="G",
                variables=list(variables[part].items()),
            )

        return pickle.dumps(wrap(network("", {part: network(part, {}) for part in ("mapping", "synthesis")})), protocol)


# ---------------------------------------------------------------------------------------------------------------------
# rosinality


def rosinality_state(weights: dict) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
    """(state dictionary, latent_avg) with the buffers that are constants."""
    state: dict[str, torch.Tensor] = {}
    for name, value in weights.items():
        parts = name.split(".")
        if name == "mapping.w_avg":
            continue
        if parts[0] == "mapping":
            state[f"style.{int(parts[1][2:]) + 1}.{parts[2]}"] = value
        elif name == "synthesis.b4.const":
            state["input.input"] = value[None]
        else:
            j, layer, kind = int(parts[1][1:]).bit_length() - 3, parts[2], ".".join(parts[3:])
            if layer == "torgb":
                prefix = f"to_rgbs.{j - 1}" if j else "to_rgb1"
                if j:
                    state[f"{prefix}.upsample.kernel"] = FILTER * 4
                new = {"weight": "conv.weight", "bias": "bias"}.get(kind)
                shaped = value[None] if kind == "weight" else value[None, :, None, None]
            else:
                k = 2 * j - 1 + int(layer[4:]) if j else 0  # which convolution, and which noise
                prefix = f"convs.{k - 1}" if k else "conv1"
                if layer == "conv0":
                    state[f"{prefix}.conv.blur.kernel"] = FILTER * 4
                if kind == "noise_const":
                    state[f"noises.noise_{k}"] = value[None, None]
                    continue
                new = {"weight": "conv.weight", "bias": "activate.bias", "noise_strength": "noise.weight"}.get(kind)
                shaped = value if kind == "bias" else value[None]
            if kind.startswith("affine."):
                new, shaped = f"conv.modulation.{kind[7:]}", value
            state[f"{prefix}.{new}"] = shaped
    return state, weights.get("mapping.w_avg")


def rosinality_bytes(weights: dict, *, legacy: bool = False, change=None) -> bytes:
    """{"g_ema", "latent_avg"} by torch.save; `change` may alter or replace what is saved."""
    state, latent_avg = rosinality_state(weights)
    saved = {"g_ema": OrderedDict(state), "latent_avg": latent_avg}
    return torch_bytes((change(saved) or saved) if change else saved, legacy=legacy)


# Classes of that code, by the name of the part that is of it; parts of a list are of the class in its row.
ROSINALITY_PARTS = {
    "": "model.Generator",
    "style": "torch.nn.modules.container.Sequential",
    "style.": "model.EqualLinear",
    "convs": "torch.nn.modules.container.ModuleList",
    "convs.": "model.StyledConv",
    "to_rgbs": "torch.nn.modules.container.ModuleList",
    "to_rgbs.": "model.ToRGB",
    "noises": "torch.nn.modules.module.Module",
    "input": "model.ConstantInput",
    "conv1": "model.StyledConv",
    "to_rgb1": "model.ToRGB",
    "conv": "model.ModulatedConv2d",
    "modulation": "model.EqualLinear",
    "blur": "model.Blur",
    "upsample": "model.Upsample",
    "noise": "model.NoiseInjection",
    "activate": "op.fused_act.FusedLeakyReLU",
}


@contextmanager
def rosinality_classes(package: str = ""):
    """Class by name, all importable while the context is open; those outside torch are made, and taken out again."""
    made: dict[str, type] = {}
    new: list[str] = []
    try:
        for full in set(ROSINALITY_PARTS.values()):
            module, _, name = full.rpartition(".")
            if module.startswith("torch."):
                made[full] = getattr(sys.modules[module], name)
                continue
            module = package + module
            for i in range(1, len(module.split(".")) + 1):
                path = ".".join(module.split(".")[:i])
                if path not in sys.modules:
                    sys.modules[path] = types.ModuleType(path)
                    new.append(path)
            made[full] = type(name, (torch.nn.Module,), {"__module__": module})
            setattr(sys.modules[module], name, made[full])
        yield made
    finally:
        for path in new:
            del sys.modules[path]


def rosinality_object_bytes(weights: dict, *, package: str = "", wrap=lambda network: network) -> bytes:
    """A whole network of that code by torch.save, or what `wrap` makes of it."""
    with rosinality_classes(package) as classes:
        network = classes[ROSINALITY_PARTS[""]]()
        for path, value in rosinality_state(weights)[0].items():
            *parts, last = path.split(".")
            target = network
            for i, part in enumerate(parts):
                if part not in target._modules:
                    kind = f"{parts[i - 1]}." if part.isdecimal() else part
                    target.add_module(part, classes[ROSINALITY_PARTS[kind]]())
                target = target._modules[part]
            if last.startswith(("kernel", "noise_")):
                target.register_buffer(last, value)
            else:
                target.register_parameter(last, torch.nn.Parameter(value))
        return torch_bytes(wrap(network))


def torch_bytes(value: object, *, legacy: bool = False) -> bytes:
    """What torch.save writes."""
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


# ---------------------------------------------------------------------------------------------------------------------
# ours, and all together


def own_bytes(weights: dict, folder: Path, architecture: Architecture = SMALL) -> bytes:
    """Our own safetensors."""
    path = folder / "own.safetensors"
    save_checkpoint(Checkpoint("rosinality", architecture, weights, "0" * 64, ("a note",), "a licence"), path)
    return path.read_bytes()


def valid_files(folder: Path, architecture: Architecture = SMALL, seed: int = 0) -> dict[str, bytes]:
    """One network in every format and variant that is read."""
    weights, clamp = random_weights(architecture, seed), architecture.conv_clamp
    prefixed = {f"decoder.{name}": value for name, value in rosinality_state(weights)[0].items()}
    encoder = {"encoder.input_layer.0.weight": torch.zeros(2, 3, 1, 1), "encoder.steps": torch.tensor(7)}
    per_layer = weights["mapping.w_avg"].repeat(2 * len(architecture.channels), 1)
    nvidia = nvidia_generator(weights, clamp)
    return {
        "nvidia-pytorch": nvidia_torch_bytes(weights, conv_clamp=clamp),
        "nvidia-pytorch, protocol 2": nvidia_torch_bytes(weights, conv_clamp=clamp, protocol=2),
        "nvidia-pytorch, network alone": nvidia_object_bytes(nvidia),
        "nvidia-pytorch, torch.save(G)": nvidia_object_bytes(nvidia, torch_save=True),
        "nvidia-names": torch_bytes(with_filters(weights)),
        "nvidia-tensorflow": nvidia_tf_bytes(weights, conv_clamp=clamp),
        "nvidia-tensorflow, network alone": nvidia_tf_bytes(weights, conv_clamp=clamp, wrap=lambda network: network),
        "nvidia-tensorflow, protocol 2": nvidia_tf_bytes(weights, conv_clamp=clamp, protocol=2),
        "nvidia-tensorflow, protocol 5": nvidia_tf_bytes(weights, conv_clamp=clamp, protocol=5),
        "rosinality": rosinality_bytes(weights),
        "rosinality, legacy": rosinality_bytes(weights, legacy=True),
        "rosinality, bare": rosinality_bytes(weights, change=lambda saved: saved["g_ema"]),
        "rosinality, torch.save(g_ema)": rosinality_object_bytes(weights),
        "rosinality, in an encoder file": torch_bytes(
            {"state_dict": encoder | prefixed, "latent_avg": per_layer, "opts": {"output_size": 16}}
        ),
        "stylemixseg": own_bytes(weights, folder, architecture),
    }


# ---------------------------------------------------------------------------------------------------------------------
# pickles by hand


def text(value: str) -> bytes:
    """Push text."""
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def raw(value: bytes) -> bytes:
    """Push bytes."""
    return b"B" + struct.pack("<I", len(value)) + value


def integer(value: int) -> bytes:
    """Push a number."""
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def name(module: str, attribute: str) -> bytes:
    """Push a global name, the old way."""
    return f"c{module}\n{attribute}\n".encode()


def stack_name(module: bytes, attribute: bytes) -> bytes:
    """Push a global name, the new way; both arguments are instructions."""
    return module + attribute + b"\x93"


def items(*values: bytes) -> bytes:
    """Push a tuple."""
    return b"(" + b"".join(values) + b"t"


def call(function: bytes, *arguments: bytes) -> bytes:
    """Push the result of a call."""
    return function + items(*arguments) + b"R"


def dictionary(**values: bytes) -> bytes:
    """Push a dictionary."""
    return b"}(" + b"".join(text(key) + value for key, value in values.items()) + b"u"


def pickled(*instructions: bytes, protocol: int = 4) -> bytes:
    """A whole pickle."""
    return b"\x80" + bytes([protocol]) + b"".join(instructions) + b"."


def torch_zip(pickle_bytes: bytes, storages: dict[str, bytes] | None = None, compression=zipfile.ZIP_STORED) -> bytes:
    """An archive as torch.save writes it, around any pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickle_bytes)
        for key, data in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", data)
    return buffer.getvalue()


def torch_legacy(*pickles: bytes, storages: bytes = b"") -> bytes:
    """torch.save's old form; each of the four pickles after the magic number may be replaced."""
    magic = pickled(integer(0x1950A86A20F9469CFC6C), protocol=2)
    machine = dictionary(protocol_version=b"M\xe9\x03", little_endian=b"\x88", type_sizes=b"}")
    parts = [pickled(b"M\xe9\x03", protocol=2), pickled(machine, protocol=2), pickled(b"N"), pickled(b"]")]
    parts[: len(pickles)] = [given or part for given, part in zip(pickles, parts)]
    return magic + b"".join(parts) + storages


def storage_id(key: str, count: int | bytes, kind: str = "FloatStorage") -> bytes:
    """Push a persistent id of a storage."""
    count = count if isinstance(count, bytes) else integer(count)
    return items(text("storage"), name("torch", kind), text(key), text("cpu"), count) + b"Q"


def tensor(storage: bytes, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    """Push a tensor."""
    sizes = [items(*map(integer, values)) for values in (shape, strides)]
    return call(name("torch._utils", "_rebuild_tensor_v2"), storage, integer(offset), *sizes, b"\x89", b"}")


def array(shape: bytes, dtype: bytes, data: bytes) -> bytes:
    """Push a NumPy array."""
    empty = call(name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), items(integer(0)), raw(b"b"))
    return empty + items(integer(1), shape, dtype, b"\x89", data) + b"b"


def numpy_type(code: str) -> bytes:
    """Push a NumPy type of little-endian order."""
    state = items(integer(3), text("<"), b"N", b"N", b"N", integer(-1), integer(-1), integer(0))
    return call(name("numpy", "dtype"), text(code), b"\x89", b"\x88") + state + b"b"


# ---------------------------------------------------------------------------------------------------------------------
# what a reader does

FORBIDDEN = ("import", "exec", "compile", "os.", "subprocess.", "socket.", "ctypes.", "pickle.", "shutil.", "marshal.")


class Watch:
    """What Python reports to audit hooks while a file is read: imports, code, processes, other files opened."""

    def __init__(self) -> None:
        self.reading: str | None = None
        self.events: list[str] = []
        sys.addaudithook(self._hook)

    @contextmanager
    def over(self, path: Path):
        """Collect events while the context is open; opening `path` is none."""
        self.events.clear()
        self.reading = str(path)
        try:
            yield
        finally:
            self.reading = None

    def _hook(self, event: str, args: tuple) -> None:
        if self.reading is None:
            return
        if event.startswith(FORBIDDEN) or (event == "open" and str(args[0]) != self.reading):
            self.events.append(f"{event} {args!r:.200}")
