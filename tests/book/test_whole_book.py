"""PDF and EPUB of a small book: what pages lose without a browser, the files' structure, and tools that are missing."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from ipywidgets.embed import embed_data
from PIL import Image
from pypdf import PdfReader

from stylemixseg.viz.widgets import object_switches, picture_slider

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book"))
from bookbuild import formulas, wholebook
from bookbuild.browser import find_browser
from bookbuild.edition import ANSWERS, Edition, read_edition
from bookbuild.epub import write_epub
from bookbuild.filecheck import epub_faults, pdf_faults
from bookbuild.formulas import Formula, SetFormula, set_formulas, with_styled_letters
from bookbuild.layout import BuildError, site_url
from bookbuild.pdf import write_pdf
from bookbuild.quizzes import Choice, Question, quiz_markdown

FORMULA = Formula(r"\mathbf{w} < 1", display=False)
SET = {
    FORMULA: SetFormula(
        '<math xmlns="http://www.w3.org/1998/Math/MathML"><mi>w</mi></math>',
        '<svg xmlns="http://www.w3.org/2000/svg" width="1ex" height="1ex" viewBox="0 0 1 1"><path d="M0 0"></path></svg>',
    )
}
PAGE = """<!DOCTYPE html><html><head>{head}</head><body><nav>sidebar</nav><article class="bd-article"><section id="top">
<h1>{title}<a class="headerlink" href="#top">#</a></h1>
{body}</section></article></body></html>"""
TOC = "root: intro\nparts:\n- caption: First part\n  chapters:\n  - file: chapters/one\n  - file: two\n"
SLIDER = picture_slider(
    [np.full((8, 8, 3), 20 * i, np.uint8) for i in range(12)], [f"c = {i}" for i in range(12)], name="c"
)


def _chapter() -> str:
    """A page with everything that has another form without a browser."""
    questions = [Question("Which?", (Choice("this `c`", "Yes.", right=True), Choice("that", "No.")))]
    quiz = quiz_markdown(questions, "one").partition("```{raw} html\n")[2].removesuffix("```")
    switches = object_switches(
        np.zeros((8, 8, 3), np.uint8), np.eye(8, dtype=int), ["sofa"], name="objects", caption="What to see."
    )
    view = json.dumps({"model_id": SLIDER.model_id, "version_major": 2, "version_minor": 0})
    rows = "".join(f"<tr><td>{i}</td></tr>" for i in range(500))
    return f"""
<p>A formula <span class="math notranslate nohighlight">\\({FORMULA.tex.replace("<", "&lt;")}\\)</span>, a link to
<a href="../two.html#place">two</a>, to <a href="#solution-one">the solution</a>, to <a href="../student/one.ipynb">a file</a>.</p>
<div class="cell tag_hide-input"><details class="admonition hide above-input"><summary>Show</summary>
<pre>hidden = 1</pre></details></div>
<details class="admonition hide below-input"><summary>Show</summary><p>an output</p></details>
<details><summary>500 lines: show</summary><table>{rows}</table></details>
<div class="cell"><div class="cell_output"><script type="application/vnd.jupyter.widget-view+json">{view}</script></div></div>
<div class="cell_output">{switches.data}</div>
<figure><img src="../_images/photo.png" alt="A photo"><figcaption>What to see.</figcaption></figure>
<div class="solution dropdown admonition" id="solution-one"><p class="admonition-title">Solution to Exercise 1</p>
<section id="content"><p>See <a href="#top">above</a>. <img src="../_images/photo.png" alt="A photo"></p></section></div>
<section id="content"><p>The same name again.</p></section>
<p><ol><li>A list in a paragraph.</li></ol></p>
<section><h2>Quiz</h2><p>It answers in the page.</p>{quiz}</section>"""


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built pages of a book of three, with its configuration beside them."""
    folder = tmp_path_factory.mktemp("html")
    (folder / "_toc.yml").write_text(TOC)
    (folder / "_config.yml").write_text("title: A <small> book\nauthor: Nobody\n")
    (folder / "chapters").mkdir()
    (folder / "_images").mkdir()
    photo = np.random.default_rng(0).normal(128, 20, (256, 256, 3)).clip(0, 255).astype(np.uint8)
    Image.fromarray(photo).save(folder / "_images" / "photo.png")
    state = json.dumps({"state": embed_data([SLIDER])["manager_state"]["state"]})
    head = f'<script type="application/vnd.jupyter.widget-state+json">{state}</script>'
    files = '<p class="book-files"></p>'
    pages = {
        "intro": ("A <small> book", files, ""),
        "chapters/one": ("One & more", _chapter(), head),
        "two": ("Two", '<p id="place">A place, <a href="chapters/one.html#solution-one">solved</a>.</p>', ""),
    }
    for name, (title, body, head) in pages.items():
        title = title.replace("&", "&amp;").replace("<", "&lt;")
        (folder / f"{name}.html").write_text(PAGE.format(title=title, body=body, head=head))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("print")


