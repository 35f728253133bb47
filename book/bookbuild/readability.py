"""Measure how easy the prose of a page is to read: `python -m bookbuild.readability [FILE ...]`, from `book/`.

Three numbers per page: the share of sentences of six words or fewer (many of them make clipped prose), the mean number
of words per sentence, and Flesch's reading ease (Flesch 1948), which falls with long sentences and long words. They
say nothing about whether a text is right or clear, so use them to compare two versions of one page.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it.token import Token

from .layout import BOOK, ROOT, notebook_sources
from .myst import as_directive, parser
from .notebooks import read_source
from .plain import ADMONITIONS

SHORT = 6  # words of a short sentence, at most
PROSE_DIRECTIVES = {*ADMONITIONS, "admonition", "exercise"}  # their bodies are prose; of other directives nothing is
_STAND_IN = "X"  # for these inside a sentence: formulas, code and references (tokens and roles)
_NAMES = {"math_inline", "code_inline", "math", "eq", "ref", "numref"}

_WORD = re.compile(r"[^\W_]+(?:['’.,-][^\W_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|vs|cf|Fig|Eq|al)\.$")
_VOWELS = re.compile(r"[aeiouy]+")
# Endings in which the letter e is not spoken: "make", "makes", "mixed", but neither "table" nor "painted".
_SILENT = re.compile(r"(?:[^aeiouyl]e|[aeiouy]le|[^aeioudty]ed|[^aeioucghsxyz]es)$")


@dataclass(frozen=True)
class Readability:
    """Counts over the sentences of a text, and what follows from them.

    Attributes:
        sentences, words, syllables: how many there are.
        short: sentences of six words or fewer.
    """

    sentences: int
    words: int
    syllables: int
    short: int

    @property
    def short_share(self) -> float:
        """Share of short sentences, 0 to 1."""
        return self.short / self.sentences

    @property
    def words_per_sentence(self) -> float:
        """Mean number of words of a sentence."""
        return self.words / self.sentences

    @property
    def reading_ease(self) -> float:
        """Flesch's reading ease: about 60 to 70 is plain English, and a higher value is easier."""
        return 206.835 - 1.015 * self.words_per_sentence - 84.6 * self.syllables / self.words


def readability(text: str) -> Readability:
    """Measure the prose of MyST Markdown.

    Raises:
        ValueError: the text holds no sentence.
    """
    counts = [[syllables(word) for word in _WORD.findall(sentence)] for sentence in sentences(text)]
    if not counts:
        raise ValueError("readability needs a text with at least one sentence of prose, got none")
    return Readability(
        sentences=len(counts),
        words=sum(map(len, counts)),
        syllables=sum(map(sum, counts)),
        short=sum(len(words) <= SHORT for words in counts),
    )


def sentences(text: str) -> Iterator[str]:
    """The sentences of MyST Markdown, without headings, tables, displayed formulas, code and directives.

    A list item or a paragraph ends its last sentence. Inside a sentence a formula or a piece of code counts as one word
    of one syllable, since a reader passes over it as over a name.
    """
    for paragraph in _paragraphs(text):
        sentence = ""
        for part in _SENTENCE_END.split(paragraph):
            sentence = f"{sentence} {part}".strip()
            if not _ABBREVIATION.search(sentence):
                if _WORD.search(sentence):
                    yield sentence
                sentence = ""
        if _WORD.search(sentence):
            yield sentence


def _paragraphs(text: str) -> Iterator[str]:
    """Paragraphs and list items as plain words."""
    tokens = parser().parse(text)
    for before, token in zip([None, *tokens], tokens):
        directive = as_directive(token)
        if directive and directive.name in PROSE_DIRECTIVES:
            yield from _paragraphs(directive.body)
        elif token.type == "inline" and before is not None and before.type == "paragraph_open" and not _titles(token):
            yield _words(token)


def _titles(token: Token) -> bool:
    """Whether a paragraph is in bold wholly, such as "**Objectives**", and so titles what follows."""
    children = [child for child in token.children or [] if child.type != "text" or child.content.strip()]
    ends = [child.type for child in children if child.type in ("strong_open", "strong_close")]
    return ends == ["strong_open", "strong_close"] and (children[0].type, children[-1].type) == (ends[0], ends[1])


def _words(token: Token) -> str:
    """What a reader reads of a paragraph."""
    read = ""
    for child in token.children or []:
        if child.type in ("text", "text_special"):
            read += child.content
        elif child.type in ("softbreak", "hardbreak"):
            read += " "
        elif child.type in _NAMES or (child.type == "myst_role" and child.meta["name"] in _NAMES):
            read += _STAND_IN
    return read


def syllables(word: str) -> int:
    """Estimate the syllables of an English word by its groups of vowels; each part of it has at least one."""
    return sum(_syllables_of_part(part) for part in re.split(r"[-.,]", word.lower()))


def _syllables_of_part(part: str) -> int:
    return max(1, len(_VOWELS.findall(part)) - bool(_SILENT.search(part)))


def text_of(path: Path) -> str:
    """Markdown of a page: a file of Markdown, or the Markdown cells and captions of a chapter's source."""
    if path.suffix != ".py":
        return path.read_text(encoding="utf-8")
    parts = []
    for cell in read_source(path).cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        elif caption := cell.metadata.get("mystnb", {}).get("figure", {}).get("caption"):
            parts.append(caption)
    return "\n\n".join(parts)


def main(arguments: list[str] | None = None) -> None:
    """Print one row per page, as a Markdown table."""
    options = argparse.ArgumentParser(prog="python -m bookbuild.readability", description=__doc__.splitlines()[0])
    options.add_argument("files", nargs="*", type=Path, help="pages or sources of chapters (default: all)")
    files = options.parse_args(arguments).files
    files = files or [ROOT / "README.md", *sorted(BOOK.glob("*.md")), *notebook_sources()]
    print(f"| page | sentences | of {SHORT} words or fewer | words per sentence | Flesch reading ease |")
    print("|---|---|---|---|---|")
    for file in files:
        found = readability(text_of(file))
        print(
            f"| {file.name} | {found.sentences} | {found.short_share:.1%} | {found.words_per_sentence:.1f} "
            f"| {found.reading_ease:.1f} |"
        )


if __name__ == "__main__":
    main()
