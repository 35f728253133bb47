"""Official pSp, e4e and ReStyle checkpoints: read without running anything of them, and used to invert photos.

Such a file is what torch.save made of {"state_dict", "latent_avg", "opts"}: the encoder (`encoder.*`), a whole
StyleGAN2 in rosinality's layout (`decoder.*`), the mean latent, and the settings of its training. None of these files
was at hand when this was written: names and shapes are those of the published code, see `official_networks`.

An encoder belongs to one generator: its codes mean nothing to another, even where the shapes fit.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from stylemixseg._util.checks import check_choice, check_int
from stylemixseg.generators.base import Generator
from stylemixseg.generators.checkpoints import CheckpointError, open_torch_file
from stylemixseg.generators.checkpoints.checkpoint import shown
from stylemixseg.generators.checkpoints.layout import MAX_RESOLUTION, to_tensors
from stylemixseg.generators.checkpoints.storages import TorchFile
from stylemixseg.generators.checkpoints.tensors import is_call, tensor_view
from stylemixseg.generators.stylegan2.network import StyleGAN2
from stylemixseg.inversion.base import Inversion
from stylemixseg.inversion.official_networks import ENCODERS, REDUCTION, SIDE, EncoderKind, StyleEncoder
from stylemixseg.models.references import check_images

REFINEMENTS = 5  # N of ReStyle, section 4
CARS_ROWS = slice(32, 224)  # of 256: the car generator draws 4:3, with bands above and below
BATCH = 4  # photos at once
MAX_NAME = 100
MAX_NUM_WS = 2 * (MAX_RESOLUTION.bit_length() - 2)
MAX_WIDTH = 1024
COUNTER = ".num_batches_tracked"  # training's; not used here
_FIRST_LAYERS = {"input_layer.0.weight": "IR-SE50", "conv1.weight": "ResNet34"}


class OfficialEncoder:
    """An encoder with its generator: an `Inverter`. It runs where the generator is.

    pSp and e4e look once: ws = latent_avg + network(photo). ReStyle starts at ws = latent_avg and adds
    network(photo, G(ws)) to ws, N times (section 3 of the paper). The networks look at 256 px: photos are resized
    bilinearly with antialiasing, G(ws) is pooled.

    Args:
        network: the encoder.
        generator: G, the one that the encoder was trained for, with constant noise.
        latent_avg: where it starts, (num_ws, w_dim).
        refinements: N of ReStyle, at least 1; pSp and e4e have none.
        cars: the network looks at rows 32 to 223 of the 256 only, of the photo and of G(ws), as those trained on cars
            do; photos are still squares in the generator's frame, with its bands.

    Raises:
        ValueError: network, generator and latent_avg are not for the same latents.
    """

    def __init__(
        self,
        network: StyleEncoder,
        generator: Generator,
        latent_avg: Tensor,
        *,
        refinements: int = REFINEMENTS,
        cars: bool = False,
    ):
        latents = network.num_ws, network.w_dim
        if (generator.num_ws, generator.w_dim) != latents:
            raise ValueError(
                f"the encoder gives {latents[0]} latents of {latents[1]} numbers, generator {generator.name} takes "
                f"{generator.num_ws} of {generator.w_dim}: this checkpoint was made for another generator"
            )
        if tuple(latent_avg.shape) != latents:
            raise ValueError(f"latent_avg must have shape {latents}, got {tuple(latent_avg.shape)}")
        self.network = network.eval().requires_grad_(False)
        self.generator, self.latent_avg = generator, latent_avg
        self.refinements = check_int("refinements", refinements, 1)
        self.rows = CARS_ROWS if cars else slice(SIDE)

    @torch.no_grad()
    def __call__(self, photos: Tensor, progress: bool = False) -> Inversion:
        """photos (N, 3, S, S) in [-1, 1], in the generator's frame, any S -> their inversion, where the generator is.

        Raises:
            TypeError, ValueError: photos of another type or shape, or on another scale.
        """
        started = time.perf_counter()
        height, width = check_images(photos).shape[2:]
        if height != width:
            raise ValueError(f"photos must be squares in the generator's frame, got {height} x {width}")
        device = self.generator.w_avg.device
        self.network.to(device)
        self.latent_avg = self.latent_avg.to(device)
        kind = self.network.kind
        passes = self.refinements if kind.method == "ReStyle" else 1
        average = self._pooled(self.latent_avg[None]) if kind.method == "ReStyle" else None
        batches = []
        with tqdm(total=len(photos) * passes, desc=kind.method, unit="pass", disable=not progress) as bar:
            for batch in photos.split(BATCH):
                seen = self._resized(batch.to(device, torch.float32))
                ws = self.latent_avg.expand(len(batch), -1, -1)
                steps = [ws]
                for i in range(passes):
                    inputs = seen
                    if average is not None:
                        estimate = self._pooled(ws) if i else average.expand(len(batch), -1, -1, -1)
                        inputs = torch.cat([seen, estimate], dim=1)  # (n, 6, rows, 256)
                    ws = ws + self.network(inputs)
                    steps.append(ws)
                    bar.update(len(batch))
                batches.append(steps)
        joined = tuple(torch.cat(step) for step in zip(*batches))
        refinements = "1 refinement" if passes == 1 else f"{passes} refinements"
        how = refinements if kind.method == "ReStyle" else "one pass"
        seconds = time.perf_counter() - started
        return Inversion(joined[-1], joined, seconds, f"{kind.method} ({kind.name}), {how}")

    def _resized(self, photos: Tensor) -> Tensor:
        """(n, 3, S, S) -> (n, 3, rows, 256), as Pillow's bilinear filter does, with which the networks were trained."""
        if photos.shape[-1] != SIDE:
            photos = F.interpolate(photos, (SIDE, SIDE), mode="bilinear", antialias=True)
        return photos[:, :, self.rows]

    def _pooled(self, ws: Tensor) -> Tensor:
        """G(ws) as the network sees it: (n, num_ws, w_dim) -> (n, 3, rows, 256)."""
        return F.adaptive_avg_pool2d(self.generator.synthesis(ws), SIDE)[:, :, self.rows]


