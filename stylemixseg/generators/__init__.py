"""Generators behind one protocol: see `base.Generator`."""
