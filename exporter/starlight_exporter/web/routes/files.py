"""Runbooks, style sheets and the icon."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from starlight_exporter.file_access import read_content
from starlight_exporter.publish.charts import STYLE_SHEET
from starlight_exporter.runs.application import Application
from starlight_exporter.web.pages.page import TEMPLATES

_RUNBOOK: Final = re.compile(r"[A-Za-z0-9]{1,100}\.md")
_MAX_RUNBOOK_BYTES: Final = 1024 * 1024
_STATIC: Final[Mapping[str, tuple[Path, str]]] = {
    "style.css": (TEMPLATES / "style.css", "text/css"),
    "chart.css": (STYLE_SHEET, "text/css"),
    "icon.svg": (TEMPLATES / "icon.svg", "image/svg+xml"),
}


class FileRoutes:
    """Handlers of /runbooks/{name} and /static/{name}."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [Route("/runbooks/{name}", self.runbook), Route("/static/{name}", self.static)]

    def runbook(self, request: Request) -> Response:
        """Return the runbook of an alert as markdown."""
        name = request.path_params["name"]
        folder = self._application.config.runbooks()
        if not _RUNBOOK.fullmatch(name):
            raise HTTPException(404, "no such runbook")
        try:
            text = read_content(folder / name, max_bytes=_MAX_RUNBOOK_BYTES, root=folder).data
        except OSError as error:
            raise HTTPException(404, "no such runbook") from error
        return PlainTextResponse(text)

    def static(self, request: Request) -> Response:
        """Return a style sheet or the icon."""
        name = request.path_params["name"]
        if name not in _STATIC:
            raise HTTPException(404, "no such file")
        file, media_type = _STATIC[name]
        return FileResponse(file, media_type=media_type)
