"""Responses of pages: HTML, JSON or CSV, by the suffix of the path or the Accept header."""

from __future__ import annotations

from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from starlight_exporter.publish.csv_text import csv_parts
from starlight_exporter.web.pages.page import Page, Table, error_html, html, json_text


def page_routes(path: str, handler: Callable[[Request], object], *, data_path: str | None = None) -> list[Route]:
    """Return the routes of a page: the path for people, and the same with `.json` and `.csv` for programs."""
    base = data_path or path
    return [Route(f"{base}.json", handler), Route(f"{base}.csv", handler), Route(path, handler)]


def respond(request: Request, page: Page) -> Response:
    """Return the page in the form that the path ends in; without a suffix, the Accept header decides."""
    if request.url.path.endswith(".json"):
        return _json(request, page)
    if request.url.path.endswith(".csv"):
        return _csv(page, request.query_params.get("table"))
    accept = request.headers.get("accept", "")
    if not prefers_html(request) and "application/json" in accept:
        response = _json(request, page)
    elif not prefers_html(request) and "text/csv" in accept:
        response = _csv(page, request.query_params.get("table"))
    else:
        response = HTMLResponse(html(page, _root(request)))
    response.headers["Vary"] = "Accept"
    return response


def csv_response(table: Table) -> Response:
    """Return a table as CSV, sent in parts."""
    return StreamingResponse(csv_parts(table.columns, table.rows, line_end="\r\n"), media_type="text/csv")


def error_response(request: Request, error: HTTPException) -> Response:
    """Return the reason as one line of text, or as a page for a browser."""
    if prefers_html(request):
        page = error_html(error.status_code, error.detail, _root(request))
        return HTMLResponse(page, error.status_code, error.headers)
    return PlainTextResponse(f"{error.detail}\n", error.status_code, error.headers)


def prefers_html(request: Request) -> bool:
    """Return whether the client is a browser."""
    return "text/html" in request.headers.get("accept", "")


def _root(request: Request) -> str:
    root: str = request.scope["root_path"]
    return root


def _json(request: Request, page: Page) -> Response:
    return Response(json_text(page, _root(request)), media_type="application/json")


def _csv(page: Page, name: str | None) -> Response:
    table = page.tables.get(name or next(iter(page.tables)))
    if table is None:
        raise HTTPException(400, f"table: expected one of {', '.join(page.tables)}; got {(name or '')[:40]!r}")
    return csv_response(table)
