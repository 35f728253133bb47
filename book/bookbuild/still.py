"""Pages without a browser: the static form of what needs one, for the PDF and the EPUB.

Sliders become rows of their pictures, pictures that are laid over each other become one, what is folded is left out or
opened, and what only works on a page goes.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator

from bs4 import BeautifulSoup, Tag
from PIL import Image

from .layout import site_url

MOST_PICTURES = 8  # of one slider
LONGEST_LIST = 120  # rows of a folded table that is opened; a longer one is for looking things up, on the page
_STATE, _VIEW = (f"application/vnd.jupyter.widget-{kind}+json" for kind in ("state", "view"))
# What only a browser can use: buttons, links of headings, the list of pages (there is a table of contents), scripts.
_ONLY_IN_BROWSER = "script, link, style, button, .headerlink, .toctree-wrapper, .book-files, .quiz-feedback"


def widget_states(page: BeautifulSoup) -> dict[str, dict]:
    """The widgets of a page by their identifiers, as the page stores them."""
    states: dict[str, dict] = {}
    for script in page.find_all("script", type=_STATE):
        states |= json.loads(script.get_text())["state"]
    return states


def make_still(article: Tag, states: dict[str, dict], address: str) -> None:
    """Give an article of a page its static form, in place.

    Solutions and quizzes stay as they are, because where they go is decided for the whole book (`edition.py`).

    Args:
        article: of a built page.
        states: of `widget_states`.
        address: of the page as it is published.
    """
    for script in article.find_all("script", type=_VIEW):
        slider = _slider(json.loads(script.get_text())["model_id"], states)
        if slider is not None:
            script.insert_before(slider)
    for switches in article.select("figure.object-switches"):
        _flatten(switches)
    for live in article.select("[data-style-mix-live]"):
        _point_to_live_page(live)
    for quiz in article.select(".quiz"):
        said = quiz.find_previous_sibling("p")  # that nothing is sent or kept
        said.string = "Choose an answer to each question. A link leads to what each choice means."
    for folded in article.select("details:not(.quiz-answers)"):
        _unfold(folded, address)
    for element in article.select(_ONLY_IN_BROWSER):
        element.decompose()
    for box in (*article.select(".cell_output"), *article.select(".cell")):
        if not box.get_text(strip=True) and not box.find("img"):
            box.decompose()


def element(markup: str) -> Tag:
    """The one element that some markup describes."""
    found = BeautifulSoup(markup, "html.parser").find(True)
    assert isinstance(found, Tag)
    return found


def _slider(identity: str, states: dict[str, dict]) -> Tag | None:
    """Some pictures of a slider (`stylemixseg.viz.widgets`), evenly spread; None for another widget, a progress bar."""
    parts = list(_descendants(identity, states))
    stack = next((part for part in parts if part["model_name"] == "StackModel"), None)
    if stack is None:
        return None
    name = next(part["state"]["description"] for part in parts if part["model_name"] == "IntSliderModel")
    places = list(_children(stack))
    count = min(len(places), MOST_PICTURES)
    shown = sorted({round(i * (len(places) - 1) / (count - 1)) for i in range(count)})
    figure = element('<figure class="still-slider"><div class="stills"></div><figcaption><p></p></figcaption></figure>')
    for place in shown:
        within = list(_descendants(places[place], states))
        label = next(part["state"]["value"] for part in within if part["model_name"] == "LabelModel")
        picture = next(part for part in within if part["model_name"] == "ImageModel")
        address = f"data:image/{picture['state']['format']};base64,{_value(picture)}"
        still = element('<div class="still"><img><p></p></div>')
        still.img.attrs |= {"src": address, "alt": f"{name}: {label}"}
        still.p.string = label
        figure.div.append(still)
    some = "All" if len(shown) == len(places) else f"{len(shown)} of the {len(places)}"
    figure.figcaption.p.string = f"{some} pictures of the slider “{name}”, which moves on the page in a browser."
    return figure


def _descendants(identity: str, states: dict[str, dict]) -> Iterator[dict]:
    widget = states[identity]
    yield widget
    for child in _children(widget):
        yield from _descendants(child, states)


def _children(widget: dict) -> Iterator[str]:
    return (child.removeprefix("IPY_MODEL_") for child in widget["state"].get("children", []))


def _value(picture: dict) -> str:
    """The bytes of a picture, in base64."""
    return next(buffer["data"] for buffer in picture["buffers"] if buffer["path"] == ["value"])


def _flatten(switches: Tag) -> None:
    """Objects that can be switched on and off: one picture with all of them on."""
    layers = switches.find_all("img")
    pictures = [
        Image.open(io.BytesIO(base64.b64decode(layer["src"].partition(",")[2]))).convert("RGBA") for layer in layers
    ]
    whole = pictures[0]
    for picture in pictures[1:]:
        whole.alpha_composite(picture)
    buffer = io.BytesIO()
    whole.convert("RGB").save(buffer, "PNG")
    flat = element("<img>")
    flat["src"] = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    names = ", ".join(layer["alt"] for layer in layers[1:])
    flat["alt"] = f"{switches.legend.get_text(strip=True)}: {names}"
    switches.find("fieldset").replace_with(flat)


def _unfold(folded: Tag, address: str) -> None:
    """Open what a page folds; leave out hidden code, which keeps records and checks answers, and very long tables."""
    if "above-input" in folded.get("class", []):
        folded.decompose()
    elif (rows := len(folded.find_all("tr"))) > LONGEST_LIST:
        what = " ".join(folded.summary.get_text().split())
        note = element(f'<p class="left-out"><em></em>, {rows} rows: <a href="{address}">on the page</a></p>')
        note.em.string = what
        folded.replace_with(note)
    else:
        folded.summary.name = "p"
        if "hide" in folded.get("class", []):
            folded.p.decompose()
        folded.name = "div"


def _point_to_live_page(live: Tag) -> None:
    address = f"{site_url()}/live.html"
    live.replace_with(
        element(f'<p class="live-note">This part works in a browser only: <a href="{address}">{address}</a></p>')
    )
