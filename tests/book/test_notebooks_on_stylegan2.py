"""Every chapter runs on a StyleGAN2, so that nothing breaks on the day that the official weights are there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from profile_files import write_profile

from stylemixseg.evaluation.results import load_runs
from stylemixseg.generators.checkpoints import Checkpoint, save_checkpoint

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book"))
from bookbuild.execute import execute
from bookbuild.layout import BuildError, notebook_sources

SOURCES = notebook_sources()


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
        table3={
            "n": 3,
            "pairs": 6,
            "few": 4,
            "human": 4,
            "tested": 2,
            "width": 2,
            "side": 33,
            "steps": 2,
            "batch": 2,
            "seeds": [0],
            "device": "cpu",
        },
        baselines={
            "labelled": 4,
            "clustered": 2,
            "members": 1,
            "composited": 2,
            "composite_side": 16,
            "composite_steps": 2,
        },
    )


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_runs_on_a_stylegan2(source: Path, stylegan_profile: Path, tmp_path: Path) -> None:
    """Runs on StyleGAN2 as the profile `paper` does."""
    if source.stem == "12_many_images":  # random weights draw no object, so there is nothing that a judge could learn
        with pytest.raises(BuildError, match="the rules must agree on pixels of both sides"):
            execute(source, tmp_path / "out.ipynb", profile=str(stylegan_profile), results=tmp_path / "results")
        return
    execute(source, tmp_path / "out.ipynb", profile=str(stylegan_profile), results=tmp_path / "results")
    assert load_runs(tmp_path / "results" / "random"), "the notebook recorded no result"
