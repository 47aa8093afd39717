"""The page of a runbook: its markdown as HTML. Raw HTML in the markdown is shown as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from markdown_it import MarkdownIt
from markupsafe import Markup

from starlight_exporter.web.pages.page import render

# Links with schemes that run code, such as javascript:, stay text.
_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False}).enable("table")


def runbook_html(name: str, text: str, *, unknown: Sequence[tuple[str, str]], grafana: str, root: str) -> str:
    """Return a runbook as an HTML page. `unknown` are services whose address is not known, with the flag that sets it.

    `grafana` is the URL of Grafana or empty; `root` is the prefix of the site in links.
    """
    content = Markup(_MARKDOWN.render(text))
    return render("runbook.html", root, name=name, content=content, unknown=unknown, grafana=grafana)
