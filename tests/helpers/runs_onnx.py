"""Run an ONNX model in OpenVINO, which reads such files by itself: a second opinion on what a browser's runtime does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stylemixseg.generators.openvino.quiet import openvino


def runs_onnx(model) -> Callable[[np.ndarray], np.ndarray]:
    """ws (num_ws, w_dim) float32 -> pixels (side, side, 4) uint8, in single precision on one thread."""
    core = openvino.Core()
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False}
    compiled = core.compile_model(core.read_model(model.SerializeToString(), b""), "CPU", options)
    return lambda ws: compiled(np.ascontiguousarray(ws, np.float32))[0].copy()
