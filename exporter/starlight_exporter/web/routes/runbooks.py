"""Runbooks: pages for browsers, markdown for programs, with the addresses of this deployment in their commands."""

from __future__ import annotations

import re
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from starlight_exporter.file_access import read_content
from starlight_exporter.runs.application import Application
from starlight_exporter.web.pages.runbook import runbook_html
from starlight_exporter.web.responses import prefers_html
from starlight_exporter.web.service_addresses import ALERTMANAGER, PROMETHEUS, ServiceAddresses, replace_addresses

_NAME: Final = re.compile(r"([A-Za-z0-9]{1,100})(?:\.md)?")
_MAX_BYTES: Final = 1024 * 1024


class RunbookRoutes:
    """Handlers of /runbooks/{name}, where the name may have the suffix `.md`."""

    def __init__(self, application: Application, addresses: ServiceAddresses) -> None:
        self._application = application
        self._addresses = addresses

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [Route("/runbooks/{name}", self.runbook)]

    def runbook(self, request: Request) -> Response:
        """Return the runbook of an alert: as a page if the client is a browser, else as markdown.

        Alerts link to the name with the suffix, so the suffix does not select the form.
        """
        match = _NAME.fullmatch(request.path_params["name"])
        if match is None:
            raise HTTPException(404, "no such runbook")
        name, folder = match[1], self._application.config.runbooks()
        try:
            data = read_content(folder / f"{name}.md", max_bytes=_MAX_BYTES, root=folder).data
        except OSError as error:
            raise HTTPException(404, "no such runbook") from error
        # Files of `paths.runbooks` may have another encoding.
        text = replace_addresses(data.decode("utf-8", "replace"), self._addresses.replacements(self._own_url(request)))
        response = HTMLResponse(self._page(request, name, text)) if prefers_html(request) else PlainTextResponse(text)
        response.headers["Vary"] = "Accept"
        return response

    def _own_url(self, request: Request) -> str:
        """Return the external URL, or the address at which the client has reached the exporter."""
        external = self._application.state.snapshot.build.external_url
        host = request.headers.get("host", "")
        if external or not host:
            return external
        return f"{request.url.scheme}://{host}{request.scope['root_path']}/"

    def _page(self, request: Request, name: str, text: str) -> str:
        services = (
            ("Prometheus", PROMETHEUS, self._addresses.prometheus, "--web.prometheus-url"),
            ("Alertmanager", ALERTMANAGER, self._addresses.alertmanager, "--web.alertmanager-url"),
        )
        unknown = [(service, flag) for service, shipped, url, flag in services if not url and shipped in text]
        grafana = self._application.state.snapshot.build.grafana_url
        return runbook_html(name, text, unknown=unknown, grafana=grafana, root=request.scope["root_path"])
