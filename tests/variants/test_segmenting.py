"""Any source of variants is segmented as style mixes are, and one that breaks its protocol is told so."""

from __future__ import annotations

import numpy as np
import pytest

from stylemixseg.foreground import CornerMinority
from stylemixseg.generators.base import seeded_z
from stylemixseg.generators.toyworld.world import ToyWorld
from stylemixseg.joint.discriminant import StyleDiscriminant
from stylemixseg.segmenter import StyleMixSegmenter
from stylemixseg.settings import SegmenterConfig
from stylemixseg.variants.base import VariantSource
from stylemixseg.variants.segmenting import VariantSegmenter, segment_variants
from stylemixseg.variants.stylemixes import StyleMixes

CONFIG = SegmenterConfig(n=8, k=3, rule=CornerMinority())


class Painted:
    """Paints the regions of a drawn map (h, w) in random colours; a query is the map."""

    name, digest, n = "painted", "0" * 64, 6

    def __init__(self, *, shares_styles: bool = True):
        self.shares_styles = shares_styles

    def query_image(self, query: np.ndarray) -> np.ndarray:
        return (query[..., None] * np.uint8([40, 60, 80])).astype(np.uint8)

    def iter_variants(self, query: np.ndarray):
        for style in range(self.n):
            colors = np.random.default_rng(style).integers(256, size=(3, 3), dtype=np.uint8)
            yield colors[query][None]


REGIONS = np.zeros((12, 20), int)
REGIONS[3:9, 5:15] = 1
REGIONS[5:7, 8:12] = 2


@pytest.fixture(scope="module")
def world():
    return ToyWorld("portrait", resolution=64)


@pytest.fixture(scope="module")
def w0(world):
    return world.mapping(seeded_z(3, world.z_dim), 0.7)


def same(one, other) -> None:
    for name in ("image", "clusters", "mask", "confidence", "foreground"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("include_query", [False, True])
def test_style_mixes_are_segmented_as_by_the_style_mix_segmenter(world, w0, include_query):
    plain = StyleMixSegmenter(world, CONFIG, include_query=include_query)(w0)
    found = segment_variants(StyleMixes(world, CONFIG), w0, CONFIG, include_query=include_query)
    same(found, plain)
    assert found.config == plain.config and found.kmeans.centroids.shape[1] == 3 * (8 + include_query)


def test_a_source_needs_no_generator_and_no_square(world):
    source: VariantSource[np.ndarray] = Painted()
    found = segment_variants(source, REGIONS, k=3, rule=CornerMinority())
    np.testing.assert_array_equal(found.mask, REGIONS > 0)
    assert len(np.unique(found.clusters * 3 + REGIONS)) == 3  # cluster by cluster, region by region
    assert (found.config.n, found.generator_name, found.generator_digest) == (6, "painted", "0" * 64)
    assert found.describe()["generator"] == {"name": "painted", "sha256": "0" * 64}


def test_a_summary_that_is_at_hand_serves_again():
    segmenter = VariantSegmenter(Painted(), k=3, rule=CornerMinority())
    same(segmenter.from_summary(REGIONS, segmenter.summary(REGIONS)), segmenter(REGIONS))


def test_a_judge_needs_shared_styles():
    judge = StyleDiscriminant(np.zeros(18, np.float32), 1.0)
    assert segment_variants(Painted(), REGIONS, k=3, judge=judge).mask.all()
    with pytest.raises(ValueError, match="judge must be None for painted, got one: .* styles of its own"):
        VariantSegmenter(Painted(shares_styles=False), k=3, judge=judge)
    segment_variants(Painted(shares_styles=False), REGIONS, k=3, rule=CornerMinority())  # a rule does not


def test_n_is_the_sources_own():
    assert VariantSegmenter(Painted(), SegmenterConfig(n=50)).config.n == 6
    assert VariantSegmenter(Painted(), n=6).config.n == 6
    with pytest.raises(ValueError, match="n must be the source's, 6, or be left out, got 50"):
        VariantSegmenter(Painted(), n=50)
    with pytest.raises(TypeError, match="clusters"):
        VariantSegmenter(Painted(), clusters=3)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda images: images[:-1], "painted must give n = 6 variants, got 5 images in all"),
        (lambda images: [*images, images[0]], r"n = 6 variants .* got \(1, 12, 20, 3\) uint8 after 6"),
        (lambda images: [np.concatenate([*images, images[0]])], r"got \(7, 12, 20, 3\) uint8 after 0"),
        (lambda images: [images[0], images[1][:, :6]], r"\(b, 12, 20, 3\) uint8, got \(1, 6, 20, 3\) uint8 after 1"),
        (lambda images: [images[0] / 255], r"got \(1, 12, 20, 3\) float64 after 0"),
        (lambda images: [image[0] for image in images], r"got \(12, 20, 3\) uint8"),
    ],
)
def test_a_source_that_breaks_its_promise(change, message):
    class Broken(Painted):
        def iter_variants(self, query):
            return iter(change(list(super().iter_variants(query))))

    with pytest.raises(ValueError, match=message):
        segment_variants(Broken(), REGIONS, k=3)


def test_a_query_image_that_is_none():
    class Broken(Painted):
        def query_image(self, query):
            return query / 2

    with pytest.raises(ValueError, match=r"query image of painted must be \(H, W, 3\) uint8, got \(12, 20\) float64"):
        segment_variants(Broken(), REGIONS, k=3)
