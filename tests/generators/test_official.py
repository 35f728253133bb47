"""Official checkpoints, fetched from a server on this machine: licence, hash on first use, conversion, the cache."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial

import pytest
import torch
from http_server import Reply, serving

from stylemixseg import load_generator
from stylemixseg._util import paths
from stylemixseg._util.download import DownloadError, download, locked
from stylemixseg.commands import main as cli
from stylemixseg.experiments.profile import load_profile
from stylemixseg.generators import official
from stylemixseg.generators.checkpoints import Checkpoint, read_checkpoint, save_checkpoint
from stylemixseg.generators.converted import WeightsError
from stylemixseg.generators.official import OFFICIAL, converted_path, fetch_official, load_official, recorded_sha256
from stylemixseg.generators.zoo import CATALOGUE

NAME = "ffhq-1024"
CONVERTED = [f"{NAME}.json", f"{NAME}.safetensors", f"{NAME}.source.json"]


def content_of(generator, path, sha256="0" * 64) -> bytes:
    """A generator as a checkpoint file."""
    save_checkpoint(Checkpoint("stylemixseg", generator.architecture, generator.weights(), sha256), path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def network(make_stylegan):
    return make_stylegan((64, 64, 64, 32))  # 32 px, 1 MB: several blocks


@pytest.fixture(scope="module")
def contents(network, tmp_path_factory) -> tuple[bytes, bytes]:
    """Two files of the same kind: the official one, and another."""
    folder = tmp_path_factory.mktemp("contents")
    return content_of(network, folder / "a"), content_of(network, folder / "b", sha256="1" * 64)


@pytest.fixture
def server(cache, contents, monkeypatch):
    """Serves the official file; the table points at it, and nothing waits long."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(official, "download", partial(download, timeout=(2, 2), backoff=0, retries=1))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with serving(contents[0]) as server:
        set_item(monkeypatch, url=server.url)
        yield server


def set_item(monkeypatch, **fields) -> None:
    monkeypatch.setitem(OFFICIAL, NAME, replace(OFFICIAL[NAME], resolution=32, format="stylemixseg", **fields))


def files(cache) -> list[str]:
    return sorted(path.name for path in (cache / "generators").glob("*") if path.suffix != ".lock")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def fetch(**options):
    return fetch_official(NAME, accept_licence=True, **options)


# The table.


def test_the_table_has_what_the_paper_needs():
    assert {"ffhq-1024", "afhq-cat-512", "afhq-dog-512", "afhq-wild-512", "lsun-horse-256"} <= set(OFFICIAL)
    assert load_profile("paper").generator in OFFICIAL


@pytest.mark.parametrize("item", OFFICIAL.values(), ids=OFFICIAL)
def test_every_entry_is_whole(item):
    assert item.name.endswith(f"-{item.resolution}")
    assert item.num_ws == {256: 14, 512: 16, 1024: 18}[item.resolution]
    assert item.format in ("nvidia-pytorch", "nvidia-tensorflow") and item.url.endswith(".pkl")
    for url in (item.url, item.page, item.licence.url):
        assert url.startswith("https://")
    assert item.licence.url in item.terms and "never for commercial use" in item.terms and item.terms.isprintable()
    entry = CATALOGUE[item.name]
    assert (entry.resolution, entry.num_ws, entry.licence) == (item.resolution, item.num_ws, item.terms)
    assert item.url in entry.source and entry.sha256 is None and not entry.drawn


# Fetching.


