"""URLs of pages."""

from __future__ import annotations

from urllib.parse import quote

from starlight_exporter.web.pages.page import SitePath, url


def evaluation(evaluation_id: str) -> SitePath:
    """Return the URL of an evaluation."""
    return SitePath(f"/evaluations/{quote(evaluation_id, safe='')}")


def embeddings(evaluation_id: str) -> SitePath:
    """Return the URL of the embeddings of an evaluation."""
    return SitePath(f"{evaluation(evaluation_id)}/embeddings")


def misclassified(evaluation_id: str, **filters: str | None) -> SitePath:
    """Return the URL of the misclassified images; the filter `class` is passed as `file_class`."""
    named = {("class" if name == "file_class" else name): value for name, value in filters.items()}
    return url(f"{evaluation(evaluation_id)}/misclassified", named)


def image(evaluation_id: str, number: int) -> SitePath:
    """Return the URL of one image of an evaluation."""
    return SitePath(f"{evaluation(evaluation_id)}/images/{number}")
