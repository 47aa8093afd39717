"""Middleware: reject requests with ambiguous framing, for a foreign host or from a foreign site; map the prefix."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from starlight_exporter.web.allowed_hosts import is_allowed, parse_host
from starlight_exporter.web.site import Site, make_origin

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class RequestChecks:
    """Middleware: 400, 421 or 403 with one line of text for requests that the application must not see."""

    def __init__(self, app: ASGIApp, *, site: Site) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        rejection = self._rejection(scope) if scope["type"] == "http" else None
        await (rejection or self._app)(scope, receive, send)

    def _rejection(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if "transfer-encoding" in headers and ("content-length" in headers or scope["http_version"] == "1.0"):
            # A proxy may have found another end of this request, so the connection is not used any more.
            text = "Transfer-Encoding with Content-Length or in HTTP/1.0\n"
            return PlainTextResponse(text, 400, {"Connection": "close"})
        return self._host_rejection(headers) or self._origin_rejection(scope, headers)

    def _host_rejection(self, headers: Headers) -> Response | None:
        # HTTP/1.0 has no Host; browsers, which DNS rebinding needs, always send one.
        header = headers.get("host", "")
        if not header:
            return None
        parsed = parse_host(header)
        if parsed is None:
            return PlainTextResponse("invalid Host header\n", 400)
        if not is_allowed(parsed.host, self._site.allowed_hosts):
            text = f"host {parsed.host!r} is not allowed: add it to --web.allowed-hosts\n"
            return PlainTextResponse(text, 421)
        return None

    def _origin_rejection(self, scope: Scope, headers: Headers) -> Response | None:
        """Reject requests with effects that a browser sends for another site; programs send neither header."""
        if scope["method"] in _SAFE_METHODS:
            return None
        origin = headers.get("origin")
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return PlainTextResponse("not allowed: request from another site\n", 403)
        if origin is not None and origin not in self._own_origins(scope["scheme"], headers.get("host", "")):
            text = "not allowed: the Origin is another site (behind a proxy, set --web.external-url)\n"
            return PlainTextResponse(text, 403)
        return None

    def _own_origins(self, scheme: str, host: str) -> frozenset[str | None]:
        """Return the origins of the site: the external one, or that of the request if it has another host."""
        external = self._site.origin
        if external is not None and make_origin(external.partition(":")[0], host) == external:
            # A proxy that terminates TLS passes the host, but not the scheme.
            return frozenset({external})
        return frozenset({external, make_origin(scheme, host)}) - {None}


class Prefix:
    """Middleware: set path and root path of the ASGI scope from the prefixes of the site; 404 outside the prefix."""

    def __init__(self, app: ASGIApp, *, site: Site) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, prefix = scope["path"], self._site.route_prefix
        app: ASGIApp
        if not prefix or path.startswith(f"{prefix}/"):
            rest = path.removeprefix(prefix)
            app, scope = self._app, {**scope, "path": self._site.prefix + rest, "root_path": self._site.prefix}
        elif path in ("/", prefix):
            app = RedirectResponse(f"{self._site.prefix}/", 302)
        else:
            app = PlainTextResponse(f"not found: all paths begin with {prefix}/\n", 404)
        await app(scope, receive, send)
