"""Keys of results: equal for equal settings, other for other ones, whatever `repr` would say."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from stylemixseg._util.keys import UNKEYED, cache_key, full_key


@dataclass(frozen=True, eq=False)
class Settings:
    values: np.ndarray
    name: str = "a"
    workers: int = field(default=1, metadata=UNKEYED)


def test_arrays_count_by_their_values():
    large = np.arange(10_000.0)
    other = large.copy()
    other[5000] += 1e-9
    assert repr(large) == repr(other)  # why a key must not come from it
    assert cache_key(Settings(large)) == cache_key(Settings(large.copy())) != cache_key(Settings(other))
    assert cache_key(large.astype(np.float32)) != cache_key(large) != cache_key(large.reshape(100, 100))


def test_what_changes_no_result_does_not_count():
    values = np.zeros(2)
    assert cache_key(Settings(values, workers=8)) == cache_key(Settings(values))
    assert cache_key(Settings(values, name="b")) != cache_key(Settings(values))


def test_order_of_names_does_not_count_and_of_values_does():
    assert cache_key({"a": 1, "b": (1, 2)}) == cache_key({"b": [1, 2], "a": 1})
    assert cache_key([1, 2]) != cache_key([2, 1])
    assert cache_key({"a": np.float64(0.5), "b": np.int64(3)}) == cache_key({"a": 0.5, "b": 3})
    assert len(cache_key(None)) == 16 and int(cache_key(None), 16) >= 0


def test_two_classes_with_equal_fields_differ():
    @dataclass(frozen=True)
    class One:
        b: int = 1

    @dataclass(frozen=True)
    class Other:
        b: int = 1

    assert cache_key(One()) != cache_key(Other())


@pytest.mark.parametrize("value", [lambda labels, k: labels, object(), {"rule": print}])
def test_what_cannot_be_told_apart_has_no_key(value):
    with pytest.raises(TypeError, match="a cache key needs plain values, arrays or dataclasses of them, got"):
        cache_key(value)


def test_the_short_key_begins_the_full_one():
    value = [1, "a", np.arange(3)]
    assert len(full_key(value)) == 64 and full_key(value).startswith(cache_key(value)) and len(cache_key(value)) == 16
