"""Generators run by OpenVINO, which is faster than PyTorch on a CPU, and the reader of its files."""
