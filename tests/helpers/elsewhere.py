"""A recipe that describes itself otherwise in other processes, as on a machine with another version of a library."""

from __future__ import annotations

import os
from dataclasses import dataclass

from stylemixseg.factory.recipe import Recipe


@dataclass(frozen=True)
class OtherRecipe(Recipe):
    """Where another version of PyTorch makes the samples.

    Attributes:
        driver: process number of the test, which has the right version.
    """

    driver: int = 0

    def describe(self, generator):
        found = super().describe(generator)
        if os.getpid() != self.driver:
            found["versions"]["torch"] = "0.0"
        return found
