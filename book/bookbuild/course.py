"""The course: sessions and units from `course.toml`, and the tables that are made from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stylemixseg._util.paths import atomic_write
from stylemixseg.evaluation.tables import table
from stylemixseg.experiments.profile import tomllib

from .layout import BOOK, EXECUTED, GENERATED, SITE, BuildError

COURSE = BOOK / "course.toml"
LONGEST_UNIT = 60  # minutes
VERBS = ("Predict", "Compute", "Diagnose")


@dataclass(frozen=True)
class Slide:
    """A figure of the unit's chapter, by its name, and what to say about it."""

    figure: str
    say: str


@dataclass(frozen=True)
class Unit:
    """A part of the course of at most an hour.

    Attributes:
        title: of the unit.
        minutes: what it takes in class.
        page: the chapter's name, such as "01_tour", or another page of the book without its suffix.
        objectives: what students can do after it; each begins with one of `VERBS`.
        slides: in their order.
        part: which sections of the page belong to it; empty for all.
        also: another page that belongs to it; empty for none.
    """

    title: str
    minutes: int
    page: str
    objectives: tuple[str, ...]
    slides: tuple[Slide, ...]
    part: str = ""
    also: str = ""

    @property
    def is_chapter(self) -> bool:
        """Whether the page is a chapter that runs."""
        return "/" not in self.page

    @property
    def links(self) -> str:
        """Links to the pages, from a page at the root of the book."""
        first = f"{EXECUTED.name}/{self.page}.ipynb" if self.is_chapter else f"{self.page}.md"
        links = [f"[{self.title}]({first})"] + ([f"[{self.also}]({self.also}.md)"] if self.also else [])
        return " and ".join(links) + (f", {self.part}" if self.part else "")


@dataclass(frozen=True)
class Session:
    """Units that are taught on one day, and what students can do after it."""

    title: str
    after: str
    units: tuple[Unit, ...]

    @property
    def minutes(self) -> int:
        """All its units together."""
        return sum(unit.minutes for unit in self.units)


def read_course(path: Path = COURSE) -> list[Session]:
    """The sessions of the course.

    Raises:
        BuildError: a field that is missing or unknown, a unit that is too long, or an objective without its verb.
    """
    sessions = []
    for number, entry in enumerate(tomllib.loads(path.read_text(encoding="utf-8"))["session"], start=1):
        try:
            units = [
                Unit(**{**unit, "objectives": tuple(unit["objectives"]),
                        "slides": tuple(Slide(**slide) for slide in unit["slides"])})
                for unit in entry["unit"]
            ]  # fmt: skip
            sessions.append(Session(entry["title"], entry["after"], tuple(units)))
        except (KeyError, TypeError) as error:
            raise BuildError(f"{path.name}, session {number}: {error}") from error
        for unit in units:
            if unit.minutes > LONGEST_UNIT:
                raise BuildError(f"{path.name}: '{unit.title}' takes {unit.minutes} minutes, more than {LONGEST_UNIT}")
            for objective in unit.objectives:
                if objective.split()[0] not in VERBS:
                    raise BuildError(f"{path.name}: an objective begins with one of {VERBS}, got {objective!r}")
    return sessions


def write_course(folder: Path = GENERATED) -> None:
    """Write `units.md`, which the syllabus includes, and `sessions.md`, which the page for instructors includes."""
    sessions = read_course()
    numbered, count = [], 0
    for number, session in enumerate(sessions, start=1):
        for unit in session.units:
            count += 1
            numbered.append([str(count), unit.links, str(unit.minutes), str(number), "<br>".join(unit.objectives)])
    units = table(["unit", "pages", "minutes", "session", "objectives"], numbered)
    rows, first = [], 1
    for number, session in enumerate(sessions, start=1):
        last = first + len(session.units) - 1
        span = str(first) if first == last else f"{first} and {last}"
        kinds = [kind for kind in ("html", "pdf", "md") if (SITE / "slides" / f"session-{number:02d}.{kind}").is_file()]
        # As HTML, because Sphinx would look for pages of the book.
        slides = " ".join(f'<a href="slides/session-{number:02d}.{kind}">{kind}</a>' for kind in kinds)
        rows.append([str(number), session.title, span, str(session.minutes), session.after, slides])
        first = last + 1
    found = table(["session", "title", "units", "minutes", "after it, students can", "slides"], rows)
    for name, text in (("units", units), ("sessions", found)):
        with atomic_write(folder / f"{name}.md") as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
