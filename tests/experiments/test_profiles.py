import dataclasses

import pytest
from profile_files import write_profile

from stylemixseg.experiments.profile import FOLDER, load_profile, profile_names, read_profile
from stylemixseg.generators.zoo import CATALOGUE

PROFILES = ("cpu", "full", "paper", "smoke")


def test_the_four_profiles_are_there():
    assert profile_names() == sorted(PROFILES)


@pytest.mark.parametrize("name", PROFILES)
def test_development_images_are_never_evaluation_images(name):
    profile = load_profile(name)
    assert profile.name == name
    assert set(profile.queries.seeds).isdisjoint(profile.queries.development_seeds)
    assert set(profile.queries.comparison_seeds).isdisjoint(
        {*profile.queries.seeds, *profile.queries.development_seeds}
    )
    assert len(profile.queries.comparison_seeds) == profile.queries.development_count
    assert (
        len(profile.queries.seeds) == profile.queries.count
        and len(profile.queries.development_seeds) == profile.queries.development_count
    )
    assert list(profile.ablation_seeds) == list(profile.queries.seeds)[: profile.table4.queries]


@pytest.mark.parametrize("name", PROFILES)
def test_development_images_of_one_profile_are_not_evaluation_images_of_another(name):
    profile = load_profile(name)
    chosen_on, compared_on = set(profile.queries.development_seeds), set(profile.queries.comparison_seeds)
    for other in map(load_profile, PROFILES):
        assert chosen_on.isdisjoint(other.queries.seeds)
        assert compared_on.isdisjoint({*other.queries.seeds, *other.queries.development_seeds})


@pytest.mark.parametrize("name", ["smoke", "cpu", "full"])
def test_settings_fit_the_generator(name):
    profile, generator = load_profile(name), CATALOGUE[load_profile(name).generator]
    assert max(profile.method.cutoff, *profile.table4.cutoffs) <= generator.num_ws
    assert generator.resolution % (profile.method.resolution or generator.resolution) == 0


@pytest.mark.parametrize("name", ["cpu", "full", "paper"])
def test_faces_run_the_papers_ablation_grid(name):
    profile = load_profile(name)
    assert (profile.table4.cutoffs, profile.table4.ks, profile.table4.color_spaces) == (
        (4, 6, 8, 12, 14),
        (2, 3, 4, 10),
        ("rgb", "lab"),
    )


@pytest.mark.parametrize("name", ["full", "paper"])
def test_enough_rooms_and_all_horses_where_time_allows(name):
    profile = load_profile(name)
    assert profile.objects.scenes >= 200 and profile.detectors.photos == 327


def test_native_resolution_is_none():
    assert load_profile("paper").method.resolution is None


def test_profiles_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_profile("smoke").method.n = 3


@pytest.mark.parametrize(
    "name, near", [("smok", "smoke"), ("papers", "paper"), ("zzz", "choose from cpu"), ("../cpu", "cpu")]
)
def test_unknown_profile_suggests_the_nearest(name, near):
    with pytest.raises(ValueError, match=near):
        load_profile(name)


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("\nn = 12\n", "\n", "missing setting in \\[method\\] 'n'"),
        ("\nn = 12\n", "\nn = 0\n", "n must be at least 1"),
        ("\nn = 12\n", "\nnn = 12\n", "unknown setting in \\[method\\] 'nn'"),
        ("k = 3", "k = 1", "k must be at least 2"),
        ("truncation = 0.7", "truncation = nan", "truncation"),
        ("truncation = 0.7", "truncation = 'much'", "truncation"),
        ('color_space = "lab"', 'color_space = "hsv"', "color_space"),
        ("cutoffs = [2, 4, 6, 8, 10]", "cutoffs = []", "cutoffs must be a list"),
        ("cutoffs = [2, 4, 6, 8, 10]", "cutoffs = 4", "cutoffs must be a list"),
        ("development_first = 10000", "development_first = 5", "development seeds must not be evaluation"),
        ("comparison_first = 10100", "comparison_first = 10005", "comparison seeds must not be development"),
        ("comparison_first = 10100", "comparison_first = 5", "comparison seeds must not be evaluation"),
        ("comparison_first = 10100\n", "", "missing setting in \\[queries\\] 'comparison_first'"),
        ("comparison_first = 10100", "comparison_first = -1", "comparison_first must be at least 0"),
        ("[table4]\nqueries = 4", "[table4]\nqueries = 7", "table4.queries must be at most queries.count"),
        ("faces = 2", "faces = 7", r"objects.faces must be at most queries.count \(6\), got 7"),
        ("faces = 2", "faces = 0", "faces must be at least 1"),
        ("scenes = 3", "scenes = 0", "scenes must be at least 1"),
        ("scenes = 3", "scenes = 2.5", "scenes must be a whole number"),
        ("photos = 8", "", "missing setting in \\[detectors\\] 'photos'"),
        ("[detectors]\nphotos = 8", "", "missing setting 'detectors'"),
        ("[method]\n", "n = 12\n[method]\n", "unknown setting 'n'"),
        ('generator = "toy-portrait"', "generator = 3", "generator must be a name"),
        ('generator = "toy-portrait"', "generator = ", "Invalid value"),
        ('reference = "truth"', 'reference = "face_parsr"', "did you mean 'face_parser'"),
        ('reference = "truth"', 'reference = "owner/name"', "reference must name a class too"),
        ('reference = "truth"', "reference = 3", "reference must be a name"),
    ],
)
def test_a_wrong_profile_file_names_file_and_setting(tmp_path, old, new, words):
    text = (FOLDER / "smoke.toml").read_text()
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=words) as caught:
        read_profile(path)
    assert "mine.toml" in str(caught.value)


def test_a_network_of_the_users_as_reference(tmp_path):
    (tmp_path / "my swin").mkdir()
    reference = f"{tmp_path / 'my swin'}:coffee table"
    profile = read_profile(write_profile(tmp_path / "mine.toml", "smoke", reference=reference))
    assert profile.reference == reference and profile.name == "mine"
    assert load_profile("cpu").with_reference(reference).name == "cpu-my-swin-coffee-table"
    hub = load_profile("cpu").with_reference("owner/name:sofa")
    assert (hub.name, hub.reference, hub.queries) == ("cpu-name-sofa", "owner/name:sofa", load_profile("cpu").queries)
    assert load_profile("cpu").with_reference("deeplab").name == "cpu-deeplab"
    with pytest.raises(ValueError, match="reference must be one of"):
        load_profile("cpu").with_reference(str(tmp_path / "nowhere"))
