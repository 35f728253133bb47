"""Tensors and arrays of a pickle as NumPy views into the file: nothing is copied, every bound is checked."""

from __future__ import annotations

from math import prod
from typing import Literal, TypeGuard

import numpy as np

from stylemixseg.generators.checkpoints.checkpoint import CheckpointError, shown
from stylemixseg.generators.checkpoints.restricted import Call, PersistentId
from stylemixseg.generators.checkpoints.storages import Storage, TorchFile, read_nested_storage

MAX_DIMS = 8
NUMBERS = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}


def is_call(value: object, role: str) -> TypeGuard[Call]:
    """Whether a value of `parse_pickle` is a call that stands for `role`."""
    return isinstance(value, Call) and value.function.role == role


def tensor_view(value: object, file: TorchFile | None = None) -> np.ndarray:
    """A torch tensor or parameter as a read-only array of its shape; bfloat16 as `storages.BFLOAT16`.

    Args:
        value: of `parse_pickle`, the call that builds the tensor.
        file: where its storage is; None: inside the pickle itself, as in NVIDIA's files.

    Raises:
        CheckpointError: not a tensor, or one that reaches outside its storage.
    """
    if is_call(value, "parameter") and value.args:
        value = value.args[0]
    if not is_call(value, "tensor") or len(value.args) < 4:
        raise CheckpointError(f"expected a tensor, got {type(value).__name__}")
    storage = _storage(value.args[0], file)
    offset, shape, strides = value.args[1], _shape(value.args[2]), _numbers(value.args[3])
    count = len(storage.data) // storage.dtype.itemsize
    if type(offset) is not int or not 0 <= offset <= count or len(shape) != len(strides):
        raise CheckpointError(f"a tensor of shape {shape} with offset {shown(offset)} and strides {strides}")
    # No tensor of a network has more elements than its storage; by repeating them a small file could fill the memory.
    reach = offset + sum((side - 1) * stride for side, stride in zip(shape, strides)) + 1
    if prod(shape) > count - offset or reach > count:
        raise CheckpointError(f"a tensor of shape {shape} reaches outside its storage of {count} elements")
    size = storage.dtype.itemsize
    return np.ndarray(shape, storage.dtype, storage.data, offset * size, [stride * size for stride in strides])


def array_view(value: object) -> np.ndarray:
    """A pickled NumPy array of numbers as a read-only array.

    Raises:
        CheckpointError: not an array, of objects, or of a size that does not match its shape.
    """
    if is_call(value, "array") and isinstance(value.state, tuple) and len(value.state) == 5:
        _, sides, kind, fortran, contents = value.state
        order: Literal["C", "F"] = "F" if fortran is True else "C"
    elif is_call(value, "array from buffer") and len(value.args) == 4:
        contents, kind, sides, stated = value.args
        order = "F" if isinstance(stated, str) and stated == "F" else "C"
    else:
        raise CheckpointError(f"expected a NumPy array, got {type(value).__name__}")
    shape, dtype, data = _shape(sides), _dtype(kind), _bytes(contents)
    if prod(shape) * dtype.itemsize != len(data):
        raise CheckpointError(f"an array of shape {shape} and type {dtype} does not fit {len(data)} bytes")
    return np.ndarray(shape, dtype, data, order=order)


def numbers_view(value: object, file: TorchFile | None = None) -> np.ndarray:
    """A torch tensor or a NumPy array as a read-only array, whichever it is; arguments and errors as theirs."""
    if is_call(value, "array") or is_call(value, "array from buffer"):
        return array_view(value)
    return tensor_view(value, file)


def number(value: object) -> object:
    """A NumPy scalar as a Python number; any other value as it is."""
    if not is_call(value, "scalar"):
        return value
    if len(value.args) != 2:
        raise CheckpointError("malformed NumPy scalar")
    dtype, data = _dtype(value.args[0]), _bytes(value.args[1])
    if len(data) != dtype.itemsize:
        raise CheckpointError(f"a NumPy scalar of type {dtype} does not fit {len(data)} bytes")
    return np.frombuffer(data, dtype)[0].item()


def _storage(value: object, file: TorchFile | None) -> Storage:
    if file is None and is_call(value, "storage") and len(value.args) == 1:
        return read_nested_storage(_bytes(value.args[0]))
    if file is not None and isinstance(value, PersistentId):
        return file.storage(value)
    raise CheckpointError(f"a tensor's storage is {type(value).__name__}")


def _shape(value: object) -> tuple[int, ...]:
    if is_call(value, "torch value") and value.function.name == "Size" and len(value.args) == 1:
        value = value.args[0]
    shape = _numbers(value)
    if 0 in shape:
        raise CheckpointError(f"a weight without elements, of shape {shape}")
    return shape


def _numbers(value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple) or len(value) > MAX_DIMS:
        raise CheckpointError(f"a shape must be a tuple of up to {MAX_DIMS} numbers")
    if not all(type(side) is int and 0 <= side < 2**62 for side in value):
        raise CheckpointError("a shape or stride holds something other than numbers from 0 to 2**62")
    return value


def _dtype(value: object) -> np.dtype:
    if not is_call(value, "dtype") or not value.args or not isinstance(value.args[0], str):
        raise CheckpointError("an array without a type")
    code, order = value.args[0], "<"
    if isinstance(value.state, tuple) and len(value.state) > 1 and isinstance(value.state[1], str):
        order = value.state[1]
    if code not in NUMBERS or order not in ("<", ">", "|", "="):
        raise CheckpointError("an array of something other than numbers")
    return np.dtype(("=" if order == "|" else order) + code)


def _bytes(value: object) -> memoryview:
    if not isinstance(value, memoryview):
        raise CheckpointError(f"expected bytes, got {type(value).__name__}")
    return value
