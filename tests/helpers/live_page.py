"""The live page by itself, outside of the book: its parts in a folder, and driven."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from chromium import Page

# The document as the book's pages have it.
DOCUMENT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Live</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="live/live.css"></head>
<body><div data-style-mix-live><p>This needs JavaScript.</p></div><script src="live/live.js" defer></script></body></html>
"""
ROOT = "document.querySelector('[data-style-mix-live]')"


def faces_page(folder: Path) -> None:
    """Write the page of the real faces with its network, and with a recording of one face at one cutoff.

    Raises:
        BuildError: the runtime is not there, because the book has not been built with npm.
    """
    from stylemixseg.experiments.profile import load_profile
    from stylemixseg.generators.zoo import load_generator

    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book"))
    from bookbuild import layout, live, vendor

    if not vendor.RUNTIME.is_dir():
        raise layout.BuildError("the runtime of the live page is not there: `make book` gets it through npm")
    profile = load_profile("cpu").changed(queries={"examples": (0,)}, table4={"cutoffs": (6,)})
    (folder / "live").mkdir()
    live.write_page_parts(load_generator("faces"), profile, folder / "live", None)
    (folder / "page.html").write_text(DOCUMENT)


def start(page: Page, button: int = 0, seconds: float = 120) -> None:
    """Click one of the buttons that start, and wait for the mask."""
    page.evaluate(f"{ROOT}.querySelectorAll('.live-start')[{button}].click()")
    wait_until_done(page, seconds)


def wait_until_done(page: Page, seconds: float = 120) -> None:
    """Wait until mixes, clusters and mask are those of the present settings."""
    ended = page.wait_for(f"['done', 'failed'].includes({ROOT}.dataset.state)", seconds)
    said = page.evaluate(f"{ROOT}.querySelector('.live-status').textContent")
    assert ended and page.evaluate(f"{ROOT}.dataset.state") == "done", said


def state(page: Page, name: str):
    """A value of the bench: `face`, `c`, `n`, `mask`, ..."""
    return page.evaluate(f"((value) => ArrayBuffer.isView(value) ? [...value] : value)({ROOT}.bench.state.{name})")


def mask_of(page: Page) -> np.ndarray:
    """The page's mask, (side, side) bool."""
    values = np.array(state(page, "mask"), bool)
    side = round(len(values) ** 0.5)
    return values.reshape(side, side)


def labels_of(page: Page) -> np.ndarray:
    """The page's cluster map, (side, side) int."""
    values = np.array(state(page, "labels"))
    side = round(len(values) ** 0.5)
    return values.reshape(side, side)
