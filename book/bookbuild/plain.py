"""Turn MyST Markdown into plain Markdown, which Jupyter and Colab show as it is meant."""

from __future__ import annotations

import re

from markdown_it.token import Token

from .layout import BuildError
from .myst import Directive, as_directive, parser
from .references import References

ADMONITIONS = {
    name: name.capitalize() for name in ("attention", "caution", "hint", "important", "note", "tip", "warning")
}
ADMONITIONS["seealso"] = "See also"
# Syntax of MyST that plain Markdown has not; no chapter uses it, and a chapter that begins to is told so.
UNSUPPORTED = {
    "dl_open": "a definition list",
    "footnote_ref": "a footnote",
    "image": "a picture",
    "span_open": "a span with attributes",
    "substitution_block": "a substitution",
    "substitution_inline": "a substitution",
}
_TITLED = re.compile(r"(?P<text>.+?)\s*<(?P<label>[^<>]+)>", re.DOTALL)
Edit = tuple[int, int, str]  # from, to, what stands there instead


def plain_markdown(text: str, references: References, page: str, *, joined: bool = False, solved: bool = False) -> str:
    """The text without any directive, role, label or relative link.

    Args:
        text: MyST Markdown of a chapter, without the marks of solutions.
        references: what the chapters refer to.
        page: page of the book that the text is from, such as "_executed/01_tour".
        joined: whether every paragraph becomes one line.
        solved: whether the solutions of the exercises follow, so that nothing need say where they are.

    Raises:
        BuildError: a directive, role or other syntax that has no rule here, or a reference to what is not there.
    """
    lines = text.splitlines()
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    edits: list[Edit] = []
    columns = [0] * len(lines)  # where the text of a line begins that belongs to no paragraph yet
    for token in parser().parse(text):
        block = None
        _refuse_unsupported([token, *(token.children or [])])
        if directive := as_directive(token):
            block = _directive(directive, references, page, solved)
        elif token.type == "math_block_label":
            block = _equation(token.content, token.info, references)
        elif token.type in ("myst_target", "myst_line_comment", "myst_block_break"):
            block = ""
        elif token.type == "inline":
            found = _inline(token, references, page)
            if joined:
                found += _line_breaks(token.content, found)
            places = text_places(token, lines, starts, columns)
            if found and not places:
                raise BuildError(f"cannot find this text again to change it: {token.content!r}")
            edits += [(places[start], places[end], new) for start, end, new in found]
        if block is not None:
            edits.append((starts[token.map[0]], starts[token.map[1]] - 1, block))
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text.strip("\n")


def _refuse_unsupported(tokens: list[Token]) -> None:
    for token in tokens:
        if token.type in UNSUPPORTED:
            raise BuildError(f"{UNSUPPORTED[token.type]} has no plain Markdown yet: see bookbuild/plain.py")


def _directive(directive: Directive, references: References, page: str, solved: bool) -> str:
    """A directive as plain Markdown."""
    if directive.level:
        raise BuildError(f"{{{directive.name}}} stands inside a list or quotation, which has no plain Markdown yet")
    if directive.name == "math":
        return _equation(directive.body, directive.options.get("label"), references)
    if directive.name == "raw":  # a live part of the page, which needs the book's own files beside it
        return f"*This part is live in [the book's page]({references.page_address(f'../{page}.html')}).*"
    if directive.name == "exercise":
        body = plain_markdown(directive.body, references, page)
        target = references.target(directive.options["label"])
        title = f"### {target.words.capitalize()}" + (f": {directive.argument}" if directive.argument else "")
        if solved:
            return f"{title}\n\n{body}"
        hint = (
            f"*The solution is folded in [the book's page]({references.address(target)}): open it when you have yours.*"
        )
        return f"{title}\n\n{body}\n\n{hint}"
    # Each line of a quotation begins with `>`, which must not come to stand inside a formula.
    body = plain_markdown(directive.body, references, page, joined=True)
    if directive.name == "admonition":
        title = plain_markdown(directive.argument, references, page)
    elif directive.name in ADMONITIONS:
        title, body = ADMONITIONS[directive.name], "\n\n".join(filter(None, [directive.argument, body]))
    else:
        raise BuildError(f"the directive {{{directive.name}}} has no plain Markdown yet: see bookbuild/plain.py")
    return "\n".join(f"> {line}".rstrip() for line in f"**{title}**\n\n{body}".splitlines())


def _equation(tex: str, label: str | None, references: References) -> str:
    r"""A displayed equation on one line, since a line break inside a quotation would put its `>` into the formula.

    As Sphinx does, an equation of several rows is set in `split`.
    """
    tex = " ".join(line.strip() for line in tex.strip().splitlines())
    if r"\\" in tex and r"\begin" not in tex:
        tex = rf"\begin{{split}} {tex} \end{{split}}"
    tag = rf" \tag{{{references.target(label).number}}}" if label else ""
    return f"$$ {tex}{tag} $$"


def _inline(token: Token, references: References, page: str) -> list[Edit]:
    """What changes in a paragraph, by the places in its text."""
    found = []
    for child in token.children:
        if child.type == "myst_role":
            found.append((*child.meta["span"], _role(child.meta["name"], child.content, references, page)))
        elif child.type == "link_open" and "target" in child.meta:
            href = child.attrs["href"]
            if (new := references.page_address(href)) != href:
                found.append((*child.meta["target"], f"]({new})"))
    return found


def _role(name: str, content: str, references: References, page: str) -> str:
    """A role as plain Markdown: citations as authors and year, references as words, both with a link."""
    if name in ("cite", "cite:p", "cite:t"):
        cited = [references.citation(key.strip()) for key in content.split(",")]
        if name == "cite:t":
            return ", ".join(f"[{authors} ({year})]({link})" for authors, year, link in cited)
        return f"({'; '.join(f'[{authors}, {year}]({link})' for authors, year, link in cited)})"
    if name == "math":
        return f"${content}$"
    if name not in ("eq", "ref", "numref"):
        raise BuildError(f"the role {{{name}}} has no plain Markdown yet: see bookbuild/plain.py")
    titled = _TITLED.fullmatch(content)
    target = references.target(titled["label"] if titled else content)
    words = titled["text"] if titled else f"({target.number})" if name == "eq" else target.words
    # Beside the chapter itself, the book's page would only lead away.
    return words if target.page == page else f"[{words}]({references.address(target)})"


def _line_breaks(content: str, edits: list[Edit]) -> list[Edit]:
    """Spaces for the line breaks of a paragraph, but for those inside other edits."""
    inside = {place for start, end, _ in edits for place in range(start, end)}
    return [(place, place + 1, " ") for place, letter in enumerate(content) if letter == "\n" and place not in inside]


def text_places(token: Token, lines: list[str], starts: list[int], columns: list[int]) -> list[int]:
    """Place in the whole text of every character of a paragraph, whose own text lacks indents and quotation marks.

    `columns` says for each line where to look for the next text, so that equal cells of a table are told apart; what is
    found moves it on. Empty where the text stands otherwise in its line, such as with an escaped bar in a table.
    """
    places: list[int] = []
    for number, row in enumerate(token.content.split("\n"), start=token.map[0]):
        column = lines[number].find(row, columns[number])
        if column < 0:
            return []
        columns[number] = column + len(row)
        places += range(starts[number] + column, starts[number] + column + len(row) + 1)
    return places
