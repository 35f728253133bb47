"""Check the files of the whole book: what EPUB 3 asks of the container, links, pictures, and the PDF's outline."""

from __future__ import annotations

import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from posixpath import dirname, join, normpath
from urllib.parse import unquote, urlsplit

from pypdf import PdfReader

_OPF = "{http://www.idpf.org/2007/opf}"
_XHTML = "{http://www.w3.org/1999/xhtml}"
_MATH = "{http://www.w3.org/1998/Math/MathML}math"
_CONTAINER = "META-INF/container.xml"
TYPE = b"application/epub+zip"


def epub_faults(path: Path) -> list[str]:
    """What is wrong with an EPUB, one line each."""
    try:
        with zipfile.ZipFile(path) as book:
            if broken := book.testzip():
                return [f"{broken} is broken"]
            return list(_epub_faults(book))
    except (zipfile.BadZipFile, ET.ParseError, KeyError) as error:
        return [f"cannot be read: {error}"]


def _epub_faults(book: zipfile.ZipFile) -> Iterator[str]:
    first = book.infolist()[0]
    if first.filename != "mimetype" or first.compress_type != zipfile.ZIP_STORED or book.read(first) != TYPE:
        yield "must begin with the entry mimetype, stored without compression"
    container = ET.fromstring(book.read(_CONTAINER))
    package = next(item.attrib["full-path"] for item in container.iter() if item.tag.endswith("rootfile"))
    root = ET.fromstring(book.read(package))
    items = {item.attrib["id"]: item.attrib for item in root.iter(f"{_OPF}item")}
    files = {normpath(join(dirname(package), unquote(item["href"]))): item for item in items.values()}
    there = set(book.namelist()) - {"mimetype", _CONTAINER, package}
    yield from (f"{name} is not in the manifest" for name in sorted(there - set(files)))
    yield from (f"{name} is in the manifest and not in the file" for name in sorted(set(files) - there))
    spine = [item.attrib["idref"] for item in root.iter(f"{_OPF}itemref")]
    yield from (f"the spine names {name}, which the manifest lacks" for name in spine if name not in items)
    if sum("nav" in item.get("properties", "").split() for item in items.values()) != 1:
        yield "needs exactly one table of contents (properties='nav')"
    texts = {
        name: ET.fromstring(book.read(name))
        for name, item in files.items()
        if item["media-type"] == "application/xhtml+xml" and name in there
    }
    ids = {name: [e.attrib["id"] for e in text.iter() if "id" in e.attrib] for name, text in texts.items()}
    for name, text in texts.items():
        yield from (f"{name}: {fault}" for fault in _text_faults(name, text, files, ids))


def _text_faults(
    name: str, text: ET.Element, files: dict[str, dict[str, str]], ids: dict[str, list[str]]
) -> Iterator[str]:
    """What is wrong on one page: links, pictures, repeated names, formulas that the manifest does not announce."""
    if len(set(ids[name])) < len(ids[name]):
        yield f"repeats the ids {sorted({i for i in ids[name] if ids[name].count(i) > 1})}"
    for link in text.iter(f"{_XHTML}a"):
        address = urlsplit(link.attrib.get("href", ""))
        if address.scheme or address.netloc:
            continue
        target = normpath(join(dirname(name), unquote(address.path))) if address.path else name
        if target not in files:
            yield f"link {address.geturl()} leads nowhere"
        elif address.fragment and unquote(address.fragment) not in ids[target]:
            yield f"link {address.geturl()}: the page has no such place"
    for picture in text.iter(f"{_XHTML}img"):
        source = picture.attrib.get("src", "")
        if normpath(join(dirname(name), unquote(source))) not in files:
            yield f"picture {source[:80]} is not in the file"
        if not picture.attrib.get("alt", "").strip():
            yield f"picture {source[:80]} has no alternative text"
    if (text.find(f".//{_MATH}") is not None) != ("mathml" in files[name].get("properties", "").split()):
        yield "formulas and the manifest's properties='mathml' do not agree"


def pdf_faults(path: Path, titles: Collection[str]) -> list[str]:
    """What is wrong with the PDF of the book, one line each.

    Args:
        path: of the file.
        titles: of the pages that its outline must have.
    """
    reader = PdfReader(path)
    entries = list(_outline(reader, reader.outline))
    known = {"".join(title.split()) for title, _ in entries}  # Chromium drops spaces where a title breaks into lines
    found = [f"the outline lacks {title!r}" for title in titles if "".join(title.split()) not in known]
    places = [place for _, place in entries]
    if places != sorted(places):
        found.append("the outline is not in the order of the pages")
    sizes = {(round(page.mediabox.width), round(page.mediabox.height)) for page in reader.pages}
    if sizes != {(595, 842)}:
        found.append(f"pages are not all A4 (595 x 842 points), but {sorted(sizes)}")
    return found


def _outline(reader: PdfReader, entries: list) -> Iterator[tuple[str, int]]:
    for entry in entries:
        if isinstance(entry, list):
            yield from _outline(reader, entry)
        else:
            yield entry.title, reader.get_destination_page_number(entry)
