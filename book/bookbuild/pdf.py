"""The PDF of the whole book: all pages joined into one document, which Chromium prints."""

from __future__ import annotations

import copy
import hashlib
import html
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import matplotlib
from bs4 import Tag
from pypdf import PdfReader

from stylemixseg import __version__

from .edition import SCHEME, Edition, Page
from .formulas import Formula, SetFormula, formula_elements, formula_of
from .layout import BOOK, BuildError, site_url
from .still import element

STYLE, FIT = (BOOK / "print" / name for name in ("pdf.css", "fit.js"))
PRINT_SECONDS = 900  # a book of some hundred pages takes far less on an idle machine
_FLAGS = (
    "--headless",
    "--no-sandbox",  # in a container Chromium has no sandbox; it sees our files only
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # nothing comes from another host
    "--allow-file-access-from-files",  # fonts
    "--no-pdf-header-footer",
    "--generate-pdf-document-outline",
)
# Fonts that Matplotlib brings, so that the book looks alike on every machine: serifs for text, as in the formulas.
_FONTS = {
    "Book Text": ("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    "Book Sans": ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    "Book Code": ("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
}
_DOCUMENT = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title><style>
{style}
</style></head>
<body>
{body}
<script>
{script}
</script>
</body>
</html>
"""
_FACES = ("", "font-weight: bold;", "font-style: italic;", "font-weight: bold; font-style: italic;")


def write_pdf(edition: Edition, formulas: Mapping[Formula, SetFormula], folder: Path, path: Path, browser: str) -> int:
    """Write the PDF, unless it is there and nothing in the book has changed; gives its number of pages.

    The book is printed twice: the first time says on which pages the chapters are, which the table of contents then
    names.

    Args:
        edition: the whole book.
        formulas: every formula of it.
        folder: where its pictures are (`edition.read_edition`); the joined document is written there, too.
        path: of the PDF.
        browser: path of Chromium.

    Raises:
        BuildError: Chromium failed.
    """
    stamp = path.with_suffix(".key")
    text = joined(edition, formulas)
    key = hashlib.sha256(text.encode()).hexdigest()  # pictures are named after their content
    if path.is_file() and stamp.is_file() and stamp.read_text() == key:
        return len(PdfReader(path).pages)
    first = PdfReader(_print(text, folder, browser))
    numbers = {
        name.removeprefix("/"): first.get_destination_page_number(place) + 1
        for name, place in first.named_destinations.items()
    }
    numbered = text.replace(_contents(edition, {}), _contents(edition, numbers))
    printed = _print(numbered, folder, browser)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(printed, path)
    stamp.write_text(key)
    return len(PdfReader(path).pages)


def joined(edition: Edition, formulas: Mapping[Formula, SetFormula]) -> str:
    """The whole book as one HTML document, to be printed; its table of contents has no numbers of pages yet."""
    pages, heads = [], []
    for part in edition.parts:
        for index, page in enumerate(part.pages):
            top = 1 if part.title else 0
            for depth, below in [(top, page), *((top + 1, below) for below in page.pages)]:
                body = _placed(below, depth, formulas)
                if part.title and index == 0 and below is page:
                    title = element('<h1 class="part"></h1>')
                    title.string = part.title
                    body.insert(0, title)
                pages.append(str(body))
                # Margins repeat the title of the chapter on each of its pages.
                heads.append(
                    f"@page {_id(below.name)} {{ @top-right {{ content: {_quoted(below.title)};"
                    ' font: italic 9pt "Book Text"; } }'
                    f"\n#{_id(below.name)} {{ page: {_id(below.name)}; break-before: page; }}"
                )
    return _DOCUMENT.format(
        title=html.escape(edition.title),
        style="\n".join([_font_faces(), STYLE.read_text(encoding="utf-8"), *heads]),
        body="\n".join([_cover(edition), _contents(edition, {}), *pages]),
        script=FIT.read_text(encoding="utf-8"),
    )


def _print(text: str, folder: Path, browser: str) -> Path:
    """Print the joined document; gives the PDF, which the next print replaces."""
    document, printed = folder / "book.html", folder / "printed.pdf"
    document.write_text(text, encoding="utf-8")
    printed.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as user:
        command = [browser, *_FLAGS, f"--user-data-dir={user}", f"--print-to-pdf={printed}", document.as_uri()]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=PRINT_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise BuildError(f"Chromium did not print the book in {PRINT_SECONDS} s") from error
    if done.returncode != 0 or not printed.is_file():
        raise BuildError(f"Chromium could not print the book:\n{done.stderr.strip()[-2000:]}")
    return printed


def _placed(page: Page, depth: int, formulas: Mapping[Formula, SetFormula]) -> Tag:
    """A page as a section of the joined document: places are named after their page, headings move down."""
    body = copy.copy(page.body)
    for tagged in body.find_all(id=True):
        tagged["id"] = _id(page.name, tagged["id"])
    body["id"] = _id(page.name)
    for link in body.find_all("a", href=True):
        if link["href"].startswith(SCHEME):
            name, _, fragment = link["href"].removeprefix(SCHEME).partition("#")
            link["href"] = f"#{_id(name, fragment)}"
    for heading in body.find_all(re.compile("^h[1-5]$")):
        level = int(heading.name[1])
        heading["class"] = [f"level-{level}"]  # how it looks; its name says where it stands in the outline
        heading.name = f"h{min(level + depth, 6)}"
    for place in formula_elements(body):
        formula = formula_of(place)
        if formula is not None:
            picture = element(formulas[formula].svg)
            picture["aria-label"] = formula.tex
            for text in place.find_all(string=True, recursive=False):
                text.extract()
            place.append(picture)
    return body


def _id(page: str, place: str = "") -> str:
    """The name of a place in the joined document, which is also fit for a style sheet where `place` is empty."""
    name = "p-" + re.sub(r"\W+", "-", page)
    return f"{name}--{place}" if place else name


def _quoted(text: str) -> str:
    """A string of a style sheet."""
    return '"' + text.replace("\\", r"\\").replace('"', r"\"") + '"'


def _font_faces() -> str:
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return "\n".join(
        f'@font-face {{ font-family: "{family}"; {face} src: url("{(folder / file).as_uri()}.ttf"); }}'
        for family, files in _FONTS.items()
        for file, face in zip(files, _FACES)
    )


def _cover(edition: Edition) -> str:
    picture = next((image for page in edition.pages() for image in page.body.find_all("img")), None)
    shown = f'<img src="{picture["src"]}" alt="{html.escape(picture["alt"])}">' if picture else ""
    lines = [
        f'<p class="title">{html.escape(edition.title)}</p>{shown}',
        f"<p>{html.escape(edition.author)}</p>",
        f'<p>Version {__version__}, <a href="{site_url()}">{site_url()}</a></p>',
    ]
    return f'<div class="cover">{"".join(lines)}</div>'


def _contents(edition: Edition, numbers: Mapping[str, int]) -> str:
    """The table of contents; its lines lead to the chapters.

    Args:
        edition: the whole book.
        numbers: of the pages on which places of the book are; those that lack stay empty.
    """
    lines = ['<nav class="contents"><p class="contents-title">Contents</p>']
    for part in edition.parts:
        if part.title:
            lines.append(f'<p class="part-title">{html.escape(part.title)}</p>')
        lines.append(f"<ol>{''.join(_line(page, numbers) for page in part.pages)}</ol>")
    return "\n".join([*lines, "</nav>"])


def _line(page: Page, numbers: Mapping[str, int]) -> str:
    place = _id(page.name)
    below = f"<ol>{''.join(_line(child, numbers) for child in page.pages)}</ol>" if page.pages else ""
    return (
        f'<li><a href="#{place}"><span>{html.escape(page.title)}</span><span class="dots"></span>'
        f'<span class="number">{numbers.get(place, "")}</span></a>{below}</li>'
    )
