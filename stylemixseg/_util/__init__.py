"""Helpers that know nothing of the method, so every room may use them: argument checks, files, downloads, streams."""
