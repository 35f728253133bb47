"""Which ways to invert a photo a generator has."""

from __future__ import annotations

from stylemixseg.generators.base import Generator
from stylemixseg.generators.mobilestylegan import MobileStyleGAN
from stylemixseg.inversion.base import Inverter
from stylemixseg.inversion.encoder import Encoder
from stylemixseg.inversion.kinds import PROJECTOR_STEPS, REFINE_STEPS
from stylemixseg.inversion.preview import Preview
from stylemixseg.inversion.projector import EncoderThenProjector, Projector


def inverters(
    generator: Generator, projector_steps: int = PROJECTOR_STEPS, refine_steps: int = REFINE_STEPS
) -> dict[str, Inverter]:
    """The ways to invert that a generator has: {name of `kinds.INVERSIONS`: inverter}. It must run in PyTorch.

    The encoder was trained for the generator `faces`; any other has the projector alone. Where there is a preview, all
    steps look at it: the layers below the cutoff, which are all that a mask depends on, end at 32 px.

    Args:
        generator: whose latents are looked for.
        projector_steps: of optimisation from the average latent.
        refine_steps: of optimisation after the encoder.
    """
    preview = Preview(generator) if isinstance(generator, MobileStyleGAN) else None

    def projector(steps: int) -> Projector:
        return Projector(generator, preview=preview, steps=steps, preview_steps=steps if preview else 0)

    found: dict[str, Inverter] = {"projector": projector(projector_steps)}
    if isinstance(generator, MobileStyleGAN) and generator.name == "faces":
        first = Encoder.load(generator)
        found = {"encoder": first, **found, "both": EncoderThenProjector(first, projector(refine_steps))}
    return found
