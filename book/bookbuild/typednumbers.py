"""Find numbers in the prose of the book that look like measurements and were typed by hand."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from nbformat import NotebookNode

from .layout import BOOK, notebook_sources
from .notebooks import read_source

# What a measurement looks like: a decimal, a number with a unit that is measured, or a count out of a whole.
_UNIT = r"\s?(?:%|(?:ms|s|seconds?|minutes?|hours?|[kMGT]B|[GT]FLOP|times|(?:percentage )?points(?= of m?IoU))\b)"
_WHOLE = r"\d[\d,]*(?: \d{3})*"
_MEASURED = re.compile(
    rf"(?<![\w.,\-])[+\-\u2212]?(?:(?:{_WHOLE})?\.\d+(?:{_UNIT})?|{_WHOLE}{_UNIT}|\d+ (?:out )?of (?:the )?{_WHOLE})"
    r"(?![.,]?\d)"
)
# What only looks like one, wherever it stands.
_DEFINITIONS = tuple(
    re.compile(pattern)
    for pattern in (
        r"\*\*Run time:\*\*.*?\.",  # the build compares it with the time that the chapter takes
        r"\b[Ss]ections? [1-5]\.\d(?:(?:, | and | to |, and )[1-5]\.\d)*",  # of the paper
        r"\([2-5](?:\.\d)?(?:[,;] [^()]*)?\)",  # such a section in brackets
        r"\| (?:eq\. \d, )?[2-5](?:\.\d)?(?:, [^|]*)? \|$",  # or in the last cell of a row
        r"\b95 % (?:bootstrap|(?:confidence )?intervals?)\b|\bmiddle 95 %",  # how an interval is defined
        r"\b(?:Python|PyTorch|transformers|License) \d+(?:\.\d+)+\b|\b\d+(?:\.\d+){2,}\b",  # versions
    )
)
# Marks of a sentence that quotes: a citation, or the paper, its sections, tables and figures.
_QUOTES = re.compile(r"\{cite\}|\bpaper(?:'s)?\b|\bSection \d|\bTables? \d|\bFigure \d")

# What is no prose: code, options, formulas, the content of roles, addresses.
_FENCE = re.compile(r"\s*(?P<fence>`{3,})(?:\{(?P<directive>[\w-]+)\})?(?P<argument>.*)")
_DIRECTIVES = {"admonition", "exercise", "figure", "note", "tip", "warning"}  # those whose content is prose
_NO_PROSE = (
    (re.compile(r"^:(?!alt:)[\w-]+:.*$", re.M), ""),  # options of directives
    (re.compile(r"\$\$.*?\$\$|\$[^$]+\$", re.S), "FORMULA"),
    (re.compile(r"\{(\w+)\}`[^`]*`"), r"{\1}"),
    (re.compile(r"`[^`]*`"), "CODE"),
    (re.compile(r"\]\([^)]*\)"), "]"),
)
_BLOCK = re.compile(r"\n\s*\n|\n(?=\s*(?:\||[-*] |\d+\. |#))")
_SENTENCE = re.compile(r"(?<=[.!?]) (?=[A-Z*\[(\"])")


@dataclass(frozen=True)
class TypedNumber:
    """A number in prose that looks measured.

    Attributes:
        page: name of the chapter or page, without suffix.
        number: as it is written, with its unit.
        sentence: the sentence, or the row of a table, that holds it.
    """

    page: str
    number: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.page}: {self.number!r} in {self.sentence!r}"


def typed_numbers(page: str, text: str, printed: Collection[str] = ()) -> list[TypedNumber]:
    """Numbers of a Markdown text that look like measurements of ours.

    Code, formulas and addresses do not count, nor does what only looks like a measurement, such as the name of a
    section or "95 % interval".

    Args:
        page: what to call the text.
        text: Markdown.
        printed: numbers that the paper prints, such as "0.80". In a sentence that cites a publication or names the
            paper they are quotations; any other number there is not.
    """
    text = _without_code(text)
    for pattern, word in _NO_PROSE:
        text = pattern.sub(word, text)
    found = []
    for block in _BLOCK.split(text):
        for sentence in _SENTENCE.split(" ".join(block.split())):
            quoted = printed if _QUOTES.search(sentence) else ()
            rest = sentence
            for pattern in _DEFINITIONS:
                rest = pattern.sub(" ", rest)
            numbers = (match.group().strip() for match in _MEASURED.finditer(rest))
            found += [TypedNumber(page, number, sentence) for number in numbers if number not in quoted]
    return found


def _without_code(text: str) -> str:
    """The text without blocks of code, and without the fences of directives."""
    lines, fences, code = [], [], ""  # the open fences of directives, and that of a block of code
    for line in text.splitlines():
        fence = _FENCE.fullmatch(line)
        if code:
            code = "" if line.strip() == code else code
        elif fence is None:
            lines.append(line)
        elif fences and line.strip() == fences[-1]:
            fences.pop()
        elif fence["directive"] in _DIRECTIVES:
            fences.append(fence["fence"])
            lines.append(fence["argument"])
        elif "`" not in fence["argument"]:
            code = fence["fence"]
        else:
            lines.append(line)
    return "\n".join(lines)


def pages() -> Iterator[tuple[str, str]]:
    """(name, prose) of every chapter, and of every page of the book that is written by hand."""
    for source in notebook_sources():
        yield source.stem, "\n\n".join(prose_of(read_source(source)))
    for path in sorted(BOOK.glob("*.md")):
        yield path.stem, path.read_text(encoding="utf-8")


def prose_of(notebook: NotebookNode) -> Iterator[str]:
    """What a notebook says in words: Markdown cells, captions, alternative texts, and the fixed words of sentences that
    code cells display."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield cell.source
            continue
        shown = cell.metadata.get("mystnb", {})
        yield from (shown[part][key] for part, key in (("image", "alt"), ("figure", "caption")) if part in shown)
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Markdown":
                yield from map(_fixed_words, node.args)


def _fixed_words(node: ast.AST) -> str:
    """The strings of an expression; NUMBER stands where an f-string puts a value in."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.FormattedValue):
        return "NUMBER"
    joint = "" if isinstance(node, ast.JoinedStr) else " "
    return joint.join(map(_fixed_words, ast.iter_child_nodes(node)))
