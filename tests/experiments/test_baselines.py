"""Other methods of segmenting: which there are, that each is kept by itself, and what is recorded of it."""

from __future__ import annotations

import numpy as np
import pytest

from stylemixseg.baselines.labels4free import Compositing
from stylemixseg.evaluation.results import measurements
from stylemixseg.experiments import baselines, othermethods
from stylemixseg.experiments.clustermaps import query_latent
from stylemixseg.experiments.evaluation import run_evaluation
from stylemixseg.experiments.photos import EvaluationPhoto
from stylemixseg.experiments.profile import load_profile
from stylemixseg.experiments.spotcheck import spot_check
from stylemixseg.experiments.words import COSTS, OTHER_METHODS
from stylemixseg.generators.zoo import load_generator
from stylemixseg.inversion.base import Inversion
from stylemixseg.metrics import confusion
from stylemixseg.mixing import query_image

PROFILE = load_profile("smoke").changed(
    queries={"count": 3, "first": 5, "examples": (5,)}, table4={"queries": 2}, method={"n": 3}
)
YARDSTICKS = {"colours", "colours_oracle", "prior", "mean_mask"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEMIXSEG_CACHE", str(tmp_path / "cache"))
    baselines.baselines_of.cache_clear()
    monkeypatch.setattr(othermethods, "find_spec", lambda name: None)  # OpenCV is as good as not installed


def test_the_toy_world_has_yardsticks_only(tmp_path, monkeypatch):
    generator = load_generator("toy-portrait")
    found = measurements(baselines.run_baselines(PROFILE, tmp_path, generator))
    prefix = "toy.baselines"
    assert {name.split(".")[2] for name in found} == YARDSTICKS | {"method"}
    for name in YARDSTICKS:
        own = f"{prefix}.{name}"
        assert found[f"{own}.miou"].n == 3 and found[f"{own}.seconds"].value > 0
        assert 0 < found[f"{own}.covered"].value <= 1
        assert found[f"{own}.cost.labels"].value == (PROFILE.baselines.labelled if name == "mean_mask" else 0)
    assert found[f"{prefix}.mean_mask.collapsed"].value == 0
    assert found[f"{prefix}.colours_oracle.miou"].value >= found[f"{prefix}.colours.miou"].value
    monkeypatch.setattr(baselines, "_score", lambda *_: pytest.fail("scored again"))
    baselines.baselines_of.cache_clear()
    again = measurements(baselines.run_baselines(PROFILE, tmp_path / "again", generator))
    for name in ("miou", "seconds", "cost.seconds"):
        assert again[f"{prefix}.mean_mask.{name}"] == found[f"{prefix}.mean_mask.{name}"]


def test_differences_are_taken_to_the_method_on_the_same_images(tmp_path):
    generator = load_generator("toy-portrait")
    run_evaluation(PROFILE, tmp_path, generator)
    found = measurements(baselines.run_baselines(PROFILE, tmp_path, generator))
    difference = found["toy.baselines.prior.minus_method"]
    values = (
        found["toy.baselines.prior.miou"].value,
        measurements(tmp_path / "smoke")["toy.table1.ffhq.saliency.miou"],
    )
    assert difference.value == pytest.approx(values[0] - values[1].value)
    assert difference.n == 3 and "saliency map alone" in difference.note
    assert "toy.baselines.prior.minus_judge" not in found  # there is no such file
    other = PROFILE.changed(queries={"first": 20})  # its images were not scored by table1
    found = measurements(baselines.run_baselines(other, tmp_path, generator))
    assert not [name for name in found if "minus" in name]


def test_a_spot_check_scores_again_what_needs_no_fit(tmp_path, monkeypatch):
    baselines.run_baselines(PROFILE, tmp_path)
    monkeypatch.setattr(othermethods.OtherMethods, "_mean_mask", lambda self: pytest.fail("fitted"))
    found = spot_check(PROFILE, tmp_path, "a commit")
    assert {row.name.split(".")[2] for row in found.rows} == {"colours", "colours_oracle", "prior"}
    assert len({row.image for row in found.rows}) == baselines.IMAGES_AGAIN and all(row.ok for row in found.rows)


def test_a_collapse_is_recorded(tmp_path, monkeypatch):
    """A mask that covers everything has an IoU, and says nothing; the record says that it is all or nothing."""
    everything = othermethods.OtherMethod(lambda ws, image, truth: np.ones((64, 64), bool), othermethods.Costs())
    monkeypatch.setattr(othermethods.OtherMethods, "_prior", lambda self: everything)
    found = measurements(baselines.run_baselines(PROFILE, tmp_path, load_generator("toy-portrait")))
    assert found["toy.baselines.prior.collapsed"].value == 1 == found["toy.baselines.prior.covered"].value
    assert found["toy.baselines.prior.fg_iou"].value > 0


def test_the_mean_mask_is_of_images_that_are_not_scored():
    generator = load_generator("toy-portrait")
    mask = othermethods.OtherMethods(PROFILE, generator).method("mean_mask").masks(None, None, None)
    seeds = range(othermethods.LABELLED_FIRST, othermethods.LABELLED_FIRST + PROFILE.baselines.labelled)
    assert not set(seeds) & set(PROFILE.queries.seeds)
    truths = [generator.truth(query_latent(generator, PROFILE, seed))[0].foreground for seed in seeds]
    assert all(confusion(mask, truth).miou > 0.5 for truth in truths)


class FewPhotos:
    """Photos with labels, as `read_celebamask` gives them: noise, whose bright half is skin."""

    names = tuple(f"photo{number}" for number in range(6))

    def __getitem__(self, name):
        image = np.random.default_rng(self.names.index(name)).integers(0, 256, (64, 64, 3), np.uint8)
        return image, (image.mean(2) > 127).astype(np.uint8)


@pytest.fixture
def network(monkeypatch):
    """A random network that draws no face: other labels stand for the parser's, other photos for people's."""
    generator = load_generator("toy-stylegan", engine="torch")

    def labelled(profile, generator):
        for seed in range(profile.baselines.labelled):
            ws = query_latent(generator, profile, seed)
            image = query_image(generator, ws)
            yield ws, (image.mean(2) > image.mean()).astype("uint8")

    def encoder(photos):
        return Inversion(query_latent(generator, PROFILE, int(photos.abs().sum()) % 1000), (), 0.0, "none")

    def references(name, generator, profile, seeds, maps):
        return [item["image"].mean(2) > item["image"].mean() for item in maps]

    monkeypatch.setattr(othermethods, "CLASSES", ("background", "bright"))
    monkeypatch.setattr(othermethods, "labelled_examples", labelled)
    monkeypatch.setattr(othermethods, "read_celebamask", FewPhotos)
    monkeypatch.setattr(othermethods, "training_names", lambda photos: list(photos.names))
    monkeypatch.setattr(othermethods, "inverters", lambda generator: {"encoder": encoder})
    for module in (othermethods, baselines):
        monkeypatch.setattr(module, "reference_masks", references)
    return generator


NETWORK_PROFILE = PROFILE.changed(
    generator="toy-stylegan", reference="face_parser", prefix="random.", baselines={"labelled": 4, "members": 2},
    method={"resolution": 64}, queries={"count": 2},
)  # fmt: skip


def test_all_ways_of_a_network_on_images_and_photos(tmp_path, monkeypatch, network):
    noise = FewPhotos()
    photos = [EvaluationPhoto(name, noise[name][0], noise[name][1] > 0) for name in noise.names[:2]]
    monkeypatch.setattr(baselines, "evaluation_photos", lambda *_: photos)
    path = baselines.run_baselines(NETWORK_PROFILE, tmp_path, network)
    found = measurements(path)
    names = set(OTHER_METHODS) - {"box_cut"}  # which needs OpenCV
    for name in names:
        for prefix in ("random.baselines", "random.baselines.photos"):
            assert found[f"{prefix}.{name}.miou"].n == 2 and f"{prefix}.{name}.trimap.miou" in found
        assert {what for what in COSTS if f"random.baselines.{name}.cost.{what}" in found} >= set(COSTS) - {
            "added_bytes"
        }

    def cost(name: str, what: str) -> float:
        return found[f"random.baselines.{name}.cost.{what}"].value

    section = NETWORK_PROFILE.baselines
    assert cost("datasetgan", "labels") == cost("datasetgan_people", "labels") == 4
    assert cost("sis_corners", "labels") == cost("klish_corners", "labels") == 0
    assert cost("sis_labels", "labels") == 4 and cost("sis_labels", "images") == section.clustered
    assert cost("labels4free", "photos") == 6 and cost("labels4free", "images") == section.composited
    assert cost("labels4free", "parameters") > 0 == cost("klish_corners", "parameters")
    assert cost("datasetgan", "parameters") == cost("datasetgan_people", "parameters") > 0


def test_an_interrupted_run_keeps_the_ways_that_it_has_finished(tmp_path, monkeypatch, network):
    monkeypatch.setattr(baselines, "evaluation_photos", lambda *_: [])
    real, scored = baselines._score, []

    def interrupted(method, given, enlarged):
        if len(scored) == 2:
            raise KeyboardInterrupt
        scored.append(method)
        return real(method, given, enlarged)

    monkeypatch.setattr(baselines, "_score", interrupted)
    with pytest.raises(KeyboardInterrupt):
        baselines.run_baselines(NETWORK_PROFILE, tmp_path, network)
    baselines.baselines_of.cache_clear()
    monkeypatch.setattr(baselines, "_score", lambda *arguments: scored.append(arguments) or real(*arguments))
    baselines.run_baselines(NETWORK_PROFILE, tmp_path, network)
    assert len(scored) == len(set(OTHER_METHODS) - {"box_cut"})


def test_what_is_not_here_is_left_out(monkeypatch, network):
    def absent():
        raise FileNotFoundError("no photos")

    monkeypatch.setattr(othermethods, "read_celebamask", absent)
    found = othermethods.OtherMethods(NETWORK_PROFILE, network)
    assert set(found.left_out) == {"labels4free", "datasetgan_people", "box_cut"}
    assert found.left_out["labels4free"] == "CelebAMask-HQ is not on this machine"
    assert set(found.names) == set(OTHER_METHODS) - set(found.left_out)
    drawn = othermethods.OtherMethods(PROFILE, load_generator("toy-portrait"))
    assert set(drawn.names) == YARDSTICKS
    assert drawn.left_out["klish_corners"] == "toy-portrait has no feature maps"
    assert drawn.left_out["box_cut"] == "OpenCV is not installed"


def test_a_network_without_an_encoder_has_no_photos_that_people_labelled(monkeypatch, network):
    monkeypatch.setattr(othermethods, "inverters", lambda generator: {"projector": None})
    found = baselines.Baselines(NETWORK_PROFILE, network)
    assert found.others.left_out["datasetgan_people"] == "no encoder inverts photos for toy-stylegan"
    assert "labels4free" in found.others.names  # it needs photos, but no latents of theirs
    monkeypatch.setattr(baselines, "evaluation_photos", lambda *_: [1])
    assert found.inputs.photos == []


def test_masks_of_the_examples_are_kept(monkeypatch):
    generator = load_generator("toy-portrait")
    (mask,) = baselines.Baselines(PROFILE, generator).example_masks("prior")
    monkeypatch.setattr(othermethods.OtherMethods, "method", lambda self, name: pytest.fail("fitted again"))
    (again,) = baselines.Baselines(PROFILE, generator).example_masks("prior")
    np.testing.assert_array_equal(mask, again)


def test_another_setting_of_one_way_leaves_the_others_where_they_are(network):
    one = baselines.Baselines(NETWORK_PROFILE, network)
    other = baselines.Baselines(NETWORK_PROFILE.changed(baselines={"composite_steps": 5}), network)
    changed = {name for name in one.others.names if one._path(name, 0, "json") != other._path(name, 0, "json")}
    assert changed == {"labels4free"}
    assert other.others.compositing.steps == 5
    assert other.others.compositing.rate == pytest.approx(10 * Compositing().rate)  # fewer steps are larger ones