def test_fetch_converts_records_and_tidies_up(server, cache, contents, network, capsys):
    path = fetch()
    assert path == converted_path(NAME) and files(cache) == CONVERTED and len(server.requests) == 1
    shown = capsys.readouterr().err
    assert str(path) in shown and OFFICIAL[NAME].terms in shown
    record = json.loads((cache / "generators" / f"{NAME}.json").read_text())
    assert record["source"] == server.url and record["source_sha256"] == sha256(contents[0])
    assert record["sha256"] == sha256(path.read_bytes()) and record["licence"] == OFFICIAL[NAME].terms
    assert record["date"] and recorded_sha256(NAME) == sha256(contents[0])
    assert read_checkpoint(path).licence == OFFICIAL[NAME].terms

    generator = load_generator(NAME, engine="torch")
    assert (generator.name, generator.digest) == (NAME, network.digest)
    ws = generator.mapping(torch.ones(1, generator.z_dim))
    assert torch.equal(generator.synthesis(ws), network.synthesis(ws))


def test_fetching_again_only_verifies(server, cache, capsys):
    path = fetch()
    before = path.stat().st_mtime_ns
    capsys.readouterr()
    assert fetch_official(NAME) == path  # no licence question either
    assert len(server.requests) == 1 and path.stat().st_mtime_ns == before and capsys.readouterr().err == ""


def test_the_original_is_kept_on_request(server, cache, contents):
    path = fetch(keep=True)
    original = path.with_suffix(".pkl")
    assert original.read_bytes() == contents[0]
    path.unlink()
    assert fetch() == path and len(server.requests) == 1  # converted again from it
    assert not original.exists()


def test_a_file_of_yours(server, cache, contents, tmp_path):
    file = tmp_path / "download.bin"
    file.write_bytes(contents[0])
    assert fetch(file=file) == converted_path(NAME)
    assert server.requests == [] and file.read_bytes() == contents[0] and files(cache) == CONVERTED
    assert recorded_sha256(NAME) == sha256(contents[0])
    record = json.loads((cache / "generators" / f"{NAME}.json").read_text())
    assert record["source"] == "file download.bin"


def test_a_file_that_is_not_there(server, cache, tmp_path):
    for path in (tmp_path / "absent.pkl", tmp_path):
        with pytest.raises(WeightsError, match=f"no file {path}"):
            fetch(file=path)
    assert files(cache) == []


def test_an_interrupted_download_goes_on(server, cache, contents):
    server.replies += [Reply(cut=300_000), Reply(cut=200_000)]
    with pytest.raises(WeightsError, match="ffhq-1024 could not be downloaded: .*connection was cut.*0.5 MB are kept"):
        fetch()
    assert files(cache) == [f"{NAME}.pkl.part", f"{NAME}.pkl.part.json", f"{NAME}.source.json"]
    kept = (cache / "generators" / f"{NAME}.pkl.part").stat().st_size
    fetch()
    assert server.requests[-1].sent == len(contents[0]) - kept and files(cache) == CONVERTED


def test_a_file_of_yours_ends_an_unfinished_download(server, cache, contents, tmp_path):
    server.always = Reply(cut=300_000)
    with pytest.raises(WeightsError, match="could not be downloaded"):
        fetch()
    (tmp_path / "mine.pkl").write_bytes(contents[0])
    fetch(file=tmp_path / "mine.pkl")
    assert files(cache) == CONVERTED


def test_ctrl_c_on_the_command_line(server, cache, contents, capsys, interruptible):
    part = cache / "generators" / f"{NAME}.pkl.part"

    def interrupt():
        for _ in range(500):
            if part.exists() and part.stat().st_size >= 200_000:
                break
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        time.sleep(0.2)

    server.replies.append(Reply(cut=300_000, then=interrupt))
    assert cli.main(["fetch", NAME, "--accept-licence"]) == 130
    assert "run the command again to go on" in capsys.readouterr().err
    kept = part.stat().st_size
    assert kept >= 200_000
    assert cli.main(["fetch", NAME]) == 0
    assert server.requests[-1].sent == len(contents[0]) - kept
    assert capsys.readouterr().out == f"{converted_path(NAME)}\n"


