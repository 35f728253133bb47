"""A pickle reader that calls nothing: the file becomes a tree of inert values.

A pickle is a program for a small stack machine. Python's own machine imports what the program names and calls it,
which is how such files run code. This one knows the instructions that StyleGAN2 checkpoints use and builds, where
the program asks for a call, a `Call` that says what would have been called. No name of the file is ever imported, so
there is nothing that a clever program could reach: the readers only look at the tree.

What the program may ask for is bounded as well:

- names: those in `NAMES`; any other ends the reading, with the name in the error;
- instructions: MAX_OPCODES; every one makes at most one small object, or a view into the file;
- lengths: checked against the bytes that are left before anything is made of them;
- keys of dictionaries: text or 64-bit numbers, MAX_ITEMS a dictionary, so that hashing stays cheap;
- depth: any, as nothing here is recursive. The tree may hold cycles, its readers have to count their steps.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stylemixseg.generators.checkpoints.checkpoint import CheckpointError, shown

MAX_OPCODES = 250_000  # a training snapshot at 1024 px (three networks, optimisers) has about 50,000
MAX_ITEMS = 10_000
MAX_INT_BYTES = 32
MAX_NAME_BYTES = 256
SAVE_NAMES = (
    ". If it is the class of your own network, saved whole, save torch.save(network.state_dict(), path) instead, which "
    "names no class"
)


@dataclass(frozen=True, slots=True)
class Name:
    """A module-level name that the pickle mentions, and what it stands for here."""

    module: str
    name: str
    role: str


@dataclass(slots=True, eq=False)
class Call:
    """A call that the pickle asked for and that was not made: function, arguments, and the state set afterwards."""

    function: Name
    args: tuple
    state: object = None


@dataclass(frozen=True, slots=True, eq=False)
class PersistentId:
    """A reference to something outside the pickle: the storages of torch.save."""

    value: object


# Where rosinality's classes stand in that code and in pSp, e4e and ReStyle, for networks that are saved whole.
ROSINALITY_MODULES = [
    f"{package}{name}" for package in ("", "stylegan2.", "models.stylegan2.") for name in ("model", "op.fused_act")
]
ROSINALITY_CLASSES = [
    "Blur", "ConstantInput", "EqualConv2d", "EqualLinear", "FusedLeakyReLU", "Generator", "ModulatedConv2d",
    "NoiseInjection", "PixelNorm", "ScaledLeakyReLU", "StyledConv", "ToRGB", "Upsample",
]  # fmt: skip
STORAGES = ["Half", "BFloat16", "Float", "Double", "Byte", "Char", "Short", "Int", "Long", "Bool"]
TORCH_VALUES = [
    "Size", "device", "float16", "bfloat16", "float32", "float64", "int32", "int64", "uint8", "bool",
]  # fmt: skip


def _names() -> dict[tuple[str, str], Name]:
    roles = {
        "mapping": ["collections.OrderedDict", "dnnlib.util.EasyDict"],
        "set": ["builtins.set", "__builtin__.set"],
        "namespace": ["argparse.Namespace"],
        "array": ["numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"],
        "array from buffer": ["numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer"],
        "array type": ["numpy.ndarray"],
        "dtype": ["numpy.dtype"],
        "scalar": ["numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"],
        "encode": ["_codecs.encode"],
        "tensor": ["torch._utils._rebuild_tensor_v2"],
        "parameter": ["torch._utils._rebuild_parameter"],
        "storage": ["torch.storage._load_from_bytes"],
        "storage type": [f"torch.{kind}Storage" for kind in STORAGES],
        "torch value": [f"torch.{name}" for name in TORCH_VALUES],
        "module": ["torch_utils.persistence._reconstruct_persistent_obj"],
        "network": ["dnnlib.tflib.network.Network"],
        "plain module": [
            *(f"{package}.{name}" for package in ROSINALITY_MODULES for name in ROSINALITY_CLASSES),
            *(f"torch.nn.modules.{name}" for name in ("container.Sequential", "container.ModuleList", "module.Module")),
            "torch.nn.parallel.data_parallel.DataParallel",
        ],
    }
    names: dict[tuple[str, str], Name] = {}
    for role, paths in roles.items():
        for path in paths:
            module, _, name = path.rpartition(".")
            names[module, name] = Name(module, name, role)
    return names


NAMES = _names()
STATEFUL = {"array", "dtype", "namespace", "network", "plain module"}  # what a state may be set on


class Parsed(NamedTuple):
    """The pickle's value, where it ended, and the persistent ids in it."""

    value: object
    end: int
    persistent: list[PersistentId]


