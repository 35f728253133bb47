"""The IR reader: it reads what a converter needs, and every hostile or broken file ends in IRError, soon."""

from __future__ import annotations

import math
import struct
import time
from xml.dom import minidom
from xml.parsers.expat import ExpatError
from xml.sax.saxutils import quoteattr

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylemixseg.generators.openvino import ir as openvino_ir
from stylemixseg.generators.openvino.ir import IRError, read_ir

WEIGHTS = np.arange(6, dtype="<f4").tobytes() + np.array([2, 3], "<i8").tobytes() + b"\x00\x00\x80\x3f"  # 44 B
XML = b"""<?xml version="1.0" ?>
<net name="small" version="10"><layers>
<layer id="0" name="x" type="Parameter"/>
<layer id="1" name="weight" type="Const"><data element_type="f32" shape="2, 3" offset="0" size="24"/></layer>
<layer id="2" name="gemm" type="MatMul"/>
<layer id="3" name="size" type="Const"><data element_type="i64" shape="2" offset="24" size="16"/></layer>
<layer id="4" name="reshape" type="Reshape"/>
<layer id="5" name="one" type="Const"><data element_type="f32" shape="" offset="40" size="4"/></layer>
<layer id="6" name="scale" type="Multiply"/>
<layer id="7" name="text" type="Const"><data element_type="u8" shape="9" offset="0" size="9"/></layer>
</layers><edges>
<edge from-layer="1" from-port="0" to-layer="2" to-port="1"/>
<edge from-layer="0" from-port="0" to-layer="2" to-port="0"/>
<edge from-layer="2" from-port="2" to-layer="4" to-port="0"/>
<edge from-layer="3" from-port="0" to-layer="4" to-port="1"/>
<edge from-layer="4" from-port="2" to-layer="6" to-port="0"/>
<edge from-layer="5" from-port="0" to-layer="6" to-port="1"/>
</edges></net>"""
CONSTANT = '<layer id="0" name="c" type="Const"><data element_type="f32" shape="{}" offset="{}" size="{}"/></layer>'


def net(layers: str = "", edges: str = "", version: str = "10") -> bytes:
    return f'<net version="{version}"><layers>{layers}</layers><edges>{edges}</edges></net>'.encode()


def test_reads_layers_constants_and_edges():
    graph = read_ir(XML, WEIGHTS)
    assert len(graph.layers) == 8
    assert graph.layers[2].inputs == (0, 1)  # by port, not in the order of the file
    assert np.array_equal(graph.constant("weight"), np.arange(6, dtype=np.float32).reshape(2, 3))
    assert graph.constant("size").tolist() == [2, 3] and graph.constant("size").dtype == np.int64
    assert graph.constant("one").shape == () and graph.constant("one") == 1
    gemm = graph.following("weight", "MatMul")
    assert gemm.name == "gemm"
    scale = graph.following(graph.following(gemm, "Reshape"), "Multiply")
    assert graph.constant_input(scale) == 1
    assert not graph.constant("weight").flags.writeable  # a view into the file, not a copy of it


def test_what_is_not_there_is_named():
    graph = read_ir(XML, WEIGHTS)
    for name in ("absent", "gemm", "text"):  # no layer, no constant, a constant of a type that never holds weights
        with pytest.raises(IRError, match=f"no constant named '{name}'"):
            graph.constant(name)
    with pytest.raises(IRError, match="expected one Add after layer 'gemm', found 0"):
        graph.following(graph.layers[2], "Add")
    with pytest.raises(IRError, match="expected one constant input of layer 'x', found 0"):
        graph.constant_input(graph.layers[0])


BOMB = b'<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><net version="10">&b;</net>'


