"""Addresses of pages; every one is made here, so that a route changes in two places at most."""

from __future__ import annotations

from urllib.parse import quote

from starlight_exporter.web.pages.page import address


def evaluation(evaluation_id: str) -> str:
    """The page of an evaluation."""
    return f"/evaluations/{quote(evaluation_id, safe='')}"


def misclassified(evaluation_id: str, **filters: str | None) -> str:
    """The images whose verdict is wrong; a `class` goes as `file_class`."""
    named = {("class" if name == "file_class" else name): value for name, value in filters.items()}
    return address(f"{evaluation(evaluation_id)}/misclassified", named)


def image(evaluation_id: str, number: int) -> str:
    """One image of an evaluation."""
    return f"{evaluation(evaluation_id)}/images/{number}"
