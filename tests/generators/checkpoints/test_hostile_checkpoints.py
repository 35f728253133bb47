"""Hostile, broken and mistaken checkpoints: each ends in CheckpointError, runs nothing, and takes little memory.

Payloads would leave a file, the canary: through the shell, or by importing the module `hostile_module`, which stands
on the import path for the time of the test.
"""

from __future__ import annotations

import base64
import io
import json
import pickle
import pickletools
import re
import struct
import subprocess
import sys
import textwrap
import tracemalloc
import zipfile
from pathlib import Path

import checkpoint_files as files
import numpy as np
import pytest
import second_reader
import torch
from checkpoint_files import (
    Watch,
    array,
    call,
    dictionary,
    integer,
    items,
    name,
    numpy_type,
    pickled,
    raw,
    stack_name,
    storage_id,
    tensor,
    text,
    torch_legacy,
    torch_zip,
)

from stylemixseg.generators import checkpoints
from stylemixseg.generators.checkpoints import CheckpointError, read_checkpoint, restricted
from stylemixseg.generators.stylegan2.architecture import Architecture

WEIGHTS = files.random_weights()
OTHER = torch.zeros(3, 3)


def shell(canary: Path) -> bytes:
    return text(f"touch {canary}")


def python(canary: Path) -> bytes:
    return text(f"open({str(canary)!r}, 'w').close()")


def system(canary: Path) -> bytes:
    return call(name("os", "system"), shell(canary))


def snapshot(generator: bytes) -> bytes:
    return pickled(dictionary(G_ema=generator))


def module(**state: bytes) -> bytes:
    return call(
        name("torch_utils.persistence", "_reconstruct_persistent_obj"),
        dictionary(type=text("class"), version=b"K\x06", module_src=text(""), state=dictionary(**state)),
    )


def nested(storage: bytes) -> bytes:
    """A snapshot whose generator has one parameter, with these bytes as its storage."""
    inner = call(name("torch.storage", "_load_from_bytes"), raw(storage))
    return snapshot(module(_parameters=dictionary(weight=tensor(inner, 0, (2,), (1,)))))


def rosinality(value: bytes, storages: dict[str, bytes] | None = None) -> bytes:
    """A zip of torch.save whose generator has one tensor."""
    generator = dictionary(**{"input.input": value})
    return torch_zip(pickled(dictionary(g_ema=generator)), storages or {"0": bytes(16)})


def tensorflow(value: bytes, *, settings: bytes = b"}") -> bytes:
    """(G, D, Gs) whose Gs has one variable."""

    def network(variables: bytes, components: bytes, static: bytes = b"}") -> bytes:
        state = dictionary(version=b"K\x04", static_kwargs=static, components=components, variables=variables)
        return name("dnnlib.tflib.network", "Network") + b")\x81" + state + b"b"

    part = network(b"]", b"}")
    variables = b"](" + items(text("dlatent_avg"), value) + b"e"
    return pickled(items(b"N", b"N", network(variables, dictionary(mapping=part, synthesis=part), settings)))


def zip_bytes(members: dict[str, bytes], compression: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return buffer.getvalue()


def safetensors(header: object, numbers: bytes = b"") -> bytes:
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(data)) + data + numbers


def ours(**changes: str) -> dict:
    """The metadata of a file of ours."""
    architecture = {"z_dim": 5, "w_dim": 6, "mapping_layers": 2, "channels": [5, 4, 3], "conv_clamp": 256.0}
    metadata = {"format": "stylemixseg-stylegan2", "version": "1", "architecture": json.dumps(architecture)}
    return metadata | {"source_format": "rosinality", "source_sha256": "0" * 64, "notes": "[]"} | changes


# ---------------------------------------------------------------------------------------------------------------------
# code: what would run something; each maps the canary's path to the bytes of a file

