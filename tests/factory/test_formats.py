"""Formats, each opened by the library that it is meant for; a library that is absent skips its tests by name."""

from __future__ import annotations

import io
import json
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from trees import tree

from stylemixseg._util.quiet import absent
from stylemixseg.commands.objects import ObjectOptions
from stylemixseg.factory.filters import Filters
from stylemixseg.factory.formats.base import FORMATS, writer_of
from stylemixseg.factory.recipe import IGNORE, Recipe
from stylemixseg.factory.run import synthesize
from stylemixseg.factory.sample import Sample
from stylemixseg.foreground import CornerMinority
from stylemixseg.settings import BOX_CONFIG, SegmenterConfig

WHOLE = Recipe("toy-portrait", SegmenterConfig(n=4, k=3, rule=CornerMinority(), resolution=32), size=32)
OBJECTS = Recipe("toy-room", replace(BOX_CONFIG, n=4), size=64, objects=ObjectOptions("sofa, coffee table, lamp"))
COUNT = 5


def here() -> list[str]:
    """The formats whose libraries are installed."""
    names = []
    for name in FORMATS:
        with suppress(ModuleNotFoundError):
            writer_of(name)
            names.append(name)
    return names


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "set"
    synthesize(out, WHOLE, COUNT, formats=here(), filters=Filters(mask_share=(0, 0.99)))
    return out


