"""Sets below a URL: the same bytes as in a folder, however often interrupted, and one run at a time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import fsspec
import pytest
from trees import tree

from stylemixseg._util.quiet import absent
from stylemixseg.commands import main as cli
from stylemixseg.factory import objectstore
from stylemixseg.factory.engines.process import ProcessEngine
from stylemixseg.factory.formats.base import writer_of
from stylemixseg.factory.objectstore import LEASE, Lease, Objects
from stylemixseg.factory.recipe import Recipe
from stylemixseg.factory.run import synthesize
from stylemixseg.factory.sample import Sample
from stylemixseg.factory.store import StoreError, place_of
from stylemixseg.foreground import CornerMinority
from stylemixseg.settings import SegmenterConfig

RECIPE = Recipe("toy-portrait", SegmenterConfig(n=4, k=3, rule=CornerMinority(), resolution=32), size=32)
COUNT = 5
URL = "memory://bucket/sets/faces"
TOY = "--generator toy-portrait -n 4 -k 3 --rule corner --resolution 32 --size 32".split()


class Counting:
    """The usual engine, which notes the seeds that it is asked for; `stop` raises before the sample of that seed."""

    def __init__(self, stop: int | None = None, error: type[BaseException] = KeyboardInterrupt):
        self.seeds: list[int] = []
        self.stop, self.error = stop, error

    def make(self, recipe, seeds):
        for seed, data in ProcessEngine().make(recipe, seeds):
            if seed == self.stop:
                raise self.error
            self.seeds.append(seed)
            yield seed, data


@pytest.fixture(autouse=True)
def memory():
    """An empty store in memory."""
    store = fsspec.filesystem("memory")
    store.rm("/", recursive=True)
    yield store
    store.rm("/", recursive=True)


@pytest.fixture(scope="module")
def formats() -> list[str]:
    for module in ("webdataset", "datasets", "pycocotools"):
        pytest.importorskip(module)
    return ["folder", "webdataset", "parquet", "coco"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, formats) -> Path:
    """A set in a folder, made in one go."""
    out = tmp_path_factory.mktemp("whole") / "set"
    synthesize(out, RECIPE, COUNT, formats=formats)
    return out


def objects(store, url: str = URL) -> dict[str, bytes]:
    root = "/" + url.partition("://")[2]
    return {path.removeprefix(root + "/"): store.cat_file(path) for path in store.find(root)}


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in tree(folder)}


def test_a_url_holds_what_a_folder_would(whole, memory, formats):
    manifest = synthesize(URL, RECIPE, COUNT, formats=formats)
    assert manifest == json.loads((whole / "manifest.json").read_text())
    assert objects(memory) == contents(whole)  # no lease and no mark of an unfinished format is left


def test_shards_and_files_are_sent_as_they_become_whole(whole, memory, formats, monkeypatch, tmp_path):
    monkeypatch.setattr("stylemixseg.factory.formats.webdataset._PER_SHARD", 2)
    monkeypatch.setattr("stylemixseg.factory.formats.parquet._PER_FILE", 2)
    monkeypatch.setattr(objectstore, "_AT_ONCE", 1)
    synthesize(tmp_path / "set", RECIPE, COUNT, formats=formats)
    synthesize(URL, RECIPE, COUNT, formats=formats)
    found = objects(memory)
    assert found == contents(tmp_path / "set")
    assert {"webdataset/shard-000002.tar", "parquet/data/train-00002.parquet"} <= set(found)


@pytest.mark.parametrize("name", ["folder", "webdataset", "parquet", "coco"])
def test_a_file_that_is_given_as_whole_is_written_no_more(whole, formats, tmp_path, monkeypatch, name):
    monkeypatch.setattr("stylemixseg.factory.formats.webdataset._PER_SHARD", 2)
    monkeypatch.setattr("stylemixseg.factory.formats.parquet._PER_FILE", 2)
    given: dict[Path, bytes] = {}
    writer = writer_of(name)(tmp_path, RECIPE.labels)
    for path in sorted(whole.glob("samples/*/*.zip")):
        for file in writer.add(Sample.from_bytes(path.read_bytes())):
            assert file not in given
            given[file] = file.read_bytes()
            file.unlink()
    for file in writer.close():
        assert file not in given
        given[file] = file.read_bytes()
        file.unlink()
    assert len(given) > 1 and [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_interrupted_run_goes_on_by_listing_and_ends_the_same(whole, memory, formats, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        synthesize(URL, RECIPE, COUNT, engine=Counting(stop=2), formats=formats)
    assert set(objects(memory)) == {"run.json", *(f"samples/0000000/000000000{seed}.zip" for seed in (0, 1))}
    memory.pipe_file("/bucket/sets/faces/samples/0000000/0000000001.zip", b"")  # as no store leaves it
    read = []
    monkeypatch.setattr(objectstore, "read_sample", lambda *a: read.append(a[1]) or real(*a))
    engine = Counting(stop=4)
    with pytest.raises(KeyboardInterrupt):
        synthesize(URL, RECIPE, COUNT, engine=engine, formats=formats)
    assert engine.seeds == [1, 2, 3] and read == []
    engine = Counting()
    synthesize(URL, RECIPE, COUNT, engine=engine, formats=formats)
    assert engine.seeds == [4] and read == list(range(COUNT))
    assert objects(memory) == contents(whole)


real = objectstore.read_sample


def test_a_run_killed_while_it_wrote_formats_leaves_nothing_that_stays(whole, memory, formats):
    synthesize(URL, RECIPE, COUNT, formats=formats)
    for name in ("coco/manifest.json", "folder/manifest.json"):  # as it is between the mark and the manifest
        memory.rm_file(f"/bucket/sets/faces/{name}")
    for name in (".coco.unfinished", ".folder.unfinished", "coco/images/9999999999.png", "manifest.json"):
        memory.pipe_file(f"/bucket/sets/faces/{name}", b"old")
    old = {"token": "dead", "host": "gone", "process": 1, "renewed": time.time() - 2 * objectstore.LEASE_S}
    memory.pipe_file(f"/bucket/sets/faces/{LEASE}", json.dumps(old).encode())
    engine = Counting()
    synthesize(URL, RECIPE, COUNT, engine=engine, formats=formats)
    assert engine.seeds == [] and objects(memory) == contents(whole)


def test_two_runs_do_not_share_a_url(memory):
    with Lease(Objects(URL)):
        with pytest.raises(StoreError, match=r"another run is at it \(process \d+ on .*delete memory://.*/\.lease"):
            synthesize(URL, RECIPE, 1)
        assert set(objects(memory)) == {LEASE}
    synthesize(URL, RECIPE, 1)


def test_a_lease_is_renewed_and_a_run_that_lost_it_stops(memory, monkeypatch):
    monkeypatch.setattr(objectstore, "_RENEW_S", 0.01)
    with Lease(Objects(URL)) as lease:
        first = json.loads(memory.cat_file(f"/bucket/sets/faces/{LEASE}"))
        assert waited_for(lambda: json.loads(memory.cat_file(f"/bucket/sets/faces/{LEASE}")) != first)
        lease.check()
        other = json.dumps({**first, "token": "another"}).encode()
        assert waited_for(lambda: memory.pipe_file(f"/bucket/sets/faces/{LEASE}", other) or lost(lease))
        memory.pipe_file(f"/bucket/sets/faces/{LEASE}", other)
    assert objects(memory) == {LEASE: other}  # not ours to remove


def test_a_lease_that_cannot_be_renewed_lapses(memory, monkeypatch):
    with Lease(Objects(URL)) as lease:
        now = time.monotonic()
        monkeypatch.setattr(objectstore.time, "monotonic", lambda: now + objectstore.LEASE_S + 1)
        with pytest.raises(StoreError, match="could not renew its lease"):
            lease.check()


def test_a_store_that_ignores_the_condition_is_found_out(memory, monkeypatch):
    def ignoring(self, name, data):
        self.put(name, json.dumps({"token": "another", "host": "h", "process": 1, "renewed": 0}).encode())
        return True

    monkeypatch.setattr(Objects, "put_new", ignoring)
    with pytest.raises(StoreError, match="began at the same moment"), Lease(Objects(URL)):
        pass


def lost(lease: Lease) -> bool:
    try:
        lease.check()
    except StoreError as error:
        return "taken it over" in str(error)
    return False


def waited_for(happened) -> bool:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if happened():
            return True
        time.sleep(0.01)
    return False


def test_something_else_below_the_url_is_left_alone(memory):
    memory.pipe_file("/bucket/sets/faces/holiday.jpg", b"photo")
    with pytest.raises(ValueError, match=r"memory://bucket/sets/faces holds 'holiday\.jpg' and no run\.json"):
        synthesize(URL, RECIPE, 1)
    assert objects(memory) == {"holiday.jpg": b"photo"}


def test_a_folder_of_the_same_name_below_the_url_is_foreign_too(memory):
    memory.pipe_file("/bucket/faces/faces/holiday.jpg", b"photo")
    with pytest.raises(ValueError, match="holds 'faces' and no"):
        synthesize("memory://bucket/faces", RECIPE, 1)


def test_samples_of_other_settings_are_not_mixed(memory):
    synthesize(URL, RECIPE, 1)
    before = objects(memory)
    with pytest.raises(ValueError, match=r"OUT holds samples of other settings \(truncation is 0\.7 there, 0\.5 here"):
        synthesize(URL, Recipe(RECIPE.generator, RECIPE.config, truncation=0.5, size=32), 1)
    assert objects(memory) == before


def test_a_format_that_is_not_ours_is_not_replaced(memory):
    synthesize(URL, RECIPE, 1)
    memory.pipe_file("/bucket/sets/faces/coco/mine.txt", b"mine")
    pytest.importorskip("pycocotools")
    with pytest.raises(ValueError, match=r"memory://bucket/sets/faces/coco was not written by synthesize"):
        synthesize(URL, RECIPE, 1, formats=["coco"])
    assert objects(memory)["coco/mine.txt"] == b"mine"


def test_a_damaged_sample_is_named_and_made_again_by_the_same_command(memory):
    synthesize(URL, RECIPE, 2)
    before, path = objects(memory), "/bucket/sets/faces/samples/0000000/0000000001.zip"
    memory.pipe_file(path, memory.cat_file(path)[:-40])
    with pytest.raises(ValueError, match=r"memory://.*0000000001\.zip: not a whole sample.*It was removed, and"):
        synthesize(URL, RECIPE, 2)
    synthesize(URL, RECIPE, 2)
    assert objects(memory) == before


def test_without_permission_nothing_is_made_and_the_message_says_what_is_needed(memory, monkeypatch):
    def refused(*_, **__):
        raise PermissionError("Access Denied")

    monkeypatch.setattr(type(memory), "pipe_file", refused)
    engine = Counting()
    with pytest.raises(StoreError, match=r"memory://.*cannot be used: Access Denied \(have you permission to read"):
        synthesize(URL, RECIPE, 1, engine=engine)
    assert engine.seeds == []


def test_a_store_that_fails_in_the_middle_keeps_what_it_took(memory, monkeypatch, whole, formats):
    pipe, lock, sent = type(memory).pipe_file, threading.Lock(), []

    def failing(self, path, value, **more):
        with lock:
            if path.endswith(".zip"):
                sent.append(path)
                if len(sent) == 3:
                    raise TimeoutError("no answer")
        return pipe(self, path, value, **more)

    monkeypatch.setattr(type(memory), "pipe_file", failing)
    with pytest.raises(StoreError, match="no answer.*the same command goes on from there"):
        synthesize(URL, RECIPE, COUNT, formats=formats)
    engine = Counting()
    synthesize(URL, RECIPE, COUNT, engine=engine, formats=formats)
    assert 0 < len(engine.seeds) < COUNT and objects(memory) == contents(whole)


def test_a_temporary_folder_that_is_full_is_named(memory, monkeypatch):
    class Full:
        def __init__(self, *_):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("stylemixseg.factory.formats.folder.FormatWriter.__init__", Full.__init__)
    with pytest.raises(StoreError, match=r"stylemixseg-.*No space left on device.*TMPDIR"):
        synthesize(URL, RECIPE, 1, formats=["folder"])


@pytest.mark.parametrize(
    "out, words",
    [
        ("ftp://host/faces", "OUT must be a folder, or a URL that begins with s3://, gs:// or file://"),
        ("file://host/faces", "must have three slashes"),
        (Path("s3://bucket/faces"), "OUT must be text where it is a URL"),
    ],
)
def test_places_that_are_none_are_refused(out, words):
    with pytest.raises(ValueError, match=words):
        synthesize(out, RECIPE, 1)


@pytest.mark.parametrize("scheme, package", [("s3", "s3fs"), ("gs", "gcsfs")])
def test_without_its_library_a_url_names_the_extra(scheme, package):
    words = rf"{scheme}:// needs {package}, which is not installed: pip install 'stylemixseg\[scale\]'"
    with absent(package), pytest.raises(ModuleNotFoundError, match=words):
        synthesize(f"{scheme}://bucket/faces", RECIPE, 1)


def test_a_file_url_is_a_local_path(tmp_path):
    assert place_of(f"file://{tmp_path}/a%20set") == tmp_path / "a set"
    assert place_of("a:/b") == Path("a:/b") and place_of("s3://b/c/") == "s3://b/c"


def test_the_command_takes_a_url(memory, capsys):
    assert cli.main(["synthesize", URL, "--count", "2", *TOY, "--format", "folder"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{URL}: 2 pairs", f"{URL}/folder: see its README.md"]
    assert "folder/ann_dir/train/0000000001.png" in objects(memory)


def test_a_killed_command_at_a_file_url_goes_on_and_ends_the_same(tmp_path):
    command = [sys.executable, "-m", "stylemixseg", "synthesize"]
    options = ["--count", "40", *TOY, "--format", "folder"]
    url, out = f"file://{tmp_path}/cut", tmp_path / "cut"
    killed = subprocess.Popen([*command, url, *options], stderr=subprocess.DEVNULL)
    try:
        assert waited_for(lambda: len(list(out.glob("samples/*/[0-9]*.zip"))) >= 3 or killed.poll() is not None)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    made = len(list(out.glob("samples/*/[0-9]*.zip")))
    assert 3 <= made < 40
    for place in (url, str(tmp_path / "whole")):
        subprocess.run([*command, place, *options], check=True, capture_output=True)
    assert tree(out) == tree(tmp_path / "whole")
