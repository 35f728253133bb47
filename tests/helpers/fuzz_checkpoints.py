"""Fuzz the checkpoint readers: `python tests/helpers/fuzz_checkpoints.py --minutes 10 --seed 0`.

Small valid files of every format are changed (bytes, pieces, pickle instructions, JSON fields), and pickles made up.
A find is anything but a CheckpointError or the network that is in the file: another exception, an import, code or a
file opened while reading, the canary's existence, more CPU time than MAX_SECONDS, more memory than the package states,
numbers other than those that a second reader finds under the same names (`second_reader`). A changed file
whose error is a new one (digits aside) is kept and changed further, so that the search gets past the first checks.
Finds are written to `--finds`; the exit status is 1 if there are any.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import pickletools
import random
import re
import struct
import sys
import tempfile
import time
import traceback
import zipfile
from pathlib import Path

import checkpoint_files as files
import second_reader

from stylemixseg.generators import checkpoints
from stylemixseg.generators.checkpoints import CheckpointError, read_checkpoint
from stylemixseg.generators.checkpoints.restricted import NAMES
from stylemixseg.generators.checkpoints.storages import LEGACY_MAGIC, ZIP_MAGIC

MAX_SECONDS = 3.0
MAX_CORPUS = 500
MAX_LENGTH = 300_000
EXTREMES = [0, 1, 2, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1]


def resident(field: str) -> int:
    """VmRSS or VmHWM of this process in bytes."""
    match = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(match[1]) << 10


def examine(data: bytes, path: Path, watch: files.Watch, canary: Path) -> tuple[str, str | None]:
    """(the outcome with digits removed, what is wrong with it or None)."""
    path.write_bytes(data)
    Path("/proc/self/clear_refs").write_text("5")  # begin a new peak of VmHWM
    before, started = resident("VmRSS"), time.process_time()
    wrong = checkpoint = None
    try:
        with watch.over(path):
            checkpoint = read_checkpoint(path)
        outcome = "read"
    except CheckpointError as error:
        outcome = re.sub(r"\d+|'.*?'", "#", str(error))[:70]
    except Exception:  # a find, whatever it is
        outcome, wrong = "escaped", traceback.format_exc()
    seconds, memory = time.process_time() - started, resident("VmHWM") - before
    if watch.events:
        wrong = f"events while reading: {watch.events[:5]}"
    elif canary.exists():
        wrong = "the canary exists"
    elif seconds > MAX_SECONDS:
        wrong = f"{seconds:.1f} s of CPU time"
    elif memory > checkpoints.MAX_MEMORY_FACTOR * len(data) + checkpoints.MAX_MEMORY_FLOOR:
        wrong = f"{memory} bytes of memory for a file of {len(data)}"
    elif checkpoint is not None:  # last: the second reader may take memory and import
        try:
            wrong = second_reader.disagreement(data, checkpoint)
        except second_reader.UnconfirmedError:
            outcome = "read, unconfirmed"
    return outcome, wrong


# ---------------------------------------------------------------------------------------------------------------------
# changes


def flip(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwrite(rng: random.Random, data: bytes) -> bytes:
    """A number that is likely to matter, somewhere."""
    size = rng.choice([1, 2, 4, 8])
    at = rng.randrange(max(1, len(data) - size))
    return data[:at] + (rng.choice(EXTREMES) % 2 ** (8 * size)).to_bytes(size, "little") + data[at + size :]


def cut(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] if rng.random() < 0.5 else data[:start] + data[start + rng.choice([1, 4, 8, 100, 1000]) :]


def insert(rng: random.Random, data: bytes) -> bytes:
    at, size = rng.randrange(len(data) + 1), rng.choice([1, 2, 8, 100])
    start = rng.randrange(len(data) + 1)
    piece = data[start : start + size] if rng.random() < 0.5 else rng.randbytes(size)
    return data[:at] + piece + data[at:]


def fragment(rng: random.Random, canary: Path) -> bytes:
    """A few pickle instructions: values, allowed names in odd places, payloads."""
    shell = files.text(f"touch {canary}")
    module, attribute = rng.choice(list(NAMES))
    number = rng.choice(EXTREMES) * rng.choice([1, -1])
    shape = tuple(rng.choice([0, 1, 2, 5, 6, 2**40, -1]) for _ in range(rng.randrange(5)))
    storage = files.storage_id(str(rng.randrange(9)), rng.choice([1, 6, 2**40]))
    return rng.choice(
        [
            lambda: files.call(files.name("os", "system"), shell),
            lambda: files.call(files.stack_name(files.text("builtins"), files.text("exec")), shell),
            lambda: files.name(module, attribute),
            lambda: files.call(files.name(module, attribute), *rng.choices([b"N", b"]", b"}", b")", b"K\x01"], k=2)),
            lambda: files.name(module, attribute) + b")\x81" + rng.choice([b"}", b")", b"N"]) + b"b",
            lambda: files.integer(number),
            lambda: files.text(rng.choice(["weight", "state", "G_ema", "decoder.", "\ud800", "f4", "latin1", ""])),
            lambda: files.raw(rng.randbytes(rng.choice([0, 4, 24]))),
            lambda: files.tensor(storage, rng.choice([0, 1, -1]), shape, shape),
            lambda: files.array(files.items(*map(files.integer, shape)), files.numpy_type("f4"), files.raw(bytes(24))),
            lambda: rng.choice([b"N", b"\x88", b"\x89", b")", b"]", b"}", b"\x8f", b"(", b"0", b"1", b"2", b"."]),
            lambda: rng.choice([b"t", b"u", b"e", b"\x90", b"s", b"a", b"b", b"R", b"\x81", b"\x85", b"\x94", b"Q"]),
            lambda: rng.choice([b"h", b"q"]) + bytes([rng.randrange(256)]),
            lambda: rng.choice([b"j", b"r"]) + struct.pack("<I", rng.choice([0, 3, 300, 2**31, 2**32 - 1])),
            lambda: rng.choice([b"\x8e", b"\x8d", b"\x96", b"\x95"]) + struct.pack("<Q", rng.choice(EXTREMES)),
            lambda: b"G" + struct.pack(">d", rng.choice([0.0, -1.0, float("nan"), float("inf"), 1e300])),
        ]
    )()


def instructions(data: bytes) -> list[bytes] | None:
    """A pickle as its instructions, or None where it is not one."""
    try:
        places = [place for _, _, place in pickletools.genops(data)]
    except Exception:  # pickletools raises many types on broken pickles
        return None
    return [data[start:end] for start, end in zip(places, [*places[1:], len(data)])]


def change_pickle(rng: random.Random, data: bytes, canary: Path) -> bytes:
    """Change whole instructions; storages inside long byte strings are changed as files of their own."""
    steps = instructions(data)
    if not steps:
        return flip(rng, data)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        at = rng.randrange(len(steps))
        kind = rng.randrange(7)
        if kind == 0:
            steps.insert(at, fragment(rng, canary))
        elif kind == 1:
            steps[at] = fragment(rng, canary)
        elif kind == 2:
            del steps[at : at + rng.choice([1, 1, 2, 10])]
        elif kind == 3:
            steps[at:at] = steps[(start := rng.randrange(len(steps))) : start + rng.choice([1, 2, 10, 60])]
        elif kind == 4:
            other = rng.randrange(len(steps))
            steps[at], steps[other] = steps[other], steps[at]
        elif kind == 5:
            steps[at] = steps[at][:1] + flip(rng, steps[at][1:]) if len(steps[at]) > 1 else steps[at]
        else:
            inner = [i for i, step in enumerate(steps) if LEGACY_MAGIC in step[:20]]
            if inner:
                place = rng.choice(inner)
                storage = steps[place][steps[place].index(LEGACY_MAGIC) :]
                steps[place] = files.raw(change_legacy(rng, storage, canary))
        if not steps:
            return b"\x80\x04."
    return b"".join(steps)


def change_legacy(rng: random.Random, data: bytes, canary: Path) -> bytes:
    """Change one of the five pickles of torch.save's old form, or the storages after them."""
    stream, parts = io.BytesIO(data), []
    try:
        for _ in range(5):
            start = stream.tell()
            collections.deque(pickletools.genops(stream), maxlen=0)
            parts.append(data[start : stream.tell()])
    except Exception:
        return flip(rng, data)
    parts.append(data[stream.tell() :])
    which = rng.randrange(1, 6)
    parts[which] = overwrite(rng, parts[which]) if which == 5 else change_pickle(rng, parts[which], canary)
    return b"".join(parts)


