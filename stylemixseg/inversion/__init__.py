"""From a photograph to a latent of the generator (section 4.3): encoder, optimisation, tuning, what is lost."""