@pytest.mark.parametrize(
    "xml, words",
    [
        (BOMB, "document type"),
        (b'<!DOCTYPE net SYSTEM "file:///etc/hostname"><net version="10"/>', "document type"),
        (BOMB.decode().encode("utf-16"), "NUL"),
        (BOMB.decode().encode("utf-32"), "NUL"),
        (b'<?xml version="1.0" encoding="no-such"?><net version="10"/>', "malformed"),
        (b'<?xml version="1.0" encoding="utf-7"?><net version="10"/>', "malformed"),
        (b'<?xml version="1.0" encoding="idna"?><net version="10"/>', "malformed"),
        (b'<?xml version="1.0" encoding="utf-16"?><net version="10"/>', "malformed"),
        (b"", "malformed"),
        (b"<net version='10'>", "malformed"),
        (b"PK\x03\x04", "malformed"),
        (b"<net version='10'>&b;</net>", "malformed"),
        (b"<html/>", "expected an OpenVINO IR version 10, got <html> version None"),
        (net(version="11"), "got <net> version '11'"),
        (net('<layer id="one" name="c" type="Add"/>'), "<layer> has a malformed id: 'one'"),
        (net('<layer name="c" type="Add"/>'), "<layer> has a malformed id"),
        (net('<layer id="1" type="Add"/><layer id="1" type="Add"/>'), "two layers share one id"),
        (net('<layer id="1"/>', '<edge from-layer="1" to-layer="2" to-port="0"/>'), "an edge joins layers 1 and 2"),
        (net('<layer id="1"/>', '<edge from-layer="1" to-layer="1"/>'), "<edge> has a malformed to-port"),
        (net('<layer id="0" name="c" type="Const"/>'), "constant 'c' has no data"),
    ],
)
def test_broken_and_hostile_xml(xml, words):
    with pytest.raises(IRError, match=words):
        read_ir(xml, WEIGHTS)


@pytest.mark.parametrize(
    "shape, offset, size, words",
    [
        ("1", 44, 4, "lies outside"),
        ("1", 41, 4, "lies outside"),
        ("1", -4, 4, "lies outside"),
        ("1", 0, -4, "lies outside"),
        ("1", 2**64, 4, "lies outside"),
        ("1", 2**63 - 4, 8, "lies outside"),
        (str(2**62), 0, 2**64, "impossible shape"),
        ("65536,65536", 0, 4, "impossible shape"),
        ("0,99999999999999999999", 0, 0, "impossible shape"),
        ("0,1000000000,1000000000,1000000000", 0, 0, "impossible shape"),
        (",".join("1" * 70), 0, 4, "impossible shape"),
        ("-1,-1", 0, 4, "impossible shape"),
        ("2", 0, 4, r"shape \(2,\) does not fit 4 B"),
        ("2,3", 0, 20, "does not fit"),
        ("", 0, 8, r"shape \(\) does not fit 8 B"),
        ("two", 0, 4, "malformed shape 'two'"),
        ("1.0", 0, 4, "malformed shape"),
        ("9" * 5000, 0, 4, "malformed shape"),
        ("1", "x", 4, "<data> has a malformed offset: 'x'"),
        ("1", 0, "", "<data> has a malformed size"),
    ],
)
def test_constants_stay_inside_the_binary(shape, offset, size, words):
    with pytest.raises(IRError, match=words) as caught:
        read_ir(net(CONSTANT.format(shape, offset, size)), WEIGHTS)
    assert len(str(caught.value)) < 300  # an attacker's megabyte does not fill the reader's screen


def test_sizes_are_bounded(monkeypatch):
    monkeypatch.setattr(openvino_ir, "MAX_XML_BYTES", len(XML))
    monkeypatch.setattr(openvino_ir, "MAX_BIN_BYTES", len(WEIGHTS))
    read_ir(XML, WEIGHTS)
    with pytest.raises(IRError, match="network too large"):
        read_ir(XML + b" ", WEIGHTS)
    with pytest.raises(IRError, match="network too large"):
        read_ir(XML, WEIGHTS + b" ")
    monkeypatch.setattr(openvino_ir, "MAX_LAYERS", 7)
    with pytest.raises(IRError, match="network too large: 8 layers"):
        read_ir(XML, WEIGHTS)


@pytest.mark.parametrize(
    "filling", [b"<a>" * 1_000_000, b"<a/>" * 2_000_000, b"x" * 8_000_000], ids=["deep", "wide", "text"]
)
def test_the_largest_file_ends_soon(filling):
    started = time.process_time()  # not wall time: other programs may take the machine
    closing = b"</a>" * filling.count(b"<a>")
    assert read_ir(b'<net version="10">' + filling + closing + b"</net>", b"").layers == {}
    assert time.process_time() - started < 30  # 1.5 s on a slow core, 12 on one that others keep busy