def change_zip(rng: random.Random, data: bytes, canary: Path) -> bytes:
    """Change the pickle in an archive and write the archive anew, so that its check sums are right."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        (pickle_name,) = [name for name in members if name.endswith("data.pkl")]
    except Exception:
        return flip(rng, data)
    if rng.random() < 0.1:
        name = rng.choice(list(members))
        members[name] = cut(rng, members[name])
    else:
        members[pickle_name] = change_pickle(rng, members[pickle_name], canary)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if rng.random() < 0.02 else zipfile.ZIP_STORED) as archive:
        for name, contents in members.items():
            archive.writestr(name, contents)
    return buffer.getvalue()


def change_json(rng: random.Random, data: bytes) -> bytes:
    """Change fields of a safetensors header."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
    except ValueError:
        return flip(rng, data)
    odd = [None, True, 0, -1, 2**62, 10**30, 1.5, "", "F16", [], [0, 0], [2**62], {}, "\x1b[2J", "[", '{"a": 1}']
    for _ in range(rng.choice([1, 1, 2, 4])):
        if not isinstance(header, dict) or not header:
            break
        entry = header[rng.choice(list(header))] if rng.random() < 0.9 else header
        if not isinstance(entry, dict) or not entry:
            continue
        key = rng.choice(list(entry))
        if isinstance(entry[key], list) and entry[key] and rng.random() < 0.7:
            entry[key] = [*entry[key]]
            entry[key][rng.randrange(len(entry[key]))] = rng.choice(odd)
        elif rng.random() < 0.3:
            del entry[key]
        else:
            entry[key] = rng.choice(odd)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def made_up(rng: random.Random, canary: Path) -> bytes:
    """A pickle of random instructions, alone or in one of torch.save's containers."""
    body = b"".join(fragment(rng, canary) for _ in range(rng.choice([3, 10, 40])))
    pickle_bytes = b"\x80" + bytes([rng.choice([2, 3, 4, 5])]) + body + b"."
    container = rng.randrange(4)
    if container == 0:
        return files.torch_zip(pickle_bytes, {"0": bytes(24)})
    if container == 1:
        parts = [b"", b"", b"", b""]
        parts[rng.randrange(4)] = pickle_bytes
        return files.torch_legacy(*parts, storages=rng.randbytes(40))
    return pickle_bytes