@pytest.fixture(scope="module")
def edition(html: Path, folder: Path) -> Edition:
    return read_edition(folder, html=html, book=html)


@pytest.fixture(scope="module")
def epub(edition: Edition, folder: Path) -> Path:
    write_epub(edition, SET, folder, folder / "book.epub")
    return folder / "book.epub"


def test_pages_are_in_reading_order_with_the_answers_last(edition: Edition) -> None:
    titles = [(part.title, [page.title for page in part.pages]) for part in edition.parts]
    assert titles == [
        ("", ["About this edition", "A <small> book"]),
        ("First part", ["One & more", "Two"]),
        ("", ["Solutions and answers"]),
    ]


def test_links_lead_to_pages_to_moved_answers_and_to_published_files(edition: Edition) -> None:
    *_, one, two, answers = edition.pages()
    links = {link.get_text(" ", strip=True): link["href"] for link in one.body.find_all("a")}
    place = f"book:{ANSWERS}#chapters-one-solution-1"
    assert links == {
        "two": "book:two#place",
        "the solution": place,
        "a file": f"{site_url()}/student/one.ipynb",
        "on the page": f"{site_url()}/chapters/one.html",
        "Solution to Exercise 1": place,
        "Answers to question 1": f"book:{ANSWERS}#chapters-one-answer-1",
    }
    assert two.body.a["href"] == place
    assert answers.body.find(id="chapters-one-solution-1").find("a")["href"] == "book:chapters/one#top"


def test_a_chapter_without_a_browser(edition: Edition) -> None:
    """Hidden code and long lists go, what else is folded stands open, widgets become pictures with their texts."""
    page = next(page for page in edition.pages() if page.name == "chapters/one")
    text = page.body.get_text()
    assert "hidden = 1" not in text and "an output" in text and "500 rows" in text and "sidebar" not in text
    assert not page.body.select("script, input, details, .headerlink, .solution")
    stills = page.body.select(".still-slider img")
    assert [still["alt"] for still in stills] == [f"c: c = {i}" for i in (0, 2, 3, 5, 6, 8, 9, 11)]
    assert page.body.select_one(".object-switches > img")["alt"] == "objects: sofa"
    assert [item.get_text() for item in page.body.select(".quiz-choices li")] == ["this c", "that"]
    assert not page.body.select("p ol")
    assert "answers in the page" not in text and "A link leads to what each choice means" in text


def test_pictures_are_files_and_photos_are_jpeg(edition: Edition, folder: Path) -> None:
    for page in edition.pages():
        for picture in page.body.find_all("img"):
            with Image.open(folder / picture["src"]) as opened:
                kind = opened.format
            assert kind == ("JPEG" if picture["alt"] == "A photo" or "c = " in picture["alt"] else "PNG")


def test_the_epub_has_no_fault(epub: Path) -> None:
    assert epub_faults(epub) == []
    with zipfile.ZipFile(epub) as book:
        page = book.read("EPUB/page-chapters-one.xhtml").decode()
    assert "<mi>w</mi></math>" in page and 'alttext="\\mathbf{w} &lt; 1"' in page and "\\(" not in page


@pytest.mark.parametrize(
    ("name", "old", "new", "fault"),
    [
        ("EPUB/page-two.xhtml", 'id="place"', 'id="moved"', "link page-two.xhtml#place: the page has no such place"),
        ("EPUB/page-two.xhtml", "page-solutions-and-answers.xhtml", "gone.xhtml", "leads nowhere"),
        ("EPUB/page-chapters-one.xhtml", 'alt="A photo"', 'alt=" "', "has no alternative text"),
        ("EPUB/page-chapters-one.xhtml", 'src="media/', 'src="elsewhere/', "is not in the file"),
        ("EPUB/page-chapters-one.xhtml", 'class="quiz"', 'id="top"', "repeats the ids ['top']"),
        ("EPUB/page-chapters-one.xhtml", "</body>", "", "cannot be read"),
        ("EPUB/package.opf", ' properties="mathml"', "", "properties='mathml'"),
        ("EPUB/package.opf", 'idref="page-two"', 'idref="page-three"', "the spine names page-three"),
        ("EPUB/package.opf", 'href="style.css"', 'href="other.css"', "EPUB/style.css is not in the manifest"),
        ("EPUB/package.opf", ' properties="nav"', "", "exactly one table of contents"),
        ("mimetype", "epub", "zip", "must begin with the entry mimetype"),
    ],
)
def test_a_damaged_epub_is_found(epub: Path, tmp_path: Path, name: str, old: str, new: str, fault: str) -> None:
    damaged = tmp_path / "damaged.epub"
    with zipfile.ZipFile(epub) as whole, zipfile.ZipFile(damaged, "w") as copy:
        for item in whole.infolist():
            content = whole.read(item)
            if item.filename == name:
                assert old.encode() in content
                content = content.replace(old.encode(), new.encode())
            copy.writestr(item, content)
    found = epub_faults(damaged)
    assert any(fault in line for line in found), found


