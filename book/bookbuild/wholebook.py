"""The whole book as one file: PDF and EPUB, made from the built pages, and the links to both on the first page."""

from __future__ import annotations

import re
from pathlib import Path

from .browser import find_browser
from .edition import MEDIA, read_edition
from .epub import write_epub
from .formulas import can_set, formula_elements, formula_of, set_formulas
from .layout import BUILD, HTML, BuildError
from .pdf import write_pdf

PDF, EPUB = "style-mixing.pdf", "style-mixing.epub"
FOLDER = BUILD / "print"  # what both are made from; the PDF stays there, so that it is printed only when it changes
_PLACE = re.compile(r'(<p class="book-files">).*?(</p>)', re.DOTALL)


def build_files(html: Path = HTML, folder: Path = FOLDER) -> None:
    """Write EPUB and PDF of the built pages beside them, and link them from the first page.

    Where Node.js or MathJax is missing neither is made, and where Chromium is missing there is no PDF; a line says so.

    Raises:
        BuildError: the book was not built, or a tool failed.
    """
    if not (html / "intro.html").is_file():
        raise BuildError("the book has not been built: run `python book/build.py html` first")
    links = []
    if not can_set():
        print("Node.js or its MathJax is not there: the book has no PDF and no EPUB, because nothing can set formulas")
    else:
        edition = read_edition(folder, html=html)
        found = {
            formula
            for page in edition.pages()
            for place in formula_elements(page.body)
            if (formula := formula_of(place)) is not None
        }
        formulas = set_formulas(found)
        browser = find_browser()
        if browser is None:
            print("Chromium is not installed: the book has no PDF")
        else:
            pages = write_pdf(edition, formulas, folder, folder / PDF, browser)
            (html / PDF).write_bytes((folder / PDF).read_bytes())
            links.append(_link(html / PDF, f"PDF, {pages} pages"))
        write_epub(edition, formulas, folder, html / EPUB)
        links.append(_link(html / EPUB, "EPUB"))
        used = {picture["src"] for page in edition.pages() for picture in page.body.find_all("img")}
        for path in (folder / MEDIA).iterdir():  # pictures of earlier builds
            if f"{MEDIA}/{path.name}" not in used:
                path.unlink()
    announce(html / "intro.html", links)


def announce(page: Path, links: list[str]) -> None:
    """Write the links to the files into their place on the first page; nothing stands there where there is none.

    Raises:
        BuildError: the page has no such place.
    """
    said = f"The whole book as one file, to read offline or to print: {', '.join(links)}." if links else ""
    text, places = _PLACE.subn(lambda found: found[1] + said + found[2], page.read_text(encoding="utf-8"))
    if places != 1:
        raise BuildError(f'{page.name} needs one <p class="book-files"></p>, which holds the links to the files')
    page.write_text(text, encoding="utf-8")


def _link(path: Path, name: str) -> str:
    return f'<a href="{path.name}">{name}</a> ({path.stat().st_size / 1e6:.0f} MB)'