@pytest.fixture(scope="module")
def rooms(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("rooms") / "set"
    synthesize(out, OBJECTS, COUNT, formats=here())
    return out


@pytest.fixture(scope="module")
def samples(made) -> list[Sample]:
    return [Sample.from_bytes(path.read_bytes()) for path in sorted(made.glob("samples/*/*.zip"))]


@pytest.fixture(scope="module")
def room_samples(rooms) -> list[Sample]:
    return [Sample.from_bytes(path.read_bytes()) for path in sorted(rooms.glob("samples/*/*.zip"))]


def test_folders_as_mmsegmentation_pairs_them(made, samples, rooms, room_samples):
    for out, kept, third in ((made, samples, "soft"), (rooms, room_samples, "instance")):
        images = sorted((out / "folder" / "img_dir" / "train").iterdir())
        assert len(images) == COUNT
        for path, sample in zip(images, kept):
            assert path.suffix == ".png" and path.stem == f"{sample.seed:010d}"
            for folder, name in (("img_dir", "image"), ("ann_dir", "mask"), (f"{third}_dir", third)):
                data = (out / "folder" / folder / "train" / path.name).read_bytes()
                assert data == sample.files[f"{name}.png"]
    with Image.open(made / "folder" / "ann_dir" / "train" / "0000000000.png") as mask:
        assert mask.mode == "L" and set(np.unique(np.asarray(mask))) <= {0, 1, IGNORE}
    names = (rooms / "folder" / "classes.txt").read_text().split("\n")[:-1]
    assert names == ["background", "sofa", "coffee table", "lamp"]


def test_webdataset_opens_its_shards(made, samples, rooms, room_samples):
    wds = pytest.importorskip("webdataset")
    for out, kept, third in ((made, samples, "soft"), (rooms, room_samples, "instance")):
        url = str(out / "webdataset" / "shard-000000.tar")
        found = list(wds.WebDataset(url, shardshuffle=False).decode("pil").to_tuple("image.png", "mask.png", "json"))
        assert len(found) == COUNT
        for (image, mask, record), sample in zip(found, kept):
            assert (np.asarray(image) == sample.pixels("image.png")).all()
            assert (np.asarray(mask)[..., 0] == sample.pixels("mask.png")).all()  # wds gives RGB
            assert record == sample.record
        raw = next(iter(wds.WebDataset(url, shardshuffle=False)))
        assert raw[f"{third}.png"] == kept[0].files[f"{third}.png"]


def test_a_shard_ends_after_its_number_of_samples(made, samples, tmp_path, monkeypatch):
    wds = pytest.importorskip("webdataset")
    monkeypatch.setattr("stylemixseg.factory.formats.webdataset._PER_SHARD", 2)
    writer = writer_of("webdataset")(tmp_path, WHOLE.labels)
    for sample in samples:
        writer.add(sample)
    writer.close()
    shards = sorted(str(path) for path in tmp_path.iterdir())
    assert [len(list(wds.WebDataset(shard, shardshuffle=False))) for shard in shards] == [2, 2, 1]


def test_datasets_opens_parquet_with_images_as_images(made, samples, rooms, room_samples, tmp_path):
    datasets = pytest.importorskip("datasets")
    pytest.importorskip("pyarrow")
    for out, kept in ((made, samples), (rooms, room_samples)):
        found = datasets.load_dataset(str(out / "parquet"), split="train", cache_dir=str(tmp_path / out.parent.name))
        assert len(found) == COUNT
        for row, sample in zip(found, kept):
            assert (np.asarray(row["image"]) == sample.pixels("image.png")).all()
            assert (np.asarray(row["mask"]) == sample.pixels("mask.png")).all()
            assert {name: row[name] for name in sample.record} == sample.record
        third = "soft" if out == made else "instance"
        assert (np.asarray(found[0][third]) == kept[0].pixels(f"{third}.png")).all()


def test_parquet_in_several_files_and_groups(samples, tmp_path, monkeypatch):
    pq = pytest.importorskip("pyarrow.parquet")
    pytest.importorskip("datasets")
    monkeypatch.setattr("stylemixseg.factory.formats.parquet._PER_FILE", 4)
    monkeypatch.setattr("stylemixseg.factory.formats.parquet._PER_GROUP", 3)
    writer = writer_of("parquet")(tmp_path, WHOLE.labels)
    for sample in samples:
        writer.add(sample)
    writer.close()
    files = [pq.ParquetFile(path) for path in sorted((tmp_path / "data").iterdir())]
    assert [[file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] for file in files] == [
        [3, 1],
        [1],
    ]
    seeds = [seed for file in files for seed in file.read(["seed"])["seed"].to_pylist()]
    assert seeds == [sample.seed for sample in samples]


def opened_by_coco(folder: Path):
    return pytest.importorskip("pycocotools.coco").COCO(str(folder / "annotations.json"))


def test_pycocotools_opens_foreground(made, samples, capsys):
    found = opened_by_coco(made / "coco")
    assert [item["name"] for item in found.loadCats(found.getCatIds())] == ["foreground"]
    for image, sample in zip(found.loadImgs(found.getImgIds()), samples, strict=True):
        assert (made / "coco" / "images" / image["file_name"]).read_bytes() == sample.files["image.png"]
        (annotation,) = found.loadAnns(found.getAnnIds(image["id"]))
        mask, soft = found.annToMask(annotation).astype(bool), sample.pixels("soft.png")
        assert (mask == (soft > 127)).all() and annotation["area"] == mask.sum()
        rows, columns = np.nonzero(mask)
        size = [np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert annotation["bbox"] == [columns.min(), rows.min(), *size]


def test_pycocotools_opens_objects(rooms, room_samples, capsys):
    found = opened_by_coco(rooms / "coco")
    names = {item["id"]: item["name"] for item in found.loadCats(found.getCatIds())}
    assert list(names.values()) == ["sofa", "coffee table", "lamp"]
    assert len(found.getAnnIds()) == sum(len(sample.record["objects"]) for sample in room_samples) > COUNT
    for image, sample in zip(found.loadImgs(found.getImgIds()), room_samples, strict=True):
        annotations = found.loadAnns(found.getAnnIds(image["id"]))
        for annotation, item in zip(annotations, sample.record["objects"], strict=True):
            assert (found.annToMask(annotation) == (sample.pixels("instance.png") == item["number"])).all()
            assert names[annotation["category_id"]] == item["phrase"] and annotation["bbox"] == item["bbox"]


def test_coco_of_named_parts_leaves_out_what_is_to_be_ignored(samples, tmp_path, capsys):
    pytest.importorskip("pycocotools")
    labels = np.zeros((32, 32), np.uint8)
    labels[2:9, 3:7], labels[20:, :], labels[8:20, 10] = 1, 2, IGNORE
    stream = io.BytesIO()
    Image.fromarray(labels).save(stream, "PNG")
    writer = writer_of("coco")(tmp_path, ("background", "skin", "hair", "cloth"))
    writer.add(Sample(samples[0].record, {**samples[0].files, "mask.png": stream.getvalue()}))
    writer.close()
    found = opened_by_coco(tmp_path)
    masks = {found.anns[i]["category_id"]: found.annToMask(found.anns[i]) for i in found.getAnnIds()}
    assert set(masks) == {1, 2} and all((mask == (labels == label)).all() for label, mask in masks.items())
    assert not list(tmp_path.glob(".*"))


def test_equal_samples_give_equal_files(made, tmp_path):
    synthesize(tmp_path / "set", WHOLE, COUNT, formats=here(), filters=Filters(mask_share=(0, 0.99)))
    assert tree(tmp_path / "set") == tree(made)


def test_every_format_has_a_card_that_the_hub_can_read(made, rooms):
    for out in (made, rooms):
        manifest = json.loads((out / "manifest.json").read_text())
        for name in here():
            card = (out / name / "README.md").read_text()
            _, head, text = card.split("---\n", 2)
            assert yaml.safe_load(head)["size_categories"] == ["n<1K"]
            assert manifest["run"]["generator"]["sha256"] in text and "Apache-2.0" in text
            assert json.loads((out / name / "manifest.json").read_text()) == manifest
            for label in manifest["run"]["labels"]:
                assert label in text
    head = yaml.safe_load((made / "folder" / "README.md").read_text().split("---\n")[1])
    assert "configs" not in head and head["license"] == "other"
    assert "0.4 and 0.6" in (made / "folder" / "README.md").read_text()
    assert "255, to be ignored" not in (rooms / "folder" / "README.md").read_text()
    assert "mask_share (0, 0.99)" in (made / "folder" / "README.md").read_text()


def test_a_set_without_a_kept_sample_is_written_too(tmp_path):
    manifest = synthesize(tmp_path / "set", WHOLE, 2, formats=here(), filters=Filters(mask_share=(0, 0)))
    assert manifest["samples"]["kept"] == 0 and manifest["means of the kept"] == {}


@pytest.mark.parametrize(
    "name, module", [("webdataset", "webdataset"), ("parquet", "datasets"), ("coco", "pycocotools")]
)
def test_without_its_library_a_format_names_the_extra(name, module, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, f"stylemixseg.factory.formats.{name}", raising=False)
    with (
        absent(module),
        pytest.raises(ModuleNotFoundError, match=r"not installed: pip install 'stylemixseg\[formats\]'"),
    ):
        synthesize(tmp_path / "set", WHOLE, 1, formats=[name])
    assert not (tmp_path / "set").exists()