def test_no_epub_at_all(tmp_path: Path) -> None:
    (tmp_path / "no.epub").write_text("text")
    assert "cannot be read" in epub_faults(tmp_path / "no.epub")[0]


@pytest.mark.parametrize(
    ("given", "spelled"),
    [
        ('<mi mathvariant="bold">w</mi>', "<mi>\N{MATHEMATICAL BOLD SMALL W}</mi>"),
        ('<mi mathvariant="bold-italic">X</mi>', "<mi>\N{MATHEMATICAL BOLD ITALIC CAPITAL X}</mi>"),
        ('<mi mathvariant="double-struck">R</mi>', "<mi>\N{DOUBLE-STRUCK CAPITAL R}</mi>"),
        ('<mi mathvariant="bold">&#x3B8;</mi>', "<mi>\N{MATHEMATICAL BOLD SMALL THETA}</mi>"),
        ('<mi mathvariant="normal">d</mi>', None),
        ('<mo mathvariant="bold">+</mo>', None),
    ],
)
def test_styled_letters_are_characters(given: str, spelled: str | None) -> None:
    assert with_styled_letters(given) == (spelled or given)


needs_mathjax = pytest.mark.skipif(not formulas.can_set(), reason="Node.js or MathJax is missing: `make book` gets it")


@needs_mathjax
def test_formulas_are_set_as_mathml_and_as_svg() -> None:
    found = set_formulas([FORMULA, Formula(r"\begin{split}a &= b\\ &= \tfrac12\end{split}", display=True), FORMULA])
    assert len(found) == 2
    assert "\N{MATHEMATICAL BOLD SMALL W}" in found[FORMULA].mathml and found[FORMULA].svg.startswith("<svg")


@needs_mathjax
def test_a_formula_that_mathjax_does_not_know_stops_the_build() -> None:
    with pytest.raises(BuildError, match=r"\\unheard"):
        set_formulas([FORMULA, Formula(r"\unheard{x}", display=False)])


@pytest.fixture
def copied(html: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small book in place of the real one, and formulas set without MathJax."""
    site = tmp_path / "html"
    shutil.copytree(html, site)
    monkeypatch.setattr(wholebook, "read_edition", lambda folder, html: read_edition(folder, html=html, book=html))
    monkeypatch.setattr(wholebook, "can_set", lambda: True)
    monkeypatch.setattr(wholebook, "set_formulas", lambda found: {formula: SET[formula] for formula in found})
    return site


def test_without_chromium_there_is_an_epub(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(wholebook, "find_browser", lambda: None)
    wholebook.build_files(copied, copied.parent / "print")
    assert "Chromium is not installed: the book has no PDF" in capsys.readouterr().out
    assert epub_faults(copied / wholebook.EPUB) == [] and not (copied / wholebook.PDF).exists()
    first = (copied / "intro.html").read_text()
    assert f'<a href="{wholebook.EPUB}">EPUB</a> (0 MB)' in first and wholebook.PDF not in first


def test_without_node_there_is_neither(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(wholebook, "can_set", lambda: False)
    wholebook.build_files(copied, copied.parent / "print")
    assert "the book has no PDF and no EPUB" in capsys.readouterr().out
    assert '<p class="book-files"></p>' in (copied / "intro.html").read_text()


def test_a_first_page_without_a_place_for_the_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "intro.html").write_text("<p>no place</p>")
    with pytest.raises(BuildError, match="book-files"):
        wholebook.announce(tmp_path / "intro.html", [])


@pytest.mark.browser
@pytest.mark.skipif(find_browser() is None, reason="chromium is not installed: no PDF is printed")
def test_the_pdf_has_an_outline_page_numbers_and_is_printed_once(
    edition: Edition, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "book.pdf"
    count = write_pdf(edition, SET, folder, path, find_browser())
    titles = [page.title for page in edition.pages()]
    assert pdf_faults(path, titles) == []
    assert pdf_faults(path, ["A chapter that is not there"]) == ["the outline lacks 'A chapter that is not there'"]
    pages = ["".join(page.extract_text().split()) for page in PdfReader(path).pages]  # spaces are not kept
    assert len(pages) == count >= 6  # cover, contents, and each page of the book on a sheet of its own
    for title in ("One&more", "Two", "Solutionsandanswers"):
        number = next(i for i, text in enumerate(pages, start=1) if i > 4 and title in text)
        assert f"{title}{number}" in pages[1]
    monkeypatch.setattr("bookbuild.pdf._print", lambda *_: pytest.fail("printed again"))
    assert write_pdf(edition, SET, folder, path, find_browser()) == count


def test_a_program_that_prints_nothing_is_reported(edition: Edition, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="Chromium could not print the book"):
        write_pdf(edition, SET, folder, tmp_path / "book.pdf", "/bin/false")
