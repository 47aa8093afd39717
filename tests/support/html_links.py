"""The URLs of an HTML page."""

from __future__ import annotations

from html.parser import HTMLParser


def page_links(html: str) -> list[str]:
    """Return the URLs of links, forms, style sheets and images, in the order of the page."""
    parser = _Links()
    parser.feed(html)
    return parser.found


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("href", "src", "action") and value]
