"""What a block of code takes: time, and the memory that it adds."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest

from stylemixseg.experiments import costs
from stylemixseg.experiments.costs import spent


def test_time_and_the_memory_that_a_block_adds():
    held = np.ones(30_000_000 // 8)  # before the block, so it does not count
    with spent() as took:
        time.sleep(0.01)
        added = np.ones(60_000_000 // 8)
    assert took.seconds >= 0.01
    if took.added_bytes is None:
        pytest.skip("this system does not tell")
    assert 0.9 * added.nbytes < took.added_bytes < added.nbytes + held.nbytes / 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_memory_that_was_freed_within_the_block_counts():
    with spent() as took:
        np.ones(60_000_000 // 8)
    assert took.added_bytes is None or took.added_bytes > 50_000_000


def test_a_system_that_does_not_tell(monkeypatch, tmp_path):
    monkeypatch.setattr(costs, "_RESET", tmp_path / "no" / "file")
    with spent() as took:
        pass
    assert took.added_bytes is None and took.seconds >= 0
