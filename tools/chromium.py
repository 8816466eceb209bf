"""The browser that prints handouts and that the site is tested in."""

from __future__ import annotations

import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def executable() -> str | None:
    """Where Chromium or Chrome is on this machine, if it is on the PATH."""
    return next((path for path in map(shutil.which, NAMES) if path), None)
