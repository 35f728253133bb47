"""Quizzes: questions with feedback on each choice, from one TOML file per chapter to HTML that needs no kernel.

`_static/quiz.js` turns the questions into radio buttons with feedback. Without JavaScript a reader sees the questions
and opens the answers by hand.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from pathlib import Path

from stylemixseg.experiments.profile import tomllib

from .layout import BOOK, BuildError

QUIZZES = BOOK / "quizzes"
MINIMUM_QUESTIONS = 5
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Choice:
    """A possible answer: its text, what a reader is told who takes it, and whether it is the right one."""

    text: str
    feedback: str
    right: bool = False


@dataclass(frozen=True)
class Question:
    """A question with at least two choices, one of which is right."""

    text: str
    choices: tuple[Choice, ...]


def read_quiz(path: Path) -> list[Question]:
    """The questions of one file.

    Raises:
        BuildError: no TOML, a field that is missing or unknown, too few questions or choices, none or several right
            ones, or text that stands twice.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise BuildError(f"{path.name}: {error}") from error
    if set(found) != {"question"}:
        raise BuildError(f"{path.name}: expected [[question]] and nothing else, got {sorted(found)}")
    questions = [_question(item, f"{path.name}, question {i}") for i, item in enumerate(found["question"], start=1)]
    if len(questions) < MINIMUM_QUESTIONS:
        raise BuildError(f"{path.name}: needs {MINIMUM_QUESTIONS} questions, has {len(questions)}")
    if len({question.text for question in questions}) < len(questions):
        raise BuildError(f"{path.name}: a question stands there twice")
    return questions


def _question(item: dict, place: str) -> Question:
    if set(item) != {"text", "choices"}:
        raise BuildError(f"{place}: expected text and choices, got {sorted(item)}")
    choices = []
    for choice in item["choices"]:
        if not {"text", "feedback"} <= set(choice) <= {"text", "feedback", "right"}:
            raise BuildError(f"{place}: a choice has text, feedback and perhaps right, got {sorted(choice)}")
        choices.append(Choice(**choice))
    if len({choice.text for choice in choices}) < max(2, len(choices)):
        raise BuildError(f"{place}: needs two different choices or more")
    if sum(choice.right for choice in choices) != 1:
        raise BuildError(f"{place}: needs exactly one choice with right = true")
    return Question(item["text"], tuple(choices))


def quiz_markdown(questions: list[Question], name: str) -> str:
    """A section of a page that holds a quiz, as MyST Markdown with HTML inside.

    Args:
        questions: in the order in which they are shown.
        name: of the chapter; it begins the names of the input fields.
    """
    shown = "\n".join(_html(question, f"quiz-{name}-{i}", i) for i, question in enumerate(questions, start=1))
    intro = "Choose an answer to each question, and read what it says. Nothing is sent or kept."
    return f'## Quiz\n\n{intro}\n\n```{{raw}} html\n<div class="quiz">\n{shown}\n</div>\n```'


def _html(question: Question, name: str, number: int) -> str:
    """One question: a group of radio buttons, a place for the feedback, and the answers folded below."""
    inputs, answers = [], []
    for i, choice in enumerate(question.choices):
        inputs.append(
            f'<div class="quiz-choice"><input type="radio" name="{name}" id="{name}-{i}" '
            f'data-right="{str(choice.right).lower()}" data-feedback="{html.escape(choice.feedback)}">'
            f'<label for="{name}-{i}">{_inline(choice.text)}</label></div>'
        )
        mark = "right" if choice.right else "not right"
        answers.append(f"<li>{_inline(choice.text)} ({mark}): {_inline(choice.feedback)}</li>")
    return (
        f'<fieldset class="quiz-question">\n<legend>{number}. {_inline(question.text)}</legend>\n'
        + "\n".join(inputs)
        + '\n<p class="quiz-feedback" role="status" aria-live="polite"></p>\n'
        + f'<details class="quiz-answers"><summary>Answers to question {number}</summary><ul>{"".join(answers)}</ul>'
        + "</details>\n</fieldset>"
    )


def _inline(text: str) -> str:
    """Text as HTML; words between backticks are code."""
    return _CODE.sub(r"<code>\1</code>", html.escape(text, quote=False))