def change(rng: random.Random, data: bytes, corpus: list[bytes], canary: Path) -> bytes:
    if rng.random() < 0.6:
        if data.startswith(ZIP_MAGIC):
            return change_zip(rng, data, canary)
        if data.startswith(LEGACY_MAGIC):
            return change_legacy(rng, data, canary)
        if data[8:9] == b"{":
            return change_json(rng, data)
        return change_pickle(rng, data, canary)
    if rng.random() < 0.2:
        other = rng.choice(corpus)
        return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]
    return rng.choice([flip, flip, overwrite, overwrite, cut, insert])(rng, data)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--finds", type=Path, help="folder for files that are finds (default: a temporary one)")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="stylemixseg-fuzz-") as folder_name:
        folder = Path(folder_name)
        canary, path = folder / "canary", folder / "input"
        corpus = list(files.valid_files(folder).values())
        valid, watch, outcomes, finds = len(corpus), files.Watch(), collections.Counter(), []
        for data in corpus:
            outcome, wrong = examine(data, path, watch, canary)
            assert outcome == "read" and not wrong, (outcome, wrong)
        started = time.monotonic()
        while time.monotonic() - started < 60 * options.minutes:
            if rng.random() < 0.1:
                data = made_up(rng, canary)
            else:
                whole = rng.random() < 0.5  # half of the time from a file that can be read
                data = change(rng, corpus[rng.randrange(valid if whole else len(corpus))], corpus, canary)
            if len(data) > MAX_LENGTH:
                continue
            outcome, wrong = examine(data, path, watch, canary)
            if wrong:
                place = options.finds or Path(tempfile.mkdtemp(prefix="stylemixseg-finds-"))
                place.mkdir(parents=True, exist_ok=True)
                (place / f"find-{len(finds):03d}").write_bytes(data)
                finds.append(wrong)
                print(f"FIND {place / f'find-{len(finds) - 1:03d}'}: {wrong}", flush=True)
                canary.unlink(missing_ok=True)
            if outcome not in outcomes and len(corpus) < MAX_CORPUS:
                corpus.append(data)
            outcomes[outcome] += 1
        report = {
            "executions": outcomes.total(),
            "minutes": round((time.monotonic() - started) / 60, 2),
            "seed": options.seed,
            "read": outcomes["read"],
            "read, but not by the second reader": outcomes["read, unconfirmed"],
            "distinct outcomes": len(outcomes),
            "finds": len(finds),
        }
        print(json.dumps(report))
    return 1 if finds else 0


if __name__ == "__main__":
    sys.exit(main())