# ---------------------------------------------------------------------------------------------------------------------
# Made and changed at random. What must come out is known beforehand: of networks that are made here, from what they
# were made of; of changed files, from a second reader, written with other means (minidom, struct).

Network = tuple[dict, dict]  # id -> (name, type, inputs by port); id -> (NumPy type, shape, bytes) of the constants


def as_read(xml: bytes, weights: bytes) -> Network | None:
    """What `read_ir` reads; None: it refuses the file."""
    try:
        graph = read_ir(xml, weights)
    except IRError:
        return None
    layers = {id: (layer.name, layer.type, layer.inputs) for id, layer in graph.layers.items()}
    assert all(layer.id == id for id, layer in graph.layers.items())
    return layers, {id: (array.dtype.str, array.shape, array.tobytes()) for id, array in graph.constants.items()}


FORMATS = {"f32": ("<f4", "f", 4), "i32": ("<i4", "i", 4), "i64": ("<i8", "q", 8)}


def constant_by_hand(get, weights: bytes) -> tuple[str, tuple, bytes] | None:
    """What the attributes of a <data> of a known type stand for, read number by number.

    Raises:
        ValueError: they must be refused.
    """
    kind, letter, size = FORMATS[get("element_type")]
    begin, length = int(get("offset")), int(get("size"))
    shape = [int(part) for part in get("shape").split(",") if part.strip()]
    count = 1
    for side in shape:
        count *= side
    bounded = len(shape) <= 8 and min(shape, default=0) >= 0 and math.prod(side or 1 for side in shape) <= 256 << 20
    if not bounded or begin < 0 or length < 0 or begin + length > len(weights) or length != count * size:
        raise ValueError("a constant that does not fit")
    numbers = struct.unpack_from(f"<{count}{letter}", weights, begin)
    return kind, tuple(shape), struct.pack(f"<{count}{letter}", *numbers)


def second_reading(xml: bytes, weights: bytes) -> Network | None:
    """What must be read; None: the file must be refused."""
    if b"<!DOCTYPE" in xml or b"<!ENTITY" in xml or b"\0" in xml:
        return None
    try:
        root = minidom.parseString(xml).documentElement
        if root.tagName != "net" or root.getAttribute("version") != "10":
            return None
        nodes = [node for part in children(root, "layers") for node in children(part, "layer")]
        edges = [node for part in children(root, "edges") for node in children(part, "edge")]
        layers = {int(node.getAttribute("id")): node for node in nodes}
        if len(layers) != len(nodes):
            return None
        ports: dict[int, dict[int, int]] = {id: {} for id in layers}
        for edge in edges:
            source, target, port = (int(edge.getAttribute(name)) for name in ("from-layer", "to-layer", "to-port"))
            if source not in layers:
                return None
            ports[target][port] = source
        constants = {}
        for id, node in layers.items():
            if node.getAttribute("type") == "Const":
                data = children(node, "data")[0]
                if data.getAttribute("element_type") in FORMATS:
                    constants[id] = constant_by_hand(data.getAttribute, weights)
    except (ExpatError, LookupError, ValueError):
        return None
    inputs = {id: tuple(by_port[port] for port in sorted(by_port)) for id, by_port in ports.items()}
    return {
        id: (node.getAttribute("name"), node.getAttribute("type"), inputs[id]) for id, node in layers.items()
    }, constants


def children(node, tag: str) -> list:
    return [child for child in node.childNodes if getattr(child, "tagName", None) == tag]


ORIGINAL = as_read(XML, WEIGHTS)


def test_the_second_reader_reads():
    assert second_reading(XML, WEIGHTS) == ORIGINAL is not None
    assert ORIGINAL[0][2] == ("gemm", "MatMul", (0, 1))
    assert ORIGINAL[1][1] == ("<f4", (2, 3), WEIGHTS[:24]) and sorted(ORIGINAL[1]) == [1, 3, 5]
    assert second_reading(XML, WEIGHTS[:-1]) is None and second_reading(XML[:-1], WEIGHTS) is None


