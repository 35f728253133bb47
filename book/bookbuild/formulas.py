"""Set formulas while the book is built, as MathML and as SVG, for editions whose readers run no script."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from bs4 import Tag

from .layout import BOOK, BuildError
from .vendor import TYPESETTER

SCRIPT = BOOK / "print" / "formulas.js"
# Letters in a style, such as bold; "normal" is left alone, because every program knows it.
_STYLED = re.compile(r'<(mi|mn|mo|mtext)([^>]*?) mathvariant="(?!normal")([^"]+)"([^>]*)>([^<]+)</\1>')
_DELIMITERS = re.compile(r"\\[(\[](.*)\\[)\]]", re.DOTALL)


@dataclass(frozen=True)
class Formula:
    """A formula in TeX, without its delimiters; `display` if it stands on lines of its own."""

    tex: str
    display: bool


@dataclass(frozen=True)
class SetFormula:
    """A formula as two texts of markup that mean the same."""

    mathml: str
    svg: str


def can_set() -> bool:
    """Whether Node.js and MathJax are there."""
    return shutil.which("node") is not None and TYPESETTER.is_dir()


def formula_of(element: Tag) -> Formula | None:
    r"""The formula that an element of a page holds as text, such as `\(x\)`; None if there is none."""
    found = _DELIMITERS.search(element.get_text())
    return Formula(found[1].strip(), found[0].startswith(r"\[")) if found else None


def formula_elements(soup: Tag) -> list[Tag]:
    """The elements of a page that hold a formula each, in their order."""
    return soup.select("span.math, div.math")


def set_formulas(formulas: Iterable[Formula]) -> dict[Formula, SetFormula]:
    """Set every formula once, all by one run of MathJax.

    Raises:
        BuildError: MathJax does not understand a formula, or could not run.
    """
    wanted = list(dict.fromkeys(formulas))
    done = subprocess.run(
        ["node", SCRIPT, TYPESETTER],
        input=json.dumps([{"tex": formula.tex, "display": formula.display} for formula in wanted]),
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    if done.returncode != 0:
        raise BuildError(f"MathJax could not set the formulas:\n{done.stderr.strip()[-2000:]}")
    answers = dict(zip(wanted, json.loads(done.stdout)))
    if wrong := [f"{formula.tex}: {answer['error']}" for formula, answer in answers.items() if "error" in answer]:
        raise BuildError("MathJax does not understand these formulas:\n  " + "\n  ".join(wrong))
    return {formula: SetFormula(with_styled_letters(a["mathml"]), a["svg"]) for formula, a in answers.items()}


def with_styled_letters(mathml: str) -> str:
    """MathML whose bold and other letters are the characters of Unicode for them.

    `mathvariant` says the same, but most programs that show MathML today follow MathML Core, which has dropped it, so
    that a bold w, a latent, would look like any w.
    """
    return _STYLED.sub(_spelled, mathml)


def _spelled(found: re.Match[str]) -> str:
    tag, before, style, after, text = found.groups()
    letters = [_styled(letter, style) for letter in html.unescape(text)]
    return found[0] if None in letters else f"<{tag}{before}{after}>{''.join(filter(None, letters))}</{tag}>"


def _styled(letter: str, style: str) -> str | None:
    """A letter or digit in a style, None where Unicode has none: "w", "bold" gives MATHEMATICAL BOLD SMALL W."""
    kind = re.sub("LATIN |GREEK |LETTER ", "", unicodedata.name(letter, ""))
    style = style.upper().replace("BOLD-", "BOLD ")
    for name in (f"MATHEMATICAL {style} {kind}", f"{style} {kind}"):  # "DOUBLE-STRUCK CAPITAL R" is older than the rest
        try:
            return unicodedata.lookup(name)
        except KeyError:
            continue
    return None
