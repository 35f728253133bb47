"""Quizzes: every chapter has one, each question has one right choice and feedback on all, and pages show them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book"))
from bookbuild.layout import BuildError, notebook_sources
from bookbuild.quizzes import MINIMUM_QUESTIONS, QUIZZES, quiz_markdown, read_quiz

CHAPTERS = [source.stem for source in notebook_sources()]

GOOD = """
[[question]]
text = "Is `c` < 3 & more?"
choices = [
  { text = "yes", feedback = "Right: \\"so\\".", right = true },
  { text = "no", feedback = "Look again." },
]
"""


def _file(folder: Path, text: str) -> Path:
    path = folder / "01_x.toml"
    path.write_text(text)
    return path


def _enough(text: str) -> str:
    return "".join(text.replace("more", f"more {i}") for i in range(MINIMUM_QUESTIONS))


def test_every_chapter_has_its_quiz() -> None:
    assert sorted(path.stem for path in QUIZZES.glob("*")) == CHAPTERS


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapters_quiz(name: str) -> None:
    questions = read_quiz(QUIZZES / f"{name}.toml")
    assert len(questions) >= MINIMUM_QUESTIONS
    for question in questions:
        assert question.text.endswith((".", "?")) and len(question.choices) >= 3
        for choice in question.choices:
            assert len(choice.feedback.split()) >= 4 and choice.feedback.endswith("."), choice
            assert choice.feedback.startswith("Right.") == choice.right, choice
            assert "$" not in choice.text + choice.feedback + question.text, "quizzes have no maths"
    places = [next(i for i, choice in enumerate(q.choices) if choice.right) for q in questions]
    assert len(set(places)) > 1, "the right choice is always at the same place"


def test_a_quiz_becomes_html(tmp_path: Path) -> None:
    markdown = quiz_markdown(read_quiz(_file(tmp_path, _enough(GOOD))), "01_x")
    assert markdown.startswith("## Quiz\n")
    (raw,) = re.findall(r"```\{raw\} html\n(.*)\n```", markdown, re.DOTALL)
    soup = BeautifulSoup(raw, "html.parser")
    questions = soup.select("fieldset")
    assert len(questions) == MINIMUM_QUESTIONS
    assert questions[0].legend.get_text() == "1. Is c < 3 & more 0?" and questions[0].legend.code.get_text() == "c"
    fields = questions[0].select("input[type=radio]")
    assert [field["data-right"] for field in fields] == ["true", "false"]
    assert fields[0]["data-feedback"] == 'Right: "so".'
    labels = {label["for"] for label in soup.select("label")}
    assert labels == {field["id"] for field in soup.select("input")} and len(labels) == 2 * MINIMUM_QUESTIONS
    assert len({field["name"] for field in soup.select("input")}) == MINIMUM_QUESTIONS
    assert "no (not right): Look again." in questions[0].details.get_text()  # for readers without JavaScript


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("[[question]]", "[[questions]]", "expected [[question]] and nothing else"),
        (", right = true", "", "needs exactly one choice with right = true"),
        ('again." }', 'again.", right = true }', "needs exactly one choice with right = true"),
        ('"no"', '"yes"', "needs two different choices"),
        ("feedback", "feedbak", "a choice has text, feedback and perhaps right"),
        ("choices", "answers", "expected text and choices, got ['answers', 'text']"),
        ("more", "or not", "a question stands there twice"),
        ("= [", "= ", "01_x.toml: "),
    ],
)
def test_faults_of_a_quiz_are_named(tmp_path: Path, old: str, new: str, fault: str) -> None:
    with pytest.raises(BuildError, match=re.escape(fault)):
        read_quiz(_file(tmp_path, _enough(GOOD.replace(old, new))))


def test_too_few_questions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="needs 5 questions, has 1"):
        read_quiz(_file(tmp_path, GOOD))
