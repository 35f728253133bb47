"""Small pieces that the OpenVINO graphs of all generators are made of."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from stylemixseg.generators.openvino.quiet import Node, opset13


def to_array(value: Tensor) -> np.ndarray:
    """A tensor as a float32 array, detached."""
    return value.detach().float().numpy()


def constant(value: Tensor | np.ndarray | float) -> Node:
    """A float32 constant of the graph."""
    return opset13.constant(np.ascontiguousarray(to_array(value) if isinstance(value, Tensor) else value, np.float32))


def integers(*values: int) -> Node:
    """A constant list of whole numbers."""
    return opset13.constant(np.array(values, np.int64))


def layer_latent(ws: Node, layer: int) -> Node:
    """ws (1, num_ws, w_dim) -> the latent of one layer, (1, w_dim)."""
    return opset13.gather(ws, opset13.constant(layer), opset13.constant(1))


def as_image_bytes(image: Node) -> Node:
    """About [-1, 1] -> uint8, as `mixing.to_uint8` does it."""
    scaled = opset13.add(opset13.multiply(image, constant(127.5)), constant(127.5))
    return opset13.convert(opset13.clamp(opset13.round(scaled, "half_to_even"), 0, 255), "u8")
