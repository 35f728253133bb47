"""Parse the Markdown of a chapter as the book does: directives, roles and links, and where they stand in the text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import yaml
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.link import link
from markdown_it.token import Token
from mdit_py_plugins.myst_role.index import myst_role
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

from .layout import BOOK

_HEAD = re.compile(r"\{(?P<name>[^}\s]+)\}\s*(?P<argument>.*)")
_OPTION = re.compile(r":(?P<key>[\w-]+):\s*(?P<value>.*)")


@dataclass(frozen=True)
class Directive:
    """A directive such as ```{exercise}.

    Attributes:
        name, argument: of its first line.
        options: its lines such as ":label: ex-one" as {"label": "ex-one"}.
        body: the other lines, joined.
        lines: its first line in the text, counted from 0, and the line after its last.
        level: 0 at the top level of the text; more inside a list or quotation.
    """

    name: str
    argument: str
    options: dict[str, str]
    body: str
    lines: tuple[int, int]
    level: int


@cache
def parser() -> MarkdownIt:
    """The Markdown parser with the extensions of `_config.yml`; roles and links keep their place in the text.

    A role's token has `meta["span"]`, its first and last place in the text of its paragraph. A link's opening token has
    `meta["target"]`, which spans all from the closing bracket on.
    """
    config = yaml.safe_load((BOOK / "_config.yml").read_text(encoding="utf-8"))
    extensions = set(config["parse"]["myst_enable_extensions"])
    markdown = create_md_parser(MdParserConfig(enable_extensions=extensions), RendererHTML)
    markdown.inline.ruler.at("myst_role", _with_place(myst_role, _place_of_role))
    markdown.inline.ruler.at("link", _with_place(link, _place_of_link))
    return markdown


Rule = Callable[[StateInline, bool], bool]


def _with_place(rule: Rule, place: Callable[[StateInline, int, Token], None]) -> Rule:
    """A rule of the parser that also notes where what it found stands in the text."""

    def placed(state: StateInline, silent: bool) -> bool:
        start, first = state.pos, len(state.tokens)
        if not rule(state, silent):
            return False
        if not silent:
            # Pending text becomes a token of its own, before the one that the rule has made.
            token = next(t for t in state.tokens[first:] if t.type in ("myst_role", "link_open"))
            place(state, start, token)
        return True

    return placed


def _place_of_role(state: StateInline, start: int, token: Token) -> None:
    token.meta["span"] = (start, state.pos)


def _place_of_link(state: StateInline, start: int, token: Token) -> None:
    token.meta["target"] = (state.md.helpers.parseLinkLabel(state, start, True), state.pos)


def directives(text: str) -> Iterator[Directive]:
    """The directives of a text in their order, without those inside other directives."""
    for token in parser().parse(text):
        if directive := as_directive(token):
            yield directive


def as_directive(token: Token) -> Directive | None:
    """The directive that a fence holds; None for a block of code and for any other token."""
    head = _HEAD.fullmatch(token.info.strip()) if token.type in ("fence", "colon_fence") else None
    if head is None:
        return None
    body, options = token.content.splitlines(), {}
    while body and (option := _OPTION.fullmatch(body[0].strip())):
        options[option["key"]] = option["value"]
        del body[0]
    return Directive(
        head["name"], head["argument"].strip(), options, "\n".join(body).strip("\n"), tuple(token.map), token.level
    )


def labelled_equations(text: str) -> Iterator[str]:
    """Labels of the displayed equations of a text, in their order, also of those inside other directives."""
    for token in parser().parse(text):
        if token.type == "math_block_label":
            yield token.info
        elif directive := as_directive(token):
            if directive.name == "math":
                yield from filter(None, [directive.options.get("label")])
            else:
                yield from labelled_equations(directive.body)
