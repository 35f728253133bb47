"""The experiment on photos, whole, on a StyleGAN2 that draws noise: files, names, numbers, going on after a stop."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from stylemixseg._util import paths
from stylemixseg.data.celebamask import read_celebamask, validation_names
from stylemixseg.evaluation.results import load_run, measurements
from stylemixseg.experiments import photos as experiment
from stylemixseg.experiments.photos import (
    NUMBERS,
    EvaluationPhoto,
    PhotoResult,
    PhotoRun,
    evaluation_photos,
    masks,
    measure_photos,
    photo_segmenter,
)
from stylemixseg.experiments.profile import load_profile
from stylemixseg.foreground import CornerMinority, Saliency
from stylemixseg.generators.base import seeded_z
from stylemixseg.generators.mobilestylegan import MobileStyleGAN
from stylemixseg.inversion import ways
from stylemixseg.inversion.kinds import INVERSIONS
from stylemixseg.inversion.ways import inverters
from stylemixseg.joint.discriminant import StyleDiscriminant
from stylemixseg.metrics import confusion, mean_iou, trimap_confusion
from stylemixseg.mixing import query_image
from stylemixseg.sharpening import sharpen

pytestmark = pytest.mark.filterwarnings("ignore:(empty|full) mask")  # noise has no object

PROFILE = load_profile("smoke").changed(method={"n": 4}, photos={"projector_steps": 3, "resolution": 32})
SECONDS = ("inversion_seconds", "segmentation_seconds")
RULES = ("saliency", "corner_minority", "oracle", "judge")


def judge() -> StyleDiscriminant:
    """Is a pixel lighter under the first style than under the second? A rule for noise, where nothing can be learnt."""
    weights = np.zeros(3 * PROFILE.method.n, np.float32)
    weights[0], weights[3] = 0.2, -0.2
    return StyleDiscriminant(weights, 0.0)


def with_a_disc(profile, generator) -> list[EvaluationPhoto]:
    """The toy's samples, a disc for their foreground: the method takes noise for foreground altogether."""
    y, x = np.mgrid[:64, :64]
    disc = (y - 40) ** 2 + (x - 30) ** 2 < 20**2
    return [replace(photo, foreground=disc) for photo in evaluation_photos(profile, generator)]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One cache folder for this file, and a judge and masks for the toy generator."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STYLEMIXSEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(experiment, "fitted_judge", lambda generator, config: judge())
        patch.setattr(experiment, "evaluation_photos", with_a_disc)
        yield paths.cache_dir()


@pytest.fixture(scope="module")
def run(cache):
    return PhotoRun(PROFILE)


@pytest.fixture(scope="module")
def written(run, tmp_path_factory):
    """The files of a run that nothing disturbed: (JSON, rows of the CSV)."""
    path = measure_photos(run, tmp_path_factory.mktemp("results"))
    with open(path.with_suffix(".csv"), encoding="utf-8", newline="") as file:
        return path, list(csv.DictReader(file))


def test_files_and_what_they_belong_to(run, written):
    path, rows = written
    assert path.name == "table1_photos.json" and path.parent.name == "smoke"
    record = load_run(path)
    assert (record.experiment, record.profile, record.seed) == ("table1_photos", "smoke", PROFILE.method.style_seed)
    assert record.generator == {"name": "toy-stylegan", "sha256": run.generator.digest}
    assert [(row["photo"], row["inversion"]) for row in rows] == [("seed0", "projector"), ("seed1", "projector")]


def test_names(written):
    path, rows = written
    kinds = [f"{rule}{end}" for rule in RULES for end in ("", "_sharp", "_cut")]
    ious = ("fg_iou", "bg_iou", "miou")
    prefix = "toy.table1.celeba"
    expected = {
        f"{prefix}.projector.{kind}{average}.{iou}" for kind in kinds for average in ("", ".per_image") for iou in ious
    }
    expected |= {f"{prefix}.projector.{kind}.trimap.{iou}" for kind in kinds for iou in ious}
    expected |= {f"{prefix}.projector.{name}" for name in NUMBERS}
    expected |= {f"{prefix}.face_parser{average}.{iou}" for average in ("", ".per_image") for iou in ious}
    assert set(measurements(path)) == expected
    assert set(rows[0]) == {"photo", "inversion", *NUMBERS} | {
        f"{kind}{band}.{iou}" for kind in kinds for band in ("", ".trimap") for iou in ious
    }


