"""What several commands have in common."""

from __future__ import annotations

import argparse
from pathlib import Path

DEFAULT_RESULTS = Path("book/results")
FORMATS = """\
Formats, found from the content: NVIDIA's PyTorch and TensorFlow pickles, rosinality's .pt (pSp, e4e and ReStyle
files too), this package's safetensors. Nothing in the file is run.
"""


def add_profile_and_results(parser: argparse.ArgumentParser, profile: str = "cpu") -> None:
    """Add the options `--profile` and `--results`."""
    parser.add_argument("--profile", default=profile, help=f"size of the run: smoke, cpu, full or paper ({profile})")
    parser.add_argument(
        "--results",
        type=Path,
        default=DEFAULT_RESULTS,
        metavar="DIR",
        help=f"folder of all results ({DEFAULT_RESULTS})",
    )
