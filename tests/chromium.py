"""Debian's chromium for tests: pages opened with the network cut, and what they asked for and complained of."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")

needs_chromium = pytest.mark.skipif(
    not CHROMIUM.exists(), reason="/usr/bin/chromium is missing: apt-get install chromium"
)


@contextmanager
def launched() -> Iterator[Any]:
    """Give a browser that asks nobody for anything by itself."""
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=options)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Any, file: Path, *, width: int = 1280, scheme: str = "light", **options: Any) -> Iterator[Any]:
    """Give the page of ``file`` as a reader sees it; its ``requests``, ``sent`` and ``complaints`` are lists of text.

    ``requests``: what it asks for. ``sent``: what of it the page's own policy lets through; all but files is cut off.
    ``complaints``: what it writes to the console, errors, and dialogs.
    """
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme, **options)
    page = context.new_page()
    page.requests, page.sent, page.complaints = [], [], []

    def cut(route: Any) -> None:
        page.sent.append(route.request.url)
        route.continue_() if route.request.url.startswith("file:") else route.abort()

    page.on("request", lambda sent: page.requests.append(sent.url))
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("dialog", lambda dialog: (page.complaints.append(dialog.message), dialog.dismiss()))
    page.route("**/*", cut)
    page.goto(file.as_uri())
    try:
        yield page
    finally:
        context.close()
