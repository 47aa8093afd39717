"""HTTP client for Prometheus, Alertmanager and the services of the local stack. Imports only the standard library."""

from __future__ import annotations

import base64
import http.client
import ipaddress
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from starlight_exporter.errors import MonitoringError

TIMEOUT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class HttpClient:
    """Settings of requests: the value of the Authorization header, read for each request, and TLS.

    Loopback addresses are never requested through a proxy; others as configured in `http_proxy`, `https_proxy`,
    `all_proxy` and `no_proxy`.
    """

    authorization: Callable[[], str] | None = None
    tls: ssl.SSLContext | None = None

    def get(self, url: str, *, timeout: float = TIMEOUT_SECONDS, accept: str = "*/*") -> bytes:
        """Return the body of a 2xx response. Raises OSError (HTTPError with a response) or HTTPException."""
        request = urllib.request.Request(url, headers={"Accept": accept})
        if self.authorization is not None:
            # Unlike other headers, it is not sent to the target of a redirect.
            request.add_unredirected_header("Authorization", self.authorization())
        opener = urllib.request.build_opener(_Proxies(), urllib.request.HTTPSHandler(context=self.tls))
        with opener.open(request, timeout=timeout) as response:
            return bytes(response.read())

    def get_json(self, url: str, server: str, *, timeout: float = TIMEOUT_SECONDS) -> Any:
        """Return the parsed JSON response; MonitoringError in one line, with the reason that the server gives."""
        shown = shown_url(url)
        try:
            return json.loads(self.get(url, timeout=timeout))
        except urllib.error.HTTPError as error:
            raise MonitoringError(f"{shown}: {server} responded with {error.code}: {_reason(error)}") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            # An incomplete response raises HTTPException, which is not an OSError.
            reason = _short(getattr(error, "reason", error))
            raise MonitoringError(f"{shown}: {server} is unavailable: {reason}") from error


def basic_authorization(username: str, password: str) -> str:
    """Return the value of the Authorization header for basic authentication."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def shown_url(url: str) -> str:
    """Return a URL without credentials and without query, for logs, errors and documents."""
    base = url.partition("?")[0]
    scheme, separator, rest = base.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


def has_credentials(url: str) -> bool:
    """Return whether a URL contains a user name or a password."""
    return "@" in url.partition("://")[2].partition("/")[0]


class _Proxies(urllib.request.ProxyHandler):
    def __init__(self) -> None:
        proxies = urllib.request.getproxies()
        # urllib reads ALL_PROXY, but does not use it.
        fallback = proxies.pop("all", None)
        super().__init__(({} if fallback is None else {"http": fallback, "https": fallback}) | proxies)

    def proxy_open(self, req: urllib.request.Request, proxy: str, type: str) -> Any:  # noqa: A002  # named by urllib
        return None if is_loopback(req.host) else super().proxy_open(req, proxy, type)


def is_loopback(address: str) -> bool:
    """Return whether `host` or `host:port` is on this machine."""
    try:
        host = urlsplit(f"//{address}").hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        # Another host name, or not an address.
        return False


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        text = str(json.load(error)["error"])
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        text = error.reason
    return _short(text)


def _short(text: object) -> str:
    return " ".join(str(text).split())[:200]
