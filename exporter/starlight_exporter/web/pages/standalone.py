"""Parts of a page for a file that is read without the exporter: without links, forms and what only a site can do."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Final

_VOID: Final = frozenset(("area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"))
"""Elements without an end tag."""


def without_links(html: str) -> str:
    """Return HTML without forms, elements of class `actions` or with `data-page-only`; of links, the text is kept.

    `html` is well-formed, as the templates write it.
    """
    parser = _Filter()
    parser.feed(html)
    parser.close()
    return "".join(parser.parts)


class _Filter(HTMLParser):
    """Copies a document, except for what is removed. `_removed` is the depth within a removed element."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self._removed = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Copy or remove the start of an element."""
        if self._removed or _is_removed(tag, dict(attrs)):
            self._removed += tag not in _VOID
        elif tag != "a":
            self._copy(self.get_starttag_text() or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Copy or remove an element that ends itself, such as those of SVG."""
        if not _is_removed(tag, dict(attrs)):
            self._copy(self.get_starttag_text() or "")

    def handle_endtag(self, tag: str) -> None:
        """Copy or remove the end of an element."""
        if self._removed:
            self._removed -= 1
        elif tag != "a":
            self._copy(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        """Copy a text."""
        self._copy(data)

    def handle_entityref(self, name: str) -> None:
        """Copy a character reference by name."""
        self._copy(f"&{name};")

    def handle_charref(self, name: str) -> None:
        """Copy a character reference by number."""
        self._copy(f"&#{name};")

    def _copy(self, text: str) -> None:
        if not self._removed:
            self.parts.append(text)


def _is_removed(tag: str, attributes: dict[str, str | None]) -> bool:
    return tag == "form" or "data-page-only" in attributes or attributes.get("class") == "actions"
