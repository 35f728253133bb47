"""The ways to invert a photo, in words for the reader; whoever lists them needs no PyTorch."""

from __future__ import annotations

INVERSIONS = {
    "encoder": "the encoder alone",
    "projector": "optimisation from the average latent",
    "both": "the encoder, then a few steps of optimisation",
}
PROJECTOR_STEPS, REFINE_STEPS = 60, 30  # of optimisation alone, and after an encoder: what two cores bear
