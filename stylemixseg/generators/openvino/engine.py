"""OpenVINO as the CPU engine of a PyTorch generator: the same protocol, several times faster on two cores.

The generator's layers are written as an OpenVINO graph, straight from the module's weights (`openvino_mobilestylegan`,
`openvino_stylegan2`), and compiled for this machine's CPU when they are first needed; mapping and every attribute stay
those of the module. Images are no longer differentiable: for inversion load the generator with `engine="torch"`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from stylemixseg._util.checks import check_choice, check_int
from stylemixseg._util.tensors import fit_latents
from stylemixseg.generators.mobilestylegan import MobileStyleGAN
from stylemixseg.generators.openvino import mobilestylegan as openvino_mobilestylegan
from stylemixseg.generators.openvino import stylegan2 as openvino_stylegan2
from stylemixseg.generators.openvino.nodes import as_image_bytes, to_array
from stylemixseg.generators.openvino.quiet import openvino
from stylemixseg.generators.stylegan2.network import StyleGAN2

# Mixes in flight: two images on one core each take less time than one after the other on two cores.
STREAMS = 2

State = list[np.ndarray]  # what a run of layers hands on: features, for StyleGAN2 the RGB image so far, too


@cache
def _core() -> openvino.Core:
    """The core that the whole process shares.

    When the last user of a core goes, its CPU plugin is unloaded; a signal, Ctrl-C for example, then ended the process
    with a segmentation fault (OpenVINO 2026.4).
    """
    return openvino.Core()


class OpenVINOGenerator:
    """A generator in OpenVINO.

    Args:
        module: the generator whose weights are used.
        precision: "f32", or "bf16" to compute in bfloat16 where the CPU can. It would be chosen by itself there, but a
            result must not depend on the machine that much unless that is asked for.
    """

    def __init__(self, module: MobileStyleGAN | StyleGAN2, *, precision: str = "f32"):
        self.precision = check_choice("precision", precision, ("f32", "bf16"))
        self.module = module
        self._graph = openvino_stylegan2 if isinstance(module, StyleGAN2) else openvino_mobilestylegan
        self.name, self.digest = module.name, module.digest
        self.z_dim, self.w_dim, self.num_ws = module.z_dim, module.w_dim, module.num_ws
        self.resolution, self.w_avg = module.resolution, module.w_avg
        self._streams, self._one_thread = STREAMS, False
        # Each holds its feature maps, 0.15 GB a stream at 1024 px; to compile takes a fraction of a second.
        self._compiled = lru_cache(maxsize=4)(self._compile)

    def one_thread_per_image(self, images_at_once: int) -> None:
        """From now on make so many images at a time, each on one thread: sums then do not depend on the cores.

        Args:
            images_at_once: at least 1; each takes one thread, and memory for its feature maps.

        Raises:
            TypeError, ValueError: no such number.
        """
        self._streams, self._one_thread = check_int("images_at_once", images_at_once, 1), True
        self._compiled.cache_clear()

    def mapping(self, z: Tensor, truncation: float = 1.0) -> Tensor:
        """As the module's: z (N, z_dim) -> ws (N, num_ws, w_dim)."""
        with torch.no_grad():
            return self.module.mapping(z, truncation)

    def synthesis(self, ws: Tensor) -> Tensor:
        """ws (N, num_ws, w_dim) -> images (N, 3, R, R) float32 in about [-1, 1], detached from any graph."""
        return self._images(self._start(), ws, 0)

    def background(self, ws: Tensor) -> Tensor:
        """As `synthesis`, with zeros in place of the features of 4 px, which hold what stands where."""
        return self._images([np.zeros_like(part) for part in self._start()], ws, 1)

    def _images(self, state: State, ws: Tensor, start: int) -> Tensor:
        images = [image for (image,) in self._run(state, fit_latents("ws", ws, self), start, self.num_ws)]
        return torch.from_numpy(np.concatenate(images))

    def iter_mixed_synthesis(self, w0: Tensor, styles: Tensor, cutoff: int, batch_size: int) -> Iterator[Tensor]:
        """Yield the style-mixed images of one query; the layers below `cutoff` run once. See `MobileStyleGAN`."""
        for images in _batches(self._iter_mixes(w0, styles, cutoff), batch_size):
            yield torch.from_numpy(images)

    def iter_mixed_bytes(self, w0: Tensor, styles: Tensor, cutoff: int, batch_size: int) -> Iterator[np.ndarray]:
        """The same as (b, R, R, 3) uint8, rounded by the graph: four times fewer bytes come out of it."""
        for images in _batches(self._iter_mixes(w0, styles, cutoff, as_bytes=True), batch_size):
            yield np.moveaxis(images, 1, 3)

    def feature_maps(self, ws: Tensor, layers: list[int]) -> list[Tensor]:
        """As the module's, in PyTorch and without gradients."""
        with torch.no_grad():
            return self.module.feature_maps(ws, layers)

    def _start(self) -> State:
        return [to_array(self.module.const).reshape(1, -1, 4, 4)]

    def _iter_mixes(self, w0: Tensor, styles: Tensor, cutoff: int, as_bytes: bool = False) -> Iterator[np.ndarray]:
        (state,) = self._run(self._start(), w0, 0, cutoff)
        for (image,) in self._run(state, styles, cutoff, self.num_ws, as_bytes):
            yield image

    def _run(self, state: State, ws: Tensor, start: int, stop: int, as_bytes: bool = False) -> Iterator[State]:
        """Layers start..stop - 1 on the state that the layers below gave, once for each row of ws, in order."""
        if start == stop and not as_bytes:
            yield from [state] * len(ws)
            return
        compiled, noises = self._compiled(start, stop, as_bytes)
        # Requests of this call alone: another call may begin, or this one end early, while they are under way.
        requests = [compiled.create_infer_request() for _ in range(min(self._streams, len(ws)))]
        rows = [to_array(row) for row in ws.split(1)]
        for request, row in zip(requests, rows):
            request.start_async([*state, row, *noises])
        for i in range(len(rows)):
            request = requests[i % len(requests)]
            request.wait()
            # copies: the next run writes over the buffers
            found = [np.array(tensor.data) for tensor in request.output_tensors]
            if i + len(requests) < len(rows):  # before the caller gets the image: the cores are never idle
                request.start_async([*state, rows[i + len(requests)], *noises])
            yield found

    def _compile(self, start: int, stop: int, as_bytes: bool) -> tuple[openvino.CompiledModel, list[np.ndarray]]:
        inputs, outputs, noises = self._graph.build_layers(self.module, start, stop)
        model = openvino.Model([as_image_bytes(image) for image in outputs] if as_bytes else outputs, inputs)
        # Threads pinned to cores: every process would pin its own to the same ones, and several be as slow as one.
        options: dict[str, str | int | bool] = {
            "INFERENCE_PRECISION_HINT": self.precision,
            "ENABLE_CPU_PINNING": False,
        }
        if self._one_thread:
            options |= {"NUM_STREAMS": self._streams, "INFERENCE_NUM_THREADS": self._streams}
        else:  # A whole image is asked for singly, and gets all cores; mixes come by the dozen.
            options |= {"NUM_STREAMS": self._streams} if start else {"PERFORMANCE_HINT": "LATENCY"}
        return _core().compile_model(model, "CPU", options), noises


def _batches(images: Iterator[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Join `size` arrays (1, ...) at a time, fewer at the end."""
    while batch := list(islice(images, size)):
        yield batch[0] if len(batch) == 1 else np.concatenate(batch)
