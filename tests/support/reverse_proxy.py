"""A reverse proxy that serves one site under a prefix, as nginx does with `location` and `proxy_pass`."""

from __future__ import annotations

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

_HOP_BY_HOP = frozenset({"connection", "content-encoding", "content-length", "date", "transfer-encoding"})


def reverse_proxy(prefix: str, upstream: str) -> Starlette:
    """Return a proxy that maps `prefix`/… to `upstream`/… and passes the Host header of the client; 502 elsewhere."""

    async def forward(request: Request) -> Response:
        path = request.url.path
        if path != prefix and not path.startswith(f"{prefix}/"):
            return PlainTextResponse("outside the prefix\n", 502)
        url = httpx.URL(upstream + path.removeprefix(prefix), query=request.url.query.encode())
        async with httpx.AsyncClient(timeout=60) as client:
            answer = await client.request(request.method, url, headers=request.headers.raw)
        response = Response(answer.content, answer.status_code)
        for name, value in answer.headers.multi_items():
            if name not in _HOP_BY_HOP:
                response.headers.append(name, value)
        return response

    return Starlette(routes=[Route("/{path:path}", forward, methods=["GET", "HEAD", "POST"])])
