"""The catalogue, and loading by name."""

from __future__ import annotations

import pytest
import torch
from protocols import lacking

from stylemixseg.generators import faces, zoo
from stylemixseg.generators.base import Generator, seeded_z
from stylemixseg.generators.official import OFFICIAL
from stylemixseg.generators.openvino.engine import OpenVINOGenerator
from stylemixseg.generators.stylegan2.network import StyleGAN2
from stylemixseg.generators.toyworld.world import ToyWorld
from stylemixseg.generators.zoo import CATALOGUE, Entry, load_generator


@pytest.fixture
def tiny_faces(tiny, monkeypatch):
    """The catalogue's faces, replaced by the tiny generator."""
    entry = CATALOGUE["faces"]
    fields = {**vars(entry), "load": lambda: tiny}
    monkeypatch.setitem(CATALOGUE, "faces", Entry(**fields))
    return tiny


def test_the_catalogue_says_what_each_one_is():
    assert list(CATALOGUE) == ["faces", "toy-portrait", "toy-single", "toy-room", "toy-stylegan", *OFFICIAL]
    for name, entry in CATALOGUE.items():
        assert entry.name == name and entry.domain and entry.source and entry.licence
        assert entry.drawn == name.startswith("toy-")
    entry = CATALOGUE["faces"]
    assert entry.sha256 == faces.WHEEL.sha256 and "Nvidia" in entry.licence and "non-commercial" in entry.licence


@pytest.mark.parametrize("name", ["toy-portrait", "toy-single", "toy-room"])
def test_toys_are_what_the_catalogue_says(name):
    generator = load_generator(name)
    entry = CATALOGUE[name]
    assert isinstance(generator, ToyWorld) and not lacking(generator, Generator)
    assert (generator.name, generator.resolution, generator.num_ws) == (name, entry.resolution, entry.num_ws)
    assert load_generator(name, engine="openvino").digest == generator.digest  # nothing to compile


def test_the_toy_stylegan_is_what_the_catalogue_says():
    generator, entry = load_generator("toy-stylegan", engine="torch"), CATALOGUE["toy-stylegan"]
    assert isinstance(generator, StyleGAN2)
    assert (generator.name, generator.resolution, generator.num_ws) == (entry.name, entry.resolution, entry.num_ws)
    assert generator.digest == load_generator("toy-stylegan", engine="torch").digest  # the seed fixes the weights


def test_faces_are_what_the_catalogue_says(real_faces):
    entry = CATALOGUE["faces"]
    assert (real_faces.name, real_faces.resolution, real_faces.num_ws) == ("faces", entry.resolution, entry.num_ws)


def test_the_engine_on_a_cpu(tiny_faces, monkeypatch):
    assert load_generator("faces", engine="torch") is tiny_faces
    assert isinstance(load_generator("faces"), OpenVINOGenerator)
    assert isinstance(load_generator("faces", engine="openvino"), OpenVINOGenerator)
    monkeypatch.setattr(zoo, "find_spec", lambda name: None)  # as where OpenVINO is not installed
    assert load_generator("faces") is tiny_faces


def test_bfloat16_only_where_it_is_asked_for(tiny_faces):
    """On a CPU without it OpenVINO computes in single precision all the same, and the images are equal."""
    ws = tiny_faces.mapping(seeded_z(0, tiny_faces.z_dim))
    plain, short = (load_generator("faces", engine=engine) for engine in ("openvino", "openvino-bf16"))
    assert (plain.precision, short.precision) == ("f32", "bf16")
    moved = (plain.synthesis(ws) - short.synthesis(ws)).abs()
    assert moved.mean() < 0.02
    with pytest.raises(ValueError, match="'openvino-bf16' runs on the CPU only"):
        load_generator("faces", engine="openvino-bf16", device="cuda")


def test_another_device_means_pytorch(tiny_faces, monkeypatch):
    moved = []
    monkeypatch.setattr(type(tiny_faces), "to", lambda self, device: moved.append(device) or self)
    monkeypatch.setattr(torch, "empty", lambda size, device: None)  # as if every device were there
    assert load_generator("faces", device="cuda:1") is tiny_faces
    assert load_generator("faces", device=torch.device("cuda", 1)) is tiny_faces
    assert moved == ["cuda:1", "cuda:1"]


@pytest.mark.parametrize("device", ["cpu:0", torch.device("cpu"), torch.device("cpu", 0)])
@pytest.mark.parametrize("engine", ["auto", "openvino"])
def test_the_cpu_by_any_name(tiny_faces, engine, device):
    assert isinstance(load_generator("faces", engine=engine, device=device), OpenVINOGenerator)


def test_bad_names():
    with pytest.raises(ValueError, match="unknown generator 'toy-potrait': did you mean 'toy-portrait'"):
        load_generator("toy-potrait")
    with pytest.raises(ValueError, match="unknown generator 'qqq': choose from faces, toy-portrait"):
        load_generator("qqq")
    with pytest.raises(ValueError, match="engine must be one of auto, torch, openvino, openvino-bf16, got 'onnx'"):
        load_generator("faces", engine="onnx")
    with pytest.raises(ValueError, match="engine 'openvino' runs on the CPU only, got device='cuda'"):
        load_generator("faces", device="cuda", engine="openvino")
