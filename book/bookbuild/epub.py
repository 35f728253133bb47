"""The EPUB of the whole book: one file per page, formulas as MathML, and the lists that EPUB 3 asks for."""

from __future__ import annotations

import copy
import html
import re
import uuid
import zipfile
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from bs4 import Tag

from .edition import SCHEME, Edition, Page
from .formulas import Formula, SetFormula, formula_elements, formula_of
from .layout import BOOK, site_url
from .still import element

STYLE = BOOK / "print" / "epub.css"
CONTENT = "EPUB"  # folder of all that is no description of the container
TYPE = "application/epub+zip"
_IMAGE_TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".svg": "image/svg+xml"}
_CONTAINER = f"""<?xml version="1.0" encoding="UTF-8"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles><rootfile full-path="{CONTENT}/package.opf" media-type="application/oebps-package+xml"/></rootfiles>
</container>
"""
_PAGE = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops" lang="en" xml:lang="en">
<head><title>{title}</title><link rel="stylesheet" type="text/css" href="style.css"/></head>
<body>
{body}
</body>
</html>
"""
_PACKAGE = """<?xml version="1.0" encoding="UTF-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="identity" xml:lang="en">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:identifier id="identity">urn:uuid:{identity}</dc:identifier>
<dc:title>{title}</dc:title>
<dc:creator>{author}</dc:creator>
<dc:language>en</dc:language>
<dc:source>{source}</dc:source>
<meta property="dcterms:modified">{modified}</meta>
<meta property="schema:accessMode">textual</meta>
<meta property="schema:accessMode">visual</meta>
<meta property="schema:accessModeSufficient">textual</meta>
<meta property="schema:accessibilityFeature">alternativeText</meta>
<meta property="schema:accessibilityFeature">MathML</meta>
<meta property="schema:accessibilityFeature">structuralNavigation</meta>
<meta property="schema:accessibilityFeature">tableOfContents</meta>
<meta property="schema:accessibilityHazard">none</meta>
<meta property="schema:accessibilitySummary">Every picture has a description, and formulas are MathML.</meta>
</metadata>
<manifest>
{manifest}
</manifest>
<spine>
{spine}
</spine>
</package>
"""


def write_epub(edition: Edition, formulas: Mapping[Formula, SetFormula], folder: Path, path: Path) -> None:
    """Write the EPUB.

    Args:
        edition: the whole book.
        formulas: every formula of it.
        folder: where its pictures are (`edition.read_edition`).
        path: of the file.
    """
    manifest = [
        '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>',
        '<item id="style" href="style.css" media-type="text/css"/>',
    ]
    spine, texts, pictures = [], {}, {}
    for page in edition.pages():
        body = _body(page, formulas)
        file = file_name(page.name)
        texts[file] = _PAGE.format(title=html.escape(page.title), body=body)
        properties = ' properties="mathml"' if body.find("math") else ""
        item = file.removesuffix(".xhtml")
        manifest.append(f'<item id="{item}" href="{file}" media-type="application/xhtml+xml"{properties}/>')
        spine.append(f'<itemref idref="{item}"/>')
        pictures |= dict.fromkeys(picture["src"] for picture in body.find_all("img"))
    for number, picture in enumerate(pictures):
        cover = "" if number else ' properties="cover-image"'  # the first picture of the book
        kind = _IMAGE_TYPES[Path(picture).suffix]
        manifest.append(f'<item id="picture-{number}" href="{picture}" media-type="{kind}"{cover}/>')
    texts["nav.xhtml"] = _PAGE.format(title="Contents", body=_navigation(edition))
    # The same book has the same identity in every build, so that a reader's program replaces the old copy.
    texts["package.opf"] = _PACKAGE.format(
        identity=uuid.uuid5(uuid.NAMESPACE_URL, site_url()),
        title=html.escape(edition.title),
        author=html.escape(edition.author),
        source=site_url(),
        modified=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        manifest="\n".join(manifest),
        spine="\n".join(spine),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("mimetype", TYPE, zipfile.ZIP_STORED)  # first and as it is: programs know the file by it
        book.writestr("META-INF/container.xml", _CONTAINER)
        for name, text in texts.items():
            book.writestr(f"{CONTENT}/{name}", text)
        book.write(STYLE, f"{CONTENT}/style.css")
        for picture in pictures:
            book.write(folder / picture, f"{CONTENT}/{picture}")


def file_name(page: str) -> str:
    """The file of a page, such as "executed-01_tour.xhtml"."""
    return "page-" + re.sub(r"[^\w-]+", "-", page).strip("_") + ".xhtml"


def _body(page: Page, formulas: Mapping[Formula, SetFormula]) -> Tag:
    """A page as XHTML: links to files, formulas as MathML."""
    body = copy.copy(page.body)
    for link in body.find_all("a", href=True):
        if link["href"].startswith(SCHEME):
            name, separator, fragment = link["href"].removeprefix(SCHEME).partition("#")
            link["href"] = file_name(name) + separator + fragment
    for entry in body.find_all(role="doc-biblioentry"):  # EPUB has dropped the role
        del entry["role"]
    for place in formula_elements(body):
        formula = formula_of(place)
        if formula is not None:
            for text in place.find_all(string=True, recursive=False):
                text.extract()
            mathml = element(formulas[formula].mathml)
            mathml["alttext"] = formula.tex
            place.append(mathml)
    return body


def _navigation(edition: Edition) -> str:
    """The table of contents, which readers' programs show beside the pages."""
    lines = ['<nav epub:type="toc" id="toc" role="doc-toc"><h1>Contents</h1>', "<ol>"]
    for part in edition.parts:
        items = "".join(_item(page) for page in part.pages)
        lines.append(f"<li><span>{html.escape(part.title)}</span><ol>{items}</ol></li>" if part.title else items)
    return "\n".join([*lines, "</ol>", "</nav>"])


def _item(page: Page) -> str:
    below = f"<ol>{''.join(map(_item, page.pages))}</ol>" if page.pages else ""
    return f'<li><a href="{file_name(page.name)}">{html.escape(page.title)}</a>{below}</li>'
