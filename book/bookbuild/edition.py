"""The whole book in reading order, taken from the built pages: what the PDF and the EPUB are made from.

The book is not built again in another format, so figures, equations and exercises have the numbers of the pages, and
what the build adds to the chapters (quizzes, links to the glossary) is there.

Inside an edition a link to a place of the book reads `book:PAGE#PLACE`, pictures are files in a folder, and formulas
are still TeX. Solutions, and answers of quizzes, stand together on a page at the end.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from posixpath import normpath
from urllib.parse import unquote, urlsplit

import yaml
from bs4 import BeautifulSoup, Tag
from PIL import Image

from stylemixseg import __version__

from .layout import BOOK, HTML, BuildError, site_url
from .still import LONGEST_LIST, element, make_still, widget_states

SCHEME = "book:"
ABOUT, ANSWERS = "about-this-edition", "solutions-and-answers"
MEDIA = "media"  # folder of the pictures
_WORTH = 0.7  # JPEG takes the place of PNG where it has at most this share of the bytes
_QUALITY = 90


@dataclass
class Page:
    """A page of the book.

    Attributes:
        name: as in the table of contents, such as "refreshers/iou".
        title: of its first heading, as text.
        body: its content; the first heading is an h1.
        pages: those below it in the table of contents.
    """

    name: str
    title: str
    body: Tag
    pages: list[Page] = field(default_factory=list)


@dataclass(frozen=True)
class Part:
    """Some pages under a title of their own; "" for those at the beginning, which have none."""

    title: str
    pages: list[Page]


@dataclass(frozen=True)
class Edition:
    """The whole book; `title` is that of the configuration."""

    title: str
    author: str
    parts: list[Part]

    def pages(self) -> Iterator[Page]:
        """All pages in reading order."""
        for part in self.parts:
            for page in part.pages:
                yield page
                yield from page.pages


def read_edition(folder: Path, *, html: Path = HTML, book: Path = BOOK) -> Edition:
    """Read the built pages, and write the pictures that they show into `folder`/media.

    Args:
        folder: for the pictures; some may be there from an earlier build.
        html: the built pages.
        book: where `_config.yml` and `_toc.yml` are.

    Raises:
        BuildError: a page of the table of contents was not built, or a picture is not there.
    """
    toc = yaml.safe_load((book / "_toc.yml").read_text(encoding="utf-8"))
    config = yaml.safe_load((book / "_config.yml").read_text(encoding="utf-8"))
    parts = [Part("", [_about(), _page(toc["root"], html)])]
    for part in toc["parts"]:
        pages = []
        for chapter in part["chapters"]:
            page = _page(chapter["file"], html)
            page.pages += [_page(section["file"], html) for section in chapter.get("sections", [])]
            pages.append(page)
        parts.append(Part(part["caption"], pages))
    edition = Edition(config["title"], config["author"], parts)
    names = {page.name for page in edition.pages()}
    for page in edition.pages():
        _drop_repeated_ids(page.body)
        _mend_paragraphs(page.body)
        for link in page.body.find_all("a", href=True):
            link["href"] = _address(link["href"], page.name, names)
        for picture in page.body.find_all("img"):
            picture["src"] = _store(picture["src"], html / page.name, folder / MEDIA)
    if moved := _answers(edition):
        parts.append(Part("", [moved]))
    return edition


def _page(name: str, html: Path) -> Page:
    path = html / f"{name}.html"
    if not path.is_file():
        raise BuildError(f"the page {name} has not been built: run `python book/build.py html` first")
    soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    article = soup.select_one("article.bd-article")
    assert article is not None
    make_still(article, widget_states(soup), f"{site_url()}/{name}.html")
    article.name = "section"
    article.attrs = {}
    return Page(name, article.h1.get_text(strip=True), article)


def _about() -> Page:
    """What a reader of a file must know who does not see the pages."""
    address = site_url()
    return Page(
        ABOUT,
        "About this edition",
        element(
            f"""<section><h1>About this edition</h1>
