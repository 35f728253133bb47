"""`stylemixseg choose-settings`: a table, a choice, a file; and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest

from stylemixseg.commands.main import main
from stylemixseg.joint.stability import Halves

QUICK = ["choose-settings", "--generator", "toy-portrait", "--images", "2", "-n", "6", "--resolution", "32"]


def test_the_table_the_choice_and_the_file(capsys, tmp_path):
    path = tmp_path / "new" / "stability.json"
    assert main([*QUICK, "--cutoffs", "2", "6", "-k", "2", "3", "-o", str(path)]) == 0
    out = capsys.readouterr().out
    record = json.loads(path.read_text())
    assert set(record["halves"]) == {"c2.k2", "c2.k3", "c6.k2", "c6.k3"}
    assert all(len(values) == 2 for values in record["halves"].values())
    # The toy world keeps its structure in layers 0 to 5, and its portraits hold three regions.
    assert record["chosen"] == {"cutoff": 6, "k": 3}
    agreement, explained = (np.mean([item[key] for item in record["halves"]["c6.k3"]]) for key in Halves._fields)
    assert f"{agreement:.2f}" in out and f"{explained:.1f}\n" in out and "chosen: -c 6 -k 3" in out


@pytest.mark.parametrize(
    "wrong, message",
    [
        (["--images", "0"], "--images must be at least 1, got 0"),
        (["--cutoffs", "12"], "cutoffs must be"),
        (["-k", "1"], "ks must be at least 2, got 1"),
        (["-n", "3"], "n must be at least 4, got 3"),
        (["--resolution", "33"], "resolution"),
        (["--generator", "nobody"], "nobody"),
    ],
)
def test_bad_input_is_named(wrong, message, capsys):
    assert main([*QUICK, *wrong]) == 1
    assert message in capsys.readouterr().err
