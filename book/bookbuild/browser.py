"""The browser that prints pages and slides, where there is one."""

from __future__ import annotations

import shutil

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_browser() -> str | None:
    """Path of Chromium or Chrome, None where there is none."""
    return next(filter(None, map(shutil.which, _NAMES)), None)