def test_a_dead_url_says_what_to_do(server, cache):
    server.always = Reply(404)
    with pytest.raises(WeightsError) as caught:
        fetch()
    for words in (
        f"{NAME} is not to be had there: {server.url}: the server answers 404",
        "https://github.com/NVlabs/stylegan2",
        f"stylemixseg fetch {NAME} --file FILE",
        "load_generator(PATH)",
    ):
        assert words in str(caught.value)
    assert files(cache) == [f"{NAME}.source.json"] and len(server.requests) == 1


def test_two_at_once(server, cache):
    with locked(cache / "generators" / f"{NAME}.lock"):
        with pytest.raises(DownloadError, match="another process is at it"):
            fetch()
    assert server.requests == []
    fetch()


# The licence.


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_nobody_to_ask(server, cache, capsys):
    with pytest.raises(WeightsError, match=f"licence of {NAME} must be accepted first: Nvidia.*--accept-licence"):
        fetch_official(NAME)
    assert server.requests == [] and files(cache) == []


@pytest.mark.parametrize("answer", ["no\n", "\n", "", "y\n"])
def test_not_accepted(server, cache, monkeypatch, answer):
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    with pytest.raises(WeightsError, match=f"licence of {NAME} was not accepted; nothing was fetched"):
        fetch_official(NAME)
    assert server.requests == [] and files(cache) == []


def test_accepted_once(server, cache, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", Terminal(" Yes\nno\n"))
    path = fetch_official(NAME)
    streams = capsys.readouterr()
    assert OFFICIAL[NAME].terms in streams.err and 'Type "yes"' in streams.err and streams.out == ""
    path.unlink()
    fetch_official(NAME)  # would read "no"
    assert 'Type "yes"' not in capsys.readouterr().err

    path.unlink()
    set_item(monkeypatch, photos="others, under other terms")
    with pytest.raises(WeightsError, match="was not accepted"):
        fetch_official(NAME)


# Trust on first use.


def test_another_file_at_the_url_is_refused(server, cache, contents):
    path = fetch()
    path.unlink()
    server.content, server.etag = contents[1], '"v2"'
    with pytest.raises(WeightsError) as caught:
        fetch()
    for words in (sha256(contents[0]), sha256(contents[1]), "was deleted", f"delete {cache}/generators/{NAME}.source"):
        assert words in str(caught.value)
    assert files(cache) == [f"{NAME}.json", f"{NAME}.source.json"] and recorded_sha256(NAME) == sha256(contents[0])

    server.content = contents[0]
    assert fetch() == path

    path.unlink()
    (cache / "generators" / f"{NAME}.source.json").unlink()  # what the message says
    server.content = contents[1]
    fetch()
    assert recorded_sha256(NAME) == sha256(contents[1])


def test_another_file_of_yours_is_refused_and_left_alone(server, cache, contents, tmp_path):
    fetch().unlink()
    file = tmp_path / "mine.pkl"
    file.write_bytes(contents[1])
    with pytest.raises(WeightsError, match=f"has SHA-256 {sha256(contents[1])}, but {sha256(contents[0])} was"):
        fetch(file=file)
    assert file.exists() and not converted_path(NAME).exists()


def test_a_file_is_not_read_before_its_hash_is_right(server, contents, tmp_path, monkeypatch):
    fetch().unlink()
    monkeypatch.setattr(official, "read_checkpoint", None)
    server.content = contents[1]
    with pytest.raises(WeightsError, match="SHA-256"):
        fetch()


@pytest.mark.parametrize("text", ["{", "[1]", '{"sha256": 3}'])
def test_a_broken_record_is_not_taken_for_none(server, cache, text):
    fetch().unlink()
    (cache / "generators" / f"{NAME}.source.json").write_text(text)
    with pytest.raises(WeightsError, match=f"{NAME}.source.json is unreadable"):
        fetch()


# What is in the file.


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"resolution": 1024}, "it is stylemixseg, 32 px, expected stylemixseg, 1024 px"),
        ({"format": "nvidia-tensorflow"}, "it is stylemixseg, 32 px, expected nvidia-tensorflow, 32 px"),
    ],
)
def test_a_checkpoint_of_another_kind(server, cache, monkeypatch, fields, words):
    monkeypatch.setitem(OFFICIAL, NAME, replace(OFFICIAL[NAME], **fields))
    with pytest.raises(WeightsError, match=f"is not {NAME}: {words}"):
        fetch()
    assert recorded_sha256(NAME) is None and not converted_path(NAME).exists()


