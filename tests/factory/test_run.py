"""`synthesize`: what it leaves, what it does not make twice, and what it refuses."""

from __future__ import annotations

import errno
import json
import multiprocessing
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from trees import tree

from stylemixseg.commands.objects import ObjectOptions
from stylemixseg.factory import store as stores
from stylemixseg.factory.engines.process import ProcessEngine
from stylemixseg.factory.filters import Filters
from stylemixseg.factory.recipe import Recipe
from stylemixseg.factory.run import synthesize
from stylemixseg.factory.store import StoreError
from stylemixseg.foreground import CornerMinority
from stylemixseg.settings import BOX_CONFIG, SegmenterConfig

RECIPE = Recipe("toy-portrait", SegmenterConfig(n=4, k=3, rule=CornerMinority(), resolution=32), size=32)
COUNT = 6


class Counting:
    """The usual engine, which notes the seeds that it is asked for; `stop` raises before the sample of that seed."""

    def __init__(self, stop: int | None = None):
        self.seeds: list[int] = []
        self.stop = stop

    def make(self, recipe, seeds):
        for seed, data in ProcessEngine().make(recipe, seeds):
            if seed == self.stop:
                raise KeyboardInterrupt
            self.seeds.append(seed)
            yield seed, data


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A set that was made in one go."""
    out = tmp_path_factory.mktemp("whole") / "set"
    synthesize(out, RECIPE, COUNT, formats=["folder"])
    return out


def lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]


def test_a_set_says_how_it_was_made(whole):
    manifest = json.loads((whole / "manifest.json").read_text())
    assert manifest["samples"] == {"first": 0, "made": COUNT, "kept": COUNT, "dropped": 0}
    assert manifest["run"]["generator"]["name"] == "toy-portrait" and len(manifest["run"]["generator"]["sha256"]) == 64
    assert manifest["run"]["method"]["n"] == 4 and manifest["run"]["versions"]["numpy"] == np.__version__
    assert manifest["licences"] and manifest["run"]["size"] == 32
    listed = lines(whole)
    assert [line["seed"] for line in listed] == list(range(COUNT))
    mean = np.mean([line["mask_share"] for line in listed])
    assert manifest["means of the kept"]["mask_share"] == pytest.approx(mean)
    assert json.loads((whole / "run.json").read_text()) == manifest["run"]


def test_an_interrupted_run_goes_on_and_ends_the_same(whole, tmp_path):
    out = tmp_path / "set"
    with pytest.raises(KeyboardInterrupt):
        synthesize(out, RECIPE, COUNT, engine=Counting(stop=3), formats=["folder"])
    assert not (out / "samples.jsonl").exists()
    (out / "samples" / "0000000" / ".0000000003.zip.abc.zip").write_bytes(b"half")  # as a killed process leaves it
    for name in ("folder", "coco"):
        (out / f".{name}.partial").mkdir()
        (out / f".{name}.partial" / "old").touch()
    for name in (".samples.jsonl.abc.jsonl", ".manifest.json.abc.json"):
        (out / name).write_text("half")
    engine = Counting()
    synthesize(out, RECIPE, COUNT, engine=engine, formats=["folder"])
    assert engine.seeds == [3, 4, 5]
    assert tree(out) == tree(whole)


def test_a_damaged_sample_alone_is_made_again(whole, tmp_path):
    out = tmp_path / "set"
    synthesize(out, RECIPE, COUNT, formats=["folder"])
    for seed, change in ((1, lambda data: data[:-40]), (4, lambda data: data[:200] + b"?" + data[201:])):
        path = out / "samples" / "0000000" / f"{seed:010d}.zip"
        path.write_bytes(change(path.read_bytes()))
    other = out / "samples" / "0000000" / "0000000002.zip"  # whole, but of another seed
    other.write_bytes((out / "samples" / "0000000" / "0000000000.zip").read_bytes())
    engine = Counting()
    synthesize(out, RECIPE, COUNT, engine=engine, formats=["folder"])
    assert engine.seeds == [1, 2, 4]
    assert tree(out) == tree(whole)


def test_more_samples_and_other_filters_make_nothing_anew(whole, tmp_path):
    out = tmp_path / "set"
    first, second, third = Counting(), Counting(), Counting()
    synthesize(out, RECIPE, 2, engine=first)
    synthesize(out, RECIPE, COUNT, engine=second, formats=["folder"])
    assert (first.seeds, second.seeds) == ([0, 1], [2, 3, 4, 5])
    assert tree(out) == tree(whole)
    shares = sorted(line["mask_share"] for line in lines(out))
    middle = (shares[1], shares[-2])
    manifest = synthesize(out, RECIPE, COUNT, engine=third, filters=Filters(mask_share=middle), formats=["folder"])
    assert third.seeds == [] and manifest["samples"]["dropped"] == 2
    listed = lines(out)
    kept = [line["seed"] for line in listed if line["dropped"] is None]
    assert all("mask_share" in line["dropped"] for line in listed if line["seed"] not in kept)
    written = {path.stem for path in (out / "folder" / "img_dir" / "train").iterdir()}
    assert written == {f"{seed:010d}" for seed in kept} and len(kept) == COUNT - 2


def test_a_set_may_begin_at_any_seed(whole, tmp_path):
    synthesize(tmp_path / "set", RECIPE, 2, first=4)
    for seed in (4, 5):
        name = f"samples/0000000/{seed:010d}.zip"
        assert (tmp_path / "set" / name).read_bytes() == (whole / name).read_bytes()
    synthesize(tmp_path / "last", RECIPE, 1, first=2**32 - 1)
    assert lines(tmp_path / "last")[0]["seed"] == 2**32 - 1


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"count": 0}, "count must be at least 1|count must be in 1"),
        ({"count": 1, "first": -1}, "first must be in 0"),
        ({"count": 2, "first": 2**32 - 1}, "count must be in 1..1, got 2"),
        ({"count": 1, "formats": ["tfrecord"]}, "format must be one of"),
        ({"count": 1, "recipe": replace(RECIPE, generator="toy-portait")}, "unknown generator 'toy-portait'"),
        ({"count": 1, "recipe": replace(RECIPE, config=SegmenterConfig(cutoff=13))}, "cutoff must be in 0..12"),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(tmp_path, arguments, words):
    with pytest.raises(ValueError, match=words):
        synthesize(tmp_path / "set", **{"recipe": RECIPE, **arguments})
    assert not (tmp_path / "set").exists()


def test_filters_of_whole_images_do_not_go_with_objects(tmp_path):
    recipe = Recipe("toy-room", replace(BOX_CONFIG, n=4), objects=ObjectOptions("sofa"))
    with pytest.raises(ValueError, match="they do not go with objects"):
        synthesize(tmp_path / "set", recipe, 1, filters=Filters(min_agreement=0.5))
    synthesize(tmp_path / "set", recipe, 1, filters=Filters(mask_share=(0, 1)))


def test_samples_of_other_settings_are_not_mixed(whole):
    before = tree(whole)
    other = replace(RECIPE, truncation=0.5, config=replace(RECIPE.config, n=5))
    with pytest.raises(ValueError, match=r"method\.n is 4 there, 5 here; truncation is 0\.7 there, 0\.5 here"):
        synthesize(whole, other, COUNT)
    assert tree(whole) == before


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"photo")
    with pytest.raises(ValueError, match=r"holds 'holiday\.jpg' and no run\.json"):
        synthesize(tmp_path, RECIPE, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]
    with pytest.raises(ValueError, match="OUT must be a folder"):
        synthesize(tmp_path / "holiday.jpg", RECIPE, 1)


def test_a_folder_with_the_name_of_a_format_is_not_replaced(tmp_path):
    out = tmp_path / "set"
    synthesize(out, RECIPE, 1)
    (out / "coco").mkdir()
    (out / "coco" / "mine.txt").touch()
    with pytest.raises(ValueError, match="was not written by synthesize"):
        synthesize(out, RECIPE, 1, formats=["coco"])
    assert (out / "coco" / "mine.txt").exists()


def test_a_damaged_record_of_the_run_is_not_trusted(tmp_path):
    synthesize(tmp_path / "set", RECIPE, 1)
    (tmp_path / "set" / "run.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        synthesize(tmp_path / "set", RECIPE, 1)


def hold(path: str, held, go_on) -> None:
    with FileLock(path):
        held.set()
        go_on.wait(60)


def test_two_runs_do_not_share_a_folder(tmp_path):
    out = tmp_path / "set"
    synthesize(out, RECIPE, 1)
    context = multiprocessing.get_context("spawn")
    held, go_on = context.Event(), context.Event()
    other = context.Process(target=hold, args=(str(out / ".lock"), held, go_on))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(RuntimeError, match="another process is at it"):
            synthesize(out, RECIPE, 2)
    finally:
        go_on.set()
        other.join()
    synthesize(out, RECIPE, 2)


def test_a_full_disk_is_explained_and_the_run_goes_on_afterwards(whole, tmp_path, monkeypatch):
    out, real, written = tmp_path / "set", stores.atomic_write, []

    @contextmanager
    def on_a_small_disk(path):
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        with real(path) as temporary:
            yield temporary

    monkeypatch.setattr(stores, "atomic_write", on_a_small_disk)
    with pytest.raises(StoreError, match=r"No space left on device.*the same command goes on"):
        synthesize(out, RECIPE, COUNT, formats=["folder"])
    monkeypatch.undo()
    engine = Counting()
    synthesize(out, RECIPE, COUNT, engine=engine, formats=["folder"])
    assert engine.seeds == [3, 4, 5] and tree(out) == tree(whole)


def test_a_folder_that_cannot_be_written_is_explained(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(StoreError, match="cannot be written .Read-only file system"):
        synthesize(tmp_path / "set", RECIPE, 1)
