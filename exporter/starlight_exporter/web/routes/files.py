"""Style sheets and the icon."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from starlight_exporter.publish import style_sheets
from starlight_exporter.web.pages.page import TEMPLATES

_STATIC: Final[Mapping[str, tuple[Path, str]]] = {
    "style.css": (style_sheets.PAGES, "text/css"),
    "chart.css": (style_sheets.CHARTS, "text/css"),
    "icon.svg": (TEMPLATES / "icon.svg", "image/svg+xml"),
}


class FileRoutes:
    """Handler of /static/{name}."""

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [Route("/static/{name}", self.static)]

    def static(self, request: Request) -> Response:
        """Return a style sheet or the icon."""
        name = request.path_params["name"]
        if name not in _STATIC:
            raise HTTPException(404, "no such file")
        file, media_type = _STATIC[name]
        return FileResponse(file, media_type=media_type)
