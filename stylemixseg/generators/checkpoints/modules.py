"""Networks that a file holds as objects, as pickle.dump(network) and torch.save(network) write them.

Two kinds are known: classes of NVIDIA's PyTorch code, which pickle as a call of their persistence hook, and the plain
classes of rosinality's code. Both are trees of parts with parameters and buffers; only the saved states are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeGuard

from stylemixseg.generators.checkpoints.checkpoint import CheckpointError, shown
from stylemixseg.generators.checkpoints.restricted import Call
from stylemixseg.generators.checkpoints.tensors import is_call

MAX_MODULES = 500  # a network of 1024 px has 80 in NVIDIA's code, 150 in rosinality's
MAX_TENSORS = 1000  # and 190
MAX_DEPTH = 8  # wrapper, generator, synthesis, block, layer, affine
MAX_NAME = 64


def is_network(value: object) -> TypeGuard[Call]:
    """Whether a value of `parse_pickle` stands for a network of a known class."""
    return is_call(value, "module") or is_call(value, "plain module")


def parts(network: object) -> Iterator[tuple[str, dict]]:
    """(prefix of its names, state) of a network and all its parts.

    Raises:
        CheckpointError: malformed, of other classes, too many parts, nested too deep.
    """
    waiting, seen = [("", network, 0)], 0
    while waiting:
        path, module, depth = waiting.pop()
        state = _state(module)
        if not isinstance(state, dict) or depth > MAX_DEPTH:
            raise CheckpointError(f"{shown(path) or 'G_ema'} is not a network of a known class, or nested too deep")
        yield path, state
        children = items(state, "_modules")
        seen += len(children)
        if seen > MAX_MODULES:  # the file may let a part contain itself
            raise CheckpointError(f"the network has more than {MAX_MODULES} parts")
        waiting += [(f"{path}{name}.", part, depth + 1) for name, part in children if part is not None]


def items(state: dict, kind: str) -> list[tuple[str, object]]:
    """The parameters, buffers or parts in a module's state, by name."""
    found = state.get(kind, {})
    if not isinstance(found, dict) or not all(isinstance(name, str) and len(name) <= MAX_NAME for name in found):
        raise CheckpointError(f"malformed network: {kind} is not a dictionary of names")
    return list(found.items())


def named_tensors(network: object) -> dict[str, object]:
    """All parameters and buffers under the names that they have in a state_dict, unread."""
    tensors: dict[str, object] = {}
    for path, state in parts(network):
        for kind in ("_parameters", "_buffers"):
            for name, value in items(state, kind):
                if len(tensors) > MAX_TENSORS:
                    raise CheckpointError(f"the network has more than {MAX_TENSORS} tensors")
                if value is not None:
                    tensors[f"{path}{name}"] = value
    return tensors


def _state(module: object) -> object:
    if is_call(module, "plain module"):
        return module.state
    meta = module.args[0] if is_call(module, "module") and len(module.args) == 1 else None
    return meta.get("state") if isinstance(meta, dict) else None
