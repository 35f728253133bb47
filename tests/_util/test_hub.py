"""What the hub's libraries raise becomes one error that says what to do."""

from __future__ import annotations

import pytest

from stylemixseg._util.hub import HUB_ID, errors_explained


class UnavailableError(RuntimeError):
    pass


def test_a_damaged_folder_and_a_hub_out_of_reach_are_told_apart():
    with pytest.raises(UnavailableError, match="^folder is not a whole model: header too large$") as caught:
        with errors_explained("folder", True, UnavailableError):
            raise OSError("header too large\nand more lines")
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(UnavailableError, match="^a/b could not be had from the hub: KeyError .*`hf download a/b --loc"):
        with errors_explained("a/b", False, UnavailableError):
            raise KeyError
    with errors_explained("a/b", False, UnavailableError):
        pass


@pytest.mark.parametrize(
    "name, is_one", [("a/b", True), ("a-1/b.c_2", True), ("a", False), ("../b", False), ("a/b/c", False)]
)
def test_ids(name, is_one):
    assert bool(HUB_ID.fullmatch(name)) == is_one
