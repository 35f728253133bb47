"""Scores of foreground rules, worked by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from semantic_networks import LABELS as NETWORK_LABELS
from semantic_networks import save_networks

from stylemixseg.experiments import scoring
from stylemixseg.experiments.clustermaps import query_latent
from stylemixseg.experiments.profile import load_profile
from stylemixseg.experiments.scoring import oracle_mask, reference_masks, rule_mask, score_rules
from stylemixseg.generators.toyworld.world import ToyWorld
from stylemixseg.metrics import Confusion
from stylemixseg.mixing import to_generator_range, to_uint8

LABELS = np.array([[0, 0, 0, 1], [0, 1, 1, 2], [2, 2, 2, 2]], np.uint8)
TRUTH = np.array([[0, 0, 1, 1], [0, 1, 0, 1], [1, 0, 1, 0]], bool)


def only(cluster: int):
    return lambda labels, k: np.arange(k) == cluster


def test_a_rules_mask_may_be_empty_or_full():
    assert rule_mask(LABELS, 3, only(1)).astype(int).tolist() == [[0, 0, 0, 1], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert not rule_mask(LABELS, 3, lambda labels, k: np.zeros(k, bool)).any()
    assert rule_mask(LABELS, 3, lambda labels, k: np.ones(k, bool)).all()


def test_the_oracle_takes_clusters_that_are_mostly_inside():
    # Cluster 0: 1 of 4 inside; cluster 1: 2 of 3; cluster 2: 3 of 5.
    assert np.array_equal(oracle_mask(LABELS, 3, TRUTH), LABELS > 0)
    tie = np.array([[0, 0, 1]])
    assert oracle_mask(tie, 3, np.array([[True, False, True]])).tolist() == [[False, False, True]]  # half is not most


def test_the_oracle_is_no_worse_than_any_choice_of_clusters_in_accuracy():
    random = np.random.RandomState(0)
    for _ in range(20):
        labels, truth = random.randint(0, 4, (6, 6)), random.rand(6, 6) > 0.6
        best = (oracle_mask(labels, 4, truth) == truth).mean()
        for choice in range(16):
            chosen = np.array([choice >> cluster & 1 for cluster in range(4)], bool)
            assert (chosen[labels] == truth).mean() <= best


def test_scores_by_hand():
    scores = score_rules([LABELS, LABELS], 3, [TRUTH, ~TRUTH], {"one": only(1), "two": only(2)})
    assert list(scores) == ["one", "two", "oracle"]
    assert scores["one"] == [Confusion(tp=2, fp=1, fn=4, tn=5), Confusion(tp=1, fp=2, fn=5, tn=4)]
    assert scores["two"] == [Confusion(tp=3, fp=2, fn=3, tn=4), Confusion(tp=2, fp=3, fn=4, tn=3)]
    assert scores["oracle"] == [Confusion(tp=5, fp=3, fn=1, tn=3), Confusion(tp=3, fp=1, fn=3, tn=5)]
    assert set(score_rules([LABELS], 3, [TRUTH])) == {"saliency", "corner_minority", "oracle"}


def test_maps_and_references_must_be_equally_many():
    with pytest.raises(ValueError, match="argument 2 is shorter than argument 1"):
        score_rules([LABELS, LABELS], 3, [TRUTH])


def test_images_go_back_to_the_generators_range():
    image = np.array([[[0, 255, 51]]], np.uint8)
    back = to_generator_range(image)
    assert back.shape == (1, 3, 1, 1) and back.dtype == torch.float32
    np.testing.assert_allclose(back.flatten(), [-1, 1, -0.6], atol=1e-6)
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    assert np.array_equal(to_uint8(to_generator_range(every))[0], every)


def test_truth_comes_from_the_generator():
    world, profile = ToyWorld("portrait", resolution=32), load_profile("smoke")
    masks = reference_masks("truth", world, profile, [4, 9], [{}, {}])
    for seed, mask in zip([4, 9], masks):
        assert np.array_equal(mask, world.truth(query_latent(world, profile, seed))[0].foreground)
    assert not np.array_equal(*masks)


def test_a_network_sees_the_maps_images(monkeypatch):
    class Bright:
        def foreground(self, images):
            return images[:, 0] > 0

    monkeypatch.setattr(scoring.FaceParser, "load", Bright)
    images = [np.full((4, 5, 3), value, np.uint8) for value in (10, 250)]
    masks = reference_masks("face_parser", None, None, [0, 1], [{"image": image} for image in images])
    assert [mask.shape for mask in masks] == [(4, 5)] * 2 and [mask.all() for mask in masks] == [False, True]


def test_an_unknown_reference_is_named():
    with pytest.raises(ValueError, match="reference must be one of truth, face_parser, deeplab, .*got 'people'"):
        reference_masks("people", None, replace(load_profile("smoke")), [0], [{}])


def test_parts_of_a_reference_agree_with_its_mask():
    profile = load_profile("smoke")
    toy = ToyWorld("portrait")
    image = to_uint8(toy.synthesis(query_latent(toy, profile, 0)))[0]
    labels, names = scoring.reference_parts("truth", toy, profile, 0, image)
    present = {names[label] for label in np.unique(labels)}
    assert labels.shape == image.shape[:2] and "wall" in present
    (mask,) = reference_masks("truth", toy, profile, [0], [{"image": image}])
    assert np.array_equal(labels != names.index("wall"), mask)  # this scene has no floor
    labels, names = scoring.reference_parts("face_parser", toy, profile, 0, image)
    (mask,) = reference_masks("face_parser", toy, profile, [0], [{"image": image}])
    assert np.array_equal(labels != names.index("background"), mask)


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    transformers = pytest.importorskip("transformers", reason="the extra `detectors` is not installed")
    return save_networks(transformers, tmp_path_factory.mktemp("models"))


def test_a_users_network_is_a_reference(networks):
    """Masks, parts and words of a network in a folder, all of the class that the profile names."""
    reference = f"{networks['deeplab-voc']}:person"
    profile = load_profile("smoke").changed(reference=reference)
    images = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 3), np.uint8)
    masks = reference_masks(reference, None, profile, [0, 1], [{"image": image} for image in images])
    assert [mask.shape for mask in masks] == [(24, 24)] * 2
    labels, names = scoring.reference_parts(reference, None, profile, 0, images[0])
    assert names == tuple(NETWORK_LABELS["deeplab-voc"])
    assert np.array_equal(labels == names.index("person"), masks[0]) and 0 < masks[0].mean() < 1
    assert scoring.REFERENCES[reference] == "the network deeplab-voc; its class *person* is the foreground"
    with pytest.raises(ValueError, match="must know the class 'lamp', but its classes are: background; diningtable"):
        reference_masks(f"{networks['deeplab-voc']}:lamp", None, profile, [0], [{"image": images[0]}])


def test_kept_results_depend_on_a_users_weights(networks, tmp_path):
    assert scoring.reference_key("face_parser") == "face_parser"  # what was kept before stays
    folder = networks["deeplab-voc"]
    keys = {scoring.reference_key(f"{folder}:{wanted}") for wanted in ("sofa", "sofa", "person")}
    assert len(keys) == 2
    copy = tmp_path / "deeplab-voc"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    digest = [scoring.reference_key(f"{place}:sofa").split()[-1] for place in (folder, copy)]
    assert digest[0] == digest[1]  # the same weights elsewhere
    weights = load_file(copy / "model.safetensors")
    weights["segmentation_head.classifier.convolution.bias"] += 1
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    scoring.semantic_reference.cache_clear()
    assert scoring.reference_key(f"{copy}:sofa").split()[-1] != digest[0]


def test_deeplab_is_a_second_reference_for_people_only(networks, monkeypatch):
    monkeypatch.setattr(scoring, "find_spec", lambda name: True)
    monkeypatch.setattr(scoring, "data_file", lambda *parts: None)
    smoke = load_profile("smoke")
    folder = networks["swin-ade"]
    second = {
        name: scoring.second_reference(smoke.changed(reference=name))
        for name in ("truth", "deeplab", "face_parser", f"{folder}:person", f"{folder}:sofa")
    }
    assert list(second.values()) == [None, None, "deeplab", "deeplab", None]
