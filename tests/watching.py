"""What a page in the browser must not do: report errors, ask for more, be wider than the screen."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def watch(page: Page, wrong: list[str], allowed: Callable[[str], bool] = lambda url: True) -> None:
    """Put into ``wrong`` what the page reports as an error, and addresses that are not allowed."""
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda r: None if allowed(r.url) else wrong.append(r.url))