def test_means_of_the_rows_are_the_numbers(written):
    path, rows = written
    found = measurements(path)
    for column in set(rows[0]) - {"photo", "inversion"}:
        if ".trimap." in column:
            continue  # in the average over all pixels only
        name, dot, iou = column.partition(".")
        name = f"toy.table1.celeba.projector.{name}" + (f".per_image.{iou}" if dot else "")
        assert found[name].value == pytest.approx(np.mean([float(row[column]) for row in rows]), abs=1.1e-5)
        assert found[name].n == 2
        low, high = found[name].interval
        assert low <= found[name].value <= high


def test_ious_by_counting(run, written):
    found = measurements(written[0])
    for kind in ("judge", "judge_sharp", "saliency", "oracle"):
        pairs = [
            (masks(photo, run.result(photo, "projector"), PROFILE.method.k)[kind], photo.foreground)
            for photo in run.photos()
        ]
        if kind.startswith("judge"):
            assert all(0.1 < mask.mean() < 0.9 for mask, _ in pairs)
        both = sum((mask & truth).sum() for mask, truth in pairs)
        either = sum((mask | truth).sum() for mask, truth in pairs)
        neither = sum((~mask & ~truth).sum() for mask, truth in pairs)
        pixels = sum(truth.size for _, truth in pairs)
        assert found[f"toy.table1.celeba.projector.{kind}.fg_iou"].value == pytest.approx(both / either)
        assert found[f"toy.table1.celeba.projector.{kind}.bg_iou"].value == pytest.approx(neither / (pixels - both))
        near = [trimap_confusion(mask, truth, 3) for mask, truth in pairs]
        assert found[f"toy.table1.celeba.projector.{kind}.trimap.miou"].value == pytest.approx(
            mean_iou(near, "dataset")
        )


def test_the_supervised_network_sees_the_same_photos(run, written):
    found = measurements(written[0])
    scores = []
    for photo in run.photos():
        image = torch.from_numpy(photo.pixels).permute(2, 0, 1)[None] / 127.5 - 1
        scores.append(confusion(run._parser.foreground(image)[0].numpy(), photo.foreground).miou)
    assert found["toy.table1.celeba.face_parser.per_image.miou"].value == pytest.approx(np.mean(scores))


def test_ceilings_can_be_left_out(run, written, tmp_path):
    assert set(measurements(written[0])) - set(measurements(measure_photos(run, tmp_path, ceilings=False))) == {
        f"toy.table1.celeba.face_parser{average}.{iou}"
        for average in ("", ".per_image")
        for iou in ("fg_iou", "bg_iou", "miou")
    }


def test_own_samples_are_the_photos_of_a_toy(run):
    photos = evaluation_photos(PROFILE, run.generator)
    assert [photo.name for photo in photos] == ["seed0", "seed1"]
    for photo in photos:
        assert photo.pixels.shape == (64, 64, 3) and photo.pixels.dtype == np.uint8
        ws = run.generator.mapping(seeded_z(int(photo.name[-1]), 16), PROFILE.queries.truncation)
        assert np.abs(photo.pixels.astype(int) - query_image(run.generator, ws)).max() <= 1
        assert photo.foreground[32, 32] and not photo.foreground[0, 0] and 0.3 < photo.foreground.mean() < 0.5
    assert not np.array_equal(photos[0].pixels, photos[1].pixels)


def test_results_are_kept_and_equal(run, written, monkeypatch):
    monkeypatch.setattr(PhotoRun, "_make", None)  # nothing is made again
    again = PhotoRun(PROFILE)
    for photo in run.photos():
        found = again.result(photo, "projector")
        assert found.ws.shape == (1, 10, 16) and found.labels.shape == (32, 32) and found.labels.dtype == np.uint8
        assert found.probability.shape == (32, 32) and 0 <= found.probability.min() <= found.probability.max() <= 1
        assert set(found.numbers) == set(NUMBERS)
        assert found.numbers["psnr"] > 3 and 0 <= found.numbers["agreement"] <= 1


