"""Which network and which class a reference's text means."""

from __future__ import annotations

import pytest

from stylemixseg.models.classnames import BUILT_IN, check_reference, class_numbers, split_reference


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "swin").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "swin"


def test_a_folder_or_a_name_on_the_hub_and_a_class(folder):
    assert split_reference("swin:sofa") == ("swin", "sofa")
    assert split_reference("swin/: coffee table ") == ("swin/", "coffee table")
    assert split_reference(f"{folder}:person") == (str(folder), "person")
    assert split_reference("owner/name-1.0:horse") == ("owner/name-1.0", "horse")


def test_a_folder_with_a_colon_in_its_name(folder):
    (folder / "a:b").mkdir()
    assert split_reference("swin/a:b:sofa") == ("swin/a:b", "sofa")


@pytest.mark.parametrize("text", ["swin", "swin:", "swin: ", "owner/name", "owner/name:"])
def test_the_class_must_be_named(folder, text):
    with pytest.raises(ValueError, match="must name a class too, one of person, horse, sofa, table .*:person, got"):
        check_reference(text)


@pytest.mark.parametrize("text", ["", "nowhere:sofa", "./no/such/folder:sofa", ":sofa", "swin:a/b/c:"])
def test_what_is_no_reference(folder, text):
    with pytest.raises(ValueError, match="must be one of truth, face_parser, deeplab, or a network and a class"):
        check_reference(text)
    with pytest.raises(TypeError, match="reference must be a name, got 3"):
        check_reference(3)


def test_names_of_the_book_are_suggested_and_come_before_folders(folder, tmp_path):
    with pytest.raises(ValueError, match="did you mean 'face_parser'"):
        check_reference("face_parsr")
    (tmp_path / "deeplab").mkdir()
    for name in BUILT_IN:
        assert check_reference(name) == name


# How the data sets write the paper's classes.
ADE = {7: "bed ", 12: "person, individual, someone", 15: "table", 23: "sofa, couch", 33: "desk", 56: "pool table, billiard table", 64: "coffee table, cocktail table"}  # fmt: skip
VOC = {0: "background", 11: "diningtable", 13: "horse", 15: "person", 18: "sofa"}
COCO = {1: "person", 19: "horse", 63: "couch", 67: "dining table"}


@pytest.mark.parametrize(
    "labels, wanted, numbers",
    [
        (ADE, "sofa", (23,)),
        (ADE, "table", (15, 33, 64)),
        (ADE, "person", (12,)),
        (ADE, "bed", (7,)),
        (ADE, "Billiard-Table", (56,)),
        (VOC, "table", (11,)),
        (VOC, "sofa", (18,)),
        (VOC, "horse", (13,)),
        (COCO, "sofa", (63,)),
        (COCO, "table", (67,)),
        (COCO, "couch", (63,)),
    ],
)
def test_classes_by_name(labels, wanted, numbers):
    assert class_numbers(labels, wanted, "net") == numbers


@pytest.mark.parametrize("labels, wanted", [(ADE, "horse"), (VOC, "couch"), (VOC, "pool table"), (COCO, "hors")])
def test_a_class_that_is_not_there(labels, wanted):
    with pytest.raises(
        ValueError, match=f"net must know the class '{wanted}', but its classes are: .*; .*(sofa|couch)"
    ):
        class_numbers(labels, wanted, "net")
