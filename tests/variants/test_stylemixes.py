"""Style mixes as a source of variants: the images of the method, at one cutoff or dealt to several."""

from __future__ import annotations

import numpy as np
import pytest

from stylemixseg.generators.base import seeded_z
from stylemixseg.generators.toyworld.world import ToyWorld
from stylemixseg.mixing import draw_style_latents, query_image, style_mixed_images
from stylemixseg.settings import MixPlan
from stylemixseg.variants.stylemixes import StyleMixes, dealt


@pytest.fixture(scope="module")
def world():
    return ToyWorld("portrait", resolution=32)


@pytest.fixture(scope="module")
def w0(world):
    return world.mapping(seeded_z(3, world.z_dim), 0.7)


def variants(source: StyleMixes, query) -> np.ndarray:
    return np.concatenate(list(source.iter_variants(query)))


def test_at_one_cutoff_they_are_the_papers_style_mixes(world, w0):
    source = StyleMixes(world, n=5, cutoff=6, batch_size=2)
    styles = draw_style_latents(world, 5, 2023)
    np.testing.assert_array_equal(variants(source, w0), style_mixed_images(world, w0, styles, MixPlan(6)))
    np.testing.assert_array_equal(source.query_image(w0), query_image(world, w0))
    assert (source.n, source.shares_styles, source.name) == (5, True, f"{world.name}, c = 6")
    assert [len(batch) for batch in source.iter_variants(w0)] == [2, 2, 1]


def test_several_cutoffs_share_the_same_styles_out(world, w0):
    source = StyleMixes(world, n=7, cutoffs=(4, 6, 8))
    styles = draw_style_latents(world, 7, 2023)
    plain = {c: style_mixed_images(world, w0, styles, MixPlan(c)) for c in (4, 6, 8)}
    expected = np.concatenate([plain[4][:3], plain[6][3:5], plain[8][5:]])
    np.testing.assert_array_equal(variants(source, w0), expected)
    assert source.n == 7 and source.name == f"{world.name}, c = 4, 6, 8"


def test_a_lower_resolution_is_that_of_query_and_variants(world, w0):
    source = StyleMixes(world, n=2, resolution=16, include_query=True)  # X_0 is the segmenter's business
    assert source.query_image(w0).shape == (16, 16, 3) and variants(source, w0).shape == (2, 16, 16, 3)


def test_the_digest_covers_generator_styles_cutoffs_and_side(world):
    given = [{}, {"cutoffs": (6, 8)}, {"cutoffs": (8, 6)}, {"n": 5}, {"style_seed": 1}, {"resolution": 16}]
    digests = [StyleMixes(world, **({"n": 4} | settings)).digest for settings in given]
    digests.append(StyleMixes(ToyWorld("room", resolution=32), n=4).digest)
    assert len(set(digests)) == len(digests) and all(len(digest) == 64 for digest in digests)
    assert StyleMixes(world, n=4, batch_size=3, k=9, cutoffs=(6,)).digest == digests[0]


@pytest.mark.parametrize(
    "settings, error, message",
    [
        ({"cutoffs": (6, 13)}, ValueError, r"cutoffs must be in 0\.\.12, got 13"),
        ({"cutoffs": (6, 8.0)}, TypeError, "cutoffs must be a whole number, got 8.0"),
        ({"cutoffs": (6, 6)}, ValueError, r"cutoffs must be 1\.\.4 different layers.*got \(6, 6\)"),
        ({"cutoffs": ()}, ValueError, r"cutoffs must be 1\.\.4 different layers.*got \(\)"),
        ({"cutoffs": (2, 4, 6, 8, 10)}, ValueError, r"cutoffs must be 1\.\.4 different layers"),
        ({"resolution": 5}, ValueError, "resolution must divide the generator's 32, got 5"),
        ({"clusters": 3}, TypeError, "clusters"),
    ],
)
def test_bad_settings(world, settings, error, message):
    with pytest.raises(error, match=message):
        StyleMixes(world, **({"n": 4} | settings))


def test_a_latent_of_another_generator_is_refused(world, w0):
    source = StyleMixes(world, n=2)
    for use in (source.query_image, lambda query: list(source.iter_variants(query))):
        with pytest.raises(ValueError, match=r"w0 must have shape \(N, 12, 32\)"):
            use(w0[:, :3])


def test_dealt_by_hand():
    assert dealt(20, 1) == [slice(0, 20)] and dealt(20, 2) == [slice(0, 10), slice(10, 20)]
    assert [part.stop - part.start for part in dealt(50, 3)] == [17, 17, 16]
    with pytest.raises(ValueError, match=r"parts must be in 1\.\.3, got 4"):
        dealt(3, 4)
