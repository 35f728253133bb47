"""Fetching the face generator: the right wheel is converted, everything else is refused and leaves nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from stylemixseg._util import wheels
from stylemixseg._util.paths import sha256_file
from stylemixseg.generators import faces
from stylemixseg.generators.base import weights_digest
from stylemixseg.generators.faces import WeightsError, converted_path, fetch_faces, load_faces, verify_converted
from stylemixseg.generators.openvino.ir import IRError, read_ir


def files_under(folder) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def fake_weights(cache, tiny):
    """A cache that holds some converted file with its record, without the download."""
    from safetensors.torch import save_file

    path = converted_path()
    path.parent.mkdir(parents=True)
    save_file(tiny.state_dict(), path)
    path.with_suffix(".json").write_text(json.dumps({"sha256": sha256_file(path)}))
    return path


def test_convert_once(cache, faces_wheel, capsys, monkeypatch):
    path = fetch_faces(faces_wheel)
    message = capsys.readouterr().err
    assert str(path) in message
    for licence in ("Apache-2.0", "Nvidia Source Code License-NC", "FFHQ", "non-commercial"):
        assert licence in message
    assert files_under(cache) == [f"generators/faces-{faces.WHEEL.version}.{end}" for end in ("json", "safetensors")]
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["sha256"] == sha256_file(path) and record["wheel_sha256"] == faces.WHEEL.sha256

    # The second time there is no download, no conversion and no notice.
    monkeypatch.setattr(faces, "_download_wheel", None)
    monkeypatch.setattr(faces, "_convert_wheel", None)
    assert fetch_faces() == path
    assert capsys.readouterr().err == ""

    generator = load_faces()
    assert generator.name == "faces" and len(generator.digest) == 64 and not generator.training
    assert not any(value.requires_grad for value in generator.parameters())
    assert load_faces().digest == generator.digest


def test_digest_is_of_the_weights():
    a = {"x": torch.arange(4.0), "y": torch.zeros(2)}
    same = {"y": torch.zeros(2), "x": torch.arange(4.0)}
    assert weights_digest(a) == weights_digest(same)
    for x in (torch.arange(4.0).reshape(2, 2), torch.ones(4)):
        assert weights_digest({**a, "x": x}) != weights_digest(a)


@pytest.mark.parametrize("damage", ["cut", "flipped bit", "no zip", "empty"])
def test_a_wrong_wheel_is_refused(cache, tmp_path, faces_wheel, damage):
    data = bytearray(faces_wheel.read_bytes())
    if damage == "flipped bit":
        data[len(data) // 2] ^= 1
    else:
        data = {"cut": data[: len(data) // 2], "no zip": bytearray(b"hello"), "empty": bytearray()}[damage]
    wheel = tmp_path / "random_face.whl"
    wheel.write_bytes(data)
    with pytest.raises(WeightsError, match=f"random_face.whl is not random-face .*SHA-256 .*{faces.WHEEL.sha256}"):
        fetch_faces(wheel)
    assert files_under(tmp_path) == ["random_face.whl"]  # the cache is a folder in there


def test_a_missing_wheel_is_named(cache, tmp_path):
    with pytest.raises(WeightsError, match="no wheel at .*absent.whl"):
        fetch_faces(tmp_path / "absent.whl")
    assert not cache.exists()


def test_no_network(cache, tmp_path, monkeypatch, capfd):
    """The real pip, with an index where nobody listens."""
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.raises(WeightsError, match="pip could not download random-face==.*fetch faces --wheel FILE"):
        fetch_faces()
    assert files_under(tmp_path) == []
    assert "random-face" in capfd.readouterr().err  # pip's own message reaches the user


def test_pip_is_asked_for_one_hash_and_never_installs(cache, monkeypatch):
    seen = {}

    def run(command, **keywords):
        requirement = command[command.index("-r") + 1]
        seen.update(command=command, keywords=keywords, requirement=Path(requirement).read_text())
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(wheels.subprocess, "run", run)
    with pytest.raises(WeightsError, match="could not download"):
        fetch_faces()
    assert seen["command"][:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--require-hashes", "--only-binary=:all:"} <= set(seen["command"])
    assert seen["requirement"] == f"random-face=={faces.WHEEL.version} --hash=sha256:{faces.WHEEL.sha256}\n"
    assert "shell" not in seen["keywords"]
    assert not cache.exists()


@pytest.fixture
def no_pip(tmp_path, monkeypatch):
    """An environment without pip, as uv makes them; the folder that is all of its search path for programs."""
    monkeypatch.setattr(wheels, "find_spec", lambda name: None)
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    return programs


def _program(path, faces_wheel) -> None:
    """A program that writes down what it is asked, and gives the wheel to the folder after `--dest`."""
    path.write_text(
        f"#!{sys.executable}\nimport shutil, sys\nopen(__file__ + '.asked', 'w').write(' '.join(sys.argv[1:]))\n"
        f"shutil.copy({str(faces_wheel)!r}, sys.argv[sys.argv.index('--dest') + 1])\n"
    )
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("there", "asked"), [(["uv", "pip"], "tool run --python {} pip download"), (["pip3"], "download")]
)
def test_without_pip_uv_or_another_pip_downloads(cache, no_pip, faces_wheel, there, asked):
    for name in there:
        _program(no_pip / name, faces_wheel)
    assert fetch_faces().is_file()
    command = (no_pip / f"{there[0]}.asked").read_text()
    assert command.startswith(asked.format(sys.executable) + " --no-deps --require-hashes --only-binary=:all: --dest")
    assert sorted(path.name for path in no_pip.glob("*.asked")) == [f"{there[0]}.asked"]


def test_without_any_pip_the_message_does_not_speak_of_networks(cache, no_pip):
    with pytest.raises(WeightsError, match="has none.*fetch faces --wheel FILE") as caught:
        fetch_faces()
    assert f"`{sys.executable} -m ensurepip`" in str(caught.value) and "network" not in str(caught.value)
    assert not cache.exists()


def test_a_wheel_that_pip_should_not_have_given_is_refused(cache, monkeypatch):
    """The hash is checked here too, whatever pip says."""

    def run(command, **keywords):
        folder = command[command.index("--dest") + 1]
        with open(f"{folder}/random_face.whl", "wb") as file:
            file.write(b"something else")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(wheels.subprocess, "run", run)
    with pytest.raises(WeightsError, match="SHA-256"):
        fetch_faces()
    assert not cache.exists()


def test_disk_full_while_converting(cache, faces_wheel, monkeypatch):
    def half(state, path):
        with open(path, "wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(faces, "save_file", half)
    with pytest.raises(WeightsError, match="could not write .*No space left on device.*45 MB must be free"):
        fetch_faces(faces_wheel)
    assert files_under(cache) == []


def test_disk_full_while_writing_the_record(cache, faces_wheel, monkeypatch):
    def full(*args, **keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json, "dumps", full)
    with pytest.raises(WeightsError, match="No space left on device"):
        fetch_faces(faces_wheel)
    assert files_under(cache) == []


def test_a_cache_that_cannot_be_written(tmp_path, faces_wheel, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("STYLEMIXSEG_CACHE", str(tmp_path / "file" / "cache"))  # no folder can be made under a file
    with pytest.raises(WeightsError, match="could not write"):
        fetch_faces(faces_wheel)


def test_a_good_cache_file_passes(fake_weights):
    verify_converted(fake_weights)
    assert fetch_faces() == fake_weights


@pytest.mark.parametrize(
    "damage", ["flipped bit", "cut", "other record", "no record", "broken record", "listed record"]
)
def test_a_changed_cache_file_is_refused(fake_weights, damage):
    data, record = bytearray(fake_weights.read_bytes()), fake_weights.with_suffix(".json")
    if damage == "flipped bit":
        data[-1] ^= 1
        fake_weights.write_bytes(data)
    elif damage == "cut":
        fake_weights.write_bytes(data[:-100])
    elif damage == "other record":
        record.write_text(json.dumps({"sha256": hashlib.sha256(b"").hexdigest()}))
    elif damage == "no record":
        record.unlink()
    else:
        record.write_text("{" if damage == "broken record" else "[]")
    for load in (fetch_faces, load_faces):
        with pytest.raises(WeightsError, match="has changed since|missing or unreadable") as caught:
            load()
        assert f"delete {fake_weights} and run `stylemixseg fetch faces` again" in str(caught.value)


def test_deleting_and_fetching_again_repairs(fake_weights, faces_wheel):
    fake_weights.write_bytes(b"broken")
    fake_weights.unlink()
    verify_converted(fetch_faces(faces_wheel))


def test_networks_that_are_not_the_released_ones(faces_wheel, tmp_path):
    shutil.unpack_archive(faces_wheel, tmp_path, "zip")
    part = {name: (tmp_path / "random_face" / "data" / name).read_bytes() for name in faces._PARTS}
    mapping = read_ir(part["MappingNetwork.xml"], part["MappingNetwork.bin"])
    synthesis = read_ir(part["SynthesisNetwork.xml"], part["SynthesisNetwork.bin"])
    with pytest.raises(IRError, match="not the released MobileStyleGAN: no constant named 'm.input.input'"):
        faces.convert(mapping, mapping)
    with pytest.raises(IRError, match="not the released MobileStyleGAN"):
        faces.convert(synthesis, synthesis)
    poisoned = np.frombuffer(part["MappingNetwork.bin"], "<f4").copy()
    poisoned[:] = np.nan
    with pytest.raises(IRError, match="NaN or infinity: mapping_network"):
        faces.convert(read_ir(part["MappingNetwork.xml"], poisoned.tobytes()), synthesis)
