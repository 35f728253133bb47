"""Nothing that this project imports asks the network or writes into the user's home, unless the user asks for it.

Each test runs a process whose home folder is empty, and which notes every address that it asks for and every file that
it opens for writing, in all of its child processes, too. What a kernel and its notebook say to one another over the
loopback address is allowed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Read by each Python process at its start. Of the file system only what Python code itself writes is seen, of the
# network only Python's own sockets; OpenVINO's telemetry and the libraries of Hugging Face use both.
WATCH = """
import os, sys

RECORD, ALLOWED = os.environ["WATCH_RECORD"], os.environ["WATCH_ALLOWED"].split(os.pathsep)
LOCAL = ("127.0.0.1", "::1", "localhost", "", None)
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT

def note(text):
    handle = os.open(RECORD, os.O_WRONLY | os.O_APPEND)  # no `open`: it would be noted itself
    os.write(handle, (text + "\\n").encode())
    os.close(handle)

def watch(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.connect"):
        address = arguments[1] if event == "socket.connect" else arguments[0]
        host = address[0] if isinstance(address, tuple) else address
        if host not in LOCAL:
            note(f"asks the network: {event} {address!r}")
    path = flags = None
    if event == "open":
        path, _, flags = arguments
    elif event == "os.mkdir":
        path, flags = arguments[0], WRITES
    if isinstance(path, (str, bytes)) and (flags or 0) & WRITES:
        full = os.path.realpath(os.fsdecode(path))
        if full != RECORD and not any(full == folder or full.startswith(folder + os.sep) for folder in ALLOWED):
            note(f"writes: {full}")

sys.addaudithook(watch)
"""

# As users have it: no CI, in which OpenVINO's telemetry keeps still, and no folders set by hand.
SETTINGS = ("CI", "TF_BUILD", "JENKINS_URL", "MPLCONFIGDIR", "IPYTHONDIR", "HF_HUB_DISABLE_TELEMETRY")


class Watched:
    """Runs Python with an empty home, and says what was written there or elsewhere, and whom it asked."""

    def __init__(self, folder: Path):
        self.home, self.work, self.record = folder / "home", folder / "work", folder / "record"
        hook = folder / "hook"
        for new in (self.home, self.work, hook):
            new.mkdir()
        (hook / "sitecustomize.py").write_text(WATCH)
        self.record.touch()
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in SETTINGS and not name.startswith(("XDG_", "JUPYTER_", "HF_", "PYTEST_"))
        }
        self.environment = kept | {
            "HOME": str(self.home),
            "TMPDIR": str(self.work),
            "STYLEMIXSEG_CACHE": str(self.work / "cache"),
            "PYTHONPATH": os.pathsep.join([str(hook), str(ROOT)]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "WATCH_RECORD": str(self.record.resolve()),
            "WATCH_ALLOWED": os.pathsep.join([str(self.work.resolve()), "/dev", "/proc"]),
        }

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=self.work,
            env=self.environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def faults(self) -> list[str]:
        """What was noted, and what lies in the home folder, by whomever it was written."""
        return [*self.record.read_text().splitlines(), *(f"in the home: {path.name}" for path in self.home.iterdir())]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_the_watch_sees(watched: Watched, tmp_path: Path) -> None:
    """A process that asks and writes is found out, its child process too; what is allowed is not noted."""
    child = "import os; os.mkdir(os.path.expanduser('~/made'))"
    watched.run(
        "-c",
        "import os, socket, subprocess, sys\n"
        "open('here', 'w').close()\n"
        "socket.getaddrinfo('localhost', 80)\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(server.getsockname())\n"
        f"open({str(tmp_path / 'elsewhere')!r}, 'w').close()\n"
        "try:\n    socket.getaddrinfo('analytics.invalid', 443)\nexcept OSError:\n    pass\n"
        f"subprocess.run([sys.executable, '-c', {child!r}], check=True)\n",
    )
    assert watched.faults() == [
        f"writes: {(tmp_path / 'elsewhere').resolve()}",
        "asks the network: socket.getaddrinfo 'analytics.invalid'",
        f"writes: {(watched.home / 'made').resolve()}",
        "in the home: made",
    ]


def test_the_command_line(watched: Watched) -> None:
    segment = ("-m", "stylemixseg.commands.main", "segment", "--seed", "3", "-n", "2")
    watched.run(*segment, "--generator", "toy-room", "--objects", "sofa, lamp", "-o", "objects")
    watched.run(*segment, "--generator", "toy-stylegan", "--engine", "openvino", "-o", "network")
    assert (watched.work / "network" / "mask.png").is_file()
    assert watched.faults() == []


CHAPTER = """\
# %% [markdown]
# # Title

# %% tags=["parameters"]
profile = "smoke"
results = None

# %%
import sys

import matplotlib.pyplot as plt
from IPython.display import Markdown, display

from stylemixseg import StyleMixSegmenter, load_generator, seeded_z

generator = load_generator("toy-stylegan", engine="openvino")
result = StyleMixSegmenter(generator, n=2)(generator.mapping(seeded_z(0, generator.z_dim)))
plt.imshow(result.image)
plt.title("faces")
display(Markdown("drawn"))
print("openvino" in sys.modules)
"""

BUILD = """
import sys
from pathlib import Path

sys.path.insert(0, {book!r})
from bookbuild.execute import execute
from bookbuild.performance import write_performance

execute(Path("01_x.py"), Path("out.ipynb"), profile="smoke", results=Path("results").resolve())
write_performance(Path("pages"))
"""


def test_a_chapter_and_the_build(watched: Watched) -> None:
    """A kernel that imports OpenVINO and draws, and the process that runs it and draws too."""
    (watched.work / "01_x.py").write_text(CHAPTER)
    (watched.work / "pages").mkdir()
    watched.run("-c", BUILD.format(book=str(ROOT / "book")))
    text = (watched.work / "out.ipynb").read_text()
    assert "True" in text and "image/png" in text
    assert (watched.work / "cache" / "matplotlib").is_dir()
    assert watched.faults() == []


def test_the_tests(watched: Watched) -> None:
    """The set-up of all tests, with a test that draws and one that uses OpenVINO."""
    names = ("viz/test_plotting.py", "generators/openvino/test_openvino_engine.py::test_bad_latents")
    tests = [ROOT / "tests" / name for name in names]
    watched.run("-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    assert watched.faults() == []


OPENVINO_BEFORE_AND_AFTER = """
import sys

import openvino_telemetry as theirs

from stylemixseg.generators.openvino.quiet import openvino

assert sys.modules["openvino_telemetry"] is theirs
assert not hasattr(openvino.tools.ovc.telemetry_utils.tm, "OptInStatus"), "the telemetry itself, not the stub"
"""

OPENVINO_AS_ONE_HAS_IT = """
import sys
import types

mine = sys.modules["openvino_telemetry"] = types.ModuleType("openvino_telemetry")  # switched off by the user
mine.Telemetry = type("Telemetry", (), {"__init__": lambda *a, **k: None, "send_event": lambda *a: None})
backend = sys.modules["openvino_telemetry.backend"] = types.ModuleType("openvino_telemetry.backend")
backend.backend_ga4 = None
import openvino as before

from stylemixseg.generators.openvino.quiet import openvino

assert openvino is before and sys.modules["openvino_telemetry"] is mine
"""


@pytest.mark.parametrize("code", [OPENVINO_BEFORE_AND_AFTER, OPENVINO_AS_ONE_HAS_IT], ids=["telemetry", "openvino"])
def test_what_a_user_has_imported_stays(watched: Watched, code: str) -> None:
    watched.run("-c", code)
    assert watched.faults() == []


def test_the_table_of_modules_is_left_as_it_was(watched: Watched) -> None:
    """Other code of the process may import the telemetry afterwards, if it wants to."""
    watched.run(
        "-c",
        "import sys\n"
        "from stylemixseg.generators.openvino.quiet import openvino\n"
        "assert 'openvino_telemetry' not in sys.modules\n"
        "import openvino_telemetry\n"
        "assert openvino_telemetry.Telemetry\n",
    )
    assert watched.faults() == []


def test_openvino_is_imported_in_one_place() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("stylemixseg", "book", "benchmarks", "data_scripts", "notebooks", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"^\s*(import|from) openvino\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert found - {"tests/_util/test_quiet.py"} == {"stylemixseg/generators/openvino/quiet.py"}
