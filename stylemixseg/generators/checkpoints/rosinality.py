"""Checkpoints of the community's PyTorch code by rosinality, on which pSp, e4e, ReStyle and many others build.

{"g_ema": names and tensors, "latent_avg": mean latent}, or the names at top level, or, in encoder checkpoints,
{"state_dict": {"encoder...", "decoder..."}, "latent_avg"}, where the decoder is the generator.
"""

from __future__ import annotations

import re

import numpy as np

from stylemixseg.generators.checkpoints.checkpoint import CheckpointError, shown
from stylemixseg.generators.checkpoints.layout import Found, check_filter, squeezed, to_float32
from stylemixseg.generators.checkpoints.storages import TorchFile
from stylemixseg.generators.checkpoints.tensors import tensor_view

MAX_NAME = 100
# What a torch file without a rosinality generator is, by the beginning of one of its names.
OTHERS = {
    "generator.progression.": "a StyleGAN1 network (rosinality's style-based-gan-pytorch)",
    "g_mapping.": "a StyleGAN1 network",
    "synthesis.input.": "a StyleGAN3 network",
    "synthesis.early_layer.": "a genforce checkpoint, which is not supported",
    "style_mapping.": "an MMGeneration checkpoint, which is not supported",
    "generator_ema.": "an MMGeneration checkpoint, which is not supported",
    "final_linear.": "a discriminator only",
    "encoder.": "an encoder only; the generator (names beginning with decoder.) is not in it",
    "input_layer.": "an encoder only",
    "body.": "an encoder only",
}


def read_rosinality(file: TorchFile) -> Found:
    """All weights under canonical names. The format knows no conv_clamp.

    Raises:
        CheckpointError: no generator in the file (the message says what there is), a name that is not StyleGAN2's.
    """
    if not isinstance(file.value, dict):
        raise CheckpointError("torch.save saved something other than a dictionary, which a StyleGAN2 checkpoint is")
    views: dict[str, np.ndarray] = {}
    for name, value in _generator(file.value).items():
        if not isinstance(name, str) or len(name) > MAX_NAME:
            raise CheckpointError(f"malformed generator: the name {shown(name)}")
        _take(name, tensor_view(value, file), views)
    notes: tuple[str, ...] = ()
    if file.value.get("latent_avg") is not None:
        views["mapping.w_avg"], notes = _mean_latent(tensor_view(file.value["latent_avg"], file))
    return Found(views, notes=notes)


def _generator(saved: dict) -> dict:
    candidates = [saved.get("g_ema"), saved.get("state_dict"), saved]
    for found in candidates:
        if isinstance(found, dict):
            for prefix in ("", "decoder."):
                if f"{prefix}input.input" in found or f"{prefix}conv1.conv.weight" in found:
                    tensors = {k: v for k, v in found.items() if isinstance(k, str) and k.startswith(prefix)}
                    tensors = {k.removeprefix(prefix): v for k, v in tensors.items()}
                    if found is saved:
                        tensors.pop("latent_avg", None)
                    return tensors
    for found in candidates:
        for start, words in OTHERS.items():
            if isinstance(found, dict) and any(isinstance(name, str) and name.startswith(start) for name in found):
                raise CheckpointError(f"no StyleGAN2 generator in the file: it is {words}")
    if "d" in saved and "g_ema" not in saved:
        raise CheckpointError("no StyleGAN2 generator in the file: g_ema is missing (a discriminator only?)")
    keys = ", ".join(shown(key, 30) for key in list(saved)[:5]) or "none"
    raise CheckpointError(f"no StyleGAN2 generator in the torch file (its first keys: {keys})")


def _mean_latent(view: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """w_avg (w_dim), also of a file that has one a layer (num_ws, w_dim)."""
    if view.ndim != 2:
        return view, ()
    if len(view) > 64:
        raise CheckpointError(f"latent_avg has the impossible shape {view.shape}")
    values = to_float32("latent_avg", view)
    if (values == values[0]).all():
        return values[0], ()
    with np.errstate(over="ignore", invalid="ignore"):  # infinities are found later
        return values.mean(0, dtype=np.float64), ("latent_avg differs between the layers; their mean is used",)


def _take(name: str, view: np.ndarray, views: dict[str, np.ndarray]) -> None:
    """Add one tensor under its canonical name."""
    if match := re.fullmatch(r"style\.(\d{1,3})\.(weight|bias)", name):  # style.0 normalises, it has no weights
        views[f"mapping.fc{int(match[1]) - 1}.{match[2]}"] = view
    elif name == "input.input":
        views["synthesis.b4.const"] = squeezed(name, view, 0)
    elif match := re.fullmatch(r"noises\.noise_(\d{1,2})", name):
        views[f"synthesis.{_conv(int(match[1]))}.noise_const"] = squeezed(name, view, 0, 1)
    elif match := re.fullmatch(r"(conv1|convs\.\d{1,2})\.(.+)", name):
        layer = 0 if match[1] == "conv1" else int(match[1][6:]) + 1
        _take_layer(name, f"synthesis.{_conv(layer)}", match[2], view, views)
    elif match := re.fullmatch(r"(to_rgb1|to_rgbs\.\d{1,2})\.(.+)", name):
        block = 0 if match[1] == "to_rgb1" else int(match[1][8:]) + 1
        _take_layer(name, f"synthesis.b{4 << block}.torgb", match[2], view, views)
    else:
        raise CheckpointError(f"the generator has a part that StyleGAN2 has not: {shown(name)}")


def _conv(k: int) -> str:
    """The k-th convolution, from 0 at 4 px: one there, then two a resolution."""
    return f"b{4 << (k + 1) // 2}.conv{(k + 1) % 2}"


def _take_layer(name: str, layer: str, part: str, view: np.ndarray, views: dict[str, np.ndarray]) -> None:
    if part in ("conv.blur.kernel", "upsample.kernel"):
        check_filter(name, view)
    elif part == "conv.weight":
        views[f"{layer}.weight"] = squeezed(name, view, 0)
    elif part in ("conv.modulation.weight", "conv.modulation.bias"):
        views[f"{layer}.affine.{part.rpartition('.')[2]}"] = view
    elif part == "noise.weight":
        views[f"{layer}.noise_strength"] = squeezed(name, view, 0)
    elif part == "activate.bias":
        views[f"{layer}.bias"] = view
    elif part == "bias":
        views[f"{layer}.bias"] = squeezed(name, view, 0, 2, 3)
    else:
        raise CheckpointError(f"the generator has a part that StyleGAN2 has not: {shown(name)}")
