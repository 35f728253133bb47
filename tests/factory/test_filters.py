"""Filters: limits, and the reasons in words."""

from __future__ import annotations

import pytest

from stylemixseg.factory.filters import Filters

RECORD = {"rule_agreement": 0.5, "mask_share": 0.3, "confidence": 0.9}


@pytest.mark.parametrize(
    "filters, reason",
    [
        (Filters(), None),
        (Filters(min_agreement=0.5, mask_share=(0.3, 0.3), min_confidence=0.9), None),
        (Filters(min_agreement=0.51), "rule_agreement 0.500 is below 0.51"),
        (Filters(min_confidence=0.95), "confidence 0.900 is below 0.95"),
        (Filters(mask_share=(0.31, 1)), "mask_share 0.300 is outside 0.31..1"),
        (Filters(mask_share=(0, 0.29)), "mask_share 0.300 is outside 0..0.29"),
    ],
)
def test_reasons(filters, reason):
    assert filters.reason(RECORD) == reason


@pytest.mark.parametrize(
    "limits, words",
    [
        ({"min_agreement": 1.1}, "min_agreement must be in 0..1, got 1.1"),
        ({"min_confidence": 0.4}, "min_confidence must be in 0.5..1, got 0.4"),
        ({"mask_share": (0.1, 2)}, r"mask_share \(most\) must be in 0..1, got 2"),
        ({"mask_share": (0.6, 0.5)}, "mask_share must be least, most with least <= most, got 0.6, 0.5"),
    ],
)
def test_a_limit_out_of_range_is_named(limits, words):
    with pytest.raises(ValueError, match=words):
        Filters(**limits)