def load_official_encoder(
    path: str | Path,
    generator: Generator | None = None,
    *,
    encoder_type: str | None = None,
    latent_avg: Tensor | None = None,
) -> OfficialEncoder:
    """The encoder of an official checkpoint, with its generator.

    The backbone, the number of latents and of input channels come from the names and shapes in the file. pSp and e4e
    share theirs (what is a latent in one is a difference in the other): there `opts.encoder_type` decides.

    Args:
        path: the checkpoint, a `.pt` file.
        generator: the one that the encoder was trained for; None: the StyleGAN2 in the file (`decoder.*`).
        encoder_type: a key of `ENCODERS`; None: what the file's `opts` say.
        latent_avg: mean latent, (w_dim,) or (num_ws, w_dim); None: the file's.

    Raises:
        CheckpointError: not such a file, damaged, or it asks for code; an encoder that is not one of the six, with the
            first names and shapes that differ; no mean latent; no generator.
        ValueError: the encoder is for another generator; encoder_type or latent_avg is not usable.
        OSError: the path is absent or unreadable.
    """
    if encoder_type is not None:
        check_choice("encoder_type", encoder_type, ENCODERS)
    network, start, cars = _read(path, encoder_type, latent_avg, needs_decoder=generator is None)
    return OfficialEncoder(network, generator or StyleGAN2.from_file(path), start, cars=cars)


def _read(
    path: str | Path, encoder_type: str | None, latent_avg: Tensor | None, needs_decoder: bool
) -> tuple[StyleEncoder, Tensor, bool]:
    """Network, mean latent (num_ws, w_dim), and whether it is for cars. The file is let go."""
    file, size = open_torch_file(path)
    saved = file.value
    if not isinstance(saved, dict) or not isinstance(state := saved.get("state_dict"), dict):
        raise CheckpointError("not a pSp, e4e or ReStyle checkpoint: there is no state_dict in it")
    views = _encoder_views(state, file)
    if needs_decoder and not any(name.startswith("decoder.") for name in state):
        raise CheckpointError(
            "the file holds an encoder only (no names beginning with decoder.): give the generator that it was trained "
            "for, load_official_encoder(path, generator)"
        )
    opts = _opts(saved.get("opts"))
    kind, num_ws, width = _find(views, encoder_type, opts)
    with torch.device("meta"):  # names and shapes only
        network = StyleEncoder(kind, num_ws, width)
    blank = network.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in blank.items()}
    _check_layout(kind, {name: view.shape for name, view in views.items()}, shapes)
    weights = {name: shape for name, shape in shapes.items() if not name.endswith(COUNTER)}
    counters = {name: torch.zeros((), dtype=torch.int64) for name in shapes.keys() - weights.keys()}
    network.load_state_dict(to_tensors(views, weights, size) | counters, assign=True)
    if latent_avg is None:
        latent_avg = _stored_latent_avg(saved.get("latent_avg"), file, size, kind, network.w_dim, opts)
    latent_avg = _one_a_layer(latent_avg, network.num_ws, network.w_dim)
    dataset = opts.get("dataset_type")
    return network, latent_avg, isinstance(dataset, str) and "cars_" in dataset


def _encoder_views(state: dict, file: TorchFile) -> dict[str, np.ndarray]:
    """The encoder's arrays by name without `encoder.`; names of anything but encoder and decoder are refused."""
    views = {}
    for name, value in state.items():
        if not isinstance(name, str) or len(name) > MAX_NAME or not name.startswith(("encoder.", "decoder.")):
            raise CheckpointError(f"the state_dict holds {shown(name)}, which is neither encoder.* nor decoder.*")
        if name.startswith("encoder."):
            views[name.removeprefix("encoder.")] = tensor_view(value, file)
    if not views:
        raise CheckpointError("there is no encoder in the file: no names beginning with encoder.")
    return views