<p>This file holds the pages of the book at <a href="{address}">{address}</a>, version {__version__}. Some things
work in a browser only, and have another form here:</p>
<ul>
<li><p>Code that the pages fold away is left out. It loads packages, keeps records, and checks the answers to exercises.
The notebooks of the chapters hold all of it.</p></li>
<li><p>Solutions of exercises, and answers to the quizzes, stand in the last chapter, so that you can try first. A link
under each exercise leads there.</p></li>
<li><p>A slider is shown as some of its pictures.</p></li>
<li><p>Folded tables are open, except those with more than {LONGEST_LIST} rows, which are for looking things up on the
page.</p></li>
<li><p>The live page, which runs the generator, is left out.</p></li>
</ul></section>"""
        ),
    )


def _drop_repeated_ids(body: Tag) -> None:
    """Sphinx gives some parts of a page the same name; a link leads to the first of them."""
    seen: set[str] = set()
    for tagged in body.find_all(id=True):
        if tagged["id"] in seen:
            del tagged["id"]
        else:
            seen.add(tagged["id"])


def _mend_paragraphs(body: Tag) -> None:
    """Browsers forgive a list inside a paragraph, which Sphinx makes of some docstrings; XHTML does not."""
    for inside in body.select("p > :is(ol, ul, dl, div, pre, table)"):
        inside.parent.name = "div"


def _address(href: str, page: str, names: set[str]) -> str:
    """A link as it reads in an edition: to a page of the book, to a file of the published book, or as it is."""
    address = urlsplit(href)
    if address.scheme or address.netloc:
        return href
    path = normpath(PurePosixPath(page).parent / unquote(address.path)) if address.path else f"{page}.html"
    name = path.removesuffix(".html")
    fragment = f"#{unquote(address.fragment)}" if address.fragment else ""
    return f"{SCHEME}{name}{fragment}" if name in names else f"{site_url()}/{path}{fragment}"


def _store(source: str, page: Path, folder: Path) -> str:
    """Write a picture into the folder, in fewer bytes where that is possible; gives its place in the edition."""
    if source.startswith("data:"):
        kind, _, data = source.partition(",")
        content, suffix = base64.b64decode(data), "." + kind.partition("/")[2].partition(";")[0]
    else:
        path = page.parent / unquote(urlsplit(source).path)
        if not path.is_file():
            raise BuildError(f"{page.name} shows {source}, which is not there")
        content, suffix = path.read_bytes(), path.suffix.lower()
    suffix = ".jpg" if suffix == ".jpeg" else suffix
    stem = hashlib.sha256(content).hexdigest()[:24]
    there = next((path for path in folder.glob(f"{stem}.*") if path.stat().st_size), None)
    if there is None:
        if suffix == ".svg":
            content = _without_unused_ids(content.decode("utf-8")).encode()
        elif suffix == ".png" and (smaller := _as_jpeg(content)):
            content, suffix = smaller, ".jpg"
        folder.mkdir(parents=True, exist_ok=True)
        there = folder / f"{stem}{suffix}"
        there.write_bytes(content)
    return f"{MEDIA}/{there.name}"


def _without_unused_ids(svg: str) -> str:
    """SVG without names that nothing refers to. Those of a diagram are its labels: EPUB allows no spaces in a name."""
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
    return re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", svg)


def _as_jpeg(png: bytes) -> bytes | None:
    """A picture as JPEG, None where that would not pay. Photos shrink by much, flat colours and letters do not."""
    with Image.open(io.BytesIO(png)) as picture:
        if "A" in picture.getbands() and picture.getextrema()[picture.getbands().index("A")][0] < 255:
            return None
        buffer = io.BytesIO()
        picture.convert("RGB").save(buffer, "JPEG", quality=_QUALITY, subsampling=0, optimize=True)
    return buffer.getvalue() if buffer.tell() <= _WORTH * len(png) else None


def _answers(edition: Edition) -> Page | None:
    """Move solutions and answers of quizzes to a page of their own; links follow them. None where there are none."""
    body = element("<section><h1>Solutions and answers</h1></section>")
    moved: dict[str, str] = {}
    for page in edition.pages():
        section = element("<section><h2></h2></section>")
        section.h2.string = page.title
        solutions, quizzes = page.body.select(".solution"), page.body.select(".quiz-question")
        for number, solution in enumerate(solutions, start=1):
            _move(solution, page, f"solution-{number}", section, moved)
        for number, question in enumerate(quizzes, start=1):
            _move(_plain_question(question, number), page, f"answer-{number}", section, moved)
        if solutions or quizzes:
            body.append(section)
    for page in edition.pages():
        for link in page.body.find_all("a", href=True):
            link["href"] = moved.get(link["href"], link["href"])
    for link in body.find_all("a", href=True):
        link["href"] = moved.get(link["href"], link["href"])
    return Page(ANSWERS, "Solutions and answers", body) if body.section else None


def _move(answer: Tag, page: Page, kind: str, section: Tag, moved: dict[str, str]) -> None:
    """Move an answer into a section of the last page, and leave a link to it."""
    prefix = page.name.replace("/", "-").lstrip("_")
    place = f"{prefix}-{kind}"
    title = answer.select_one(".admonition-title, .quiz-title")
    link = element(f'<p class="answer-link"><a href="{SCHEME}{ANSWERS}#{place}"></a></p>')
    link.a.string = " ".join(title.get_text(" ", strip=True).split())
    for tagged in [answer, *answer.find_all(id=True)]:
        if old := tagged.get("id"):
            tagged["id"] = place if tagged is answer else f"{prefix}-{old}"
            moved[f"{SCHEME}{page.name}#{old}"] = f"{SCHEME}{ANSWERS}#{tagged['id']}"
    answer["id"] = place
    answer.replace_with(link)
    section.append(answer)


def _plain_question(question: Tag, number: int) -> Tag:
    """Give a question of a quiz the form of a list of choices; gives its answers, which stand in its place."""
    question.name = "div"
    question.legend.name = "p"
    question.find("p")["class"] = ["quiz-text"]
    choices = element('<ol class="quiz-choices" type="a"></ol>')
    for choice in question.select(".quiz-choice"):
        item = element("<li></li>")
        item.extend(choice.label.contents[:])
        choices.append(item)
        choice.decompose()
    answers = question.select_one(".quiz-answers")
    answers.insert_before(choices)
    answers.name = "div"
    answers.summary.name = "p"
    answers.p["class"] = ["quiz-title"]
    for item, letter in zip(answers.select("li"), "abcdefgh"):
        item.insert(0, f"{letter}. ")
    return answers
