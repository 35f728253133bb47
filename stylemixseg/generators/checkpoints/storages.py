"""The two containers of torch.save, and the raw numbers in them: everything is a view into the file.

- since PyTorch 1.6: an uncompressed zip with `<name>/data.pkl` and one member `<name>/data/<key>` a storage;
- before, and today inside NVIDIA's pickles: five pickles in a row, then the storages.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from stylemixseg.generators.checkpoints.checkpoint import CheckpointError, shown
from stylemixseg.generators.checkpoints.restricted import MAX_OPCODES, Name, Parsed, PersistentId, parse_pickle

MAX_MEMBERS = 20_000
MAX_NESTED_OPCODES = 200  # of the few values around a storage inside another pickle
ZIP_MAGIC = b"PK\x03\x04"
LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the pickled number with which torch.save began

BFLOAT16 = np.dtype([("bfloat16", "<u2")])  # NumPy has none: the upper half of a float32
DTYPES = {
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": BFLOAT16,
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "ByteStorage": np.dtype("u1"),
    "CharStorage": np.dtype("i1"),
    "ShortStorage": np.dtype("<i2"),
    "IntStorage": np.dtype("<i4"),
    "LongStorage": np.dtype("<i8"),
    "BoolStorage": np.dtype("?"),
}


class Storage(NamedTuple):
    """Numbers of one type, one after the other."""

    dtype: np.dtype
    data: memoryview


class TorchFile(NamedTuple):
    """What torch.save saved, and how to get a storage that it refers to."""

    value: object
    storage: Callable[[PersistentId], Storage]


def read_torch_zip(data: memoryview) -> TorchFile:
    """Read a file that torch.save wrote in its zip form.

    Raises:
        CheckpointError: not such a file, compressed, damaged (sizes, check sums), from a big-endian machine.
    """
    members = zip_members(data)
    found = [name for name in members if name.endswith("/data.pkl")]
    if len(found) != 1:
        raise CheckpointError("a zip archive, but not one of torch.save: it has no single data.pkl")
    folder = found[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in members:
        raise CheckpointError(
            "a TorchScript archive (torch.jit.save), which is a program with its numbers: save the network's "
            "state_dict() with torch.save instead"
        )
    if f"{folder}byteorder" in members and bytes(members[f"{folder}byteorder"].checked()[:6]) != b"little":
        raise CheckpointError("the file was written on a big-endian machine")
    checked: dict[str, memoryview] = {}

    def storage(reference: PersistentId) -> Storage:
        dtype, key, count = _storage_id(reference)
        name = f"{folder}data/{key}"
        if name not in checked:
            if name not in members:
                raise CheckpointError(f"the archive lacks {shown(name)}")
            checked[name] = members[name].checked()
        return Storage(dtype, _first(checked[name], count * dtype.itemsize, f"storage {shown(key)}"))

    return TorchFile(parse_pickle(members[found[0]].checked(), persistent=True).value, storage)


def read_torch_legacy(data: memoryview, max_opcodes: int = MAX_OPCODES) -> TorchFile:
    """Read a file that torch.save wrote in its old form.

    Raises:
        CheckpointError: not such a file, truncated, from a big-endian machine.
    """
    at = len(LEGACY_MAGIC)
    parts: list[Parsed] = []
    for _ in range(4):  # protocol, machine, the saved value, the keys of the storages
        part = parse_pickle(data, at, persistent=len(parts) == 2, max_opcodes=max_opcodes)
        parts.append(part)
        at = part.end
    protocol, machine, saved, keys = (part.value for part in parts)
    if protocol != 1001 or not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise CheckpointError("an unknown version of torch.save's old format, or from a big-endian machine")
    dtypes: dict[str, np.dtype] = {}
    for reference in parts[2].persistent:
        dtype, key, _ = _storage_id(reference)
        if dtypes.setdefault(key, dtype) != dtype:
            raise CheckpointError(f"storage {shown(key)} has two types")
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in dtypes for key in keys):
        raise CheckpointError("the list of storages is malformed")
    storages: dict[str, Storage] = {}
    for key in keys:
        count = int.from_bytes(_first(data[at:], 8, f"the size of storage {shown(key)}"), "little")
        contents = _first(data[at + 8 :], count * dtypes[key].itemsize, f"storage {shown(key)}")
        storages[key] = Storage(dtypes[key], contents)
        at += 8 + len(contents)

    def storage(reference: PersistentId) -> Storage:
        dtype, key, count = _storage_id(reference)
        if key not in storages:
            raise CheckpointError(f"the file lacks storage {shown(key)}")
        return Storage(dtype, _first(storages[key].data, count * dtype.itemsize, f"storage {shown(key)}"))

    return TorchFile(saved, storage)


def read_nested_storage(data: memoryview) -> Storage:
    """The storage in the bytes that a pickle passes to `torch.storage._load_from_bytes`."""
    if bytes(data[: len(LEGACY_MAGIC)]) != LEGACY_MAGIC:
        raise CheckpointError("a tensor's storage is not in the form of torch.save")
    file = read_torch_legacy(data, MAX_NESTED_OPCODES)
    if not isinstance(file.value, PersistentId):
        raise CheckpointError("a tensor's storage holds something other than numbers")
    return file.storage(file.value)


class Member(NamedTuple):
    """A file in a zip archive, stored uncompressed."""

    name: str
    data: memoryview
    crc: int

    def checked(self) -> memoryview:
        """The contents, once their check sum is right."""
        if zlib.crc32(self.data) != self.crc:
            raise CheckpointError(f"the file is damaged: {shown(self.name)} does not match its check sum")
        return self.data


def zip_members(data: memoryview) -> dict[str, Member]:
    """All members of a zip archive below 4 GiB. torch.save compresses nothing, so nothing is inflated here.

    Raises:
        CheckpointError: truncated, malformed, a compressed or encrypted member, members of one name or that overlap.
    """
    if len(data) < 22 or bytes(data[-22:-18]) != b"PK\x05\x06":
        raise CheckpointError("a zip archive without its end: the file is truncated")
    *disks, count_here, count, size, start, comment = struct.unpack("<4H2LH", data[-18:])
    if any(disks) or count_here != count or comment or start + size > len(data) - 22 or count > MAX_MEMBERS:
        raise CheckpointError(f"malformed zip archive: {count} members, directory of {size} bytes at {start}")
    members: dict[str, Member] = {}
    total = 0
    directory = data[start : start + size]
    for _ in range(count):
        entry = _first(directory, 46, "an entry of the zip directory")
        fields = struct.unpack("<4s6H3L5H2L", entry)
        signature, flags, method = fields[0], fields[3], fields[4]
        crc, packed, unpacked, name_length, extra, remark = fields[7:13]
        length = 46 + name_length + extra + remark
        _first(directory, length, "an entry of the zip directory")
        try:
            name = str(directory[46 : 46 + name_length], "utf-8")
        except UnicodeDecodeError as error:
            raise CheckpointError("malformed zip archive: a member's name is not UTF-8") from error
        directory = directory[length:]
        if signature != b"PK\x01\x02" or name in members:
            raise CheckpointError(f"malformed zip archive at member {shown(name)}")
        if method or flags & 1 or packed != unpacked:
            raise CheckpointError(f"member {shown(name)} is compressed or encrypted, torch.save does neither")
        total += unpacked
        if total > len(data):  # the sums over them would take for ever
            raise CheckpointError("malformed zip archive: its members overlap")
        header = _first(data[fields[16] :], 30, f"the header of {shown(name)}")
        if bytes(header[:4]) != ZIP_MAGIC:
            raise CheckpointError(f"malformed zip archive: no header of {shown(name)}")
        begin = fields[16] + 30 + sum(struct.unpack("<2H", header[26:]))
        members[name] = Member(name, _first(data[begin:start], unpacked, shown(name)), crc)
    return members


def _storage_id(reference: PersistentId) -> tuple[np.dtype, str, int]:
    """(type, key, number of elements) of ("storage", type, key, device, elements[, None])."""
    value = reference.value
    if not isinstance(value, tuple) or len(value) not in (5, 6) or not isinstance(value[0], str):
        raise CheckpointError("a persistent id that is not a storage of torch.save")
    kind, dtype, key, _, count = value[:5]
    if kind != "storage" or not isinstance(dtype, Name) or dtype.role != "storage type":
        raise CheckpointError("a persistent id that is not a storage of torch.save")
    if len(value) == 6 and value[5] is not None:
        raise CheckpointError("a storage that is a part of another, as PyTorch before 0.4 wrote them")
    if not isinstance(key, str) or len(key) > 100 or type(count) is not int or count < 0:
        raise CheckpointError("a storage with a malformed key or size")
    return DTYPES[dtype.name], key, count


def _first(data: memoryview, length: int, what: str) -> memoryview:
    if length > len(data):
        raise CheckpointError(f"truncated or malformed: {what} needs {length} bytes, {len(data)} are left")
    return data[:length]