# Names, types and sizes of a small network that is made up.
NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=5)
CONSTANTS = st.tuples(st.sampled_from(sorted(FORMATS)), st.lists(st.integers(0, 3), max_size=4), st.integers(0, 9))
LAYERS = st.lists(
    st.tuples(st.integers(0, 10**6), NAMES, NAMES.filter(lambda kind: kind != "Const") | CONSTANTS),
    max_size=6,
    unique_by=lambda layer: layer[0],
)


@st.composite
def networks(draw) -> tuple[str, list[str], list[str], bytes, Network]:
    """(beginning, layers, edges, weights, what must be read): a valid file in pieces."""
    layers = draw(LAYERS)
    weights, written, named, constants = b"", [], {}, {}
    for id, name, kind in layers:
        inner = ""
        if not isinstance(kind, str):
            (element_type, shape, gap), kind = kind, "Const"
            dtype, _, size = FORMATS[element_type]
            numbers = draw(st.binary(min_size=math.prod(shape) * size, max_size=math.prod(shape) * size))
            weights += bytes(gap)
            data = {
                "element_type": element_type,
                "shape": ",".join(map(str, shape)),
                "offset": len(weights),
                "size": len(numbers),
            }
            inner = f"<data {attributes(draw(st.permutations(sorted(data.items()))))}/>"
            weights += numbers
            constants[id] = dtype, tuple(shape), numbers
        pairs = draw(st.permutations([("id", id), ("name", name), ("type", kind), ("other", "1")]))
        written.append(f"<layer {attributes(pairs)}><output/>{inner}</layer>")
        named[id] = name, kind
    ids = sorted(named)
    wires = (
        draw(
            st.lists(
                st.tuples(st.sampled_from(ids), st.sampled_from(ids), st.integers(0, 5)),
                max_size=8,
                unique_by=lambda wire: wire[1:],
            )
        )
        if ids
        else []
    )
    edges = [
        f"<edge {attributes([('from-layer', source), ('to-layer', target), ('to-port', port), ('from-port', 3)])}/>"
        for source, target, port in wires
    ]
    wires = sorted(wires, key=lambda wire: wire[2])
    inputs = {id: tuple(source for source, target, _ in wires if target == id) for id in ids}
    beginning = draw(st.sampled_from(['<?xml version="1.0"?>', "", "<!-- made up -->"]))
    return beginning, written, edges, weights, ({id: (*named[id], inputs[id]) for id in ids}, constants)


def attributes(pairs) -> str:
    return " ".join(f"{key}={quoteattr(str(value))}" for key, value in pairs)


def put_together(beginning: str, layers: list[str], edges: list[str], version: str = "10") -> bytes:
    middle = f"<layers>{''.join(layers)}</layers>\n<edges>{''.join(edges)}</edges><meta_data/>"
    return f'{beginning}<net version="{version}" name="made">{middle}</net>'.encode()


@settings(max_examples=200, deadline=None)
@given(networks(), st.data())
def test_fuzz_networks_that_are_made_up(network, data):
    """Any valid file gives just the network that it was made of, also with its layers and edges in another order."""
    beginning, layers, edges, weights, wanted = network
    assert as_read(put_together(beginning, layers, edges), weights) == wanted
    layers, edges = data.draw(st.permutations(layers)), data.draw(st.permutations(edges))
    assert as_read(put_together(beginning, layers, edges), weights + b"more") == wanted


