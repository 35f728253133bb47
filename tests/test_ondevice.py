"""The path for accelerators, run on the CPU: the same clusters as the CPU path, and clear words where there is no GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stylemixseg import StyleMixSegmenter, load_generator
from stylemixseg.checks import check_device
from stylemixseg.clustering import kmeans
from stylemixseg.generators.base import seeded_z
from stylemixseg.mixing import draw_style_latents
from stylemixseg.ondevice import SummaryColumns, kmeans_columns, summary_columns
from stylemixseg.summary import style_summary


@pytest.fixture(scope="module")
def toy():
    generator = load_generator("toy-portrait")
    return generator, generator.mapping(seeded_z(0, generator.z_dim), 0.7), draw_style_latents(generator, 6, seed=1)


@pytest.mark.parametrize("color_space", ["lab", "rgb"])
@pytest.mark.parametrize("include_query", [False, True])
def test_columns_are_the_summary_tensor(toy, color_space, include_query):
    settings = {"color_space": color_space, "include_query": include_query, "resolution": 64}
    found = summary_columns(*toy, 5, **settings, batch_size=4, device="cpu")
    expected = style_summary(*toy, 5, **settings)
    assert found.size == (64, 64)
    np.testing.assert_allclose(found.columns.T.reshape(expected.shape), expected, atol=0.02)


@pytest.mark.parametrize("max_points", [64, 100_000])
@pytest.mark.parametrize("k", [2, 4])
def test_clusters_are_those_of_faiss(toy, k, max_points):
    summary = style_summary(*toy, 5)
    columns = SummaryColumns(torch.from_numpy(summary.reshape(-1, summary.shape[2]).T.copy()), summary.shape[:2])
    expected = kmeans(summary, k, seed=3, restarts=4, max_points_per_cluster=max_points)
    found = kmeans_columns(columns, k, seed=3, restarts=4, max_points_per_cluster=max_points)
    assert (found.labels == expected.labels).mean() > 0.999
    assert found.objective == pytest.approx(expected.objective, rel=1e-3)
    np.testing.assert_allclose(found.centroids, expected.centroids, atol=0.2)
    np.testing.assert_allclose(found.distances, expected.distances, rtol=0.02, atol=1.0)


def test_segmenter_takes_columns(toy):
    generator, ws, _ = toy
    segmenter = StyleMixSegmenter(generator, n=6, cutoff=5, k=3)
    columns = summary_columns(generator, ws, segmenter.styles, 5, device="cpu")
    expected, found = segmenter(ws), segmenter.from_summary(ws, columns)
    assert (found.mask == expected.mask).mean() > 0.999


def test_k_is_checked(toy):
    with pytest.raises(ValueError, match=r"k must be in 2\.\.4"):
        kmeans_columns(SummaryColumns(torch.zeros(3, 4), (2, 2)), 5)


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
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
    assert StyleMixSegmenter(stylegan, n=2, memory_limit=3 * one).batch_size == 3
    with pytest.raises(ValueError, match="memory_limit needs a StyleGAN2"):
        StyleMixSegmenter(load_generator("toy-portrait"), memory_limit=10**9)
