"""A recipe whose generator ends the process that it runs in, as a machine without memory does."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from stylemixseg.factory.recipe import Recipe
from stylemixseg.generators.base import seeded_z


@dataclass(frozen=True)
class DeadlyRecipe(Recipe):
    """Fatal to workers that make the sample of one seed: always, or only once where `once` names a file to remember it.

    Attributes:
        fatal: the seed.
        driver: process number of the test, which lives on.
        once: a file that is made at the first death, or None.
    """

    fatal: int = 0
    driver: int = 0
    once: str | None = None

    def load(self):
        generator = super().load()
        if os.getpid() != self.driver:
            mapping, fatal = generator.mapping, seeded_z(self.fatal, generator.z_dim)

            def deadly_mapping(z, truncation=1.0):
                if z.shape == fatal.shape and bool((z == fatal).all()) and not (self.once and Path(self.once).exists()):
                    if self.once:
                        Path(self.once).touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                return mapping(z, truncation)

            generator.mapping = deadly_mapping
        return generator
