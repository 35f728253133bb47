"""What pages say in words agrees with what stands beside it: counts, the order of chapters, committed results."""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

import pytest

from stylemixseg.metrics import bootstrap_mean

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book"))
from bookbuild.course import read_course

ROOT = Path(__file__).parents[2]
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
CHAPTERS = sorted((ROOT / "notebooks").glob("*.py"))


def test_instructors_have_questions_and_answers_for_each_session() -> None:
    page = (ROOT / "book" / "instructors.md").read_text()
    sessions = [str(number) for number in range(1, len(read_course()) + 1)]
    (most,) = re.findall(r"a course of four to (\w+) sessions", page)
    assert NUMBERS.index(most) == len(sessions)
    assert re.findall(r"^\*\*Session (\d+)\.\*\*", page, re.M) == sessions
    assert re.findall(r"^\| (\d+) \|", page, re.M) == sessions
    (said,) = re.findall(r"is a course of (\w+) sessions", (ROOT / "book" / "syllabus.md").read_text())
    assert NUMBERS.index(said) == len(sessions)


@pytest.mark.parametrize("source", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_knows_what_comes_after_it(source: Path) -> None:
    text = source.read_text()
    others = CHAPTERS[CHAPTERS.index(source) + 1 :]
    assert not others or "last chapter" not in text.lower(), f"{others[0].name} comes after it"
    if named := re.findall(r"^# Next: .*?\((\w+)\.ipynb\)", text, re.M):
        assert named[0] == others[0].stem


def test_a_parsers_mask_of_the_reconstruction_is_no_bound() -> None:
    """Chapter 10 says that the oracle's mask is often nearer to the human one: so it is, in each way to invert."""
    with open(ROOT / "book" / "results" / "full" / "table1_photos.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for inversion in {row["inversion"] for row in rows}:
        pairs = [
            (float(row["oracle.miou"]), float(row["parser_on_reconstruction"]))
            for row in rows
            if row["inversion"] == inversion
        ]
        assert sum(oracle > parser for oracle, parser in pairs) > len(pairs) / 3
    chapter = (ROOT / "notebooks" / "10_real_photos.py").read_text()
    assert "bound in practice" not in chapter and not re.search(r"inversion loses bounds", chapter)


def test_a_gain_in_psnr_need_not_be_one_in_masks() -> None:
    """The quiz of chapter 10 and the page for instructors say so of the full run: optimisation against encoder."""
    with open(ROOT / "book" / "results" / "full" / "table1_photos.csv", encoding="utf-8", newline="") as file:
        rows = {(row["inversion"], row["photo"]): row for row in csv.DictReader(file)}
    photos = [photo for inversion, photo in rows if inversion == "encoder"]
    gains = {
        column: [[float(rows["projector", p][column]) - float(rows["encoder", p][column])] for p in photos]
        for column in ("psnr", "saliency.miou")
    }
    assert bootstrap_mean(gains["psnr"])[0] > 2
    low, high = bootstrap_mean(gains["saliency.miou"])
    assert low < 0 < high
    assert "the interval of its masks' gain holds 0" in (ROOT / "book" / "quizzes" / "10_real_photos.toml").read_text()
