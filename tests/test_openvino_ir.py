"""The IR reader: it reads what a converter needs, and every hostile or broken file ends in IRError, soon."""

from __future__ import annotations

import time
from xml.sax.saxutils import quoteattr

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylemixseg.generators import openvino_ir
from stylemixseg.generators.openvino_ir import IRError, read_ir

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
    assert time.process_time() - started < 10  # 1.5 s on a slow core


def must_be_an_ir_or_an_error(xml: bytes, weights: bytes) -> None:
    try:
        graph = read_ir(xml, weights)
    except IRError:
        return
    for array in graph.constants.values():
        array.sum()  # every element can be read


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(XML) - 1), st.integers(0, 7)), max_size=6), st.integers(0, len(WEIGHTS)))
def test_fuzz_flipped_bits(flips, kept):
    xml = bytearray(XML)
    for place, bit in flips:
        xml[place] ^= 1 << bit
    must_be_an_ir_or_an_error(bytes(xml), WEIGHTS[:kept])


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(XML)), st.integers(0, len(XML)), st.binary(max_size=12))
def test_fuzz_cut_and_spliced(start, stop, inserted):
    must_be_an_ir_or_an_error(XML[:start] + inserted + XML[stop:], WEIGHTS)


NUMBERS = st.one_of(st.integers(-(2**70), 2**70), st.integers(-4, 50), st.text(max_size=6)).map(str)


@settings(max_examples=300, deadline=None)
@given(st.lists(NUMBERS, max_size=10), NUMBERS, NUMBERS, st.sampled_from(["f32", "i32", "i64", "u1", ""]))
def test_fuzz_constants(sides, offset, size, element_type):
    values = {"element_type": element_type, "shape": ",".join(sides), "offset": offset, "size": size}
    attributes = " ".join(f"{name}={quoteattr(value)}" for name, value in values.items())
    xml = f'<net version="10"><layers><layer id="0" name="c" type="Const"><data {attributes}/></layer></layers></net>'
    must_be_an_ir_or_an_error(xml.encode("utf-8", "surrogatepass"), WEIGHTS)
