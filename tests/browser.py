"""A headless Chromium for tests: serve a folder, open a page, and hold what went wrong on it.

Chromium is found on the PATH; nothing is downloaded. Where there is none, browser tests are
skipped, but on a continuous-integration server (``CI`` is set) they fail.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving import serve

from tools.chromium import NAMES, executable

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]


def require_chromium() -> str:
    """The path of Chromium; without one, skip the test, or fail it on a CI server."""
    found = executable()
    reason = f"no Chromium on the PATH (looked for {', '.join(NAMES)})"
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        found, reason = None, "the package playwright is not installed"
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"browser tests must run on a CI server: {reason}")
        pytest.skip(f"browser test: {reason}")
    return found


@dataclass
class Record:
    """What a page did: requests to other hosts, errors, and bytes received."""

    external: list[str] = field(default_factory=list)
    console_errors: list[str] = field(default_factory=list)
    page_errors: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    bytes: dict[str, int] = field(default_factory=dict)

    def assert_clean(self, allow: tuple[str, ...] = ()) -> None:
        """Fail if the page asked another host for something or reported an error.

        Args:
            allow: texts that excuse an error message which contains one of them.
        """
        assert self.external == []
        for errors in (self.console_errors, self.page_errors, self.failed):
            assert [e for e in errors if not any(text in e for text in allow)] == []


@contextlib.contextmanager
def chromium(**options: Any) -> Iterator[Any]:
    """A playwright browser context with a profile of its own, thrown away at the end."""
    path = require_chromium()
    from playwright.sync_api import sync_playwright

    options = {"viewport": {"width": 1000, "height": 900}, **options}
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        with sync_playwright() as playwright:
            context = playwright.chromium.launch_persistent_context(
                profile, executable_path=path, headless=True, args=_FLAGS, **options
            )
            try:
                yield context
            finally:
                context.close()


def open_page(context: Any, address: str) -> tuple[Any, Record]:
    """Open an address in a new page; requests to other hosts are recorded and refused."""
    page, record = context.new_page(), Record()

    def route(request_route: Any) -> None:
        url = request_route.request.url
        if url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            request_route.continue_()
        else:
            record.external.append(url)
            request_route.abort()

    def receive(response: Any) -> None:
        if response.status >= 400 and not response.url.endswith("/favicon.ico"):
            record.failed.append(f"{response.status} {response.url}")
        length = response.headers.get("content-length")
        record.bytes[response.url] = int(length) if length else 0

    def listen(message: Any) -> None:
        # Chromium asks every server for an icon on its own; that is not the page's doing
        if message.type == "error" and "favicon.ico" not in str(message.location):
            record.console_errors.append(message.text)

    page.route("**/*", route)
    page.on("response", receive)
    page.on("console", listen)
    page.on("pageerror", lambda error: record.page_errors.append(str(error)))
    page.goto(address)
    return page, record


@contextlib.contextmanager
def shown(context: Any, output: Any, folder: Path) -> Iterator[Any]:
    """A page that holds one widget, ready to be used; at the end it must have been clean.

    Args:
        context: from :func:`chromium`.
        output: what a cell would show: an object with ``tag`` and ``_repr_html_``.
        folder: an empty folder for the page.
    """
    document = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Widget</title><body>'
    (folder / "index.html").write_text(document + output._repr_html_(), encoding="utf-8")
    with serve(folder) as address:
        page, record = open_page(context, f"{address}/index.html")
        page.wait_for_selector(f"{output.tag}[data-ready]")
        yield page
        record.assert_clean()
        page.close()


def element(page: Any, script: str, argument: Any = None, *, tag: str) -> Any:
    """What a script returns about the first element of a tag, which it knows as ``e``.

    Args:
        page: from :func:`shown`.
        script: JavaScript statements.
        argument: what the script knows as ``argument``.
        tag: name of the element.
    """
    query = f"const e = document.querySelector('{tag}')"
    return page.evaluate(f"argument => {{ {query}; {script} }}", argument)


def rendered(panel: Any, index: int) -> np.ndarray:
    """What a panel's player sends out for one of its tracks, ``(1, time)``.

    Args:
        panel: locator of the element.
        index: of the track.
    """
    script = """async (element, index) => {
        const { sampleRate, duration, tracks } = element.player;
        const context = new OfflineAudioContext(1, Math.round(duration * sampleRate), sampleRate);
        const player = new Unmix.Player({ sampleRate, context });
        player.setTracks(tracks);
        player.select(index);
        player.play();
        const output = await context.startRendering();
        return Array.from(output.getChannelData(0));
    }"""
    return np.array(panel.evaluate(script, index))[None]


def assert_fits(page: Any, tag: str) -> None:
    """Fail if the page, or the panel of the widget of a tag on it, is wider than the screen."""
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]
    assert element(page, "return e.panel.scrollWidth - e.panel.clientWidth", tag=tag) <= 0
