"""Where images come from: networks, their checkpoints and a toy world, behind one protocol (`base.Generator`)."""
