"""Where files live, and that a failed write leaves the old file or none."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from stylemixseg._util.paths import (
    CacheWarning,
    atomic_write,
    cache_dir,
    data_dir,
    data_file,
    named_in_utf8,
    sha256_file,
    write_cached,
)


@pytest.mark.parametrize(
    "environment, expected",
    [
        ({"STYLEMIXSEG_CACHE": "/a/b", "XDG_CACHE_HOME": "/c"}, "/a/b"),
        ({"STYLEMIXSEG_CACHE": "~/b"}, "/home/reader/b"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/stylemixseg"),
        ({"STYLEMIXSEG_CACHE": "", "XDG_CACHE_HOME": ""}, "/home/reader/.cache/stylemixseg"),
        ({}, "/home/reader/.cache/stylemixseg"),
    ],
)
def test_cache_dir(monkeypatch, environment, expected):
    for name in ("STYLEMIXSEG_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/reader")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_dir() == Path(expected)


def test_data_folder(monkeypatch, cache, tmp_path):
    monkeypatch.delenv("STYLEMIXSEG_DATA", raising=False)
    assert data_dir() == cache / "data"
    monkeypatch.setenv("STYLEMIXSEG_DATA", str(tmp_path))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "x.tflite").touch()
    assert data_file("models", "x.tflite") == tmp_path / "models" / "x.tflite"
    with pytest.raises(FileNotFoundError, match="models/y.tflite not found under .*STYLEMIXSEG_DATA"):
        data_file("models", "y.tflite")


def test_atomic_write_makes_folders_and_an_ordinary_file(tmp_path):
    target = tmp_path / "new" / "deep" / "file.npy"
    umask = os.umask(0o027)
    try:
        with atomic_write(target) as temporary:
            assert temporary.parent == target.parent and temporary.suffix == ".npy"
            temporary.write_bytes(b"abc")
            assert not target.exists()
    finally:
        os.umask(umask)
    assert target.read_bytes() == b"abc"
    assert target.stat().st_mode & 0o777 == 0o640
    assert os.listdir(target.parent) == ["file.npy"]


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("x")])
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_failed_write_leaves_the_old_file_or_none(tmp_path, failure, old):
    target = tmp_path / "file.json"
    if old is not None:
        target.write_bytes(old)
    with pytest.raises(type(failure)):
        with atomic_write(target) as temporary:
            temporary.write_bytes(b"half")
            raise failure
    assert os.listdir(tmp_path) == ([] if old is None else ["file.json"])
    assert old is None or target.read_bytes() == old


def test_sha256_of_a_file_of_several_blocks(tmp_path):
    data = bytes(range(256)) * 10_000  # 2.5 MB
    (tmp_path / "x").write_bytes(data)
    assert sha256_file(tmp_path / "x") == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("variable", ["HOME", "STYLEMIXSEG_CACHE"])
def test_without_a_home_the_error_names_the_variable_to_set(monkeypatch, variable):
    def homeless(path):
        raise RuntimeError("Could not determine home directory.")  # what Python says of a user without one

    for name in ("STYLEMIXSEG_CACHE", "XDG_CACHE_HOME", "STYLEMIXSEG_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "expanduser", homeless)
    monkeypatch.setattr(Path, "home", classmethod(homeless))
    if variable == "STYLEMIXSEG_CACHE":
        monkeypatch.setenv(variable, "~/cache")
    for folder in (cache_dir, data_dir):
        with pytest.raises(RuntimeError, match="this user has none: set STYLEMIXSEG_CACHE to the full path"):
            folder()


@pytest.mark.parametrize("error", [PermissionError(1, "Operation not permitted"), OSError(95, "not supported")])
def test_a_file_system_that_refuses_permissions(tmp_path, monkeypatch, error):
    """exFAT, CIFS and some FUSE systems."""

    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(os, "chmod", refuse)
    monkeypatch.setattr(Path, "chmod", refuse)
    with atomic_write(tmp_path / "file") as temporary:
        temporary.write_bytes(b"abc")
    assert (tmp_path / "file").read_bytes() == b"abc" and os.listdir(tmp_path) == ["file"]


def read_only(monkeypatch, folder: Path) -> None:
    """Writing under `folder` fails as on a read-only file system, also for root."""
    real = tempfile.mkstemp

    def refuse(*arguments, dir=None, **keywords):
        if folder in (Path(dir), *Path(dir).parents):
            raise OSError(errno.EROFS, "Read-only file system", str(dir))
        return real(*arguments, dir=dir, **keywords)

    monkeypatch.setattr(tempfile, "mkstemp", refuse)


def test_a_cache_that_cannot_be_written_is_one_note(tmp_path, monkeypatch):
    read_only(monkeypatch, tmp_path)
    with pytest.warns(CacheWarning, match="Read-only file system.*STYLEMIXSEG_CACHE names another place") as said:
        write_cached(tmp_path / "a", lambda temporary: temporary.write_bytes(b"abc"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it has been said of this folder
        write_cached(tmp_path / "b", lambda temporary: temporary.write_bytes(b"abc"))
    assert len(said) == 1 and os.listdir(tmp_path) == []


def test_a_cache_that_becomes_full_keeps_nothing_half_written(tmp_path):
    def full(temporary):
        temporary.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.warns(CacheWarning, match="No space left on device"):
        write_cached(tmp_path / "a", full)
    assert os.listdir(tmp_path) == []


def test_other_errors_than_those_of_the_file_system_are_raised(tmp_path):
    def wrong(temporary):
        raise ValueError("a fault of the program")

    with pytest.raises(ValueError, match="a fault of the program"):
        write_cached(tmp_path / "a", wrong)


@pytest.mark.parametrize("name", [b"plain", "\u00e4".encode(), b"caf\xe9"])
def test_a_name_for_libraries_that_take_utf8_only(tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    save_file({"a": torch.arange(3)}, path)
    with named_in_utf8(path) as other:
        assert str(other).encode() and load_file(other)["a"].tolist() == [0, 1, 2]
    assert (other == path) == (name != b"caf\xe9")
