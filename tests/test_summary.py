"""The style summary tensor: layout, colours against scikit-image, streaming, memory."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from skimage.color import rgb2lab

from stylemixseg import summary
from stylemixseg.colors import to_color_space
from stylemixseg.generators.base import seeded_z
from stylemixseg.generators.toyworld.world import ToyWorld
from stylemixseg.mixing import draw_style_latents, query_image, style_mixed_images
from stylemixseg.settings import MixPlan
from stylemixseg.summary import StyleStack, as_summary, style_summary, summary_from_images


@pytest.fixture(scope="module")
def world():
    return ToyWorld("portrait", resolution=32)


@pytest.fixture(scope="module")
def latents(world):
    return world.mapping(seeded_z(7, world.z_dim), 0.7), draw_style_latents(world, 5, seed=1)


def test_colours_are_kept_where_they_are_few(monkeypatch):
    stack = StyleStack(np.random.RandomState(0).randint(0, 256, (4, 3, 6, 5), np.uint8))
    kept = stack.at_hand()
    np.testing.assert_array_equal(kept.rows(slice(None)), stack.rows(slice(None)))
    assert kept.shape == stack.shape and kept is not stack and kept.at_hand() is kept
    monkeypatch.setattr(summary, "_AT_HAND", 4 * 6 * 5 * 12 - 1)
    assert stack.at_hand() is stack


def test_lab_is_scikit_images():
    """All corners of the cube, greys, near-black (the linear part of both curves) and random colours."""
    corners = np.array(np.meshgrid(*[[0, 255]] * 3)).reshape(3, -1).T
    greys = np.arange(256)[:, None].repeat(3, 1)
    colours = np.concatenate([corners, greys, np.random.RandomState(0).randint(0, 256, (4000, 3))]).astype(np.uint8)
    lab = to_color_space(colours[None, None], "lab")
    assert lab.dtype == np.float32
    assert np.abs(lab[0, 0] - rgb2lab(colours)).max() < 1e-3


def test_rgb_is_on_a_scale_of_100():
    colours = np.array([[[[0, 51, 255]]]], np.uint8)
    np.testing.assert_allclose(to_color_space(colours, "rgb"), [[[[0, 20, 100]]]], rtol=1e-6)
    assert to_color_space(colours, "rgb").dtype == np.float32


def test_a_pixels_colours_stand_side_by_side():
    images = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)  # n = 2, H = 3, W = 4
    summary = summary_from_images(images, "rgb")
    assert summary.shape == (3, 4, 6) and summary.dtype == np.float32
    np.testing.assert_allclose(summary[1, 2] * 2.55, [*images[0, 1, 2], *images[1, 1, 2]], rtol=1e-5)
    lab = summary_from_images(images)  # the default
    np.testing.assert_allclose(lab[2, 3, 3:], rgb2lab(images[1, 2, 3]), atol=0.01)


def test_any_sequence_of_images_is_taken():
    images = np.random.RandomState(0).randint(0, 256, (3, 4, 4, 3)).astype(np.uint8)
    expected = summary_from_images(images)
    for other in (list(images), tuple(images), iter(images)):
        assert np.array_equal(summary_from_images(other), expected)
    images.flags.writeable = False  # as a cached stack is
    assert np.array_equal(summary_from_images(images), expected)


@pytest.mark.parametrize("color_space", ["lab", "rgb"])
@pytest.mark.parametrize("layout", ["planes", "pixels"])
def test_a_stack_gives_the_tensors_pixels(color_space, layout):
    """To the last bit, whichever pixels are asked for, and however the images lie in memory."""
    images = np.random.RandomState(0).randint(0, 256, (5, 70, 120, 3)).astype(np.uint8)  # more than one block
    planes = np.moveaxis(images, 3, 1)
    stack = StyleStack(np.ascontiguousarray(planes) if layout == "planes" else planes, color_space)
    expected = np.concatenate(list(to_color_space(images, color_space)), axis=-1)
    assert stack.shape == (70, 120, 15)
    assert np.shares_memory(stack.images, images) == (layout == "pixels")
    assert np.array_equal(stack.tensor(), expected) and stack.tensor().dtype == np.float32
    rows = expected.reshape(-1, 15)
    chosen = np.random.RandomState(1).permutation(len(rows))[:100]
    for which in (slice(0, 8), slice(8000, 9000), chosen):
        assert np.array_equal(stack.rows(which), rows[which])


@pytest.mark.parametrize("color_space", ["lab", "rgb"])
@pytest.mark.parametrize("layout", ["planes", "pixels"])
def test_a_crop_is_the_stack_of_cropped_images(color_space, layout):
    images = np.random.RandomState(0).randint(0, 256, (3, 20, 30, 3)).astype(np.uint8)
    planes = np.moveaxis(images, 3, 1)
    stack = StyleStack(np.ascontiguousarray(planes) if layout == "planes" else planes, color_space)
    crop = stack.crop(slice(4, 15), slice(7, 30))
    assert crop.shape == (11, 23, 9) and crop.color_space == color_space
    assert not np.shares_memory(crop.images, images)  # it outlives the stack
    cropped = images[:, 4:15, 7:30]
    assert np.array_equal(crop.tensor(), summary_from_images(cropped, color_space))
    assert np.array_equal(crop.rows(slice(23, 46)), stack.tensor()[5, 7:30])  # the crop's second row
    again = crop.crop(slice(0, 2), slice(3, 4))
    assert np.array_equal(again.tensor(), stack.tensor()[4:6, 10:11])
    with pytest.raises(ValueError, match=r"images must be .* got \(3, 3, 0, 30\)"):
        stack.crop(slice(5, 5), slice(0, 30))


def test_images_stay_bytes(world, latents):
    stack = style_summary(world, *latents, MixPlan(6, batch_size=2))
    assert stack.images.dtype == np.uint8 and stack.images.nbytes * 4 == stack.tensor().nbytes
    rgb = stack.in_color_space("rgb")
    assert np.shares_memory(rgb.images, stack.images)
    assert np.array_equal(rgb.tensor(), style_summary(world, *latents, MixPlan(6, color_space="rgb")).tensor())
    assert np.array_equal(stack.first(2).tensor(), stack.tensor()[..., :6])


def test_an_array_and_a_stack_are_clustered_and_projected_alike(world, latents):
    stack = style_summary(world, *latents, MixPlan(6))
    array = as_summary(stack.tensor())
    assert as_summary(stack) is stack and array.shape == stack.shape
    found, expected = array.cluster(3, seed=1), stack.cluster(3, seed=1)
    assert np.array_equal(found.labels, expected.labels)
    np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-4, atol=0.1)
    weights = np.random.RandomState(0).randn(stack.shape[2], 2).astype(np.float32)
    both = stack.project(weights)
    np.testing.assert_allclose(both, stack.tensor() @ weights, rtol=1e-3, atol=0.05)
    np.testing.assert_allclose(array.project(weights[:, 1]), both[..., 1], rtol=1e-3, atol=0.05)
    cut = np.s_[3:9], np.s_[4:20]
    assert np.array_equal(array.crop(*cut).cluster(2).labels, stack.crop(*cut).cluster(2).labels)
    with pytest.raises(ValueError, match=r"summary must have 4 entries a pixel \(3n\), got 15"):
        stack.project(np.zeros(4))


@pytest.mark.parametrize(
    "images, words",
    [
        (np.zeros((2, 4, 4, 3), np.uint8), r"images must be \(n, 3, H, W\) uint8, got \(2, 4, 4, 3\) uint8"),
        (np.zeros((2, 3, 4, 4), np.float32), r"got \(2, 3, 4, 4\) float32"),
        (np.zeros((0, 3, 4, 4), np.uint8), r"got \(0, 3, 4, 4\)"),
    ],
)
def test_bad_stack(images, words):
    with pytest.raises(ValueError, match=words):
        StyleStack(images)


@pytest.mark.parametrize("color_space", ["lab", "rgb"])
@pytest.mark.parametrize("resolution", [None, 8])
@pytest.mark.parametrize("include_query", [False, True])
def test_streamed_is_what_the_images_give(world, latents, color_space, resolution, include_query):
    images = style_mixed_images(world, *latents, MixPlan(6, resolution=resolution))
    if include_query:
        images = np.concatenate([images, query_image(world, latents[0], resolution)[None]])
    streamed = style_summary(
        world,
        *latents,
        MixPlan(6, color_space=color_space, resolution=resolution, include_query=include_query, batch_size=2),
    ).tensor()
    side = resolution or 32
    assert streamed.shape == (side, side, 15 + 3 * include_query)
    np.testing.assert_allclose(streamed, summary_from_images(images, color_space), atol=1e-4)


@pytest.mark.parametrize(
    "images, words",
    [
        ([], r"images must be \(n, H, W, 3\) with n >= 1 and equal sizes"),
        (np.zeros((0, 4, 4, 3), np.uint8), "with n >= 1"),
        (
            [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)],
            r"equal sizes, .*\[\(4, 4, 3\), \(4, 5, 3\)\]",
        ),
        (np.zeros((4, 4, 3), np.uint8), r"images must be \(n, H, W, 3\) uint8 .*got \(4, 4, 3\)"),
        (np.zeros((2, 4, 4, 4), np.uint8), r"images must be \(n, H, W, 3\) uint8 .*got \(2, 4, 4, 4\) uint8"),
        (np.zeros((2, 4, 4, 3), np.float32), "uint8 .*got .* float32"),
    ],
)
def test_bad_images(images, words):
    with pytest.raises(ValueError, match=words):
        summary_from_images(images)


def test_an_unknown_colour_space_suggests_the_known(world, latents):
    with pytest.raises(ValueError, match="color_space must be one of lab, rgb, got 'LAB'"):
        summary_from_images(np.zeros((1, 4, 4, 3), np.uint8), "LAB")
    with pytest.raises(ValueError, match="color_space must be one of lab, rgb, got 'hsv'"):
        MixPlan(6, color_space="hsv")


def test_bad_settings(world, latents):
    with pytest.raises(ValueError, match="resolution must divide the generator's 32, got 5"):
        style_summary(world, *latents, MixPlan(6, resolution=5))
    with pytest.raises(ValueError, match=r"cutoff must be in 0\.\.12, got 99"):
        style_summary(world, *latents, MixPlan(99))


MEMORY = """
import sys
import torch
from stylemixseg.clustering import kmeans
from stylemixseg.settings import MixPlan
from stylemixseg.summary import style_summary

