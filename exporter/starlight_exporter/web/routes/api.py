"""Endpoints for programs: scrapes, health checks, reload, and the list and start of evaluations."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from starlight_exporter.errors import ConfigError
from starlight_exporter.publish.collector import build_registry
from starlight_exporter.runs.application import Application
from starlight_exporter.web.active_web_config import ActiveWebConfig
from starlight_exporter.web.reload import reload_all
from starlight_exporter.web.shared_rendering import SharedRendering

LISTED_RUNS: Final = 200


class ApiRoutes:
    """Handlers of /metrics, /-/… and /api/v1/…; `lifecycle` enables the POST requests."""

    def __init__(self, application: Application, web_config: ActiveWebConfig, *, lifecycle: bool) -> None:
        self._application = application
        self._web_config = web_config
        self._lifecycle = lifecycle
        self._rendering = SharedRendering(build_registry(application.scraped))

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/metrics", self.metrics),
            Route("/-/healthy", self.healthy),
            Route("/-/ready", self.ready),
            Route("/-/reload", self.reload, methods=["POST"]),
            Route("/api/v1/evaluations", self.evaluations, methods=["GET", "POST"]),
        ]

    async def metrics(self, request: Request) -> Response:
        """Return the metrics, all or those of the parameters `name[]`."""
        names = request.query_params.getlist("name[]")
        body, content_type = await self._rendering.exposition(request.headers.get("accept"), names)
        return Response(body, headers={"Content-Type": content_type})

    async def healthy(self, _request: Request) -> Response:
        """Return 200 while the process serves requests."""
        return PlainTextResponse("healthy\n")

    async def ready(self, _request: Request) -> Response:
        """Return 503 with the reason until every production model has a result on every dataset."""
        reason = self._application.not_ready()
        return PlainTextResponse(f"{reason}\n", 503) if reason else PlainTextResponse("ready\n")

    def reload(self, _request: Request) -> Response:
        """Reload the configuration and check the web configuration; 500 with the reason if one is invalid."""
        self._require_lifecycle()
        try:
            reload_all(self._application, self._web_config)
        except ConfigError as error:
            return PlainTextResponse(f"not reloaded: {error}\n", 500)
        return PlainTextResponse("reloaded\n")

    async def evaluations(self, request: Request) -> Response:
        """List the recent runs (GET), or queue evaluations (POST)."""
        if request.method == "POST":
            return self._queue_evaluations(request)
        runs = self._application.state.runs()[:LISTED_RUNS]
        return JSONResponse({"evaluations": [asdict(run) for run in runs]})

    def _queue_evaluations(self, request: Request) -> Response:
        self._require_lifecycle()
        model, dataset = request.query_params.get("model"), request.query_params.get("dataset")
        unknown = set(request.query_params) - {"model", "dataset"}
        if unknown:
            raise HTTPException(400, f"unknown parameter {sorted(unknown)[0]!r}; expected model, dataset or neither")
        snapshot = self._application.state.snapshot
        if model is not None and model not in snapshot.models:
            raise HTTPException(404, f"no model {model!r}; configured: {', '.join(snapshot.models)}")
        if dataset is not None and dataset not in snapshot.datasets:
            raise HTTPException(404, f"no dataset {dataset!r}; configured: {', '.join(snapshot.datasets)}")
        pairs = self._application.evaluate(model, dataset, "request")
        return JSONResponse({"queued": [{"model": m, "dataset": d} for m, d in pairs]}, 202)

    def _require_lifecycle(self) -> None:
        if not self._lifecycle:
            raise HTTPException(403, "not allowed: start the exporter with --web.enable-lifecycle")
