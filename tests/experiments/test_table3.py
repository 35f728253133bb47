"""Table 3 on the toy world: every row is trained and scored, kept, and goes on where it was stopped."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stops import StopsAfter

from stylemixseg.evaluation.results import measurements
from stylemixseg.experiments import table3
from stylemixseg.experiments.profile import load_profile
from stylemixseg.generators.zoo import load_generator
from stylemixseg.joint.discriminant import StyleDiscriminant
from stylemixseg.training.statefile import read_state

PROFILE = load_profile("smoke").changed(
    table3={"pairs": 4, "human": 4, "tested": 2, "steps": 2, "batch": 2, "seeds": (0, 1), "curve": (2,)}
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEMIXSEG_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def portrait():
    return load_generator("toy-portrait")


def test_all_rows_seeds_and_points_of_the_curve(portrait, tmp_path, monkeypatch):
    found = measurements(table3.run_table3(PROFILE, tmp_path, portrait))
    for name in ("human", "saliency", "saliency.seed1", "curve.saliency.pairs2"):
        assert 0 <= found[f"toy.table3.{name}.miou"].value <= 1
        assert found[f"toy.table3.{name}.trimap.miou"].n == 2
    assert found["toy.table3.saliency.minus_human"].value == pytest.approx(
        found["toy.table3.saliency.miou"].value - found["toy.table3.human.miou"].value
    )
    monkeypatch.setattr(table3, "train", lambda *_: pytest.fail("trained again"))  # all of it is kept
    again = measurements(table3.run_table3(PROFILE, tmp_path / "again", portrait))
    assert {name: item.value for name, item in again.items()} == {name: item.value for name, item in found.items()}


def test_one_thing_at_a_time_is_changed(portrait, tmp_path):
    """More pairs than the table has, other numbers of styles, other views, and longer trainings, each with its rival."""
    more = {"curve": (2, 6), "few": 2, "styles": (6,), "sides": (49,), "long_steps": 3, "long_batch": 3}
    more["long_view"] = 65
    profile = PROFILE.changed(table3={**more, "seeds": (0,)})
    jobs = table3.jobs_of(profile, portrait)
    assert jobs["styles.saliency.n6"].profile.table3.n == 6 and jobs["styles.saliency.n6"].profile.table3.pairs == 2
    assert jobs["sides.saliency.px49"].profile.table3.side == 49
    assert (jobs["long.saliency"].profile.table3.steps, jobs["long.saliency"].profile.table3.batch) == (3, 3)
    assert {name: job.view for name, job in jobs.items() if job.view} == {"long.human": 65, "long.saliency": 65}
    found = measurements(table3.run_table3(profile, tmp_path, portrait))
    for name, rival in (
        ("curve.saliency.pairs6", "saliency"),
        ("sides.saliency.px49", "saliency"),
        ("long.saliency", "long.human"),
    ):
        gain = found[f"toy.table3.{name}.minus_{rival.split('.')[-1]}"].value
        both = (found[f"toy.table3.{item}.miou"].value for item in (name, rival))
        assert gain == pytest.approx(next(both) - next(both)), name
    assert "toy.table3.long.human.minus_human" not in found
    assert len(list((tmp_path / "cache" / "table3").glob("*/scores-65.json"))) == 2
    assert len(list((tmp_path / "cache" / "pairs").glob("*/samples/*/*"))) == 6 + 2


def test_a_training_that_is_there_is_looked_at_with_other_views(portrait, tmp_path, monkeypatch):
    """How many pixels a network looks at is no part of its training, so it is not trained again."""
    photos = table3.human_photos(PROFILE, portrait, tested=True)
    usual = table3.trained_scores("human", PROFILE, portrait, photos, 0)
    (state,) = (tmp_path / "cache" / "table3").glob("human-*/state.pt")
    trained, looked_at = state.read_bytes(), []
    monkeypatch.setattr(table3, "score", lambda network, _: looked_at.append(network.side) or usual)
    table3.trained_scores("human", PROFILE, portrait, photos, 0, view=65)
    assert looked_at == [65] and state.read_bytes() == trained
    assert table3.trained_scores("human", PROFILE, portrait, photos, 0) == usual
    assert looked_at == [65]  # both are kept


def test_masks_of_another_method_are_no_other_number_of_styles(portrait, monkeypatch):
    """Where a judge was fitted for n = 12 alone, n = 6 would be the paper's rule."""
    changed = {"few": 2, "styles": (6,)}
    monkeypatch.setattr(table3, "_judged", lambda profile, generator: profile.table3.n == 12)
    assert "styles.judge.n6" not in table3.jobs_of(PROFILE.changed(table3=changed), portrait)


def test_another_teacher_of_the_same_images(portrait, tmp_path, monkeypatch):
    """The linear discriminant's masks, beside others of as many styles."""
    line = StyleDiscriminant(np.zeros(18, np.float32), -1.0)  # it calls all pixels background
    monkeypatch.setattr(table3, "fitted_discriminant", lambda generator, config: line if config.n == 6 else None)
    profile = PROFILE.changed(table3={"few": 2, "styles": (4, 6)})
    jobs = table3.jobs_of(profile, portrait)
    assert {name for name in jobs if "line" in name} == {"styles.line.n6"}
    job = jobs["styles.line.n6"]
    assert job.rival == "styles.saliency.n6"
    line_pairs = table3.pairs_of(job.row, job.profile, portrait)
    rule_pairs = table3.pairs_of("saliency", job.profile, portrait)
    assert torch.equal(line_pairs.images, rule_pairs.images)
    assert not line_pairs.masks.any() and rule_pairs.masks.any()


