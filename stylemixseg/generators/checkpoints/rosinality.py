"""Names of the community's PyTorch code by rosinality, on which pSp, e4e, ReStyle and many others build.

{"g_ema": names and tensors, "latent_avg": mean latent} or one of many other wrappings, see `locate`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from stylemixseg.generators.checkpoints.checkpoint import CheckpointError, shown
from stylemixseg.generators.checkpoints.layout import Found, check_filter, squeezed, to_float32
from stylemixseg.generators.checkpoints.storages import TorchFile
from stylemixseg.generators.checkpoints.tensors import numbers_view


def read_rosinality(tensors: Mapping[str, object], latent_avg: object | None, file: TorchFile | None) -> Found:
    """All weights under canonical names. The format knows no conv_clamp.

    Args:
        tensors: unread tensors by rosinality's names.
        latent_avg: the unread mean latent, or None.
        file: where the storages are; None: inside the pickle.

    Raises:
        CheckpointError: malformed, or a name that is not StyleGAN2's.
    """
    views: dict[str, np.ndarray] = {}
    for name, value in tensors.items():
        _take(name, numbers_view(value, file), views)
    notes: tuple[str, ...] = ()
    if latent_avg is not None:
        views["mapping.w_avg"], notes = _mean_latent(numbers_view(latent_avg, file))
    return Found(views, notes=notes, noise_may_lack=True)


def _mean_latent(view: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """w_avg (w_dim), also of a file that has one per layer, (num_ws, w_dim) or (1, num_ws, w_dim)."""
    if view.ndim == 3 and len(view) == 1:
        view = view[0]
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
