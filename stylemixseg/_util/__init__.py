"""Helpers that know nothing of the method: argument checks, files, downloads, streams."""
