"""Slides per session: Markdown from `course.toml`, the chapters' figures and their quizzes; Marp makes HTML and PDF."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from stylemixseg._util.paths import atomic_write

from .browser import find_browser
from .course import Session, Unit, read_course
from .exercises import code_exercises
from .layout import BOOK, EXECUTED, NOTEBOOKS, SITE, BuildError
from .notebooks import read_source
from .npm import install_packages
from .quizzes import QUIZZES, read_quiz

TOOLS = BOOK / "slides"  # package.json and its lock
_HEAD = """---
marp: true
paginate: true
title: "{title}"
lang: en
style: |
  section {{ font-size: 26px; }}
  section img {{ display: block; margin: 0 auto; max-height: 430px; max-width: 100%; }}
---"""


def build_slides(folder: Path = SITE / "slides", executed: Path = EXECUTED) -> bool:
    """Write the slides of every session, as Markdown and, where the tools are there, as HTML and PDF.

    Gives False, and says so, where npm is absent: then there is Markdown only. Without a Chromium there is no PDF.

    Raises:
        BuildError: a figure of the outline is not in its chapter, or a tool failed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    decks = write_decks(read_course(), folder, executed)
    if shutil.which("npm") is None:
        print("npm is not installed: the slides stay Markdown (Marp), without HTML and PDF")
        return False
    _install()
    _marp(decks, folder)
    browser = find_browser()
    if browser is None:
        print("Chromium is not installed: the slides have no PDF")
    else:
        _marp([*decks, "--pdf", "--allow-local-files", "--browser-path", browser], folder)
    print(f"slides of {len(decks)} sessions")
    return True


def write_decks(sessions: Sequence[Session], folder: Path, executed: Path = EXECUTED) -> list[Path]:
    """Write one Markdown file per session, and the pictures that they show; gives the files."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    decks, first = [], 1
    for number, session in enumerate(sessions, start=1):
        title = f"Session {number}: {session.title}"
        slides = [f"# {title}\n\nAfter it you can {session.after}."]
        for place, unit in enumerate(session.units, start=first):
            slides += _slides(unit, place, folder, executed)
        first += len(session.units)
        path = folder / f"session-{number:02d}.md"
        with atomic_write(path) as temporary:
            temporary.write_text(
                _HEAD.format(title=title) + "\n\n" + "\n\n---\n\n".join(slides) + "\n", encoding="utf-8"
            )
        decks.append(path)
    return decks


def _slides(unit: Unit, number: int, folder: Path, executed: Path) -> list[str]:
    """The slides of one unit: objectives, figures, a question of the quiz, exercises."""
    goals = "\n".join(f"- {objective}" for objective in unit.objectives)
    slides = [f"## Unit {number}: {unit.title}\n\n{unit.minutes} minutes. After it you can do this:\n\n{goals}"]
    if not unit.is_chapter:
        return slides
    if unit.slides:
        notebook = nbformat.read(executed / f"{unit.page}.ipynb", as_version=4)
        for slide in unit.slides:
            name, alt = _picture(notebook, unit.page, slide.figure, folder)
            slides.append(f"![{alt}]({name})\n\n{slide.say}")
    # The units of a chapter that is split ask different questions of its quiz.
    questions = read_quiz(QUIZZES / f"{unit.page}.toml")
    question = questions[number % len(questions)]
    choices = "\n".join(f"- {choice.text}" for choice in question.choices)
    slides.append(f"## A question first\n\n{question.text}\n\n{choices}")
    asked = [f"- `{item.signature}`" for item in code_exercises(read_source(NOTEBOOKS / f"{unit.page}.py"))]
    slides.append("## Exercises\n\nOpen the notebook of the chapter, and write:\n\n" + "\n".join(asked))
    return slides


def _picture(notebook: NotebookNode, chapter: str, figure: str, folder: Path) -> tuple[str, str]:
    """Write a figure of an executed chapter as a file; gives its name and its alternative text."""
    for cell in notebook.cells:
        settings = cell.metadata.get("mystnb", {})
        if cell.cell_type != "code" or settings.get("figure", {}).get("name") != figure:
            continue
        for output in cell.outputs:
            data = output.get("data", {})
            if svg := data.get("image/svg+xml"):
                name, content = f"images/{figure}.svg", "".join(svg).encode()
            elif png := data.get("image/png"):
                name, content = f"images/{figure}.png", base64.b64decode(png)
            else:
                continue
            (folder / name).write_bytes(content)
            return name, settings["image"]["alt"]
    raise BuildError(f"course.toml shows {figure}, and the executed chapter {chapter} has no such picture")


def _install() -> None:
    """Install Marp from the lock, only where the lock has changed."""
    stamp = TOOLS / "node_modules" / ".key"
    key = hashlib.sha256((TOOLS / "package-lock.json").read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == key:
        return
    install_packages(TOOLS, "book/slides/package-lock.json")
    stamp.write_text(key)


def _marp(arguments: Sequence[str | Path], folder: Path) -> None:
    program = TOOLS / "node_modules" / ".bin" / "marp"
    done = subprocess.run(
        [program, *arguments, "--no-stdin", "--no-parallel"],
        cwd=folder,
        env=os.environ | {"CHROME_NO_SANDBOX": "1"},  # in a container Chromium has no sandbox; it sees our files only
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        raise BuildError(f"Marp could not turn the slides:\n{(done.stdout + done.stderr).strip()[-2000:]}")