def parse_pickle(
    data: memoryview, start: int = 0, *, persistent: bool = False, max_opcodes: int = MAX_OPCODES
) -> Parsed:
    """Read the pickle that begins at byte `start`.

    Args:
        data: bytes that outlive the result: long byte strings in it are views into them.
        start: index into `data` of the pickle's first byte.
        persistent: whether persistent ids may occur, as they do in files of torch.save.
        max_opcodes: how many instructions the pickle may have.

    Returns:
        None, bool, int, float, str, memoryview, tuple, list, dict, set, `Name`, `Call`, `PersistentId` in any nesting.

    Raises:
        CheckpointError: truncated or malformed, a name or instruction that is not allowed, a bound exceeded.
    """
    machine = _Machine(data, start, persistent)
    if bytes(data[start : start + 1]) != b"\x80" or data[start + 1 : start + 2].tolist() not in [[2], [3], [4], [5]]:
        raise CheckpointError(f"no pickle of protocol 2 to 5 at byte {start}")
    machine.at += 2
    for _ in range(max_opcodes):
        opcode = machine.take(1)[0]
        if opcode == ord("."):
            value = machine.pop()
            if machine.stack:
                raise CheckpointError(f"malformed pickle: it ends with {len(machine.stack)} values left over")
            return Parsed(value, machine.at, machine.persistent_ids)
        action = _ACTIONS.get(opcode)
        if action is None:
            name = _OPCODES.get(opcode, f"0x{opcode:02x}")
            raise CheckpointError(f"refused pickle instruction {name} at byte {machine.at - 1}")
        action(machine)
    raise CheckpointError(f"the pickle has more than {max_opcodes} instructions, a StyleGAN2 checkpoint has fewer")


