"""OpenVINO as the CPU engine of a PyTorch generator: the same protocol, several times faster on two cores.

Runs of layers of the module are exported in memory and compiled for this machine's CPU when they are first needed;
mapping and every attribute stay those of the module. Images are no longer differentiable: for inversion load the
generator with `engine="torch"`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import openvino
import torch
from openvino import opset13
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor, nn

from stylemixseg.checks import check_latents


class _Layers(nn.Module):
    """A run of the generator's layers as a module of its own, for the exporter."""

    def __init__(self, module: nn.Module, start: int, stop: int):
        super().__init__()
        self.module, self.start, self.stop = module, start, stop

    def forward(self, x: Tensor, ws: Tensor) -> Tensor:
        return self.module.run_layers(x, ws, self.start, self.stop)


class OpenVINOGenerator:
    """A generator whose layers run in OpenVINO, in full single precision, one image at a time.

    Args:
        module: a generator with `const` and `run_layers(x, ws, start, stop)`, as `MobileStyleGAN`.
    """

    def __init__(self, module: nn.Module):
        self.module = module
        self.name, self.digest = module.name, module.digest
        self.z_dim, self.w_dim, self.num_ws = module.z_dim, module.w_dim, module.num_ws
        self.resolution, self.w_avg = module.resolution, module.w_avg
        self._compiled = lru_cache(maxsize=8)(self._compile)

    def mapping(self, z: Tensor, truncation: float = 1.0) -> Tensor:
        """As the module's: z (N, z_dim) -> ws (N, num_ws, w_dim)."""
        with torch.no_grad():
            return self.module.mapping(z, truncation)

    def synthesis(self, ws: Tensor) -> Tensor:
        """ws (N, num_ws, w_dim) -> images (N, 3, R, R) float32 in about [-1, 1], detached from any graph."""
        rows = check_latents("ws", ws, self.num_ws, self.w_dim)
        return torch.cat([self._run(self.module.const, row[None], 0, self.num_ws) for row in rows])

    def iter_mixed_synthesis(self, w0: Tensor, styles: Tensor, cutoff: int, batch_size: int) -> Iterator[Tensor]:
        """Yield the style-mixed images of one query; the layers below `cutoff` run once. See `MobileStyleGAN`."""
        x = self._run(self.module.const, w0, 0, cutoff)
        for batch in styles.split(batch_size):
            yield torch.cat([self._run(x, style[None], cutoff, self.num_ws) for style in batch])

    def _run(self, x: Tensor, ws: Tensor, start: int, stop: int) -> Tensor:
        if start == stop:
            return x
        compiled, noises = self._compiled(start, stop, tuple(x.shape))
        image = compiled([x.detach().numpy(), ws.detach().float().numpy(), *noises])[0]
        return torch.from_numpy(np.array(image))  # a copy: the next call writes over the output buffer

    def _compile(self, start: int, stop: int, shape: tuple[int, ...]):
        example = (torch.zeros(shape), torch.zeros(1, self.num_ws, self.w_dim))
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the tracer warns of shape arithmetic, which is constant here
            traced = torch.jit.trace(_Layers(self.module, start, stop), example, check_trace=False)
        # The front end itself, not `openvino.convert_model`: that one reports its use over the network.
        frontend = FrontEndManager().load_by_framework("pytorch")
        decoder = TorchScriptPythonDecoder(traced)  # named, so that it outlives `load`
        model = frontend.convert(frontend.load(decoder))
        model.reshape({i: list(part.shape) for i, part in enumerate(example)})
        noises = _make_noises_inputs(model)
        # bfloat16 would be chosen by itself where the CPU has it; a result must not depend on the machine that much.
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        return openvino.Core().compile_model(model, "CPU", options), noises


def _make_noises_inputs(model: openvino.Model) -> list[np.ndarray]:
    """Turn the constant noise maps (1, 1, H, W) into further inputs of the model; return their values in order.

    As constants they would be added to the bias when the model is compiled, one map for every channel: at 1024 px half
    a gigabyte instead of three megabytes.
    """
    noises, inputs = [], []
    for constant in model.get_ops():
        shape = tuple(constant.output(0).partial_shape.to_shape()) if constant.get_type_name() == "Constant" else ()
        if len(shape) == 4 and shape[:2] == (1, 1) and min(shape[2:]) > 1:
            noises.append(np.array(constant.data))
            inputs.append(opset13.parameter(shape, openvino.Type.f32))
            for reader in constant.output(0).get_target_inputs():
                reader.replace_source_output(inputs[-1].output(0))
    model.add_parameters(inputs)
    return noises
