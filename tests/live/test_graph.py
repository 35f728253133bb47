"""The writer of ONNX graphs: weights in a byte each lose what they may lose, and nothing else is lost."""

from __future__ import annotations

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from stylemixseg.live.graph import GraphWriter, quantized


def test_a_quantized_row_is_off_by_half_a_level_at_most():
    array = np.random.RandomState(0).randn(40, 3, 5).astype(np.float32) * np.logspace(-6, 3, 40)[:, None, None]
    levels, scale = quantized(array.astype(np.float32))
    assert levels.dtype == np.int8 and scale.shape == (40, 1, 1) and scale.dtype == np.float32
    assert np.abs(levels.astype(int)).max(axis=(1, 2)).tolist() == [127] * 40  # each row uses all of its levels
    assert (np.abs(levels * scale - array) <= scale * 0.5001).all()


def test_a_row_of_zeros_stays_zero():
    levels, scale = quantized(np.zeros((2, 3), np.float32))
    assert not levels.any() and np.isfinite(scale).all()


@pytest.mark.parametrize("storage, most", [("int8", 1 / 254), ("float32", 0)])
def test_weights_come_back_in_the_graph(storage, most):
    array = np.random.RandomState(1).randn(6, 4).astype(np.float32)
    write = GraphWriter(storage)
    write.named("y", "Add", "x", write.weights(array))
    model = write.model(
        {"x": ("float32", (6, 4))}, {"y": ("float32", (6, 4))}, about="a sum", notes={"licence": "none"}
    )
    (got,) = ReferenceEvaluator(model).run(None, {"x": np.zeros((6, 4), np.float32)})
    assert (np.abs(got - array) <= most * np.abs(array).max(1, keepdims=True) + 1e-6).all()
    assert model.doc_string == "a sum" and model.metadata_props[0].value == "none"
    stored = {tensor.data_type for tensor in model.graph.initializer}
    assert (3 in stored) == (storage == "int8")  # onnx's number for int8


def test_halves_are_exact_to_eleven_bits():
    array = np.random.RandomState(2).randn(50).astype(np.float32)
    write = GraphWriter()
    write.named("y", "Add", "x", write.halves(array))
    model = write.model({"x": ("float32", (50,))}, {"y": ("float32", (50,))}, about="")
    (got,) = ReferenceEvaluator(model).run(None, {"x": np.zeros(50, np.float32)})
    np.testing.assert_allclose(got, array, rtol=2**-11, atol=2**-24)


def test_unknown_storage():
    with pytest.raises(ValueError, match="storage must be one of int8, float32, got 'int4'"):
        GraphWriter("int4")
