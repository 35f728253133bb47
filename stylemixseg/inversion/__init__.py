"""From a photograph to a latent of the generator: alignment, encoder, optimisation, tuning, and what is lost."""