def test_what_an_inversion_loses_is_measured(run, written):
    photo = run.photos()[1]
    result = run.result(photo, "projector")
    shown = query_image(run.generator, result.ws)
    assert result.numbers["psnr"] == pytest.approx(peak_signal_noise_ratio(photo.pixels, shown), abs=0.01)
    on_photo, on_shown = (
        run._parser.foreground(torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1)[0].numpy()
        for image in (photo.pixels, shown)
    )
    assert result.numbers["agreement"] == pytest.approx(confusion(on_shown, on_photo).miou, abs=0.01)
    assert result.numbers["parser_on_reconstruction"] == pytest.approx(
        confusion(on_shown, photo.foreground).miou, abs=0.01
    )
    score = judge().score(run.segmenter.summary(result.ws))  # at 32 px, as the clusters
    np.testing.assert_allclose(result.probability, 1 / (1 + np.exp(-score)), atol=0.01)
    assert np.array_equal(result.labels, run.segmenter(result.ws).kmeans.labels)


def test_an_interrupted_run_goes_on_with_equal_numbers(run, written, monkeypatch, tmp_path):
    monkeypatch.setattr(experiment, "kept_folder", lambda kind: tmp_path / "another cache")
    made = []

    def stopping(self, photo, inversion, real=PhotoRun._make):
        if len(made) == 1:
            raise KeyboardInterrupt
        made.append(photo.name)
        return real(self, photo, inversion)

    monkeypatch.setattr(PhotoRun, "_make", stopping)
    with pytest.raises(KeyboardInterrupt):
        measure_photos(run, tmp_path, ceilings=False)
    assert not list(tmp_path.rglob("table1_photos.*"))
    made.append("")  # from here on nothing stops it
    found = measurements(measure_photos(run, tmp_path, ceilings=False))
    assert made == ["seed0", "", "seed1"]
    expected = measurements(written[0])
    for name, item in found.items():
        if not name.endswith(SECONDS):
            assert item == expected[name]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"\x93" * 500,
        lambda data: data[:200] + bytes(100) + data[300:],
    ],
)
def test_a_damaged_file_is_made_again(run, written, damage, monkeypatch):
    photo = run.photos()[0]
    kept = run.result(photo, "projector")
    (path,) = (paths.cache_dir() / "photos" / run._key).glob("seed0-*.npz")
    path.write_bytes(damage(path.read_bytes()))
    calls = []
    monkeypatch.setattr(PhotoRun, "_make", lambda self, photo, inversion: calls.append(inversion) or kept)
    for _ in range(2):  # the second time it is read from disk
        found = run.result(photo, "projector")
    assert calls == ["projector"]
    assert torch.equal(found.ws, kept.ws) and found.numbers == kept.numbers
    assert np.array_equal(found.labels, kept.labels) and np.array_equal(found.probability, kept.probability)


def test_other_settings_or_another_photo_have_their_own_files(run, written, monkeypatch):
    keys = {run._key} | {
        PhotoRun(PROFILE.changed(**change))._key
        for change in (
            {"photos": {"projector_steps": 4}},
            {"photos": {"refine_steps": 5}},
            {"method": {"k": 4}},
            {"method": {"style_seed": 1}},
        )
    }
    assert len(keys) == 5
    about_each_photo = PROFILE.changed(photos={"count": 9}, queries={"count": 5}, method={"batch_size": 3})
    assert PhotoRun(about_each_photo)._key == run._key
    photo = run.photos()[0]
    made = run.result(photo, "projector")
    calls = []
    monkeypatch.setattr(PhotoRun, "_make", lambda self, photo, inversion: calls.append(photo) or made)
    for changed in (replace(photo, pixels=255 - photo.pixels), replace(photo, foreground=~photo.foreground)):
        run.result(changed, "projector")
        assert calls.pop() is changed


def test_without_a_judge_there_is_no_probability(run, written, tmp_path, monkeypatch):
    photo = run.photos()[0]
    made = replace(run.result(photo, "projector"), probability=None)
    monkeypatch.setattr(experiment, "kept_folder", lambda kind: tmp_path)
    monkeypatch.setattr(PhotoRun, "_make", lambda self, photo, inversion: made)
    run.result(photo, "projector")
    kept = run.result(photo, "projector")
    assert kept.probability is None
    assert set(masks(photo, kept, PROFILE.method.k)) == {
        f"{rule}{end}" for rule in RULES[:3] for end in ("", "_sharp", "_cut")
    }


