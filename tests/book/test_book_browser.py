"""The built book in a real browser: every page opens without an error or a request elsewhere, and sliders work."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from chromium import Browser, find_chromium
from http_server import served

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book"))
from bookbuild.check import pages_of
from bookbuild.layout import HTML

FRONT = HTML / "index.html"  # it only leads on: a browser may leave it while a test looks at it
PAGES = [str(path.relative_to(HTML)) for path in pages_of() if path != FRONT] if FRONT.is_file() else []
PROGRAM = find_chromium()

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not PAGES, reason="the book has not been built: `make book` builds it"),
    pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed: the browser test of the book is left out"),
    pytest.mark.skipif(
        bool(PAGES) and not (HTML / "vendor").is_dir(),
        reason="the book was built without npm: its pages need a network",
    ),
]

# Jupyter Book 1.0 loads sphinx-thebe's constants twice on each page. Harmless, and no setting turns it off.
THEME_ERROR = "Uncaught SyntaxError: Identifier 'THEBE_JS_URL' has already been declared"

SLIDERS = ".cell_output [role=slider]"
# Addresses of the pictures that a reader sees in the same output as slider number i.
VISIBLE_PICTURES = """
(() => {{
  const output = document.querySelectorAll("{sliders}")[{index}].closest(".cell_output");
  const seen = [...output.querySelectorAll("img")].filter((img) => img.offsetParent !== null);
  return seen.map((img) => img.src).join(" ");
}})()
"""


SWITCHES = ".object-switches input[type=checkbox]"


# Whether the text, cells and pictures under the heading "Exercises" can be seen, all but the exercises themselves.
SOLUTIONS = """
[...document.querySelectorAll("#exercises :is(p, .cell, img, table)")]
  .filter((part) => !part.closest(".admonition-title, .exercise"))
  .map((part) => part.checkVisibility({opacityProperty: true, visibilityProperty: true}))
"""
OPEN_SOLUTIONS = "document.querySelectorAll('.solution .toggle-button').forEach((button) => button.click())"


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The built book on a free port of this machine."""
    with served(HTML) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser(PROGRAM) as browser:
        yield browser


@pytest.fixture(scope="module")
def moved() -> list[str]:
    """Pages on which a slider was moved."""
    return []


@pytest.mark.parametrize("name", PAGES)
def test_page(name: str, site: str, browser: Browser, moved: list[str]) -> None:
    """Opens the page, moves its sliders by keyboard, and then looks at errors and requests."""
    page = browser.new_page()
    page.open(f"{site}/{name}")
    if page.evaluate("document.querySelector('.math') !== null"):
        assert page.wait_for("document.querySelector('mjx-container') !== null"), "maths was not typeset"
    views = page.evaluate(
        """document.querySelectorAll('script[type="application/vnd.jupyter.widget-view+json"]').length"""
    )
    if views:
        shown = "document.querySelectorAll('.cell_output .jupyter-widgets').length"
        assert page.wait_for(f"{shown} >= {views}"), f"{views} widgets on the page, {page.evaluate(shown)} appeared"
        sliders = page.evaluate(f"document.querySelectorAll('{SLIDERS}').length")
        for index in range(sliders):
            _move(page, index)
        if sliders:
            moved.append(name)
        nameless = "[...document.querySelectorAll('.cell_output .jupyter-widgets img')].filter((i) => !i.alt).length"
        assert page.wait_for(f"{nameless} === 0", 5), "a picture of a widget has no alternative text"
    if page.evaluate("document.querySelector('.solution') !== null"):
        _unfold(page)
    for index in range(page.evaluate("document.querySelectorAll('.quiz-question').length")):
        _answer(page, index)
    for index in range(page.evaluate(f"document.querySelectorAll('{SWITCHES}').length")):
        _switch(page, index)
    browser.pump(0.3)
    elsewhere = [r for r in page.requests if urlsplit(r).scheme not in ("data", "blob") and not r.startswith(site)]
    assert not elsewhere, "the page asks other hosts"
    # A browser may ask for /favicon.ico by itself, before it has read which icon the page names.
    assert [e for e in page.errors if e != THEME_ERROR and not e.endswith("/favicon.ico")] == []


