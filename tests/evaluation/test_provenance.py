"""Where a number comes from: the commit, the address of the code, the words for when."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest

from stylemixseg.evaluation import provenance
from stylemixseg.evaluation.provenance import REPOSITORY, ROOT, code_address, made_by, revision, standing


@pytest.fixture(autouse=True)
def asked_anew():
    revision.cache_clear()
    yield
    revision.cache_clear()


def test_the_commit_of_this_checkout():
    if not (ROOT / ".git").exists():
        pytest.skip("this source tree is no git checkout")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert revision() == head.strip() and len(revision()) == 40


def test_an_installed_package_has_no_commit(tmp_path, monkeypatch):
    """Not even inside another repository, whose commit says nothing about this package."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "site-packages").mkdir()
    monkeypatch.setattr(provenance, "ROOT", tmp_path / "site-packages")
    assert revision() == "main"


def test_the_address_names_the_lines():
    start = f"{REPOSITORY}/blob/{revision()}/stylemixseg/metrics.py"
    assert code_address("stylemixseg/metrics.py") == start
    assert code_address(ROOT / "stylemixseg" / "metrics.py", (3, 17)) == f"{start}#L3-L17"


def test_an_experiment_is_made_by_reproduce_and_a_chapter_by_the_book():
    source = SimpleNamespace(file=ROOT / "stylemixseg" / "metrics.py", lines=(3, 17))
    command, address = made_by("table1", {"table1": source})
    assert command == "stylemixseg reproduce table1" and address == code_address(source.file, (3, 17))
    command, address = made_by("01_tour", {"table1": source})
    assert command == "make book" and address.endswith("/notebooks/01_tour.py")


def test_when_in_words():
    assert standing("2026-11-25T10:00:00+00:00", None) == "on 2026-11-25"
    assert standing("2026-11-25T10:00:00+00:00", "2026-11-25T10:00:00+00:00") == "in this build"
    assert standing("2026-11-25T10:00:00+00:00", "2026-11-25T10:00:01+00:00") == "on 2026-11-25"