CODE = {
    "os.system": lambda c: pickled(system(c)),
    "posix.system": lambda c: pickled(call(name("posix", "system"), shell(c))),
    "nt.system": lambda c: pickled(call(name("nt", "system"), shell(c))),
    "eval": lambda c: pickled(call(name("builtins", "eval"), python(c))),
    "exec": lambda c: pickled(call(name("builtins", "exec"), python(c))),
    "eval of Python 2": lambda c: pickled(call(name("__builtin__", "eval"), python(c)), protocol=2),
    "compile": lambda c: pickled(call(name("builtins", "compile"), python(c), text("x"), text("exec"))),
    "open": lambda c: pickled(call(name("builtins", "open"), text(str(c)), text("w"))),
    "__import__": lambda c: pickled(call(name("builtins", "__import__"), text("hostile_module"))),
    "getattr chain": lambda c: pickled(
        call(
            call(
                name("builtins", "getattr"),
                call(name("builtins", "__import__"), text("os")),
                text("system"),
            ),
            shell(c),
        )
    ),
    "operator.attrgetter": lambda c: pickled(call(name("operator", "attrgetter"), text("system"))),
    "functools.partial": lambda c: pickled(call(name("functools", "partial"), name("os", "system"), shell(c))),
    "types.CodeType": lambda c: pickled(call(name("types", "CodeType"))),
    "subprocess": lambda c: pickled(
        call(stack_name(text("subprocess"), text("check_call")), b"](" + text("touch") + text(str(c)) + b"e")
    ),
    "an import alone": lambda c: pickled(name("hostile_module", "anything")),
    "an import, new instruction": lambda c: pickled(stack_name(text("hostile_module"), text("anything"))),
    "module alias": lambda c: pickled(call(name("torch.storage.os", "system"), shell(c))),
    "submodule of an allowed module": lambda c: pickled(call(name("torch._utils.hostile_module", "x"))),
    "dotted name": lambda c: pickled(call(stack_name(text("torch.storage"), text("os.system")), shell(c))),
    "attribute of an allowed name": lambda c: pickled(
        stack_name(text("torch.storage"), text("_load_from_bytes.__globals__"))
    ),
    "constructor of an allowed name": lambda c: pickled(name("collections", "OrderedDict.__init__")),
    "split between module and name": lambda c: pickled(name("torch", "storage._load_from_bytes")),
    "torch.load": lambda c: pickled(call(name("torch", "load"), text(str(c)))),
    "numpy.load": lambda c: pickled(call(name("numpy", "load"), text(str(c)), b"N", b"\x88")),
    "pickle.loads": lambda c: pickled(call(name("pickle", "loads"), raw(pickled(system(c))))),
    "marshal.loads": lambda c: pickled(call(name("marshal", "loads"), raw(b"N"))),
    "codecs.decode": lambda c: pickled(call(name("_codecs", "decode"), raw(b"x"), text("hex"))),
    "an encoding as a name": lambda c: pickled(call(name("_codecs", "encode"), text("x"), text("hostile_module"))),
    "name with NUL": lambda c: pickled(stack_name(text("os\0"), text("system"))),
    "name with a line break": lambda c: pickled(stack_name(text("os\n"), text("system"))),
    "name with a space": lambda c: pickled(name(" os", "system")),
    "look-alike letters": lambda c: pickled(stack_name(text("\u043es"), text("system"))),
    "surrogate in a name": lambda c: pickled(stack_name(text("os\udc80"), text("system"))),
    "number as module": lambda c: pickled(stack_name(integer(1), text("system"))),
    "tuple as module": lambda c: pickled(stack_name(items(text("os")), text("system"))),
    "bytes as name": lambda c: pickled(stack_name(text("os"), raw(b"system"))),
    "list as name": lambda c: pickled(stack_name(text("os"), b"]")),
    "empty name": lambda c: pickled(stack_name(text(""), text(""))),
    "very long name": lambda c: pickled(stack_name(text("os" * 10_000), text("system"))),
    "text called": lambda c: pickled(call(text("eval"), python(c))),
    "dictionary called": lambda c: pickled(call(b"}", python(c))),
    "result called": lambda c: pickled(call(call(name("numpy", "dtype"), text("f4")), python(c))),
    "call with a list": lambda c: pickled(name("collections", "OrderedDict") + b"]R"),
    "allowed name, absurd arguments": lambda c: pickled(call(name("collections", "OrderedDict"), text("x"))),
    "name put in the memo, then replaced": lambda c: pickled(
        name("collections", "OrderedDict") + b"q\x00" + name("os", "system") + b"q\x00h\x00" + items(shell(c)) + b"R"
    ),
    "memo that is empty": lambda c: pickled(b"h\x05" + items(shell(c)) + b"R"),
    "state of a name": lambda c: pickled(name("collections", "OrderedDict") + dictionary(get=b"N") + b"b"),
    "state of text": lambda c: pickled(text("x") + dictionary(a=b"N") + b"b"),
    "state of a dictionary that is none": lambda c: pickled(b"}" + items(b"N", dictionary(get=b"N")) + b"b"),
    "state twice": lambda c: pickled(numpy_type("f4") + items(integer(3)) + b"b"),
    "state of a tensor": lambda c: pickled(
        call(name("torch._utils", "_rebuild_parameter"), b"N") + dictionary(__setstate__=b"N") + b"b"
    ),
    "__class__ in a state": lambda c: pickled(
        name("dnnlib.tflib.network", "Network") + b")\x81" + dictionary(__class__=name("os", "system")) + b"b"
    ),
    "INST": lambda c: pickled(b"(" + shell(c) + b"ios\nsystem\n"),
    "OBJ": lambda c: pickled(b"(" + name("os", "system") + shell(c) + b"o"),
    "NEWOBJ_EX": lambda c: pickled(name("collections", "OrderedDict") + b")}\x92"),
    "EXT1": lambda c: pickled(b"\x82\x01"),
    "EXT4": lambda c: pickled(b"\x84\x01\x00\x00\x00"),
    "PERSID": lambda c: pickled(b"Pos.system\n"),
    "BINPERSID in a plain pickle": lambda c: pickled(storage_id("0", 1)),
    "NEXT_BUFFER": lambda c: pickled(b"\x97", protocol=5),
    "protocol 0": lambda c: b"cos\nsystem\n(S'touch " + str(c).encode() + b"'\ntR.",
    "protocol 0 inside": lambda c: pickled(b"S'x'\n"),
    "payload after a good pickle's middle": lambda c: files.nvidia_torch_bytes(WEIGHTS)[:-1] + system(c) + b".",
    "in a state dictionary": lambda c: rosinality(system(c)),
    "beside the generator": lambda c: torch_zip(pickled(dictionary(g_ema=b"}", args=system(c)))),
    "persistent id of a call": lambda c: torch_zip(pickled(system(c) + b"Q")),
    "persistent id that is no tuple": lambda c: rosinality(tensor(text("0") + b"Q", 0, (2,), (1,))),
    "persistent id with another type": lambda c: rosinality(
        tensor(
            items(text("storage"), name("collections", "OrderedDict"), text("0"), text("cpu"), integer(4)) + b"Q",
            0,
            (2,),
            (1,),
        )
    ),
    "persistent id outside the archive": lambda c: rosinality(
        tensor(storage_id("../../etc/hostname", 2), 0, (2,), (1,))
    ),
    "pickle in a storage": lambda c: nested(pickled(system(c), protocol=2)),
    "pickle in a storage, after the magic number": lambda c: nested(torch_legacy(pickled(system(c)))),
    "pickle in a storage, as machine": lambda c: nested(torch_legacy(b"", pickled(system(c)))),
    "pickle in a storage, as value": lambda c: nested(torch_legacy(b"", b"", pickled(system(c)))),
    "pickle in a storage, as keys": lambda c: nested(torch_legacy(b"", b"", b"", pickled(system(c)))),
    "zip in a storage": lambda c: nested(torch_zip(pickled(system(c)))),
    "storage in a storage": lambda c: nested(
        torch_legacy(b"", b"", pickled(call(name("torch.storage", "_load_from_bytes"), raw(pickled(system(c))))))
    ),
    "old form, as value": lambda c: torch_legacy(b"", b"", pickled(system(c))),
    "TorchScript": lambda c: torch_zip(pickled(name("__torch__", "Generator"))),
    "source as a dictionary key": lambda c: pickled(b"}" + system(c) + b"Ns"),
}

# ---------------------------------------------------------------------------------------------------------------------
# size: what would take memory or time

FILES_IN_ZIP = [f"archive/data/{i}" for i in range(50_000)]


def deep(count: int) -> bytes:
    return b"]" + b"\x85" * count


def laughs() -> bytes:
    """A tuple of ten times the same tuple, sixty times over."""
    return b")" + b"".join(b"q\x000(" + b"h\x00" * 10 + b"t" for _ in range(60))


def part_of_itself() -> bytes:
    """A module whose parts are itself."""
    state = b"}\x94" + text("_modules") + dictionary(a=b"N") + b"s"
    memo = b"}q\x01(" + text("type") + text("class") + text("state") + state + b"u"
    made = name("torch_utils.persistence", "_reconstruct_persistent_obj") + b"h\x01\x85Rq\x02"
    again = b"h\x01(" + text("state") + dictionary(_modules=dictionary(a=b"h\x02", b=b"h\x02")) + b"u0"
    return snapshot(memo + b"0" + made + again)


