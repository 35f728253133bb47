"""The path for accelerators, run on the CPU: the same clusters as the CPU path, and clear words where there is no GPU."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import faiss
import numpy as np
import pytest
import torch

from stylemixseg import StyleMixSegmenter, clustering, load_generator
from stylemixseg._util.tensors import check_device
from stylemixseg.clustering import kmeans
from stylemixseg.foreground import CornerMinority
from stylemixseg.generators.base import seeded_z
from stylemixseg.mixing import draw_style_latents
from stylemixseg.objects.detection.known import KnownBoxes
from stylemixseg.objects.segmenter import BOX_CONFIG, ObjectSegmenter, segment_boxes
from stylemixseg.settings import MixPlan
from stylemixseg.summary import StyleStack, SummaryArray, SummaryColumns, style_summary, summary_columns


@pytest.fixture(scope="module")
def toy():
    generator = load_generator("toy-portrait")
    return generator, generator.mapping(seeded_z(0, generator.z_dim), 0.7), draw_style_latents(generator, 6, seed=1)


@pytest.mark.parametrize("color_space", ["lab", "rgb"])
@pytest.mark.parametrize("include_query", [False, True])
def test_columns_are_the_summary_tensor(toy, color_space, include_query):
    settings = {"color_space": color_space, "include_query": include_query, "resolution": 64}
    found = summary_columns(*toy, MixPlan(5, batch_size=4, **settings), device="cpu")
    expected = style_summary(*toy, MixPlan(5, **settings))
    assert found.size == (64, 64)
    np.testing.assert_allclose(found.columns.T.reshape(expected.shape), expected.tensor(), atol=0.02)


@pytest.mark.parametrize("max_points", [64, 100_000])
@pytest.mark.parametrize("k", [2, 4])
def test_clusters_are_those_of_faiss(toy, k, max_points):
    summary = style_summary(*toy, MixPlan(5)).tensor()
    columns = SummaryColumns(torch.from_numpy(summary.reshape(-1, summary.shape[2]).T.copy()), summary.shape[:2])
    expected = kmeans(summary, k, seed=3, restarts=4, max_points_per_cluster=max_points)
    found = columns.cluster(k, seed=3, restarts=4, max_points_per_cluster=max_points)
    assert (found.labels == expected.labels).mean() > 0.999
    assert found.objective == pytest.approx(expected.objective, rel=1e-3)
    np.testing.assert_allclose(found.centroids, expected.centroids, atol=0.2)
    np.testing.assert_allclose(found.distances, expected.distances, rtol=0.02, atol=1.0)


def test_segmenter_takes_columns(toy):
    generator, ws, _ = toy
    method = StyleMixSegmenter(generator, n=6, cutoff=5, k=3)
    columns = summary_columns(generator, ws, method.styles, MixPlan(5), device="cpu")
    expected, found = method(ws), method.from_summary(ws, columns)
    assert (found.mask == expected.mask).mean() > 0.999


def test_k_is_checked(toy):
    with pytest.raises(ValueError, match=r"k must be in 2\.\.4"):
        SummaryColumns(torch.zeros(3, 4), (2, 2)).cluster(5)


@pytest.mark.parametrize("size", [(64, 64, 4), (5, 3, 2)])
def test_a_summary_that_is_at_hand_becomes_columns(size):
    images = np.random.default_rng(0).integers(0, 256, (size[2], 3, *size[:2]), np.uint8)
    stack = StyleStack(images)
    summary = stack.tensor()
    for at_hand in (stack, SummaryArray(summary)):
        assert at_hand.on("cpu:0") is at_hand
        columns = SummaryColumns.of(at_hand, "cpu:0").on("cpu")
        assert columns.shape == summary.shape and columns.size == summary.shape[:2]
        assert np.array_equal(columns.columns.T.reshape(summary.shape), summary)
    crop = columns.crop(slice(1, 4), slice(0, 2))
    assert crop.shape == (3, 2, summary.shape[2])
    assert np.array_equal(crop.columns.T.reshape(crop.shape), summary[1:4, :2])
    with pytest.raises(ValueError, match=r"summary must be a \(H, W, D\) float32 array, got"):
        SummaryArray(summary.astype(np.float64))


def _every_entry(toy, device) -> list:
    """Maps of one query with X_s made, with X_s at hand, with its images at hand, and of its objects."""
    generator, ws, _ = toy
    method = StyleMixSegmenter(generator, n=6, cutoff=5, k=3, rule=CornerMinority(), device=device)
    stack = style_summary(generator, ws, method.styles, MixPlan(5))  # in the CPU's memory, whatever the device
    found = [method(ws), method.from_summary(ws, stack.tensor()), method.from_summary(ws, stack)]
    room = load_generator("toy-room")
    config = replace(BOX_CONFIG, n=6, cutoff=room.structure_layers, device=device)
    ws = room.mapping(seeded_z(0, room.z_dim), 0.7)
    in_boxes = ObjectSegmenter(room, KnownBoxes.from_toy(room.truth(ws)[0]), config)
    objects = in_boxes(ws, "sofa, lamp")
    stack = style_summary(room, ws, in_boxes.segmenter.styles, MixPlan(config.cutoff))
    boxes = segment_boxes(stack, [item.detection for item in objects.objects], objects.phrases, objects.image, config)
    for item in found:
        json.dumps(item.describe())
    return [item.clusters for item in found] + [objects.instance, boxes.instance]


@pytest.fixture(scope="module")
def on_the_cpu(toy):
    maps = _every_entry(toy, "cpu")
    assert [len(np.unique(values)) for values in maps] == [3, 3, 3, 3, 3]
    return maps


@pytest.mark.parametrize("device", ["cpu:0", torch.device("cpu"), torch.device("cpu", 0)])
def test_every_entry_takes_the_cpu_by_any_name(toy, on_the_cpu, device):
    assert all(np.array_equal(found, expected) for found, expected in zip(_every_entry(toy, device), on_the_cpu))
    assert StyleMixSegmenter(toy[0], device=device).config.device == "cpu"


@pytest.mark.parametrize("device", ["cuda", "cuda:1", torch.device("cuda", 1)])
def test_every_entry_makes_mixes_and_clusters_on_the_gpu(toy, on_the_cpu, device, monkeypatch):
    """A GPU is played by the CPU, which takes what is sent to a GPU; what clusters on the CPU is taken away."""
    used, empty, to = set(), torch.empty, torch.Tensor.to

    def played(name):
        if name is None or torch.device(name).type == "cpu":
            return name
        used.add(str(name))
        return "cpu"

    def on_the_cpu_only(*arguments, **settings):
        raise AssertionError("on the CPU")

    monkeypatch.setattr(torch, "empty", lambda *size, device=None, **kw: empty(*size, device=played(device), **kw))
    monkeypatch.setattr(
        torch.Tensor,
        "to",
        lambda self, *args, **kw: to(self, *(played(a) if isinstance(a, str) else a for a in args), **kw),
    )
    monkeypatch.setattr(clustering, "squared_distances", on_the_cpu_only)
    monkeypatch.setattr(clustering, "faiss", SimpleNamespace(swig_ptr=faiss.swig_ptr, rand_perm=faiss.rand_perm))
    for found, expected in zip(_every_entry(toy, device), on_the_cpu):
        assert (found == expected).mean() > 0.999
    assert used == {str(device)}


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cpu:1", "meta"])
def test_a_device_that_is_not_there(toy, device):
    for call in (
        lambda: check_device("device", device),
        lambda: StyleMixSegmenter(toy[0], device=device),
        lambda: load_generator("toy-portrait", device=device),
    ):
        with pytest.raises(ValueError, match=f"device must be a device that PyTorch can use here, got '{device}'"):
            call()


def test_batch_size_under_a_memory_limit(stylegan):
    one = 3 * 4 * 8 * 64 * 64  # three maps of 8 channels at 64 px in single precision
    assert [stylegan.batch_size_for(memory) for memory in (one, 2 * one - 1, 5 * one)] == [1, 1, 5]
    with pytest.raises(ValueError, match=f"memory_limit must be at least {one}"):
        stylegan.batch_size_for(one - 1)
    assert StyleMixSegmenter(stylegan, n=2, memory_limit=3 * one).plan.batch_size == 3
    with pytest.raises(ValueError, match="memory_limit needs a StyleGAN2"):
        StyleMixSegmenter(load_generator("toy-portrait"), memory_limit=10**9)
