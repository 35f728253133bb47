"""Readability counts prose only, and counts it as a reader would."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book"))
from bookbuild.readability import main, readability, sentences, syllables, text_of

PAGE = r"""# A heading is no sentence

Two masks agree, e.g. these two. Do they? They do
(at $c = 8$).

**Objectives**

- **Read** `ws` {cite}`feng2023`.

| a table | has cells |
|---|---|
| which are. | No prose. |

$$ \text{A formula is. Not one either.} $$

```{math}
:label: eq-one
a. b. c.
```

:::{note}
A note is prose.
:::

```{exercise}
:label: ex-one
So is an exercise.
```

```bash
echo No. Code. Is.
```

![An image's text. Is left out.](picture.png)
"""


def test_sentences_of_a_page_are_its_prose_only() -> None:
    assert list(sentences(PAGE)) == [
        "Two masks agree, e.g. these two.",
        "Do they?",
        "They do (at X).",
        "Read X .",
        "A note is prose.",
        "So is an exercise.",
    ]


@pytest.mark.parametrize(
    "word, expected",
    [
        ("mask", 1),
        ("make", 1),
        ("makes", 1),
        ("mixed", 1),
        ("mixes", 2),
        ("painted", 2),
        ("table", 2),
        ("whole", 1),
        ("cluster", 2),
        ("the", 1),
        ("generator", 4),
        ("style-mixed", 2),
        ("8", 1),
    ],
)
def test_syllables(word: str, expected: int) -> None:
    assert syllables(word) == expected


def test_measures_follow_from_the_counts() -> None:
    found = readability("The cat sat. The mask that the rule makes covers the whole cat.")
    assert (found.sentences, found.words, found.syllables, found.short) == (2, 13, 14, 1)
    assert found.short_share == 0.5
    assert found.words_per_sentence == 6.5
    assert found.reading_ease == pytest.approx(206.835 - 1.015 * 6.5 - 84.6 * 14 / 13)


def test_shorter_sentences_and_words_read_more_easily() -> None:
    hard = readability("Unsupervised segmentation of synthetic imagery necessitates experimentation.")
    easy = readability("We try it. It is not hard.")
    assert easy.reading_ease > hard.reading_ease
    assert (easy.short_share, hard.short_share) == (1, 0)


def test_a_text_without_prose_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one sentence"):
        readability("# Title\n\n```bash\nls\n```")


def test_a_chapter_gives_its_markdown_and_captions_but_no_code(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    chapter = tmp_path / "01_one.py"
    chapter.write_text(
        "# %% [markdown]\n# First we look at the image.\n\n"
        '# %% mystnb={"figure": {"caption": "The mask is white.", "name": "fig-mask"}, "image": {"alt": "A mask."}}\n'
        'print("Code. Is. Not.")\n'
    )
    assert list(sentences(text_of(chapter))) == ["First we look at the image.", "The mask is white."]
    main([str(chapter)])
    assert capsys.readouterr().out.splitlines()[-1].startswith("| 01_one.py | 2 | 100.0% | 5.0 |")