def nested_modules(count: int) -> bytes:
    """A module in a module in a module, and so on."""
    again = dictionary(state=dictionary(_modules=dictionary(a=b"h\x00")))
    hook = name("torch_utils.persistence", "_reconstruct_persistent_obj") + b"q\x010"
    return pickled(hook + b"N" + (b"q\x000h\x01" + again + b"\x85R") * count + b"q\x000" + dictionary(G_ema=b"h\x00"))


def shared_parts() -> bytes:
    """Five levels of modules, each with 100 times the same part."""
    made = module(_modules=b"}")
    for _ in range(5):
        made = made + b"q\x000" + module(_modules=dictionary(**{f"p{i}": b"h\x00" for i in range(100)}))
    return pickled(made + b"q\x000" + dictionary(G_ema=b"h\x00"))


def old_storage(count: int) -> bytes:
    """A snapshot with a storage in the old form that claims a size."""
    keys = pickled(b"]" + text("0") + b"a")
    return nested(torch_legacy(b"", b"", pickled(storage_id("0", 1)), keys, storages=struct.pack("<q", count)))


def overlapping() -> bytes:
    """A hundred members of one name length whose entries all lead to the same bytes."""
    data = torch_zip(pickled(b"}"), {f"{i:03d}": bytes(1000) for i in range(100)})
    size, start = struct.unpack("<2L", data[-10:-2])
    places = [m.start() for m in re.finditer(b"PK\1\2", data[start : start + size])]
    entries = [data[start + a : start + b] for a, b in zip(places, [*places[1:], size])]
    entries = [entry[:20] + struct.pack("<2L", 90_000, 90_000) + entry[28:] for entry in entries[1:]]
    directory = data[start : start + places[1]] + b"".join(entries)
    return data[:start] + directory + data[start + size :]


def encoded_again() -> bytes:
    """The same text encoded 50,000 times."""
    function = name("_codecs", "encode") + b"q\x00"
    return pickled(function + text("x" * 100_000) + text("latin1") + b"\x86q\x01(" + b"h\x00h\x01R" * 50_000)


def shared_storage() -> bytes:
    """All weights of a network of 32 px are views of one storage."""
    architecture = Architecture(64, 64, 2, (64, 64, 64, 64))
    base = torch.zeros(64 * 64 * 9)
    shapes = {name: value.shape for name, value in files.random_weights(architecture).items()}
    weights = {name: base[: int(np.prod(shape))].view(shape) for name, shape in shapes.items()}
    return files.rosinality_bytes(weights)


