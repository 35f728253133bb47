"""A writer of ONNX graphs whose weights take a byte each, so that a page can download them.

ONNX is the file format that runtimes of many languages read, ONNX Runtime Web in a browser among them. A graph is a
list of operations, each of which names its inputs and its output. `GraphWriter` invents these names, so that writing a
graph reads like computing.

Weights are stored as whole numbers from -127 to 127 with one scale per row (per output channel of a convolution), and
the graph itself multiplies them again. The runtime does that once, when it loads the graph, and computes in float32. So
the file is a quarter as large, and no operation of lower precision is needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stylemixseg._util.optional import extra

with extra("book", "the network for a page needs onnx"):
    from onnx import ModelProto, TensorProto, checker, helper, numpy_helper

OPSET = 18  # of 2022: every runtime that is in use today reads it
IR_VERSION = 10
LARGEST = 127  # of int8; -128 is left out, so that the numbers are symmetric about zero
STORAGES = ("int8", "float32")


def quantized(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows as int8 and one scale per row.

    Args:
        array: weights (rows, ...) float32.

    Returns:
        (rows, ...) int8 and (rows, 1, ...) float32, whose product is nearest to the array; an error is at most half a
        scale, that is 1/254 of the largest number of the row.

    Example:
        >>> levels, scale = quantized(np.array([[0.0, 0.5, -1.0], [2.0, 4.0, 8.0]], np.float32))
        >>> levels.tolist()
        [[0, 64, -127], [32, 64, 127]]
        >>> (levels * scale).astype(float).round(2).tolist()
        [[0.0, 0.5, -1.0], [2.02, 4.03, 8.0]]
    """
    largest = np.abs(array).max(axis=tuple(range(1, array.ndim)), keepdims=True)
    scale = (np.maximum(largest, np.finfo(np.float32).tiny) / LARGEST).astype(np.float32)
    return np.rint(array / scale).astype(np.int8), scale


class GraphWriter:
    """Collects operations and weights, and gives the model.

    Args:
        storage: how `weights` are kept: "int8", or "float32" for a graph without loss.

    Example:
        >>> write = GraphWriter("float32")
        >>> write.named("y", "Add", "x", "x")
        >>> model = write.model({"x": ("float32", (2,))}, {"y": ("float32", (2,))}, about="twice as much")
        >>> [node.op_type for node in model.graph.node]
        ['Add']
    """

    def __init__(self, storage: str = "int8"):
        if storage not in STORAGES:
            raise ValueError(f"storage must be one of {', '.join(STORAGES)}, got {storage!r}")
        self.storage = storage
        self._nodes: list[Any] = []
        self._stored: list[Any] = []

    def __call__(self, operation: str, *inputs: str, **attributes: Any) -> str:
        """Write one operation with one output, and give the output's name."""
        return self.several(1, operation, *inputs, **attributes)[0]

    def several(self, count: int, operation: str, *inputs: str, **attributes: Any) -> list[str]:
        """Write one operation with `count` outputs, and give their names."""
        outputs = [f"{operation.lower()}{len(self._nodes)}_{number}" for number in range(count)]
        self._nodes.append(helper.make_node(operation, inputs, outputs, **attributes))
        return outputs

    def named(self, output: str, operation: str, *inputs: str, **attributes: Any) -> None:
        """Write one operation whose output is an output of the model, under the name that its users see."""
        self._nodes.append(helper.make_node(operation, inputs, [output], **attributes))

    def constant(self, array: np.ndarray | np.float32) -> str:
        """Store an array or a single number as it is."""
        name = f"stored{len(self._stored)}"
        self._stored.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weights(self, array: np.ndarray) -> str:
        """Store weights (rows, ...) in this writer's storage; what comes out of the graph is float32 again."""
        if self.storage == "float32":
            return self.constant(array)
        levels, scale = quantized(array)
        return self("Mul", self("Cast", self.constant(levels), to=TensorProto.FLOAT), self.constant(scale))

    def halves(self, array: np.ndarray) -> str:
        """Store weights as float16, for those that are few and that int8 would hurt; float32 again in the graph."""
        if self.storage == "float32":
            return self.constant(array)
        return self("Cast", self.constant(array.astype(np.float16)), to=TensorProto.FLOAT)

    def model(
        self,
        inputs: dict[str, tuple[str, tuple[int, ...]]],
        outputs: dict[str, tuple[str, tuple[int, ...]]],
        *,
        about: str,
        notes: dict[str, str] | None = None,
    ) -> ModelProto:
        """The model of what was written, checked by onnx itself.

        Args:
            inputs: name -> (NumPy type, shape).
            outputs: likewise.
            about: a sentence that the file carries.
            notes: more that it carries: source, licence.
        """
        given, wanted = (
            [
                helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), shape)
                for name, (kind, shape) in part.items()
            ]
            for part in (inputs, outputs)
        )
        graph = helper.make_graph(self._nodes, "stylemixseg", given, wanted, initializer=self._stored)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, doc_string=about)
        helper.set_model_props(model, notes or {})
        checker.check_model(model, full_check=True)
        return model
