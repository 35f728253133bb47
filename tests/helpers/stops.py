"""Stoppings that ask for an end by themselves, as Ctrl-C would."""

from __future__ import annotations

from stylemixseg.training import Stopping


class StopsAfter(Stopping):
    """Asks for an end after so many steps."""

    def __init__(self, steps: int):
        super().__init__()
        self._left = steps

    @property
    def asked(self) -> bool:
        """Whether all steps were taken; a training asks once before each."""
        self._left -= 1
        return self._left < 0