def _opts(value: object) -> dict:
    """The settings of the training: a dictionary, or what is in an argparse.Namespace; {} where there are none."""
    if is_call(value, "namespace"):
        value = value.state
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CheckpointError(f"opts must be a dictionary or an argparse.Namespace, got {shown(value)}")
    return value


def _find(views: Mapping[str, np.ndarray], encoder_type: str | None, opts: dict) -> tuple[EncoderKind, int, int]:
    """Kind, number of latents and width, from names and shapes; `encoder_type` or opts choose among those that fit."""
    first = next((name for name in _FIRST_LAYERS if name in views and views[name].ndim == 4), None)
    heads = {int(match[1]) for name in views if (match := re.match(r"styles\.(\d{1,3})\.", name))}
    if first is None or not heads:
        what = "styles.*" if first else " or ".join(_FIRST_LAYERS)
        raise CheckpointError(f"the encoder is none of {', '.join(ENCODERS)}: there is no {what} in it")
    width, inputs = views[first].shape[:2]
    num_ws = max(heads) + 1
    if num_ws > MAX_NUM_WS or not REDUCTION <= width <= MAX_WIDTH:
        raise CheckpointError(f"an encoder of {num_ws} latents and {width} channels; published ones have 18 and 64")
    pyramid = "latlayer1.weight" in views
    found = f"{_FIRST_LAYERS[first]} with {inputs} input channels, {'a' if pyramid else 'no'} feature pyramid"
    fitting = [
        kind
        for kind in ENCODERS.values()
        if (kind.backbone, kind.inputs, kind.pyramid) == (_FIRST_LAYERS[first], inputs, pyramid)
    ]
    if not fitting:
        raise CheckpointError(f"the encoder is none of {', '.join(ENCODERS)}: it has {found}")
    names = " or ".join(kind.name for kind in fitting)
    stated = encoder_type if encoder_type is not None else opts.get("encoder_type")
    if stated is None:
        raise CheckpointError(f"opts.encoder_type is missing: the encoder is {names}; say which by encoder_type=")
    for kind in fitting:
        if kind.name == stated:
            return kind, num_ws, width
    source = "opts.encoder_type" if encoder_type is None else "encoder_type"
    raise CheckpointError(f"{source} is {shown(stated)}, but the encoder is {names}: it has {found}")


def _check_layout(
    kind: EncoderKind, found: Mapping[str, tuple[int, ...]], published: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise CheckpointError with the first names and shapes that are not the published ones."""
    wrong = []
    for name, shape in published.items():
        if name not in found:
            if not name.endswith(COUNTER):  # PyTorch before 0.4.1 had none
                wrong.append(f"encoder.{name} is missing")
        elif found[name] != shape:
            wrong.append(f"encoder.{name} has shape {found[name]} instead of {shape}")
    wrong += [f"encoder.{shown(name)} is too many" for name in found if name not in published]
    if wrong:
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise CheckpointError(f"not the {kind.name} that was published: {'; '.join(wrong[:3])}{more}")


def _stored_latent_avg(value: object, file: TorchFile, size: int, kind: EncoderKind, w_dim: int, opts: dict) -> Tensor:
    """The file's mean latent; CheckpointError with advice where codes are not to be added to one, or it has none."""
    if kind.method != "ReStyle" and opts.get("start_from_latent_avg") is False:
        raise CheckpointError(
            "opts.start_from_latent_avg is False: the codes are latents and no offsets from the mean; "
            f"give latent_avg=torch.zeros({w_dim})"
        )
    if value is None:
        raise CheckpointError(
            "the file has no latent_avg, from which the codes are offsets: give latent_avg=generator.w_avg of the "
            "generator that it was trained for; StyleGAN2.from_file of a file without one computes it"
        )
    view = tensor_view(value, file)
    return to_tensors({"latent_avg": view}, {"latent_avg": view.shape}, size)["latent_avg"]


def _one_a_layer(latent_avg: Tensor, num_ws: int, w_dim: int) -> Tensor:
    """(w_dim,), (1, w_dim) or (num_ws, w_dim) -> (num_ws, w_dim) float32."""
    if not isinstance(latent_avg, Tensor) or not latent_avg.is_floating_point():
        raise TypeError(f"latent_avg must be a floating-point torch.Tensor, got {type(latent_avg).__name__}")
    if tuple(latent_avg.shape) not in ((w_dim,), (1, w_dim), (num_ws, w_dim)):
        raise ValueError(f"latent_avg must have shape ({num_ws}, {w_dim}), got {tuple(latent_avg.shape)}")
    if not torch.isfinite(latent_avg).all():
        raise ValueError("latent_avg must be finite, got NaN or infinite values")
    return latent_avg.float().expand(num_ws, w_dim).clone()
