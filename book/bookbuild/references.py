"""What the chapters refer to: labels, pages of the book, entries of the bibliography."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from urllib.parse import urlsplit

from nbformat import NotebookNode
from pybtex.database import Entry, parse_file
from pybtex.richtext import Text

from .check import expected_pages
from .layout import BOOK, EXECUTED, BuildError, site_url
from .myst import directives, labelled_equations


@dataclass(frozen=True)
class Target:
    """What a label names.

    Attributes:
        words: how a sentence names it, such as "exercise 3".
        number: its number in the book; None for figures, which are numbered when the pages are built.
        page: page of the book that holds it, such as "_executed/01_tour".
        anchor: its place on that page.
    """

    words: str
    number: int | None
    page: str
    anchor: str


@dataclass(frozen=True)
class References:
    """Everything that a chapter may refer to, {label: ...} and {key of the bibliography: ...}."""

    targets: dict[str, Target]
    entries: dict[str, Entry]
    pages: frozenset[str]

    def target(self, label: str) -> Target:
        """What a label names.

        Raises:
            BuildError: no chapter has this label.
        """
        if label not in self.targets:
            raise BuildError(f"no chapter has the label {label!r}")
        return self.targets[label]

    def address(self, target: Target) -> str:
        """Where the published book shows a target."""
        return f"{site_url()}/{target.page}.html#{target.anchor}"

    def citation(self, key: str) -> tuple[str, str, str]:
        """Authors, year and link of an entry, such as ("Karras et al.", "2019", "https://arxiv.org/abs/1812.04948").

        An entry without an address of its own links to the bibliography of the book.

        Raises:
            BuildError: the bibliography has no such entry.
        """
        if key not in self.entries:
            raise BuildError(f"references.bib has no entry {key!r}")
        entry = self.entries[key]
        names = [str(Text(*(part + " " for part in person.rich_prelast_names), *person.rich_last_names))
                 for person in entry.persons["author"]]  # fmt: skip
        authors = " and ".join(names) if len(names) < 3 else f"{names[0]} et al."
        note = entry.fields.get("note", "")
        if "doi" in entry.fields:
            link = f"https://doi.org/{entry.fields['doi']}"
        elif note.startswith("arXiv:"):
            link = f"https://arxiv.org/abs/{note.removeprefix('arXiv:')}"
        else:
            link = entry.fields.get("url", f"{site_url()}/bibliography.html")
        return authors, entry.fields["year"], link

    def page_address(self, link: str) -> str:
        """Where on the published pages a link in a chapter's source leads.

        The link names a page or a label. One to another site is given back.

        Raises:
            BuildError: the book has no such page, and no chapter this label.
        """
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            return link
        if link in self.targets:
            return self.address(self.targets[link])
        path = posixpath.normpath(posixpath.join(EXECUTED.name, parts.path))
        page = posixpath.splitext(path)[0]
        if not parts.path or page not in self.pages:
            raise BuildError(f"a chapter links to {link!r}, and the book has no such page or label")
        return f"{site_url()}/{page}.html" + (f"#{parts.fragment}" if parts.fragment else "")


def read_references(chapters: dict[str, NotebookNode]) -> References:
    """Labels of the chapters, {name: source} in reading order, and the bibliography.

    Equations and exercises are numbered through the whole book, as Sphinx does it.

    Raises:
        BuildError: two targets have one label.
    """
    found: list[tuple[str, Target]] = []
    equations = exercises = 0
    for name, notebook in chapters.items():
        page = f"{EXECUTED.name}/{name}"
        for cell in notebook.cells:
            if cell.cell_type == "code" and "name" in (figure := cell.metadata.get("mystnb", {}).get("figure", {})):
                found.append((figure["name"], Target("the figure", None, page, figure["name"])))
            if cell.cell_type != "markdown":
                continue
            for label in labelled_equations(cell.source):
                equations += 1
                found.append((label, Target(f"equation ({equations})", equations, page, f"equation-{label}")))
            for directive in directives(cell.source):
                if directive.name == "exercise":
                    exercises += 1
                    label = directive.options["label"]
                    found.append((label, Target(f"exercise {exercises}", exercises, page, label)))
    targets = dict(found)
    if len(targets) != len(found):
        twice = sorted({label for label, _ in found if sum(label == other for other, _ in found) > 1})
        raise BuildError(f"labels that stand twice in the chapters: {', '.join(twice)}")
    return References(
        targets,
        dict(parse_file(str(BOOK / "references.bib"), bib_format="bibtex").entries),
        frozenset(expected_pages()),
    )
