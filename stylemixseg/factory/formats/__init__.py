"""The formats that training code reads, each written sample by sample in the order of the seeds.

Equal samples give equal files, byte for byte. The formats' names, which `--format` takes, stand in `base.FORMATS`. A
library that one of them needs is imported with its module.
"""
