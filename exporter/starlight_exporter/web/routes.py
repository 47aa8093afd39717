"""HTTP: scrapes, health, pages for people, and the two POSTs that change something."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Final

import anyio
import anyio.to_thread
import structlog
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from starlight_exporter.errors import ConfigError, StorageError
from starlight_exporter.publish.collector import build_registry
from starlight_exporter.publish.exposition import render
from starlight_exporter.runs.application import Application
from starlight_exporter.web.pages.page import error_html
from starlight_exporter.web.site import EvidenceSite, wants_html
from starlight_exporter.web.web_config import Users

_log = structlog.get_logger(__name__)
Handler = Callable[[Request], Awaitable[Response]]

OPEN_PATHS: Final = frozenset({"/-/healthy", "/-/ready"})
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
LISTED_RUNS: Final = 200
SCRAPES_AT_ONCE: Final = 4


def build_web(application: Application, *, lifecycle: bool, users: Users | None) -> ASGIApp:
    """The ASGI application; `lifecycle` allows POST, `users` (if any) have to identify themselves."""
    site = _Site(application, lifecycle=lifecycle)
    routes = [
        Route("/metrics", site.metrics),
        Route("/-/healthy", site.healthy),
        Route("/-/ready", site.ready),
        Route("/-/reload", site.reload, methods=["POST"]),
        Route("/api/v1/evaluations", _Verbs(GET=site.list_runs, POST=site.evaluate)),
        *EvidenceSite(application).routes(),
    ]
    middleware = [Middleware(GZipMiddleware, minimum_size=1000, compresslevel=4)]
    if users is not None:
        middleware.insert(0, Middleware(_BasicAuth, users=users))
    starlette = Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers={HTTPException: _http_error, StorageError: _storage_error},
    )
    starlette.router.redirect_slashes = False
    # Around everything: Starlette answers an unexpected error outside of its own middleware.
    return _Headers(starlette)


class _Site:
    """The handlers."""

    def __init__(self, application: Application, *, lifecycle: bool) -> None:
        self._app = application
        self._lifecycle = lifecycle
        self._registry = build_registry(application.scraped)
        # Of their own: slow pages must not take the threads that scrapes need.
        self._scrapes = anyio.CapacityLimiter(SCRAPES_AT_ONCE)

    async def metrics(self, request: Request) -> Response:
        names = request.query_params.getlist("name[]")
        accept = request.headers.get("accept")
        body, content_type = await anyio.to_thread.run_sync(
            render, self._registry, accept, names, limiter=self._scrapes
        )
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

    def _require_lifecycle(self) -> None:
        if not self._lifecycle:
            raise HTTPException(403, "not allowed: start the exporter with --web.enable-lifecycle")


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


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if wants_html(request):
        return HTMLResponse(error_html(error.status_code, error.detail), error.status_code, error.headers)
    return PlainTextResponse(f"{error.detail}\n", error.status_code, error.headers)


async def _storage_error(request: Request, error: Exception) -> Response:
    _log.error("evidence not readable", path=request.url.path, reason=str(error))
    return await _http_error(request, HTTPException(500, "the evidence cannot be read; the log says why"))
