"""Bound the requests in flight by kind, so that pages leave room for scrapes and health checks."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SCRAPES: Final = 40
"""The default of node_exporter's `--web.max-requests`."""
PAGES: Final = 128
HEALTH_PATHS: Final = frozenset({"/-/healthy", "/-/ready"})
_PIECE_BYTES: Final = 64 * 1024


class _InFlight:
    """The requests of one kind that hold one of its slots."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0

    def acquire(self) -> Response | None:
        """Take a slot; return the response 503 if there is none."""
        if self._count < self._limit:
            self._count += 1
            return None
        text = f"limit of {self._limit} concurrent requests reached\n"
        return PlainTextResponse(text, 503, {"Retry-After": "1"})

    def release(self) -> None:
        """Give the slot back."""
        self._count -= 1


class Admission:
    """Middleware: 503 with Retry-After beyond the limit of the kind. Health checks have none, because they are short.

    Responses are sent in pieces, each after the client has read the previous ones. A page holds its slot until then,
    because it may be large; a scrape only until the response begins, so that slow clients cannot take the slots.
    """

    def __init__(self, app: ASGIApp, *, scrapes: int = SCRAPES, pages: int = PAGES) -> None:
        self._app = app
        self._scrapes = _InFlight(scrapes)
        self._pages = _InFlight(pages)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (path := site_path(scope)) in HEALTH_PATHS:
            await self._app(scope, receive, send)
            return
        if path == "/metrics":
            await self._scrape(scope, receive, _in_pieces(send))
        else:
            await self._page(scope, receive, _in_pieces(send))

    async def _scrape(self, scope: Scope, receive: Receive, send: Send) -> None:
        if rejection := self._scrapes.acquire():
            await rejection(scope, receive, send)
            return
        slot = ExitStack()
        slot.callback(self._scrapes.release)

        async def send_without_slot(message: Message) -> None:
            slot.close()
            await send(message)

        with slot:
            await self._app(scope, receive, send_without_slot)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        if rejection := self._pages.acquire():
            await rejection(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._pages.release()


def site_path(scope: Scope) -> str:
    """Return the path of a request without the prefix of the site."""
    path: str = scope["path"]
    return path.removeprefix(scope["root_path"])


def _in_pieces(send: Send) -> Send:
    async def send_pieces(message: Message) -> None:
        body = message.get("body", b"")
        if message["type"] != "http.response.body" or len(body) <= _PIECE_BYTES:
            await send(message)
            return
        for start in range(0, len(body), _PIECE_BYTES):
            last = start + _PIECE_BYTES >= len(body)
            more = message.get("more_body", False) or not last
            await send({**message, "body": body[start : start + _PIECE_BYTES], "more_body": more})

    return send_pieces
