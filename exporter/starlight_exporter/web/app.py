"""The ASGI application: routes, middleware and the mapping of errors to status codes."""

from __future__ import annotations

from typing import Final

import structlog
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from starlight_exporter.errors import ComparisonError, ImageError, QueryError, StorageError
from starlight_exporter.runs.application import Application
from starlight_exporter.web.active_web_config import ActiveWebConfig
from starlight_exporter.web.admission import HEALTH_PATHS, Admission
from starlight_exporter.web.authentication import BasicAuthentication
from starlight_exporter.web.request_checks import Prefix, RequestChecks
from starlight_exporter.web.responses import error_response
from starlight_exporter.web.routes.api import ApiRoutes
from starlight_exporter.web.routes.evaluations import EvaluationRoutes
from starlight_exporter.web.routes.files import FileRoutes
from starlight_exporter.web.routes.images import ImageRoutes
from starlight_exporter.web.routes.overview import OverviewRoutes
from starlight_exporter.web.routes.runbooks import RunbookRoutes
from starlight_exporter.web.service_addresses import ServiceAddresses
from starlight_exporter.web.site import Site

_log = structlog.get_logger(__name__)

UNKNOWN_ADDRESSES: Final = ServiceAddresses()

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def create_app(
    application: Application,
    *,
    lifecycle: bool,
    site: Site,
    web_config: ActiveWebConfig,
    addresses: ServiceAddresses = UNKNOWN_ADDRESSES,
) -> ASGIApp:
    """Return the ASGI application. `lifecycle` enables POST requests; `addresses` are in commands of runbooks."""
    starlette = Starlette(
        routes=all_routes(application, web_config, addresses, lifecycle=lifecycle),
        middleware=[Middleware(GZipMiddleware, minimum_size=1000, compresslevel=4)],
        exception_handlers={
            HTTPException: _http_error,
            QueryError: _query_error,
            ComparisonError: _comparison_error,
            ImageError: _image_error,
            StorageError: _storage_error,
        },
    )
    starlette.router.redirect_slashes = False
    # Outside Starlette, which answers unexpected errors outside its own middleware.
    admitted = Prefix(Admission(starlette), site=site)
    public = frozenset(f"{site.route_prefix}{path}" for path in HEALTH_PATHS)
    authenticated = BasicAuthentication(admitted, web_config=web_config, public_paths=public)
    return SecurityHeaders(RequestChecks(authenticated, site=site))


def all_routes(
    application: Application,
    web_config: ActiveWebConfig,
    addresses: ServiceAddresses = UNKNOWN_ADDRESSES,
    *,
    lifecycle: bool,
) -> list[Route]:
    """Return the routes of all groups, in the order in which they are matched."""
    return [
        *ApiRoutes(application, web_config, lifecycle=lifecycle).routes(),
        *OverviewRoutes(application).routes(),
        *EvaluationRoutes(application).routes(),
        *ImageRoutes(application).routes(),
        *RunbookRoutes(application, addresses).routes(),
        *FileRoutes().routes(),
    ]


class SecurityHeaders:
    """Middleware: add SECURITY_HEADERS to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(request, error)


async def _query_error(request: Request, error: Exception) -> Response:
    return error_response(request, HTTPException(400, str(error)))


async def _comparison_error(request: Request, error: Exception) -> Response:
    return error_response(request, HTTPException(409, str(error)))


async def _image_error(request: Request, error: Exception) -> Response:
    return error_response(request, HTTPException(404, f"image unavailable: {error}"))


async def _storage_error(request: Request, error: Exception) -> Response:
    _log.error("evidence not readable", path=request.url.path, reason=str(error))
    return error_response(request, HTTPException(500, "the evidence cannot be read; the reason is in the log"))
