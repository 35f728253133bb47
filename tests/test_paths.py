"""Where files live, and that a failed write leaves the old file or none."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from stylemixseg.paths import atomic_write, cache_dir, data_dir, data_file, sha256_file


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