FAULTS = {
    "version": lambda b, la, e, w: (put_together(b, la, e, "11"), w),
    "an id twice": lambda b, la, e, w: (put_together(b, [*la, la[0]], e), w),
    "an id of letters": lambda b, la, e, w: (put_together(b, [*la, '<layer id="a"/>'], e), w),
    "an edge from nowhere": lambda b, la, e, w: (
        put_together(b, la, [*e, '<edge from-layer="-1" to-layer="0" to-port="0"/>']), w),
    "the end is missing": lambda b, la, e, w: (put_together(b, la, e)[:-1], w),
    "no data": lambda b, la, e, w: (put_together(b, [*la, '<layer id="-1" type="Const"/>'], e), w),
    "a document type": lambda b, la, e, w: (b"<!DOCTYPE net>" + put_together("", la, e), w),
    "weights are cut": lambda b, la, e, w: (
        put_together(b, [*la, f'<layer id="-1" type="Const"><data element_type="f32" shape="1" offset="{len(w)}" '
                              'size="4"/></layer>'], e), w + bytes(3)),
    "a size that is not the shape's": lambda b, la, e, w: (
        put_together(b, [*la, '<layer id="-1" type="Const"><data element_type="i64" shape="2" offset="0" size="8"/>'
                              "</layer>"], e), w + bytes(16)),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
@settings(max_examples=20, deadline=None)
@given(network=networks().filter(lambda network: network[1]))
def test_fuzz_one_fault_in_a_network_that_is_made_up(fault, network):
    assert as_read(*FAULTS[fault](*network[:4])) is None


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(WEIGHTS) - 1), st.integers(0, 7))
def test_fuzz_flipped_bits_of_the_weights(place, bit):
    """That byte of that constant is another, and nothing else."""
    weights = bytearray(WEIGHTS)
    weights[place] ^= 1 << bit
    layers, constants = as_read(XML, bytes(weights))
    assert layers == ORIGINAL[0]
    places = (1, 0, 24), (3, 24, 40), (5, 40, 44)
    owner, begin = next((id, begin) for id, begin, end in places if begin <= place < end)
    for id, (kind, shape, numbers) in constants.items():
        wanted = bytearray(ORIGINAL[1][id][2])
        if id == owner:
            wanted[place - begin] ^= 1 << bit
        assert (kind, shape, numbers) == (*ORIGINAL[1][id][:2], bytes(wanted))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(WEIGHTS) - 1), st.integers(0, len(XML) - 1), st.binary(max_size=9))
def test_fuzz_cut_files_are_refused(kept_weights, kept_xml, more):
    assert as_read(XML, WEIGHTS[:kept_weights]) is None
    assert as_read(XML[:kept_xml], WEIGHTS) is None
    assert as_read(XML, WEIGHTS + more) == ORIGINAL


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(XML) - 1), st.integers(0, 7)), min_size=1, max_size=6))
def test_fuzz_flipped_bits(flips):
    xml = bytearray(XML)
    for place, bit in flips:
        xml[place] ^= 1 << bit
    assert as_read(bytes(xml), WEIGHTS) == second_reading(bytes(xml), WEIGHTS)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(XML)), st.integers(0, len(XML)), st.binary(max_size=12))
def test_fuzz_cut_and_spliced(start, stop, inserted):
    xml = XML[:start] + inserted + XML[stop:]
    assert as_read(xml, WEIGHTS) == second_reading(xml, WEIGHTS)


NUMBERS = st.one_of(st.integers(-(2**70), 2**70), st.integers(-4, 50), st.text(max_size=6)).map(str)
SMALL = st.integers(0, 4).map(str)  # that often fit


@settings(max_examples=300, deadline=None)
@given(
    st.lists(NUMBERS, max_size=10) | st.lists(SMALL, max_size=3),
    NUMBERS | SMALL,
    NUMBERS | SMALL,
    st.sampled_from([*FORMATS, "u1", ""]),
    st.booleans(),
)
def test_fuzz_constants(sides, offset, size, element_type, right_size):
    """A constant is the bytes that its attributes name, or the file is refused; other types hold no weights."""
    if right_size and all(side.isdecimal() and len(side) < 3 for side in sides):
        size = str(math.prod(map(int, sides)) * (8 if element_type == "i64" else 4))
    values = {"element_type": element_type, "shape": ",".join(sides), "offset": offset, "size": size}
    layer = f'<layer id="0" name="c" type="Const"><data {attributes(values.items())}/></layer>'
    xml = f'<net version="10"><layers>{layer}</layers></net>'.encode("utf-8", "surrogatepass")
    assert as_read(xml, WEIGHTS) == second_reading(xml, WEIGHTS)