def test_masks_by_hand():
    rng = np.random.default_rng(0)
    labels = np.zeros((32, 32), np.uint8)
    labels[8:, 8:24], labels[8:, :8] = 1, 2
    truth = (labels == 1).repeat(2, 0).repeat(2, 1)
    photo = EvaluationPhoto("p", np.where(truth[..., None], 40, 200).astype(np.uint8).repeat(3, -1), truth)
    result = PhotoResult(torch.zeros(1), labels, rng.random((32, 32)).astype(np.float32), {})
    found = masks(photo, result, 3)
    for name, rule in (("saliency", Saliency()), ("corner_minority", CornerMinority())):
        chosen = rule(labels, 3)[labels]
        assert chosen.any() and not chosen.all()
        assert np.array_equal(found[name][::2, ::2], chosen) and np.array_equal(found[name][1::2, 1::2], chosen)
    assert np.array_equal(found["oracle"], truth)
    assert np.array_equal(found["oracle_sharp"], sharpen(truth, photo.pixels) > 0.5)
    above = (result.probability > 0.5).repeat(2, 0).repeat(2, 1)
    assert 0.8 < (found["judge"] == above).mean() < 1  # bilinear between the pixels
    assert all(mask.shape == (64, 64) and mask.dtype == bool for mask in found.values())


def test_the_projector_alone_for_any_other_generator(run):
    found = inverters(run.generator, 3, 1)
    assert list(found) == ["projector"]
    config = found["projector"].config
    assert (config.steps, config.preview_steps) == (PROFILE.photos.projector_steps, 0) and found[
        "projector"
    ].preview is None


def test_three_ways_for_the_face_generator(monkeypatch):
    generator = MobileStyleGAN((4, 4, 4, 4, 4, 4), w_dim=4, name="faces").requires_grad_(False)  # 256 px
    first = object()
    monkeypatch.setattr(ways.Encoder, "load", lambda given: first if given is generator else None)
    found = inverters(generator, 80, 30)
    assert list(found) == list(INVERSIONS)
    assert found["encoder"] is found["both"].encoder is first
    steps = [(item.config.steps, item.config.preview_steps) for item in (found["projector"], found["both"].projector)]
    assert steps == [(80, 80), (30, 30)]
    assert found["projector"].preview.generator is generator and found["projector"].preview.resolution == 128


def test_the_segmenter_has_the_profiles_settings(run):
    config = photo_segmenter(run.generator, PROFILE.changed(photos={"resolution": 512})).config
    assert (config.n, config.cutoff, config.k) == (PROFILE.method.n, PROFILE.method.cutoff, PROFILE.method.k)
    assert (config.color_space, config.style_seed) == (PROFILE.method.color_space, PROFILE.method.style_seed)
    assert config.resolution == 64  # no more than the generator has
    assert photo_segmenter(run.generator, PROFILE.changed(photos={"resolution": None})).config.resolution is None


def test_validation_photos_with_the_masks_that_people_drew(run):
    try:
        photos = read_celebamask()
    except FileNotFoundError as error:
        pytest.skip(f"no CelebAMask-HQ: {error}")
    found = evaluation_photos(load_profile("cpu").changed(photos={"count": 2}), run.generator)
    assert [photo.name for photo in found] == validation_names(photos)[:2]
    for photo in found:
        pixels, labels = photos[photo.name]
        assert np.array_equal(photo.pixels, pixels) and np.array_equal(photo.foreground, labels > 0)
        assert 0.1 < photo.foreground.mean() < 0.95


def test_photos_that_are_not_on_this_machine(run, monkeypatch, tmp_path):
    monkeypatch.setenv("STYLEMIXSEG_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="STYLEMIXSEG_DATA"):
        evaluation_photos(load_profile("cpu"), run.generator)


@pytest.mark.parametrize(
    "reference, second, expected",
    [
        ("truth", None, ["face_parser"]),
        ("face_parser", "deeplab", ["face_parser", "deeplab"]),
        ("face_parser", None, ["face_parser"]),
        ("deeplab", None, ["face_parser", "deeplab"]),  # it is a ceiling, whatever the reference of synthetic images
    ],
)
def test_supervised_networks(reference, second, expected, monkeypatch):
    monkeypatch.setattr(experiment, "DeepLabPerson", object)
    monkeypatch.setattr(experiment, "second_reference", lambda profile: second)
    assert list(experiment._supervised(PROFILE.changed(reference=reference))) == expected
