"""Judges of pixels that were fitted over many images of one generator."""
