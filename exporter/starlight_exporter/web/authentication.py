"""Basic authentication with the bcrypt users of the web configuration file."""

from __future__ import annotations

import base64
import hashlib
import threading
from typing import Final

import anyio
import anyio.to_thread
import bcrypt
from cachetools import LRUCache
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

UNAUTHENTICATED_PATHS: Final = frozenset({"/-/healthy", "/-/ready"})
_CACHE_SIZE: Final = 100
_CONCURRENT_CHECKS: Final = 2


class Users:
    """Check `Authorization` headers. Accepted headers are cached by their hash, because bcrypt is slow by design."""

    def __init__(self, hashes: dict[str, str]) -> None:
        """`hashes` are bcrypt hashes by user name, at least one."""
        self._hashes = {user: value.encode() for user, value in hashes.items()}
        # Checked for an unknown user, so that the response time does not reveal which users exist.
        self._costliest = max(self._hashes.values(), key=lambda value: value[4:6])
        self._accepted: LRUCache[bytes, None] = LRUCache(_CACHE_SIZE)
        self._lock = threading.Lock()

    def cached(self, header: str) -> bool:
        """Return whether this header was accepted before."""
        with self._lock:
            return _digest(header) in self._accepted

    def accept(self, header: str) -> bool:
        """Return whether the header has a user with its password; takes as long for an unknown user."""
        scheme, _, encoded = header.partition(" ")
        try:
            user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:
            # Not base64, or not UTF-8.
            return False
        if scheme.lower() != "basic" or not colon or "\0" in password:
            return False
        try:
            matches = bcrypt.checkpw(password.encode(), self._hashes.get(user, self._costliest))
        except ValueError:
            # bcrypt accepts at most 72 bytes, so no hash of a longer password exists.
            return False
        if not matches or user not in self._hashes:
            return False
        with self._lock:
            self._accepted[_digest(header)] = None
        return True


class BasicAuthentication:
    """Middleware: 401 without a valid user, except for UNAUTHENTICATED_PATHS."""

    def __init__(self, app: ASGIApp, users: Users) -> None:
        self._app = app
        self._users = users
        # bcrypt has threads of its own: password guesses must not occupy those of scrapes.
        self._limiter = anyio.CapacityLimiter(_CONCURRENT_CHECKS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNAUTHENTICATED_PATHS:
            await self._app(scope, receive, send)
            return
        header = Request(scope).headers.get("authorization", "")
        if self._users.cached(header) or (
            header and await anyio.to_thread.run_sync(self._users.accept, header, limiter=self._limiter)
        ):
            await self._app(scope, receive, send)
            return
        response = PlainTextResponse("unauthorized\n", 401, {"WWW-Authenticate": 'Basic realm="starlight"'})
        await response(scope, receive, send)


def _digest(header: str) -> bytes:
    return hashlib.sha256(header.encode("utf-8", "surrogateescape")).digest()