def test_a_stopped_training_goes_on(portrait, tmp_path, monkeypatch):
    """Stopped after its first step, it ends with the network of a training that was not stopped."""
    pairs = table3.pairs_of("human", PROFILE, portrait)
    whole = table3.train(pairs, PROFILE, 3, tmp_path / "whole.pt")
    profile = PROFILE.changed(table3={"steps": 2})
    with monkeypatch.context() as patch:
        patch.setattr(table3, "Stopping", lambda: StopsAfter(1))
        with pytest.raises(KeyboardInterrupt):
            table3.train(pairs, profile, 3, tmp_path / "part.pt")
    assert read_state(tmp_path / "part.pt")["step"] == 1
    later = table3.train(pairs, profile, 3, tmp_path / "part.pt")
    for ours, theirs in zip(later.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_judge_gives_all_rows_and_its_absence_leaves_the_rule(portrait, monkeypatch):
    assert table3.rows_of(portrait, PROFILE) == ["human", "saliency"]

    class Judge:
        name, edges, entries = "some", 0.0, 36

        def __repr__(self):
            return "some judge"

    monkeypatch.setattr(table3, "fitted_judge", lambda generator, config: Judge())
    assert table3.rows_of(portrait, PROFILE) == ["human", "saliency", "judge", "judge_sure", "judge_soft"]


def test_the_student_labels_images_of_faces_and_photos(portrait, monkeypatch):
    """Same images as the rows beside them, other masks; of faces only, because the student knows nothing else."""
    drawn = {row: table3.pairs_of(row, PROFILE, portrait, 2) for row in ("human", "judge", *table3.BY_STUDENT)}
    assert torch.equal(drawn["student"].images, drawn["judge"].images)
    assert torch.equal(drawn["student_photos"].images, drawn["human"].images)
    assert not torch.equal(drawn["student_photos"].masks, drawn["human"].masks)
    both = torch.cat([drawn["student"].masks, drawn["student_photos"].masks])
    assert torch.equal(drawn["student_both"].masks, both)
    monkeypatch.setattr(table3, "labelled_by", lambda *_: pytest.fail("labelled again"))  # the masks are kept
    assert torch.equal(table3.pairs_of("student_both", PROFILE, portrait, 2).masks, both)
    monkeypatch.setattr(portrait, "name", "faces")
    assert table3.rows_of(portrait, PROFILE)[-3:] == list(table3.BY_STUDENT)
    long = PROFILE.changed(table3={"long_steps": 3})
    for curve, most in (((2,), 4), ((2, 6), 6), ((), 4)):  # of the profile's 4 pairs and the curve's
        jobs = table3.jobs_of(long.changed(table3={"curve": curve}), portrait)
        assert jobs["long.student_both"].count == jobs["long.saliency"].count == most
        assert jobs["long.student_photos"].count is None


def test_a_stopped_labelling_loses_no_more_than_a_few_images(portrait, monkeypatch):
    monkeypatch.setattr(table3, "KEPT_TOGETHER", 2)
    usual, seen = table3.labelled_by, []

    def stops(student, images):
        for number, item in enumerate(usual(student, images)):
            if len(seen) == 3:
                raise KeyboardInterrupt
            seen.append(number)
            yield item

    monkeypatch.setattr(table3, "labelled_by", stops)
    with pytest.raises(KeyboardInterrupt):
        table3.pairs_of("student_photos", PROFILE, portrait)
    assert seen == [0, 1, 0]
    monkeypatch.setattr(table3, "labelled_by", lambda *given: (seen.append("again"), usual(*given))[1])
    stopped = table3.pairs_of("student_photos", PROFILE, portrait)
    assert seen == [0, 1, 0, "again"]  # the second part alone
    monkeypatch.setattr(table3, "KEPT_TOGETHER", 4)
    assert torch.equal(stopped.masks, table3.pairs_of("student_photos", PROFILE, portrait).masks)


def test_profiles_name_what_is_wrong():
    with pytest.raises(ValueError, match="curve"):
        PROFILE.changed(table3={"curve": (1,)})
    with pytest.raises(ValueError, match="few must be in 2..4, got 1"):
        PROFILE.changed(table3={"few": 1})
    with pytest.raises(ValueError, match="styles needs few"):
        PROFILE.changed(table3={"styles": (8,)})
    with pytest.raises(ValueError, match="sides must be at least 33, got 9"):
        PROFILE.changed(table3={"sides": (9,)})
    with pytest.raises(ValueError, match="sides must be a multiple of 16, plus 1, got 160"):
        PROFILE.changed(table3={"sides": (160,)})
    with pytest.raises(ValueError, match="device must be one of"):
        PROFILE.changed(table3={"device": "tpu"})
    with pytest.raises(TypeError, match="fast"):
        PROFILE.changed(table3={"fast": 1})
    with pytest.raises(ValueError, match="truncation"):
        PROFILE.changed(table3={"truncation": 2.0})
