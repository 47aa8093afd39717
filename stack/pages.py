"""Find the pages of servers: Debian's Prometheus has other paths than the published one, its Alertmanager has none."""

from __future__ import annotations

from collections.abc import Sequence
from http.client import HTTPException
from typing import Final

from starlight_exporter.http_client import HttpClient

PROMETHEUS_PAGES: Final = ("/alerts", "/classic/alerts")
ALERTMANAGER_PAGES: Final = ("/",)


def page_address(address: str, paths: Sequence[str]) -> str:
    """Return the first URL of these paths that is a page, or a text which states that the server has no pages."""
    for path in paths:
        if is_page(f"{address}{path}"):
            return f"{address}{path}"
    return f"no pages in this version; API at {address}/api/"


def is_page(url: str) -> bool:
    """Return whether a URL returns a page within five seconds.

    The pages of Prometheus and Alertmanager have scripts; what Debian's Alertmanager has in place of them does not.
    """
    try:
        return b"<script" in HttpClient().get(url, timeout=5, accept="text/html")
    except (OSError, HTTPException):
        return False
