"""The formats that training code reads. Each is written sample by sample, in the order of the seeds, byte for byte equal.

Their names, which `--format` takes, stand in `FORMATS`. A library that one of them needs is imported with its module.
"""
