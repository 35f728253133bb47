"""Check the built pages: alternative text, captions, links, no other host, no path of this machine. And the files."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml
from bs4 import BeautifulSoup

from .filecheck import epub_faults, pdf_faults
from .layout import BOOK, HTML, ROOT, BuildError
from .wholebook import EPUB, PDF

_FILE_NAME = re.compile(r"\S+\.(png|jpe?g|svg|gif|webp)$", re.IGNORECASE)
# What a page loads by itself, as opposed to what a reader may click.
_LOADED = (("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src"))


def pages_of(html: Path = HTML) -> list[Path]:
    """All pages of the built book."""
    return sorted(p for p in html.rglob("*.html") if "_static" not in p.parts)


def expected_pages() -> list[str]:
    """Names of the pages in the table of contents, relative to the built book, without suffix."""
    toc = yaml.safe_load((BOOK / "_toc.yml").read_text())
    chapters = [chapter for part in toc["parts"] for chapter in part["chapters"]]
    sections = [section for chapter in chapters for section in chapter.get("sections", [])]
    return [toc["root"], *(page["file"] for page in chapters + sections)]


def check(html: Path = HTML) -> None:
    """Check every page of the built book, and its PDF and EPUB where they were made.

    Raises:
        BuildError: lists everything that is wrong, one line each.
    """
    if not (html / "index.html").is_file():
        raise BuildError("the book has not been built: run `make book`")
    found = [f"{name}: page is missing" for name in expected_pages() if not (html / f"{name}.html").is_file()]
    self_contained = (html / "vendor").is_dir()
    if not self_contained:
        print("built without npm: pages load MathJax and widgets from the network, hosts are not checked")
    soups = {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in pages_of(html)}
    anchors = {path: _anchors(soup) for path, soup in soups.items()}
    for path, soup in soups.items():
        wrong = _pictures(soup) + _links(path, soup, anchors, html)
        if self_contained:
            wrong += _other_hosts(soup)
        if str(ROOT) in path.read_text(encoding="utf-8"):
            wrong.append("names a folder of this machine")
        found += [f"{path.relative_to(html)}: {line}" for line in wrong]
    titles = [soups[path].h1 for name in expected_pages() if (path := html / f"{name}.html") in soups]
    if (pdf := html / PDF).is_file():
        found += [f"{PDF}: {line}" for line in pdf_faults(pdf, [title.find(string=True) for title in titles])]
    if (epub := html / EPUB).is_file():
        found += [f"{EPUB}: {line}" for line in epub_faults(epub)]
    if found:
        raise BuildError("the built book has faults:\n  " + "\n  ".join(found))
    print(f"{len(soups)} pages checked")


def _pictures(soup: BeautifulSoup) -> list[str]:
    """Pictures without real alternative text, and pictures of a notebook or figure without a caption."""
    found = []
    for image in soup.find_all("img"):
        name = image.get("src", "")[:80]
        alt = (image.get("alt") or "").strip()
        if not alt or _FILE_NAME.fullmatch(alt):
            found.append(f"picture {name} has no alternative text (alt={alt!r})")
        if image.find_parent(class_="cell_output") or image.find_parent("figure"):
            figure = image.find_parent("figure")
            caption = figure.find("figcaption") if figure else None
            if caption is None or not caption.get_text(strip=True):
                found.append(f"picture {name} has no caption")
    return found


def _other_hosts(soup: BeautifulSoup) -> list[str]:
    """Scripts, styles, pictures and frames that a page would take from another host."""
    found = []
    for tag, attribute in _LOADED:
        for element in soup.find_all(tag):
            if tag == "link" and not {"stylesheet", "preload", "icon"} & set(element.get("rel", [])):
                continue
            address = urlsplit(element.get(attribute) or "")
            if address.netloc:
                found.append(f"<{tag}> loads from another host: {address.geturl()}")
    return found


def _anchors(soup: BeautifulSoup) -> set[str]:
    """Names that a link can point at."""
    return {element["id"] for element in soup.find_all(id=True)} | {
        a["name"] for a in soup.find_all("a", attrs={"name": True})
    }


def _links(path: Path, soup: BeautifulSoup, anchors: dict[Path, set[str]], html: Path) -> list[str]:
    """Links inside the book that lead nowhere."""
    found = []
    for link in soup.find_all("a", href=True):
        address = urlsplit(link["href"])
        if address.scheme or address.netloc:
            continue
        target = (path.parent / unquote(address.path)).resolve() if address.path else path
        if target.is_dir():
            target /= "index.html"
        if not target.is_file() or not target.is_relative_to(html.resolve()):
            found.append(f"link {link['href']} leads nowhere")
        elif address.fragment and target in anchors and unquote(address.fragment) not in anchors[target]:
            found.append(f"link {link['href']}: the page has no such place")
    return found
