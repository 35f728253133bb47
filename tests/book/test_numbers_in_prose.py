"""Numbers that the book measures come from result files: in the prose of its pages none is typed by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from stylemixseg.ledger.page import paper_values

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book"))
from bookbuild.typednumbers import TypedNumber, pages, prose_of, typed_numbers

PAGES = dict(pages())
PRINTED = {f"{value:.2f}" for value in paper_values().values()}

# Numbers that are typed and look measured but are not ours, or not measured: {page: {number: why}}.
_MINUTES = "time that a lesson plans"
_BOOTSTRAP = "settings of the bootstrap"
ALLOWED = {
    "01_tour": {"0.7": "an example of a setting", "3 times": "colours per image"},
    "02_style_mixing": {"0.5": "psi of an exercise", "1.0": "psi of an exercise"},
    "03_style_summary_tensor": {"4 GB": "the paper's text", "95 %": "the share that an exercise asks for"},
    "04_clustering": {"1 %": "where an axis changes", "0.9": "bar of an exercise", "0.05": "bar of an exercise"},
    "05_foreground_rules": {"0.1": "thresholds of an exercise", "0.9": "thresholds of an exercise"},
    "06_evaluation": {"2000 times": _BOOTSTRAP, "0.5": "level of an exercise"},
    "07_ablation": {"2,000 times": _BOOTSTRAP, "97.5 %": _BOOTSTRAP, "2.5 %": _BOOTSTRAP},
    "08_failure_cases": {"1.0": "a setting", "0.5": "bars of an exercise", "0.9": "bars of an exercise"},
    "10_real_photos": {"30 %": "a setting of an exercise"},
    "11_objects": {"20 %": "a setting, by how much boxes are moved", "0.7": "a threshold of IoU"},
    "12_many_images": {"0.8": "an example that explains a definition", "80 %": "the same example"},
    "13_beyond_stylegan": {
        "6 GB": "size of others' files",
        "700 TFLOP": "counted from the networks' layers",
        "10 TFLOP": "an assumed device",
        **dict.fromkeys(("0.3", "0.6", "0.8", "0.9"), "settings of an exercise"),
    },
    "15_other_ways": dict.fromkeys(("60 %", "0.6", "0.3"), "an exercise that is computed in the head"),
    "architecture": {"0.002": "the least tolerance", "0.005": "the least tolerance"},
    "detectors": {
        "700 MB": "size of others' files",
        "600 MB": "size of others' files",
        "0.25": "usual threshold",
        "0.1": "usual threshold",
        "25 of 77": "one try to install GLIP, which the page reports as such",
        "27 minutes": "the same try",
    },
    "instructors": {"90 minutes": _MINUTES},
    "notation": {"0.5": "a definition"},
    "settings": {
        "0.7": "a setting",
        "2.55": "follows from the units of LAB",
        "768 of the 1 048 576": "follows from faiss's default",
        "0.3": "a setting",
        "0.5": "a setting",
    },
    "syllabus": dict.fromkeys(("5 minutes", "10 minutes", "20 minutes", "25 minutes", "60 minutes"), _MINUTES),
}

# The part of the settings page that quotes the paper and computes with its printed numbers.
QUOTING = "## Where the paper disagrees with itself"
DERIVED = {
    **dict.fromkeys(("+0.011", "0.011", "+0.022", "-0.002"), "means over Table 4: test_settings_page.py computes them"),
    **dict.fromkeys(("0.420", "0.425", "0.405", "0.415", "0.410", "0.005", "0.020"), "bounds of rounded numbers"),
    "0.475": "(1 - f)/2 for f = 0.05",
    "4 GB": "the paper's text",
    "0.63 GB": "the product that stands beside it",
}


def unexplained(page: str, text: str) -> list[TypedNumber]:
    """Typed numbers that neither quote the paper nor stand in a list above."""
    ours, heading, about_the_paper = text.partition(QUOTING) if page == "settings" else (text, "", "")
    found = [item for item in typed_numbers(page, ours, PRINTED) if item.number not in ALLOWED.get(page, {})]
    quoted = typed_numbers(page, heading + about_the_paper, PRINTED)
    return found + [item for item in quoted if item.number not in PRINTED | DERIVED.keys()]


@pytest.mark.parametrize("page", PAGES)
def test_no_measured_number_is_typed(page: str) -> None:
    found = unexplained(page, PAGES[page])
    assert not found, (
        "these look like measurements that were typed by hand. Let a hidden cell write the sentence from the result file "
        "or say it without the number; what is a setting or a definition goes into ALLOWED of this test, with the reason:"
        "\n" + "\n".join(map(str, found))
    )


@pytest.mark.parametrize("page", PAGES)
def test_a_newly_typed_number_is_found_on_every_page(page: str) -> None:
    planted = ["The judge reaches 0.926.", "It is right on 12 of 24 images.", "Of these, 82% are right."]
    text = f"{PAGES[page]}\n\n{' '.join(planted)}"
    assert [item.sentence for item in unexplained(page, text)] == planted


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("An mIoU of .826 and one of 0.74.", [".826", "0.74"]),
        ("It gains +0.03 or \u22120.1, 82 % or 7%.", ["+0.03", "\u22120.1", "82 %", "7%"]),
        ("A mask takes 12.5 s and 1,200 MB, 4 times as much.", ["12.5 s", "1,200 MB", "4 times"]),
        ("It holds in 12 of 24 cells and 9 out of 10.", ["12 of 24", "9 out of 10"]),
        ("| rule | 0.81 |\n| other | 0.79 |", ["0.81", "0.79"]),
        ("The paper reports 0.80, and we measure 0.83.", ["0.83"]),
        ("Others report 0.83 {cite}`someone`.", ["0.83"]),
        ("The paper reports 0.80.\n\nOurs is 0.80.", ["0.80"]),
        ("```{admonition} Note\nIt is 0.91.\n```", ["0.91"]),
        ("```{figure} a.png\n:width: 70 %\n:alt: 0.91\nA caption with 0.92.\n```", ["0.91", "0.92"]),
    ],
)
def test_what_looks_measured_is_found(text: str, numbers: list[str]) -> None:
    assert [item.number for item in typed_numbers("page", text, {"0.80"})] == numbers


@pytest.mark.parametrize(
    "text",
    [
        "With $k = 0.5$, `theta=0.35` and\n\n```python\nx = 0.25\n```\n\n```{math}\n0.1\n```",
        "Section 4.2 of the paper, sections 3.2 and 3.4, the rule (4.6), and (3.2; 5, clustering b).",
        "| `colors.py` | LAB and RGB | 4.6 |\n| `mixing.py` | style mixing | 3.1, Figures 2, 4, 5 |",
        "A 95 % interval, a 95 % bootstrap interval, the middle 95 % of these.",
        "**Run time:** about 3 minutes on two CPU cores (profile `cpu`), about 4 minutes without.",
        "Python 3.11, PyTorch 2.13, MMCV 2.1.0 and the Apache License 2.0 or Apache-2.0.",
        "See [a page](https://doi.org/10.1109/0.5) and {cite}`of2013`.",
        "In 2023, 50 styles, 1024 x 1024 pixels, 12 layers, k of 2 to 10.",
    ],
)
def test_what_only_looks_measured_is_not(text: str) -> None:
    assert typed_numbers("page", text) == []


def test_all_words_of_a_notebook_are_read() -> None:
    code = 'share = 0.1\ndisplay(Markdown(f"It is {share:.2f}, not 0.2. " + table(["above 0.3"], rows)))'
    shown = {"image": {"alt": "A curve that ends at 0.4"}, "figure": {"caption": "It ends at 0.5.", "name": "fig-0.6"}}
    notebook = new_notebook(
        cells=[new_markdown_cell("It is 0.7."), new_code_cell(code, metadata={"mystnb": shown})],
    )
    words = "\n\n".join(prose_of(notebook))
    assert [item.number for item in typed_numbers("page", words)] == ["0.7", "0.4", "0.5", "0.2", "0.3"]
