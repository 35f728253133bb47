import pytest

from stylemixseg.evaluation.results import load_run
from stylemixseg.experiments.chapter import start_chapter
from stylemixseg.experiments.profile import described_profile, load_profile
from stylemixseg.generators.toyworld.world import ToyWorld


def test_numbers_go_to_the_chapters_file_with_generator_and_seed(tmp_path):
    profile, generator, recorder, folder = start_chapter("05_rules", "smoke", tmp_path, seed="queries.examples")
    assert described_profile(profile) == described_profile(load_profile("smoke"))
    assert folder == tmp_path
    recorder.add(f"{profile.prefix}rules.miou", 0.5)
    run = load_run(recorder.write())
    assert (tmp_path / "smoke" / "05_rules.json").is_file()
    assert (run.experiment, run.profile, run.seed) == ("05_rules", "smoke", profile.queries.examples[0])
    assert run.generator == {"name": profile.generator, "sha256": generator.digest}


def test_a_chapter_may_bring_its_generator(tmp_path):
    room = ToyWorld("room", resolution=32)
    chapter = start_chapter("11_objects", "smoke", tmp_path, generator=room)
    assert chapter.generator is room
    assert chapter.recorder.generator["sha256"] == room.digest
    assert chapter.recorder.seed == load_profile("smoke").queries.first


@pytest.mark.parametrize(
    ("seed", "message"),
    [
        ("queries.frist", "did you mean 'queries.first'"),
        ("queries.truncation", "queries.truncation is"),
        ("table3.fast", "table3.fast is"),
        ("generator", "generator is 'toy-portrait'"),
    ],
)
def test_a_seed_is_an_integer_setting(tmp_path, seed, message):
    with pytest.raises(ValueError, match=message):
        start_chapter("01_tour", "smoke", tmp_path, seed=seed)


def test_an_unknown_profile_is_named(tmp_path):
    with pytest.raises(ValueError, match="smok'.*smoke"):
        start_chapter("01_tour", "smok", tmp_path)