def test_the_front_page_leads_to_the_introduction(site: str, browser: Browser) -> None:
    page = browser.new_page()
    page.open(f"{site}/{FRONT.name}")
    assert page.wait_for_request(f"{site}/intro.html")


def _move(page, index: int) -> None:
    """Moves slider number `index` one step and expects another picture."""
    handle = f"document.querySelectorAll('{SLIDERS}')[{index}]"
    pictures = VISIBLE_PICTURES.format(sliders=SLIDERS, index=index)
    assert page.evaluate(f"{handle}.getAttribute('aria-label')"), f"slider {index} has no name for a screen reader"
    before, value = page.evaluate(pictures), page.evaluate(f"{handle}.getAttribute('aria-valuenow')")
    assert before, f"no picture beside slider {index}"
    page.evaluate(f"{handle}.focus()")
    at_end = page.evaluate(f"{handle}.getAttribute('aria-valuenow') === {handle}.getAttribute('aria-valuemax')")
    page.press("ArrowLeft" if at_end else "ArrowRight")
    assert page.wait_for(f"{handle}.getAttribute('aria-valuenow') !== '{value}'", 5), f"slider {index} does not move"
    assert page.wait_for(f"{pictures} !== {before!r}", 5), f"slider {index} moves but the picture stays"


def _unfold(page) -> None:
    """Sees nothing of a solution before a click, and all of it afterwards."""
    assert page.wait_for(f"!{SOLUTIONS}.includes(true)", 5), "a part of a solution is visible before a click"
    page.evaluate(OPEN_SOLUTIONS)
    assert page.wait_for(f"{SOLUTIONS}.length && !{SOLUTIONS}.includes(false)", 5), "a solution does not open"


def _answer(page, index: int) -> None:
    """Chooses an answer of question number `index` by keyboard, and expects its feedback."""
    question = f"document.querySelectorAll('.quiz-question')[{index}]"
    assert page.evaluate(f"{question}.querySelector('.quiz-answers').hidden"), "the answers are open"
    assert not page.evaluate(f"{question}.querySelector('.quiz-feedback').textContent")
    page.evaluate(f"{question}.querySelector('input').focus()")
    page.press("ArrowDown")
    chosen = f"{question}.querySelector('input:checked')"
    assert page.wait_for(f"{chosen} !== null", 5), f"question {index + 1}: the arrow keys choose nothing"
    said = f"{question}.querySelector('.quiz-feedback').textContent.endsWith({chosen}.dataset.feedback.replaceAll('`', ''))"
    assert page.evaluate(said), f"question {index + 1} gives no feedback"
    right = page.evaluate(f"{chosen}.dataset.right === 'true'")
    assert page.evaluate(f"{question}.classList.contains('quiz-right')") == right


def _switch(page, index: int) -> None:
    """Switches object number `index` of a page off by keyboard and on again, and looks at its layer."""
    box = f"document.querySelectorAll('{SWITCHES}')[{index}]"
    number = f"{box}.id.split('-').pop()"
    layer = f"{box}.closest('fieldset').querySelector('.layer-' + {number})"
    visibility = f"getComputedStyle({layer}).visibility"
    assert page.evaluate(f"document.querySelector('label[for=' + {box}.id + ']').textContent"), "a switch has no name"
    for expected in ("visible", "hidden", "visible"):
        assert page.wait_for(f"{visibility} === '{expected}'", 5), f"switch {index}: its object is not {expected}"
        page.evaluate(f"{box}.click()")


def test_some_page_has_a_slider(moved: list[str]) -> None:
    assert moved, "no page of the book has a slider"