class Noise:  # images that cost nothing, as large as the face generator's
    num_ws, w_dim, resolution, w_avg = 16, 4, 1024, torch.zeros(4)
    def synthesis(self, ws):
        small = ws[:, -3:, :1, None].expand(-1, -1, 32, 32) + 0.1 * torch.randn(len(ws), 3, 32, 32)
        return small.repeat_interleave(32, 2).repeat_interleave(32, 3).clamp(-1, 1)

torch.manual_seed(0)
X_s = style_summary(Noise(), torch.zeros(1, 16, 4), torch.randn(50, 16, 4), MixPlan(8))
X_s = X_s.tensor() if sys.argv[1] == "tensor" else X_s
result = kmeans(X_s, 3)
assert X_s.shape == (1024, 1024, 150) and result.distances.shape == (1024, 1024, 3)
# Not getrusage: its peak counts the process that started this one, too.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
@pytest.mark.parametrize("build, least, most", [("tensor", 0.7, 2.0), ("stack", 0.2, 0.8)])
def test_fifty_styles_at_1024_px_fit(build, least, most):
    """GB of the whole process: interpreter, libraries, X_s or its images, clustering. The generator comes on top."""
    done = subprocess.run([sys.executable, "-c", MEMORY, build], capture_output=True, text=True, check=True)
    gigabytes = int(done.stdout) * 1024 / 1e9
    assert least < gigabytes < most
