"""Every chapter has its parts, and runs from start to end in the small profile."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat
import pytest
from profile_files import write_profile

from stylemixseg.evaluation.results import load_runs
from stylemixseg.generators.checkpoints import Checkpoint, save_checkpoint
from stylemixseg.generators.zoo import CATALOGUE

if sys.version_info >= (3, 11):
    pass
else:
    pass

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book"))
from bookbuild.execute import execute
from bookbuild.layout import BuildError, notebook_sources
from bookbuild.notebooks import figures_without_text, problems, read_source

SOURCES = notebook_sources()


def _name(source: Path) -> str:
    return source.stem


def test_there_are_chapters() -> None:
    assert SOURCES


@pytest.mark.parametrize("source", SOURCES, ids=_name)
def test_has_its_parts(source: Path) -> None:
    """Objectives, prerequisites, run time, two exercises with solutions, summary, parameters."""
    assert problems(read_source(source)) == []


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize("source", SOURCES, ids=_name)
def test_runs(source: Path, tmp_path: Path) -> None:
    """Runs under papermill; its figures have alternative text and captions, and it records results."""
    output = tmp_path / f"{source.stem}.ipynb"
    execute(source, output, profile="smoke", results=tmp_path / "results")
    notebook = nbformat.read(output, as_version=4)
    assert figures_without_text(notebook) == []
    assert str(tmp_path) not in output.read_text(), (
        "an output names a folder of this machine, e.g. `recorder.write()` last"
    )
    runs = load_runs(tmp_path / "results" / "smoke")
    assert runs, "the notebook recorded no result"
    assert {run.profile for run in runs} == {"smoke"}


def test_the_tours_map_lists_every_other_chapter_in_order() -> None:
    tour, *others = SOURCES
    section = tour.read_text().split("## The map of the book")[1].split("## ")[0]
    assert re.findall(r"\]\((\w+)\.ipynb\)", section) == [source.stem for source in others]


def test_every_generator_that_the_text_fetches_is_known() -> None:
    book = Path(__file__).resolve().parents[2] / "book"
    pages = [*SOURCES, *book.glob("*.md"), book.parent / "README.md"]
    named = {
        (page.name, name) for page in pages for name in re.findall(r"stylemixseg fetch ([\w-]+)", page.read_text())
    }
    assert named
    assert [(page, name) for page, name in sorted(named) if name not in CATALOGUE] == []


@pytest.fixture(scope="module")
def stylegan_profile(make_stylegan, tmp_path_factory) -> Path:
    """The profile `paper` with its checkpoint replaced by random weights (256 px), and sizes that take seconds.

    The face parser sees a face in some of these images and none in others; it is the reference that is always there.
    """
    folder = tmp_path_factory.mktemp("stylegan")
    generator = make_stylegan(channels=(16, 16, 16, 12, 8, 8, 8))
    weights, checkpoint = generator.weights(), folder / "random-256.safetensors"
    save_checkpoint(Checkpoint("stylemixseg", generator.architecture, weights, "0" * 64, (), None), checkpoint)
    return write_profile(
        folder / "random.toml",
        "paper",
        generator=str(checkpoint),
        reference="face_parser",
        prefix="random.",
        method={"n": 3},
        queries={"count": 3, "development_count": 3, "examples": [0, 1]},
        table4={"queries": 2},
        photos={"generator": str(checkpoint), "count": 2, "projector_steps": 4, "refine_steps": 2},
        objects={"scenes": 2, "faces": 2},
        joint={"ns": [3], "fit_count": 20},
        detectors={"photos": 4},
    )


def test_real_photos_without_their_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chapter goes the whole way with the astronaut, says what the table needs, and measures nothing for it."""
    monkeypatch.setenv("STYLEMIXSEG_DATA", str(tmp_path / "empty"))
    path = write_profile(tmp_path / "random.toml", "smoke", prefix="random.")  # no samples in place of photos
    (source,) = (item for item in SOURCES if item.stem == "10_real_photos")
    output = tmp_path / "out.ipynb"
    execute(source, output, profile=str(path), results=tmp_path / "results")
    assert figures_without_text(nbformat.read(output, as_version=4)) == []
    assert "No photos with masks are at hand" in output.read_text()
    assert str(tmp_path) not in output.read_text()
    (run,) = load_runs(tmp_path / "results" / "random")
    assert run.experiment == "10_real_photos"
    assert not any("celeba" in item.name for item in run.measurements)


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=_name)
def test_runs_on_a_stylegan2(source: Path, stylegan_profile: Path, tmp_path: Path) -> None:
    """Runs on StyleGAN2 as the profile `paper` does, so that nothing breaks on the day that the weights are there."""
    if source.stem == "12_many_images":  # random weights draw no object, so there is nothing that a judge could learn
        with pytest.raises(BuildError, match="the rules must agree on pixels of both sides"):
            execute(source, tmp_path / "out.ipynb", profile=str(stylegan_profile), results=tmp_path / "results")
        return
    execute(source, tmp_path / "out.ipynb", profile=str(stylegan_profile), results=tmp_path / "results")
    assert load_runs(tmp_path / "results" / "random"), "the notebook recorded no result"
