"""Where a number comes from: the commit, the address of the code, the words for when."""

from __future__ import annotations

import inspect
import subprocess

import pytest

from stylemixseg.evaluation import provenance
from stylemixseg.evaluation.provenance import REPOSITORY, ROOT, code_address, made_by, revision, standing
from stylemixseg.experiments.evaluation import score_queries


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


def test_the_address_names_the_lines_of_a_function():
    address = code_address(score_queries)
    assert address.startswith(f"{REPOSITORY}/blob/{revision()}/stylemixseg/experiments/evaluation.py#L")
    first, last = map(int, address.split("#L")[1].split("-L"))
    assert first == inspect.getsourcelines(score_queries)[1] and last - first + 1 == len(
        inspect.getsourcelines(score_queries)[0]
    )


def test_a_chapter_is_made_by_the_book():
    assert made_by("table1", {"table1": score_queries}) == ("stylemixseg reproduce table1", code_address(score_queries))
    command, address = made_by("01_tour", {"table1": score_queries})
    assert command == "make book" and address.endswith("/notebooks/01_tour.py")


def test_when_in_words():
    assert standing("2026-11-25T10:00:00+00:00", None) == "on 2026-11-25"
    assert standing("2026-11-25T10:00:00+00:00", "2026-11-25T10:00:00+00:00") == "in this build"
    assert standing("2026-11-25T10:00:00+00:00", "2026-11-25T10:00:01+00:00") == "on 2026-11-25"
