"""Basic authentication with the users of the web configuration file."""

from __future__ import annotations

from typing import Final

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from starlight_exporter.web.active_web_config import ActiveWebConfig
from starlight_exporter.web.users import Users

_CONCURRENT_CHECKS: Final = 2
_MAX_WAITING: Final = 64
"""Requests that wait for a password check: each occupies a connection."""


class BasicAuthentication:
    """Middleware: 401 without a valid user, except for health checks; 503 while too many passwords are checked."""

    def __init__(self, app: ASGIApp, *, web_config: ActiveWebConfig, public_paths: frozenset[str]) -> None:
        """`public_paths` are the paths of the health checks, as the client requests them."""
        self._app = app
        self._web_config = web_config
        self._public_paths = public_paths
        # bcrypt has threads of its own: password guesses must not occupy those of scrapes.
        self._limiter = anyio.CapacityLimiter(_CONCURRENT_CHECKS)
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._public_paths:
            await self._app(scope, receive, send)
            return
        users = await self._web_config.users()
        app = self._app if users is None else await self._authenticated(users, Request(scope))
        await app(scope, receive, send)

    async def _authenticated(self, users: Users, request: Request) -> ASGIApp:
        """Return the application for a valid user, else the response."""
        header = request.headers.get("authorization", "")
        if users.cached(header):
            return self._app
        if header and self._waiting >= _MAX_WAITING:
            return PlainTextResponse("too many passwords to check\n", 503, {"Retry-After": "1"})
        if header and await self._accepted(users, header):
            return self._app
        return PlainTextResponse("unauthorized\n", 401, {"WWW-Authenticate": 'Basic realm="starlight"'})

    async def _accepted(self, users: Users, header: str) -> bool:
        self._waiting += 1
        try:
            return await anyio.to_thread.run_sync(users.accept, header, limiter=self._limiter)
        finally:
            self._waiting -= 1