SIZE = {
    "storage of 2^60 numbers": lambda: rosinality(tensor(storage_id("0", 2**60), 0, (2**60,), (1,))),
    "storage of -1 numbers": lambda: rosinality(tensor(storage_id("0", -1), 0, (1,), (1,))),
    "storage of True numbers": lambda: rosinality(tensor(storage_id("0", b"\x88"), 0, (1,), (1,))),
    "old storage of 2^60 numbers": lambda: old_storage(2**60),
    "old storage of -1 numbers": lambda: old_storage(-1),
    "old storages without end": lambda: torch_legacy(
        b"", b"", pickled(storage_id("0", 1)), pickled(b"](" + text("0") + b"q\x00" + b"h\x00" * 50_000 + b"e")
    ),
    "offset outside": lambda: rosinality(tensor(storage_id("0", 4), 5, (1,), (1,))),
    "negative offset": lambda: rosinality(tensor(storage_id("0", 4), -1, (1,), (1,))),
    "strides outside": lambda: rosinality(tensor(storage_id("0", 4), 0, (2, 2), (2, 2))),
    "negative stride": lambda: rosinality(tensor(storage_id("0", 4), 3, (2,), (-1,))),
    "stride 0": lambda: rosinality(tensor(storage_id("0", 4), 0, (2**40,), (0,))),
    "huge stride": lambda: rosinality(tensor(storage_id("0", 4), 0, (2, 2), (2**61, 1))),
    "negative shape": lambda: rosinality(tensor(storage_id("0", 4), 0, (-1,), (1,))),
    "empty shape": lambda: rosinality(tensor(storage_id("0", 4), 0, (0, 2**61, 2**61), (0, 0, 0))),
    "64 sides": lambda: rosinality(tensor(storage_id("0", 4), 0, (1,) * 64, (1,) * 64)),
    "strides missing": lambda: rosinality(tensor(storage_id("0", 4), 0, (2, 2), (1,))),
    "NumPy shape 2^40": lambda: tensorflow(array(items(integer(2**40)), numpy_type("f4"), raw(bytes(8)))),
    "NumPy shape of text": lambda: tensorflow(array(text("2"), numpy_type("f4"), raw(bytes(8)))),
    "NumPy shape of True": lambda: tensorflow(array(items(b"\x88"), numpy_type("f4"), raw(bytes(4)))),
    "NumPy shape empty": lambda: tensorflow(array(items(integer(0), integer(2**61)), numpy_type("f4"), raw(b""))),
    "NumPy objects": lambda: tensorflow(array(items(integer(1)), numpy_type("O8"), raw(bytes(8)))),
    "NumPy records": lambda: tensorflow(array(items(integer(1)), numpy_type("V1000000000"), raw(bytes(8)))),
    "NumPy list of numbers": lambda: tensorflow(array(items(integer(2)), numpy_type("f4"), b"]")),
    "NumPy array of an array": lambda: tensorflow(array(array(b")", b"N", b"N"), array(b")", b"N", b"N"), b"N")),
    "LONG_BINPUT 2^31": lambda: pickled(b"Nr\x00\x00\x00\x80"),
    "LONG_BINGET 2^31": lambda: pickled(b"j\x00\x00\x00\x80"),
    "BINBYTES8 2^62": lambda: pickled(b"\x8e" + struct.pack("<Q", 2**62)),
    "BYTEARRAY8 2^63": lambda: pickled(b"\x96" + struct.pack("<Q", 2**63), protocol=5),
    "BINUNICODE8 2^40": lambda: pickled(b"\x8d" + struct.pack("<Q", 2**40)),
    "BINUNICODE 2^32": lambda: pickled(b"X\xff\xff\xff\xff"),
    "LONG4 of 2^31 bytes": lambda: pickled(b"\x8b\xff\xff\xff\x7f"),
    "LONG4 of 1000 bytes": lambda: pickled(b"\x8b" + struct.pack("<i", 1000) + bytes(1000)),
    "LONG4 of -1 bytes": lambda: pickled(b"\x8b\xff\xff\xff\xff"),
    "FRAME 2^63": lambda: pickled(b"\x95" + struct.pack("<Q", 2**63)),
    "a million sets": lambda: pickled(b"(" + b"\x8f\x94" * 500_000 + b"t"),
    "nested 60,000 deep, as generator": lambda: snapshot(deep(60_000)),
    "nested 60,000 deep, as settings": lambda: tensorflow(b"N", settings=dictionary(resample_kernel=deep(60_000))),
    "20,000 variables": lambda: files.nvidia_tf_bytes(
        WEIGHTS, change=lambda v: v["mapping"].update({f"Dense{i}/weight": None for i in range(20_000)})
    ),
    "calls nested 20,000 deep": lambda: pickled(
        name("torch", "Size") + b"q\x000N" + b"q\x010h\x00h\x01\x85R" * 20_000
    ),
    "persistent ids nested 100,000 deep": lambda: rosinality(tensor(b"N" + b"Q" * 100_000, 0, (1,), (1,))),
    "modules nested 5,000 deep": lambda: nested_modules(5_000),
    "a billion laughs": lambda: snapshot(laughs()),
    "a billion laughs, as settings": lambda: tensorflow(b"N", settings=dictionary(resample_kernel=laughs())),
    "a billion laughs, as labels": lambda: tensorflow(b"N", settings=dictionary(label_size=laughs())),
    "a list in itself": lambda: pickled(b"]q\x00h\x00a"),
    "a part of itself": part_of_itself,
    "parts that share their parts": shared_parts,
    "keys that are tuples": lambda: pickled(b"}" + laughs() + b"Ns"),
    "keys that are long": lambda: pickled(b"}" + integer(2**64) + b"Ns"),
    "keys that collide": lambda: pickled(
        b"}(" + b"".join(integer((2**45) * i) + b"N" for i in range(1, 40_000)) + b"u"
    ),
    "a set of tuples": lambda: pickled(b"\x8f(" + laughs() + b"\x90"),
    "text encoded again and again": encoded_again,
    "layers share one storage": shared_storage,
    "zip bomb, pickle": lambda: zip_bytes({"archive/data.pkl": bytes(50_000_000)}, zipfile.ZIP_DEFLATED),
    "zip bomb, storage": lambda: torch_zip(
        pickled(dictionary(g_ema=dictionary(**{"input.input": tensor(storage_id("0", 9), 0, (9,), (1,))}))),
        {"0": bytes(50_000_000)},
        zipfile.ZIP_DEFLATED,
    ),
    "zip bomb, bzip2": lambda: zip_bytes({"archive/data.pkl": bytes(50_000_000)}, zipfile.ZIP_BZIP2),
    "zip of 50,000 members": lambda: zip_bytes(dict.fromkeys(FILES_IN_ZIP, b""), zipfile.ZIP_STORED),
    "zip directory of 65,535 entries": lambda: torch_zip(pickled(b"}"))[:-22]
    + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, 100, 0, 0),
    "zip members that overlap": overlapping,
    "zip directory outside": lambda: torch_zip(pickled(b"}"))[:-22]
    + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 2**32 - 1, 2**32 - 1, 0),
    "zip member longer than the file": lambda: torch_zip(pickled(b"}"))
    .replace(struct.pack("<2L", 4, 4), struct.pack("<2L", 2**31, 2**31)),
    "safetensors header of 2^39": lambda: struct.pack("<Q", 2**39) + b"{" + bytes(100),
    "safetensors header of 2^62": lambda: struct.pack("<Q", 2**62) + b"{" + bytes(100),
    "safetensors header longer than the file": lambda: struct.pack("<Q", 1000) + b"{}",
    "safetensors header of 2 MB": lambda: safetensors(b"{" + b" " * 2_000_000 + b"}"),
    "safetensors nested deep": lambda: safetensors(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "safetensors of a long number": lambda: safetensors(b'{"a":' + b"9" * 100_000 + b"}"),
    "safetensors shape 2^61": lambda: safetensors(
        {"__metadata__": ours(), "a": {"dtype": "F32", "shape": [2**61, 8], "data_offsets": [0, 0]}}
    ),
    "safetensors shape 0": lambda: safetensors(
        {"__metadata__": ours(), "a": {"dtype": "F32", "shape": [0, 2**61, 2**61], "data_offsets": [0, 0]}}
    ),
    "safetensors outside": lambda: safetensors(
        {"__metadata__": ours(), "a": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, bytes(8)
    ),
    "safetensors overlapping": lambda: safetensors(
        {"__metadata__": ours()} | {k: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for k in "abc"}, bytes(8)
    ),
    "safetensors architecture of long numbers": lambda: own(architecture=json.dumps(NARROW | {"z_dim": 10**4000})),
}  # fmt: skip

# ---------------------------------------------------------------------------------------------------------------------
# mistaken: files that somebody may have, and what the message must say


def changed(**changes) -> dict:
    """The weights with some replaced, or taken out where the change is None."""
    weights = WEIGHTS | {key.replace("__", "."): value for key, value in changes.items()}
    return {key: value for key, value in weights.items() if value is not None}


def with_value(key: str, value: float) -> dict:
    tensor = WEIGHTS[key].clone()
    tensor.view(-1)[-1] = value
    return WEIGHTS | {key: tensor}


def state_of(generator: files.Persistent, *path: str) -> dict:
    for part in path:
        generator = generator.meta["state"]["_modules"][part]
    return generator.meta["state"]


def setting(*path: str, **values):
    return lambda generator: state_of(generator, *path).update(values)


def buffer(*path: str, **values):
    return lambda generator: state_of(generator, *path)["_buffers"].update(values)


def stylegan3(generator: files.Persistent) -> None:
    layers = {"input": {"freqs": OTHER}, "L0_36_512": {"weight": OTHER}}
    parts = {key: files.Persistent("SynthesisLayer", {"_buffers": value}) for key, value in layers.items()}
    generator.meta["state"]["_modules"]["synthesis"].meta["state"]["_modules"] = parts


def whole(change) -> bytes:
    """torch.save(G) of NVIDIA's class, after a change."""
    generator = files.nvidia_generator(WEIGHTS)
    change(generator)
    return files.nvidia_object_bytes(generator, torch_save=True)


def torgb_of(channels: int) -> dict:
    """The weights of a network whose images have so many channels."""
    return {
        key: value[:1].repeat_interleave(channels, 0) if ".torgb." in key and "affine" not in key else value
        for key, value in WEIGHTS.items()
    }


def architecture_orig(generator: files.Persistent) -> None:
    for block in ("b4", "b8"):
        del state_of(generator, "synthesis", block)["_modules"]["torgb"]


def tf_lod(variables: dict) -> None:
    variables["synthesis"]["ToRGB_lod0/weight"] = np.zeros((1, 1, 3, 3), np.float32)


def git_lfs() -> bytes:
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1\n"


def own(**metadata: str) -> bytes:
    shapes = {key: value.shape for key, value in WEIGHTS.items()}
    header, end = {"__metadata__": ours(**metadata)}, 0
    for key, shape in shapes.items():
        begin, end = end, end + 4 * int(np.prod(shape))
        header[key] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    return safetensors(header, b"".join(value.numpy().tobytes() for value in WEIGHTS.values()))


PT, TF, RO = files.nvidia_torch_bytes, files.nvidia_tf_bytes, files.rosinality_bytes
NARROW = {"channels": [5, 4, 2], "z_dim": 5, "w_dim": 6, "mapping_layers": 2, "conv_clamp": None}
MISTAKEN = {
    "empty file": (lambda: b"", "the file is empty"),
    "web page": (lambda: b"<!DOCTYPE html><html>Quota exceeded</html>", "a web page; the download failed"),
    "web page, no type": (lambda: b"\n  <HTML><body>Not found", "a web page"),
    "LFS pointer": (git_lfs, "a Git LFS pointer"),
    "text": (lambda: b"lr: 0.002\n", "a text file"),
    "gzip": (lambda: b"\x1f\x8b\x08" + bytes(50), "a gzip archive"),
    "HDF5": (lambda: b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    "random bytes": (lambda: b"\x00\x01\x02\x03" * 9, "its kind is unknown; it begins with 00 01 02 03"),
    "NumPy archive": (lambda: zip_bytes({"a.npy": b"x"}, 0), "not one of torch.save"),
    "two pickles in a zip": (
        lambda: zip_bytes({"a/data.pkl": pickled(b"}"), "b/data.pkl": pickled(b"}")}, 0), "no single data.pkl"),
    "pickled list": (lambda: pickled(b"]"), "the file holds a list, neither a network nor"),
    "another torch file": (lambda: files.torch_bytes({"layer.weight": OTHER}), "its first keys: layer.weight"),
    "a tensor alone": (lambda: files.torch_bytes(OTHER), "holds one tensor .if it is a latent: segment --latent"),
    "an empty dictionary": (lambda: files.torch_bytes({}), "its first keys: none"),
    "big-endian": (lambda: zip_bytes({"a/data.pkl": pickled(b"}"), "a/byteorder": b"big"}, 0), "big-endian"),
    "big-endian, old form": (
        lambda: torch_legacy(b"", pickled(dictionary(little_endian=b"\x89"))), "big-endian"),
    "part of a storage": (
        lambda: rosinality(tensor(storage_id("0", 4)[:-2] + items(b"N") + b"tQ", 0, (1,), (1,))), "before 0.4"),
    "encoder": (lambda: files.torch_bytes({"state_dict": {"encoder.body.0.weight": OTHER}}), "an encoder only"),
    "encoder, bare": (lambda: files.torch_bytes({"input_layer.0.weight": OTHER}), "an encoder only"),
    "discriminator, rosinality": (
        lambda: files.torch_bytes({"convs.0.0.weight": OTHER, "final_linear.0.weight": OTHER}), "a discriminator only"),
    "discriminator, d": (lambda: files.torch_bytes({"d": {"a": OTHER}}), "g_ema is missing"),
    "discriminator, NVIDIA": (lambda: pickled(dictionary(D=module())), "G_ema is missing"),
    "discriminator, TensorFlow": (
        lambda: pickled(items(b"N", name("dnnlib.tflib.network", "Network") + b")\x81", b"N")), "three networks"),
    "StyleGAN1, TensorFlow": (lambda: TF(WEIGHTS, version=2), "a StyleGAN1 or Progressive GAN network"),
    "StyleGAN1 layers, TensorFlow": (lambda: TF(WEIGHTS, change=tf_lod), "configurations A to D"),
    "StyleGAN1, rosinality": (
        lambda: files.torch_bytes({"g_ema": {"generator.progression.0.conv1.weight": OTHER}}), "a StyleGAN1 network"),
    "StyleGAN3": (lambda: PT(WEIGHTS, change=stylegan3), "a StyleGAN3 network"),
    "StyleGAN3, torch.save(G)": (lambda: whole(stylegan3), "a StyleGAN3 network"),
    "StyleGAN3, names": (
        lambda: files.torch_bytes({"module.mapping.fc0.weight": OTHER, "module.synthesis.input.freqs": OTHER}),
        "a StyleGAN3 network"),
    "StyleGAN3, synthesis alone": (
        lambda: files.torch_bytes({"module.synthesis.input.freqs": OTHER}), "it is a StyleGAN3 network"),
    "StarGAN v2": (
        lambda: files.torch_bytes({"generator": {"module.from_rgb.weight": OTHER}}), "it is a StarGAN v2 network"),
    "BasicSR": (lambda: files.torch_bytes({"style_conv1.modulated_conv.weight": OTHER}), "layout of BasicSR"),
    "conditional, torch.save(G)": (lambda: whole(setting(c_dim=10)), r"conditional \(c_dim > 0\)"),
    "conditional, names": (
        lambda: files.torch_bytes(files.with_filters(changed(mapping__embed__weight=OTHER))), "conditional"),
    "two generators": (
        lambda: files.torch_bytes({"generator.input.input": OTHER, "decoder.input.input": OTHER}),
        r"several generators \(decoder\.\*, generator\.\*\)"),
    "discriminator alone, NVIDIA": (
        lambda: files.nvidia_object_bytes(files.nvidia_module({"b4.out.weight": OTHER}, None)), "a discriminator only"),
    "discriminator, names": (lambda: files.torch_bytes({"b8.fromrgb.weight": OTHER, "b4.out.weight": OTHER}),
                             "a discriminator only"),
    "TorchScript": (lambda: zip_bytes({"a/data.pkl": pickled(b"}"), "a/constants.pkl": pickled(b"}")}, 0),
                    "a TorchScript archive .* save the network's state_dict"),
    "a class of somebody's": (
        lambda: torch_zip(pickled(name("training.networks", "Generator") + b")\x81")),
        r"refused training\.networks\.Generator: .* save torch\.save\(network\.state_dict\(\), path\) instead"),
    "images of 2 channels": (lambda: PT(torgb_of(2)), "images of 2 channels; those of 1"),
    "images of 5 channels": (lambda: RO(torgb_of(5)), "images of 5 channels"),
    "channels differ": (
        lambda: RO(changed(synthesis__b8__torgb__bias=torch.zeros(1))), r"b8.torgb.bias has shape \(1,\)"),
    "one noise map is missing": (
        lambda: RO(WEIGHTS, change=lambda s: s["g_ema"].pop("noises.noise_2") is None), "b8.conv1.noise_const"),
    "all noise maps are missing, NVIDIA": (
        lambda: PT({k: v for k, v in WEIGHTS.items() if "noise_const" not in k}), "noise_const"),
    "noise and its strengths are missing": (
        lambda: RO({k: v for k, v in WEIGHTS.items() if "noise" not in k}), "lacks synthesis.b16.conv0.noise_strength"),
    "MMGeneration": (lambda: files.torch_bytes({"state_dict": {"generator_ema.x": OTHER}}), "MMGeneration"),
    "conditional": (lambda: PT(WEIGHTS, change=setting(c_dim=10)), r"conditional \(c_dim > 0\)"),
    "conditional, embedding": (lambda: PT(changed(mapping__embed__weight=OTHER)), "conditional"),
    "conditional, TensorFlow": (lambda: TF(WEIGHTS).replace(b"label_sizeK\0", b"label_sizeK\1").replace(
        b"\x8c\nlabel_size\x94K\x00", b"\x8c\nlabel_size\x94K\x01"), r"conditional \(label_size > 0\)"),
    "architecture orig": (lambda: PT(WEIGHTS, change=architecture_orig), "architecture 'orig'"),
    "architecture resnet": (lambda: PT(changed(synthesis__b8__skip__weight=OTHER)), "architecture 'resnet'"),
    "architecture stated": (
        lambda: PT(WEIGHTS, change=setting("synthesis", "b8", architecture="resnet")), "architecture is resnet"),
    "architecture, TensorFlow": (lambda: TF(WEIGHTS, architecture="orig"), "architecture 'orig'"),
    "another activation": (
        lambda: PT(WEIGHTS, change=setting("synthesis", "b8", "conv0", activation="relu")), "activation is relu"),
    "no noise": (lambda: PT(WEIGHTS, change=setting("synthesis", "b8", "conv0", use_noise=False)), "use_noise"),
    "another learning rate": (
        lambda: PT(WEIGHTS, change=setting("mapping", "fc0", weight_gain=0.1)), "another learning-rate multiplier"),
    "another learning rate, TensorFlow": (lambda: TF(WEIGHTS, mapping_lrmul=0.1), "mapping_lrmul"),
    "another filter": (lambda: PT(WEIGHTS, change=buffer("synthesis", "b8", resample_filter=torch.ones(4, 4))),
                       r"not the filter \[1, 3, 3, 1\]"),
    "filter of NaN": (lambda: PT(WEIGHTS, change=buffer("synthesis", "b8", resample_filter=torch.full((4, 4), np.nan))),
                      r"not the filter \[1, 3, 3, 1\]"),
    "another filter, rosinality": (
        lambda: RO(WEIGHTS, change=lambda s: s["g_ema"].update({"to_rgbs.0.upsample.kernel": torch.eye(4)})), "filter"),
    "conv_clamp of text": (lambda: PT(WEIGHTS, conv_clamp="256"), "conv_clamp must be None or a number"),
    "conv_clamp NaN": (lambda: TF(WEIGHTS, conv_clamp=float("nan")), "conv_clamp must be None or a number"),
    "conv_clamp negative": (lambda: TF(WEIGHTS, conv_clamp=-1.0), "conv_clamp must be None or a number"),
    "two values of conv_clamp": (
        lambda: PT(WEIGHTS, change=setting("synthesis", "b8", "conv0", conv_clamp=3.0)), "conv_clamp differs"),
    "a key is missing": (lambda: RO(changed(synthesis__b8__conv0__bias=None)), "lacks synthesis.b8.conv0.bias"),
    "a block is missing": (
        lambda: RO({k: v for k, v in WEIGHTS.items() if ".b8." not in k}), "lacks synthesis.b8.conv1.weight"),
    "no mapping": (lambda: RO({k: v for k, v in WEIGHTS.items() if "mapping" not in k}), "lacks mapping.fc0.weight"),
    "no synthesis": (lambda: PT({k: v for k, v in WEIGHTS.items() if "mapping" in k}), "no synthesis network"),
    "noise is missing": (lambda: TF(changed(synthesis__b16__conv1__noise_const=None)), "noise_const"),
    "one key too many": (lambda: PT(changed(synthesis__b8__conv2__weight=OTHER)), "parts that StyleGAN2 has not"),
    "one key too many, rosinality": (
        lambda: RO(WEIGHTS, change=lambda s: s["g_ema"].update({"attention.weight": OTHER})), "attention.weight"),
    "wrong shape": (lambda: PT(changed(synthesis__b8__conv0__bias=torch.zeros(9))), r"conv0.bias has shape \(9,\)"),
    "wrong shape, TensorFlow": (lambda: TF(changed(mapping__fc1__weight=torch.zeros(9, 6))), "fc1.weight has shape"),
    "wrong kernel": (lambda: RO(changed(synthesis__b8__conv1__weight=torch.zeros(4, 4, 5, 5))), "conv1.weight has"),
    "wrong axes": (lambda: RO(changed(synthesis__b4__const=torch.zeros(5))), "const has shape"),
    "wrong axes, TensorFlow": (lambda: TF(changed(mapping__fc1__weight=torch.zeros(6))), "axes"),
    "latent_avg too long": (lambda: RO(changed(mapping__w_avg=torch.zeros(7))), "w_avg has shape"),
    "latent_avg of 100 rows": (lambda: RO(changed(mapping__w_avg=torch.zeros(100, 6))), "the impossible shape"),
    "resolution 24": (lambda: PT(changed(synthesis__b24__conv1__weight=OTHER)), "a resolution of 24"),
    "resolution 4096": (lambda: PT(changed(synthesis__b4096__conv1__weight=OTHER)), "a resolution of 4096"),
    "NaN": (lambda: RO(with_value("synthesis.b8.conv0.weight", np.nan)), "NaN or infinity: synthesis.b8.conv0.weight"),
    "infinity": (lambda: TF(with_value("mapping.fc1.bias", np.inf)), "NaN or infinity: mapping.fc1.bias"),
    "too large for float32": (
        lambda: RO(changed(mapping__fc1__bias=torch.full((6,), 1e300, dtype=torch.float64))), "NaN or infinity"),
    "NaN in latent_avg": (lambda: RO(changed(mapping__w_avg=torch.full((6, 6), np.nan))), "NaN or infinity"),
    "whole numbers": (lambda: RO(changed(mapping__fc1__bias=torch.ones(6, dtype=torch.int64))), "holds int64"),
    "damaged zip": (lambda: RO(WEIGHTS).replace(WEIGHTS["mapping.fc1.weight"].numpy().tobytes(), bytes(144)),
                    "does not match its check sum"),
    "other safetensors": (lambda: safetensors({"a": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}, bytes(4)),
                          "not one that stylemixseg wrote"),
    "a version to come": (lambda: safetensors({"__metadata__": ours(version="2")}), "version 2"),
    "ours, other architecture": (lambda: own(architecture=json.dumps(NARROW)), "is not that of the tensors"),
    "ours, impossible architecture": (
        lambda: own(architecture=json.dumps(NARROW | {"channels": "543"})), "no StyleGAN2 can be built so"),
    "ours, architecture with NaN": (
        lambda: own(architecture=json.dumps(NARROW | {"conv_clamp": float("nan")})), "no StyleGAN2 can be built so"),
    "ours, fields missing": (lambda: own(architecture='{"z_dim": 5}'), "architecture in the metadata is malformed"),
    "ours, no JSON": (lambda: own(architecture="{"), "the architecture is not JSON"),
    "ours, notes": (lambda: own(notes='{"a": 1}'), "notes in the metadata are malformed"),
    "ours, escape in the licence": (lambda: own(licence="\x1b[2J"), "licence in the metadata must be a line"),
    "ours, not float32": (
        lambda: safetensors(
            {"__metadata__": ours(), "a": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}}, bytes(8)),
        "not a float32 tensor"),
    "ours, many dimensions": (
        lambda: safetensors(
            {"__metadata__": ours(), "a": {"dtype": "F32", "shape": [1] * 99, "data_offsets": [0, 4]}}, bytes(4)),
        "up to 8 dimensions"),
    "ours, bytes left over": (lambda: own() + bytes(4), "MetadataIncompleteBuffer|not fully covered"),
}  # fmt: skip


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A path that no reader may create, directly or by an import."""
    path = tmp_path / "canary"
    folder = tmp_path / "importable"
    folder.mkdir()
    (folder / "hostile_module.py").write_text(f"open({str(path)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(folder)
    return path


WATCH = Watch()  # an audit hook stays until the process ends


def refuse(data: bytes, folder: Path) -> CheckpointError:
    """Read a file that must be refused; the error, once nothing was run or imported and little memory taken."""
    path = folder / "hostile.pkl"
    path.write_bytes(data)
    modules = set(sys.modules)
    tracemalloc.start()
    try:
        with WATCH.over(path), pytest.raises(CheckpointError) as caught:
            read_checkpoint(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= checkpoints.MAX_MEMORY_FACTOR * len(data) + checkpoints.MAX_MEMORY_FLOOR, f"{peak} bytes"
    assert set(sys.modules) == modules and WATCH.events == []
    message = str(caught.value)
    assert len(message) < 400 and message.isprintable(), message
    return caught.value


@pytest.mark.parametrize("case", CODE)
def test_nothing_runs(case, canary, tmp_path):
    refuse(CODE[case](canary), tmp_path)
    assert not canary.exists()


@pytest.mark.parametrize("case", SIZE)
def test_nothing_large_is_made(case, tmp_path):
    refuse(SIZE[case](), tmp_path)


# Where another check would refuse the file as well, later: the words show that the right one did.
REASONS = {
    "state twice": "refused to set the state of Call",
    "LONG_BINPUT 2^31": "memo index 2147483648",
    "LONG4 of 1000 bytes": "refused a number of 1000 bytes",
    "LONG4 of -1 bytes": "-1 bytes wanted",
    "stride 0": "reaches outside its storage of 4 elements",
    "offset outside": "with offset 5",
    "NumPy objects": "something other than numbers",
    "NumPy records": "something other than numbers",
    "a million sets": "more than 250000 instructions",
    "keys that collide": "more than 10000 items",
    "parts that share their parts": "more than 500 parts",
    "a part of itself": "nested too deep",
    "20,000 variables": "too many variables",
    "layers share one storage": "layers share their numbers",
    "text encoded again and again": "encodes more text than it holds",
    "zip bomb, pickle": "compressed or encrypted",
    "zip bomb, storage": "compressed or encrypted",
    "zip members that overlap": "members overlap",
    "zip of 50,000 members": "50000 members",
    "safetensors overlapping": "malformed safetensors: .*(InvalidOffset|invalid offset)",
    "safetensors shape 0": "not a float32 tensor with 1 or more elements",
    "safetensors nested deep": "RecursionError",
}


@pytest.mark.parametrize("case", REASONS)
def test_the_reason_is_the_right_one(case, tmp_path):
    data = SIZE[case]() if case in SIZE else CODE[case](tmp_path / "canary")
    (tmp_path / "hostile.pkl").write_bytes(data)
    with pytest.raises(CheckpointError, match=REASONS[case]):
        read_checkpoint(tmp_path / "hostile.pkl")


@pytest.mark.parametrize("case", MISTAKEN)
def test_mistaken_files_are_named(case, tmp_path):
    make, words = MISTAKEN[case]
    assert refuse(make(), tmp_path).args
    with pytest.raises(CheckpointError, match=words):
        read_checkpoint(tmp_path / "hostile.pkl")


def test_there_would_be_something_to_run(canary):
    """The payloads are real: Python's own machine falls for them."""
    pickle.loads(CODE["os.system"](canary))
    assert canary.exists()
    canary.unlink()
    with WATCH.over(canary), pytest.raises(AttributeError):
        pickle.loads(CODE["an import alone"](canary))
    assert canary.exists() and any(event.startswith("import") for event in WATCH.events)
    sys.modules.pop("hostile_module")


def test_what_was_refused_is_named(tmp_path):
    for module_name, attribute in [("os", "system"), ("torch.storage", "os.system"), ("o\x1b[2Js", "x")]:
        error = refuse(pickled(stack_name(text(module_name), text(attribute))), tmp_path)
        shown = f"{module_name}.{attribute}".replace("\x1b", r"\x1b")
        assert f"refused {shown}: " in str(error) and "Nothing was run" in str(error)
    assert "refused pickle instruction INST at byte" in str(refuse(CODE["INST"](Path("x")), tmp_path))


FORMATS = [
    "nvidia-pytorch", "nvidia-pytorch, torch.save(G)", "nvidia-tensorflow", "rosinality", "rosinality, legacy",
    "stylemixseg",
]  # fmt: skip
CHECKED = {"nvidia-pytorch, torch.save(G)", "rosinality"}  # zip archives: a check sum covers every member


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    return files.valid_files(tmp_path_factory.mktemp("valid"))


def read_or_refuse(data: bytes, path: Path) -> checkpoints.Checkpoint | None:
    """What was read; None: it was refused."""
    path.write_bytes(data)
    try:
        return read_checkpoint(path)
    except CheckpointError:
        return None


def numbers_of(data: bytes, which: str) -> list[tuple[int, np.ndarray]]:
    """(place, numbers) of every array of a generator that is in the file as it is; single numbers are left out."""
    if which == "nvidia-tensorflow":
        arrays = [value for part in files.tensorflow_variables(WEIGHTS).values() for value in part.values()]
    else:
        arrays = [value.numpy() for value in WEIGHTS.values()]
    found = [(data.find(array.tobytes()), array) for array in arrays if array.size > 2]
    assert len(found) > 20 and all(place > 0 and data.count(array.tobytes()) == 1 for place, array in found)
    return found


def how_many_differ(got: dict, wanted: dict) -> int:
    """Elements that are not the same bits; the biases of TensorFlow's styles lose some when 1 is added."""
    assert got.keys() == wanted.keys()
    bits = [(got[key].view(torch.int32), wanted[key].view(torch.int32)) for key in wanted]
    return sum(int((one != other).sum()) for one, other in bits)


@pytest.mark.parametrize("which", FORMATS)
def test_truncated_files(which, valid, tmp_path):
    data = valid[which]
    cuts = {*range(100), *range(0, len(data), len(data) // 50), *range(len(data) - 50, len(data))}
    assert not [cut for cut in cuts if read_or_refuse(data[:cut], tmp_path / "cut")]


@pytest.mark.parametrize("which", FORMATS)
def test_a_flipped_bit_of_a_number_changes_that_number_alone(which, valid, tmp_path):
    """Or is noticed: by a check sum where there is one, and as NaN or infinity."""
    data, random = valid[which], np.random.default_rng(0)
    original = read_or_refuse(data, tmp_path / "whole").weights
    arrays, read = numbers_of(data, which), 0
    for _ in range(60):
        place, array = arrays[random.integers(len(arrays))]
        at, bit = int(random.integers(array.nbytes)), 1 << random.integers(8)
        flipped = bytearray(data)
        flipped[place + at] ^= bit
        element = slice(place + at // 4 * 4, place + at // 4 * 4 + 4)
        was, value = (np.frombuffer(some[element], "<f4")[0] for some in (data, bytes(flipped)))
        checkpoint = read_or_refuse(bytes(flipped), tmp_path / "flipped")
        if which in CHECKED or not np.isfinite(value):
            assert checkpoint is None
            continue
        assert second_reader.disagreement(bytes(flipped), checkpoint) is None
        rounded = which == "nvidia-tensorflow" and was + np.float32(1) == value + np.float32(1)
        assert how_many_differ(checkpoint.weights, original) == 1 or rounded
        read += 1
    assert (read > 40) == (which not in CHECKED)


@pytest.mark.parametrize("which", FORMATS)
def test_flipped_bits_of_anything_else(which, valid, tmp_path):
    """A bit of a name, a size, an instruction: refused, or the network that a second reader finds as well.

    Where that one objects to something that is not looked at here, the network must be the original.
    """
    data, random = valid[which], np.random.default_rng(0)
    original = read_or_refuse(data, tmp_path / "whole").weights
    inside = np.zeros(len(data), bool)
    for place, numbers in numbers_of(data, which):
        inside[place : place + numbers.nbytes] = True
    outcomes = {"same": 0, "other": 0, "refused": 0}
    for place in random.choice(np.flatnonzero(~inside), 100, replace=False):
        flipped = bytearray(data)
        flipped[place] ^= 1 << random.integers(8)
        checkpoint = read_or_refuse(bytes(flipped), tmp_path / "flipped")
        if checkpoint is None:
            outcomes["refused"] += 1
            continue
        same = how_many_differ(checkpoint.weights, original) == 0
        outcomes["same" if same else "other"] += 1
        try:
            assert (wrong := second_reader.disagreement(bytes(flipped), checkpoint)) is None, wrong
        except second_reader.UnconfirmedError:
            assert same
    assert outcomes["refused"] >= 10 and outcomes["other"] <= 5, outcomes
    assert which == "stylemixseg" or outcomes["same"] >= 5, outcomes  # there, nearly every byte is a name or a place
    assert which not in CHECKED or not outcomes["other"], outcomes


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks of memory are read from Linux's /proc")
def test_the_worst_pickles_stay_below_the_bound(tmp_path):
    """The most that MAX_OPCODES instructions can hold at once, measured as the process's peak."""
    worst = {
        "sets alone": pickled(b"(" + b"\x8f" * 249_000 + b"t"),
        "sets": pickled(b"(" + b"\x8f\x94" * 120_000 + b"t"),
        "dictionaries": pickled(b"(" + b"}K\x01Ns" * 60_000 + b"t"),
        "views": pickled(b"(" + b"C\x00\x94" * 120_000 + b"t"),
        "calls": pickled(name("torch", "Size") + b"q\x00(" + b"h\x00)R" * 80_000 + b"t"),
        "marks": pickled(b"(" * 240_000),
        "numbers": pickled(b"(" + b"J\xff\xff\xff\x7f\x94" * 120_000 + b"t"),
        "letters": pickled(b"(" + b"X\x04\x00\x00\x00\xf0\x9f\x98\x80\x94" * 120_000 + b"t"),
        "nested calls": SIZE["calls nested 20,000 deep"](),
        "wide text": pickled(text("\U0001f600" + "x" * 5_000_000)),
    }
    worst |= {case: SIZE[case]() for case in ("a million sets", "zip of 50,000 members", "layers share one storage")}
    for case, data in worst.items():
        (tmp_path / case).write_bytes(data)
    script = textwrap.dedent("""
        import os, re, sys
        from pathlib import Path
        from stylemixseg.generators.checkpoints import CheckpointError, read_checkpoint

        def resident(field):
            return int(re.search(field + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) << 10

        for path in map(Path, sys.argv[1:]):
            if os.fork() == 0:  # each file in a process of its own: freed memory of the one would serve the next
                Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
                before = resident("VmRSS")
                try:
                    read_checkpoint(path)
                except CheckpointError:
                    print(path.name, resident("VmHWM") - before, path.stat().st_size, sep=",", flush=True)
                os._exit(0)
            os.wait()
    """)
    command = [sys.executable, "-c", script, *(str(tmp_path / case) for case in worst)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    rows = [line.rsplit(",", 2) for line in done.stdout.splitlines()]
    assert len(rows) == len(worst)
    print(done.stdout)
    for case, peak, size in rows:
        bound = checkpoints.MAX_MEMORY_FACTOR * int(size) + checkpoints.MAX_MEMORY_FLOOR
        assert int(peak) < bound, f"{case}: {peak} bytes, {bound} allowed"


def test_enough_room_for_real_files():
    """A snapshot at 1024 px with three networks needs a fraction of what is allowed."""
    architecture = Architecture(2, 2, 8, (1,) * 9)
    weights = files.random_weights(architecture)
    generator = files.nvidia_module(files.with_filters(weights), None)
    data = files.nvidia_torch_bytes(weights, conv_clamp=None, G=generator, D=generator, augment_pipe=generator)
    assert sum(1 for _ in pickletools.genops(data)) < restricted.MAX_OPCODES / 4


def test_base64_is_not_decoded(tmp_path):
    """A checkpoint pasted as text is a text file."""
    assert "a text file" in str(refuse(base64.b64encode(files.rosinality_bytes(WEIGHTS)), tmp_path))
