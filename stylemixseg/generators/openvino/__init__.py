"""Generators run by OpenVINO, and its files."""
