"""Exercises that ask for code: each solution passes its check, and wrong and empty answers are told what to look at."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from pathlib import Path

import jupytext
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book"))
from bookbuild.exercises import CHECK, CodeExercise, code_exercises, exercise_faults, for_students, stub
from bookbuild.layout import BuildError, notebook_sources
from bookbuild.notebooks import read_source

CHAPTERS = {source.stem: code_exercises(read_source(source)) for source in notebook_sources()}
EXERCISES = {exercise.label: exercise for exercises in CHAPTERS.values() for exercise in exercises}

# Mistakes that students make: exercise, what of the solution they write otherwise, and a part of the hint they get.
WRONG = [
    ("ex-generators-psi", "mean + psi * (w - mean)", "psi * w", "at psi = 0 every latent becomes the mean"),
    ("ex-generators-reach", "layer_sides[cutoff:]", "layer_sides[cutoff + 1:]", "one cell"),
    ("ex-tour-rule", "height // 2, width // 2", "0, 0", "the middle is at row H // 2"),
    ("ex-tour-rule", "np.arange(k) == ", "", "one truth value per cluster"),
    ("ex-mixing-three", "(coarse, mix_styles(middle, fine, high), low)", "(mix_styles(coarse, middle, high), fine, low)",
     "begin with the upper cutoff"),
    ("ex-summary-order", "[:, :, order]", "[:, :, order, ::-1]", "and keep their order"),
    ("ex-summary-components", "np.cov(pixels, rowvar=False)", "pixels.T @ pixels", "with the mean pixel taken away"),
    ("ex-clustering-lloyd", "else centroid", "else points.mean(0)", "the third centroid has no point and stays"),
    ("ex-clustering-lloyd", "argmin(1)", "argmax(1)", "take the smallest along the second axis"),
    ("ex-clustering-lloyd", "return labels, np.stack(moved)", "return np.stack(moved)", "return labels, centroids"),
    ("ex-clustering-elbow", "c.mean(0)", "points.mean(0)", "the mean of each cluster by itself"),
    ("ex-rules-theta", "saliency[labels == m].mean()", "(saliency * (labels == m)).mean()", "not by that of the image"),
    ("ex-rules-size", "sizes.argmax()", "0", "the largest need not be cluster 0"),
    ("ex-rules-size", "np.arange(k)", "np.arange(labels.max() + 1)", "also for empty clusters"),
    ("ex-evaluation-iou", "if union else 1.0", "if union else 0.0", "so the two agree on it: 1"),
    ("ex-evaluation-iou", "(a | b).sum()", "a.size", "three in their union"),
    ("ex-evaluation-random", "(f + (1 - f) * t)", "f", "TP + FP + FN"),
    ("ex-ablation-paired", "difference[draws]", "(first[draws] - second[draws[::-1]])", "the same images for both methods"),
    ("ex-ablation-paired", ".mean(1), [0.025, 0.975]", ".mean(1), [0.05, 0.95]", "the quantiles 0.025 and 0.975"),
    ("ex-ablation-worst", "grid.T", "grid", "rows are cutoffs"),
    ("ex-failures-bar", "rule < bar", "rule <= bar", "equal is not below"),
    ("ex-failures-bar", "if rule < bar", "if True", "only images whose rule is below the bar fail"),
    ("ex-compositing-feather", 'mode="edge"', 'mode="constant"', "at the border the mask repeats itself"),
    ("ex-compositing-difference", ".astype(float)", "", "8-bit numbers wrap around"),
    ("ex-compositing-difference", "if not wrong.any()", "if False", "the mean of no pixels"),
    ("ex-photos-frame", "np.deg2rad(degrees)", "degrees", "the angle in radians"),
    ("ex-objects-overlap", "[::-1]", "", "write the largest box first"),
    ("ex-objects-overlap", "= i + 1", "= 1", "the number i + 1"),
    ("ex-objects-shift", "known[y0:y1, x0:x1]", "known[x0:x1, y0:y1]", "indexed rows first"),
    ("ex-many-prior", "masks.sum(0)", "masks.sum(0) / len(masks)", "count over the masks"),
    ("ex-beyond-unshared", "[j, int(image.sum())]", "j", "so it changes with the image"),
    ("ex-beyond-unshared", "[j, int(image.sum())]", "int(image.sum())", "draw new colours for every j"),
    ("ex-data-broken", "masks.copy()", "masks", "work on a copy"),
    ("ex-data-broken", "y, x = draw", "x, y = draw", "y before x"),
    ("ex-ways-vote", "votes.argmax(0)", "np.rint(labels.mean(0)).astype(int)", "the mean of labels is no vote"),
]  # fmt: skip


def run(answer: str, exercise: CodeExercise) -> str:
    """Run an answer and its check; gives what the check printed.

    Of the chapter only the answers before it have run: exercises need none of its other cells.
    """
    names: dict[str, object] = {}
    said = io.StringIO()
    (exercises,) = (found for found in CHAPTERS.values() if exercise in found)
    with contextlib.redirect_stdout(said):
        for earlier in exercises[: exercises.index(exercise)]:
            exec(earlier.answer, names)
        exec(answer, names)
        exec(exercise.check, names)
    return said.getvalue()


def test_every_chapter_asks_for_code() -> None:
    assert {name for name, exercises in CHAPTERS.items() if not exercises} == set()


@pytest.mark.parametrize("label", EXERCISES)
def test_a_solution_passes_its_check(label: str) -> None:
    exercise = EXERCISES[label]
    assert run(exercise.answer, exercise).startswith("Right.")


@pytest.mark.parametrize("label", EXERCISES)
def test_an_empty_answer_fails_and_says_what_to_do(label: str) -> None:
    exercise = EXERCISES[label]
    with pytest.raises(NotImplementedError, match=f"^write {exercise.function}, then run its check$"):
        run(exercise.stub, exercise)


@pytest.mark.parametrize("label", EXERCISES)
def test_an_answer_without_return_is_told_so(label: str) -> None:
    exercise = EXERCISES[label]
    with pytest.raises(AssertionError, match="look at:"):
        run(re.sub(r"raise NotImplementedError\(.*\)", "pass", exercise.stub), exercise)


@pytest.mark.parametrize(("label", "old", "new", "hint"), WRONG)
def test_a_wrong_answer_gets_the_hint(label: str, old: str, new: str, hint: str) -> None:
    exercise = EXERCISES[label]
    assert exercise.answer.count(old) >= 1, "the solution no longer has this text"
    with pytest.raises(AssertionError) as caught:
        run(exercise.answer.replace(old, new), exercise)
    assert "is not right yet" in str(caught.value)
    assert hint in " ".join(str(caught.value).split())


def test_every_exercise_has_a_wrong_answer() -> None:
    assert {label for label, *_ in WRONG} == set(EXERCISES)


CHAPTER = '''# %% [markdown]
# ```{exercise}
# :label: ex-one
# Write `double(x, times=2)`.
# ```
#
# ```{solution-start} ex-one
# :class: dropdown
# ```

# %% tags=["answer"]
import math


def double(x, times=2):
    """Twice a number."""
    # the idea
    return times * x


# %% tags=["check"]
assert double(2) == 4

# %% [markdown]
# ```{solution-end}
# ```
'''


def test_students_get_the_function_without_its_body_and_a_hidden_check() -> None:
    chapter = jupytext.reads(CHAPTER, fmt="py:percent")
    assert exercise_faults(chapter) == []
    _, answer, check = for_students(chapter).cells
    assert answer.source == (
        "# Write the function, then run the check in the next cell.\nimport math\n\n\n"
        'def double(x, times=2):\n    """Twice a number."""\n'
        '    raise NotImplementedError("write double, then run its check")'
    )
    assert check.source == "# @title Check `double`: run this cell\nassert double(2) == 4"
    assert check.metadata["jupyter"] == {"source_hidden": True} and check.metadata["cellView"] == "form"
    assert "raises-exception" in check.metadata["tags"]  # "run all" goes on after it
    assert all(cell.metadata.get("tags") != [CHECK, "x"] for cell in chapter.cells)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("`double(x, times=2)`", "`double`", "the text of ex-one does not name `double(x, times=2)`"),
        ("assert double(2) == 4", "assert True", "the check of ex-one does not call double"),
        ("# the idea", "# " + "idea " * 20, "has a line of more than 80 columns"),
        ('# %% tags=["check"]', "# %%", "the answer of ex-one has no cell tagged 'check' right after it"),
        ('# %% tags=["answer"]', "# %%", "the check of ex-one has no cell tagged 'answer' right before it"),
        ("import math", "x = 1", "an answer must be imports and one function, got: x = 1"),
        ('    """Twice a number."""\n', "", "the answer double needs a docstring"),
        (CHAPTER.partition("# %% tags")[2], "\nx = 1", "no exercise asks for code"),
    ],
)
def test_faults_of_an_exercise_are_named(old: str, new: str, fault: str) -> None:
    text = CHAPTER.replace(old, new)
    if fault.startswith("no exercise asks"):
        text = CHAPTER.partition("# %% tags")[0] + CHAPTER[CHAPTER.rindex("# %% [markdown]") :]
    found = exercise_faults(jupytext.reads(text, fmt="py:percent"))
    assert any(fault in line for line in found), found


def test_an_answer_outside_of_a_solution_is_refused() -> None:
    text = CHAPTER.replace("solution-start} ex-one\n# :class: dropdown", "note}").replace("solution-end", "note")
    with pytest.raises(BuildError, match="a cell tagged 'answer' stands outside of a solution"):
        code_exercises(jupytext.reads(text, fmt="py:percent"))


def test_a_stub_is_no_solution() -> None:
    assert "return" not in stub(EXERCISES["ex-tour-rule"].answer).split('"""')[-1]
