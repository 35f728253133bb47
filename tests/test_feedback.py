"""Feedback on answers: a right one passes, and each kind of wrong one is told apart and ends with the hint."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stylemixseg.feedback import expect


@pytest.mark.parametrize(
    ("got", "right", "tolerance"),
    [
        (3, 3, 0),
        (0.3001, 0.3, 0.001),
        ([True, False], np.array([True, False]), 0),
        (torch.ones(2, 3), np.ones((2, 3)), 0),
        (np.float32(0.5), 0.5, 0),
        ((1.0, 2), (1, 2), 0),
        (["a", "b"], ["a", "b"], 0),
    ],
)
def test_a_right_answer_passes(got, right, tolerance) -> None:
    expect("f(x)", got, right, "the hint", tolerance=tolerance)


@pytest.mark.parametrize(
    ("got", "right", "said"),
    [
        (None, 3, "None, as of a function without `return`"),
        (np.ones((2, 3)), np.ones((3, 2)), "shape (2, 3)"),
        ([1, 0], np.array([True, False]), "values of type int64"),
        (0.4, 0.3, "got:      0.4"),
        (np.nan, 0.3, "got:      nan"),
        ("a", 0.3, "values of type <U1"),
        ([[1], [2, 3]], np.ones((2, 1)), "a list that is no array"),
        (np.arange(20), np.arange(20) + (np.arange(20) == 7), "7 at [7] (5.0% of the entries differ)"),
        (["a", "c"], ["a", "b"], "['a', 'c']"),
    ],
)
def test_a_wrong_answer_is_told_what_is_wrong(got, right, said: str) -> None:
    with pytest.raises(AssertionError) as caught:
        expect("f(x)", got, right, "the hint")
    message = str(caught.value)
    assert message.startswith("f(x) is not right yet.") and said in message
    assert message.endswith("look at:  the hint")
