"""Samples: what is in one, and that nothing but the seed and the recipe decides about its bytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from judges import BrightJudge
from PIL import Image
from threadpoolctl import threadpool_limits

from stylemixseg import StyleMixSegmenter, load_generator, seeded_z
from stylemixseg._util.threads import one_thread, usable_cores
from stylemixseg.commands.objects import ObjectOptions
from stylemixseg.factory import sample as samples
from stylemixseg.factory.recipe import IGNORE, Recipe
from stylemixseg.factory.sample import MEASURES, Sample, SampleMaker, rule_agreement
from stylemixseg.foreground import CornerMinority, Saliency
from stylemixseg.generators.openvino.engine import OpenVINOGenerator
from stylemixseg.joint.classes import ClusterNames, class_map, finer_map, fit_clusters
from stylemixseg.metrics import confusion
from stylemixseg.settings import BOX_CONFIG, SegmenterConfig

CONFIG = SegmenterConfig(n=8, k=3, rule=CornerMinority())
RECIPE = Recipe("toy-portrait", CONFIG, size=64)


@pytest.fixture(scope="module")
def maker() -> SampleMaker:
    return SampleMaker(RECIPE)


def test_a_sample_depends_on_its_seed_alone(maker):
    first = [maker(seed).to_bytes() for seed in (3, 4, 3)]
    again = SampleMaker(RECIPE)
    assert again(4).to_bytes() == first[1] and again(3).to_bytes() == first[0] == first[2]
    assert first[0] != first[1]


def test_threads_do_not_change_a_bit_and_come_back(maker):
    before = torch.get_num_threads()
    expected = maker(5).to_bytes()
    try:
        torch.set_num_threads(3)
        with threadpool_limits(limits=3):
            assert maker(5).to_bytes() == expected
        assert torch.get_num_threads() == 3
        with one_thread():
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    assert usable_cores() >= 1


def test_a_network_gives_the_same_bytes_however_many_images_it_makes_at_once(small):
    ws = small.mapping(seeded_z([1, 2, 3, 4], small.z_dim))
    found = []
    for images_at_once in (1, 2, 4):
        generator = OpenVINOGenerator(small)
        generator.one_thread_per_image(images_at_once)
        (mixes,) = generator.iter_mixed_bytes(ws[:1], ws, cutoff=3, batch_size=4)
        found.append((mixes.tobytes(), generator.synthesis(ws[:1]).numpy().tobytes()))
    assert found[0] == found[1] == found[2]
    with pytest.raises(ValueError, match="images_at_once must be at least 1, got 0"):
        generator.one_thread_per_image(0)


def test_at_the_generators_size_the_mask_is_the_segmenters():
    recipe = replace(RECIPE, size=None, ignore=0.0)
    made = SampleMaker(recipe)(7)
    generator = load_generator("toy-portrait")
    with one_thread():
        found = StyleMixSegmenter(generator, CONFIG)(generator.mapping(seeded_z(7, generator.z_dim), 0.7))
    assert (made.pixels("image.png") == found.image).all()
    assert (made.pixels("mask.png") == found.mask).all()
    assert np.abs(made.pixels("soft.png") / 255 - found.confidence).max() <= 0.5 / 255 + 1e-6
    assert made.record["mask_share"] == pytest.approx(found.mask.mean())
    assert made.record["rule_agreement"] == rule_agreement(found)


def test_a_smaller_sample_averages_whole_squares(maker):
    large, small = SampleMaker(replace(RECIPE, size=None, ignore=0.0))(7), maker(7)
    means = large.pixels("image.png").reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(small.pixels("image.png") - means).max() <= 0.5
    soft = large.pixels("soft.png").reshape(64, 2, 64, 2).mean((1, 3))
    assert np.abs(small.pixels("soft.png") - soft).max() <= 1
    sure = np.abs(soft / 255 - 0.5) > 0.11  # rounding cannot move these into the band
    assert (small.pixels("mask.png")[sure] == (soft > 127.5)[sure]).all()


def test_the_band_of_low_confidence_is_ignored(maker):
    narrow, wide = maker(7), SampleMaker(replace(RECIPE, ignore=0.4))(7)
    soft = narrow.pixels("soft.png") / 255
    for made, width in ((narrow, 0.1), (wide, 0.4)):
        ignored = made.pixels("mask.png") == IGNORE
        clear = np.abs(np.abs(soft - 0.5) - width) > 1 / 255
        assert (ignored == (np.abs(soft - 0.5) < width))[clear].all()
        assert made.record["ignored_share"] == pytest.approx(ignored.mean())
    assert narrow.record["ignored_share"] < wide.record["ignored_share"]
    assert narrow.record["mask_share"] == wide.record["mask_share"]


def test_measures_are_of_the_same_clusters():
    generator = load_generator("toy-portrait")
    segmenter = StyleMixSegmenter(generator, CONFIG)
    found = segmenter(generator.mapping(seeded_z(1, generator.z_dim), 0.7))
    by_rule = [rule(found.kmeans.labels, 3)[found.kmeans.labels] for rule in (Saliency(), CornerMinority())]
    assert rule_agreement(found) == confusion(*by_rule).miou
    assert set(SampleMaker(RECIPE)(1).record) == {"seed", "truncation", *MEASURES}


def test_a_judge_makes_the_mask():
    made = SampleMaker(Recipe("toy-portrait", replace(CONFIG, judge=BrightJudge()), size=64))(2)
    by_rule = SampleMaker(RECIPE)(2)
    assert (made.pixels("image.png") == by_rule.pixels("image.png")).all()
    assert made.record["mask_share"] != by_rule.record["mask_share"]
    assert made.record["rule_agreement"] == by_rule.record["rule_agreement"]
    assert set(made.files) == {*by_rule.files, "rule.png"}
    rule, certain = made.pixels("rule.png"), by_rule.pixels("mask.png")
    assert set(np.unique(rule)) == {0, 255}
    assert ((rule > 0) == (certain == 1))[
        certain != 255
    ].mean() > 0.995  # squares on the outline may be rounded otherwise


@pytest.fixture(scope="module")
def judged():
    """The image of seed 2, segmented with a judge: its config, X_s and segmentation."""
    config = replace(CONFIG, judge=BrightJudge())
    generator = load_generator("toy-portrait")
    segmenter = StyleMixSegmenter(generator, config)
    ws = generator.mapping(seeded_z(2, generator.z_dim), 0.7)
    summary = segmenter.summary(ws)
    return config, summary, segmenter.from_summary(ws, summary)


def test_classes_are_those_of_the_shared_clusters(monkeypatch, judged):
    config, summary, found = judged
    mask = found.mask
    clusters = fit_clusters([(summary, mask)], 3, [8], aligned=False)[8]
    names = ClusterNames.of({"one": [0, 2], "other": [1]}, 3)
    monkeypatch.setattr(samples, "load_clusters", lambda generator, config: (clusters, names))
    recipe = Recipe("toy-portrait", config, classes=names, ignore=0.0)
    made = SampleMaker(recipe)(2)
    expected = class_map(clusters, names, summary, mask, found.image)
    assert (made.pixels("mask.png") == expected).all() and set(np.unique(expected)) == {0, 1, 2}
    assert recipe.labels == ("background", "one", "other")
    with pytest.raises(ValueError, match="classes needs a config with a judge"):
        Recipe("toy-portrait", CONFIG, classes=names)


def test_features_divide_the_skin(monkeypatch, judged):
    config, summary, found = judged
    clusters = fit_clusters([(summary, found.mask)], 3, [8], aligned=False)[8]
    names = ClusterNames.of({"skin": [0, 2], "hair": [1]}, 3)
    labels = class_map(clusters, names, summary, found.mask, found.image)
    inside = fit_clusters([(summary, labels == 1)], 4, [8], aligned=False)[8]
    features = ClusterNames.of({"skin": [0, 2], "nose": [1, 3]}, 4)

    def stored(generator, config, path=None):
        return (clusters, names) if path is None else (inside, features)

    monkeypatch.setattr(samples, "load_clusters", stored)
    recipe = Recipe("toy-portrait", config, classes=names, features=features, ignore=0.0)
    made = SampleMaker(recipe)(2).pixels("mask.png")
    expected, classes = finer_map(labels, names, "skin", inside, features, summary)
    assert (made == expected).all() and set(np.unique(made)) == {0, 1, 2, 3}
    assert recipe.labels == classes == ("background", "skin", "hair", "nose")
    generator = load_generator("toy-portrait")
    record, before = recipe.describe(generator), replace(recipe, features=None).describe(generator)
    assert record["clusters of the features"] == features.named()
    assert set(record) - set(before) == {"clusters of the features"}  # older sets have no such line
    with pytest.raises(ValueError, match="features needs classes"):
        replace(recipe, classes=None)
    with pytest.raises(ValueError, match="part must be one of one, other, got 'skin'"):
        replace(recipe, classes=ClusterNames.of({"one": [0, 2], "other": [1]}, 3))


def test_objects_have_boxes_that_fit_their_pixels():
    recipe = Recipe("toy-room", replace(BOX_CONFIG, n=8), size=64, objects=ObjectOptions("sofa, lamp"))
    made = SampleMaker(recipe)(3)
    instance, semantic = made.pixels("instance.png"), made.pixels("mask.png")
    assert made.record["objects"] and set(made.files) == {"image.png", "mask.png", "instance.png"}
    for item in made.record["objects"]:
        mask = instance == item["number"]
        x, y, width, height = item["bbox"]
        assert mask[y : y + height, x : x + width].sum() == mask.sum() > 0
        assert mask[y].any() and mask[y + height - 1].any() and mask[:, x].any() and mask[:, x + width - 1].any()
        assert set(np.unique(semantic[mask])) == {recipe.labels.index(item["phrase"])}
    assert set(np.unique(instance)) == {0, *(item["number"] for item in made.record["objects"])}


def test_a_sample_is_read_as_it_was_written(maker):
    made = maker(9)
    read = Sample.from_bytes(made.to_bytes())
    assert read.record == made.record and read.files == made.files and read.seed == 9
    assert Image.fromarray(read.pixels("mask.png")).mode == "L"


@pytest.mark.parametrize("change", ["cut", "flipped bit", "empty", "no zip"])
def test_a_damaged_sample_is_noticed(maker, change):
    data = bytearray(maker(9).to_bytes())
    if change == "flipped bit":
        data[len(data) // 2] ^= 4
    damaged = {"cut": data[: len(data) // 2], "flipped bit": data, "empty": b"", "no zip": b"0" * 99}[change]
    with pytest.raises(ValueError, match="not a whole sample"):
        Sample.from_bytes(bytes(damaged))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"truncation": 1.5}, "truncation must be in 0..1, got 1.5"),
        ({"ignore": 0.6}, "ignore must be in 0..0.5, got 0.6"),
        ({"size": 4}, "size must be at least 8, got 4"),
        ({"engine": "onnx"}, "engine must be one of"),
    ],
)
def test_a_setting_out_of_range_is_named(changes, words):
    with pytest.raises(ValueError, match=words):
        replace(RECIPE, **changes)


def test_a_size_that_does_not_divide_the_generators_is_named():
    with pytest.raises(ValueError, match="size: resolution must divide the generator's 128, got 100"):
        SampleMaker(replace(RECIPE, size=100))


def test_the_terms_of_what_samples_are_made_from():
    assert RECIPE.licences() == {"generator toy-portrait": "Apache-2.0, as this package"}
    terms = replace(RECIPE, generator="models/mine.pkl", config=replace(CONFIG, judge=BrightJudge())).licences()
    assert "not known here" in terms["generator mine.pkl"] and "non-commercial" in terms["judge of pixels"]