@dataclass(slots=True)
class _Machine:
    data: memoryview
    at: int
    persistent: bool
    stack: list = field(default_factory=list)
    marks: list[int] = field(default_factory=list)  # heights of the stack
    memo: dict[int, object] = field(default_factory=dict)
    persistent_ids: list[PersistentId] = field(default_factory=list)
    encoded_bytes: int = 0

    def take(self, length: int) -> memoryview:
        left = len(self.data) - self.at
        if not 0 <= length <= left:
            raise CheckpointError(f"truncated or malformed pickle: {length} bytes wanted at {self.at}, {left} left")
        self.at += length
        return self.data[self.at - length : self.at]

    def number(self, layout: str) -> Any:  # int or float, as the layout says
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> str:
        head = bytes(self.data[self.at : self.at + MAX_NAME_BYTES])
        length = head.find(b"\n")
        if length < 0:
            raise CheckpointError(f"malformed pickle: no name of up to {MAX_NAME_BYTES} bytes at {self.at}")
        text = _text(self.take(length))
        self.at += 1
        return text

    def push(self, value: object) -> None:
        self.stack.append(value)

    def top(self) -> object:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise CheckpointError(f"malformed pickle: nothing on the stack at byte {self.at}")
        return self.stack[-1]

    def pop(self) -> object:
        value = self.top()
        self.stack.pop()
        return value

    def pop_mark(self) -> list:
        if not self.marks:
            raise CheckpointError(f"malformed pickle: no mark on the stack at byte {self.at}")
        height = self.marks.pop()
        items = self.stack[height:]
        del self.stack[height:]
        return items

    def remember(self, index: int) -> None:
        if index >= MAX_OPCODES:
            raise CheckpointError(f"malformed pickle: memo index {index}")
        self.memo[index] = self.top()

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise CheckpointError(f"malformed pickle: nothing remembered under {index}")
        self.push(self.memo[index])

    def name(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise CheckpointError(f"refused a name made of {type(module).__name__} and {type(name).__name__}")
        if (module, name) not in NAMES:
            class_name = name.rpartition(".")[2]
            advice = SAVE_NAMES if class_name[:1].isupper() and class_name.isidentifier() else ""
            raise CheckpointError(
                f"refused {shown(module)}.{shown(name)}: the file asks for it, no StyleGAN2 generator needs it. "
                f"Nothing was run{advice}"
            )
        self.push(NAMES[module, name])

    def call(self) -> None:
        args, function = self.pop(), self.pop()
        if not isinstance(function, Name) or not isinstance(args, tuple):
            raise CheckpointError(f"malformed pickle: a call of {type(function).__name__} at byte {self.at}")
        if function.role == "encode":
            self.push(self.encoded(args))
        elif function.role != "mapping":
            self.push(Call(function, args))
        elif args:
            raise CheckpointError(f"refused {function.module}.{function.name} with arguments")
        else:
            self.push({})

    def encoded(self, args: tuple) -> memoryview:
        """Bytes in the way in which protocol 2 writes them: as Latin-1 text, to be encoded."""
        if len(args) != 2 or not isinstance(args[0], str) or not isinstance(args[1], str) or args[1] != "latin1":
            raise CheckpointError(f"refused _codecs.encode with other arguments than text and 'latin1' at {self.at}")
        self.encoded_bytes += len(args[0])
        if self.encoded_bytes > len(self.data):  # the same text again and again
            raise CheckpointError("the pickle encodes more text than it holds")
        try:
            return memoryview(args[0].encode("latin1"))
        except UnicodeEncodeError as error:
            raise CheckpointError(f"malformed pickle: text at {self.at} stands for no bytes") from error

    def build(self) -> None:
        state, target = self.pop(), self.top()
        if isinstance(target, dict) and isinstance(state, dict):
            return  # attributes of an OrderedDict: the module versions of a state dictionary
        if not isinstance(target, Call) or target.function.role not in STATEFUL or target.state is not None:
            raise CheckpointError(f"refused to set the state of {type(target).__name__} at byte {self.at}")
        target.state = state

    def store(self, items: list) -> None:
        target = self.top()
        if not isinstance(target, dict) or len(items) % 2:
            raise CheckpointError(f"malformed pickle: {len(items)} items for {type(target).__name__} at {self.at}")
        for key, value in zip(items[::2], items[1::2]):
            if not (isinstance(key, str) or (isinstance(key, int) and -(2**63) <= key < 2**63)):
                raise CheckpointError(f"refused a dictionary key of type {type(key).__name__}")
            target[key] = value
        if len(target) > MAX_ITEMS:
            raise CheckpointError(f"a dictionary has more than {MAX_ITEMS} items")

    def append(self, items: list) -> None:
        target = self.top()
        if not isinstance(target, list):
            raise CheckpointError(f"malformed pickle: items for {type(target).__name__} at byte {self.at}")
        target.extend(items)

    def add(self) -> None:
        items, target = self.pop_mark(), self.top()
        if not isinstance(target, set) or not all(isinstance(item, str) for item in items):
            raise CheckpointError(f"refused a set of anything but text at byte {self.at}")
        target.update(items)

    def store_one(self) -> None:
        value, key = self.pop(), self.pop()
        self.store([key, value])

    def refer(self) -> None:
        if not self.persistent:
            raise CheckpointError(f"refused a persistent id at byte {self.at}: only torch.save writes them")
        self.persistent_ids.append(PersistentId(self.pop()))
        self.push(self.persistent_ids[-1])

    def stack_name(self) -> None:
        name, module = self.pop(), self.pop()
        self.name(module, name)

    def tuple(self, length: int) -> None:
        items = [self.pop() for _ in range(length)]
        self.push(tuple(reversed(items)))

    def frame(self) -> None:
        length = self.number("<Q")
        if length > len(self.data) - self.at:
            raise CheckpointError(f"truncated or malformed pickle: a frame of {length} bytes at {self.at}")

    def integer(self, layout: str) -> None:
        length = self.number(layout)
        if length > MAX_INT_BYTES:
            raise CheckpointError(f"refused a number of {length} bytes at {self.at}")
        self.push(int.from_bytes(self.take(length), "little", signed=True))


def _text(data: memoryview) -> str:
    try:
        return str(data, "utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"malformed pickle: text that is not UTF-8 ({error.reason})") from error


def _sized(layout: str, make: Callable[[memoryview], object] | None = None) -> Callable[[_Machine], None]:
    """A value that follows its own length."""

    def action(machine: _Machine) -> None:
        data = machine.take(machine.number(layout))
        machine.push(make(data) if make else data)

    return action


# What is not here is refused: the text forms of protocol 0, INST, OBJ, NEWOBJ_EX, EXT*, DUP, FROZENSET, buffers
# outside the file.
_BY_NAME: dict[str, Callable[[_Machine], object]] = {
    "NONE": lambda m: m.push(None),
    "NEWTRUE": lambda m: m.push(True),
    "NEWFALSE": lambda m: m.push(False),
    "BININT": lambda m: m.push(m.number("<i")),
    "BININT1": lambda m: m.push(m.number("<B")),
    "BININT2": lambda m: m.push(m.number("<H")),
    "LONG1": lambda m: m.integer("<B"),
    "LONG4": lambda m: m.integer("<i"),
    "BINFLOAT": lambda m: m.push(m.number(">d")),
    "SHORT_BINUNICODE": _sized("<B", _text),
    "BINUNICODE": _sized("<I", _text),
    "BINUNICODE8": _sized("<Q", _text),
    "SHORT_BINBYTES": _sized("<B"),
    "BINBYTES": _sized("<I"),
    "BINBYTES8": _sized("<Q"),
    "BYTEARRAY8": _sized("<Q"),
    "EMPTY_TUPLE": lambda m: m.push(()),
    "TUPLE": lambda m: m.push(tuple(m.pop_mark())),
    "TUPLE1": lambda m: m.tuple(1),
    "TUPLE2": lambda m: m.tuple(2),
    "TUPLE3": lambda m: m.tuple(3),
    "EMPTY_LIST": lambda m: m.push([]),
    "APPEND": lambda m: m.append([m.pop()]),
    "APPENDS": lambda m: m.append(m.pop_mark()),
    "EMPTY_DICT": lambda m: m.push({}),
    "SETITEM": _Machine.store_one,
    "SETITEMS": lambda m: m.store(m.pop_mark()),
    "EMPTY_SET": lambda m: m.push(set()),
    "ADDITEMS": _Machine.add,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.pop_mark,
    "MARK": lambda m: m.marks.append(len(m.stack)),
    "BINGET": lambda m: m.recall(m.number("<B")),
    "LONG_BINGET": lambda m: m.recall(m.number("<I")),
    "BINPUT": lambda m: m.remember(m.number("<B")),
    "LONG_BINPUT": lambda m: m.remember(m.number("<I")),
    "MEMOIZE": lambda m: m.remember(len(m.memo)),
    "GLOBAL": lambda m: m.name(m.line(), m.line()),
    "STACK_GLOBAL": _Machine.stack_name,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,  # a class in place of a function, otherwise the same
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.refer,
    "FRAME": _Machine.frame,
}
_OPCODES = {ord(opcode.code): opcode.name for opcode in pickletools.opcodes}
_ACTIONS = {code: _BY_NAME[name] for code, name in _OPCODES.items() if name in _BY_NAME}
