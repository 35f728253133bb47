"""Other ways to segment, on the toy world: which ways there are, and that their scores are kept."""

from __future__ import annotations

import pytest

from stylemixseg.evaluation.results import measurements
from stylemixseg.experiments import baselines
from stylemixseg.experiments.clustermaps import query_latent
from stylemixseg.experiments.profile import load_profile
from stylemixseg.generators.zoo import load_generator
from stylemixseg.metrics import confusion
from stylemixseg.mixing import query_image

PROFILE = load_profile("smoke").changed(queries={"count": 3, "first": 5, "examples": (5,)}, table4={"queries": 2})


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEMIXSEG_CACHE", str(tmp_path / "cache"))


def test_the_toy_world_has_yardsticks_only(tmp_path, monkeypatch):
    generator = load_generator("toy-portrait")
    monkeypatch.setattr(baselines, "find_spec", lambda name: None)  # OpenCV is as good as not installed
    found = measurements(baselines.run_baselines(PROFILE, tmp_path, generator))
    names = {name.split(".")[2] for name in found}
    assert names == {"colours", "colours_oracle", "mean_mask"}
    for name in names:
        assert found[f"toy.baselines.{name}.miou"].n == 3 and found[f"toy.baselines.{name}.seconds"].value > 0
    assert found["toy.baselines.colours_oracle.miou"].value >= found["toy.baselines.colours.miou"].value
    monkeypatch.setattr(baselines, "fitted", lambda *_: pytest.fail("scored again"))
    again = measurements(baselines.run_baselines(PROFILE, tmp_path / "again", generator))
    assert again["toy.baselines.mean_mask.miou"].value == found["toy.baselines.mean_mask.miou"].value


def test_the_mean_mask_is_of_images_that_are_not_scored():
    generator = load_generator("toy-portrait")
    mask = baselines.fitted(PROFILE, generator)["mean_mask"](None, None, None)
    seeds = range(baselines._LABELLED_FIRST, baselines._LABELLED_FIRST + PROFILE.baselines.labelled)
    assert not set(seeds) & set(PROFILE.queries.seeds)
    truths = [generator.truth(query_latent(generator, PROFILE, seed))[0].foreground for seed in seeds]
    assert all(confusion(mask, truth).miou > 0.5 for truth in truths)


def test_the_peers_of_a_network(monkeypatch):
    """A random network draws no face, so other labels stand for the parser's."""
    generator = load_generator("toy-stylegan")
    profile = PROFILE.changed(
        generator="toy-stylegan", reference="face_parser", baselines={"labelled": 4, "members": 2}
    )

    def labelled(profile, generator):
        for seed in range(profile.baselines.labelled):
            ws = query_latent(generator, profile, seed)
            image = query_image(generator, ws)
            yield ws, (image.mean(2) > image.mean()).astype("uint8")

    def absent(profile):
        raise FileNotFoundError("no photos")

    monkeypatch.setattr(baselines, "CLASSES", ("background", "bright"))
    monkeypatch.setattr(baselines, "labelled_examples", labelled)
    monkeypatch.setattr(baselines, "photo_examples", absent)
    found = baselines._peers(profile, generator)
    assert set(found) == {"datasetgan", "sis_corners", "sis_labels"}
    ws, labels = next(labelled(profile, generator))
    for segment in found.values():
        mask = segment(ws, None, None)
        assert mask.dtype == bool and not len(labels) % len(mask)
    assert confusion(found["datasetgan"](ws, None, None), labels > 0).miou > 0.6
