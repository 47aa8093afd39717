"""URLs of pages."""

from __future__ import annotations

from urllib.parse import quote

from starlight_exporter.web.pages.page import url


def evaluation(evaluation_id: str) -> str:
    """Return the URL of an evaluation."""
    return f"/evaluations/{quote(evaluation_id, safe='')}"


def misclassified(evaluation_id: str, **filters: str | None) -> str:
    """Return the URL of the misclassified images; the filter `class` is passed as `file_class`."""
    named = {("class" if name == "file_class" else name): value for name, value in filters.items()}
    return url(f"{evaluation(evaluation_id)}/misclassified", named)


def image(evaluation_id: str, number: int) -> str:
    """Return the URL of one image of an evaluation."""
    return f"{evaluation(evaluation_id)}/images/{number}"
