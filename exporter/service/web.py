"""HTTP: scrapes, health, pages for people, and the two POSTs that change something."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import anyio
import anyio.to_thread
import structlog
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.dataset.names import thumbnail_name
from exporter.errors import ConfigError, StorageError
from exporter.evaluation.comparison import misclassified
from exporter.evaluation.predictions import predictions_csv
from exporter.evaluation.serialise import to_json
from exporter.publish.collector import build_registry
from exporter.publish.evidence import PREDICTIONS_FILE, Entry
from exporter.publish.exposition import render
from exporter.service import pages
from exporter.service.app import Application
from exporter.service.web_config import Users

_log = structlog.get_logger(__name__)
Handler = Callable[[Request], Awaitable[Response]]

OPEN_PATHS: Final = frozenset({"/-/healthy", "/-/ready"})
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_THUMBNAIL = re.compile(r"[0-9a-f]{24}\.png")
_RUNBOOK = re.compile(r"[A-Za-z0-9]{1,100}\.md")
LISTED_RUNS: Final = 200


def build_web(application: Application, *, lifecycle: bool, users: Users | None) -> ASGIApp:
    """The ASGI application; `lifecycle` allows POST, `users` (if any) have to identify themselves."""
    site = _Site(application, lifecycle=lifecycle)
    routes = [
        Route("/", site.status),
        Route("/metrics", site.metrics),
        Route("/-/healthy", site.healthy),
        Route("/-/ready", site.ready),
        Route("/-/reload", site.reload, methods=["POST"]),
        Route("/api/v1/evaluations", _Verbs(GET=site.list_runs, POST=site.evaluate)),
        Route("/evaluations/latest", site.latest),
        Route("/evaluations/latest/misclassified", site.latest_misclassified),
        Route("/evaluations/{id}.json", site.evaluation_json),
        Route("/evaluations/{id}", site.evaluation),
        Route("/evaluations/{id}/predictions.csv", site.predictions),
        Route("/evaluations/{id}/misclassified", site.misclassified),
        Route("/evaluations/{id}/misclassified.csv", site.misclassified_csv),
        Route("/evaluations/{id}/thumbnails/{name}", site.thumbnail),
        Route("/runbooks/{name}", site.runbook),
        Route("/static/style.css", site.style),
    ]
    middleware = [Middleware(GZipMiddleware, minimum_size=1000, compresslevel=4)]
    if users is not None:
        middleware.insert(0, Middleware(_BasicAuth, users=users))
    starlette = Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers={HTTPException: _plain_error, StorageError: _storage_error},
    )
    starlette.router.redirect_slashes = False
    # Around everything: Starlette answers an unexpected error outside of its own middleware.
    return _Headers(starlette)


class _Site:
    """The handlers."""

    def __init__(self, application: Application, *, lifecycle: bool) -> None:
        self._app = application
        self._lifecycle = lifecycle
        self._registry = build_registry(lambda: application.state.snapshot)

    async def status(self, _request: Request) -> Response:
        state = self._app.state
        return HTMLResponse(pages.status_page(state.snapshot, state.runs(), self._app.not_ready()))

    async def metrics(self, request: Request) -> Response:
        names = request.query_params.getlist("name[]")
        accept = request.headers.get("accept")
        body, content_type = await anyio.to_thread.run_sync(render, self._registry, accept, names)
        return Response(body, headers={"Content-Type": content_type})

    async def healthy(self, _request: Request) -> Response:
        return PlainTextResponse("healthy\n")

    async def ready(self, _request: Request) -> Response:
        reason = self._app.not_ready()
        return PlainTextResponse(f"{reason}\n", 503) if reason else PlainTextResponse("ready\n")

    async def reload(self, _request: Request) -> Response:
        self._require_lifecycle()
        try:
            await anyio.to_thread.run_sync(self._app.reload)
        except ConfigError as error:
            return PlainTextResponse(f"not reloaded: {error}\n", 500)
        return PlainTextResponse("reloaded\n")

    async def evaluate(self, request: Request) -> Response:
        self._require_lifecycle()
        model, dataset = request.query_params.get("model"), request.query_params.get("dataset")
        unknown = set(request.query_params) - {"model", "dataset"}
        if unknown:
            raise HTTPException(400, f"unknown parameter {sorted(unknown)[0]!r}; expected model, dataset or neither")
        snapshot = self._app.state.snapshot
        if model is not None and model not in snapshot.models:
            raise HTTPException(404, f"no model {model!r}; configured: {', '.join(snapshot.models)}")
        if dataset is not None and dataset not in snapshot.datasets:
            raise HTTPException(404, f"no dataset {dataset!r}; configured: {', '.join(snapshot.datasets)}")
        pairs = self._app.evaluate(model, dataset, "request")
        return JSONResponse({"queued": [{"model": m, "dataset": d} for m, d in pairs]}, 202)

    async def list_runs(self, _request: Request) -> Response:
        return JSONResponse({"evaluations": [asdict(run) for run in self._app.state.runs()[:LISTED_RUNS]]})

    async def latest(self, request: Request) -> Response:
        return RedirectResponse(f"/evaluations/{self._latest(request)}", 307)

    async def latest_misclassified(self, request: Request) -> Response:
        found = self._latest(request)
        rest = [(k, v) for k, v in request.query_params.multi_items() if k not in ("model", "dataset")]
        query = urlencode(rest)
        return RedirectResponse(f"/evaluations/{found}/misclassified" + (f"?{query}" if query else ""), 307)

    async def evaluation(self, request: Request) -> Response:
        entry = await self._entry(request)
        evaluation = await anyio.to_thread.run_sync(self._app.evidence.evaluation, entry)
        return HTMLResponse(pages.evaluation_page(evaluation))

    async def evaluation_json(self, request: Request) -> Response:
        entry = await self._entry(request)
        evaluation = await anyio.to_thread.run_sync(self._app.evidence.evaluation, entry)
        return Response(to_json(evaluation), media_type="application/json")

    async def predictions(self, request: Request) -> Response:
        entry = await self._entry(request)
        file = self._app.evidence.folder(entry) / PREDICTIONS_FILE
        if not file.is_file():
            raise StorageError(f"{file}: no such file")
        return FileResponse(file, media_type="text/csv")

    async def misclassified(self, request: Request) -> Response:
        entry = await self._entry(request)
        query = dict(request.query_params)

        def page() -> str:
            wrong = misclassified(self._app.evidence.predictions(entry))
            names = {item.path: thumbnail_name(item.path) for item in wrong}
            there = {p: n for p, n in names.items() if (self._thumbnails(entry) / n).is_file()}
            return pages.misclassified_page(self._app.evidence, entry, query, there)

        return HTMLResponse(await anyio.to_thread.run_sync(page))

    async def misclassified_csv(self, request: Request) -> Response:
        entry = await self._entry(request)
        predictions = await anyio.to_thread.run_sync(self._app.evidence.predictions, entry)
        chosen = misclassified(pages.selected(predictions, request.query_params))
        return Response(predictions_csv(chosen), media_type="text/csv")

    async def thumbnail(self, request: Request) -> Response:
        entry = await self._entry(request)
        name = request.path_params["name"]
        file = self._thumbnails(entry) / name
        if not _THUMBNAIL.fullmatch(name) or not file.is_file():
            raise HTTPException(404, "no such thumbnail")
        return FileResponse(file, media_type="image/png")

    async def runbook(self, request: Request) -> Response:
        name = request.path_params["name"]
        file = self._app.config.paths.runbooks / name
        if not _RUNBOOK.fullmatch(name) or not file.is_file():
            raise HTTPException(404, "no such runbook")
        return PlainTextResponse(file.read_text(encoding="utf-8"))

    async def style(self, _request: Request) -> Response:
        return FileResponse(pages.TEMPLATES / "style.css", media_type="text/css")

    def _require_lifecycle(self) -> None:
        if not self._lifecycle:
            raise HTTPException(403, "not allowed: start the exporter with --web.enable-lifecycle")

    def _latest(self, request: Request) -> str:
        model, dataset = request.query_params.get("model", ""), request.query_params.get("dataset", "")
        run = self._app.state.snapshot.runs.get((model, dataset))
        if run is None or run.evaluation is None:
            raise HTTPException(404, f"no evaluation of model {model!r} on dataset {dataset!r}")
        return run.evaluation.id

    async def _entry(self, request: Request) -> Entry:
        entry = await anyio.to_thread.run_sync(self._app.evidence.find, request.path_params["id"])
        if entry is None:
            raise HTTPException(404, "no such evaluation, or its evidence had to make room for newer ones")
        return entry

    def _thumbnails(self, entry: Entry) -> Path:
        return self._app.evidence.folder(entry) / "thumbnails"


class _Verbs:
    """An endpoint with one handler per verb; Starlette answers other verbs with 405 and `Allow`."""

    def __init__(self, **handlers: Handler) -> None:
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        verb = "GET" if request.method == "HEAD" else request.method
        handler = self._handlers.get(verb)
        if handler is None:
            raise HTTPException(405, "Method Not Allowed", {"Allow": ", ".join([*self._handlers, "HEAD"])})
        response = await handler(request)
        await response(scope, receive, send)


class _Headers:
    """The security headers, on every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


class _BasicAuth:
    """401 for everything but health without a known user; bcrypt runs beside the event loop."""

    def __init__(self, app: ASGIApp, users: Users) -> None:
        self._app = app
        self._users = users
        # Of its own: whoever guesses passwords must not take the threads that scrapes need.
        self._checks = anyio.CapacityLimiter(2)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        header = Request(scope).headers.get("authorization", "")
        if self._users.remembered(header) or (
            header and await anyio.to_thread.run_sync(self._users.accept, header, limiter=self._checks)
        ):
            await self._app(scope, receive, send)
            return
        response = PlainTextResponse("unauthorized\n", 401, {"WWW-Authenticate": 'Basic realm="starlight"'})
        await response(scope, receive, send)


async def _plain_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return PlainTextResponse(f"{error.detail}\n", error.status_code, error.headers)


async def _storage_error(request: Request, error: Exception) -> Response:
    _log.error("evidence not readable", path=request.url.path, reason=str(error))
    return PlainTextResponse("the evidence cannot be read; the log says why\n", 500)