def test_no_checkpoint_at_all(server, cache, contents):
    """It stays for a look at it, or for a reader that knows more; it is not downloaded twice."""
    server.content = b"\x80\x04cos\nsystem\n(S'touch pwned'\ntR."
    for _ in range(2):
        with pytest.raises(WeightsError, match=f"{NAME}.pkl is not {NAME}: .*; delete .*.pkl to download it anew"):
            fetch()
    assert len(server.requests) == 1 and not os.path.exists("pwned") and recorded_sha256(NAME) is None
    server.content = contents[0]
    converted_path(NAME).with_suffix(".pkl").unlink()
    fetch()
    assert files(cache) == CONVERTED


def test_a_full_disk_while_converting(server, cache, monkeypatch):
    def full(checkpoint, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(official, "save_checkpoint", full)
        with pytest.raises(WeightsError, match="could not write .*No space left on device.*200 MB must be free"):
            fetch()
    assert files(cache) == [f"{NAME}.pkl", f"{NAME}.source.json"]
    fetch()
    assert len(server.requests) == 1 and files(cache) == CONVERTED


def test_room_for_both_files_is_asked_for(server, monkeypatch):
    seen = {}

    def watched(url, target, **options):
        seen.update(options)
        return download(url, target)

    monkeypatch.setattr(official, "download", watched)
    fetch()
    assert seen == {"spare": official.CONVERTED_BYTES}


# The cache.


@pytest.mark.parametrize("damage", ["flipped bit", "cut", "other weights", "no record"])
def test_a_changed_cache_file_is_refused(server, contents, damage):
    path = fetch()
    data = bytearray(path.read_bytes())
    if damage == "flipped bit":
        data[-1] ^= 1
    elif damage == "cut":
        data = data[:-4]
    elif damage == "other weights":
        data = contents[1]
    else:
        path.with_suffix(".json").unlink()
    path.write_bytes(data)
    for use in (load_official, partial(load_generator, engine="torch"), fetch_official):
        with pytest.raises(WeightsError, match="has changed since|missing or unreadable") as caught:
            use(NAME)
        assert f"delete {path} and run `stylemixseg fetch {NAME}` again" in str(caught.value)
    path.unlink()
    fetch()
    load_official(NAME)


def test_loading_fetches_nothing_unasked(server, cache):
    with pytest.raises(WeightsError, match=f"{NAME} is not in your cache: run `stylemixseg fetch {NAME}`"):
        load_generator(NAME)
    assert server.requests == []


# NVIDIA's formats, written by NVIDIA's code.


@pytest.mark.parametrize("kind", ["nvidia-pytorch", "nvidia-tensorflow"])
def test_real_formats(server, cache, monkeypatch, kind):
    name = f"tiny32_{kind.replace('-', '_')}.pkl"
    path = paths.data_dir() / "fixtures" / "stylegan2" / name
    if not path.exists():
        pytest.skip(f"fixtures/stylegan2/{name} is not in STYLEMIXSEG_DATA ({os.environ.get('STYLEMIXSEG_DATA')})")
    server.content = path.read_bytes()
    monkeypatch.setitem(OFFICIAL, NAME, replace(OFFICIAL[NAME], format=kind))
    fetch()
    assert load_official(NAME).digest == load_generator(path, engine="torch").digest


def test_the_command_in_a_process_of_its_own(cache):
    """No terminal, no flag: one line, exit status 1."""
    command = [sys.executable, "-m", "stylemixseg.commands.main", "fetch", "lsun-horse-256"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "--accept-licence" in done.stderr
